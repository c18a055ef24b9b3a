"""Rails (Active Record): a row for each version that is applied."""

from typing import Final

from lockstep.engines.histories.base import History, Reader, numeric
from lockstep.engines.tool_tables import READ
from lockstep.planning.adoption import ForeignRow


def _read(reader: Reader, _line: str) -> tuple[ForeignRow, ...]:
    versions = [version or "" for (version,) in reader.rows("version", order=["version"])]
    return tuple(ForeignRow(version, numeric(version)) for version in versions)


HISTORY: Final = History(
    tool="rails",
    tables=READ["rails"],
    shapes=(frozenset({"version"}),),
    read=_read,
    alone=True,
)
