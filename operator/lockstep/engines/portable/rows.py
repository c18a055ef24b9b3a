"""The portable ledger's rows as the planner's words, where others have them otherwise. Pure."""

import json
from collections.abc import Iterator, Sequence
from typing import Final

from lockstep.api.reasons import Reason
from lockstep.engines.base import RunError
from lockstep.engines.entries import Past, version_of
from lockstep.engines.rows import Row
from lockstep.planning.checksum import ABSENT
from lockstep.planning.plan import Applied, Dependent, Taken

TRAIL: Final = 200
"""Entries of the history that a consent is held against."""


def trail(past: Sequence[Past]) -> tuple[Taken, ...]:
    """Return the last steps that were taken, oldest first."""
    return tuple(
        Taken(
            each.direction,
            each.name,
            None if each.canonical is None else version_of(each.canonical),
            each.up_checksum,
            each.down_checksum or ABSENT,
        )
        for each in past[-TRAIL:]
    )


def dependents(rows: Sequence[Row], mine: str) -> tuple[Dependent, ...]:
    """Read which versions of other lines require which version of line `mine`.

    Raises:
        RunError: LedgerInvalid.
    """
    try:
        return tuple(
            Dependent(line, version, version_of(needs))
            for line, version, requires in rows
            for required, needs in json.loads(requires)
            if required == mine
        )
    except (ValueError, TypeError) as error:
        raise RunError(Reason.LEDGER_INVALID, "the ledger holds requirements that cannot be read") from error


def astray(rows: Sequence[Row], applied: Sequence[Applied]) -> Iterator[tuple[str, bool]]:
    """Yield the versions of which the history says otherwise than the table of what is applied, with what it says.

    Args:
        rows: of the history: canonical version, numbers of the entries that applied and that undid it last.
        applied: of the table.
    """
    past = {str(canonical) for canonical, came, went in rows if int(came) > int(went)}
    present = {each.version.canonical for each in applied}
    return ((each, each in past) for each in sorted(past ^ present))
