"""Django: a row for each migration of each app; those of the app that has the line's name are read.

The version is the number that a name begins with. A squashed migration (0001_squashed_0004_more) stands for all up to
its second number; while the rows of those are still there, they count and it adds nothing.
"""

import re
from typing import Final

from lockstep.api.reasons import Reason
from lockstep.engines.histories.base import History, Reader, leading, numeric
from lockstep.engines.tool_tables import READ
from lockstep.planning.adoption import ForeignRow
from lockstep.planning.plan import Refusal, listed

_SQUASHED: Final = re.compile(r"[0-9]+_squashed_([0-9]+)(?:_|\Z)")


def _read(reader: Reader, line: str) -> tuple[ForeignRow, ...] | Refusal:
    rows = [(app or "", name or "") for app, name in reader.rows("app", "name", order=["id"])]
    # A line may have characters that the label of an app cannot have.
    labels = {line, re.sub(r"[-.]", "_", line)}
    names = [name for app, name in rows if app in labels]
    if rows and not names:
        apps = listed(sorted({app for app, _ in rows}))
        return Refusal(
            Reason.ADOPTION_FAILED,
            f"{reader.table} has no migration of an app {line!r}, but of {apps}: the line must have the app's name "
            "(spec.schema), one SchemaVersion for each app",
        )
    ordinary = {leading(name) for name in names if _SQUASHED.match(name) is None}
    found = []
    for app, name in rows:
        if app not in labels:
            continue
        squashed = _SQUASHED.match(name)
        last = None if squashed is None else numeric(squashed.group(1))
        if last is not None and last in ordinary:
            continue
        version = leading(name) if last is None else last
        found.append(ForeignRow(name, version, aliases=(f"{app}.{name}",), covers=last is not None))
    return tuple(found)


HISTORY: Final = History(
    tool="django",
    tables=READ["django"],
    shapes=(frozenset({"id", "app", "name", "applied"}),),
    read=_read,
)
