"""MariaDB and MySQL; an empty database of each for each test."""

from collections.abc import Iterator

import pytest

from servers.mariadb import MariaDatabase, Mariadb
from servers.mysql import Mysql


@pytest.fixture(params=["mariadb", "mariadb11", "mysql"])
def server(request: pytest.FixtureRequest) -> Mariadb:
    """Each kind in turn."""
    found: Mariadb = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def database(server: Mariadb) -> Iterator[MariaDatabase]:
    """An empty database of each kind in turn."""
    made = server.database()
    yield made
    server.drop(made)


@pytest.fixture
def mysql_database(mysql: Mysql) -> Iterator[MariaDatabase]:
    """An empty database of MySQL."""
    made = mysql.database()
    yield made
    mysql.drop(made)
