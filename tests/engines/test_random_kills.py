"""Runs that die at any message of the protocol, kill -9 or a cut connection: what is left is exactly what is recorded.

A life is one line in one database that goes up, down and up again while its runs are struck, at messages that chance
has chosen from the seed and the life's number. After every strike: each statement has taken effect as often as the
ledger says, the chain is whole, the lock is free. Where a life fails, its number alone runs it again.
"""

import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lockstep.api.reasons import Reason
from lockstep.planning.wire import Order, Policy
from servers.counted import Connection, first, is_idle, one_by_one, together, verify
from servers.counting import CountingProxy, Strike
from servers.nursery import Newborn, Nursery
from servers.postgres import Postgres
from servers.process import wait_until
from servers.runner import keys_of, order

SEED = int(os.environ.get("CHAOS_SEED", "20261124"))
KILLS = int(os.environ.get("CHAOS", "200"))
LIFE = os.environ.get("CHAOS_LIFE")
BATCHES = 4
"""So that as many workers have something to do."""
KILLS_OF_A_LIFE = 10
FREE_SECONDS = 20.0
"""How long the server may take to notice that a runner is gone: never so long but on a machine that is overloaded."""
MIGRATIONS = (
    first(),
    together("2"),
    one_by_one("3"),
    together("4", "orders", "CREATE VIEW orders_v AS SELECT 1 AS x", "DROP VIEW orders_v"),
    one_by_one("5"),
    together("6"),
)


class Life:
    """One line, from an empty database on."""

    def __init__(self, number: int, server: Postgres, nursery: Nursery, folder: Path, seen: Counter[str]) -> None:
        self.number = number
        self.seen = seen
        self._chance = random.Random(f"{SEED}/{number}")
        self._server = server
        self._nursery = nursery
        self._folder = folder / f"life{number}"
        self._runs = 0
        self._messages = {True: 1500, False: 1800}
        """How many messages the last run took that nothing has struck: about so many the next one has."""
        self.log: list[str] = []
        """What was done, for whoever reads of a failure."""

    def go(self) -> None:
        """Live it."""
        database = self._server.database()
        try:
            with CountingProxy(self._server.port) as proxy, closing(database.connect(admin=True)) as admin:
                secret = keys_of(database) | {"port": str(proxy.port), "sslmode": "disable"}
                self._way(proxy, admin, secret)
        except Exception as error:
            told = "\n".join(self.log)
            raise AssertionError(
                f"life {self.number} of seed {SEED} failed: {error}\n{told}\n"
                f"again: CHAOS_SEED={SEED} CHAOS_LIFE={self.number} pytest tests/engines/test_random_kills.py"
            ) from error
        finally:
            self._server.drop(database)

    def _way(self, proxy: CountingProxy, admin: Connection, secret: dict[str, str]) -> None:
        struck = 0
        target = "latest"
        while struck < KILLS_OF_A_LIFE:
            arrived = self._attempt(target, proxy, admin, secret, strike=True)
            struck += proxy.struck.is_set()
            if arrived:
                target = self._chance.choice(["1", "2", "3"]) if target == "latest" else "latest"
        # What was struck last goes on as well.
        assert self._attempt(target, proxy, admin, secret, strike=False)

    def _attempt(
        self, target: str, proxy: CountingProxy, admin: Connection, secret: dict[str, str], *, strike: bool
    ) -> bool:
        """Run once; tell whether the line has arrived."""
        pod = Newborn(self._nursery, self._folder, f"pod{self._runs}")
        self._runs += 1
        proxy.struck.clear()
        how, client = self._arm(proxy, pod) if strike else ("", True)
        pod.start(self._order(target), secret)
        code = pod.wait()
        proxy.disarm()
        wait_until(lambda: is_idle(admin), FREE_SECONDS, "a free lock")
        state = verify(admin, MIGRATIONS)
        if code < 0:
            assert proxy.struck.is_set(), pod.text()
            self.seen[f"{how}, at {'its own' if client else 'the server'}'s message"] += 1
            self.seen["by half"] += bool(state.journal)
            return False
        ended = pod.ended(code)
        if not proxy.struck.is_set():
            self._messages = dict(proxy.counted)
        else:
            self.seen[f"{how}, at {'its own' if client else 'the server'}'s message"] += 1
            if ended.result.reason is Reason.UNREACHABLE:
                # Cut off while it connected for the first time: the next attempt goes on.
                return False
            # Else the same run has gone on in a new session, or was through already.
        assert ended.result.reason is Reason.UP_TO_DATE, pod.text()
        assert not state.journal, state
        wanted = "6" if target == "latest" else target
        assert (ended.result.version, max(state.applied)) == (wanted, wanted), pod.text()
        return True

    def _arm(self, proxy: CountingProxy, pod: Newborn) -> tuple[str, bool]:
        how = self._chance.choice([Strike.KILL, Strike.KILL, Strike.KILL_SENT, Strike.KILL_SENT, Strike.CUT])
        client = self._chance.random() < 0.6
        after = 1 + self._chance.randrange(self._messages[client])
        self.log.append(f"pod{self._runs - 1}: {how.name} at message {after} of the {'client' if client else 'server'}")
        proxy.arm(after, how, client=client, kill=pod.strike)
        return how.name, client

    def _order(self, target: str) -> Order:
        return order(*MIGRATIONS, target=target, policy=Policy(rollback="Allow"), job=f"job{self.number}")


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as made:
        yield made


def lives_of(batch: int) -> list[int]:
    """Return the numbers of a batch's lives."""
    if LIFE is not None:
        return [int(LIFE)] if batch == 0 else []
    return list(range(batch, -(-KILLS // KILLS_OF_A_LIFE), BATCHES))


@pytest.mark.timeout(300 + 3 * KILLS)
@pytest.mark.parametrize("batch", range(BATCHES))
def test_killed_at_any_message_each_is_applied_exactly_once(
    batch: int, server: Postgres, nursery: Nursery, tmp_path: Path
) -> None:
    seen: Counter[str] = Counter()
    lives = lives_of(batch)
    for number in lives:
        Life(number, server, nursery, tmp_path, seen).go()
    kills = sum(number for what, number in seen.items() if what != "by half")
    print(f"seed {SEED}, batch {batch}: {kills} kills in {len(lives)} lives: {dict(sorted(seen.items()))}")
    assert kills >= KILLS_OF_A_LIFE * len(lives)
