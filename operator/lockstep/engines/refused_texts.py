"""Why a text is not run, in the same words for every dialect. Pure."""

from collections.abc import Callable, Iterable, Sequence

from lockstep.api.reasons import Reason
from lockstep.engines.base import Action, RunError
from lockstep.engines.lexing import Statement
from lockstep.planning.result import ErrorDetail


def refuse(action: Action, message: str, at: tuple[int, int], number: int | None = None) -> RunError:
    """Return how a run ends that was given a text which must not run.

    Args:
        action: the step whose text it is.
        message: why, and what to do.
        at: line and column, from 1.
        number: of the statement, from 1; None: the text has none there.
    """
    migration = action.migration
    line, column = at
    place = f"line {line}, column {column}" if number is None else f"statement {number}, line {line}, column {column}"
    return RunError(
        Reason.STATEMENT_REFUSED,
        f"{action.label}, {place}: {message}",
        error=ErrorDetail(migration.version or migration.name, number, line),
    )


def more_of_it(first: Statement, behind: Iterable[Statement], is_control: Callable[[tuple[str, ...]], object]) -> str:
    """Return where else a text has what is refused, so that all of it is taken out at once; nothing: nowhere.

    Args:
        first: what is refused.
        behind: what else is, behind it.
        is_control: tells by its words whether a statement is transaction control: that is taken out alike.
    """
    same, others = set[int](), set[int]()
    for part in behind:
        alike = is_control(first.words) and is_control(part.words)
        (same if alike else others).add(part.line)
    said = f", and those in line {few(sorted(same))} too" if same else ""
    return said + (f"; more is refused in line {few(sorted(others))}" if others else "")


def few(things: Sequence[object], most: int = 5) -> str:
    """Return the first of some names or numbers, and whether there are more."""
    return ", ".join(map(str, things[:most])) + (", ..." if len(things) > most else "")
