"""MySQL and MariaDB behind the engines' protocol."""

import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Final

from sqlalchemy import Connection

from lockstep.engines.base import (
    Action,
    ConnectionLostError,
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
from lockstep.engines.histories.dialects import MYSQL
from lockstep.engines.mysql import catalog, dsn
from lockstep.engines.mysql.apply import Applier
from lockstep.engines.mysql.blockers import Blockers
from lockstep.engines.mysql.channel import Channel, SqlError
from lockstep.engines.mysql.connect import Connector
from lockstep.engines.mysql.lease import Lease, until_of
from lockstep.engines.mysql.lock import Locks
from lockstep.engines.mysql.notes import Notes
from lockstep.engines.mysql.record import Records
from lockstep.engines.mysql.running import Made, Work
from lockstep.engines.mysql.server import Server, check_pooler, check_server, read_server
from lockstep.engines.mysql.session import OWN_LOCK_SECONDS, SessionState
from lockstep.engines.mysql.settle import settle
from lockstep.engines.mysql.statements import SqlScript, read_script
from lockstep.engines.mysql.store import Around, MysqlStore, own_errors
from lockstep.engines.patience import Patience, pause_for_lock
from lockstep.engines.portable.objects import Catalog
from lockstep.engines.portable.records import Recorder
from lockstep.engines.portable.session import PortableSession
from lockstep.engines.urls import secrets_of

MAKING_SECONDS: Final = 60.0
"""How long to wait at most for another run that makes or upgrades the ledger."""


class MysqlSession(PortableSession[MysqlStore]):
    """One checked connection; after `lock`, the holder of its line."""

    DIALECT = MYSQL

    def __init__(
        self,
        connection: Connection,
        channel: Channel,
        server: Server,
        connector: Connector,
        *,
        task: Task,
        control: Control,
        log: Log,
    ) -> None:
        order = task.order
        look = Catalog(
            lambda: catalog.read_objects(channel, server), catalog.major_of(server), catalog.OPTIONS, self._held
        )
        store = MysqlStore(connection, server.database, row_log=server.row_log)
        super().__init__(store, Around(channel, order), look, task, log)
        self._channel = channel
        self._server = server
        self._connector = connector
        self._control = control
        self._patience = Patience(control, log)
        self._state = SessionState(channel, server, log)
        self._locks = Locks(channel, server.database, order.line, cluster=server.galera)
        self._lease = Lease(server.database, channel.id, connector.beside, channel.cut) if server.galera else None
        self._applier: Applier | None = None

    def _own(self) -> AbstractContextManager[None]:
        return own_errors()

    def _held(self, line: str) -> bool:
        """Tell whether another session holds a line's lock."""
        return self._locks.holder_of(line) is not None or self._is_leased(line)

    def check(self) -> None:
        """See that the server can be worked on, then set the session up."""
        pooler = self._task.order.database.pooler
        check_server(self._server, pooler)
        if pooler == "Session":
            beside = self._connector.beside()
            try:
                check_pooler(self._channel, beside)
            finally:
                beside.close()
        self._state.set_up()

    def lock(self, wait: float) -> None:
        """Take the line's lock; the ledger is made or upgraded while nobody works with it."""
        with self._own():
            self._take_lock(wait)
            beside = self._connector.beside()
            try:
                self._locks.prove(beside)
            finally:
                beside.close()

    def _take_lock(self, wait: float) -> None:
        began = time.monotonic()
        until = began + wait
        while True:
            if self._ledger.is_ready():
                if self._locks.try_line():
                    return
            elif not self._locks.try_ledger():
                # It is being made by another run, which takes a while on a slow server.
                until = max(until, min(time.monotonic() + wait, began + MAKING_SECONDS))
            else:
                try:
                    if self._make_ledger():
                        continue
                finally:
                    with suppress(ConnectionLostError, SqlError):
                        self._locks.release_ledger()
            if time.monotonic() >= until:
                raise self._is_held()
            pause_for_lock(self._control)

    def _patient(self, act: Callable[[], Made]) -> Made:
        """Do what is one transaction of the ledger's, again for a while if it meets another line's."""

        def attempt() -> Made:
            with own_errors(again=self._control.stop is None):
                # The last migration may have had another limit.
                self._state.wait_for_locks(OWN_LOCK_SECONDS)
                return act()

        return self._patience.persist(attempt, None, lambda _: None)

    def _is_leased(self, line: str) -> bool:
        """Tell whether a run on another node of a cluster holds a line."""
        if self._lease is None:
            return False
        run = self._store.tables.run
        asked = run.select().with_only_columns(run.c.session, self._store.clock).where(run.c.line == line)
        return any(until_of(session) > str(now) for session, now in self._store.rows(asked))

    def _make_ledger(self) -> bool:
        """Make or upgrade the ledger, unless a line's run is at work in it."""
        if self._store.version() and any(self._held(line) for line in self._lines()):
            return False
        self._ledger.make()
        return True

    def _lines(self) -> Sequence[str]:
        run = self._store.tables.run
        return [str(line) for (line,) in self._store.rows(run.select().with_only_columns(run.c.line))]

    def _is_held(self) -> RunError:
        return self._locks.held(self._last_run())

    def enter(self) -> LedgerState:
        """Begin this run in the ledger, and settle what a dead one has left."""
        task, channel = self._task, self._channel
        with self._own():
            words = str(channel.id)
            if self._lease is not None:
                self._lease.check(channel, self._ledger.last_run(), task.order.line)
                words = self._lease.words(channel)
            holder = str(uuid.uuid4())
            claim, state = self._patient(lambda: self._ledger.enter(task.identity, holder, words))
            assert state.mark is not None  # noqa: S101 - `lock` has made the ledger
            if self._lease is not None:
                self._lease.hold(claim)
            recorder = Recorder(self._store, claim, task.identity, state.mark)
            half = state.history.partial
            if half is not None and settle(
                channel, self._store, recorder, half, database=self._server.database, log=self._log
            ):
                state = self._ledger.read(task.identity)
        work = Work(
            channel,
            self._store,
            recorder,
            Records(channel, self._store, recorder, self._server.packet),
            Notes(channel, self._server.database, claim),
            self._server,
            self._state,
            self._control,
            Blockers(channel.id, self._connector.beside, maria=self._server.maria),
            self._locks.is_mine,
            task.order.line,
            task.order.limits,
            self._log,
        )
        self._recorder, self._applier = recorder, Applier(work, half=state.history.partial is not None)
        return state

    def end_holder(self, pod: str) -> None:
        """End the session that holds this line's lock."""
        with self._own():
            self._locks.end_holder(pod, self._last_run(), self._task.identity.owner)

    def apply(
        self,
        action: Action,
        script: Script,
        waiting: Callable[[str], None],
        following: tuple[Action, Script] | None = None,
    ) -> Recorded:
        """Run one step and record it: both or neither, or the line is Partial."""
        assert isinstance(script, SqlScript)  # noqa: S101 - this engine has made it
        assert self._applier is not None  # noqa: S101 - `enter` comes first
        with self._own():
            return self._applier.apply(action, script, waiting)

    def close(self) -> None:
        """Close the connection: the lock goes with it."""
        with suppress(Exception):
            if self._lease is not None:
                self._lease.close()
        with suppress(Exception):
            self._channel.close()


class MysqlEngine:
    """MySQL 8.0 and newer, MariaDB 10.11 and newer."""

    def target(self, words: SecretWords, secret: str) -> Target:
        """Read the Secret's words."""
        params = dsn.parse(words, secret)
        return Target("mysql", params, secrets_of(params, words.url))

    def script(self, action: Action) -> Script:
        """Split a step's text and see that it may run."""
        return read_script(action)

    def connect(self, task: Task, control: Control, log: Log) -> Session:
        """Connect and check the server."""
        connector = Connector(task, control)
        with own_errors():
            connection, channel = connector.open()
            try:
                server = read_server(channel)
                channel.id = server.connection
                session = MysqlSession(connection, channel, server, connector, task=task, control=control, log=log)
                session.check()
            except BaseException:
                channel.close()
                raise
        return session


ENGINE = MysqlEngine()
