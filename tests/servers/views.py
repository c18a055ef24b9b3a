"""Databases of each engine, seen from beside the runs that `counted` judges."""

import sqlite3
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pymysql

from servers.counted import View

LOCKS = """
SELECT l.pid FROM pg_locks AS l WHERE l.locktype = 'advisory'
AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
"""Who holds one of Lockstep's locks on PostgreSQL."""

Connection = psycopg.Connection[tuple[object, ...]]


class PostgresqlView(View):
    """A connection of the superuser's."""

    ledger: ClassVar = "lockstep."
    _OBJECTS = """
    SELECT c.relname || CASE WHEN NOT (i.indisvalid AND i.indisready AND i.indislive) THEN ' (invalid)' ELSE '' END
    FROM pg_class AS c LEFT JOIN pg_index AS i ON i.indexrelid = c.oid WHERE c.relnamespace = 'public'::regnamespace
    """
    _RUNS = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'lockstep%' AND datname = current_database()"

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        return self._connection.execute(sql.encode()).fetchall()

    def objects(self) -> set[str]:
        return {str(name) for (name,) in self.rows(self._OBJECTS)}

    def has_ledger(self) -> bool:
        return self.rows("SELECT to_regclass('lockstep.meta') IS NOT NULL") == [(True,)]

    def is_idle(self) -> bool:
        """Tell whether no run is connected any more, and so holds no lock."""
        return self.rows(self._RUNS) == [] == self.rows(LOCKS)


class MysqlView(View):
    """A connection of root's to the database."""

    _OBJECTS = (
        "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()",
        "SELECT INDEX_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE()",
        "SELECT CONCAT(TABLE_NAME, '.', COLUMN_NAME) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE()",
        "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()",
        "SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE()",
    )
    _RUNS = "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND ID <> CONNECTION_ID()"

    def __init__(self, connection: "pymysql.Connection[Any]") -> None:
        self._connection = connection

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def objects(self) -> set[str]:
        return {str(name) for (name,) in self.rows(" UNION ".join(self._OBJECTS))}

    def has_ledger(self) -> bool:
        # Its row comes last.
        return self.rows("SHOW TABLES LIKE 'lockstep_meta'") != [] != self.rows("SELECT 1 FROM lockstep_meta")

    def is_idle(self) -> bool:
        """Tell whether no run is connected any more: locks are those of sessions."""
        return self.rows(self._RUNS) == []


class SqliteView(View):
    """A file that nobody writes now."""

    _OBJECTS = """
    SELECT name FROM sqlite_master
    UNION SELECT m.name || '.' || c.name FROM sqlite_master AS m, pragma_table_info(m.name) AS c WHERE m.type = 'table'
    """

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)

    def close(self) -> None:
        """Close it."""
        self._connection.close()

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        return self._connection.execute(sql).fetchall()

    def objects(self) -> set[str]:
        return {str(name) for (name,) in self.rows(self._OBJECTS)}

    def has_ledger(self) -> bool:
        return self.rows("SELECT 1 FROM sqlite_master WHERE name = 'lockstep_meta'") != []
