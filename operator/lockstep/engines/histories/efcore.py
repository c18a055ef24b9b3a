"""Entity Framework Core: a row for each migration that is applied, 20260101120000_Name. The number is its version."""

from typing import Final

from lockstep.engines.histories.base import History, Reader, leading
from lockstep.engines.tool_tables import READ
from lockstep.planning.adoption import ForeignRow

_COLUMNS: Final = ("migrationid", "migration_id")
"""The second where names are written in snake case."""


def _read(reader: Reader, _line: str) -> tuple[ForeignRow, ...]:
    there = {column.lower() for column in reader.table.columns}
    column = next(name for name in _COLUMNS if name in there)
    names = [name or "" for (name,) in reader.rows(column, order=[column])]
    return tuple(ForeignRow(name, leading(name)) for name in names)


HISTORY: Final = History(
    tool="efcore",
    tables=READ["efcore"],
    shapes=(frozenset({"migrationid", "productversion"}), frozenset({"migration_id", "product_version"})),
    read=_read,
)
