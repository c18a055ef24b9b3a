"""What a person does through spec.repair: once for each token, refused where it is not so, kept in the history."""

import signal
from typing import Any

import pytest
from msgspec.structs import replace

from lockstep.api.reasons import Reason
from lockstep.engines.postgresql.lock import lock_key
from lockstep.planning.result import LedgerMark, Result
from lockstep.planning.wire import OrderedMigration, Policy, RepairOrder
from lockstep.runner import flow
from servers.inprocess import take
from servers.postgres import Database
from servers.process import wait_until
from servers.runner import OWNER, Pod, keys_of, migration, order

ALLOW = Policy(rollback="Allow", out_of_order="Allow")
ONE = migration("1", "CREATE TABLE t (x int);", "DROP TABLE t;")
TWO = migration("2", "CREATE TABLE u (x int);", "DROP TABLE u;")
THREE = migration("3", "CREATE TABLE v (x int);", "DROP TABLE v;")


def to(database: Database, target: str, *some: OrderedMigration, **more: Any) -> Result:
    return take(database, order(*some, target=target, **{"policy": ALLOW, **more})).result


def repaired(database: Database) -> list[tuple[object, ...]]:
    return database.query(
        "SELECT repair, description, version, name, up_checksum FROM lockstep.history "
        "WHERE direction = 'repair' ORDER BY sequence"
    )


def applied(database: Database) -> list[object]:
    return [row[0] for row in database.query("SELECT version FROM lockstep.applied ORDER BY sequence")]


def marked(result: Result) -> LedgerMark:
    assert result.ledger is not None, result
    return result.ledger


def test_a_version_that_somebody_made_by_hand(any_database: Database) -> None:
    to(any_database, "1", ONE, TWO)
    any_database.query("CREATE TABLE u (x int)", admin=False)
    assert to(any_database, "2", ONE, TWO).reason is Reason.STATEMENT_FAILED
    repair = RepairOrder("t1", "MarkApplied", "2.0", note="made on Monday")
    result = to(any_database, "2", ONE, TWO, repair=repair)
    assert (result.reason, result.version, result.repaired, result.applied) == (Reason.UP_TO_DATE, "2", "t1", 1)
    assert repaired(any_database) == [("t1", "MarkApplied: made on Monday", "2", "orders-2", TWO.up_checksum)]
    # Its way back is known from here on, without the Migration.
    assert to(any_database, "base").version == "base"
    assert any_database.query("SELECT to_regclass('u')") == [(None,)]


def test_once_for_each_token(any_database: Database) -> None:
    to(any_database, "2", ONE, TWO)
    any_database.query("DROP TABLE u")
    repair = RepairOrder("t1", "MarkNotApplied", "2")
    assert to(any_database, "2", ONE, TWO, repair=repair).repaired == "t1"
    # The same token again: it has been done, whatever it asks for now.
    for again in (repair, replace(repair, version="1"), replace(repair, action="MarkApplied", version="3")):
        result = to(any_database, "2", ONE, TWO, THREE, repair=again)
        assert (result.reason, result.repaired, result.applied) == (Reason.UP_TO_DATE, "t1", 0)
    assert len(repaired(any_database)) == 1
    assert applied(any_database) == ["1", "2"]


def test_a_version_that_somebody_took_away(any_database: Database) -> None:
    to(any_database, "2", ONE, TWO)
    any_database.query("DROP TABLE u")
    result = to(any_database, "2", ONE, TWO, repair=RepairOrder("t1", "MarkNotApplied", "2"))
    # It is run again in the same run, once.
    assert [step.direction for step in result.steps[-result.applied :]] == ["repair", "up"]
    assert applied(any_database) == ["1", "2"]
    any_database.query("DROP TABLE u")
    # Also one whose Migration is no longer there.
    to(any_database, "1", ONE, repair=RepairOrder("t2", "MarkNotApplied", "2"))
    assert applied(any_database) == ["1"]
    assert [row[0] for row in repaired(any_database)] == ["t1", "t2"]


@pytest.mark.parametrize(
    ("repair", "words"),
    [
        (RepairOrder("t", "MarkApplied", "1"), "version 1 is recorded as applied already"),
        (RepairOrder("t", "MarkNotApplied", "3"), "version 3 is not recorded as applied"),
        (RepairOrder("t", "MarkApplied", "9"), "no Migration of schema 'orders' in this namespace has version 9"),
        (RepairOrder("t", "MarkApplied"), "needs spec.repair.version"),
        (RepairOrder("t", "StatementApplied", "1"), "no statement of version 1 is in doubt"),
        (RepairOrder("t", "StatementNotApplied", "3"), "no statement of version 3 is in doubt"),
        (RepairOrder("t", "Guess", "1"), "Guess is unknown to this version"),
        (RepairOrder("t", "EndSession", confirm="nobody"), ""),
    ],
)
def test_what_is_not_so_is_refused(repair: RepairOrder, words: str, database: Database) -> None:
    to(database, "2", ONE, TWO)
    before = database.query("SELECT count(*) FROM lockstep.history")
    result = to(database, "3", ONE, TWO, THREE, repair=repair)
    if not words:
        # Nobody held the lock: that is what was asked for.
        assert (result.reason, result.repaired) == (Reason.UP_TO_DATE, "t")
        return
    assert (result.reason, result.applied, result.repaired) == (Reason.REPAIR_REFUSED, 0, None)
    assert words in result.message
    assert database.query("SELECT count(*) FROM lockstep.history") == before
    assert applied(database) == ["1", "2"]


def test_a_line_that_is_taken_over(any_database: Database) -> None:
    to(any_database, "1", ONE, TWO)
    newcomer = replace(OWNER, namespace="other", uid="other-uid")
    wanted: dict[str, Any] = {"owner": newcomer}
    assert to(any_database, "2", ONE, TWO, **wanted).reason is Reason.FOREIGN_OWNER
    wrong = RepairOrder("t1", "TakeOver", confirm="shop/another of cluster cluster-uid")
    result = to(any_database, "2", ONE, TWO, repair=wrong, **wanted)
    assert result.reason is Reason.REPAIR_REFUSED
    assert str(OWNER) in result.message
    assert to(any_database, "2", ONE, TWO, repair=replace(wrong, confirm=None), **wanted).reason is (
        Reason.REPAIR_REFUSED
    )
    assert any_database.query("SELECT owner_namespace, epoch FROM lockstep.run") == [("shop", 1)]
    right = RepairOrder("t2", "TakeOver", confirm=str(OWNER), note="moved")
    result = to(any_database, "2", ONE, TWO, repair=right, **wanted)
    assert (result.version, result.repaired) == ("2", "t2")
    assert repaired(any_database) == [("t2", "TakeOver: moved", None, "(TakeOver)", "-")]
    assert any_database.query("SELECT owner_namespace, owner_uid FROM lockstep.run") == [("other", "other-uid")]
    # It is theirs now: the one before is foreign, and its old token takes nothing back.
    assert to(any_database, "2", ONE, TWO).reason is Reason.FOREIGN_OWNER
    assert to(any_database, "2", ONE, TWO, repair=right).reason is Reason.REPAIR_REFUSED
    assert to(any_database, "2", ONE, TWO, repair=right, **wanted).applied == 0


def rewind(database: Database) -> None:
    """Do what the restore of a backup of version 1 does."""
    database.query("DELETE FROM lockstep.history WHERE sequence > 1; DELETE FROM lockstep.applied WHERE sequence > 1")
    database.query("DROP TABLE u")


def test_a_rewound_ledger_that_is_accepted(any_database: Database) -> None:
    mark = marked(to(any_database, "2", ONE, TWO))
    rewind(any_database)
    seen: dict[str, Any] = {"known_ledger": mark.uuid, "known_sequence": mark.sequence, "known_hash": mark.hash}
    refused = to(any_database, "2", ONE, TWO, **seen)
    assert refused.reason is Reason.LEDGER_BEHIND
    confirm = f"{mark.uuid}/1"
    assert confirm in refused.message
    for wrong in (f"{mark.uuid}/2", "", f"x{confirm}"):
        repair = RepairOrder("t1", "AcceptLedger", confirm=wrong)
        assert to(any_database, "2", ONE, TWO, repair=repair, **seen).reason is Reason.LEDGER_BEHIND
    other = RepairOrder("t1", "MarkApplied", "2", confirm=confirm)
    assert to(any_database, "2", ONE, TWO, repair=other, **seen).reason is Reason.LEDGER_BEHIND
    assert any_database.query("SELECT count(*) FROM lockstep.history") == [(1,)]
    accepted = to(any_database, "2", ONE, TWO, repair=RepairOrder("t1", "AcceptLedger", confirm=confirm), **seen)
    assert (accepted.reason, accepted.version) == (Reason.UP_TO_DATE, "2")
    assert repaired(any_database)[0][:2] == ("t1", "AcceptLedger")
    now = marked(accepted)
    assert now.sequence == 3
    # The acceptance is of that ledger and of no later one.
    rewind(any_database)
    later = {"known_ledger": now.uuid, "known_sequence": now.sequence, "known_hash": now.hash}
    again = RepairOrder("t1", "AcceptLedger", confirm=f"{now.uuid}/3")
    assert to(any_database, "2", ONE, TWO, repair=again, **later).reason is Reason.LEDGER_BEHIND


def test_a_clone_that_is_accepted(any_database: Database) -> None:
    mark = marked(to(any_database, "1", ONE))
    seen: dict[str, Any] = {"known_ledger": "6b7f4c36-0000-4000-8000-000000000000", "known_sequence": 7}
    refused = to(any_database, "2", ONE, TWO, **seen)
    assert refused.reason is Reason.LEDGER_BEHIND
    repair = RepairOrder("t1", "AcceptLedger", confirm=f"{mark.uuid}/1")
    assert to(any_database, "2", ONE, TWO, repair=repair, **seen).version == "2"


HOLDING = "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database AND d.datname = current_database() " \
          "WHERE locktype = 'advisory'"  # fmt: skip


def frozen(database: Database, pod: Pod) -> None:
    """Freeze a pod that is through with version 1 and holds the lock, outside of a transaction's time limits."""
    slow = migration("2", "SELECT pg_sleep(60)", "SELECT 1")
    pod.start(order(ONE, slow, policy=ALLOW), keys_of(database))
    asleep = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND datname = current_database()"
    wait_until(lambda: bool(database.query(asleep)), what="the slow statement")
    pod.signal(signal.SIGSTOP)


def test_the_session_of_a_frozen_holder_is_ended(
    any_database: Database, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen(any_database, pod)
    try:
        with monkeypatch.context() as hurry:
            hurry.setattr(flow, "LOCK_SECONDS", 0.2)
            held = to(any_database, "latest", ONE, TWO)
        assert (held.reason, held.holder) == (Reason.LOCK_HELD, pod.name)
        wrong = RepairOrder("t0", "EndSession", confirm="another-pod")
        refused = to(any_database, "latest", ONE, TWO, repair=wrong)
        assert (refused.reason, refused.holder) == (Reason.REPAIR_REFUSED, pod.name)
        assert "nothing was ended" in refused.message
        # Nor by the SchemaVersion of somebody else.
        right = RepairOrder("t1", "EndSession", confirm=pod.name)
        foreign = to(any_database, "latest", ONE, TWO, repair=right, owner=replace(OWNER, namespace="other"))
        assert foreign.reason is Reason.REPAIR_REFUSED
        assert any_database.query(HOLDING) != [(0,)]
        ended = to(any_database, "latest", ONE, TWO, repair=right)
        assert (ended.reason, ended.version, ended.repaired) == (Reason.UP_TO_DATE, "2", "t1")
    finally:
        pod.signal(signal.SIGCONT)
    # The frozen one wakes, finds its session gone and the line done, and does nothing twice.
    woken = pod.end()
    assert applied(any_database) == ["1", "2"]
    assert woken.result.reason in {Reason.CHECKSUM_MISMATCH, Reason.UP_TO_DATE, Reason.LOCK_HELD}
    assert [row[:2] for row in repaired(any_database)] == [("t1", "EndSession")]
    assert any_database.query("SELECT count(*) FROM lockstep.history") == [(3,)]


def test_a_session_that_is_not_a_run_of_this_line_is_not_ended(database: Database) -> None:
    """Somebody else's session holds the very lock, under the pod's name."""
    to(database, "1", ONE)
    with database.connect() as other:
        other.execute("SET application_name = 'lockstep orders-abc-x1'")
        other.execute(f"SELECT pg_advisory_lock({lock_key('lockstep', 'orders')})".encode())
        result = to(database, "2", ONE, TWO, repair=RepairOrder("t", "EndSession", confirm="orders-abc-x1"))
        assert result.reason is Reason.REPAIR_REFUSED
        assert "is not one of this SchemaVersion's runs" in result.message
        assert other.execute("SELECT 1").fetchall() == [(1,)]


def test_a_repair_waits_for_the_lock_like_any_run(
    database: Database, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "LOCK_SECONDS", 0.2)
    frozen(database, pod)
    try:
        result = to(database, "1", ONE, repair=RepairOrder("t", "MarkNotApplied", "1"))
        assert (result.reason, result.repaired) == (Reason.LOCK_HELD, None)
    finally:
        pod.signal(signal.SIGCONT)
        pod.kill()


def half_done(database: Database, state: str, direction: str = "up") -> None:
    """Leave version 2 as a run that died in the middle of it would: the journal by hand, since that is all of it."""
    database.query(
        "INSERT INTO lockstep.journal (line, step, direction, statement, checksum, digest, state, epoch, started) "
        f"VALUES ('orders', '2', '{direction}', 1, 'c', 'd', '{state}', 1, now())"
    )


@pytest.mark.parametrize(("action", "left"), [("MarkApplied", ["1", "2"]), ("MarkNotApplied", ["1"])])
def test_a_version_that_ran_by_half_is_settled_as_a_whole(action: str, left: list[str], any_database: Database) -> None:
    to(any_database, "1", ONE, TWO)
    half_done(any_database, "unknown")
    assert to(any_database, "2", ONE, TWO).reason is Reason.PARTIAL
    target = left[-1]
    result = to(any_database, target, ONE, TWO, repair=RepairOrder("t", action, "2"))
    assert (result.reason, result.repaired) == (Reason.UP_TO_DATE, "t"), result
    assert applied(any_database) == left
    assert any_database.query("TABLE lockstep.journal") == []


def test_a_down_that_ran_by_half_and_is_declared_not_to_have(any_database: Database) -> None:
    to(any_database, "2", ONE, TWO)
    half_done(any_database, "unknown", "down")
    assert to(any_database, "1", ONE, TWO).reason is Reason.PARTIAL
    result = to(any_database, "2", ONE, TWO, repair=RepairOrder("t", "MarkApplied", "2"))
    assert (result.reason, result.version) == (Reason.UP_TO_DATE, "2"), result
    assert any_database.query("TABLE lockstep.journal") == []
    assert applied(any_database) == ["1", "2"]
