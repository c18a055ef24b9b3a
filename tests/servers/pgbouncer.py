"""A real pgbouncer before a database."""

import shutil
import socket
import subprocess
from contextlib import closing
from pathlib import Path

from servers.postgres import APP, PASSWORD, Database
from servers.process import free_port, give, private_folder, remove, unprivileged, wait_until


class Pgbouncer:
    """One pooler; each client of it may use the database by its name."""

    def __init__(self, database: Database, mode: str, addresses: str = "127.0.0.1") -> None:
        self.database = database
        self.mode = mode
        self.addresses = addresses
        self.port = free_port()
        self.folder = private_folder("pgbouncer")
        self.process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def program() -> str | None:
        """Return where it is, if it is installed."""
        return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")

    @property
    def params(self) -> dict[str, str]:
        """The role's way to the database through the pooler."""
        return self.database.params | {"port": str(self.port)}

    def __enter__(self) -> "Pgbouncer":
        program = self.program()
        assert program is not None
        users = self.folder / "users"
        users.write_text(f'"{APP}" "{PASSWORD}"\n')
        settings = self.folder / "pgbouncer.ini"
        settings.write_text(
            f"""[databases]
{self.database.name} = host=127.0.0.1 port={self.database.server.port}
[pgbouncer]
listen_addr = {self.addresses}
listen_port = {self.port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = {self.mode}
default_pool_size = 5
"""
        )
        give(users)
        give(settings)
        log = (self.folder / "log").open("wb")
        self.process = subprocess.Popen([program, str(settings)], stdout=log, stderr=log, cwd="/", **unprivileged())
        log.close()
        wait_until(self._ready, what=f"pgbouncer in {self.folder}")
        return self

    def _ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise RuntimeError(Path(self.folder / "log").read_text())
        with closing(socket.socket()) as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
        remove(self.folder)
