"""Changes by hand are named; looking and planning write nothing."""

import pytest

from engines.compliance.samples import ALL, EMAIL, FREE, USERS, other
from engines.compliance.target import Place, Target
from lockstep.api.reasons import Reason
from lockstep.planning.result import DriftSummary, Result
from lockstep.planning.wire import DriftOrder, Mode, RepairOrder
from servers.runner import Pod, migration, order

BLOCK = DriftOrder("Block")


def drift(result: Result) -> DriftSummary:
    assert result.drift is not None
    return result.drift


def test_a_run_does_not_accuse_itself_nor_another_line(place: Place, pod: Pod) -> None:
    bills = migration("1", "CREATE TABLE bills (id int)", "DROP TABLE bills", name="bills-1")
    for wanted in (
        order(USERS),
        other(bills),
        order(USERS, EMAIL),
        other(bills),
        order(target="1", policy=FREE),
        order(USERS, target="1"),
    ):
        ended = pod.run(wanted, place.secret)
        assert (ended.code, drift(ended.result).drifted) == (0, False), ended.text


def test_what_was_made_by_hand_is_named_until_it_is_undone(place: Place, target: Target, pod: Pod) -> None:
    pod.run(order(USERS), place.secret)
    place.query(target.sql.index)
    ended = pod.run(order(USERS), place.secret)
    assert (ended.code, drift(ended.result).drifted) == (0, True)
    assert "added index" in drift(ended.result).message
    assert "by_hand" in drift(ended.result).message
    assert {event["what"] for event in ended.events("drift")} == {"added"}
    # Reported, it holds nothing up, and is not forgotten.
    ended = pod.run(order(USERS, EMAIL), place.secret)
    assert (ended.result.version, drift(ended.result).drifted) == ("0002", True), ended.text
    again = drift(pod.run(order(USERS, EMAIL, mode=Mode.CHECK), place.secret).result)
    assert again.hash == drift(ended.result).hash


def test_each_kind_of_change_is_told(place: Place, pod: Pod) -> None:
    pod.run(order(USERS), place.secret)
    place.query("ALTER TABLE users ADD COLUMN more int")
    assert "users.more" in drift(pod.run(order(USERS), place.secret).result).message
    place.query("DROP TABLE users")
    said = drift(pod.run(order(USERS), place.secret).result).message
    assert "removed table" in said
    place.query("CREATE VIEW by_hand AS SELECT 1 AS x")
    assert "added view" in drift(pod.run(order(USERS), place.secret).result).message


def test_block_refuses_to_build_on_it_until_it_is_accepted(place: Place, pod: Pod) -> None:
    pod.run(order(USERS), place.secret)
    place.query("CREATE TABLE by_hand (id int)")
    assert pod.run(order(USERS, drift=BLOCK), place.secret).code == 0
    ended = pod.run(order(USERS, EMAIL, drift=BLOCK), place.secret)
    assert (ended.code, ended.result.reason, ended.result.version) == (30, Reason.DRIFTED, "0001")
    found = drift(ended.result).hash
    right = RepairOrder("two", "AcceptDrift", confirm=found, note="an index for support")
    ended = pod.run(order(USERS, EMAIL, drift=BLOCK, repair=right), place.secret)
    assert (ended.code, ended.result.version, ended.result.repaired) == (0, "0002", "two"), ended.text
    assert drift(pod.run(order(USERS, EMAIL), place.secret).result).drifted is False


@pytest.mark.parametrize("mode", [Mode.PLAN, Mode.CHECK])
def test_looking_writes_nothing(mode: Mode, place: Place, pod: Pod) -> None:
    pod.run(order(USERS), place.secret)
    place.query("CREATE TABLE by_hand (id int)")
    before = place.everything()
    ended = pod.run(order(*ALL, mode=mode), place.secret)
    assert ended.result.reason is (Reason.PLANNED if mode is Mode.PLAN else Reason.CHECKED), ended.text
    assert "by_hand" in drift(ended.result).message
    assert place.everything() == before
    assert place.tables() == {"users", "by_hand"}


def test_a_plan_for_an_empty_database_makes_no_ledger(place: Place, pod: Pod) -> None:
    ended = pod.run(order(*ALL, mode=Mode.PLAN), place.secret)
    assert (ended.code, ended.result.reason) == (0, Reason.PLANNED), ended.text
    assert ended.result.plan is not None
    assert ended.result.plan.count == 3
    sql = [str(event["sql"]) for event in ended.events("sql")]
    assert sql == [each.up for each in ALL]
    assert place.tables() == set()
    # The plan that a run makes is the same.
    done = pod.run(order(*ALL), place.secret)
    (planned,) = done.events("planned")
    assert planned["plan"] == ended.result.plan.hash


def test_a_failed_run_leaves_nothing_unsettled(place: Place, pod: Pod) -> None:
    pod.run(order(USERS, migration("2", "SELECT * FROM nowhere")), place.secret)
    place.query("CREATE TABLE by_hand (id int)")
    assert "by_hand" in drift(pod.run(order(USERS), place.secret).result).message


def test_more_objects_than_one_statement_takes_out(place: Place, pod: Pod) -> None:
    wide = ", ".join(f"c{number} int" for number in range(600))
    wanted = (USERS, migration("0002", f"CREATE TABLE wide ({wide})", "DROP TABLE wide"))
    pod.run(order(*wanted), place.secret)
    pod.run(order(*wanted, target="1", policy=FREE), place.secret)
    ended = pod.run(order(USERS), place.secret)
    assert (ended.code, drift(ended.result).drifted) == (0, False), ended.text
