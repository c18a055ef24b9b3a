"""What goes to the server and what comes back: statements, answers, notices, errors."""

from collections.abc import Sequence

from msgspec import Struct
from psycopg import pq

from lockstep.engines.postgresql.copying import Data, data_line

Row = tuple[str | None, ...]
Param = str | bytes | int | None
"""bytes go as they are (binary), all else as text."""


class Command(Struct, frozen=True):
    """One statement with its parameters, each of which the SQL casts."""

    sql: str
    params: Sequence[Param] = ()
    keep: bool = True
    """Whether its rows are of use; those of a migration's SQL are thrown away as they come."""
    prepared: bytes = b""
    """The name under which `Channel.prepare` has planned it."""
    data: Data | None = None
    """What a COPY ... FROM stdin copies; such a statement goes out alone."""
    prompt: bool = False
    """Whether the server shall answer at once, and not when its buffer is full: only then is its time its own."""


class Reply(Struct, frozen=True):
    """What a statement gave."""

    tag: str
    rows: tuple[Row, ...] = ()
    seconds: float = 0.0
    """How long after the statement before it this one's answer came."""

    @property
    def count(self) -> int:
        """How many rows the server says that it has touched."""
        last = self.tag.rpartition(" ")[2]
        return int(last) if last.isdecimal() else 0


class Notice(Struct, frozen=True):
    """What the server says beside its answers: never its DETAIL or CONTEXT, which carry rows."""

    severity: str
    message: str


class SqlError(Exception):
    """The server refused a statement; the message is its primary one and its hint, never DETAIL or CONTEXT."""

    def __init__(self, index: int, result: pq.abc.PGresult | None, message: str = "") -> None:
        def read(code: pq.DiagnosticField) -> str | None:
            found = None if result is None else result.error_field(code)
            return None if found is None else bytes(found).decode("utf-8", "replace")

        field = pq.DiagnosticField
        self.index = index
        """Number of the statement in its batch, from 0."""
        self.sqlstate = read(field.SQLSTATE) or "XX000"
        self.primary = read(field.MESSAGE_PRIMARY) or message or "the server gave no message"
        self.hint = read(field.MESSAGE_HINT)
        position = read(field.STATEMENT_POSITION)
        self.position = int(position) if position and position.isdigit() else None
        """The character of the statement that it is about, from 1."""
        self.table = read(field.TABLE_NAME)
        self.column = read(field.COLUMN_NAME)
        named = (field.SCHEMA_NAME, field.TABLE_NAME, field.COLUMN_NAME, field.CONSTRAINT_NAME, field.DATATYPE_NAME)
        self.names = frozenset(name for code in named if (name := read(code)))
        """Names of objects that it is about."""
        self.data_line = data_line(read(field.CONTEXT))
        """The line of a COPY's data that it is about, from 1."""
        super().__init__(self.sqlstate)

    @property
    def text(self) -> str:
        """The primary message, and the hint if there is one."""
        return self.primary if self.hint is None else f"{self.primary} (hint: {self.hint})"


class StoppedError(Exception):
    """The batch was cancelled since the run must stop."""
