"""Flyway: a row for each run of each script, failed ones too (where the database cannot take them back).

The last row of a version counts. One that was undone (an UNDO row) or forgotten (`flyway repair` on a script that is no
longer there: a DELETE row) is not applied, as for Flyway itself. A BASELINE row stands for everything up to it. Rows
without a version say that a schema was made, or are repeatable scripts: Lockstep's own run again anyway.
"""

from typing import Final

from lockstep.engines.histories.base import YES, History, Reader, numeric
from lockstep.engines.tool_tables import READ
from lockstep.planning.adoption import ForeignRow

_FAILED: Final = "failed: take away what it has left, then run `flyway repair`"


def _read(reader: Reader, _line: str) -> tuple[ForeignRow, ...]:
    last: dict[str, ForeignRow | None] = {}
    columns = ("version", "description", "type", "script")
    for version, description, kind, script, success in reader.rows(
        *columns, flags=["success"], order=["installed_rank"]
    ):
        number = None if version is None else numeric(version)
        key = f"~{description}" if version is None else version if number is None else number.canonical
        if success != YES:
            last[key] = ForeignRow(version or script or "", number, description or "", _FAILED)
        elif version is None or kind == "DELETE" or (kind or "").startswith("UNDO"):
            last[key] = None
        else:
            last[key] = ForeignRow(
                version,
                number,
                description or "",
                aliases=(script,) if script else (),
                covers=(kind or "").endswith("BASELINE"),
            )
    return tuple(row for row in last.values() if row is not None)


HISTORY: Final = History(
    tool="flyway",
    tables=READ["flyway"],
    shapes=(frozenset({"installed_rank", "version", "description", "type", "script", "success"}),),
    read=_read,
)
