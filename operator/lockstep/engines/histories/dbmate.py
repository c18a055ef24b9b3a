"""dbmate: a row for each version that is applied, in a table like that of Rails; what is beside it tells them apart."""

from typing import Final

from lockstep.api.reasons import Reason
from lockstep.engines.histories.base import History, Reader, numeric
from lockstep.engines.tool_tables import READ
from lockstep.planning.adoption import ForeignRow
from lockstep.planning.plan import Refusal

_OF_RAILS: Final = "ar_internal_metadata"


def _read(reader: Reader, _line: str) -> tuple[ForeignRow, ...] | Refusal:
    if reader.beside(_OF_RAILS) is not None:
        return Refusal(
            Reason.ADOPTION_FAILED,
            f"{reader.table} looks like the history of rails, not of dbmate, since {_OF_RAILS} is beside it: "
            "set spec.adopt.history: rails",
        )
    versions = [version or "" for (version,) in reader.rows("version", order=["version"])]
    return tuple(ForeignRow(version, numeric(version)) for version in versions)


HISTORY: Final = History(
    tool="dbmate",
    tables=READ["dbmate"],
    shapes=(frozenset({"version"}),),
    read=_read,
    alone=True,
)
