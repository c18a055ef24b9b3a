"""What it means that a migration failed, and where in its text. Pure."""

from dataclasses import dataclass
from typing import Final

from lockstep.api.reasons import Reason
from lockstep.engines.base import Action, RunError
from lockstep.engines.postgresql.channel import SqlError
from lockstep.engines.postgresql.lexer import line_at
from lockstep.engines.postgresql.statements import SqlScript
from lockstep.planning.result import ErrorDetail

PASSING: Final = frozenset({"55P03", "40P01", "40001"})
"""lock_not_available, deadlock_detected, serialization_failure."""
CANCELLED: Final = "57014"
"""query_canceled: by a time limit or by somebody."""
_NOT_IN_TRANSACTION: Final = frozenset({"25001", "2D000"})


@dataclass(frozen=True, slots=True)
class Failure:
    """One error of the server, in one step."""

    error: SqlError
    action: Action
    script: SqlScript
    index: int
    """Which statement, from 0; below it is how the transaction begins, above the last how it ends."""

    @property
    def detail(self) -> ErrorDetail:
        """The place: the statement, and the line that the server points to, else the statement's first."""
        version, state = self.action.migration.version, self.error.sqlstate
        if not 0 <= self.index < len(self.script.parts):
            return ErrorDetail(version, None, None, state)
        part = self.script.parts[self.index]
        line = part.line
        if self.error.position is not None:
            line = line_at(self.script.text, min(part.end, part.start + self.error.position - 1))
        return ErrorDetail(version, part.number, line, state)

    @property
    def place(self) -> str:
        """The place in words."""
        detail = self.detail
        if detail.statement is None:
            return f"{self.action.label}, at its end"
        return f"{self.action.label}, statement {detail.statement}, line {detail.line}"

    def explain(self, line: str, timed_out: int | None) -> RunError:
        """Return how the run ends; `timed_out` is the statementTimeout that may have ended it, in milliseconds."""
        words = f"SQLSTATE {self.error.sqlstate}: {self.error.text}"
        if self.error.sqlstate == CANCELLED:
            return self._cancelled(timed_out)
        if self.index < 0:
            return RunError(Reason.FENCED, f"{self.action.label}: it could not begin ({words})", error=self.detail)
        # The statement behind the last is what was deferred: SET CONSTRAINTS ALL IMMEDIATE.
        if self.index <= len(self.script.parts):
            return RunError(Reason.STATEMENT_FAILED, f"{self.place}: {words}{self._advice()}", error=self.detail)
        if (self.error.sqlstate, self.error.table, self.error.column) == ("23502", "history", "epoch"):
            return RunError(
                Reason.FENCED,
                f"{self.place}: this run no longer holds line {line!r} (another has begun, or the SQL has ended the "
                "transaction): nothing of it was committed",
                error=self.detail,
            )
        return RunError(
            Reason.STATEMENT_REFUSED,
            f"{self.place}: after its SQL the ledger could not be written ({words}): a migration must leave its "
            "transaction and Lockstep's schema alone",
            error=self.detail,
        )

    def _cancelled(self, timed_out: int | None) -> RunError:
        if timed_out is not None:
            text = f"{self.place}: it took longer than statementTimeout ({timed_out} ms)"
            return RunError(Reason.STATEMENT_TIMEOUT, text, error=self.detail)
        return RunError(Reason.INTERRUPTED, f"{self.place}: somebody cancelled it on the server", error=self.detail)

    def _advice(self) -> str:
        if self.error.sqlstate in _NOT_IN_TRANSACTION:
            return "; it cannot run in a transaction block: such statements are not supported yet"
        return ""
