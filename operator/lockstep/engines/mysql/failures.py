"""What it means that a migration failed, and where in its text. Pure."""

from typing import Final, TypeAlias

from msgspec import Struct

from lockstep.api.reasons import Reason
from lockstep.engines.base import Action, RunError
from lockstep.engines.lexing import Statement
from lockstep.engines.mysql.channel import SqlError, StatementTimeoutError, StoppedError
from lockstep.engines.mysql.errors import INTERRUPTED, TIMED_OUT, TOO_LARGE
from lockstep.planning.result import ErrorDetail

BEHIND: Final = (
    "; the statements before it have taken effect, so the line is Partial: correct it from here on, and the next run "
    "goes on here"
)
DOUBTFUL: Final = (
    "nobody can tell whether it took effect: look, then say so with spec.repair: StatementApplied or "
    "StatementNotApplied"
)


Ended: TypeAlias = SqlError | StoppedError | StatementTimeoutError
"""How a statement ends that does not do what it should."""


class Place(Struct, frozen=True):
    """One statement of one step; none: the step's end."""

    action: Action
    part: Statement | None

    def detail(self, sqlstate: str | None = None, line: int | None = None) -> ErrorDetail:
        """Return the place; `line` is counted in the statement."""
        version = self.action.migration.version
        if self.part is None:
            return ErrorDetail(version, None, None, sqlstate)
        return ErrorDetail(version, self.part.number, self.part.line + (line or 1) - 1, sqlstate)

    def words(self, line: int | None = None) -> str:
        """Return the place in words."""
        detail = self.detail(None, line)
        if detail.statement is None:
            return f"{self.action.label}, at its end"
        return f"{self.action.label}, statement {detail.statement}, line {detail.line}"


class Failure(Struct, frozen=True):
    """One error of the server, in one step."""

    error: SqlError
    place: Place
    left: bool = False
    """Whether statements before it have taken effect."""

    @property
    def detail(self) -> ErrorDetail:
        """Where it is."""
        return self.place.detail(self.error.sqlstate, self.error.line)

    @property
    def words(self) -> str:
        """Where it is, and what the server says."""
        return f"{self.place.words(self.error.line)}: {_said(self.error)}"

    def explain(self) -> RunError:
        """Return how the run ends."""
        behind = BEHIND if self.left else ""
        number = self.error.number
        if number == INTERRUPTED:
            text = f"{self.place.words()}: somebody cancelled it on the server{behind}"
            return RunError(Reason.INTERRUPTED, text, error=self.detail)
        if number in TIMED_OUT:
            text = f"{self.words}: a time limit of the SQL's own ended it{behind}"
            return RunError(Reason.STATEMENT_TIMEOUT, text, error=self.detail)
        if number in TOO_LARGE:
            text = f"{self.words}: raise max_allowed_packet on the server, or cut the statement{behind}"
            return RunError(Reason.STATEMENT_REFUSED, text, error=self.detail)
        return RunError(Reason.STATEMENT_FAILED, f"{self.words}{behind}", error=self.detail)

    def gave_up(self, tries: int, blockers: str) -> RunError:
        """Return how the run ends that has met a lock again and again."""
        behind = BEHIND if self.left else ""
        text = f"{self.words}: tried {tries} time(s){blockers}{behind}"
        return RunError(Reason.LOCK_TIMEOUT, text, error=self.detail)


def _said(error: SqlError) -> str:
    state = f"SQLSTATE {error.sqlstate}, " if error.sqlstate else ""
    return f"{state}{error.text}"


def how(error: Ended) -> str:
    """Return how a statement ended of which something may be left."""
    if isinstance(error, SqlError):
        return f"it failed ({_said(error)})"
    if isinstance(error, StatementTimeoutError):
        return "it was cancelled when it had taken longer than statementTimeout"
    return "it was cancelled when the run had to stop"


def doubtful(place: Place, why: str, sqlstate: str | None = None) -> RunError:
    """Return how a run ends that leaves a statement in doubt."""
    return RunError(Reason.PARTIAL, f"{place.words()}: {why}; {DOUBTFUL}", error=place.detail(sqlstate))


def timed_out(place: Place, milliseconds: int, *, left: bool) -> RunError:
    """Return how a run ends whose statement took longer than it may."""
    text = f"{place.words()}: it took longer than statementTimeout ({milliseconds} ms){BEHIND if left else ''}"
    return RunError(Reason.STATEMENT_TIMEOUT, text, error=place.detail())


def stopped(place: Place, reason: Reason, deadline_ms: int, *, left: bool) -> RunError:
    """Return why the run ends before its plan does."""
    label = place.action.label
    rest = (
        f"its statements before {place.part.number} have taken effect, the next run goes on there"
        if left and place.part is not None
        else "nothing of that migration is left"
    )
    if reason is Reason.INTERRUPTED:
        text = f"the run was asked to stop at {label}; {rest}"
    else:
        text = f"the run's deadline ({deadline_ms} ms) came in {label}; {rest}"
    return RunError(reason, text, error=ErrorDetail(place.action.migration.version))


def changed_before(place: Place) -> RunError:
    """Return the error of a text that no longer begins with what has been run of it."""
    number = place.part.number if place.part is not None else 0
    return RunError(
        Reason.PARTIAL,
        f"{place.action.label} ran by half, and its text has changed at statement {number}, which has taken effect: "
        "let the text begin with what has run, or settle the whole version with spec.repair: MarkApplied or "
        "MarkNotApplied",
        error=place.detail(),
    )
