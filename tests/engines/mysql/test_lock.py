"""One run at a time on a line, whatever becomes of the runners: killed, frozen, cut off."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from msgspec.structs import replace

from engines.mysql.words import (
    Pods,
    applied,
    columns,
    done,
    holding,
    is_running,
    journal,
    keys,
    tables,
    wait_until_free,
)
from lockstep.api.reasons import Reason
from lockstep.engines.mysql.lock import lock_name
from lockstep.planning.wire import RepairOrder
from servers.mariadb import MariaDatabase
from servers.process import wait_until
from servers.proxy import Proxy
from servers.runner import OWNER, Pod, migration, order

ONE = migration("1", "CREATE TABLE t (x int)")
SLOW = migration("2", "INSERT INTO t VALUES (1); SELECT SLEEP(60); INSERT INTO t VALUES (2)")
QUICK = migration("3", "CREATE TABLE u (x int)")
LEDGER = "SELECT * FROM lockstep_run FOR UPDATE"
"""Keeps every run of the database from writing to the ledger."""


@contextmanager
def in_the_slow_one(database: MariaDatabase, pod: Pod, **other: object) -> Iterator[None]:
    """A pod in the middle of a migration."""
    pod.start(order(ONE, SLOW), keys(database, **other))
    wait_until(is_running(database, "SELECT SLEEP"), 60, what="the slow statement")
    yield


def end(database: MariaDatabase, line: str = "orders") -> int:
    """End the session that holds a line: its statement ends too, which a client that died does not bring about."""
    [(holder,)] = database.query(f"SELECT IS_USED_LOCK('{lock_name(database.name, line)}')")
    if holder is not None:
        database.query(f"KILL {holder}")
    return int(str(holder or 0))


def test_the_second_run_gives_way_and_names_the_holder(database: MariaDatabase, pods: Pods, hurried: Pod) -> None:
    first, second = pods("orders-abc-first"), hurried
    with in_the_slow_one(database, first):
        ended = second.run(order(ONE, QUICK), keys(database))
        assert (ended.code, ended.result.reason) == (10, Reason.LOCK_HELD)
        assert ended.result.holder == "orders-abc-first"
        assert "orders-abc-first" in ended.result.message
        # Another line is free to go on, another database too.
        other = replace(order(migration("1", "CREATE TABLE v (x int)")), line="billing", owner=replace(OWNER, name="b"))
        assert second.run(other, keys(database)).code == 0
        elsewhere = database.server.database()
        assert second.run(order(ONE), keys(elsewhere)).code == 0
        database.server.drop(elsewhere)
    end(database)


def test_killed_inside_of_a_transaction(database: MariaDatabase, pods: Pods) -> None:
    first = pods("first")
    with in_the_slow_one(database, first):
        first.kill()
    end(database)
    wait_until_free(database)
    assert database.query("SELECT * FROM t") == []
    again = migration("2", "INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)")
    done(pods("second").run(order(ONE, again), keys(database)))
    assert database.query("SELECT x FROM t ORDER BY x") == [(1,), (2,)]


def test_a_holder_that_is_frozen_loses_its_session_and_learns_of_it(database: MariaDatabase, pods: Pods) -> None:
    """As the server's own time limit does, only at once."""
    first, second = pods("first"), pods("second")
    wanted = order(ONE, migration("2", "INSERT INTO t VALUES (1)"), QUICK)
    done(second.run(order(ONE), keys(database)))
    with holding(database, "INSERT INTO t VALUES (9)", "SELECT * FROM t FOR UPDATE"):
        two = migration("2", "UPDATE t SET x = 1; INSERT INTO t VALUES (1)", lock_timeout_ms=60_000)
        first.start(order(ONE, two, QUICK), keys(database))
        wait_until(is_running(database, "UPDATE t"), 60, what="the waiting statement")
        first.signal(signal.SIGSTOP)
        end(database)
    wait_until(lambda: not is_running(database, "UPDATE t")(), 20)
    done(second.run(wanted, keys(database)))
    first.signal(signal.SIGCONT)
    ended = first.end()
    # It comes back, finds that all is done, from another text: what has run does not change.
    assert ended.result.reason is Reason.CHECKSUM_MISMATCH, ended.text
    assert len(ended.events("connection_lost")) == 1
    assert database.query("SELECT x FROM t") == [(1,)]
    assert applied(database) == ["1", "2", "3"]


def test_an_overtaken_run_is_fenced(database: MariaDatabase, pods: Pods) -> None:
    """The lock alone would have kept the other out: the epoch is the second line of defence."""
    first = pods("first")
    done(pods("zero").run(order(ONE), keys(database)))
    with holding(database, "INSERT INTO t VALUES (9)", "SELECT * FROM t FOR UPDATE"):
        two = migration("2", "UPDATE t SET x = 1", lock_timeout_ms=60_000)
        first.start(order(ONE, two), keys(database))
        wait_until(is_running(database, "UPDATE t"), 60, what="the waiting statement")
        database.query("UPDATE lockstep_run SET epoch = epoch + 1, holder = 'another'")
    ended = first.end()
    assert (ended.code, ended.result.reason) == (10, Reason.FENCED), ended.text
    assert applied(database) == ["1"]


def test_an_overtaken_run_defines_nothing_more(database: MariaDatabase, pods: Pods) -> None:
    """What is under way cannot be fenced; what would come after it is."""
    first = pods("first")
    done(pods("zero").run(order(ONE), keys(database)))
    with holding(database, "SELECT * FROM t"):
        two = migration("2", "ALTER TABLE t ADD COLUMN y int; CREATE TABLE never (x int)", lock_timeout_ms=60_000)
        first.start(order(ONE, two), keys(database))
        wait_until(is_running(database, "ALTER TABLE"), 60, what="the waiting statement")
        database.query("UPDATE lockstep_run SET epoch = epoch + 1, holder = 'another'")
    ended = first.end()
    assert ended.result.reason is Reason.FENCED, ended.text
    assert tables(database) == {"t"}
    assert columns(database, "t") == ["x", "y"]


def test_a_connection_that_is_cut_between_migrations(database: MariaDatabase, pods: Pods) -> None:
    first = pods("first")
    with Proxy(database.server.port) as proxy:
        with in_the_slow_one(database, first, port=proxy.port):
            # Reached again at once, as it would use up its sessions else.
            proxy.cut()
            proxy.mend()
            before = end(database)
        wait_until(is_running(database, "SELECT SLEEP", but=before), 60, what="the slow statement, again")
        before = end(database)
        wait_until(is_running(database, "SELECT SLEEP", but=before), 60, what="the slow statement, once more")
        first.signal(signal.SIGTERM)
        ended = first.end()
    assert ended.result.reason is Reason.INTERRUPTED, ended.text
    assert len(ended.events("connection_lost")) == 2
    assert database.query("SELECT * FROM t") == []


def test_a_person_ends_the_session_that_holds_the_line(database: MariaDatabase, pods: Pods) -> None:
    first, second = pods("first"), pods("second")
    with in_the_slow_one(database, first):
        first.kill()
        refused = second.run(
            order(ONE, QUICK, repair=RepairOrder("a", "EndSession", confirm="another")), keys(database)
        )
        assert (refused.code, refused.result.reason) == (20, Reason.REPAIR_REFUSED), refused.text
        assert refused.result.holder == "first"
        done(second.run(order(ONE, QUICK, repair=RepairOrder("b", "EndSession", confirm="first")), keys(database)))
    assert applied(database) == ["1", "3"]


def test_a_ledger_that_is_locked_is_tried_again(database: MariaDatabase, pod: Pod, hurried: Pod) -> None:
    done(pod.run(order(ONE), keys(database)))
    with holding(database, LEDGER):
        hurried.start(order(ONE, QUICK), keys(database))
        assert hurried.wait_for("retry", 40)["code"] == 1205
    done(hurried.end())
    assert applied(database) == ["1", "3"]


def test_a_stop_ends_the_wait_for_the_ledger_with_the_try_that_is_under_way(
    database: MariaDatabase, pod: Pod, hurried: Pod
) -> None:
    done(pod.run(order(ONE), keys(database)))
    with holding(database, LEDGER):
        hurried.start(order(ONE, QUICK), keys(database))
        hurried.wait_for("retry", 40)
        hurried.signal(signal.SIGTERM)
        ended = hurried.end(40)
    assert (ended.code, ended.result.reason) == (10, Reason.LOCK_HELD), ended.text
    # The signal may come when the second one has begun.
    assert len(ended.events("retry")) <= 2


def with_the_ledger_locked(database: MariaDatabase, pod: Pod, lock_timeout: int) -> ExitStack:
    """Bring a pod to where its first statement of two has committed by itself, and lock the ledger before its note."""
    two = migration("2", "ALTER TABLE t ADD COLUMN y int; CREATE TABLE v (x int)", lock_timeout_ms=lock_timeout)
    locked = ExitStack()
    with holding(database, "SELECT * FROM t"):
        pod.start(order(ONE, two), keys(database))
        wait_until(is_running(database, "ALTER TABLE"), 60, what="the waiting statement")
        locked.enter_context(holding(database, LEDGER))
    wait_until(lambda: columns(database, "t") == ["x", "y"], 60, what="the column")
    return locked


def test_a_note_that_meets_a_lock_is_tried_again(database: MariaDatabase, pods: Pods) -> None:
    first = pods("first")
    done(pods("zero").run(order(ONE), keys(database)))
    with with_the_ledger_locked(database, first, 4000):
        found = first.wait_for("retry", 30)
    ended = done(first.end())
    assert (found["code"], found["version"]) == (1205, "2")
    assert (applied(database), journal(database)) == (["1", "2"], [])
    assert ended.events("settled") == []


def test_a_note_that_cannot_be_written_ends_the_run_and_the_next_one_settles_it(
    maria_database: MariaDatabase, hurried: Pod, pod: Pod
) -> None:
    database = maria_database
    done(pod.run(order(ONE), keys(database)))
    with with_the_ledger_locked(database, hurried, 1000):
        # Once it has given up, it looks for drift, which is no version's.
        while "version" in hurried.wait_for("retry", 60):
            pass
    ended = hurried.end()
    # Not that the statement has ended, and then once more that it has.
    assert len([event for event in ended.events("retry") if "version" in event]) == 5
    assert (ended.code, ended.result.reason) == (10, Reason.LOCK_HELD), ended.text
    assert "the ledger's tables" in ended.result.message
    assert journal(database) == [("2", 1, "started")]
    two = migration("2", "ALTER TABLE t ADD COLUMN y int; CREATE TABLE v (x int)")
    ended = done(pod.run(order(ONE, two), keys(database)))
    assert [event["found"] for event in ended.events("settled")] == ["it took effect"]
    assert (tables(database), columns(database, "t")) == ({"t", "v"}, ["x", "y"])
