"""One run at a time on a line, whatever becomes of the runners: killed, frozen, cut off, told to stop."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
from msgspec.structs import replace
from psycopg.conninfo import make_conninfo

from lockstep.api.reasons import Reason
from servers.faults import Fault, FaultyProxy
from servers.postgres import Database, Postgres, binaries
from servers.process import wait_until
from servers.runner import OWNER, Ended, Pod, keys_of, limits, migration, numbered, order

Pods = Callable[..., Pod]

ONE = migration("1", "CREATE TABLE t (x int)")
SLOW = migration("2", "INSERT INTO t VALUES (1); SELECT pg_sleep(60); INSERT INTO t VALUES (2)")
QUICK = migration("3", "CREATE TABLE u ()")
LARGE = migration("3", f"CREATE TABLE u (); SELECT length('{'x' * 40_000}')")
"""It is not at the server before the end of the step before it is known."""

SLEEPING = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND datname = current_database()"
HELD = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database AND d.datname = current_database() " \
       "WHERE locktype = 'advisory'"  # fmt: skip


def sleeps(database: Database) -> Callable[[], bool]:
    return lambda: bool(database.query(SLEEPING))


def is_free(database: Database) -> bool:
    return database.query(HELD) == [(0,)]


def applied(database: Database) -> list[object]:
    return [row[0] for row in database.query("SELECT version FROM lockstep.applied ORDER BY sequence")]


@contextmanager
def in_the_slow_one(database: Database, pod: Pod) -> Iterator[None]:
    """A pod in the middle of a migration."""
    pod.start(order(ONE, SLOW), keys_of(database))
    wait_until(sleeps(database), what="the slow statement")
    yield


def test_the_second_run_gives_way_and_names_the_holder(any_database: Database, pods: Pods, hurried: Pod) -> None:
    first, second = pods("orders-abc-first"), hurried
    with in_the_slow_one(any_database, first):
        ended = second.run(order(ONE, QUICK), keys_of(any_database))
        assert (ended.code, ended.result.reason) == (10, Reason.LOCK_HELD)
        assert ended.result.holder == "orders-abc-first"
        assert "orders-abc-first" in ended.result.message
        # Another line is free to go on.
        other = replace(order(migration("1", "CREATE TABLE v ()")), line="billing", owner=replace(OWNER, name="b"))
        assert second.run(other, keys_of(any_database)).code == 0


def test_four_lines_make_the_ledger_at_once(any_database: Database, pods: Pods) -> None:
    ends: list[Ended] = []

    def run(number: int) -> None:
        wanted = order(migration("1", f"CREATE TABLE t{number} ()"), owner=replace(OWNER, name=f"line{number}"))
        ends.append(pods(f"pod{number}").run(replace(wanted, line=f"line{number}"), keys_of(any_database)))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [ended.result.reason for ended in ends] == [Reason.UP_TO_DATE] * 4, [ended.text for ended in ends]
    assert any_database.query("SELECT count(*), count(DISTINCT line) FROM lockstep.history") == [(4, 4)]
    assert sum(len(ended.events("ledger_created")) for ended in ends) == 1


def test_many_runs_of_one_line_apply_it_once(any_database: Database, pods: Pods) -> None:
    wanted = order(*numbered(20))
    started = [pods(f"pod{number}") for number in range(4)]
    for each in started:
        each.start(wanted, keys_of(any_database))
    ends = [each.end() for each in started]
    assert {ended.result.reason for ended in ends} <= {Reason.UP_TO_DATE, Reason.LOCK_HELD}
    assert sum(ended.result.applied for ended in ends) == 20
    assert any_database.query("SELECT count(*) FROM lockstep.history") == [(20,)]


def test_a_stop_ends_the_statement_and_frees_the_lock(any_database: Database, pod: Pod) -> None:
    with in_the_slow_one(any_database, pod):
        pod.signal(signal.SIGTERM)
        ended = pod.end(10)
    assert (ended.code, ended.result.reason) == (10, Reason.INTERRUPTED)
    assert (ended.result.version, ended.result.applied, ended.result.pending) == ("1", 1, 1)
    assert any_database.query("TABLE t") == []
    wait_until(lambda: is_free(any_database), 5)
    assert any_database.query(SLEEPING) == []


def test_a_stop_while_waiting_for_the_lock(database: Database, pods: Pods) -> None:
    first, second = pods("first"), pods("second")
    with in_the_slow_one(database, first):
        second.start(order(ONE), keys_of(database))
        waiting = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'lockstep second'"
        wait_until(lambda: bool(database.query(waiting)))
        second.signal(signal.SIGTERM)
        ended = second.end(10)
        assert ended.result.reason in {Reason.INTERRUPTED, Reason.LOCK_HELD}


def test_killed_inside_of_a_migration(any_database: Database, pods: Pods) -> None:
    first = pods("first")
    with in_the_slow_one(any_database, first):
        first.kill()
    # The server finds out by itself, although a statement is running.
    wait_until(lambda: is_free(any_database), 15, "the lock")
    assert applied(any_database) == ["1"]
    assert any_database.query("TABLE t") == []
    again = migration("2", "INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)")
    ended = pods("second").run(order(ONE, again), keys_of(any_database))
    assert (ended.code, ended.result.applied) == (0, 1)
    assert any_database.query("TABLE t") == [(1,), (2,)]


def test_killed_after_a_commit(any_database: Database, pods: Pods) -> None:
    first = pods("first")
    first.start(
        order(ONE, migration("2", "CREATE TABLE two ()"), replace(SLOW, version="9", name="slow")),
        keys_of(any_database),
    )
    wait_until(sleeps(any_database))
    first.kill()
    wait_until(lambda: is_free(any_database), 15, "the lock")
    ended = pods("second").run(order(ONE, migration("2", "CREATE TABLE two ()")), keys_of(any_database))
    assert (ended.code, ended.result.version, ended.result.applied) == (0, "2", 0)


def test_frozen_inside_of_a_migration(any_database: Database, pods: Pods) -> None:
    """SIGSTOP with all of the migration sent: the server ends it, and the zombie cannot say otherwise."""
    first = pods("first")
    quick = migration("2", "SELECT pg_sleep(1); INSERT INTO t VALUES (1)")
    first.start(order(ONE, quick, LARGE), keys_of(any_database))
    wait_until(sleeps(any_database))
    first.signal(signal.SIGSTOP)
    wait_until(lambda: applied(any_database) == ["1", "2"], 10)
    # Its session is thrown out, as a failover or an administrator would; another run takes over.
    any_database.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lockstep first'"
    )
    ended = pods("second").run(order(ONE, quick, LARGE), keys_of(any_database))
    assert (ended.code, ended.result.applied) == (0, 1)
    first.signal(signal.SIGCONT)
    ended = first.end()
    assert (ended.code, ended.result.version) == (0, "3")
    assert any_database.query("SELECT version, count(*) FROM lockstep.history GROUP BY 1 ORDER BY 1") == [
        ("1", 1),
        ("2", 1),
        ("3", 1),
    ]


def test_the_fence_refuses_a_run_that_was_overtaken(any_database: Database, pod: Pod) -> None:
    """The advisory lock may be lost in ways that nobody sees; the epoch in the database decides."""
    steps = [ONE, migration("2", "SELECT pg_sleep(1)"), LARGE]
    pod.start(order(*steps), keys_of(any_database))
    wait_until(sleeps(any_database))
    # Another run's claim waits for this transaction, and comes before the next: who stands still cannot send that one.
    pod.signal(signal.SIGSTOP)
    any_database.query("UPDATE lockstep.run SET epoch = epoch + 1, holder = gen_random_uuid()")
    pod.signal(signal.SIGCONT)
    ended = pod.end()
    assert (ended.code, ended.result.reason) == (10, Reason.FENCED)
    assert applied(any_database) == ["1", "2"]
    assert any_database.query("SELECT to_regclass('public.u')") == [(None,)]


@pytest.mark.parametrize("fault", [Fault.CUT_BEFORE, Fault.CUT_AFTER])
@pytest.mark.parametrize("word", [b"\0COMMIT\0", b"CREATE TABLE u"])
def test_cut_at_the_commit(fault: Fault, word: bytes, any_database: Database, pod: Pod) -> None:
    with FaultyProxy(any_database.server.port) as proxy:
        # The ledger first, so that the word is met in a migration.
        secret = keys_of(any_database) | {"port": str(proxy.port)}
        assert pod.run(order(ONE), secret).code == 0
        proxy.on(word, fault)
        ended = pod.run(order(ONE, QUICK, migration("4", "CREATE TABLE v ()")), secret)
        assert proxy.struck.is_set()
    assert ended.code == 0, ended.text
    assert ended.events("connection_lost")
    # Behind them what an earlier run has done, which a status that knows nothing is told.
    assert [step.version for step in ended.result.steps] == ["1", "3", "4"]
    assert any_database.query("SELECT version FROM lockstep.history ORDER BY sequence") == [("1",), ("3",), ("4",)]
    # What had been committed was found to be, and what had not was run again: two claims by the one run.
    assert any_database.query("SELECT epoch FROM lockstep.run") == [(3,)]


def test_a_connection_that_is_frozen_frees_the_lock(any_database: Database, pods: Pods) -> None:
    """Nothing comes through any more and nothing is closed, in the middle of a transaction."""
    first, second = pods("first"), pods("second")
    with FaultyProxy(any_database.server.port) as proxy:
        # A text of several sends: between two of them the server waits inside of the transaction.
        rows = [f"INSERT INTO t SELECT length('{word}{'x' * 50_000}');\n" for word in ("first", "second", "third")]
        long = migration("2", "".join(rows))
        assert first.run(order(ONE), keys_of(any_database)).code == 0
        proxy.on(b"third", Fault.FREEZE)
        first.start(order(ONE, long), keys_of(any_database) | {"port": str(proxy.port)})
        assert proxy.struck.wait(20)
        # The server's own time limit ends it, without a word from the client.
        wait_until(lambda: is_free(any_database), 25, "the lock")
        assert any_database.query("TABLE t") == []
        assert second.run(order(ONE, QUICK), keys_of(any_database)).code == 0
        first.kill()


def test_a_server_that_crashes_in_mid_run(pods: Pods) -> None:
    if binaries(15) is None:
        pytest.skip("PostgreSQL 15 is not installed on this machine")
    with Postgres(15, synchronous_commit="on") as own:
        database = own.database()
        pod = pods("first")
        pod.start(order(ONE, migration("2", "SELECT pg_sleep(2)"), QUICK), keys_of(database))
        wait_until(sleeps(database))
        own.stop(signal.SIGQUIT)
        own.start()
        ended = pod.end()
        assert (ended.code, ended.result.version, ended.result.applied) == (0, "3", 3), ended.text


def test_a_failover_that_loses_what_this_run_had_committed(any_database: Database, pod: Pod) -> None:
    # A step that takes a second is on the disk when the next one begins.
    steps = (ONE, migration("1.1", "SELECT pg_sleep(1.1)"), SLOW)
    pod.start(order(*steps), keys_of(any_database))
    pod.wait_for("applied")
    pod.wait_for("applied")
    wait_until(sleeps(any_database))
    any_database.query("DELETE FROM lockstep.history; DELETE FROM lockstep.applied")
    any_database.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'")
    ended = pod.end()
    assert (ended.code, ended.result.reason) == (30, Reason.LEDGER_BEHIND), ended.text


@contextmanager
def blocking(database: Database) -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
    """Another session in a transaction that has read table t."""
    with psycopg.connect(make_conninfo(**database.params, application_name="report")) as connection:
        connection.execute("SELECT * FROM t WHERE x = 4711 OR 'secret' = 'x'")
        yield connection


def test_a_migration_that_is_blocked_names_the_blocker(any_database: Database, hurried: Pod) -> None:
    hurried.run(order(ONE), keys_of(any_database))
    alter = migration("2", "ALTER TABLE t ADD COLUMN y int", lock_timeout_ms=200)
    with blocking(any_database) as other:
        pid = other.info.backend_pid
        ended = hurried.run(order(ONE, alter), keys_of(any_database))
    assert (ended.code, ended.result.reason) == (10, Reason.LOCK_TIMEOUT)
    assert ended.result.error is not None
    assert ended.result.error.sqlstate == "55P03"
    assert f"backend {pid} (report, idle in transaction" in ended.result.message
    assert "4711" not in ended.text
    assert "secret" not in ended.text
    assert len(ended.events("retry")) == 5


def test_a_deadline_that_comes_while_it_is_blocked_names_the_blocker_too(database: Database, pod: Pod) -> None:
    pod.run(order(ONE), keys_of(database))
    alter = migration("2", "ALTER TABLE t ADD COLUMN y int", lock_timeout_ms=1500)
    with blocking(database):
        ended = pod.run(order(ONE, alter, limits=limits(deadline=6000)), keys_of(database))
    assert (ended.code, ended.result.reason) == (10, Reason.LOCK_TIMEOUT)
    assert "report" in ended.result.message


def test_a_migration_that_was_blocked_goes_on(any_database: Database, pod: Pod) -> None:
    pod.run(order(ONE), keys_of(any_database))
    alter = migration("2", "ALTER TABLE t ADD COLUMN y int")
    with blocking(any_database):
        pod.start(order(ONE, alter, limits=limits(lock_timeout=200)), keys_of(any_database))
        pod.wait_for("retry")
    ended = pod.end()
    assert ended.result.version == "2"


def test_a_deadlock_is_tried_again(any_database: Database, pod: Pod) -> None:
    pod.run(order(ONE, migration("2", "CREATE TABLE u (x int)")), keys_of(any_database))
    both = migration("3", "LOCK TABLE t; SELECT pg_sleep(1); LOCK TABLE u")
    with any_database.connect(admin=True) as other:
        # So that the run is the one that notices.
        other.execute("SET deadlock_timeout = '60s'")
        pod.start(order(ONE, migration("2", "CREATE TABLE u (x int)"), both), keys_of(any_database))
        wait_until(sleeps(any_database))
        other.execute("BEGIN; LOCK TABLE u")
        other.execute("LOCK TABLE t")
        other.execute("ROLLBACK")
    ended = pod.end()
    assert (ended.code, ended.result.version) == (0, "3")
    assert [line["code"] for line in ended.events("retry")] == ["40P01"]
