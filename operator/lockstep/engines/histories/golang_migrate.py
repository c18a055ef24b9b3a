"""golang-migrate: only the version where the database is, and whether it got there whole (dirty: it did not)."""

from typing import Final

from lockstep.engines.histories.base import YES, History, Reader, numeric
from lockstep.engines.tool_tables import READ
from lockstep.planning.adoption import ForeignRow

_DIRTY: Final = "is dirty, its migration has failed: take away what it has left, then run `migrate force VERSION`"


def _read(reader: Reader, _line: str) -> tuple[ForeignRow, ...]:
    rows = reader.rows("version", flags=["dirty"], order=["version"])
    return tuple(
        ForeignRow(version or "", numeric(version or ""), problem=_DIRTY if dirty == YES else None)
        for version, dirty in rows
    )


HISTORY: Final = History(
    tool="golang-migrate",
    tables=READ["golang-migrate"],
    shapes=(frozenset({"version", "dirty"}),),
    read=_read,
    cumulative=True,
)
