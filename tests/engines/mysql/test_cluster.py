"""A cluster whose nodes grant the same lock each: the lease in the run's row decides."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from engines.mysql.cluster import Node, cluster, provider
from engines.mysql.words import Pods, applied, done, is_running, keys, tables
from lockstep.api.reasons import Reason
from lockstep.engines.mysql.lease import until_of
from lockstep.engines.mysql.lock import lock_name
from servers.mariadb import MariaDatabase
from servers.process import wait_until
from servers.runner import migration, order

ONE = migration("1", "CREATE TABLE t (x int)")
SLOW = migration("2", "INSERT INTO t VALUES (1); SELECT SLEEP(60); INSERT INTO t VALUES (2)")
QUICK = migration("2", "CREATE TABLE u (x int); INSERT INTO u VALUES (1)")


@pytest.fixture(scope="module")
def nodes() -> Iterator[tuple[Node, Node]]:
    if provider() is None:
        pytest.skip("Galera is not installed on this machine")
    with ExitStack() as stack:
        yield cluster(stack)


@pytest.fixture
def both(nodes: tuple[Node, Node]) -> Iterator[tuple[MariaDatabase, MariaDatabase]]:
    """One database, by way of each node."""
    made = nodes[0].database()
    yield made, MariaDatabase(nodes[1], made.name)
    nodes[0].drop(made)


def lease(database: MariaDatabase) -> str:
    [(session,)] = database.query("SELECT session FROM lockstep_run")
    return until_of(str(session))


def test_a_run_on_another_node_gives_way(both: tuple[MariaDatabase, MariaDatabase], pods: Pods) -> None:
    here, there = both
    first, second = pods("first"), pods("second")
    first.start(order(ONE, SLOW), keys(here))
    wait_until(is_running(here, "SELECT SLEEP"), 60, what="the slow statement")
    # The other node would grant the lock itself.
    assert there.query(f"SELECT GET_LOCK('{lock_name(there.name, 'orders')}', 0)") == [(1,)]
    ended = second.run(order(ONE, QUICK), keys(there))
    assert (ended.code, ended.result.reason, ended.result.holder) == (10, Reason.LOCK_HELD, "first"), ended.text
    assert "lease" in ended.result.message
    first.signal(signal.SIGTERM)
    assert first.end().result.reason is Reason.INTERRUPTED
    # A run that ends lets go of its lease.
    assert lease(there) == ""
    done(second.run(order(ONE, QUICK), keys(there)))
    assert tables(here) == {"t", "u"}


def test_a_lease_is_renewed(both: tuple[MariaDatabase, MariaDatabase], pods: Pods) -> None:
    here, there = both
    first = pods("first")
    first.start(order(ONE, SLOW), keys(here))
    wait_until(is_running(here, "SELECT SLEEP"), 60, what="the slow statement")
    before = lease(there)
    assert before
    wait_until(lambda: lease(there) > before, 30, "a later lease")
    first.signal(signal.SIGTERM)
    first.end()


def test_a_lease_that_has_run_out_is_anybodys(both: tuple[MariaDatabase, MariaDatabase], pods: Pods) -> None:
    """And the run that had it is fenced, and knows: its next renewal finds another's row."""
    here, there = both
    first, second = pods("first"), pods("second")
    first.start(order(ONE, SLOW), keys(here))
    wait_until(is_running(here, "SELECT SLEEP"), 60, what="the slow statement")
    first.signal(signal.SIGSTOP)
    # Not to wait for it.
    there.query("UPDATE lockstep_run SET session = '7 until 2026-01-01T00:00:00.000Z'")
    done(second.run(order(ONE, QUICK), keys(there)))
    first.signal(signal.SIGCONT)
    ended = first.end(90)
    assert ended.result.reason is Reason.CHECKSUM_MISMATCH, ended.text
    assert len(ended.events("connection_lost")) == 1
    assert there.query("SELECT * FROM t") == []
    assert applied(here) == ["1", "2"]
