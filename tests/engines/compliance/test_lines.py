"""Up, down, and nothing twice."""

import pytest
from msgspec.structs import replace

from engines.compliance.samples import ALL, EMAIL, FREE, ITEMS, USERS, other, view
from engines.compliance.target import Place
from lockstep.api.reasons import Reason
from lockstep.planning.wire import Policy, RepairOrder
from servers.runner import Pod, migration, order


def test_takes_an_empty_database_to_the_latest_version(place: Place, pod: Pod) -> None:
    ended = pod.run(order(*ALL), place.secret)
    assert (ended.code, ended.result.reason) == (0, Reason.UP_TO_DATE), ended.text
    assert (ended.result.version, ended.result.applied, ended.result.pending) == ("0003", 3, 0)
    assert [(step.name, step.direction) for step in ended.result.steps] == [(each.name, "up") for each in ALL]
    assert all(step.at.endswith("Z") and "T" in step.at for step in ended.result.steps)
    assert ended.result.ledger is not None
    assert (ended.result.ledger.sequence, ended.result.holder) == (3, pod.name)
    assert place.query("SELECT id, name, email FROM users") == [(1, "one", None)]
    assert place.applied() == ["0001", "0002", "0003"]
    assert place.history() == [("up", "0001"), ("up", "0002"), ("up", "0003")]


def test_a_second_run_does_nothing(place: Place, pod: Pod) -> None:
    first = pod.run(order(*ALL), place.secret).result
    before = place.history()
    second = pod.run(order(*ALL), place.secret).result
    assert (second.reason, second.applied, second.version) == (Reason.UP_TO_DATE, 0, "0003")
    assert second.ledger == first.ledger
    assert place.history() == before


def test_goes_on_where_it_was_without_the_texts_that_are_known(place: Place, pod: Pod) -> None:
    mark = pod.run(order(USERS), place.secret).result.ledger
    assert mark is not None
    known = replace(USERS, up=None, down=None)
    wanted = replace(order(known, EMAIL, known_version="0001"), known_ledger=mark.uuid, known_hash=mark.hash)
    ended = pod.run(replace(wanted, known_sequence=mark.sequence), place.secret)
    assert (ended.result.version, ended.result.applied) == ("0002", 1), ended.text


def test_back_to_base_leaves_nothing(place: Place, pod: Pod) -> None:
    before = place.tables()
    pod.run(order(*ALL), place.secret)
    assert place.tables() == before | {"users", "items"}
    # The Migrations are gone from the cluster: the ledger alone knows the way back.
    ended = pod.run(order(target="base", policy=FREE), place.secret)
    assert (ended.code, ended.result.version, ended.result.applied) == (0, "base", 3), ended.text
    assert [(step.version, step.direction) for step in ended.result.steps[-3:]] == [
        ("0003", "down"),
        ("0002", "down"),
        ("0001", "down"),
    ]
    assert place.tables() == before
    assert place.applied() == []


def test_down_a_step_and_up_again(place: Place, pod: Pod) -> None:
    pod.run(order(*ALL), place.secret)
    assert pod.run(order(*ALL, target="1", policy=FREE), place.secret).result.version == "0001"
    assert place.query("SELECT * FROM users") == [(1, "one")]
    assert pod.run(order(*ALL), place.secret).result.version == "0003"
    assert place.applied() == ["0001", "0002", "0003"]
    assert [direction for direction, _ in place.history()] == ["up"] * 3 + ["down"] * 2 + ["up"] * 2


def test_a_way_back_waits_for_approval(place: Place, pod: Pod) -> None:
    pod.run(order(*ALL), place.secret)
    asked = pod.run(order(*ALL, target="base"), place.secret).result
    assert asked.reason is Reason.APPROVAL_REQUIRED
    assert asked.plan is not None
    assert place.applied() == ["0001", "0002", "0003"]
    approved = Policy(approved_plans=(asked.plan.hash,))
    assert pod.run(order(*ALL, target="base", policy=approved), place.secret).result.version == "base"


def test_a_down_that_was_corrected_is_taken_into_the_ledger(place: Place, pod: Pod) -> None:
    wrong = migration("0003", str(ITEMS.up), "DROP TABLE itmes;")
    pod.run(order(USERS, wrong), place.secret)
    assert pod.run(order(USERS, ITEMS), place.secret).result.applied == 1
    # From here on without its Migration.
    assert pod.run(order(target="base", policy=FREE), place.secret).result.version == "base"
    assert place.history()[2] == ("correct", "0003")


def test_what_cannot_be_undone_stays(place: Place, pod: Pod) -> None:
    final = replace(migration("0003", str(ITEMS.up)), irreversible="it is final")
    pod.run(order(USERS, final), place.secret)
    ended = pod.run(order(target="base", policy=FREE), place.secret)
    assert (ended.code, ended.result.reason) == (20, Reason.IRREVERSIBLE)
    assert "it is final" in ended.result.message
    assert place.tables() >= {"users", "items"}


def test_repeatables_run_when_their_text_changed_and_go_out_of_the_way(place: Place, pod: Pod) -> None:
    first = pod.run(order(USERS, view("name")), place.secret).result
    assert [step.direction for step in first.steps] == ["up", "repeat"]
    assert pod.run(order(USERS, view("name")), place.secret).result.applied == 0
    changed = pod.run(order(USERS, EMAIL, view("name, email")), place.secret).result
    assert [step.direction for step in changed.steps[-2:]] == ["up", "repeat"]
    assert place.query("SELECT * FROM v") == [("one", None)]
    # The column can only go once the view is out of the way; then the view is what it was.
    back = pod.run(order(USERS, EMAIL, view("name, email"), target="1", policy=FREE), place.secret)
    assert (back.code, back.result.version) == (0, "0001"), back.text
    assert place.query("SELECT * FROM v") == [("one",)]


def test_a_text_does_not_come_back_without_what_a_person_took_away(place: Place, pod: Pod) -> None:
    """A view was on users, then on items; users went by hand. On the way back only the view on items is dropped."""
    assert pod.run(order(USERS, view("name")), place.secret).code == 0
    on_items = view("id", of="items")
    assert pod.run(order(USERS, ITEMS, on_items), place.secret).result.version == "0003"
    place.query("DROP TABLE users")
    taken = RepairOrder("token", "MarkNotApplied", "1")
    ended = pod.run(order(USERS, ITEMS, on_items, target="base", policy=FREE, repair=taken), place.secret)
    assert (ended.code, ended.result.version) == (0, "base"), ended.text
    assert not place.tables() & {"users", "items", "v"}


def test_what_another_line_requires_is_not_undone(place: Place, pod: Pod) -> None:
    pod.run(order(*ALL), place.secret)
    needing = replace(migration("1", "CREATE TABLE bills (id int)", "DROP TABLE bills"), requires=(("orders", "3"),))
    assert pod.run(other(needing), place.secret).code == 0
    refused = pod.run(order(*ALL, target="2", policy=FREE), place.secret).result
    assert refused.reason is Reason.REQUIRED_BY_OTHERS
    assert "billing" in refused.message
    assert pod.run(other(target="base", policy=FREE), place.secret).code == 0
    assert pod.run(order(*ALL, target="2", policy=FREE), place.secret).result.version == "0002"


def test_a_changed_text_is_refused(place: Place, pod: Pod) -> None:
    pod.run(order(USERS), place.secret)
    ended = pod.run(order(migration("0001", "CREATE TABLE another (id int)"), EMAIL), place.secret)
    assert (ended.code, ended.result.reason) == (20, Reason.CHECKSUM_MISMATCH)
    assert place.applied() == ["0001"]


def test_the_texts_of_data_are_not_kept(place: Place, pod: Pod) -> None:
    data = migration("0002", "INSERT INTO users VALUES (2, 'two')", "DELETE FROM users WHERE id = 2", kind="Data")
    pod.run(order(USERS, data), place.secret)
    kept = {row[0] for row in place.query(f"SELECT checksum FROM {place.ledger('texts')}")}
    assert kept == {USERS.up_checksum, USERS.down_checksum, data.down_checksum}


@pytest.mark.parametrize("count", [300])
def test_a_long_line(count: int, place: Place, pod: Pod) -> None:
    many = [migration(f"{n}", f"CREATE TABLE t{n} (id int)", f"DROP TABLE t{n}") for n in range(1, count + 1)]
    assert pod.run(order(*many), place.secret).result.applied == count
    assert pod.run(order(*many), place.secret).result.applied == 0
    assert pod.run(order(target="base", policy=FREE), place.secret).result.version == "base"
    assert place.tables() == set()
