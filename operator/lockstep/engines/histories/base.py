"""What the history tables of other tools have in common: how they are found, told apart and read. Only SELECTs."""

import re
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from lockstep.engines.histories.dialects import Dialect, Table
from lockstep.planning.adoption import ForeignRow
from lockstep.planning.plan import Refusal
from lockstep.planning.version import InvalidVersionError, Version

Row = tuple[str | None, ...]
Ask = Callable[[str, tuple[str, ...]], Sequence[Row]]
"""ask(sql, params) runs one SELECT and returns its rows as text; without params no sign in the SQL stands for one."""

YES: Final = "yes"
"""What a flag that is set is read as."""
_LEADING: Final = re.compile(r"[0-9]+(?=[_.\- ]|\Z)")


class Reader(Struct, frozen=True):
    """One table and the way to ask it."""

    ask: Ask
    dialect: Dialect
    table: Table

    def rows(self, *columns: str, flags: Sequence[str] = (), order: Sequence[str] = ()) -> Sequence[Row]:
        """Return all rows: the columns as text, then the flags as YES or something else.

        Args:
            columns: their names in lower case; a table may write them otherwise.
            flags: columns that hold a truth value.
            order: columns to sort by; those of the table, not the texts.
        """
        return self.ask(self.dialect.select(self.table, columns, flags, order), ())

    def beside(self, *names: str) -> "Reader | None":
        """Return the reader of another table of the same schema, by the first of these names that is there."""
        found = {
            table.name: table for table in tables(self.ask, self.dialect, names) if table.schema == self.table.schema
        }
        return next((Reader(self.ask, self.dialect, found[name]) for name in names if name in found), None)


class History(Struct, frozen=True):
    """What one tool keeps of what it has run."""

    tool: str
    """As spec.adopt.history names it."""
    tables: tuple[str, ...]
    """The names that its table has by default, the newest first."""
    shapes: tuple[frozenset[str], ...]
    """The columns that are read, in lower case: a table that has one of these sets is the tool's."""
    read: Callable[[Reader, str], tuple[ForeignRow, ...] | Refusal]
    """read(reader, line) returns what is applied and what stands against adopting it, in the tool's order."""
    cumulative: bool = False
    """The tool records only where it is, which stands for everything up to there."""
    alone: bool = False
    """Its table has no other columns; one that has more is another tool's."""

    def fits(self, table: Table) -> bool:
        """Tell whether a table may be the tool's."""
        columns = {column.lower() for column in table.columns}
        return any(columns == shape if self.alone else columns >= shape for shape in self.shapes)


def tables(ask: Ask, dialect: Dialect, names: Sequence[str]) -> list[Table]:
    """Return the tables of these names, with their columns."""
    found: dict[tuple[str, str], list[str]] = {}
    for schema, name, column in ask(dialect.find(len(names)), tuple(names)):
        found.setdefault((schema or "", name or ""), []).append(column or "")
    # MySQL compares names without regard to case.
    return [Table(schema, name, tuple(columns)) for (schema, name), columns in found.items() if name in names]


def numeric(text: str) -> Version | None:
    """Return the version that a text is, if it is one."""
    try:
        return Version.parse(text)
    except InvalidVersionError:
        return None


def leading(text: str) -> Version | None:
    """Return the version that a name begins with, as in 0001_initial; None where it begins with no number."""
    found = _LEADING.match(text)
    return None if found is None else numeric(found.group())
