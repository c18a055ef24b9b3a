"""A migration whose statements are committed one by one, each with its row in the journal.

What can run in a transaction is committed together with its row. What cannot runs alone between two rows, `started`
and `finished`; what became of it when it did not end well is settled from the catalog before it runs again. Between
its statements the session stays as the SQL has left it; Lockstep's own statements set it back for their transaction
only.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from lockstep.api.reasons import Reason
from lockstep.engines.base import Action, ConnectionLostError, Log, Recorded, RunError
from lockstep.engines.control import Control
from lockstep.engines.entries import Entry
from lockstep.engines.lexing import Statement
from lockstep.engines.patience import Patience
from lockstep.engines.postgresql import resuming, settling
from lockstep.engines.postgresql.blockers import Blockers
from lockstep.engines.postgresql.channel import Channel
from lockstep.engines.postgresql.failures import NOT_IN_TRANSACTION, Failure
from lockstep.engines.postgresql.frame import BEGIN, COMMIT, IMMEDIATE, RELEASE, ROLLBACK, SAVEPOINT, Frame
from lockstep.engines.postgresql.journal_session import JournalSession
from lockstep.engines.postgresql.messages import Command, Notice, Reply, SqlError, StoppedError
from lockstep.engines.postgresql.notices import Account
from lockstep.engines.postgresql.records import Recorder
from lockstep.engines.postgresql.resuming import FINISHED, STARTED, UNKNOWN, JournalRow, Resumption
from lockstep.engines.postgresql.settler import NO_RIGHT, Settler
from lockstep.engines.postgresql.settling import Facts, Settlement, Verdict
from lockstep.engines.postgresql.statements import SqlScript
from lockstep.engines.postgresql.subjects import Kind, Subject, is_setting, is_temporary
from lockstep.planning.result import ErrorDetail

FIRST_LOOK: Final = 1.0
NEXT_LOOK: Final = 15.0
"""Seconds between two looks at who stands in the way of a statement that waits as long as it takes."""
_MAY_COMMIT: Final = frozenset({"CALL", "DO"})
_MAY_REPEAT: Final = frozenset({"CLUSTER", "REINDEX", "VACUUM"})


class Tools(Struct, frozen=True):
    """What the steps of one session have in common."""

    channel: Channel
    recorder: Recorder
    frame: Frame
    user: str
    """The role that connected."""
    epoch: int
    control: Control
    blockers: Blockers
    patience: Patience
    explain: Callable[[Failure, int], Exception]
    """explain(failure, statement_timeout): what an error of the server means."""
    stopped: Callable[[Action, str], RunError]
    """stopped(action, what is left): why the run ends before its plan does."""
    log: Log


class JournaledStep:
    """One step, run statement by statement."""

    def __init__(
        self, tools: Tools, action: Action, script: SqlScript, entry: Entry, waiting: Callable[[str], None]
    ) -> None:
        self._tools = tools
        self._channel = tools.channel
        self._recorder = tools.recorder
        self._action = action
        self._script = replace(script, journaled=True)
        self._entry = entry
        self._waiting = waiting
        self._session = JournalSession(tools.channel, tools.frame, tools.user)
        self._settler = Settler(tools.channel, self._session)
        self.account = Account(tools.log, action.migration.version, script.statements)
        self._done = 0
        """How many statements are committed."""
        self._clean = False
        """Whether nothing is left of the statement that did not end well."""
        self._left = ""
        """What is to be said of what could not be cleaned up."""

    def run(self, rows: Sequence[JournalRow]) -> Recorded:
        """Run what is left of it, and record it.

        Args:
            rows: what the journal has of it.

        Raises:
            RunError: if it failed, or a person must look: what is committed stays.
            ConnectionLostError: if it is not known what is there; the next session settles it.
        """
        try:
            return self._run(rows)
        except RunError as error:
            if (overtaken := self._overtaken()) is not None:
                # What another run has done meanwhile is why it failed.
                raise overtaken from error
            if self._done == 0 and self._clean:
                # Nothing of it was done and nothing is left: it is not by half.
                with suppress(RunError, ConnectionLostError):
                    self._commit([self._recorder.forget(self._action)])
            raise
        finally:
            self._channel.on_notice = None
            self.account.close()
            with suppress(ConnectionLostError):
                self._channel.run(self._tools.frame.reset, stoppable=False)

    def _run(self, rows: Sequence[JournalRow]) -> Recorded:
        self._session.begin()
        found = resuming.resume(rows, self._script)
        versioned = self._action.migration.version is not None
        if found.changed is not None and versioned:
            raise resuming.refuse_changed(self._action, found.changed)
        if found.changed is None:
            self._done = len(found.done)
            self._restore(found)
        if found.interrupted is not None and self._settle_interrupted(found.interrupted):
            self._done += 1
        if found.changed is not None:
            # A repeatable migration may run at any time: one that has changed begins anew.
            self._commit([self._recorder.forget(self._action)])
            self._done = 0
        while self._done < self._script.statements:
            self._check_stop()
            recorded = self._persist(lambda: self._one(self._script.parts[self._done]))
            self._done += 1
            if recorded is not None:
                return recorded
        return self._recorded(self._commit(self._record()))

    def _check_stop(self) -> None:
        if self._tools.control.stop is not None:
            raise self._stopped()

    def _stopped(self) -> RunError:
        left = resuming.interrupted_at(self._done, self._script.statements)
        return self._tools.stopped(self._action, f"{left}{self._tools.blockers.words()}")

    def _persist(self, attempt: Callable[[], Recorded | None]) -> Recorded | None:
        return self._tools.patience.persist(attempt, self._action.migration.version, self._waiting)

    def _restore(self, found: Resumption) -> None:
        """Give a new session what the statements of an earlier one have set in theirs."""
        if all(row.epoch == self._tools.epoch for row in found.done):
            return
        # So that the SQL's own time limits can be told from these.
        frame = self._tools.frame
        self._session.limit(frame.lock_timeout(self._action.migration), frame.statement_timeout())
        for row in found.done:
            part = self._script.parts[row.statement - 1]
            sql = self._script.sql(part)
            if is_temporary(sql) and len(found.done) < self._script.statements:
                raise resuming.refuse_lost(self._action, row.statement)
            if is_setting(sql):
                self._say_again(part)
        self._session.look()

    def _say_again(self, part: Statement) -> None:
        try:
            self._send([self._command(part)], part, 0)
        except SqlError as error:
            raise self._explain(error, part.number, 0) from error
        except StoppedError:
            raise self._stopped() from None

    def _one(self, part: Statement) -> Recorded | None:
        """Run one statement; return what was recorded if it was the last."""
        subject = self._script.subject(part)
        if subject is None:
            try:
                return self._within(part)
            except _NotInTransactionError:
                kind = Kind.AGAIN if part.words[0] in _MAY_REPEAT else Kind.OPAQUE
                subject = Subject(kind, part.words[0])
        self._alone(part, subject)
        if part.number == self._script.statements:
            return self._recorded(self._commit(self._record()))
        self._commit([self._row(part.number, FINISHED)])
        return None

    def _within(self, part: Statement) -> Recorded | None:
        """Run a statement in one transaction with its row or, if it is the last, with the step's record."""
        frame, recorder = self._tools.frame, self._recorder
        is_last = part.number == self._script.statements
        lock_timeout, statement_timeout = frame.lock_timeout(self._action.migration), frame.statement_timeout()
        before = [BEGIN, SAVEPOINT, *self._session.limits(lock_timeout, statement_timeout)]
        what = self._record() if is_last else [self._row(part.number, FINISHED)]
        after = [
            IMMEDIATE,
            RELEASE,
            *self._session.set_aside(),
            recorder.begin_unplanned(self._entry.before),
            *what,
            COMMIT,
        ]
        at = len(before)
        try:
            replies = self._send([*before, self._command(part), *after], part, at, lock_timeout)
        except SqlError as error:
            self._channel.run([ROLLBACK], stoppable=False)
            if error.index == at and error.sqlstate in NOT_IN_TRANSACTION:
                raise _NotInTransactionError from error
            number = 0 if error.index < at else part.number
            if error.index > at + 1:
                number = self._script.statements + 2
            raise self._explain(error, number, statement_timeout) from error
        except StoppedError:
            self._channel.run([ROLLBACK], stoppable=False)
            raise self._stopped() from None
        self._session.took(replies[2:at])
        self._session.looked(replies[at + 3])
        self.account.ran([(part.number, replies[at])], always=True)
        return self._recorded(replies) if is_last else None

    def _alone(self, part: Statement, subject: Subject) -> None:
        """Run a statement in no transaction of ours; its row says `started` before."""
        frame = self._tools.frame
        lock_timeout = 0 if subject.concurrent else frame.lock_timeout(self._action.migration)
        statement_timeout = frame.statement_timeout()
        self._session.limit(lock_timeout, statement_timeout)
        facts: Facts | None = None
        try:
            facts = self._settler.note(subject)
            self._commit([self._row(part.number, STARTED, facts.encode())])
            self._clean = False
            (reply,) = self._send([self._command(part)], part, 0, lock_timeout)
        except SqlError as error:
            if facts is not None and self._has_taken_effect(facts, part, f"SQLSTATE {error.sqlstate}: {error.primary}"):
                return
            raise self._explain(error, part.number, statement_timeout) from error
        except StoppedError:
            # Named before the cleaning up, which may be long.
            stopped = self._stopped()
            if facts is not None and self._has_taken_effect(facts, part, "the run had to stop"):
                return
            raise stopped from None
        self.account.ran([(part.number, reply)], always=True)
        if not self._settler.is_there(facts):
            self._has_taken_effect(facts, part, "")
            raise RunError(
                Reason.STATEMENT_FAILED,
                f"{self._action.label}, statement {part.number}, line {part.line}: {settling.not_there(facts)}"
                f"{self._half(part.number)}",
                error=ErrorDetail(self._action.migration.version, part.number, part.line),
            )

    def _has_taken_effect(self, facts: Facts, part: Statement, why: str) -> bool:
        """Settle a statement that has just failed, and clean up what it has left.

        Raises:
            RunError: Partial, if nobody can tell.
        """
        if facts.kind is Kind.OPAQUE:
            if part.words[0] in _MAY_COMMIT:
                self._doubt(part.number, f"{facts.what} may have committed a part of its work: {why}")
            # One statement is one transaction: its error has taken all of it back.
            self._clean = True
            return False
        try:
            settled = self._settler.failed(facts)
        except SqlError as error:
            # What led here says more, and the next run settles it.
            self._left = "; the next run drops what it has left"
            self.account.left_behind(part.number, error.sqlstate)
            return False
        self._tell_left(part.number, settled)
        self._clean = True
        return settled.verdict is Verdict.DONE

    def _tell_left(self, number: int, settled: Settlement) -> None:
        if names := [index.sql for index in settled.left]:
            self._left = f"; {', '.join(names)} is left, which the role may not drop"
            self.account.left_behind(number, NO_RIGHT, names)

    def _settle_interrupted(self, row: JournalRow) -> bool:
        """Settle the statement at which an earlier session ended; tell whether it has taken effect."""
        facts = settling.decode(row.note)
        if row.state == UNKNOWN:
            raise resuming.refuse_unknown(self._action, row.statement, row.note or "")
        if facts is None:
            # A person has said that it has not.
            return False
        found: list[Settlement] = []

        def attempt() -> None:
            found.append(self._settle(facts, row.statement))

        self._persist(attempt)
        settled = found[-1]
        self._tools.log(
            "settled",
            version=self._action.migration.version,
            statement=row.statement,
            what=facts.what,
            verdict=settled.verdict.value,
            dropped=[index.name for index in settled.drop if index not in settled.left] or None,
        )
        self._tell_left(row.statement, settled)
        if settled.verdict is not Verdict.DONE:
            return False
        self._commit([self._row(row.statement, FINISHED, digest=row.digest)])
        if row.digest != resuming.digest_of(self._script, row.statement):
            raise resuming.refuse_changed(self._action, row.statement)
        return True

    def _settle(self, facts: Facts, number: int) -> Settlement:
        statement_timeout = self._tools.frame.statement_timeout()
        try:
            settled = self._settler.interrupted(facts, statement_timeout)
        except SqlError as error:
            raise self._explain(error, min(number, self._script.statements), statement_timeout) from error
        except StoppedError:
            raise self._stopped() from None
        # A repeatable migration may run at any time.
        if settled.verdict is Verdict.UNKNOWN and self._action.migration.version is not None:
            self._doubt(number, f"{facts.what}: its session was lost, and the catalog does not show how far it came")
        return settled

    def _doubt(self, number: int, why: str) -> None:
        """Write down that nobody can tell whether a statement took effect.

        Raises:
            RunError: Partial.
        """
        if self._action.migration.version is None:
            return
        self._commit([self._row(number, UNKNOWN, why)])
        raise resuming.refuse_unknown(self._action, number, why)

    def _command(self, part: Statement) -> Command:
        return Command(self._script.sql(part), keep=False, data=self._script.data(part))

    def _send(self, commands: list[Command], part: Statement, at: int, lock_timeout: int = 0) -> list[Reply]:
        """Run a batch with one statement of the migration in it, and listen to what is said of that one."""

        def hear(number: int, notice: Notice) -> None:
            if number == at:
                self.account.notice(part.number, notice)

        def look() -> float:
            blockers = self._tools.blockers
            blockers.look()
            if words := blockers.words():
                self._waiting(f"{self._action.label}, statement {part.number} waits{words}")
            return NEXT_LOOK

        self._channel.on_notice = hear
        # A look at who blocks is only possible while it blocks.
        tick = min(FIRST_LOOK, lock_timeout / 2000) if lock_timeout else FIRST_LOOK
        try:
            return self._channel.run(commands, tick=tick, on_tick=look)
        finally:
            self._channel.on_notice = None

    def _record(self) -> list[Command]:
        return [self._recorder.forget(self._action), self._recorder.unplanned(self._action, self._entry)]

    def _row(self, number: int, state: str, note: str | None = None, digest: str | None = None) -> Command:
        found = digest or resuming.digest_of(self._script, number) or ""
        return self._recorder.journal(self._action, number, found, state, note)

    def _recorded(self, replies: Sequence[Reply]) -> Recorded:
        return Recorded(self._entry.mark, replies[-2].rows[0][0] or "")

    def _commit(self, commands: Sequence[Command]) -> list[Reply]:
        try:
            return self._session.commit([self._recorder.begin_unplanned(self._entry.before), *commands])
        except SqlError as error:
            raise self._explain(error, self._script.statements + 2, 0) from error

    def _overtaken(self) -> RunError | None:
        """Return how a run ends whose line another one holds; None: it is this one's, for all that can be seen."""
        try:
            self._session.commit([self._recorder.begin_unplanned(self._entry.before)])
        except SqlError as error:
            left = f" behind statement {self._done}" if self._done else ""
            failure = Failure(error, self._action, self._script, -1, left)
            return failure.explain(self._recorder.line, None) if failure.is_fenced else None
        except ConnectionLostError:
            return None
        return None

    def _explain(self, error: SqlError, number: int, statement_timeout: int) -> Exception:
        """Return what an error means; `number` is the statement's, from 1, 0 before it, beyond the last behind it."""
        failure = Failure(error, self._action, self._script, number - 1, self._half(number))
        return self._tools.explain(failure, statement_timeout)

    def _half(self, number: int) -> str:
        return resuming.half(self._done, self._script.statements, max(1, min(number, self._done + 1)), self._left)


class _NotInTransactionError(Exception):
    """The server runs the statement outside of a transaction block only."""
