"""Lives on PostgreSQL."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import ClassVar

from engines.kills.ground import Ground, Place, Wire
from servers.counted import View, first, one_by_one, together
from servers.counting import CountingProxy
from servers.postgres import Postgres
from servers.runner import keys_of
from servers.views import Connection, PostgresqlView


class PostgresqlPlace(Wire):
    """One database of a server."""

    COMMIT: ClassVar = b"COMMIT"

    def __init__(self, proxy: CountingProxy, secret: dict[str, str], admin: Connection) -> None:
        super().__init__(proxy, 1500)
        self.secret = secret | {"port": str(proxy.port), "sslmode": "disable"}
        self._view = PostgresqlView(admin)

    def is_idle(self) -> bool:
        return self._view.is_idle()

    @contextmanager
    def look(self) -> Iterator[View]:
        yield self._view


class Postgresql(Ground):
    """The newest version that there is here."""

    engine: ClassVar = "postgresql"
    migrations: ClassVar = (
        first(),
        together("2"),
        one_by_one("3"),
        # The server gets the second of two that are small before it is through with the first.
        together("4", "orders", "CREATE VIEW orders_v AS SELECT 1 AS x", "DROP VIEW orders_v"),
        together("5"),
        one_by_one("6"),
    )

    def __init__(self, server: Postgres) -> None:
        self._server = server

    @contextmanager
    def place(self, number: int, folder: Path) -> Iterator[Place]:
        database = self._server.database()
        try:
            with CountingProxy(self._server.port) as proxy, closing(database.connect(admin=True)) as admin:
                yield PostgresqlPlace(proxy, keys_of(database), admin)
        finally:
            self._server.drop(database)
