"""Real servers, one of a kind for the session of each worker; an empty database and a pod for each test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from servers.mariadb import WHY_NO_11, MariaDatabase, Mariadb, Mariadb11, program
from servers.mysql import WHY_NOT, Mysql, is_there
from servers.nursery import ENGINES, Newborn, Nursery
from servers.pgbouncer import Pgbouncer
from servers.postgres import Database, Postgres, binaries
from servers.runner import Pod
from servers.views import Connection

VERSIONS = (18, 17, 16, 15, 14)


class Servers:
    """Starts a server when it is first asked for."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._running: dict[int, Postgres] = {}

    def get(self, version: int) -> Postgres:
        """Return the server of a version; skips where it is not installed."""
        if version not in self._running:
            if binaries(version) is None:
                pytest.skip(f"PostgreSQL {version} is not installed on this machine")
            self._running[version] = self._stack.enter_context(Postgres(version))
        return self._running[version]


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    with ExitStack() as stack:
        yield Servers(stack)


@pytest.fixture(params=VERSIONS, ids=lambda version: f"postgresql{version}")
def any_server(request: pytest.FixtureRequest, servers: Servers) -> Postgres:
    """Each version in turn."""
    version: int = request.param
    return servers.get(version)


@pytest.fixture
def server(servers: Servers) -> Postgres:
    """The newest version, where the version makes no difference."""
    return servers.get(18)


@pytest.fixture
def database(server: Postgres) -> Iterator[Database]:
    """An empty database of the newest version."""
    made = server.database()
    yield made
    server.drop(made)


@pytest.fixture
def admin(database: Database) -> Iterator[Connection]:
    """The superuser's connection to it."""
    with closing(database.connect(admin=True)) as connection:
        yield connection


@pytest.fixture
def any_database(any_server: Postgres) -> Iterator[Database]:
    """An empty database of each version in turn."""
    made = any_server.database()
    yield made
    any_server.drop(made)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Mariadb]:
    if program() is None:
        pytest.skip("MariaDB is not installed on this machine")
    with Mariadb() as running:
        yield running


@pytest.fixture(scope="session")
def mariadb11() -> Iterator[Mariadb]:
    if Mariadb11.home() is None:
        pytest.skip(WHY_NO_11)
    with Mariadb11() as running:
        yield running


@pytest.fixture(scope="session")
def mysql() -> Iterator[Mysql]:
    if not is_there():
        pytest.skip(WHY_NOT)
    with Mysql() as running:
        yield running


@pytest.fixture
def maria_database(mariadb: Mariadb) -> Iterator[MariaDatabase]:
    """An empty database of MariaDB."""
    made = mariadb.database()
    yield made
    mariadb.drop(made)


FROM_THE_START = frozenset({"test_apply", "test_connection", "mysql/test_connection"})
"""Suites whose pods, on the newest server, are processes from the start of Python on; others are forked (Nursery)."""


@pytest.fixture(scope="session")
def mother() -> Iterator[Nursery]:
    with Nursery(*ENGINES) as made:
        yield made


class Pods:
    """Makes pods, and ends those that a failed test has left."""

    def __init__(self, folder: Path, mother: Nursery | None = None) -> None:
        self._folder = folder
        self._mother = mother
        self._made: list[Pod] = []

    def __call__(self, name: str = "orders-abc-x1") -> Pod:
        pod = Pod(self._folder, name) if self._mother is None else Newborn(self._mother, self._folder, name)
        self._made.append(pod)
        return pod

    def end(self) -> None:
        """Kill what still runs."""
        for pod in self._made:
            if pod.alive:
                pod.kill()


@pytest.fixture
def newborns(mother: Nursery, tmp_path: Path) -> Iterator[Callable[[str], Newborn]]:
    """Make pods that are forked; what a failed test has left is ended."""
    made: list[Newborn] = []

    def make(name: str) -> Newborn:
        made.append(Newborn(mother, tmp_path, name))
        return made[-1]

    yield make
    for pod in made:
        if pod.alive:
            pod.kill()


@pytest.fixture
def pods(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pods]:
    suite = request.path.relative_to(Path(__file__).parent).with_suffix("").as_posix()
    given = getattr(request.node, "callspec", None)
    newest = given is None or given.params.get("any_server", VERSIONS[0]) == VERSIONS[0]
    # A fork begins with its mother's memory.
    real = newest and (suite in FROM_THE_START or "memory" in request.node.name)
    made = Pods(tmp_path, None if real else request.getfixturevalue("mother"))
    yield made
    made.end()


@pytest.fixture
def pod(pods: Pods) -> Pod:
    return pods()


@pytest.fixture
def hurried(newborns: Callable[[str], Newborn]) -> Newborn:
    """A pod that gives way soon to who does not let go of a lock."""
    made = newborns("orders-abc-hurried")
    made.hurries = True
    return made


@pytest.fixture
def pooler(database: Database, request: pytest.FixtureRequest) -> Iterator[Pgbouncer]:
    """A pgbouncer before the database; the parameter is its pool mode."""
    if Pgbouncer.program() is None:
        pytest.skip("pgbouncer is not installed on this machine")
    with Pgbouncer(database, request.param) as running:
        yield running
