"""Lives on SQLite, with a rollback journal or a write-ahead log: a run ends itself at a statement or a system call."""

import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from engines.kills.ground import Ground, Place
from lockstep.api.reasons import Reason
from lockstep.engines.sqlite.lock import FileLock
from servers.counted import Seen, View, counted, first
from servers.moments import End
from servers.nursery import Newborn
from servers.views import SqliteView

MEMORY = Path("/dev/shm")
ROWS = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 300) SELECT n, hex(zeroblob(200)) FROM c"


class SqlitePlace(Place):
    """One file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.secret = {"url": f"sqlite:///{path}?mode=rwc"}
        self._moments = 600
        """How many the last run had that nothing has struck."""

    def arm(self, pod: Newborn, chance: random.Random) -> str:
        end = chance.choice([End.KILL, End.KILL, End.KILL_DONE, End.KILL_DONE, End.KILL_WITHIN, End.FULL])
        at = 1 + chance.randrange(self._moments)
        pod.strikes_itself = (at, end)
        return f"{end.name} at moment {at}"

    def disarm(self, pod: Newborn, code: int) -> bool:
        if code < 0:
            return True
        if pod.strikes_itself is None:
            return False
        count, struck = pod.counted()
        if not struck and code == 0:
            self._moments = count
        return struck

    def is_idle(self) -> bool:
        try:
            lock = FileLock(str(self._path), 0)
        except FileNotFoundError:
            return True
        with closing(lock):
            return not lock.held("orders")

    def is_by_half(self, state: Seen) -> bool:
        # It is gone after each commit; what is left is rolled back by whoever opens the file next.
        return Path(f"{self._path}-journal").exists()

    @contextmanager
    def look(self) -> Iterator[View]:
        """Look at a copy: what a dead run has left by half is for the next one to roll back."""
        with TemporaryDirectory(prefix="copy-", dir=self._path.parent) as folder:
            for ending in ("", "-journal", "-wal"):
                source = Path(f"{self._path}{ending}")
                if source.exists():
                    shutil.copy(source, folder)
            with closing(SqliteView(Path(folder) / self._path.name)) as view:
                assert view.rows("PRAGMA integrity_check") == [("ok",)]
                yield view


class Sqlite(Ground):
    """Every second file has a write-ahead log."""

    engine: ClassVar = "sqlite"
    interrupted: ClassVar = frozenset({Reason.STATEMENT_FAILED, Reason.UNREACHABLE})
    migrations: ClassVar = (
        first(),
        counted("2", ["", "CREATE TABLE orders_2 (x int)", ""], ["", "DROP TABLE orders_2", ""]),
        counted(
            "3",
            [
                "CREATE TABLE orders_3 (x int)",
                "CREATE INDEX orders_3_x ON orders_3 (x)",
                "",
                "ALTER TABLE orders_3 ADD COLUMN y int",
            ],
            ["DROP INDEX orders_3_x", "ALTER TABLE orders_3 DROP COLUMN y", "", "DROP TABLE orders_3"],
        ),
        # More than one page, so that there is something between the beginning of a commit and its end.
        counted(
            "4",
            ["CREATE TABLE orders_4 (n int, data text)", "", f"INSERT INTO orders_4 {ROWS}", ""],
            ["", "DELETE FROM orders_4 WHERE n > 50", "DROP TABLE orders_4", ""],
        ),
        # A table is changed as SQLite's own documents have it.
        counted(
            "5",
            [
                "CREATE TABLE orders_5a (x int)",
                "INSERT INTO orders_5a VALUES (1)",
                "CREATE TABLE orders_5b (x int NOT NULL)",
                "INSERT INTO orders_5b SELECT x FROM orders_5a",
                "",
                "DROP TABLE orders_5a",
                "ALTER TABLE orders_5b RENAME TO orders_5a",
                "CREATE VIEW orders_5v AS SELECT x FROM orders_5a",
                "",
            ],
            ["DROP VIEW orders_5v", "", "DROP TABLE orders_5a"],
        ),
        counted("6", ["", ""], ["", ""]),
    )

    @contextmanager
    def place(self, number: int, folder: Path) -> Iterator[Place]:
        # In memory: what a kill leaves does not depend on whether it has reached the disk.
        with TemporaryDirectory(prefix="lockstep-", dir=MEMORY if MEMORY.is_dir() else folder) as own:
            path = Path(own) / "orders.db"
            if number % 2:
                with closing(sqlite3.connect(path)) as made:
                    made.execute("PRAGMA journal_mode = WAL")
            yield SqlitePlace(path)
