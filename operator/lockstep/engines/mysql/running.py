"""One step under way: its statements run one after the other, tried again when they meet a lock, errors explained."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar

from msgspec import Struct

from lockstep.api.reasons import Reason
from lockstep.engines.base import Action, Log, Recorded, RunError
from lockstep.engines.control import Control
from lockstep.engines.entries import canonical_of
from lockstep.engines.lexing import Statement
from lockstep.engines.mysql import failures
from lockstep.engines.mysql.account import Account
from lockstep.engines.mysql.blockers import Blockers
from lockstep.engines.mysql.channel import Channel, SqlError, StatementTimeoutError, StoppedError
from lockstep.engines.mysql.errors import PASSING
from lockstep.engines.mysql.failures import Ended, Failure, Place
from lockstep.engines.mysql.notes import Note, Notes
from lockstep.engines.mysql.prepared import Prepared
from lockstep.engines.mysql.record import Records
from lockstep.engines.mysql.server import Server
from lockstep.engines.mysql.session import SessionState
from lockstep.engines.mysql.statements import Kind, SqlScript
from lockstep.engines.mysql.store import own_errors, translated
from lockstep.engines.patience import PassingError, Patience
from lockstep.engines.portable.records import Recorder
from lockstep.engines.portable.store import Store
from lockstep.engines.rows import step_key
from lockstep.planning.wire import Limits

Made = TypeVar("Made")


class Work(Struct, frozen=True):
    """What a run works with."""

    channel: Channel
    store: Store
    recorder: Recorder
    records: Records
    notes: Notes
    server: Server
    session: SessionState
    control: Control
    blockers: Blockers
    holds: Callable[[], bool]
    """Tells whether the session still holds the line's lock."""
    line: str
    limits: Limits
    log: Log


class Running:
    """One step."""

    def __init__(self, work: Work, action: Action, script: SqlScript, waiting: Callable[[str], None]) -> None:
        self.work = work
        self.action = action
        self.script = script
        self.waiting = waiting
        self._patience = Patience(work.control, work.log, work.blockers)
        # A note may be written in the middle of a try, of which it must not forget what was seen.
        self._notes = Patience(work.control, work.log)
        self.left = False
        """Whether some of its statements have taken effect for good."""
        self.prepared = Prepared(work.channel)
        self.account = Account(work.log, action.migration.version, script.statements)
        milliseconds = action.migration.lock_timeout_ms or work.limits.lock_timeout_ms
        self._tick = min(1.0, milliseconds / 2000)
        """When to look at who stands in the way, in seconds: while the statement still waits."""
        limit = work.limits.statement_timeout_ms
        self._limit = limit / 1000 if limit else None
        self.step = step_key(action.migration.name, canonical_of(action.migration))
        self.direction = action.step.direction.value

    @property
    def checksum(self) -> str:
        """The checksum of the text that is run."""
        down = self.action.migration.down_checksum if self.direction == "down" else None
        return down or self.action.migration.up_checksum

    def statement(self, part: Statement) -> None:
        """Run one statement, with what it did in the log.

        Raises:
            SqlError: if the server refused it.
            StoppedError: if the run must stop.
            StatementTimeoutError: if it took longer than it may.
            ConnectionLostError: if the connection is gone.
        """
        work = self.work
        if work.control.stop is not None:
            raise StoppedError
        sql = self.script.sql(part)
        reply = work.channel.run(sql, limit=self._limit, tick=self._tick, on_tick=work.blockers.look)
        if reply.cancelled is not None and self.script.kind(part) in {Kind.PLAIN, Kind.SESSION}:
            raise reply.cancelled
        if reply.warnings and self.account.asks:
            self.account.warned(part.number, work.channel.warnings())
        self.account.ran(part.number, reply, always=self.script.kind(part) in {Kind.COMMITS, Kind.OPAQUE})
        if part.words[:1] == ("PREPARE",):
            with self.own():
                self.prepared.note(sql)

    def own(self) -> AbstractContextManager[None]:
        """Keep from Lockstep's own statements what the SQL has set."""
        return self.work.session.own(self.script)

    def retry(self, run: Callable[[], Made]) -> Made:
        """Do it, again for a while when it meets a lock.

        Raises:
            RunError: LockTimeout, or what it raises.
        """
        return self._patience.persist(run, self.action.migration.version, self.waiting)

    def place(self, part: Statement | None) -> Place:
        """Return a place of this step."""
        return Place(self.action, part)

    def explained(
        self,
        error: Ended,
        part: Statement | None,
        sqlstate: str | None = None,
    ) -> Exception:
        """Return what a failure means that has left nothing of its statement."""
        place, limits = self.place(part), self.work.limits
        if isinstance(error, SqlError):
            failure = Failure(error, place, self.left)
            if error.number in PASSING:
                return PassingError(error.number, error.words, failure.gave_up)
            return failure.explain()
        if isinstance(error, StatementTimeoutError):
            return failures.timed_out(place, limits.statement_timeout_ms or 0, left=self.left)
        reason = self.work.control.stop or Reason.DEADLINE_EXCEEDED
        return failures.stopped(place, reason, limits.deadline_ms, left=self.left)

    def settle_session(self) -> None:
        """Set what the ledger's statements rely on, and see that the SQL has not let go of the lock.

        Raises:
            RunError: Fenced.
        """
        self.work.session.settle(self.script)
        if self.script.touches_session and not self.work.holds():
            raise RunError(
                Reason.FENCED, f"{self.action.label}: its SQL has let go of the lock of line {self.work.line!r}"
            )

    def record(self, *, begun: bool) -> Recorded:
        """Write the step's record and commit it; without the journal if a transaction was begun that holds all of it.

        Raises:
            SqlError: if it could not be written.
            RunError: Fenced, or LedgerInvalid.
            ConnectionLostError: if it is not known whether it is there.
        """
        with translated():
            return self.work.records.write(self.action, None if begun else self.step)

    def jot(self, *notes: Note) -> None:
        """Write notes of statements and commit them, by one statement where that does; as `note` otherwise.

        Raises:
            RunError: as `note`.
        """

        def attempt() -> bool:
            with own_errors(again=True):
                return self.write(*notes)

        with self.own():
            if not self._notes.persist(attempt, self.action.migration.version, self.waiting):
                self.note(lambda: self.write(*notes))

    def write(self, *notes: Note) -> bool:
        """Write notes of statements; tell whether they are written.

        Raises:
            SqlError: if they could not be.
            ConnectionLostError: if it is not known.
        """
        return self.work.notes.write(self.step, self.direction, self.checksum, notes)

    def note(self, write: Callable[[], object]) -> None:
        """Write to the journal, in a transaction of its own that has passed the fence; a stop does not keep it from it.

        Raises:
            RunError: if it cannot be written, or this run no longer holds the line.
        """

        def attempt() -> None:
            with own_errors(again=True), self.work.store.transaction():
                self.work.recorder.fence(self.action.label)
                write()

        with self.own():
            self._notes.persist(attempt, self.action.migration.version, self.waiting)


def may_end(kind: Kind) -> bool:
    """Tell whether a statement may end the transaction that it runs in. Pure."""
    return kind is Kind.OPAQUE
