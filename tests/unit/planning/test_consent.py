"""Which plans count as approved."""

import pytest

from lockstep.planning.consent import approved_by
from lockstep.planning.plan import Applied, Candidate, Direction, History, Plan, Step, Taken
from lockstep.planning.version import Version


def v(text: str) -> Version:
    return Version.parse(text)


def step(version: str, direction: Direction = Direction.DOWN) -> Step:
    return Step(direction, Candidate(f"m-{version}", v(version), f"up-{version}", f"down-{version}"))


def taken(version: str, direction: str = "down", down: str = "") -> Taken:
    return Taken(direction, f"m-{version}", v(version), f"up-{version}", down or f"down-{version}")


def applied(*versions: str) -> tuple[Applied, ...]:
    return tuple(Applied(v(each), f"m-{each}", f"up-{each}", f"down-{each}", sequence=int(each)) for each in versions)


WHOLE = Plan("orders", v("4"), v("1"), (step("4"), step("3"), step("2")))
REST = Plan("orders", v("3"), v("1"), (step("3"), step("2")))


def test_a_plan_is_approved_by_its_hash_alone() -> None:
    history = History(applied=applied("1", "2", "3", "4"))
    assert approved_by(WHOLE, history, [WHOLE.hash])
    assert not approved_by(WHOLE, history, [REST.hash])
    assert not approved_by(WHOLE, history, [])


def test_what_an_interruption_left_of_an_approved_plan_is_approved() -> None:
    ups = tuple(taken(each, "up") for each in "1234")
    assert approved_by(REST, History(applied=applied("1", "2", "3"), trail=(*ups, taken("4"))), [WHOLE.hash])
    assert approved_by(REST, History(applied=applied("1", "2", "3"), trail=(taken("4"),)), [WHOLE.hash]) == WHOLE.hash
    last = Plan("orders", v("2"), v("1"), (step("2"),))
    trail = (*ups, taken("4"), taken("3"))
    assert approved_by(last, History(applied=applied("1", "2"), trail=trail), [WHOLE.hash])


def test_ups_too() -> None:
    whole = Plan("orders", v("1"), v("3"), (step("2", Direction.UP), step("3", Direction.UP)))
    rest = Plan("orders", v("2"), v("3"), (step("3", Direction.UP),))
    history = History(applied=applied("1", "2"), trail=(taken("1", "up"), taken("2", "up")))
    assert approved_by(rest, history, [whole.hash])


@pytest.mark.parametrize(
    "trail",
    [
        (),
        (taken("3", "up"),),
        (taken("4", down="another"),),
        (taken("4"), taken("4", "up")),
        (taken("4"), Taken("repair", "(AcceptDrift)", None, "-")),
        (taken("4"), taken("2", "correct")),
    ],
    ids=["nothing", "another step", "another text", "more", "an act", "a correction"],
)
def test_anything_else_before_it_is_not(trail: tuple[Taken, ...]) -> None:
    assert not approved_by(REST, History(applied=applied("1", "2", "3"), trail=trail), [WHOLE.hash])


def test_another_end_is_another_plan() -> None:
    lower = Plan("orders", v("3"), v("2"), (step("3"),))
    history = History(applied=applied("1", "2", "3"), trail=(taken("4"),))
    assert not approved_by(lower, history, [WHOLE.hash])
