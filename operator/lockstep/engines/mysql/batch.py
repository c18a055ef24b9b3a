"""Several statements of Lockstep's own as one text, with their values in it: what Channel.together sends. Pure.

Values are written in hexadecimal, which reads the same in every mode of SQL and can hold no end of a statement.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler

from lockstep.engines.portable.store import Change

SEPARATOR: Final = ";\n"


class Texts:
    """Writes the ledger's statements as SQL; each is compiled once."""

    def __init__(self, connection: Connection, schema: str) -> None:
        self._dialect = connection.dialect
        self._schema = schema
        self._compiled: dict[ClauseElement, SQLCompiler] = {}

    def of(self, change: Change) -> str:
        """Return a statement with its values in it."""
        compiled = self._compiled.get(change.statement)
        if compiled is None:
            compiled = self._compiled[change.statement] = self._compile(change)
        params = compiled.construct_params(change.values)
        return compiled.string % {name: literal(value) for name, value in params.items()}

    def _compile(self, change: Change) -> SQLCompiler:
        found = change.statement.compile(
            dialect=self._dialect,
            column_keys=list(change.values),
            schema_translate_map={None: self._schema},
            render_schema_translate=True,
        )
        assert isinstance(found, SQLCompiler)  # noqa: S101 - no DDL is among them
        return found


def literal(value: object) -> str:
    """Write a value.

    Raises:
        TypeError: if it is none that the ledger has.
    """
    match value:
        case None:
            return "NULL"
        case bytes():
            return f"X'{value.hex()}'"
        case str():
            return f"_utf8mb4 X'{value.encode().hex()}'"
        case int():
            return str(int(value))
    raise TypeError(type(value))


def lots(statements: Sequence[str], most: int) -> Iterator[str]:
    """Put statements together to texts that a packet of so many bytes holds; one that is longer is alone."""
    lot: list[str] = []
    # The driver puts one byte before a text.
    size = 1
    for each in statements:
        more = len(each.encode()) + len(SEPARATOR)
        if lot and size + more > most:
            yield SEPARATOR.join(lot)
            lot, size = [], 1
        lot.append(each)
        size += more
    if lot:
        yield SEPARATOR.join(lot)
