"""What it means that a migration failed, and where in its text. Pure."""

from typing import Final

from msgspec import Struct

from lockstep.api.reasons import Reason
from lockstep.engines.base import Action, RunError
from lockstep.engines.postgresql.copying import without_data
from lockstep.engines.postgresql.errors import NOT_IN_ENCODING, UNENCODABLE
from lockstep.engines.postgresql.lexer import line_at
from lockstep.engines.postgresql.messages import SqlError
from lockstep.engines.postgresql.statements import SqlScript
from lockstep.planning.result import ErrorDetail

PASSING: Final = frozenset({"55P03", "40P01", "40001"})
"""lock_not_available, deadlock_detected, serialization_failure."""
CANCELLED: Final = "57014"
"""query_canceled: by a time limit or by somebody."""
NOT_IN_TRANSACTION: Final = frozenset({"25001", "2D000"})
"""active_sql_transaction, invalid_transaction_termination: it runs outside of a transaction block only."""
_UNSAFE_ENUM: Final = "55P04"
_INVALID_SETTING: Final = "22023"
"""invalid_parameter_value: what it quotes is of a SET, as a rule."""
_FENCES: Final = frozenset({("23502", "history", "epoch"), ("23502", "journal", "epoch")})


_CHARACTERS: Final = 400
"""Of what the server says: what is done and what to do comes behind it, and a result has room for 800."""


class Failure(Struct, frozen=True):
    """One error of the server, in one step."""

    error: SqlError
    action: Action
    script: SqlScript
    index: int
    """Which statement, from 0; below it is how the transaction begins, above the last how it ends."""
    left: str = ""
    """What is to be said of the statements before it, where they stay."""

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
        elif self._in_data and part.data is not None and self.error.data_line is not None:
            line = line_at(self.script.text, part.data[0]) + self.error.data_line - 1
        return ErrorDetail(version, part.number, line, state)

    @property
    def _in_data(self) -> bool:
        """Whether it is about what a COPY copies."""
        return 0 <= self.index < len(self.script.parts) and self.script.parts[self.index].data is not None

    @property
    def place(self) -> str:
        """The place in words."""
        detail = self.detail
        if detail.statement is None:
            return f"{self.action.label}, at its end"
        return f"{self.action.label}, statement {detail.statement}, line {detail.line}"

    @property
    def words(self) -> str:
        """What the server said, without what it quotes of rows: of a COPY's data, or a value that was converted."""
        error, text = self.error, self.error.text
        if self._in_data:
            text = without_data(error.primary, error.names)
        elif error.sqlstate.startswith("22") and error.sqlstate != _INVALID_SETTING and error.position is None:
            # The server points to what stands in the SQL itself; this may be a row's.
            hint = "" if error.hint is None else f" (hint: {error.hint})"
            text = f"{without_data(error.primary, error.names)}{hint}"
        return f"SQLSTATE {error.sqlstate}: {_cut(text)}"

    def gave_up(self, tries: int, blockers: str) -> RunError:
        """Return how a run ends that has met a lock again and again."""
        text = (
            f"{self.place}: tried {tries} time(s), SQLSTATE {self.error.sqlstate}: {_cut(self.error.primary)}"
            f"{blockers}{self.left}"
        )
        return RunError(Reason.LOCK_TIMEOUT, text, error=self.detail)

    def explain(self, line: str, timed_out: int | None) -> RunError:
        """Return how the run ends; `timed_out` is the statementTimeout that may have ended it, in milliseconds."""
        if self.error.sqlstate == CANCELLED:
            return self._cancelled(timed_out)
        if self.index < 0:
            why = f"it could not begin ({self.words})"
            if self.is_fenced:
                why = f"this run no longer holds line {line!r} (another has begun): nothing of it was run{self.left}"
            return RunError(Reason.FENCED, f"{self.action.label}: {why}", error=self.detail)
        # The statement behind the last is what was deferred: SET CONSTRAINTS ALL IMMEDIATE.
        if self.index <= len(self.script.parts):
            text = f"{self.place}: {self.words}{self._advice()}{self.left}"
            return RunError(Reason.STATEMENT_FAILED, text, error=self.detail)
        if self.is_fenced:
            return RunError(
                Reason.FENCED,
                f"{self.place}: this run no longer holds line {line!r} (another has begun, or the SQL has ended the "
                f"transaction): nothing of it was committed{self.left}",
                error=self.detail,
            )
        if self.error.sqlstate == UNENCODABLE:
            text = f"{self.place}: {NOT_IN_ENCODING} ({self.words}){self.left}"
            return RunError(Reason.STATEMENT_REFUSED, text, error=self.detail)
        return RunError(
            Reason.STATEMENT_REFUSED,
            f"{self.place}: after its SQL the ledger could not be written ({self.words}): a migration must leave its "
            f"transaction and Lockstep's schema alone{self.left}",
            error=self.detail,
        )

    @property
    def is_fenced(self) -> bool:
        """Whether another run holds the line."""
        return (self.error.sqlstate, self.error.table, self.error.column) in _FENCES

    @property
    def is_of_the_block(self) -> bool:
        """Whether one of its statements runs outside of a transaction block only."""
        return self.error.sqlstate in NOT_IN_TRANSACTION and 0 <= self.index < len(self.script.parts)

    def _cancelled(self, timed_out: int | None) -> RunError:
        # One SQLSTATE for all that cancels; a server that does not speak English does not tell them apart.
        by_somebody = "user request" in self.error.primary
        if "statement timeout" in self.error.primary and "statement_timeout" in self.script.text.lower():
            text = f"{self.place}: it took longer than the statement_timeout that its SQL sets{self.left}"
            return RunError(Reason.STATEMENT_TIMEOUT, text, error=self.detail)
        if timed_out is not None and not by_somebody:
            text = f"{self.place}: it took longer than statementTimeout ({timed_out} ms){self.left}"
            return RunError(Reason.STATEMENT_TIMEOUT, text, error=self.detail)
        text = f"{self.place}: somebody cancelled it on the server{self.left}"
        return RunError(Reason.INTERRUPTED, text, error=self.detail)

    def _advice(self) -> str:
        if self.error.sqlstate == _UNSAFE_ENUM and not self.script.journaled:
            return (
                "; the new value can be used once it is committed: add it in a version of its own before this one, or "
                "set spec.transaction: Never"
            )
        if self.is_of_the_block and not self.script.journaled:
            return (
                "; it cannot run in a transaction block: set spec.transaction: Never, and its statements are committed "
                "one by one"
            )
        return ""


def _cut(text: str) -> str:
    return text if len(text) <= _CHARACTERS else f"{text[: _CHARACTERS - 1]}…"
