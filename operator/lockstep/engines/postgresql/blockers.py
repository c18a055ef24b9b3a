"""Who holds the locks that a migration waits for: looked up from a second connection while it waits."""

import re
from collections.abc import Callable
from typing import Final

from lockstep.engines.patience import Onlooker
from lockstep.engines.postgresql.channel import Channel
from lockstep.engines.postgresql.messages import Command, SqlError, StoppedError

_ASK: Final = """
SELECT a.pid, a.application_name, a.state,
       pg_catalog.floor(pg_catalog.date_part('epoch'::pg_catalog.text, pg_catalog.clock_timestamp() - a.xact_start)),
       pg_catalog.left(a.query, 300)
FROM pg_catalog.pg_stat_activity AS a
WHERE a.pid = ANY (pg_catalog.pg_blocking_pids($1::pg_catalog.int4))
ORDER BY a.xact_start LIMIT 3
"""
# Compiled on first use: few runs wait for anybody.
_LITERALS: Final = r"""(?sx)
      (?<![\w$"])[eE]'(?:[^'\\]|\\.|'')*(?:'|\Z)
    | (?:(?<![\w$"])[bBxXnN])?'(?:[^']|'')*(?:'|\Z)
    | \$(\w*)\$.*?(?:\$\1\$|\Z)
    | (?<![\w$"])\d[\w.]*
    | --[^\n]*
    | /\*.*?(?:\*/|\Z)
"""


def mask(query: str) -> str:
    """Return a query with its literals and comments taken out: they may be anybody's data."""
    return " ".join(re.sub(_LITERALS, "?", query).split())[:120]


class Blockers(Onlooker[Channel]):
    """What was last seen of the sessions that stand in the way."""

    def __init__(self, channel: Channel, beside: Callable[[], Channel]) -> None:
        super().__init__(beside)
        self._pid = channel.pid

    def _ask(self, beside: Channel) -> str | None:
        path = Command("SET search_path = pg_catalog, pg_temp")
        try:
            rows = beside.run([path, Command(_ASK, (self._pid,))])[1].rows
        except (SqlError, StoppedError):
            return None
        return f"; blocked by {'; '.join(_describe(*row) for row in rows)}" if rows else ""


def _describe(pid: str | None, application: str | None, state: str | None, age: str | None, query: str | None) -> str:
    what = f"{application or 'unnamed'}, {state or 'state unknown'}, transaction of {age or '?'} s"
    return f"backend {pid} ({what}): {mask(query or '')}"
