"""MariaDB and MySQL in the suite."""

from contextlib import ExitStack
from typing import ClassVar

import pytest

from engines.compliance.target import Place, Samples, Target
from servers.mariadb import WHY_NO_11, MariaDatabase, Mariadb, Mariadb11, program
from servers.mysql import WHY_NOT, Mysql, is_there

_SLEEPING = "SELECT 1 FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT SLEEP%' AND DB = DATABASE()"
_TABLES = """
SELECT TABLE_NAME FROM information_schema.TABLES
WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME NOT LIKE 'lockstep\\_%'
"""


class MysqlPlace(Place):
    """One database of a server."""

    def __init__(self, database: MariaDatabase, engine: str) -> None:
        self._database = database
        self.secret = {**database.params, "type": engine}

    def query(self, sql: str) -> list[tuple[object, ...]]:
        return self._database.query(sql, admin=False)

    def tables(self) -> set[str]:
        return {str(name) for (name,) in self.query(_TABLES)}

    def is_busy(self) -> bool:
        return bool(self._database.query(_SLEEPING))

    def ledger(self, table: str) -> str:
        return f"lockstep_{table}"

    def drop(self) -> None:
        self._database.server.drop(self._database)


class Maria(Target):
    """Debian's."""

    name: ClassVar = "mariadb"
    engine: ClassVar = "mariadb"
    transactional: ClassVar = False
    sql: ClassVar = Samples(
        slow="SELECT SLEEP(60)",
        hostile=(
            "UPDATE lockstep_run SET epoch = epoch + 1",
            "DELETE FROM `LOCKSTEP_HISTORY`",
            "DROP TABLE lockstep_applied",
            "ALTER TABLE lockstep_run RENAME TO other",
            "CREATE TABLE lockstep_other (x int)",
            "PREPARE p FROM 'CREATE TABLE lockstep_other (x int)'; EXECUTE p",
            "SET @s = 'DROP TABLE lockstep_run'; PREPARE p FROM @s; EXECUTE p",
            "SELECT RELEASE_ALL_LOCKS()",
            "SET autocommit = 0",
            "SET @s = 'SET completion_type = 2'; PREPARE p FROM @s; EXECUTE p",
            "SET TRANSACTION READ ONLY",
            "COMMIT",
            "LOCK TABLES x WRITE",
            "USE other",
        ),
    )

    def start(self, stack: ExitStack) -> None:
        if program() is None:
            pytest.skip("MariaDB is not installed on this machine")
        self._server = stack.enter_context(Mariadb())

    def database(self) -> Place:
        return MysqlPlace(self._server.database(), self.engine)


class Maria11(Maria):
    """11.4."""

    name: ClassVar = "mariadb11"

    def start(self, stack: ExitStack) -> None:
        if Mariadb11.home() is None:
            pytest.skip(WHY_NO_11)
        self._server = stack.enter_context(Mariadb11())


class MySql(Maria):
    """Of Debian's unstable."""

    name: ClassVar = "mysql"
    engine: ClassVar = "mysql"

    def start(self, stack: ExitStack) -> None:
        if not is_there():
            pytest.skip(WHY_NOT)
        self._server = stack.enter_context(Mysql())
