"""SQLite in the suite: a file with a rollback journal, and one with a write-ahead log."""

import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from engines.compliance.target import Place, Samples, Target

_TABLES = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'lockstep%'"


class SqlitePlace(Place):
    """One file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.secret = {"url": f"sqlite:///{path}?mode=rwc"}

    def query(self, sql: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.path, isolation_level=None, timeout=10)) as connection:
            return connection.execute(sql).fetchall()

    def tables(self) -> set[str]:
        return {str(name) for (name,) in self.query(_TABLES) if not str(name).startswith("sqlite_")}

    def is_busy(self) -> bool:
        # A run has the write lock from its BEGIN IMMEDIATE on.
        with closing(sqlite3.connect(self.path, isolation_level=None, timeout=0)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
            connection.execute("ROLLBACK")
            return False

    def ledger(self, table: str) -> str:
        return f"lockstep_{table}"

    def drop(self) -> None:
        for each in self.path.parent.glob(f"{self.path.name}*"):
            each.unlink()


class Sqlite(Target):
    """With SQLite's default, a rollback journal."""

    name: ClassVar = "sqlite"
    engine: ClassVar = "sqlite"
    journals: ClassVar = False
    sql: ClassVar = Samples(
        slow="WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 9000000000) SELECT count(*) FROM c",
        hostile=(
            "UPDATE lockstep_run SET epoch = epoch + 1",
            'DELETE FROM "LOCKSTEP_HISTORY"',
            "DROP TABLE lockstep_applied",
            "ALTER TABLE lockstep_run RENAME TO other",
            "CREATE INDEX i ON lockstep_run (epoch)",
            "CREATE TRIGGER x AFTER INSERT ON lockstep_history BEGIN DELETE FROM lockstep_applied; END",
            "CREATE TEMP TRIGGER x AFTER INSERT ON main.lockstep_history BEGIN SELECT RAISE(IGNORE); END",
            "CREATE TEMP TABLE lockstep_run (line text)",
            "CREATE TABLE u (x int); CREATE TRIGGER v AFTER INSERT ON u BEGIN DELETE FROM lockstep_run; END;"
            "INSERT INTO u VALUES (1)",
            "PRAGMA writable_schema = ON",
            'PRAGMA "writable_schema" = ON',
            "PRAGMA journal_mode = WAL",
            "ATTACH ':memory:' AS other",
            "VACUUM",
            "SELECT load_extension('x')",
        ),
    )
    wal: ClassVar[bool] = False

    def start(self, stack: ExitStack) -> None:
        self._folder = Path(stack.enter_context(TemporaryDirectory(prefix="lockstep-sqlite-")))
        self._made = 0

    def database(self) -> Place:
        self._made += 1
        place = SqlitePlace(self._folder / f"{self._made} ü?.db")
        place.secret = {"url": f"sqlite:///{self._folder}/{self._made}%20%C3%BC%3F.db?mode=rwc"}
        if self.wal:
            place.query("PRAGMA journal_mode = WAL")
        return place


class SqliteWal(Sqlite):
    """With a write-ahead log, which the file itself remembers."""

    name: ClassVar = "sqlite-wal"
    wal: ClassVar = True
