"""Runs that die at any moment, of kill -9 or by a fault under them: what is left is exactly what is recorded.

Behind a server the moments are the messages of its protocol: before one is sent, when it has been, when the answer is
under way, or the connection is cut there. SQLite has none: its moments are its statements and system calls. After every
strike, each statement has taken effect as often as the ledger says, the chain is whole, the lock is free. Chance has
the seed, and each life its number: where one fails, that number alone runs it again.
"""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from engines.kills.ground import Ground
from engines.kills.life import KILLS as KILLS_OF_A_LIFE
from engines.kills.life import Life
from engines.kills.mysql import Mysql
from engines.kills.postgresql import Postgresql
from engines.kills.sqlite import Sqlite
from servers.moments import can_be_counted
from servers.nursery import Nursery

SEED = int(os.environ.get("CHAOS_SEED", "20261124"))
KILLS = int(os.environ.get("CHAOS", "200"))
LIFE = os.environ.get("CHAOS_LIFE")
BATCHES = 4
"""So that as many workers have something to do."""


class Nurseries:
    """Has a nursery for each engine that is asked for."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._made: dict[str, Nursery] = {}

    def of(self, engine: str) -> Nursery:
        """Return an engine's."""
        if engine not in self._made:
            self._made[engine] = self._stack.enter_context(Nursery(engine))
        return self._made[engine]


@pytest.fixture(scope="module")
def nurseries() -> Iterator[Nurseries]:
    with ExitStack() as stack:
        yield Nurseries(stack)


@pytest.fixture(params=["postgresql", "mariadb", "mysql", "sqlite"])
def ground(request: pytest.FixtureRequest) -> Ground:
    """Each engine in turn."""
    if request.param == "postgresql":
        return Postgresql(request.getfixturevalue("server"))
    if request.param in {"mariadb", "mysql"}:
        return Mysql(request.getfixturevalue(request.param))
    if not can_be_counted():
        pytest.skip("SQLite is linked into this Python: its system calls cannot be counted")
    return Sqlite()


def lives_of(batch: int) -> list[int]:
    """Return the numbers of a batch's lives."""
    if LIFE is not None:
        return [int(LIFE)] if batch == 0 else []
    return list(range(batch, -(-KILLS // KILLS_OF_A_LIFE), BATCHES))


@pytest.mark.timeout(300 + 3 * KILLS)
@pytest.mark.parametrize("batch", range(BATCHES))
def test_killed_at_any_moment_each_is_applied_exactly_once(
    batch: int, ground: Ground, nurseries: Nurseries, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.params["ground"]
    seen: Counter[str] = Counter()
    lives = lives_of(batch)
    for number in lives:
        life = Life(number, SEED, ground, nurseries.of(ground.engine), tmp_path)
        try:
            life.go()
        except Exception as error:
            told = "\n".join(life.log)
            raise AssertionError(
                f"life {number} of seed {SEED} failed: {error}\n{told}\n"
                f"again: CHAOS_SEED={SEED} CHAOS_LIFE={number} pytest tests/engines/kills -k {name}-0"
            ) from error
        seen += life.seen
    kills = sum(number for what, number in seen.items() if " at " in what)
    print(f"{name}, seed {SEED}, batch {batch}: {kills} kills in {len(lives)} lives: {dict(sorted(seen.items()))}")
    assert kills >= KILLS_OF_A_LIFE * len(lives)
