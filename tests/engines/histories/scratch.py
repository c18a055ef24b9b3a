"""Databases for other tools to migrate: on real servers, with a plain role, and dumped as SQL that can be run again."""

import sqlite3
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
import pymysql

from servers.mariadb import Mariadb, Mariadb11
from servers.mariadb import program as mariadb_program
from servers.postgres import Postgres

USER: Final = "recorder"
"""The role that the tools work as, and its password: theirs is not the place to try odd ones."""


@dataclass(frozen=True)
class Scratch:
    """One empty database."""

    engine: str
    """postgresql, mariadb or sqlite."""
    name: str
    """For SQLite the path of its file."""
    port: int = 0
    dump_program: str = ""

    @property
    def jdbc(self) -> str:
        """Its URL for Java; user and password go beside it."""
        return f"jdbc:{self.engine}://127.0.0.1:{self.port}/{self.name}"

    @property
    def url(self) -> str:
        """Its URL as most tools take it."""
        if self.engine == "sqlite":
            return f"sqlite:{self.name}"
        if self.engine == "mariadb":
            return f"mysql://{USER}:{USER}@127.0.0.1:{self.port}/{self.name}"
        return f"postgres://{USER}:{USER}@127.0.0.1:{self.port}/{self.name}?sslmode=disable"

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows."""
        if self.engine == "postgresql":
            with psycopg.connect(autocommit=True, **self._params) as connection:
                cursor = connection.execute(sql.encode())
                return cursor.fetchall() if cursor.description else []
        if self.engine == "mariadb":
            with pymysql.connect(autocommit=True, ssl_disabled=True, **self._params) as other, other.cursor() as found:
                found.execute(sql)
                return list(found.fetchall())
        with sqlite3.connect(self.name, isolation_level=None) as file:
            return list(file.execute(sql))

    @property
    def _params(self) -> dict[str, Any]:
        name = "dbname" if self.engine == "postgresql" else "database"
        return {"host": "127.0.0.1", "port": self.port, name: self.name, "user": USER, "password": USER}

    def dump(self, tables: Sequence[str]) -> str:
        """Return these tables and their rows as SQL."""
        if self.engine == "postgresql":
            words = [self.dump_program, "--inserts", "--no-owner", "--no-privileges", "--no-comments"]
            words += [f"--table={table}" for table in tables] + [f"--dbname={self._conninfo}"]
        elif self.engine == "mariadb":
            # Some write them in capitals.
            listed = ", ".join(f"'{table}'" for table in tables)
            there = (
                f"FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND LOWER(TABLE_NAME) IN ({listed})"
            )
            # In the order that was asked for: the server's is that of its folder's files.
            found = {name.lower(): name for (name,) in self.query(f"SELECT TABLE_NAME {there}")}
            tables = [found[table] for table in tables if table in found]
            words = [self.dump_program, "--no-defaults", "--skip-ssl", "--compact", "--skip-extended-insert"]
            words += [
                "--no-tablespaces",
                "--host=127.0.0.1",
                f"--port={self.port}",
                f"--user={USER}",
                f"--password={USER}",
                self.name,
                *tables,
            ]
        else:
            with sqlite3.connect(self.name) as file:
                wanted = [each for each in file.iterdump() if any(table in each for table in tables)]
                return "\n".join(wanted) + "\n"
        text = subprocess.run(words, check=True, capture_output=True, text=True).stdout
        # Settings of the session and words for the tools' own clients are not part of the tables.
        noise = ("--", "SET ", "SELECT pg_catalog.set_config", "\\", "/*!", "/*M!")
        lines = [line for line in text.splitlines() if line and not line.startswith(noise)]
        return "\n".join(lines) + "\n"

    @property
    def _conninfo(self) -> str:
        return f"postgresql://{USER}:{USER}@127.0.0.1:{self.port}/{self.name}"


def mariadb_dump() -> str | None:
    """Return where mariadb-dump is: Debian's, or that of the servers in the cache."""
    home = Mariadb11.home()
    return mariadb_program("mariadb-dump") or (None if home is None else str(home / "bin" / "mariadb-dump"))


class Servers:
    """Makes scratch databases, on servers that are started when they are first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._postgres: Postgres | None = None
        self._mariadb: Mariadb | None = None
        self._made = 0

    @contextmanager
    def running(self) -> Iterator["Servers"]:
        """Stop the servers at the end."""
        try:
            yield self
        finally:
            for server in (self._postgres, self._mariadb):
                if server is not None:
                    server.__exit__()

    def database(self, engine: str) -> Scratch:
        """Make an empty database."""
        self._made += 1
        name = f"scratch{self._made}"
        if engine == "postgresql":
            if self._postgres is None:
                self._postgres = Postgres(15)
                self._postgres.__enter__()
                self._postgres.admin(f"CREATE ROLE {USER} LOGIN PASSWORD '{USER}'")
            server = self._postgres
            server.admin(f"CREATE DATABASE {name} OWNER {USER} TEMPLATE template0")
            return Scratch(engine, name, server.port, str(server.bin / "pg_dump"))
        if engine == "mariadb":
            if self._mariadb is None:
                self._mariadb = Mariadb()
                self._mariadb.__enter__()
                self._mariadb.admin(f"CREATE USER '{USER}'@'%' IDENTIFIED BY '{USER}'")
            self._mariadb.admin(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
            self._mariadb.admin(f"GRANT ALL ON {name}.* TO '{USER}'@'%'")
            return Scratch(engine, name, self._mariadb.port, mariadb_dump() or "")
        return Scratch(engine, str(self._folder / f"{name}.db"))
