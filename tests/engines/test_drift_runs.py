"""Drift as runs see it: what was changed by hand is named, and nobody is accused of a run's own work."""

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from msgspec.structs import replace

from lockstep.api.reasons import Reason
from lockstep.engines import patience
from lockstep.planning.result import DriftSummary, Result
from lockstep.planning.wire import DriftOrder, Mode, Order, OrderedMigration, Policy, RepairOrder
from lockstep.runner import drifting
from servers.inprocess import take
from servers.postgres import Database
from servers.runner import Pod, keys_of, limits, migration, order
from support.waiting import eventually

FIRST = migration("1", "CREATE TABLE users (id int PRIMARY KEY, name text)", "DROP TABLE users")
SECOND = migration("2", "ALTER TABLE users ADD COLUMN email text", "ALTER TABLE users DROP COLUMN email")
BLOCK = DriftOrder("Block")


def drift(result: Result) -> DriftSummary:
    assert result.drift is not None
    return result.drift


def other(*migrations: OrderedMigration, **more: Any) -> Order:
    """The order of another line and owner in the same database."""
    made = order(*migrations, **more)
    return replace(made, line="billing", owner=replace(made.owner, name="billing"))


def test_a_run_does_not_accuse_itself(any_database: Database, pod: Pod) -> None:
    assert drift(pod.run(order(FIRST), keys_of(any_database)).result).drifted is False
    assert drift(pod.run(order(FIRST, SECOND), keys_of(any_database)).result).drifted is False
    back = order(FIRST, SECOND, target="1", policy=Policy(rollback="Allow"))
    assert drift(pod.run(back, keys_of(any_database)).result).drifted is False
    assert drift(pod.run(back, keys_of(any_database)).result).drifted is False


def test_what_was_made_by_hand_is_named_on_the_result_and_each_object_in_the_log(
    any_database: Database, pod: Pod
) -> None:
    pod.run(order(FIRST), keys_of(any_database))
    any_database.query("CREATE INDEX by_hand ON users (name)", admin=False)
    any_database.query("ALTER TABLE users ALTER COLUMN name SET NOT NULL", admin=False)
    ended = pod.run(order(FIRST), keys_of(any_database))
    said = drift(ended.result)
    assert (ended.code, said.drifted) == (0, True)
    assert "index public.by_hand" in said.message
    assert "column public.users.name" in said.message
    named = {(event["what"], event["object"]) for event in ended.events("drift")}
    assert ("added", "index public.by_hand of public.users") in named
    assert ("changed", "column public.users.name") in named
    # Reported, it holds nothing up; and the next run still reports it.
    ended = pod.run(order(FIRST, SECOND), keys_of(any_database))
    assert (ended.code, ended.result.version, drift(ended.result).drifted) == (0, "2", True)
    again = drift(pod.run(order(FIRST, SECOND), keys_of(any_database)).result)
    assert again.hash == drift(ended.result).hash
    # Undone, it is gone.
    any_database.query("DROP INDEX by_hand", admin=False)
    any_database.query("ALTER TABLE users ALTER COLUMN name DROP NOT NULL", admin=False)
    assert drift(pod.run(order(FIRST, SECOND), keys_of(any_database)).result).drifted is False


def test_block_refuses_to_build_on_it_until_it_is_accepted(database: Database, pod: Pod) -> None:
    pod.run(order(FIRST), keys_of(database))
    database.query("CREATE TABLE by_hand ()", admin=False)
    # With nothing to do there is nothing to block.
    assert pod.run(order(FIRST, drift=BLOCK), keys_of(database)).code == 0
    ended = pod.run(order(FIRST, SECOND, drift=BLOCK), keys_of(database))
    assert (ended.code, ended.result.reason, ended.result.version) == (30, Reason.DRIFTED, "1")
    found = drift(ended.result).hash
    assert found is not None
    assert found in ended.result.message

    wrong = RepairOrder("one", "AcceptDrift", confirm="sha256:" + "0" * 64)
    refused = pod.run(order(FIRST, SECOND, drift=BLOCK, repair=wrong), keys_of(database)).result
    assert refused.reason is Reason.REPAIR_REFUSED
    assert refused.repaired is None

    right = RepairOrder("two", "AcceptDrift", confirm=found, note="an index for support")
    ended = pod.run(order(FIRST, SECOND, drift=BLOCK, repair=right), keys_of(database))
    assert (ended.code, ended.result.version, ended.result.repaired) == (0, "2", "two"), ended.text
    assert database.query("SELECT name, description FROM lockstep.history WHERE repair = 'two'") == [
        ("(AcceptDrift)", "AcceptDrift: an index for support")
    ]
    assert drift(pod.run(order(FIRST, SECOND), keys_of(database)).result).drifted is False


def test_lines_of_one_database_do_not_accuse_each_other(any_database: Database, pod: Pod) -> None:
    bills = migration("1", "CREATE TABLE bills ()", "DROP TABLE bills", name="bills-1")
    for wanted in (order(FIRST), other(bills), order(FIRST, SECOND), other(bills)):
        ended = pod.run(wanted, keys_of(any_database))
        assert (ended.code, drift(ended.result).drifted) == (0, False), ended.text
    any_database.query("DROP TABLE bills", admin=False)
    for wanted in (order(FIRST, SECOND), other(bills)):
        assert "removed table public.bills" in drift(pod.run(wanted, keys_of(any_database)).result).message


def test_while_another_line_is_at_work_nothing_is_said(database: Database, pods: object) -> None:
    assert callable(pods)
    first, second = pods("pod-a"), pods("pod-b")
    slow = [migration("1", "CREATE TABLE a ()", name="a-1"), migration("2", "SELECT pg_sleep(60)", name="a-2")]
    first.run(order(), keys_of(database))
    first.start(order(*slow), keys_of(database))
    first.wait_for("applied")
    said = drift(second.run(other(), keys_of(database)).result)
    assert said.drifted is None
    assert "orders" in said.message
    first.kill()
    # The server finds out within seconds.
    locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    eventually(lambda: database.query(locks) == [(0,)], "the lock is free", 30)
    # What it left is nobody's by now: taken in, and said in the log.
    ended = second.run(other(), keys_of(database))
    assert drift(ended.result).drifted is False
    (event,) = ended.events("drift_unattributed")
    assert "table public.a" in str(event["drift"])
    assert drift(second.run(other(), keys_of(database)).result).drifted is False


def test_a_migration_that_fails_leaves_the_ones_before_it_settled(database: Database, pod: Pod) -> None:
    ended = pod.run(order(FIRST, migration("2", "SELECT 1/0")), keys_of(database))
    assert ended.result.reason is Reason.STATEMENT_FAILED
    assert database.query("SELECT dirty FROM lockstep.run") == [(False,)]
    database.query("CREATE TABLE by_hand ()", admin=False)
    assert "by_hand" in drift(pod.run(order(FIRST), keys_of(database)).result).message


def test_a_run_that_is_stopped_says_what_it_has_changed(database: Database, pod: Pod) -> None:
    slow = migration("2", "SELECT pg_sleep(60)")
    pod.start(order(FIRST, slow), keys_of(database))
    pod.wait_for("applied")
    pod.signal(signal.SIGTERM)
    assert pod.end().result.reason is Reason.INTERRUPTED
    assert database.query("SELECT dirty FROM lockstep.run") == [(False,)]


@pytest.mark.parametrize("mode", [Mode.PLAN, Mode.CHECK])
def test_looking_writes_nothing(mode: Mode, any_database: Database, pod: Pod) -> None:
    pod.run(order(FIRST), keys_of(any_database))
    any_database.query("CREATE TABLE by_hand ()", admin=False)

    def written() -> str:
        tables = ("meta", "run", "history", "applied", "objects", "texts")
        rows = {name: any_database.query(f"SELECT t::text FROM lockstep.{name} AS t ORDER BY 1") for name in tables}
        return json.dumps(rows, default=str)

    before = written()
    ended = pod.run(order(FIRST, SECOND, mode=mode), keys_of(any_database))
    assert ended.code == 0, ended.text
    assert ended.result.reason is (Reason.PLANNED if mode is Mode.PLAN else Reason.CHECKED)
    assert "by_hand" in drift(ended.result).message
    assert written() == before


def test_ignore_looks_at_nothing_and_spoils_nothing_for_others(database: Database, pod: Pod) -> None:
    ignoring = DriftOrder("Ignore")
    assert pod.run(order(FIRST, drift=ignoring), keys_of(database)).result.drift is None
    assert database.query("SELECT count(*) FROM lockstep.objects") == [(0,)]
    assert drift(pod.run(other(), keys_of(database)).result).drifted is False
    assert pod.run(order(FIRST, SECOND, drift=ignoring), keys_of(database)).result.drift is None
    # Its change is known all the same.
    assert drift(pod.run(other(), keys_of(database)).result).drifted is False


def test_patterns_leave_out_and_words_take_in(database: Database, pod: Pod) -> None:
    options = DriftOrder("Report", ("Grants",), ("public.tmp_*",))
    pod.run(order(FIRST, drift=options), keys_of(database))
    database.query("CREATE TABLE tmp_one (id int)", admin=False)
    assert drift(pod.run(order(FIRST, drift=options), keys_of(database)).result).drifted is False
    database.query("GRANT SELECT ON users TO PUBLIC", admin=False)
    assert "users" in drift(pod.run(order(FIRST, drift=options), keys_of(database)).result).message
    assert (
        drift(pod.run(order(FIRST, drift=DriftOrder(ignore=("public.tmp_*",))), keys_of(database)).result).drifted
        is False
    )


def test_another_major_version_of_the_server_begins_anew(database: Database, pod: Pod) -> None:
    pod.run(order(FIRST), keys_of(database))
    # As after pg_upgrade; the real thing prints some definitions in other words.
    database.query("UPDATE lockstep.meta SET objects_major = 9")
    database.query("UPDATE lockstep.objects SET hash = 'other'")
    ended = pod.run(order(FIRST), keys_of(database))
    assert drift(ended.result).drifted is False
    assert len(ended.events("drift_baseline")) == 1
    database.query("CREATE TABLE by_hand ()", admin=False)
    assert "by_hand" in drift(pod.run(order(FIRST), keys_of(database)).result).message


def test_a_table_that_somebody_is_changing_holds_no_run_up_and_hides_nothing(database: Database, pod: Pod) -> None:
    pod.run(order(FIRST), keys_of(database))
    with database.connect() as other, other.transaction():
        # Printing the view's definition waits for whoever replaces it.
        other.execute("CREATE VIEW v AS SELECT 1 AS one")
    pod.run(order(FIRST), keys_of(database))
    with database.connect() as other, other.transaction():
        other.execute("LOCK TABLE v IN ACCESS EXCLUSIVE MODE")
        ended = pod.run(order(FIRST, migration("2", "CREATE TABLE t ()")), keys_of(database))
        assert (ended.code, ended.result.version) == (0, "2"), ended.text
        said = drift(ended.result)
        if said.drifted is None:
            assert "holds a lock" in said.message
    # What it has changed meanwhile accuses nobody.
    assert "public.t" not in drift(pod.run(order(FIRST), keys_of(database)).result).message


SHARED = "LOCK TABLE {} IN SHARE MODE"
"""Stands in the way of who writes, and not of who reads."""
THIRD = migration("3", "ALTER TABLE users ADD COLUMN phone text")


def test_a_run_that_has_waited_in_vain_does_not_wait_for_the_ledger_too(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "TRIES", 1)
    monkeypatch.setattr(drifting, "SETTLE_SECONDS", 0.5)
    take(database, order(FIRST))
    wanted = order(FIRST, migration("2", "CREATE TABLE t ()"), THIRD, limits=limits(lock_timeout=50))
    with database.connect(admin=True) as holder, holder.transaction():
        holder.execute(SHARED.format("users, lockstep.objects"))
        done = take(database, wanted)
    assert (done.result.reason, done.result.version) == (Reason.LOCK_TIMEOUT, "2"), done.text
    (unsettled,) = done.events("drift_unsettled")
    assert unsettled["message"] == "it was not done within 0.5 s"
    # The next run takes in what this one could not, and accuses nobody.
    done = take(database, wanted)
    assert (done.result.version, drift(done.result).drifted) == ("3", False)
    assert done.events("drift_unattributed")


def test_a_run_that_is_done_waits_for_who_settles_before_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drifting, "SETTLE_SECONDS", 0.5)
    take(database, order(FIRST))
    waits = """SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()
               AND query LIKE 'LOCK TABLE %objects%' AND clock_timestamp() - query_start > '1 s'"""
    with ThreadPoolExecutor() as threads, database.connect(admin=True) as holder, holder.transaction():
        holder.execute(SHARED.format("lockstep.objects"))
        run = threads.submit(take, database, order(FIRST, SECOND))
        eventually(lambda: bool(database.query(waits)), "the run waits for the objects", 30)
        holder.execute("ROLLBACK")
    done = run.result()
    assert done.result.version == "2", done.text
    assert done.events("drift_unsettled") == []
