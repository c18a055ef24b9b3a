"""MariaDB servers: from Debian's packages (10.11) and from the cache (11.4)."""

import itertools
import os
import shutil
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pymysql

from servers.cache import unpacked
from servers.process import free_port, give, private_folder, remove, run, unprivileged, wait_until

PASSWORD = "pass word/@:?#%41'\\"  # odd on purpose
APP = "app"
"""The user that migrations run as: no rights beyond its databases."""

WHY_NO_11 = "MariaDB 11.4 is not unpacked on this machine: `make test` does that where it can"

_numbers = itertools.count(1)

FAST = {
    "innodb_flush_log_at_trx_commit": "0",
    "innodb_doublewrite": "OFF",
    "innodb_buffer_pool_size": "32M",
    "innodb_log_file_size": "32M",
    "innodb_fast_shutdown": "2",
    "max_connections": "60",
    "bind_address": "127.0.0.1",
    "skip_name_resolve": "ON",
}


def program(name: str = "mariadbd") -> str | None:
    """Return where one of its programs is; None where it is not."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin")


@dataclass(frozen=True)
class MariaDatabase:
    """One empty database of one server, with all rights on it for the application's user."""

    server: "Mariadb"
    name: str

    @property
    def params(self) -> dict[str, str]:
        """The user's way to it, by the names that a Secret uses."""
        return {
            "host": "127.0.0.1",
            "port": str(self.server.port),
            "database": self.name,
            "user": APP,
            "password": PASSWORD,
        }

    def connect(self, *, admin: bool = False) -> "pymysql.Connection[Any]":
        """Connect in autocommit, as the user or as root."""
        return self.server.connect("root" if admin else APP, self.name)

    def query(self, sql: str, *, admin: bool = True) -> list[tuple[object, ...]]:
        """Run one statement and return its rows."""
        with self.connect(admin=admin) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []


class Mariadb:
    """One server in a folder of its own."""

    name = "mariadb"

    def __init__(self, **settings: str) -> None:
        self.program = self.find()
        """How its program is called."""
        self.folder = private_folder(self.name)
        self.data = self.folder / "data"
        self.port = free_port()
        self.settings = FAST | settings
        self.process: subprocess.Popen[bytes] | None = None

    def find(self) -> list[str]:
        """Return how its program is called.

        Raises:
            FileNotFoundError: if it is not there.
        """
        found = program()
        if found is None:
            raise FileNotFoundError("MariaDB is not installed")
        return [found, "--no-defaults"]

    def __enter__(self) -> Self:
        self.create()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGKILL)
        remove(self.folder)

    def create(self) -> None:
        """Make the server's files, and what it runs at each start: the users."""
        self.install()
        users = self.folder / "users.sql"
        password = pymysql.converters.escape_string(PASSWORD)
        # One statement a line. Only root may do all, from TCP too.
        users.write_text(
            f"ALTER USER 'root'@'localhost' IDENTIFIED BY '{password}';\n"
            f"CREATE USER IF NOT EXISTS 'root'@'%' IDENTIFIED BY '{password}';\n"
            "GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;\n"
            f"CREATE USER IF NOT EXISTS '{APP}'@'%' IDENTIFIED BY '{password}';\n"
        )
        give(users)

    def installer(self) -> list[str]:
        """Return how the program is called that makes the server's files."""
        found = program("mariadb-install-db")
        assert found is not None
        return [found, "--no-defaults"]

    def install(self) -> None:
        """Make the server's files."""
        run(
            [
                *self.installer(),
                f"--datadir={self.data}",
                # Two that install at once would take each other's temporary tables.
                f"--tmpdir={self.folder}",
                "--skip-test-db",
                "--innodb-log-file-size=32M",
            ],
            self.rights(),
        )

    def start(self) -> None:
        """Start, and wait until it takes connections."""
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            [
                *self.program,
                f"--datadir={self.data}",
                f"--port={self.port}",
                f"--socket={self.folder}/socket",
                f"--pid-file={self.folder}/pid",
                f"--tmpdir={self.folder}",
                f"--init-file={self.folder}/users.sql",
                *(f"--{name.replace('_', '-')}={value}" for name, value in self.settings.items()),
            ],
            stdout=log,
            stderr=log,
            cwd="/",
            **self.rights(),
        )
        log.close()
        wait_until(self.ready, 60, f"the server in {self.folder}")

    def rights(self) -> dict[str, Any]:
        """Return arguments for Popen that say as whom it runs."""
        return unprivileged()

    def ready(self) -> bool:
        """Tell whether it takes connections."""
        if self.process is not None and self.process.poll() is not None:
            raise RuntimeError((self.folder / "log").read_text())
        try:
            self.connect("root").close()
        except pymysql.OperationalError:
            return False
        return True

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop: SIGTERM is in order, SIGKILL at once."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None

    def connect(self, user: str, database: str | None = None, flags: int = 0) -> "pymysql.Connection[Any]":
        """Connect in autocommit; the flags are those of the client."""
        return pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user=user,
            password=PASSWORD,
            database=database,
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=5,
            client_flag=flags,
            # PyMySQL would read the machine's certificates for each connection, which takes longer than all the rest.
            ssl_disabled=True,
        )

    def admin(self, sql: str) -> None:
        """Run one statement as root."""
        with self.connect("root") as connection, connection.cursor() as cursor:
            cursor.execute(sql)

    def database(self) -> MariaDatabase:
        """Make an empty database."""
        name = f"db{os.getpid()}_{next(_numbers)}"
        self.admin(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        # An underscore stands for any character in GRANT.
        escaped = name.replace("_", "\\_")
        self.admin(f"GRANT ALL ON `{escaped}`.* TO '{APP}'@'%'")
        return MariaDatabase(self, name)

    def drop(self, database: MariaDatabase) -> None:
        """Drop a database and the rights on it; who is still at work in it is not waited for."""
        ask = f"SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '{database.name}'"
        with self.connect("root") as connection, connection.cursor() as cursor:
            cursor.execute(ask)
            for (session,) in cursor.fetchall():
                # It may have ended by itself.
                with suppress(pymysql.err.MySQLError):
                    cursor.execute(f"KILL {session}")
        self.admin(f"DROP DATABASE IF EXISTS {database.name}")
        escaped = database.name.replace("_", "\\_")
        self.admin(f"REVOKE ALL ON `{escaped}`.* FROM '{APP}'@'%'")


class Mariadb11(Mariadb):
    """One of 11.4: the next that is kept for years after 10.11."""

    name = "mariadb11"

    def __init__(self, **settings: str) -> None:
        home = self.home()
        if home is None:
            raise FileNotFoundError(WHY_NO_11)
        self._home = home
        # It would make itself a certificate at each start, which takes it a quarter of a minute.
        super().__init__(**{"ssl": "OFF"} | settings)

    @staticmethod
    def home() -> Path | None:
        """Return where it is unpacked; None where it is not."""
        return unpacked("mariadb", "11.4")

    def find(self) -> list[str]:
        """Return how its program is called."""
        return [f"{self._home}/bin/mariadbd", "--no-defaults", f"--basedir={self._home}", "--user=root"]

    def installer(self) -> list[str]:
        """Return how the program is called that makes the server's files."""
        return [f"{self._home}/scripts/mariadb-install-db", "--no-defaults", f"--basedir={self._home}", "--user=root"]

    def rights(self) -> dict[str, Any]:
        """Return arguments for Popen that say as whom it runs: as whoever the cache belongs to."""
        return {}
