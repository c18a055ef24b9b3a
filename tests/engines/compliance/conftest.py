"""Every test of the suite runs for every target: to add one is a module beside these, and its line here."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from engines.compliance.mysql import Maria, Maria11, MySql
from engines.compliance.postgresql import Postgresql, Postgresql14, Postgresql15, Postgresql16, Postgresql17
from engines.compliance.sqlite import Sqlite, SqliteWal
from engines.compliance.target import Place, Target

TARGETS: tuple[type[Target], ...] = (
    Postgresql,
    Postgresql17,
    Postgresql16,
    Postgresql15,
    Postgresql14,
    Sqlite,
    SqliteWal,
    Maria,
    Maria11,
    MySql,
)


class Started:
    """Starts a target when it is first asked for."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._started: dict[type[Target], Target] = {}

    def get(self, kind: type[Target]) -> Target:
        """Return the one that runs."""
        if kind not in self._started:
            made = kind()
            made.start(self._stack)
            self._started[kind] = made
        return self._started[kind]


@pytest.fixture(scope="session")
def started() -> Iterator[Started]:
    with ExitStack() as stack:
        yield Started(stack)


@pytest.fixture(params=TARGETS, ids=lambda kind: kind.name)
def target(request: pytest.FixtureRequest, started: Started) -> Target:
    """Each target in turn."""
    return started.get(request.param)


@pytest.fixture
def place(target: Target) -> Iterator[Place]:
    """An empty database of each target in turn."""
    made = target.database()
    yield made
    made.drop()
