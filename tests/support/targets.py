"""Databases that pods of the cluster can reach: on real servers of this machine, at the node's address."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from servers.certificates import Authority
from servers.postgres import Database, Postgres
from servers.process import give
from support.kube import Object, secret


class Target:
    """One empty database, and the role that migrations run as."""

    def __init__(self, database: Database, host: str) -> None:
        self.database = database
        self.host = host
        params = database.params
        self.port = int(params["port"])
        self.name = params["dbname"]
        self.user = params["user"]
        self.password = params["password"]

    def url_of(self, name: str, password: str | None = None) -> str:
        """Return the URL of a database of the same server, as pods reach it."""
        return f"postgres://{self.user}:{quote(password or self.password, safe='')}@{self.host}:{self.port}/{name}"

    @property
    def url(self) -> str:
        """Return the URL, as pods reach it."""
        return self.url_of(self.name)

    def url_at(self, port: int) -> str:
        """Return the URL of the database behind another port."""
        return self.url.replace(f":{self.port}/", f":{port}/")

    def secret(self, name: str = "db") -> Object:
        """Return the Secret with the URL."""
        return secret(name, url=self.url)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Run one statement as the superuser and return its rows."""
        return self.database.query(sql)

    def execute(self, sql: str) -> None:
        """Run one statement as the application's role."""
        self.database.query(sql, admin=False)

    def create_database(self, name: str) -> None:
        """Make another database of the role's."""
        self.database.server.admin(f"CREATE DATABASE {name} OWNER {self.user}")

    def tables(self) -> set[str]:
        """Return the tables of the public schema."""
        found = self.query("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
        return {str(name) for (name,) in found}

    def columns(self, table: str) -> list[str]:
        """Return the columns of a table in their order."""
        found = self.query(
            f"SELECT attname FROM pg_attribute WHERE attrelid = 'public.{table}'::regclass AND attnum > 0 "
            "AND NOT attisdropped ORDER BY attnum"
        )
        return [str(name) for (name,) in found]

    @contextmanager
    def holding(self, sql: str, application: str) -> Iterator[None]:
        """Hold what a statement takes, in a transaction of a session of its own."""
        params: dict[str, Any] = {**self.database.params, "application_name": application}
        with psycopg.connect(**params) as connection:
            connection.execute(sql.encode())
            yield
            connection.rollback()


@contextmanager
def reachable(
    address: str,
    *,
    version: int = 18,
    admit: str = "host all all 0.0.0.0/0 scram-sha-256",
    settings: Mapping[str, str] | None = None,
) -> Iterator[Postgres]:
    """Run a server that pods can reach at the node's address.

    Args:
        address: that address.
        version: which PostgreSQL.
        admit: lines for pg_hba.conf beside those for this machine.
        settings: lines for postgresql.conf.
    """
    server = Postgres(version, **{"listen_addresses": f"'127.0.0.1,{address}'", **(settings or {})})
    server.create()
    with (server.data / "pg_hba.conf").open("a") as out:
        out.write(admit + "\n")
    server.start()
    try:
        server.prepare()
        yield server
    finally:
        server.__exit__()


def certified(server_folder: Path, authority: Authority, host: str) -> dict[str, str]:
    """Write a certificate for a host into a folder of the server's, and return the settings that use it."""
    pair = authority.sign(host, (host,))
    for name, text in {"server.crt": pair.certificate, "server.key": pair.key, "ca.crt": authority.pem}.items():
        path = server_folder / name
        path.write_text(text)
        path.chmod(0o600)
        give(path)
    return {
        "ssl": "on",
        "ssl_cert_file": f"'{server_folder}/server.crt'",
        "ssl_key_file": f"'{server_folder}/server.key'",
        "ssl_ca_file": f"'{server_folder}/ca.crt'",
    }
