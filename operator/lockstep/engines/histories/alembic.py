"""Alembic: only the revision where the database is; everything before it has run. Several heads are several rows.

Revisions of its own making are twelve hexadecimal digits, which may happen to be decimal and have no order: they are
never taken for a number, and `spec.adopts` names them.
"""

import re
from typing import Final

from lockstep.engines.histories.base import History, Reader, numeric
from lockstep.engines.tool_tables import READ
from lockstep.planning.adoption import ForeignRow

_GENERATED: Final = re.compile(r"[0-9a-f]{12}")


def _read(reader: Reader, _line: str) -> tuple[ForeignRow, ...]:
    revisions = [revision or "" for (revision,) in reader.rows("version_num", order=["version_num"])]
    return tuple(
        ForeignRow(revision, None if _GENERATED.fullmatch(revision) else numeric(revision)) for revision in revisions
    )


HISTORY: Final = History(
    tool="alembic",
    tables=READ["alembic"],
    shapes=(frozenset({"version_num"}),),
    read=_read,
    cumulative=True,
)
