"""PostgreSQL behind the engines' protocol."""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from lockstep.api.reasons import Reason
from lockstep.engines.base import (
    Action,
    ConnectionLostError,
    DriftFinding,
    LedgerState,
    Log,
    Recorded,
    RunError,
    Script,
    SecretWords,
    Session,
    Target,
    Task,
)
from lockstep.engines.control import Control
from lockstep.engines.drift_watch import DriftWatch
from lockstep.engines.patience import pause_for_lock
from lockstep.engines.postgresql import dsn
from lockstep.engines.postgresql.apply import Applier
from lockstep.engines.postgresql.blockers import Blockers
from lockstep.engines.postgresql.channel import Channel
from lockstep.engines.postgresql.connect import Connector, check_pooler, check_server, set_up
from lockstep.engines.postgresql.drift_store import PostgresDriftStore
from lockstep.engines.postgresql.errors import own_error
from lockstep.engines.postgresql.ledger import Ledger
from lockstep.engines.postgresql.lock import Locks
from lockstep.engines.postgresql.messages import Command, SqlError, StoppedError
from lockstep.engines.postgresql.statements import SqlScript, read_script
from lockstep.engines.urls import secrets_of
from lockstep.planning.adoption import ForeignRow
from lockstep.planning.wire import Order, RepairOrder


class PostgresSession:
    """One checked connection; after `lock`, the holder of its line."""

    def __init__(self, channel: Channel, connector: Connector, task: Task, control: Control, log: Log) -> None:
        self._channel = channel
        self._connector = connector
        self._task = task
        self._control = control
        self._log = log
        self._settings: list[Command] = []
        self._ledger = Ledger(channel, task.order, log)
        self._locks = Locks(channel, task.order.database.ledger_schema, task.order.line)
        self._applier: Applier | None = None
        self._drift = DriftWatch(PostgresDriftStore(channel, task.order), task.order, log)

    def check(self) -> None:
        """See what the server is, then set the session up."""
        check_server(self._channel, self._task.order.database.pooler)
        if self._task.order.database.pooler == "Session":
            beside = self._connector.beside()
            try:
                check_pooler(self._channel, beside)
            finally:
                beside.close()
        self._settings = set_up(self._channel, started_with=self._connector.resets_to_settings)

    def lock(self, wait: float) -> None:
        """Take the ledger's lock and the line's."""
        with _own(self._task.order, self._control):
            self._take_locks(time.monotonic() + wait)
            beside = self._connector.beside()
            try:
                self._locks.prove(beside)
            finally:
                beside.close()

    def _take_locks(self, until: float) -> None:
        while True:
            if self._ledger.is_ready():
                if self._locks.try_line():
                    return
            elif self._locks.try_exclusive():
                self._make_ledger()
                continue
            if time.monotonic() >= until:
                raise self._locks.held()
            pause_for_lock(self._control)

    def _make_ledger(self) -> None:
        try:
            # Another run may have made it meanwhile.
            if not self._ledger.is_ready():
                self._ledger.make()
        finally:
            with suppress(ConnectionLostError, SqlError, StoppedError):
                self._locks.release_exclusive()

    def enter(self) -> LedgerState:
        """Begin this run in the ledger."""
        with _own(self._task.order, self._control):
            claim, state = self._ledger.enter(self._task.identity, str(uuid.uuid4()))
            assert state.mark is not None  # noqa: S101 - `lock` has made the ledger
            self._applier = Applier(
                self._channel,
                claim,
                state.mark,
                task=self._task,
                settings=self._settings,
                control=self._control,
                blockers=Blockers(self._channel, self._connector.beside),
                log=self._log,
            )
        return state

    def read(self) -> LedgerState:
        """Return what the ledger says, without a lock and without writing."""
        with _own(self._task.order, self._control):
            if self._ledger.exists():
                return self._ledger.read(self._task.identity)
            return self._ledger.absent()

    def texts(self, checksums: Sequence[str]) -> Mapping[str, str]:
        """Return the texts that the ledger keeps."""
        with _own(self._task.order, self._control):
            return self._ledger.texts(checksums)

    def foreign(self) -> tuple[tuple[ForeignRow, ...], bool]:
        """Return the other tool's history."""
        order = self._task.order
        assert order.adopt is not None  # noqa: S101 - asked for only then
        # Ten tools are read of by a run that adopts, and imported by no other.
        from lockstep.engines.postgresql.foreign import read_foreign  # noqa: PLC0415 - as said

        with _own(order, self._control):
            return read_foreign(self._channel, order.adopt, order.line, self._log)

    def end_holder(self, pod: str) -> None:
        """End the session that holds this line's lock."""
        with _own(self._task.order, self._control):
            if self._ledger.exists():
                self._locks.end_holder(pod, self._ledger.last_run(), self._task.identity.owner)

    def repair(self, repair: RepairOrder, action: Action) -> Recorded:
        """Do a person's act and record it."""
        with _own(self._task.order, self._control):
            return self._work.repair(repair, action.migration)

    @property
    def _work(self) -> Applier:
        assert self._applier is not None  # noqa: S101 - `enter` comes first
        return self._applier

    def apply(
        self,
        action: Action,
        script: Script,
        waiting: Callable[[str], None],
        following: tuple[Action, Script] | None = None,
    ) -> Recorded:
        """Run one step and record it: both or neither."""
        return self._work.apply(action, _own_script(script), waiting, _with_own_script(following))

    def record(self, actions: Sequence[Action]) -> tuple[Recorded, ...]:
        """Record steps that run nothing."""
        with _own(self._task.order, self._control):
            return self._work.record(actions)

    def harden(self) -> None:
        """Wait until all that was recorded is on the disk."""
        with _own(self._task.order, self._control):
            self._work.harden()

    def drift(self) -> DriftFinding:
        """Look for changes made by hand."""
        with _own(self._task.order, self._control):
            return self._drift.look()

    def accept_drift(self) -> None:
        """Take what was found for what shall be."""
        with _own(self._task.order, self._control):
            self._drift.accept()

    def settle_drift(self) -> None:
        """Take this run's changes into what shall be."""
        with _own(self._task.order, self._control):
            self._drift.settle()

    def close(self) -> None:
        """Close the connection: the locks go with it."""
        with suppress(Exception):
            self._channel.close()


def _own_script(script: Script) -> SqlScript:
    assert isinstance(script, SqlScript)  # noqa: S101 - this engine has made it
    return script


def _with_own_script(step: tuple[Action, Script] | None) -> tuple[Action, SqlScript] | None:
    return None if step is None else (step[0], _own_script(step[1]))


@contextmanager
def _own(order: Order, control: Control) -> Iterator[None]:
    """Turn errors of Lockstep's own statements into what they mean."""
    try:
        yield
    except SqlError as error:
        raise own_error(error, order.database.ledger_schema) from error
    except StoppedError as error:
        reason = control.stop or Reason.DEADLINE_EXCEEDED
        why = (
            f"its deadline ({order.limits.deadline_ms} ms) came"
            if reason is Reason.DEADLINE_EXCEEDED
            else "it was asked to"
        )
        raise RunError(reason, f"the run was stopped between two migrations: {why}") from error


class PostgresEngine:
    """PostgreSQL 14 and newer."""

    def target(self, words: SecretWords, secret: str) -> Target:
        """Read the Secret's words."""
        params = dsn.parse(words, secret)
        return Target("postgresql", params, secrets_of(params, words.url))

    def script(self, action: Action) -> Script:
        """Split a step's text and see that it may run."""
        return read_script(action)

    def connect(self, task: Task, control: Control, log: Log) -> Session:
        """Connect and check the server."""
        connector = Connector(task, control)
        session = PostgresSession(connector.open(), connector, task, control, log)
        try:
            with _own(task.order, control):
                session.check()
        except BaseException:
            session.close()
            raise
        return session


ENGINE = PostgresEngine()
