"""Statements that commit by themselves, where the engine has them: what ran is known, what is left goes on later."""

import pytest

from engines.compliance.samples import FREE, USERS
from engines.compliance.target import Place, Target
from lockstep.api.reasons import Reason
from lockstep.planning.wire import RepairOrder
from servers.runner import Pod, migration, order

HALF = migration(
    "0002",
    "CREATE TABLE a (id int);\nINSERT INTO a VALUES (1);\nINSERT INTO nowhere VALUES (1);\nCREATE TABLE b (id int);",
    "DROP TABLE b;\nDROP TABLE a;",
    transaction="Never",
)


@pytest.fixture(autouse=True)
def only_where_there_is_a_journal(target: Target) -> None:
    if not target.journals:
        pytest.skip("all statements of this engine are transactional")


def half(place: Place, pod: Pod) -> None:
    ended = pod.run(order(USERS, HALF), place.secret)
    assert ended.result.reason is not Reason.UP_TO_DATE
    assert ended.result.error is not None, ended.text
    assert (ended.result.error.statement, ended.result.error.line) == (3, 3)
    assert place.query("SELECT id FROM a") == [(1,)]
    assert place.applied() == ["0001"]


def test_a_line_that_is_half_done_is_known_and_goes_no_other_way(place: Place, pod: Pod) -> None:
    half(place, pod)
    for wanted in (order(USERS, migration("0003", "CREATE TABLE c (id int)")), order(target="base", policy=FREE)):
        ended = pod.run(wanted, place.secret)
        assert (ended.code, ended.result.reason) == (30, Reason.PARTIAL), ended.text
    assert place.tables() == {"users", "a"}


def test_it_goes_on_where_it_stopped(place: Place, pod: Pod) -> None:
    half(place, pod)
    place.query("CREATE TABLE nowhere (id int)")
    ended = pod.run(order(USERS, HALF), place.secret)
    assert (ended.code, ended.result.version) == (0, "0002"), ended.text
    assert place.query("SELECT id FROM a") == [(1,)]
    assert place.query("SELECT id FROM nowhere") == [(1,)]
    assert "b" in place.tables()
    assert place.history() == [("up", "0001"), ("up", "0002")]
    assert place.query(f"SELECT count(*) FROM {place.ledger('journal')}") == [(0,)]


@pytest.mark.parametrize(("action", "applied"), [("MarkApplied", True), ("MarkNotApplied", False)])
def test_a_person_settles_it_one_way_or_the_other(action: str, applied: bool, place: Place, pod: Pod) -> None:
    half(place, pod)
    if not applied:
        place.query("DROP TABLE a")
    repair = RepairOrder("t", action, version="0002")
    ended = pod.run(order(USERS, HALF, target="2" if applied else "1", repair=repair), place.secret)
    assert (ended.code, ended.result.repaired) == (0, "t"), ended.text
    assert place.applied() == (["0001", "0002"] if applied else ["0001"])
    assert place.query(f"SELECT count(*) FROM {place.ledger('journal')}") == [(0,)]
