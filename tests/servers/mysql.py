"""A MySQL server, from where `make test` has unpacked it: see deploy/local/localcluster/unstable.py."""

import subprocess
from typing import Any

from servers.cache import CACHE
from servers.mariadb import Mariadb

HOME = CACHE / "mysql"
WHY_NOT = "MySQL is not unpacked on this machine: `make test` does that where it can"


def is_there() -> bool:
    """Tell whether it is unpacked."""
    return (HOME / "usr/sbin/mysqld").exists()


class Mysql(Mariadb):
    """One server in a folder of its own, with the users of the tests' MariaDB."""

    name = "mysql"

    def __init__(self, **settings: str) -> None:
        super().__init__(**settings)
        # It has another name for the first, and no need of the second.
        del self.settings["innodb_log_file_size"]
        self.settings |= {
            "innodb_redo_log_capacity": "32M",
            "mysqlx": "OFF",
            "disable_log_bin": "ON",
            "secure_file_priv": "",
        }

    def find(self) -> list[str]:
        """Return how its program is called: with the libraries that came with it."""
        if not is_there():
            raise FileNotFoundError(WHY_NOT)
        (loader,) = (HOME / "usr/lib").glob("*-linux-gnu/ld-linux-*.so.2")
        libraries = f"{loader.parent}:{HOME / 'usr/lib/mysql/private'}"
        program = [str(loader), "--library-path", libraries, str(HOME / "usr/sbin/mysqld")]
        return [*program, "--no-defaults", f"--basedir={HOME / 'usr'}", "--user=root"]

    def install(self) -> None:
        """Make the server's files."""
        subprocess.run(
            [*self.program, "--initialize-insecure", f"--datadir={self.data}", "--innodb-redo-log-capacity=32M"],
            check=True,
            capture_output=True,
            cwd="/",
        )

    def rights(self) -> dict[str, Any]:
        """Return arguments for Popen that say as whom it runs: as whoever the cache belongs to."""
        return {}
