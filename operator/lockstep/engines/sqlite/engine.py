"""SQLite behind the engines' protocol."""

import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from sqlalchemy.exc import DBAPIError

from lockstep.api.reasons import Reason
from lockstep.engines.base import (
    Action,
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
from lockstep.engines.histories.dialects import SQLITE
from lockstep.engines.patience import pause_for_lock
from lockstep.engines.portable.objects import Catalog
from lockstep.engines.portable.records import Recorder
from lockstep.engines.portable.session import PortableSession
from lockstep.engines.sqlite import catalog, dsn
from lockstep.engines.sqlite.apply import Applier
from lockstep.engines.sqlite.connect import SqliteStore, open_database, open_file
from lockstep.engines.sqlite.errors import own_error
from lockstep.engines.sqlite.lock import FileLock
from lockstep.engines.sqlite.statements import SqliteScript, read_script

MAJOR = 3


class SqliteSession(PortableSession[SqliteStore]):
    """One checked connection; after `lock`, the holder of its line."""

    DIALECT = SQLITE

    def __init__(self, store: SqliteStore, lock: FileLock | None, task: Task, control: Control, log: Log) -> None:
        look = Catalog(lambda: catalog.objects(store), MAJOR, catalog.OPTIONS, self._held)
        super().__init__(store, catalog.Around(store), look, task, log)
        self._lock = lock
        self._control = control
        self._applier: Applier | None = None

    def _own(self) -> AbstractContextManager[None]:
        return _own_errors()

    def _held(self, line: str) -> bool:
        return self._lock is not None and self._lock.held(line)

    def lock(self, wait: float) -> None:
        """Take the line's lock; the ledger is made under SQLite's own."""
        line, until = self._task.order.line, time.monotonic() + wait
        assert self._lock is not None  # noqa: S101 - a run has made the file
        with self._own():
            while not self._lock.try_line(line):
                if time.monotonic() >= until:
                    raise self._is_held()
                pause_for_lock(self._control)
            if not self._ledger.is_ready():
                self._ledger.make()

    def _is_held(self) -> RunError:
        """Return the error that names who holds the lock: the run that entered the line last."""
        last = self._last_run()
        line = self._task.order.line
        if last is None:
            return RunError(Reason.LOCK_HELD, f"the lock of line {line!r} is held by a run that has just begun")
        return RunError(Reason.LOCK_HELD, f"the lock of line {line!r} is held by {last.pod}", holder=last.pod)

    def enter(self) -> LedgerState:
        """Begin this run in the ledger."""
        task = self._task
        with self._own():
            claim, state = self._ledger.enter(task.identity, str(uuid.uuid4()))
        assert state.mark is not None  # noqa: S101 - `lock` has made the ledger
        self._recorder = Recorder(self._store, claim, task.identity, state.mark)
        self._applier = Applier(self._store, self._recorder, task, self._control, self._log)
        return state

    def end_holder(self, pod: str) -> None:
        """Refuse: the lock is that of a process, which only its own machine can end."""
        line = self._task.order.line
        with self._own():
            if not self._held(line):
                return
            last = self._last_run()
        holder = pod if last is None else last.pod
        raise RunError(
            Reason.REPAIR_REFUSED,
            f"the lock of line {line!r} is held by {holder}, and SQLite has no sessions that could be ended: "
            "delete that pod",
            holder=holder,
        )

    def apply(
        self,
        action: Action,
        script: Script,
        waiting: Callable[[str], None],
        following: tuple[Action, Script] | None = None,
    ) -> Recorded:
        """Run one step and record it: both or neither."""
        assert isinstance(script, SqliteScript)  # noqa: S101 - this engine has made it
        assert self._applier is not None  # noqa: S101 - `enter` comes first
        with self._own():
            return self._applier.apply(action, script, waiting)

    def close(self) -> None:
        """Close the connection, then the file: the lock goes with it."""
        with suppress(Exception):
            self._store.close()
        if self._lock is not None:
            with suppress(OSError):
                self._lock.close()
            self._lock = None


@contextmanager
def _own_errors() -> Iterator[None]:
    """Turn errors of Lockstep's own statements into what they mean."""
    try:
        yield
    except DBAPIError as error:
        # `from None`: SQLAlchemy's text holds the statement and its values.
        raise own_error(error.orig) from None
    except sqlite3.Error as error:
        raise own_error(error) from error


class SqliteEngine:
    """SQLite 3.35 and newer."""

    def target(self, words: SecretWords, secret: str) -> Target:
        """Read the Secret's words."""
        return Target("sqlite", dsn.parse(words, secret))

    def script(self, action: Action) -> Script:
        """Split a step's text and see that it may run."""
        return read_script(action)

    def connect(self, task: Task, control: Control, log: Log) -> Session:
        """Open the file and see that it is a database."""
        lock = open_file(task)
        try:
            return SqliteSession(SqliteStore(open_database(task, lock is not None), control), lock, task, control, log)
        except BaseException:
            if lock is not None:
                lock.close()
            raise


ENGINE = SqliteEngine()
