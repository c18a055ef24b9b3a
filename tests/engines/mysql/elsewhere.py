"""A MySQL that somebody else has started: no package of Debian's brings one.

LOCKSTEP_MYSQL_PORT names the port of a server on this machine, whose users root and app have the password that the
tests' own MariaDB has.
"""

import os

from servers.mariadb import Mariadb

VARIABLE = "LOCKSTEP_MYSQL_PORT"


class Mysql(Mariadb):
    """That server; its databases are the tests' own."""

    def __init__(self) -> None:
        self.port = int(os.environ[VARIABLE])

    def __enter__(self) -> "Mysql":
        return self

    def __exit__(self, *_: object) -> None:
        """Leave it running."""


def is_there() -> bool:
    """Tell whether there is one."""
    return VARIABLE in os.environ
