"""The rows of PostgreSQL's ledger as the planner's words, where others have them otherwise. Pure."""

from collections.abc import Sequence

from lockstep.engines.entries import version_of
from lockstep.engines.postgresql.messages import Row
from lockstep.planning.plan import Dependent, Taken


def dependents(rows: Sequence[Row]) -> tuple[Dependent, ...]:
    """Read which versions of other lines require which version of this one."""
    return tuple(Dependent(line or "", version or "", version_of(needs or "")) for line, version, needs in rows)


def trail(rows: Sequence[Row]) -> tuple[Taken, ...]:
    """Read the last steps that were taken, oldest first."""
    return tuple(
        Taken(direction or "", name or "", None if version is None else version_of(version), up or "", down or "-")
        for direction, name, version, up, down in reversed(rows)
    )
