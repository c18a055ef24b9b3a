"""One raw connection to a file, made through SQLAlchemy and checked before anything is done with it."""

import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar
from urllib.parse import quote

from sqlalchemy import Connection, Executable
from sqlalchemy.exc import DBAPIError

from lockstep.api.reasons import Reason
from lockstep.engines.base import RunError, Task
from lockstep.engines.control import Control
from lockstep.engines.portable.store import Row, Store, Values, open_once
from lockstep.engines.sqlite import functions
from lockstep.engines.sqlite.errors import is_busy, own_error
from lockstep.engines.sqlite.lock import FileLock
from lockstep.planning.wire import Mode

SCHEMA: Final = "main"
"""Qualifies the ledger's tables: a temporary table of the same name would come first."""
BUSY_SECONDS: Final = 0.1
"""How long SQLite itself waits for another connection, deaf to signals; more is waited for here."""
OWN_SECONDS: Final = 10.0
"""How long Lockstep's own statements wait for other connections."""
POLL_SECONDS: Final = 0.05
OLDEST: Final = (3, 35, 0)

T = TypeVar("T")


def open_file(task: Task) -> FileLock | None:
    """Open the file for its locks, making it where the URL says so and this is a run; None: it will be made.

    Raises:
        RunError: if it is not there or cannot be used.
    """
    path, mode = task.target.params["path"], task.target.params["mode"]
    writes = task.order.mode is Mode.RUN
    if writes and mode == "ro":
        raise RunError(Reason.READ_ONLY, "the URL says mode=ro, and a run writes")
    if writes:
        # The journal is made beside it: without that right the first write fails, in the middle of a run.
        _check_folder(os.path.dirname(path))
    flags = os.O_RDONLY if not writes else os.O_RDWR | (os.O_CREAT if mode == "rwc" else 0)
    try:
        if os.path.isdir(path):
            raise RunError(Reason.INVALID_URL, "the URL names a folder, not a file")
        return FileLock(path, flags)
    except FileNotFoundError:
        if mode == "rwc" and os.path.isdir(os.path.dirname(path)):
            return None
        raise _missing() from None
    except OSError as error:
        raise _unusable(error) from None


def _missing() -> RunError:
    return RunError(
        Reason.DATABASE_NOT_FOUND,
        "there is no such file in this pod: check spec.database.volume (claimName, subPath, mountPath) and the path in "
        "the Secret, see docs/engines.md; where the file is to be made, write ?mode=rwc",
    )


def _check_folder(folder: str) -> None:
    if not os.path.isdir(folder):
        raise _missing()
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        if os.statvfs(folder).f_flag & os.ST_RDONLY:
            raise RunError(Reason.READ_ONLY, "the volume of the file is read-only")
        raise RunError(
            Reason.PERMISSION_DENIED, "the run may not write in the file's folder, where SQLite keeps its journal"
        )


def _unusable(error: OSError) -> RunError:
    code = type(error).__name__
    if isinstance(error, PermissionError):
        return RunError(Reason.PERMISSION_DENIED, f"the run may not open the file ({code})")
    if isinstance(error, NotADirectoryError):
        return _missing()
    if error.errno is not None and os.strerror(error.errno) == "Read-only file system":
        return RunError(Reason.READ_ONLY, "the volume of the file is read-only")
    return RunError(Reason.UNREACHABLE, f"the file cannot be opened ({code})")


def open_database(task: Task, there: bool) -> Connection:
    """Connect.

    Args:
        task: the run.
        there: whether the file is there; a plan of one that will be made looks at an empty one in memory.

    Raises:
        RunError: if it is no database, or cannot be used.
    """
    writes = task.order.mode is Mode.RUN
    # Opened for writing where that may be: after a crash SQLite must roll back what is left before it can read.
    name = f"file:{quote(task.target.params['path'])}?mode=rw" if there else "file::memory:"

    def create() -> sqlite3.Connection:
        raw = sqlite3.connect(name, uri=True, isolation_level=None, timeout=BUSY_SECONDS)
        try:
            if not writes:
                raw.execute("PRAGMA query_only = ON")
            # Reads the head of the file.
            raw.execute("PRAGMA schema_version").fetchone()
            functions.register(raw)
        except sqlite3.Error as error:
            raw.close()
            raise own_error(error) from error
        return raw

    if sqlite3.sqlite_version_info < OLDEST:
        raise RunError(Reason.ENGINE_NOT_SUPPORTED, f"this is SQLite {sqlite3.sqlite_version}; 3.35 is the oldest")
    try:
        return open_once("sqlite://", create, SCHEMA)
    except sqlite3.Error as error:
        raise own_error(error) from error


class SqliteStore(Store):
    """The ledger's tables in a file; waits for other connections, but not for longer than the run may go on."""

    BEGIN = "BEGIN IMMEDIATE"
    CLOCK = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"

    def __init__(self, connection: Connection, control: Control) -> None:
        super().__init__(connection, SCHEMA)
        self._control = control
        raw = connection.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)  # noqa: S101 - `open_database` has made it
        self.raw: Final = raw

    def patiently(self, work: Callable[[], T], seconds: float = OWN_SECONDS) -> T:
        """Do something again while another connection is in the way.

        Raises:
            DBAPIError: as SQLite said, once it was in the way for so long.
            sqlite3.Error: the same, where the work speaks to the driver.
            RunError: if the run must stop.
        """
        end = time.monotonic() + seconds
        while True:
            try:
                return work()
            except (DBAPIError, sqlite3.Error) as error:
                cause = error.orig if isinstance(error, DBAPIError) else error
                if not is_busy(cause) or time.monotonic() >= end:
                    raise
            self._control.pause(POLL_SECONDS)
            if (stop := self._control.stop) is not None:
                raise RunError(stop, "the run was asked to stop while another connection kept the database locked")

    def _freely(self, work: Callable[[], T]) -> T:
        """Be patient outside of a transaction; inside of one the locks are there."""
        return work() if self.raw.in_transaction else self.patiently(work)

    def run(self, statement: Executable, values: Values = None) -> int:
        """Run a statement that writes."""
        run = super().run
        return self._freely(lambda: run(statement, values))

    def rows(self, statement: Executable) -> Sequence[Row]:
        """Return the rows of a question."""
        rows = super().rows
        return self._freely(lambda: rows(statement))

    def ask(self, sql: str) -> Sequence[Row]:
        """Return the rows of a question as it is written."""
        ask = super().ask
        return self._freely(lambda: ask(sql))

    def version(self) -> int | None:
        """Return the version of the ledger that is there."""
        version = super().version
        return self._freely(version)

    def say(self, sql: str) -> None:
        """Run a statement as it is written; COMMIT too may have to wait for those who read."""
        say = super().say
        self.patiently(lambda: say(sql))

    def begin_reading(self) -> None:
        """Begin to read as of one moment: a transaction has that moment only with its first SELECT."""
        super().begin_reading()
        self.patiently(lambda: self.raw.execute("SELECT count(*) FROM main.sqlite_master").fetchone())

    def roll_back(self) -> None:
        """Roll back what may be under way."""
        if self.raw.in_transaction:
            super().roll_back()

    def close(self) -> None:
        """Close the connection."""
        try:
            self.connection.close()
        finally:
            self.raw.close()
