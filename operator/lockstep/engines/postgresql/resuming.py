"""Where a journaled migration goes on, and what keeps it from going on. Pure."""

from collections.abc import Sequence

from msgspec import Struct

from lockstep.api.reasons import Reason
from lockstep.engines.base import Action, RunError
from lockstep.engines.postgresql.messages import Row
from lockstep.engines.postgresql.statements import SqlScript
from lockstep.planning.result import ErrorDetail

FINISHED = "finished"
STARTED = "started"
UNKNOWN = "unknown"


class JournalRow(Struct, frozen=True):
    """What the journal says of one statement."""

    statement: int
    """From 1."""
    digest: str
    state: str
    note: str | None
    epoch: int


class Resumption(Struct, frozen=True):
    """Where to go on."""

    done: tuple[JournalRow, ...] = ()
    """The statements that are committed: the first of the migration."""
    interrupted: JournalRow | None = None
    """The one behind them, if it was begun."""
    changed: int | None = None
    """The first of those that are committed whose text is another now, from 1."""


def read_rows(rows: Sequence[Row]) -> dict[tuple[str, str], list[JournalRow]]:
    """Read a line's journal: the rows of each step and direction, in their order."""
    found: dict[tuple[str, str], list[JournalRow]] = {}
    for step, direction, statement, digest, state, note, epoch in rows:
        row = JournalRow(int(statement or 0), digest or "", state or "", note, int(epoch or 0))
        found.setdefault((step or "", direction or ""), []).append(row)
    return found


def resume(rows: Sequence[JournalRow], script: SqlScript) -> Resumption:
    """Hold what is committed against the text of now."""
    done = tuple(row for row in rows if row.state == FINISHED)
    interrupted = next((row for row in rows if row.state != FINISHED), None)
    changed = next((row.statement for row in done if row.digest != digest_of(script, row.statement)), None)
    return Resumption(done, interrupted, changed)


def digest_of(script: SqlScript, number: int) -> str | None:
    """Return the digest of a statement; None if the text has no such statement any more."""
    return script.digest(script.parts[number - 1]) if 0 < number <= len(script.parts) else None


def half(done: int, total: int, number: int, left: str = "") -> str:
    """Return what is to be said of a migration that stops at a statement, to append to a message.

    Args:
        done: how many statements are committed.
        total: how many it has.
        number: the first that may be corrected.
        left: what is to be said of what this one has left.
    """
    if done == 0:
        return left or ("; nothing of it is left" if total == 1 else f"; none of its {total} statements is done")
    return (
        f"; {done} of its {total} statements are done and stay, so the line is Partial: correct the text "
        f"from statement {number} on, or finish or undo it by hand and say so with spec.repair: MarkApplied or "
        f"MarkNotApplied{left}"
    )


def interrupted_at(done: int, total: int) -> str:
    """Return what is to be said of a migration that a later run goes on with."""
    if done == 0:
        return "none of its statements is done"
    return f"{done} of its {total} statements are done; the next run goes on behind them"


def refuse_changed(action: Action, number: int) -> RunError:
    """Return the error of a statement that is committed and whose text is another now."""
    return _partial(
        action,
        number,
        f"statement {number} is committed already and its text has changed (or is gone): what has run does not change; "
        "restore it and correct what comes after, or settle the version with spec.repair: MarkApplied or "
        "MarkNotApplied",
    )


def refuse_lost(action: Action, number: int) -> RunError:
    """Return the error of a temporary object that has ended with the session of an earlier run."""
    return _partial(
        action,
        number,
        f"statement {number} made what ends with its session (a temporary table, a cursor, a prepared statement), and "
        "that session is gone: finish or undo it by hand and say so with spec.repair: MarkApplied or MarkNotApplied",
    )


def refuse_unknown(action: Action, number: int, why: str) -> RunError:
    """Return the error of a statement of which nobody can tell whether it took effect."""
    return _partial(
        action,
        number,
        f"nobody can tell whether statement {number} took effect ({why}): look, then say so with spec.repair: "
        "StatementApplied or StatementNotApplied, or settle the version with MarkApplied or MarkNotApplied",
    )


def _partial(action: Action, number: int, message: str) -> RunError:
    detail = ErrorDetail(action.migration.version, number)
    return RunError(Reason.PARTIAL, f"{action.label} ran by half: {message}", error=detail)
