"""One migration in one transaction: begin, its SQL, then the fence and the record as the last words before COMMIT.

All of it goes out in one send where it is small. What its SQL does to the session (SET, SET ROLE, search_path,
temporary tables) ends with it: the record is written with everything reset, and the next migration starts clean.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from lockstep.api.reasons import Reason
from lockstep.engines.base import Action, Log, Recorded, RunError, Task
from lockstep.engines.control import Control
from lockstep.engines.postgresql.blockers import Blockers
from lockstep.engines.postgresql.channel import Channel, Command, Reply, SqlError, StoppedError
from lockstep.engines.postgresql.failures import CANCELLED, PASSING, Failure
from lockstep.engines.postgresql.ledger import Claim
from lockstep.engines.postgresql.records import Recorder, next_entry
from lockstep.engines.postgresql.statements import SqlScript
from lockstep.planning.plan import Direction
from lockstep.planning.result import ErrorDetail, LedgerMark
from lockstep.planning.wire import OrderedMigration, RepairOrder

TRIES: Final = 6
"""How often one migration is tried when it meets a lock, before the run gives way; a later run tries again."""
FIRST_PAUSE: Final = 0.3
LONGEST_PAUSE: Final = 5.0
GROUP_BYTES: Final = 64 * 1024
"""How much SQL goes out at once: less than a socket takes, so that a frozen runner leaves the server waiting for a
statement, where idle_in_transaction_session_timeout ends it, and not in the middle of one."""
GROUP_STATEMENTS: Final = 500


_NO_SUCH_PLAN: Final = "26000"


class Applier:
    """Applies migrations on one session."""

    def __init__(
        self,
        channel: Channel,
        claim: Claim,
        mark: LedgerMark,
        *,
        task: Task,
        settings: Sequence[Command],
        control: Control,
        blockers: Blockers,
        log: Log,
    ) -> None:
        self._channel = channel
        self._claim = claim
        self.mark = mark
        self._limits = task.order.limits
        self._control = control
        self._blockers = blockers
        self._log = log
        self._recorder = Recorder(channel, task.order.database.ledger_schema, claim, task.identity)
        self._reset = (
            # What is deferred fails here, with the migration's own rights, and not in the commit.
            Command("SET CONSTRAINTS ALL IMMEDIATE"),
            Command("RESET SESSION AUTHORIZATION"),
            Command("RESET ROLE"),
            Command("RESET ALL"),
            *settings,
        )

    def apply(self, action: Action, script: SqlScript, waiting: Callable[[str], None]) -> Recorded:
        """Run one step and record it, trying again for a while when it meets a lock.

        Raises:
            RunError: if it failed; nothing of it is left.
            ConnectionLostError: if it is not known whether it is there.
        """
        pause = FIRST_PAUSE
        gave_up: RunError | None = None
        blockers = ""
        for attempt in range(1, TRIES + 1):
            try:
                return self._try(action, script)
            except _PassingError as passing:
                # A look at them may have come too late this time.
                blockers = self._blockers.words() or blockers
                gave_up = _gave_up(passing.failure, attempt, blockers)
                if attempt == TRIES:
                    raise gave_up from passing
                version, sqlstate = action.migration.version, passing.failure.error.sqlstate
                self._log("retry", version=version, attempt=attempt, sqlstate=sqlstate)
                waiting(f"{passing.failure.error.primary}{blockers}")
                self._control.pause(pause * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
                pause = min(LONGEST_PAUSE, pause * 2)
            except RunError as stopped:
                # What it waited for until its deadline says more than the deadline.
                if gave_up is not None and stopped.reason is Reason.DEADLINE_EXCEEDED:
                    raise gave_up from stopped
                raise
        raise AssertionError  # pragma: no cover - the last try has raised

    def record(self, actions: Sequence[Action]) -> tuple[Recorded, ...]:
        """Record steps that run nothing, in one transaction: what is adopted by half would be run by half."""
        mark, records, marks = self.mark, [], []
        for action in actions:
            entry = next_entry(mark, self._claim, action.step.direction, action.migration)
            records.append(self._recorder.step(action, entry))
            mark = entry.mark
            marks.append(mark)
        return self._commit(records, marks)

    def repair(self, repair: RepairOrder, migration: OrderedMigration) -> Recorded:
        """Do a person's act and record it."""
        entry = next_entry(self.mark, self._claim, Direction.REPAIR, migration)
        (recorded,) = self._commit(self._recorder.repair(repair, migration, entry), [entry.mark])
        return recorded

    def _commit(self, records: Sequence[Command], marks: Sequence[LedgerMark]) -> tuple[Recorded, ...]:
        """Run statements of the ledger's own in one transaction."""
        try:
            replies = self._channel.run([*self._begin(), *records, Command("COMMIT")])
        except (SqlError, StoppedError):
            self._channel.run([Command("ROLLBACK")], stoppable=False)
            raise
        self.mark = marks[-1]
        # The last statements are the records; what comes before them is not.
        said = replies[-1 - len(marks) : -1]
        return tuple(Recorded(mark, reply.rows[0][0] or "") for mark, reply in zip(marks, said, strict=True))

    def _begin(self) -> list[Command]:
        # Our settings are as the epilogue of the one before has left them: names are safe here.
        return [Command("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"), self._recorder.begin()]

    def _try(self, action: Action, script: SqlScript) -> Recorded:
        entry = next_entry(self.mark, self._claim, action.step.direction, action.migration)
        lock_timeout = action.migration.lock_timeout_ms or self._limits.lock_timeout_ms
        statement_timeout = self._statement_timeout()
        begin = [
            *self._begin(),
            Command("RESET search_path"),
            Command("DISCARD TEMP"),
            *self._time_limits(lock_timeout, statement_timeout),
        ]
        end = [*self._reset, self._recorder.step(action, entry), Command("COMMIT")]
        done = -len(begin)
        self._blockers.forget()
        try:
            for group in _groups(script, begin, end):
                replies = self._run(group, lock_timeout)
                done += len(group)
        except SqlError as error:
            self._channel.run([Command("ROLLBACK")], stoppable=False)
            if error.sqlstate == _NO_SUCH_PLAN and self._recorder.unprepare():
                # Its SQL has thrown all plans away (DEALLOCATE ALL): from now on do without.
                return self._try(action, script)
            # An error in the frame counts from the migration's own first statement.
            raise self._explain(Failure(error, action, script, done + error.index), statement_timeout) from error
        except StoppedError:
            self._channel.run([Command("ROLLBACK")], stoppable=False)
            raise self.stopped(action) from None
        if replies[-1].tag != "COMMIT":
            raise RunError(
                Reason.STATEMENT_REFUSED,
                f"{action.label}: the server rolled back instead of committing: its SQL has ended the transaction",
                error=ErrorDetail(action.migration.version),
            )
        self.mark = entry.mark
        return Recorded(entry.mark, replies[-2].rows[0][0] or "")

    def _run(self, group: list[Command], lock_timeout: int) -> list[Reply]:
        # A look at who blocks is only possible while it blocks.
        tick = min(1.0, lock_timeout / 2000) if lock_timeout else 1.0
        return self._channel.run(group, tick=tick, on_tick=self._blockers.look)

    def _statement_timeout(self) -> int:
        left = max(1, int(self._control.remaining() * 1000))
        wanted = self._limits.statement_timeout_ms
        return left if not wanted else min(wanted, left)

    def _time_limits(self, lock_timeout: int, statement_timeout: int) -> list[Command]:
        limits = {"lock_timeout": lock_timeout, "statement_timeout": statement_timeout}
        if self._channel.server_version >= 170000:
            # For a runner that is frozen in the middle of a send.
            limits["transaction_timeout"] = int(self._control.remaining() * 1000) + 2000
        return [Command(f"SET {name} = {value}") for name, value in limits.items()]

    def _explain(self, failure: Failure, statement_timeout: int) -> Exception:
        state = failure.error.sqlstate
        if state in PASSING:
            return _PassingError(failure)
        if state == CANCELLED and self._control.remaining() <= 0.05:
            return self.stopped(failure.action)
        timed_out = statement_timeout if statement_timeout == self._limits.statement_timeout_ms else None
        return failure.explain(self._claim.line, timed_out)

    def stopped(self, action: Action) -> RunError:
        """Return why the run ends before its plan does."""
        reason = self._control.stop or Reason.DEADLINE_EXCEEDED
        if reason is Reason.INTERRUPTED:
            text = f"the run was asked to stop at {action.label}; nothing of that migration is left"
        else:
            text = (
                f"the run's deadline ({self._limits.deadline_ms} ms) came in {action.label}; "
                "nothing of that migration is left"
            )
        return RunError(reason, text, error=ErrorDetail(action.migration.version))


def _gave_up(failure: Failure, attempts: int, blockers: str) -> RunError:
    return RunError(
        Reason.LOCK_TIMEOUT,
        f"{failure.place}: tried {attempts} time(s), SQLSTATE {failure.error.sqlstate}: {failure.error.primary}"
        f"{blockers}",
        error=failure.detail,
    )


class _PassingError(Exception):
    """A lock, a deadlock or a serialization failure: the next try may pass."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.error.sqlstate)
        self.failure = failure


def _groups(script: SqlScript, begin: list[Command], end: list[Command]) -> Iterator[list[Command]]:
    """Cut a migration into what goes out at once."""
    group = list(begin)
    size = 0
    for part in script.parts:
        sql = script.sql(part)
        if size and (size + len(sql) > GROUP_BYTES or len(group) >= GROUP_STATEMENTS):
            yield group
            group, size = [], 0
        group.append(Command(sql, keep=False))
        size += len(sql)
    yield [*group, *end]
