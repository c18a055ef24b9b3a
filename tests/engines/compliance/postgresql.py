"""PostgreSQL in the suite."""

from contextlib import ExitStack
from typing import ClassVar

import pytest

from engines.compliance.target import Place, Samples, Target
from servers.postgres import Database, Postgres, binaries

_SLEEPING = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND datname = current_database()"
_TABLES = """
SELECT c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'v') AND n.nspname = 'public'
"""


class PostgresqlPlace(Place):
    """One database of a server."""

    def __init__(self, server: Postgres, database: Database) -> None:
        self._server = server
        self._database = database
        self.secret = dict(database.params)

    def query(self, sql: str) -> list[tuple[object, ...]]:
        return self._database.query(sql, admin=False)

    def tables(self) -> set[str]:
        return {str(name) for (name,) in self.query(_TABLES)}

    def is_busy(self) -> bool:
        return bool(self._database.query(_SLEEPING))

    def ledger(self, table: str) -> str:
        return f"lockstep.{table}"

    def drop(self) -> None:
        self._server.drop(self._database)


class Postgresql(Target):
    """The newest version."""

    name: ClassVar = "postgresql18"
    version: ClassVar = 18
    engine: ClassVar = "postgresql"
    sql: ClassVar = Samples(
        slow="SELECT pg_sleep(60)",
        hostile=(
            "DROP SCHEMA lockstep CASCADE",
            "UPDATE lockstep.run SET epoch = epoch + 1",
            "DELETE FROM lockstep.run",
            "DISCARD ALL",
            "SELECT pg_advisory_unlock_all()",
        ),
    )

    def start(self, stack: ExitStack) -> None:
        if binaries(self.version) is None:
            pytest.skip(f"PostgreSQL {self.version} is not installed on this machine")
        self._server = stack.enter_context(Postgres(self.version))

    def database(self) -> Place:
        return PostgresqlPlace(self._server, self._server.database())


class Postgresql17(Postgresql):
    name: ClassVar = "postgresql17"
    version: ClassVar = 17


class Postgresql16(Postgresql):
    name: ClassVar = "postgresql16"
    version: ClassVar = 16


class Postgresql15(Postgresql):
    name: ClassVar = "postgresql15"
    version: ClassVar = 15


class Postgresql14(Postgresql):
    """The oldest."""

    name: ClassVar = "postgresql14"
    version: ClassVar = 14
