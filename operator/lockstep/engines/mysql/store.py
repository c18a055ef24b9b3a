"""The ledger's tables in MySQL and MariaDB, and what the database around them holds."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError

from lockstep.engines.base import ConnectionLostError
from lockstep.engines.mysql.channel import Channel, SqlError
from lockstep.engines.mysql.errors import is_lost, number_of
from lockstep.engines.portable.store import Store

_TRIGGERS: Final = """
SELECT CONCAT('the trigger ', TRIGGER_NAME, ' on ', EVENT_OBJECT_TABLE) FROM information_schema.TRIGGERS
WHERE EVENT_OBJECT_SCHEMA = DATABASE() AND EVENT_OBJECT_TABLE LIKE 'lockstep\\_%' LIMIT 4
"""
_OTHERS: Final = (
    """
SELECT TABLE_NAME FROM information_schema.TABLES
WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME NOT LIKE 'lockstep\\_%' ORDER BY TABLE_NAME LIMIT 4
""",
    """
SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE() ORDER BY ROUTINE_NAME LIMIT 4
""",
    "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE() ORDER BY EVENT_NAME LIMIT 4",
)


_OPTIONS: Final[Mapping[str, str]] = {
    f"{dialect}_{name}": value
    for dialect in ("mysql", "mariadb")
    for name, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


class MysqlStore(Store):
    """The ledger's tables: InnoDB, and compared letter by letter."""

    BEGIN = "START TRANSACTION"
    BEGIN_READING = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"
    CLOCK = "CONCAT(LEFT(DATE_FORMAT(UTC_TIMESTAMP(3), '%Y-%m-%dT%H:%i:%s.%f'), 23), 'Z')"
    TABLE_OPTIONS = _OPTIONS


class Around:
    """What the database holds beside the ledger."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def others(self) -> Sequence[str]:
        """Return the names of a few objects that are not Lockstep's; none where a migration by half may have made some."""
        if self._is_by_half():
            return ()
        found = sorted(str(name) for ask in _OTHERS for (name,) in self._channel.query(ask))
        return found[:4]

    def _is_by_half(self) -> bool:
        try:
            return bool(self._channel.query("SELECT 1 FROM lockstep_journal LIMIT 1"))
        except SqlError:
            # There is no ledger yet.
            return False

    def hooks(self) -> Sequence[str]:
        """Return the triggers on the ledger's tables."""
        return [str(name) for (name,) in self._channel.query(_TRIGGERS)]


@contextmanager
def translated() -> Iterator[None]:
    """Turn what SQLAlchemy makes of the driver's errors into the channel's own.

    Raises:
        SqlError: if the server refused one of the ledger's statements.
        ConnectionLostError: if the connection is gone.
    """
    try:
        yield
    except DBAPIError as error:
        original = error.orig if error.orig is not None else error
        number = number_of(original)
        if error.connection_invalidated or is_lost(number):
            raise ConnectionLostError from None
        # `from None`: its text has the statement with its parameters.
        text = str(original.args[1]) if len(original.args) > 1 else ""
        raise SqlError(number, text, getattr(original, "sqlstate", None)) from None
