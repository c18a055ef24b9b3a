"""The ledger's tables in MySQL and MariaDB, and what the database around them holds."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, PendingRollbackError

from lockstep.engines import tool_tables
from lockstep.engines.base import ConnectionLostError
from lockstep.engines.mysql.channel import Channel, SqlError
from lockstep.engines.mysql.errors import PASSING, is_lost, number_of, own_error
from lockstep.engines.patience import PassingError
from lockstep.engines.portable.store import Store
from lockstep.planning.wire import Order

# Not from information_schema, which would look at every table, and wait for those that are being altered.
_TRIGGERS: Final = "SHOW TRIGGERS LIKE 'lockstep\\_%'"
# Other tools' histories first: they say how the database is adopted.
_OTHERS: Final = (
    f"""
SELECT TABLE_NAME FROM information_schema.TABLES
WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME NOT LIKE 'lockstep\\_%'
ORDER BY TABLE_NAME IN ({tool_tables.AS_SQL}) DESC, TABLE_NAME LIMIT 4
""",  # noqa: S608 - constants
    """
SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE() ORDER BY ROUTINE_NAME LIMIT 4
""",
    "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE() ORDER BY EVENT_NAME LIMIT 4",
)


_OPTIONS: Final[Mapping[str, str]] = {
    f"{dialect}_{name}": value
    for dialect in ("mysql", "mariadb")
    for name, value in (
        ("engine", "InnoDB"),
        ("charset", "utf8mb4"),
        ("collate", "utf8mb4_bin"),
        ("row_format", "DYNAMIC"),
    )
}

_MINE: Final = "SELECT 1 FROM lockstep_journal WHERE line = %s LIMIT 1 LOCK IN SHARE MODE"
_TRACES: Final = (
    "SELECT 1 FROM lockstep_journal LIMIT 1 LOCK IN SHARE MODE",
    "SELECT 1 FROM lockstep_history LIMIT 1 LOCK IN SHARE MODE",
)


class MysqlStore(Store):
    """The ledger's tables: InnoDB, and compared letter by letter."""

    BEGIN = "START TRANSACTION"
    BEGIN_READING = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"
    CLOCK = "CONCAT(LEFT(DATE_FORMAT(UTC_TIMESTAMP(3), '%Y-%m-%dT%H:%i:%s.%f'), 23), 'Z')"
    TABLE_OPTIONS = _OPTIONS

    def __init__(self, connection: Connection, schema: str, *, row_log: bool = True) -> None:
        super().__init__(connection, schema)
        self._row_log = row_log
        """Whether the server's log of changes takes what a transaction does that sees what others commit meanwhile."""

    @property
    def opening(self) -> tuple[str, ...]:
        """What begins a transaction that writes; it locks rows, not the gaps between, where other lines' rows go."""
        return ("SET TRANSACTION ISOLATION LEVEL READ COMMITTED", self.BEGIN) if self._row_log else (self.BEGIN,)

    def begin(self) -> None:
        """Begin a transaction that writes."""
        for sql in self.opening:
            self.say(sql)


class Around:
    """What the database holds beside the ledger."""

    def __init__(self, channel: Channel, order: Order) -> None:
        self._channel = channel
        self._line = order.line
        self._adopts = order.baseline is not None or order.adopt is not None

    def others(self) -> Sequence[str]:
        """Return the names of a few objects that are not Lockstep's; none if its migrations may have made them."""
        found = [str(name) for ask in _OTHERS for (name,) in self._channel.query(ask)]
        return () if found and self._has_begun() else found[:4]

    def _has_begun(self) -> bool:
        """Tell whether what is there may be Lockstep's: what commits by itself is there before it is recorded.

        A line that has begun by itself has found an empty database. Where it is to adopt one, what other lines do
        says nothing.
        """
        try:
            # As it is now, whatever the transaction has seen: names show as they are now too.
            if self._channel.query(_MINE, self._line):
                return True
            return not self._adopts and any(self._channel.query(ask) for ask in _TRACES)
        except SqlError:
            # There is no ledger yet.
            return False

    def hooks(self) -> Sequence[str]:
        """Return the triggers on the ledger's tables."""
        return [f"the trigger {row[0]} on {row[2]}" for row in self._channel.query(_TRIGGERS)][:4]


@contextmanager
def translated() -> Iterator[None]:
    """Turn what SQLAlchemy makes of the driver's errors into the channel's own.

    Raises:
        SqlError: if the server refused one of the ledger's statements.
        ConnectionLostError: if the connection is gone.
    """
    try:
        yield
    except PendingRollbackError:
        # Lost at a ROLLBACK, which may fail: what comes next finds it so.
        raise ConnectionLostError from None
    except DBAPIError as error:
        original = error.orig if error.orig is not None else error
        number = number_of(original)
        if error.connection_invalidated or is_lost(number):
            raise ConnectionLostError from None
        # `from None`: its text has the statement with its parameters.
        text = str(original.args[1]) if len(original.args) > 1 else ""
        raise SqlError(number, text, getattr(original, "sqlstate", None)) from None


@contextmanager
def own_errors(*, again: bool = False) -> Iterator[None]:
    """Turn errors of Lockstep's own statements into what they mean.

    Args:
        again: whether what meets another line's lock, and has rolled back, is to be tried again.

    Raises:
        PassingError: if it is.
        RunError: if the server refused a statement.
        ConnectionLostError: if the connection is gone.
    """
    try:
        with translated():
            yield
    except SqlError as error:
        meaning = own_error(error.number, error.words)
        if again and error.number in PASSING:
            raise PassingError(error.number, error.words, lambda _tries, _blockers: meaning) from None
        # `from None`: what lies behind it may hold the statement with its values.
        raise meaning from None
