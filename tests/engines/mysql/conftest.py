"""MariaDB, and MySQL where there is one; an empty database of each for each test."""

from collections.abc import Iterator

import pytest

from engines.mysql.elsewhere import VARIABLE, Mysql, is_there
from servers.mariadb import MariaDatabase, Mariadb


@pytest.fixture(params=["mariadb", "mysql"])
def server(request: pytest.FixtureRequest) -> Mariadb:
    """Each kind in turn."""
    if request.param == "mariadb":
        found: Mariadb = request.getfixturevalue("mariadb")
        return found
    if not is_there():
        pytest.skip(f"there is no MySQL on this machine: {VARIABLE} names none")
    return Mysql()


@pytest.fixture
def database(server: Mariadb) -> Iterator[MariaDatabase]:
    """An empty database of each kind in turn."""
    made = server.database()
    yield made
    server.drop(made)
