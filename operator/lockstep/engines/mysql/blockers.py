"""Who holds the locks that a migration waits for: looked up from a second connection while it waits.

What shows it depends on the server and on the user's rights (PROCESS); where nothing may be seen, that is said.
"""

from collections.abc import Callable
from typing import Final

from lockstep.engines.mysql.channel import Channel, Row, SqlError
from lockstep.engines.mysql.errors import DENIED, mask_sql
from lockstep.engines.patience import Onlooker

_THREADS: Final = "t.PROCESSLIST_ID, t.PROCESSLIST_USER, t.PROCESSLIST_COMMAND, t.PROCESSLIST_TIME, t.PROCESSLIST_INFO"
_MYSQL: Final = (
    f"""
SELECT DISTINCT {_THREADS} FROM performance_schema.data_lock_waits AS w
JOIN performance_schema.threads AS me ON me.THREAD_ID = w.REQUESTING_THREAD_ID
JOIN performance_schema.threads AS t ON t.THREAD_ID = w.BLOCKING_THREAD_ID
WHERE me.PROCESSLIST_ID = %s LIMIT 3
""",  # noqa: S608 - constants
    f"""
SELECT DISTINCT {_THREADS} FROM performance_schema.metadata_locks AS p
JOIN performance_schema.threads AS me ON me.THREAD_ID = p.OWNER_THREAD_ID AND p.LOCK_STATUS = 'PENDING'
JOIN performance_schema.metadata_locks AS g ON g.OBJECT_TYPE = p.OBJECT_TYPE AND g.OBJECT_SCHEMA = p.OBJECT_SCHEMA
    AND g.OBJECT_NAME = p.OBJECT_NAME AND g.LOCK_STATUS = 'GRANTED' AND g.OWNER_THREAD_ID <> me.THREAD_ID
JOIN performance_schema.threads AS t ON t.THREAD_ID = g.OWNER_THREAD_ID
WHERE me.PROCESSLIST_ID = %s LIMIT 3
""",  # noqa: S608 - constants
)
_MARIADB: Final = (
    """
SELECT DISTINCT p.ID, p.USER, p.COMMAND, TIMESTAMPDIFF(SECOND, b.trx_started, NOW()), p.INFO
FROM information_schema.INNODB_LOCK_WAITS AS w
JOIN information_schema.INNODB_TRX AS me ON me.trx_id = w.requesting_trx_id
JOIN information_schema.INNODB_TRX AS b ON b.trx_id = w.blocking_trx_id
JOIN information_schema.PROCESSLIST AS p ON p.ID = b.trx_mysql_thread_id
WHERE me.trx_mysql_thread_id = %s LIMIT 3
""",
)
# A metadata lock is held by any open transaction that has met the table: the oldest ones are the best guess.
_TRANSACTIONS: Final = """
SELECT p.ID, p.USER, p.COMMAND, TIMESTAMPDIFF(SECOND, b.trx_started, NOW()), p.INFO
FROM information_schema.INNODB_TRX AS b
JOIN information_schema.PROCESSLIST AS p ON p.ID = b.trx_mysql_thread_id
WHERE b.trx_mysql_thread_id <> %s ORDER BY b.trx_started LIMIT 3
"""
_UNSEEN: Final = (
    "; who is in the way is not shown to this user: it has neither PROCESS nor SELECT on performance_schema"
)


class Blockers(Onlooker[Channel]):
    """What was last seen of the sessions that stand in the way."""

    def __init__(self, connection: int, beside: Callable[[], Channel], *, maria: bool) -> None:
        super().__init__(beside)
        self._connection = connection
        self._asks = _MARIADB if maria else _MYSQL

    def _ask(self, beside: Channel) -> str | None:
        asks = dict.fromkeys(self._asks, "blocked by") | {_TRANSACTIONS: "perhaps blocked by"}
        denied = 0
        for ask, how in asks.items():
            rows = _rows(beside, ask, self._connection)
            if rows:
                return f"; {how} {'; '.join(_describe(row) for row in rows)}"
            denied += rows is None
        return _UNSEEN if denied == len(asks) else None


def _rows(channel: Channel, ask: str, connection: int) -> tuple[Row, ...] | None:
    """Ask; None: the user may not."""
    try:
        return channel.query(ask, connection)
    except SqlError as error:
        return None if error.number in DENIED else ()


def _describe(row: Row) -> str:
    connection, user, command, seconds, info = row
    doing = f": {mask_sql(str(info))}" if info else ""
    return f"connection {connection} ({user}, {command}, {seconds if seconds is not None else '?'} s){doing}"
