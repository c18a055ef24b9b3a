"""goose: a row for each step up, and of older versions of it one for each step down; the last of a version counts.

Version 0 is there from the start and stands for nothing.
"""

from typing import Final

from lockstep.engines.histories.base import YES, History, Reader, numeric
from lockstep.engines.tool_tables import READ
from lockstep.planning.adoption import ForeignRow


def _read(reader: Reader, _line: str) -> tuple[ForeignRow, ...]:
    rows = reader.rows("version_id", flags=["is_applied"], order=["id"])
    last = {version or "": applied == YES for version, applied in rows}
    return tuple(
        ForeignRow(version, numeric(version)) for version, applied in last.items() if applied and version != "0"
    )


HISTORY: Final = History(
    tool="goose",
    tables=READ["goose"],
    shapes=(frozenset({"id", "version_id", "is_applied", "tstamp"}),),
    read=_read,
)
