"""Lives on MariaDB and MySQL: each kind of statement that commits by itself and can be settled, and one that cannot."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pymysql

from engines.kills.ground import Ground, Place, Wire
from engines.mysql.words import keys
from servers.counted import View, counted, first
from servers.counting import CountingProxy, MysqlFraming
from servers.mariadb import MariaDatabase, Mariadb
from servers.views import MysqlView

SAY = (
    "CREATE PROCEDURE orders_say (version text, statement int, direction text) "
    "INSERT INTO orders_marks VALUES (version, statement, direction)"
)


class MysqlPlace(Wire):
    """One database of a server."""

    # By itself, or at the end of a record.
    COMMIT: ClassVar = rb"[\x03\n]COMMIT\Z"

    def __init__(self, proxy: CountingProxy, database: MariaDatabase, admin: "pymysql.Connection[Any]") -> None:
        super().__init__(proxy, 500)
        self.secret = keys(database, port=proxy.port)
        self._view = MysqlView(admin)

    def is_idle(self) -> bool:
        return self._view.is_idle()

    @contextmanager
    def look(self) -> Iterator[View]:
        yield self._view


class Mysql(Ground):
    """A server of either kind."""

    engine: ClassVar = "mysql"
    migrations: ClassVar = (
        first("orders", SAY, ""),
        # Rows alone: one transaction with the record.
        counted("2", ["", "", ""], ["", ""]),
        counted(
            "3",
            [
                "",
                "CREATE TABLE orders_3 (x int)",
                "",
                "CREATE INDEX orders_3_x ON orders_3 (x)",
                "ALTER TABLE orders_3 ADD COLUMN y int",
                "",
            ],
            [
                "DROP INDEX orders_3_x ON orders_3",
                "",
                "ALTER TABLE orders_3 DROP COLUMN y",
                "",
                "DROP TABLE orders_3",
            ],
        ),
        counted(
            "4",
            [
                "CREATE TABLE orders_4a (x int)",
                "RENAME TABLE orders_4a TO orders_4",
                "CREATE VIEW orders_4v AS SELECT x FROM orders_4",
                "CREATE TRIGGER orders_4t AFTER INSERT ON orders_4 FOR EACH ROW SET @x = 1",
                "INSERT INTO orders_4 VALUES (1)",
                "",
            ],
            [
                "DROP TRIGGER orders_4t",
                "",
                "DROP VIEW orders_4v",
                "TRUNCATE TABLE orders_4",
                "ALTER TABLE orders_4 RENAME TO orders_4a",
                "",
                "DROP TABLE orders_4a",
                "",
            ],
        ),
        counted("5", ["", "", ""], ["", ""], transaction="Never"),
        # Nobody can tell of a CALL.
        counted("6", ["", "CALL orders_say('6', 2, 'up')", ""], ["CALL orders_say('6', 1, 'down')", ""]),
    )

    def __init__(self, server: Mariadb) -> None:
        self._server = server

    @contextmanager
    def place(self, number: int, folder: Path) -> Iterator[Place]:
        database = self._server.database()
        try:
            with CountingProxy(self._server.port, MysqlFraming) as proxy, database.connect(admin=True) as admin:
                yield MysqlPlace(proxy, database, admin)
        finally:
            self._server.drop(database)
