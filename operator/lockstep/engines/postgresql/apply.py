"""One migration in one transaction: begin, its SQL, then the fence and the record as the last words before COMMIT.

All of it goes out in one send where it is small. What its SQL does to the session (SET, SET ROLE, search_path,
temporary tables) ends with it: the record is written with everything reset, and the next migration starts clean.
What cannot be done in one transaction is journaled: see journal.py.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from lockstep.api.reasons import Reason
from lockstep.engines.base import Action, Log, Recorded, RunError, Task
from lockstep.engines.control import Control
from lockstep.engines.entries import Claim, Entry, next_entry
from lockstep.engines.patience import PassingError, Patience
from lockstep.engines.postgresql.blockers import Blockers
from lockstep.engines.postgresql.channel import Channel
from lockstep.engines.postgresql.durability import Durability
from lockstep.engines.postgresql.failures import CANCELLED, PASSING, Failure
from lockstep.engines.postgresql.frame import BEGIN, COMMIT, IMMEDIATE, ROLLBACK, Frame
from lockstep.engines.postgresql.journal_sql import NOTHING_IN_DOUBT
from lockstep.engines.postgresql.lock import release_others
from lockstep.engines.postgresql.messages import Command, Notice, Reply, SqlError, StoppedError
from lockstep.engines.postgresql.notices import Account
from lockstep.engines.postgresql.records import Recorder, journal_key
from lockstep.engines.postgresql.resuming import JournalRow, read_rows
from lockstep.engines.postgresql.statements import SqlScript
from lockstep.planning.plan import Direction
from lockstep.planning.result import ErrorDetail, LedgerMark
from lockstep.planning.wire import FORGOTTEN, OrderedMigration, RepairOrder

GROUP_BYTES: Final = 64 * 1024
"""How much SQL goes out at once: less than a socket takes, so that a frozen runner leaves the server waiting for a
statement, where idle_in_transaction_session_timeout ends it, and not in the middle of one."""
GROUP_STATEMENTS: Final = 500
FEW_STATEMENTS: Final = 100
"""Up to so many statements of a migration are answered one by one: the log tells which of them took long."""

_NO_SUCH_PLAN: Final = "26000"


class _Framed(Struct, frozen=True):
    """A step with all that goes out for it."""

    action: Action
    entry: Entry
    groups: Iterable[list[Command]]
    """What goes out at once; the last one ends in COMMIT. Of a step that is sent behind another there is one."""
    begun: int
    """How many statements begin the transaction."""
    lock_timeout: int
    statement_timeout: int


class _NeverError(Exception):
    """The server runs a statement outside of a transaction block only, and nobody remembers whether it may."""


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
        self._schema = task.order.database.ledger_schema
        self._control = control
        self._blockers = blockers
        self._log = log
        self._recorder = Recorder(channel, self._schema, claim, task.identity)
        self._frame = Frame(settings, task.order.limits, control, channel.server_version)
        self._patience = Patience(control, log, blockers)
        self._durability = Durability(channel, self._schema, claim)
        self._journal: dict[tuple[str, str], list[JournalRow]] | None = None
        self._sent: _Framed | None = None
        """The step that is on its way already."""

    def apply(
        self,
        action: Action,
        script: SqlScript,
        waiting: Callable[[str], None],
        following: tuple[Action, SqlScript] | None = None,
    ) -> Recorded:
        """Run one step and record it, trying again for a while when it meets a lock.

        The server gets the following one with it where both are small: it does not wait for this run in between.

        Raises:
            RunError: if it failed; nothing of it is left, or the line is Partial and the message says so.
            ConnectionLostError: if it is not known whether it is there.
        """
        rows = self._journal_rows(action)
        if script.journaled or self._is_by_half(action):
            recorded = self._apply_journaled(action, script, rows, waiting)
            self._clear(script)
            return recorded
        account = Account(self._log, action.migration.version, script.statements)
        try:
            recorded = self._patience.persist(
                lambda: self._try(action, script, account, following if _is_small(script) else None),
                action.migration.version,
                waiting,
            )
        except _NeverError:
            recorded = self._apply_journaled(action, script, rows, waiting)
            self._clear(script)
            return recorded
        finally:
            self._channel.on_notice = None
            account.close()
        self._clear(script)
        return replace(recorded, rows=account.rows, next_is_sent=self._sent is not None)

    def _clear(self, script: SqlScript) -> None:
        """End what a migration has left in its session for the next one to stumble over."""
        for sql in script.leftovers:
            # What it has ended itself is no error.
            with suppress(SqlError):
                self._channel.run([Command(sql)], stoppable=False)
        if script.locks:
            release_others(self._channel, self._schema, self._claim.line)

    def _is_by_half(self, action: Action) -> bool:
        """Tell whether the journal has anything of a migration, whichever way it led."""
        return any(key == journal_key(action) for key, _ in self._journal or ())

    def _journal_rows(self, action: Action) -> Sequence[JournalRow]:
        """Return what the journal has of a step, asked once: under the lock nobody else writes there."""
        if self._journal is None:
            self._journal = read_rows(self._channel.run([self._recorder.journal_rows()])[0].rows)
        return self._journal.get((journal_key(action), action.step.direction.value), ())

    def _apply_journaled(
        self, action: Action, script: SqlScript, rows: Sequence[JournalRow], waiting: Callable[[str], None]
    ) -> Recorded:
        # Much code that few runs have a use for.
        from lockstep.engines.postgresql.journal import JournaledStep, Tools  # noqa: PLC0415 - as said

        entry = next_entry(self.mark, self._claim, action.step.direction, action.migration)
        tools = Tools(
            self._channel,
            self._recorder,
            self._frame,
            self._channel.query("SELECT SESSION_USER")[0][0] or "",
            self._claim.epoch,
            self._control,
            self._blockers,
            self._patience,
            self._explain,
            self.stopped,
            self._log,
        )
        step = JournaledStep(tools, action, script, entry, waiting)
        recorded = step.run(rows)
        self.mark = entry.mark
        return replace(recorded, rows=step.account.rows)

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
        """Do a person's act and record it.

        Raises:
            RunError: RepairRefused, if no statement is in doubt of which it says something.
        """
        entry = next_entry(self.mark, self._claim, Direction.REPAIR, migration)
        try:
            (recorded,) = self._commit(self._recorder.repair(repair, migration, entry), [entry.mark])
        except SqlError as error:
            if error.sqlstate != NOTHING_IN_DOUBT or not repair.action.startswith("Statement"):
                raise
            what = f"no statement of version {migration.version} is in doubt"
            raise RunError(Reason.REPAIR_REFUSED, what, error=ErrorDetail(migration.version)) from error
        return recorded

    def harden(self) -> None:
        """Wait until all that was recorded is on the disk."""
        self._durability.harden()

    def _commit(self, records: Sequence[Command], marks: Sequence[LedgerMark]) -> tuple[Recorded, ...]:
        """Run statements of the ledger's own in one transaction."""
        try:
            replies = self._channel.run([*self._begin(self.mark), *records, COMMIT])
        except (SqlError, StoppedError):
            self._channel.run([ROLLBACK], stoppable=False)
            raise
        self.mark = marks[-1]
        # The last statements are the records; what comes before them is not.
        said = replies[-1 - len(marks) : -1]
        return tuple(Recorded(mark, reply.rows[0][0] or "") for mark, reply in zip(marks, said, strict=True))

    def _begin(self, before: LedgerMark) -> list[Command]:
        # Our settings are as the epilogue of the one before has left them: names are safe here.
        return [BEGIN, self._recorder.begin(before)]

    def _framed(self, action: Action, script: SqlScript, mark: LedgerMark) -> _Framed:
        """Put a step between what begins and what ends its transaction, behind the entry of this mark."""
        entry = next_entry(mark, self._claim, action.step.direction, action.migration)
        lock_timeout = self._frame.lock_timeout(action.migration)
        statement_timeout = self._frame.statement_timeout()
        limits = self._frame.time_limits(lock_timeout, statement_timeout)
        begin = [
            *self._begin(mark),
            Command("RESET search_path"),
            Command("DISCARD TEMP"),
            *(Command(f"SET {name} = {value}") for name, value in limits.items()),
        ]
        record = self._recorder.step(action, entry, waits=self._durability.waits)
        end = [IMMEDIATE, *self._frame.reset, record, COMMIT]
        return _Framed(action, entry, _groups(script, begin, end), len(begin), lock_timeout, statement_timeout)

    def _following(self, step: tuple[Action, SqlScript] | None, mark: LedgerMark) -> _Framed | None:
        """Return the next step if it can be sent with this one."""
        if step is None or self._control.stop is not None or not _is_small(step[1]) or self._is_by_half(step[0]):
            return None
        framed = self._framed(*step, mark)
        return replace(framed, groups=list(framed.groups))

    def _try(
        self, action: Action, script: SqlScript, account: Account, following: tuple[Action, SqlScript] | None
    ) -> Recorded:
        sent, self._sent = self._sent, None
        framed = sent or self._framed(action, script, self.mark)
        assert framed.action is action  # noqa: S101 - what was sent comes next, whatever has come up
        done = -framed.begun
        account.rows = 0
        ahead = None
        try:
            for group in framed.groups:
                ahead = self._following(following, framed.entry.mark) if group[-1] is COMMIT else None
                replies = self._run(group, framed.lock_timeout, done, account, ahead)
                done += len(group)
        except SqlError as error:
            self._roll_back()
            if error.sqlstate == _NO_SUCH_PLAN and self._recorder.unprepare():
                # Its SQL has thrown all plans away (DEALLOCATE ALL): from now on do without.
                return self._try(action, script, account, following)
            # An error in the frame counts from the migration's own first statement.
            failure = Failure(error, action, script, done + error.index)
            if failure.is_of_the_block and action.migration.transaction == FORGOTTEN:
                raise _NeverError from error
            raise self._explain(failure, framed.statement_timeout) from error
        except StoppedError:
            self._roll_back()
            raise self.stopped(action) from None
        if replies[-1].tag != "COMMIT":
            self._channel.forget()
            raise RunError(
                Reason.STATEMENT_REFUSED,
                f"{action.label}: the server rolled back instead of committing: its SQL has ended the transaction",
                error=ErrorDetail(action.migration.version),
            )
        self.mark, self._sent = framed.entry.mark, ahead
        is_durable = self._durability.committed(replies[-2])
        return Recorded(framed.entry.mark, replies[-2].rows[0][0] or "", is_durable=is_durable)

    def _roll_back(self) -> None:
        """Leave nothing of a step that failed, nor of the one that was sent behind it."""
        self._channel.forget()
        self._channel.run([ROLLBACK], stoppable=False)

    def _run(
        self,
        group: list[Command],
        lock_timeout: int,
        done: int,
        account: Account,
        ahead: _Framed | None,
    ) -> list[Reply]:
        """Run what goes out at once, `done` statements of the migration being done."""

        def hear(number: int, notice: Notice) -> None:
            account.notice(done + number + 1, notice)

        self._channel.on_notice = hear
        # A look at who blocks is only possible while it blocks.
        tick = min(1.0, lock_timeout / 2000) if lock_timeout else 1.0
        began = time.monotonic()
        then = () if ahead is None else next(iter(ahead.groups))
        replies = self._channel.run(group, tick=tick, on_tick=self._blockers.look, ahead=then)
        found = [(n, r) for n, (c, r) in enumerate(zip(group, replies, strict=True), start=done + 1) if not c.keep]
        prompt = any(command.prompt or command.data is not None for command in group)
        account.ran(found, None if prompt else time.monotonic() - began)
        return replies

    def _explain(self, failure: Failure, statement_timeout: int) -> Exception:
        state = failure.error.sqlstate
        if state in PASSING:
            return PassingError(state, failure.error.primary, failure.gave_up)
        if state == CANCELLED and self._control.remaining() <= 0.05:
            return self.stopped(failure.action, failure.left.removeprefix("; "))
        return failure.explain(self._claim.line, self._frame.timed_out(statement_timeout))

    def stopped(self, action: Action, left: str = "") -> RunError:
        """Return why the run ends before its plan does; `left` is what is left of the migration."""
        left = left or "nothing of that migration is left"
        reason = self._control.stop or Reason.DEADLINE_EXCEEDED
        if reason is Reason.INTERRUPTED:
            text = f"the run was asked to stop at {action.label}; {left}"
        else:
            text = f"the run's deadline ({self._limits.deadline_ms} ms) came in {action.label}; {left}"
        return RunError(reason, text, error=ErrorDetail(action.migration.version))


def _groups(script: SqlScript, begin: list[Command], end: list[Command]) -> Iterator[list[Command]]:
    """Cut a migration into what goes out at once."""
    group = list(begin)
    size = 0
    # The time of the only one is that of its whole transaction.
    prompt = 1 < script.statements <= FEW_STATEMENTS
    for part in script.parts:
        sql = script.sql(part)
        if size and (size + len(sql) > GROUP_BYTES or len(group) >= GROUP_STATEMENTS):
            yield group
            group, size = [], 0
        group.append(Command(sql, keep=False, data=script.data(part), prompt=prompt))
        size += len(sql)
    yield [*group, *end]


def _is_small(script: SqlScript) -> bool:
    """Tell whether a migration goes out at once with another one of its kind: both are less than a socket takes."""
    return (
        not script.journaled
        and len(script.text) <= GROUP_BYTES // 2
        and script.statements < GROUP_STATEMENTS // 2
        and all(part.data is None for part in script.parts)
        and not script.leftovers
        and not script.locks
    )
