"""Databases that were there before Lockstep, and ledgers that are not what was expected."""

import pytest
from msgspec.structs import replace

from engines.compliance.samples import ALL, EMAIL, FREE, ITEMS, USERS
from engines.compliance.target import Place, Target
from lockstep.api.reasons import Reason
from lockstep.planning.result import LedgerMark
from lockstep.planning.wire import AdoptOrder, Mode, Policy, RepairOrder
from servers.runner import OWNER, Pod, migration, order

THEIRS = "CREATE TABLE users (id int NOT NULL PRIMARY KEY, name varchar(200), email varchar(200))"


def test_a_database_that_holds_something_is_left_alone(place: Place, pod: Pod) -> None:
    place.query(THEIRS)
    for mode in (Mode.RUN, Mode.PLAN):
        ended = pod.run(order(*ALL, mode=mode), place.secret)
        assert (ended.code, ended.result.reason) == (20, Reason.DATABASE_NOT_EMPTY), ended.text
        assert "users" in ended.result.message
        assert place.tables() == {"users"}


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("flyway_schema_history", "flyway: to take it over set spec.adopt.history: flyway,"),
        ("_prisma_migrations", "Prisma, which Lockstep does not read"),
    ],
)
def test_another_tools_history_is_named(table: str, words: str, place: Place, pod: Pod) -> None:
    for name in (*"abcde", table):
        place.query(f"CREATE TABLE {name} (id int)")
    for mode in (Mode.RUN, Mode.PLAN):
        ended = pod.run(order(*ALL, mode=mode), place.secret)
        assert (ended.code, ended.result.reason) == (20, Reason.DATABASE_NOT_EMPTY), ended.text
        assert f"{table} looks like the history of {words}" in ended.result.message


def test_a_baseline_is_recorded_and_not_run(place: Place, pod: Pod) -> None:
    place.query(THEIRS)
    ended = pod.run(order(*ALL, baseline="2"), place.secret)
    assert (ended.code, ended.result.version) == (0, "0003"), ended.text
    assert place.history() == [("baseline", "0001"), ("baseline", "0002"), ("up", "0003")]
    assert place.tables() == {"users", "items"}
    # Its downs are known.
    assert pod.run(order(*ALL, baseline="2", target="base", policy=FREE), place.secret).result.version == "base"
    assert place.tables() == set()


def test_a_baseline_means_nothing_for_an_empty_database(place: Place, pod: Pod) -> None:
    ended = pod.run(order(*ALL, baseline="2"), place.secret)
    assert ended.code == 0
    assert place.history() == [("up", "0001"), ("up", "0002"), ("up", "0003")]


def test_another_tools_history_is_taken_over_once(place: Place, target: Target, pod: Pod) -> None:
    place.query(THEIRS)
    place.script(target.sql.history)
    wanted = order(*ALL, adopt=AdoptOrder("golang-migrate"))
    planned = pod.run(replace(wanted, mode=Mode.PLAN), place.secret).result
    assert planned.plan is not None
    assert planned.plan.count == 3
    ended = pod.run(wanted, place.secret)
    assert (ended.code, ended.result.version) == (0, "0003"), ended.text
    assert place.history() == [("adopt", "0001"), ("adopt", "0002"), ("up", "0003")]
    # From now on the ledger says what there is.
    place.query("UPDATE schema_migrations SET version = 1")
    assert pod.run(wanted, place.secret).result.applied == 0


def test_a_history_that_is_not_there_or_not_in_order_is_refused(place: Place, target: Target, pod: Pod) -> None:
    place.query(THEIRS)
    wanted = order(*ALL, adopt=AdoptOrder("golang-migrate"))
    assert pod.run(wanted, place.secret).result.reason is Reason.ADOPTION_FAILED
    place.script(target.sql.history)
    place.query("UPDATE schema_migrations SET dirty = true")
    refused = pod.run(wanted, place.secret).result
    assert refused.reason is Reason.ADOPTION_FAILED
    assert "dirty" in refused.message
    assert pod.run(order(*ALL, adopt=AdoptOrder("pencil")), place.secret).result.reason is Reason.ADOPTION_FAILED


def taken_up(place: Place, pod: Pod) -> LedgerMark:
    ended = pod.run(order(USERS, EMAIL), place.secret)
    assert ended.result.ledger is not None, ended.text
    return ended.result.ledger


def test_a_second_owner_of_a_line_is_refused_until_a_person_says_so(place: Place, pod: Pod) -> None:
    taken_up(place, pod)
    theirs = order(USERS, EMAIL, owner=replace(OWNER, namespace="other"))
    for mode in (Mode.RUN, Mode.PLAN):
        ended = pod.run(replace(theirs, mode=mode), place.secret)
        assert (ended.code, ended.result.reason) == (20, Reason.FOREIGN_OWNER)
        assert str(OWNER) in ended.result.message
    wrong = RepairOrder("t1", "TakeOver", confirm="somebody")
    assert pod.run(replace(theirs, repair=wrong), place.secret).result.reason is Reason.REPAIR_REFUSED
    right = RepairOrder("t2", "TakeOver", confirm=str(OWNER), note="moved")
    ended = pod.run(replace(theirs, repair=right), place.secret)
    assert (ended.code, ended.result.repaired) == (0, "t2"), ended.text
    assert pod.run(order(USERS, EMAIL), place.secret).result.reason is Reason.FOREIGN_OWNER


def test_a_made_anew_schemaversion_is_the_same_owner(place: Place, pod: Pod) -> None:
    taken_up(place, pod)
    assert pod.run(order(USERS, EMAIL, owner=replace(OWNER, uid="another")), place.secret).code == 0
    assert place.query(f"SELECT owner_uid, epoch FROM {place.ledger('run')}") == [("another", 2)]


def test_a_rewound_ledger_is_a_persons_to_judge(place: Place, pod: Pod) -> None:
    mark = taken_up(place, pod)
    wanted = order(USERS, EMAIL, known_ledger=mark.uuid, known_sequence=2, known_hash=mark.hash, known_version="2")
    place.query(f"DELETE FROM {place.ledger('history')} WHERE sequence = 2")
    place.query(f"DELETE FROM {place.ledger('applied')} WHERE canonical = '2'")
    for mode in (Mode.RUN, Mode.PLAN):
        ended = pod.run(replace(wanted, mode=mode), place.secret)
        assert (ended.code, ended.result.reason) == (30, Reason.LEDGER_BEHIND), ended.text
    accepted = RepairOrder("t", "AcceptLedger", confirm=f"{mark.uuid}/1")
    marked = replace(wanted, repair=accepted, target="1")
    ended = pod.run(marked, place.secret)
    assert (ended.code, ended.result.version, ended.result.repaired) == (0, "0001", "t"), ended.text
    # The result was lost, and the status still knows what it knew before.
    ended = pod.run(marked, place.secret)
    assert (ended.code, ended.result.applied, ended.result.repaired) == (0, 0, "t"), ended.text
    # It was said of that ledger, and stands for no other.
    again = replace(marked, repair=RepairOrder("t2", "AcceptLedger", confirm=f"{mark.uuid}/1"))
    assert pod.run(again, place.secret).result.reason is Reason.LEDGER_BEHIND


def test_a_token_that_has_served_another_act_accepts_no_ledger(place: Place, pod: Pod) -> None:
    pod.run(order(USERS), place.secret)
    place.query(str(EMAIL.up))
    by_hand = RepairOrder("t", "MarkApplied", version="2")
    seen = pod.run(order(*ALL, repair=by_hand), place.secret).result.ledger
    assert seen is not None
    place.query(f"DELETE FROM {place.ledger('history')} WHERE sequence = {seen.sequence}")
    place.query(f"DELETE FROM {place.ledger('applied')} WHERE canonical = '3'")
    wanted = order(*ALL, target="2", known_ledger=seen.uuid, known_sequence=seen.sequence, known_hash=seen.hash)
    accepted = RepairOrder("t", "AcceptLedger", confirm=f"{seen.uuid}/{seen.sequence - 1}")
    ended = pod.run(replace(wanted, repair=accepted), place.secret)
    assert (ended.code, ended.result.reason) == (30, Reason.LEDGER_BEHIND), ended.text
    ended = pod.run(replace(wanted, repair=replace(accepted, token="t2")), place.secret)
    assert (ended.code, ended.result.version, ended.result.repaired) == (0, "0002", "t2"), ended.text


def test_another_or_no_ledger_is_a_persons_to_judge(place: Place, pod: Pod) -> None:
    wanted = order(USERS, known_ledger="6b7f4c36-0000-4000-8000-000000000000")
    assert pod.run(wanted, place.secret).result.reason is Reason.LEDGER_BEHIND
    assert place.tables() == set()
    taken_up(place, pod)
    assert pod.run(wanted, place.secret).result.reason is Reason.LEDGER_BEHIND


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE {} SET up_checksum = 'forged' WHERE sequence = 1",
        "UPDATE {} SET hash = 'forged' WHERE sequence = 2",
        "DELETE FROM {} WHERE sequence = 1",
    ],
)
def test_a_changed_history_shows(sql: str, place: Place, pod: Pod) -> None:
    taken_up(place, pod)
    place.query(sql.format(place.ledger("history")))
    ended = pod.run(order(USERS, EMAIL, ITEMS), place.secret)
    assert (ended.code, ended.result.reason) == (30, Reason.LEDGER_INVALID), ended.text
    assert place.applied() == ["0001", "0002"]


@pytest.mark.parametrize("to", ["latest", "0001"])
def test_a_version_that_only_one_half_of_the_ledger_has_is_not_run_again(to: str, place: Place, pod: Pod) -> None:
    """Whatever somebody wanted: a person's word is the way to say it."""
    taken_up(place, pod)
    place.query(f"DELETE FROM {place.ledger('applied')} WHERE version = '0002'")
    wanted = order(USERS, EMAIL, ITEMS, target=to, policy=Policy(rollback="Allow"))
    ended = pod.run(wanted, place.secret)
    assert (ended.code, ended.result.reason) == (30, Reason.LEDGER_INVALID), ended.text
    assert "says that version 2 is applied" in ended.result.message
    assert "MarkApplied that the database has it" in ended.result.message
    said = RepairOrder("found", "MarkApplied", version="0002")
    ended = pod.run(replace(wanted, target="0002", repair=said), place.secret)
    assert (ended.code, place.applied()) == (0, ["0001", "0002"]), ended.text
    assert pod.run(wanted, place.secret).code == 0


def test_a_version_that_no_entry_has_made_is_not_believed(place: Place, pod: Pod) -> None:
    taken_up(place, pod)
    place.query(f"UPDATE {place.ledger('applied')} SET canonical = '3', version = '0003' WHERE version = '0002'")
    for mode in (Mode.RUN, Mode.PLAN):
        ended = pod.run(order(USERS, EMAIL, ITEMS, mode=mode), place.secret)
        assert ended.result.reason is Reason.LEDGER_INVALID, ended.text
    assert place.tables() == {"users"}


def test_a_newer_ledger_is_refused(place: Place, pod: Pod) -> None:
    taken_up(place, pod)
    place.query(f"UPDATE {place.ledger('meta')} SET version = 99")
    ended = pod.run(order(*ALL), place.secret)
    assert (ended.code, ended.result.reason) == (20, Reason.LEDGER_TOO_NEW)


def test_a_persons_marks_are_done_once_and_recorded(place: Place, pod: Pod) -> None:
    pod.run(order(USERS), place.secret)
    by_hand = migration("0002", "CREATE TABLE by_hand (id int)", "DROP TABLE by_hand")
    place.query("CREATE TABLE by_hand (id int)")
    mark = RepairOrder("t1", "MarkApplied", version="2", note="made by hand")
    ended = pod.run(order(USERS, by_hand, repair=mark), place.secret)
    assert (ended.code, ended.result.version, ended.result.repaired) == (0, "0002", "t1"), ended.text
    assert place.history() == [("up", "0001"), ("repair", "0002")]
    again = pod.run(order(USERS, by_hand, repair=mark), place.secret).result
    assert (again.applied, again.repaired) == (0, "t1")
    unmark = RepairOrder("t2", "MarkNotApplied", version="2")
    place.query("DROP TABLE by_hand")
    ended = pod.run(order(USERS, by_hand, repair=unmark), place.secret)
    assert (ended.code, ended.result.version) == (0, "0002"), ended.text
    assert place.history()[2:] == [("repair", "0002"), ("up", "0002")]
    for wrong in (RepairOrder("t3", "MarkApplied", version="2"), RepairOrder("t4", "StatementApplied", version="2")):
        assert pod.run(order(USERS, by_hand, repair=wrong), place.secret).result.reason is Reason.REPAIR_REFUSED
