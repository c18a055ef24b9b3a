"""The ledger's rows as the planner's words. Pure."""

from collections.abc import Sequence

from lockstep.api.reasons import Reason
from lockstep.engines.base import RunError
from lockstep.engines.postgresql.channel import Reply, Row
from lockstep.planning.plan import Applied, Dependent, Partial, Ran, Repeated, Taken, Undone
from lockstep.planning.result import StepDone
from lockstep.planning.version import InvalidVersionError, Version

REPEATABLE_MARK = "~"
"""Before the name of a repeatable migration where others have their version."""


def step_key(name: str, canonical: str | None) -> str:
    """Return by what the journal knows a migration: its canonical version, or `~` and its name."""
    return f"{REPEATABLE_MARK}{name}" if canonical is None else canonical


def _version(text: str | None) -> Version:
    try:
        return Version.parse(text or "")
    except InvalidVersionError as error:
        raise RunError(Reason.LEDGER_INVALID, f"the ledger holds what is no version: {error}") from error


def applied(reply: Reply) -> tuple[Applied, ...]:
    """Read the applied versions.

    Raises:
        RunError: LedgerInvalid.
    """
    return tuple(
        Applied(_version(version), name or "", up or "", down or "-", irreversible, kind or "", int(sequence or 0))
        for version, name, up, down, irreversible, kind, sequence in reply.rows
    )


def repeated(reply: Reply) -> tuple[Repeated, ...]:
    """Read the repeatable migrations as they are now."""
    return tuple(
        Repeated(name or "", up or "", down or "-", kind or "", undone, int(sequence or 0))
        for name, up, down, kind, undone, sequence in reply.rows
    )


def ran(reply: Reply) -> tuple[Ran, ...]:
    """Read the past runs of repeatable migrations."""
    return tuple(
        Ran(name or "", int(sequence or 0), up or "", down or "-", kind or "")
        for name, sequence, up, down, kind in reply.rows
    )


def undone(reply: Reply) -> tuple[Undone, ...]:
    """Read which versions were undone."""
    return tuple(
        Undone(_version(version), int(applied or 0), int(sequence or 0)) for version, applied, sequence in reply.rows
    )


def dependents(reply: Reply) -> tuple[Dependent, ...]:
    """Read which versions of other lines require which version of this one."""
    return tuple(Dependent(line or "", version or "", _version(needs)) for line, version, needs in reply.rows)


def partial(reply: Reply, done: Sequence[Applied]) -> Partial | None:
    """Read the journal: which migration ran by half, and where it stopped."""
    if not reply.rows:
        return None
    step, direction = str(reply.rows[0][0]), str(reply.rows[0][1])
    mine = [row for row in reply.rows if row[0] == step]
    left = next((row for row in mine if row[3] != "finished"), None)
    statement = int(mine[-1][2] or 0) + 1 if left is None else int(left[2] or 0)
    state = "started" if left is None else str(left[3])
    # Of a statement that was only begun the note is what settles it, and nothing for people.
    note = left[4] or "" if left is not None and state == "unknown" else ""
    if step.startswith(REPEATABLE_MARK):
        return Partial(step.removeprefix(REPEATABLE_MARK), None, direction, statement, state, note)
    version = _version(step)
    name = next((each.name for each in done if each.version == version), step)
    return Partial(name, version, direction, statement, state, note)


def trail(found: Sequence[Row]) -> tuple[Taken, ...]:
    """Read the last steps that were taken, oldest first."""
    return tuple(
        Taken(direction or "", name or "", None if version is None else _version(version), up or "", down or "-")
        for direction, name, version, up, down in reversed(found)
    )


def recent(rows: Sequence[Row]) -> tuple[StepDone, ...]:
    """Read the last entries of the history, oldest first."""
    return tuple(
        StepDone(name or "", version, direction or "", 0, at or "", kind or "")
        for name, version, direction, kind, at in reversed(rows)
    )
