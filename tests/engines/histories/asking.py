"""Databases with a recorded history in them, and the way a history is asked for: read-only, on each engine."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from lockstep.engines.histories.base import Ask, Row
from lockstep.engines.histories.dialects import MYSQL, POSTGRESQL, SQLITE, Dialect
from servers.mariadb import MariaDatabase
from servers.postgres import Database

HERE = Path(__file__).parent


def recorded(name: str, engine: str) -> str:
    """Return the text of a recording."""
    return (HERE / f"{name}.{engine}.sql").read_text()


def _text(rows: Sequence[Sequence[Any]]) -> list[Row]:
    assert all(value is None or isinstance(value, str) for row in rows for value in row), rows
    return [tuple(row) for row in rows]


class OnPostgresql:
    """A database of PostgreSQL, asked as the application's role."""

    dialect: Dialect = POSTGRESQL

    def __init__(self, database: Database) -> None:
        self.database = database

    def load(self, script: str) -> None:
        """Run a script of several statements."""
        with self.database.connect() as connection:
            connection.execute(script.encode())

    @contextmanager
    def asking(self, path: str = "pg_catalog, pg_temp") -> Iterator[Ask]:
        """Ask in sessions that may not write; `path` is their search_path."""
        with self.database.connect() as connection:
            connection.execute("SET default_transaction_read_only = on")
            connection.execute(f"SET search_path = {path}".encode())
            cursor = psycopg.RawCursor(connection)

            def ask(sql: str, params: tuple[str, ...]) -> Sequence[Row]:
                return _text(cursor.execute(sql.encode(), params or None).fetchall())

            yield ask


class OnMariadb:
    """A database of MariaDB, asked as the application's user."""

    dialect: Dialect = MYSQL

    def __init__(self, database: MariaDatabase) -> None:
        self.database = database

    def load(self, script: str) -> None:
        """Run a script of several statements, each ended at the end of a line."""
        for statement in script.split(";\n"):
            if statement.strip():
                self.database.query(statement, admin=False)

    @contextmanager
    def asking(self) -> Iterator[Ask]:
        """Ask in sessions that may not write."""
        with self.database.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SET SESSION TRANSACTION READ ONLY")

            def ask(sql: str, params: tuple[str, ...]) -> Sequence[Row]:
                cursor.execute(sql, params or None)
                return _text(cursor.fetchall())

            yield ask


class OnSqlite:
    """A database file."""

    dialect: Dialect = SQLITE

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def load(self, script: str) -> None:
        """Run a script of several statements."""
        with closing(sqlite3.connect(self.path)) as file:
            file.executescript(script)

    @contextmanager
    def asking(self) -> Iterator[Ask]:
        """Ask through a connection that may not write."""
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as file:
            yield lambda sql, params: _text(file.execute(sql, params).fetchall())


On = OnPostgresql | OnMariadb | OnSqlite
