"""The ledger's rows as the planner's words, as far as every database has the same. Pure."""

from collections.abc import Sequence
from typing import Any, Final

from lockstep.engines.entries import version_of
from lockstep.planning.checksum import ABSENT
from lockstep.planning.plan import Applied, Direction, Partial, Ran, Repeated, Undone
from lockstep.planning.result import StepDone
from lockstep.planning.version import Version

Row = Sequence[Any]
"""Numbers may be texts, as PostgreSQL sends them."""
REPEATABLE_MARK: Final = "~"
"""Before the name of a repeatable migration where others have their version."""


UNMARKED: Final = "MarkNotApplied"
"""How the description of an entry begins by which a person has said that a version is not there."""


def step_key(name: str, canonical: str | None) -> str:
    """Return by what the journal knows a migration: its canonical version, or `~` and its name."""
    return f"{REPEATABLE_MARK}{name}" if canonical is None else canonical


def applied(rows: Sequence[Row]) -> tuple[Applied, ...]:
    """Read the applied versions.

    Raises:
        RunError: LedgerInvalid.
    """
    return tuple(
        Applied(version_of(version), name, up, down or ABSENT, irreversible, kind, int(sequence))
        for version, name, up, down, irreversible, kind, sequence in rows
    )


def repeated(rows: Sequence[Row]) -> tuple[Repeated, ...]:
    """Read the repeatable migrations as they are now."""
    return tuple(
        Repeated(name, up, down or ABSENT, kind, undone, int(sequence))
        for name, up, down, kind, undone, sequence in rows
    )


def ran(rows: Sequence[Row]) -> tuple[Ran, ...]:
    """Read the past runs of repeatable migrations."""
    return tuple(Ran(name, int(sequence), up, down or ABSENT, kind) for name, sequence, up, down, kind in rows)


def undone(rows: Sequence[Row]) -> tuple[Undone, ...]:
    """Read every version that was ever undone, by a down or by the word of a person, and when it had been applied.

    Args:
        rows: in the order of the history the entries that apply or undo a version (canonical version, number,
            direction, description) of at least those versions that were ever undone. What persons did has its action as
            the first word of the description.
    """
    found, since = [], dict[Version, int]()
    for canonical, sequence, direction, description in rows:
        version = version_of(canonical)
        is_gone = direction == Direction.DOWN.value or (
            direction == Direction.REPAIR.value and description.startswith(UNMARKED)
        )
        if not is_gone:
            # A version that is marked once more was there all the time.
            since.setdefault(version, int(sequence))
        elif version in since:
            found.append(Undone(version, since.pop(version), int(sequence)))
    return tuple(found)


def partial(rows: Sequence[Row], done: Sequence[Applied]) -> Partial | None:
    """Read the journal: which migration ran by half, and where it stopped."""
    if not rows:
        return None
    step, direction = str(rows[0][0]), str(rows[0][1])
    mine = [row for row in rows if row[0] == step]
    left = next((row for row in mine if row[3] != "finished"), None)
    statement = int(mine[-1][2]) + 1 if left is None else int(left[2])
    state = "started" if left is None else str(left[3])
    # Of a statement that was only begun the note is what settles it, and nothing for people.
    note = left[4] or "" if left is not None and state == "unknown" else ""
    if step.startswith(REPEATABLE_MARK):
        return Partial(step.removeprefix(REPEATABLE_MARK), None, direction, statement, state, note)
    version = version_of(step)
    name = next((each.name for each in done if each.version == version), step)
    return Partial(name, version, direction, statement, state, note)


def recent(rows: Sequence[Row]) -> tuple[StepDone, ...]:
    """Read the last entries of the history, oldest first."""
    return tuple(StepDone(name, version, direction, 0, at, kind) for name, version, direction, kind, at in rows[::-1])
