"""The way back: what is undone, in which order, with which text, and what is refused before anything is touched."""

from typing import TypedDict, Unpack

import pytest
from msgspec.structs import replace

from lockstep.api.reasons import Reason
from lockstep.planning.checksum import ABSENT
from lockstep.planning.plan import Applied, Candidate, Dependent, Direction, History, Plan, Refusal, Repeated, Step
from lockstep.planning.planner import Intent, make_plan
from lockstep.planning.version import BASE, Version, parse_target
from support.line_model import (
    Database,
    FailedError,
    Ledger,
    candidate,
    carry_out,
    commit,
    commits,
    down_of,
    version,
    view,
)


class IntentWords(TypedDict, total=False):
    """What else is asked for."""

    allow_out_of_order: bool
    rollback: str


class Line:
    """A line and its database, taken from target to target."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.database = Database()

    def plan(self, some: list[Candidate], target: str = "latest", **intent: Unpack[IntentWords]) -> Plan | Refusal:
        asked = Intent(parse_target(target), **intent)
        return make_plan("orders", self.ledger.history(), some, asked)

    def refused(self, some: list[Candidate], target: str, **intent: Unpack[IntentWords]) -> Refusal:
        result = self.plan(some, target, **intent)
        assert isinstance(result, Refusal), result
        return result

    def to(
        self, target: str, *some: Candidate, die_after: int | None = None, **intent: Unpack[IntentWords]
    ) -> list[str]:
        """Take it there and return the steps; `die_after`: so many commits, and no more."""
        result = self.plan(list(some), target, **intent)
        assert isinstance(result, Plan), result
        for steps in commits(result)[:die_after]:
            commit(steps, self.ledger, self.database, some)
        assert {one.canonical for one in self.ledger.applied} == self.database.things
        if die_after is None:
            again = self.plan(list(some), target, **intent)
            assert isinstance(again, Plan)
            assert (again.steps, again.corrections) == ((), ()), "running again does something"
        return [f"{s.direction.value} {s.candidate.version or s.candidate.up_checksum}" for s in result.steps]

    @property
    def views(self) -> list[str]:
        """The texts of the views that are there."""
        return [text for text, _ in self.database.views.values()]


@pytest.fixture
def line() -> Line:
    return Line()


ONE, TWO, THREE = candidate("1"), candidate("2"), candidate("3")


def test_the_reverse_of_the_order_of_application(line: Line) -> None:
    line.to("3", ONE, TWO, THREE)
    result = line.plan([ONE, TWO, THREE], "1")
    assert isinstance(result, Plan)
    assert (result.start, result.end, result.direction) == (version("3"), version("1"), "Down")
    assert line.to("1", ONE, TWO, THREE) == ["down 3", "down 2"]
    assert line.to("base", ONE, TWO, THREE) == ["down 1"]
    assert line.database.things == set()


def test_after_a_late_version_the_order_of_application_is_not_that_of_numbers(line: Line) -> None:
    late = candidate("2.5")
    line.to("3", ONE, TWO, THREE)
    line.to("3", ONE, TWO, THREE, late, allow_out_of_order=True)
    assert line.to("1", ONE, TWO, THREE, late) == ["down 2.5", "down 3", "down 2"]


def test_a_late_version_below_the_target_stays(line: Line) -> None:
    late = candidate("1.5")
    line.to("3", ONE, TWO, THREE)
    line.to("3", ONE, TWO, THREE, late, allow_out_of_order=True)
    assert line.to("2", ONE, TWO, THREE, late) == ["down 3"]


def test_the_target_is_compared_as_a_number(line: Line) -> None:
    line.to("3", ONE, TWO, THREE)
    assert line.to("02.0", ONE, TWO, THREE) == ["down 3"]


def texts(result: Plan | Refusal) -> list[str]:
    assert isinstance(result, Plan), result
    return [step.candidate.down_checksum for step in result.steps]


def test_the_way_back_is_the_migrations_while_it_exists(line: Line) -> None:
    line.to("3", ONE, TWO, THREE)
    better = replace(THREE, down_checksum="better", irreversible=None)
    assert texts(line.plan([ONE, TWO, better], "1")) == ["better", down_of("2")]


def test_and_the_ledgers_when_it_was_pruned(line: Line) -> None:
    line.to("3", ONE, TWO, THREE)
    assert line.to("1", ONE) == ["down 3", "down 2"]
    assert line.to("base") == ["down 1"]


def test_a_correction_is_in_the_ledger_once_it_was_taken_in(line: Line) -> None:
    line.to("2", ONE, replace(TWO, down_checksum=ABSENT))
    assert line.refused([ONE], "1").reason is Reason.DOWN_MISSING
    line.to("2", ONE, TWO)
    assert line.to("1", ONE) == ["down 2"]


def test_the_checksum_of_a_step_is_what_was_applied_and_not_what_there_is(line: Line) -> None:
    """A version that was recorded without a text stays one, whatever Migration comes for it later."""
    history = History((Applied(version("1"), "(baseline)", ABSENT, irreversible="it is the baseline", sequence=1),))
    result = make_plan("orders", history, [ONE], Intent(BASE))
    assert isinstance(result, Plan)
    (step,) = result.steps
    assert (step.candidate.up_checksum, step.candidate.down_checksum) == (ABSENT, down_of("1"))
    gone = make_plan("orders", history, [], Intent(BASE))
    assert isinstance(gone, Refusal)
    assert "it is the baseline" in gone.message


def test_what_cannot_be_undone_is_named_before_anything(line: Line) -> None:
    never = replace(TWO, down_checksum=ABSENT, irreversible="names were dropped")
    missing = replace(THREE, down_checksum=ABSENT)
    line.to("3", ONE, never, missing)
    result = line.refused([ONE, never, missing], "1")
    assert (result.reason, result.version) == (Reason.IRREVERSIBLE, version("2"))
    assert "1 version(s) cannot be undone: 2 (m-2): names were dropped" in result.message
    # The same from the ledger alone.
    assert line.refused([], "1").message == result.message
    result = line.refused([ONE, never, missing], "2")
    assert (result.reason, result.version) == (Reason.DOWN_MISSING, version("3"))
    assert "1 version(s) have no down: 3 (m-3)" in result.message
    assert line.refused([], "2").message == result.message
    # What is irreversible may have a down: it is not run all the same.
    assert line.refused([ONE, replace(TWO, irreversible="no"), THREE], "1").reason is Reason.IRREVERSIBLE


def test_a_down_that_is_taken_away_is_gone(line: Line) -> None:
    line.to("2", ONE, TWO)
    without = replace(TWO, down_checksum=ABSENT)
    assert line.refused([ONE, without], "1").reason is Reason.DOWN_MISSING


def test_what_another_line_requires_is_not_undone(line: Line) -> None:
    line.to("3", ONE, TWO, THREE)
    line.ledger.dependents = (Dependent("billing", "7", version("2")), Dependent("mail", "1", version("1")))
    result = line.refused([ONE, TWO, THREE], "1")
    assert result.reason is Reason.REQUIRED_BY_OTHERS
    assert "billing 7 (requires orders 2)" in result.message
    assert "mail" not in result.message
    assert line.to("2", ONE, TWO, THREE) == ["down 3"]
    assert "mail 1" in line.refused([ONE, TWO, THREE], "base").message


def test_a_rollback_that_is_forbidden(line: Line) -> None:
    line.to("3", ONE, TWO, THREE)
    result = line.refused([ONE, TWO, THREE], "1", rollback="Forbid")
    assert (result.reason, result.version) == (Reason.ROLLBACK_FORBIDDEN, version("1"))
    assert "2 version(s) above the target 1" in result.message
    assert line.to("3", ONE, TWO, THREE, rollback="Forbid") == []
    assert line.to("1", ONE, TWO, THREE, rollback="Approve") == ["down 3", "down 2"]


def test_a_target_that_was_never_applied_is_reached_down_and_up(line: Line) -> None:
    line.to("3", ONE, THREE)
    result = line.plan([ONE, TWO, THREE], "2")
    assert isinstance(result, Plan)
    assert result.direction == "Down"
    assert line.to("2", ONE, TWO, THREE) == ["down 3", "up 2"]
    assert line.database.things == {"1", "2"}


def test_a_target_that_nobody_knows_is_not_gone_to(line: Line) -> None:
    line.to("3", ONE, THREE)
    assert line.refused([ONE, THREE], "2").reason is Reason.TARGET_NOT_FOUND


def test_what_is_late_below_a_lower_target_is_refused_too(line: Line) -> None:
    line.to("3", ONE, TWO, THREE)
    late = candidate("1.5")
    assert line.refused([ONE, late, TWO, THREE], "2").reason is Reason.OUT_OF_ORDER
    assert line.to("2", ONE, late, TWO, THREE, allow_out_of_order=True) == ["down 3", "up 1.5"]


def test_a_way_back_that_died_goes_on_where_it_was(line: Line) -> None:
    line.to("3", ONE, TWO, THREE)
    line.to("base", ONE, TWO, THREE, die_after=1)
    assert line.database.things == {"1", "2"}
    assert line.to("base") == ["down 2", "down 1"]


# Repeatables.
V0, V2, V3 = view("v", "1", edition="a"), view("v", "1", "2", edition="b"), view("v", "3", edition="c")


def grown(line: Line, *, down: bool = True) -> None:
    """Take a line to 3, with a view that changed with each version."""
    for target, versions, each in (("1", [ONE], V0), ("2", [ONE, TWO], V2), ("3", [ONE, TWO, THREE], V3)):
        line.to(target, *versions, each if down else replace(each, down_checksum=ABSENT))


ALL = [ONE, TWO, THREE]


def test_a_view_in_the_way_is_dropped_and_what_it_was_is_restored(line: Line) -> None:
    grown(line)
    assert line.to("2", *ALL, V3) == [f"down {V3.up_checksum}", "down 3", f"repeat {V2.up_checksum}"]
    assert line.views == [V2.up_checksum]
    assert line.ledger.repeated["v"].undone == V3.up_checksum


def test_the_same_when_everything_was_pruned(line: Line) -> None:
    grown(line)
    assert line.to("2", ONE) == [f"down {V3.up_checksum}", "down 3", f"repeat {V2.up_checksum}"]
    assert line.to("1") == [f"down {V2.up_checksum}", "down 2", f"repeat {V0.up_checksum}"]
    assert line.to("base") == [f"down {V0.up_checksum}", "down 1"]


def test_back_in_two_strides_with_the_text_of_the_top(line: Line) -> None:
    grown(line)
    line.to("2", *ALL, V3)
    assert line.to("1", *ALL, V3) == [f"down {V2.up_checksum}", "down 2", f"repeat {V0.up_checksum}"]
    assert line.to("base", *ALL, V3) == [f"down {V0.up_checksum}", "down 1"]
    assert line.views == []


def test_a_line_that_goes_up_again_takes_its_view_along(line: Line) -> None:
    grown(line)
    line.to("1", *ALL, V3)
    # A text that was built on a version that is not there is not run.
    assert line.to("2", *ALL, V3) == ["up 2"]
    assert line.views == [V0.up_checksum]
    assert line.to("3", *ALL, V3) == ["up 3", f"repeat {V3.up_checksum}"]


def test_back_up_and_back_again(line: Line) -> None:
    """What ran on a version before it was undone the first time is nothing to restore the second time."""
    on_two = view("v", "2")
    line.to("1", ONE)
    for _ in range(3):
        assert line.to("2", ONE, TWO, on_two) == ["up 2", f"repeat {on_two.up_checksum}"]
        assert line.to("1", ONE, TWO, on_two) == [f"down {on_two.up_checksum}", "down 2"]
        assert line.views == []


def test_a_view_that_came_before_is_not_in_the_way(line: Line) -> None:
    line.to("2", ONE, TWO, V2)
    line.to("3", *ALL, V2)
    assert line.to("2", *ALL, V2) == ["down 3"]
    assert line.views == [V2.up_checksum]


def test_a_text_that_the_set_has_changed_is_run_after(line: Line) -> None:
    grown(line)
    new = view("v", "1", edition="new")
    assert line.to("2", *ALL, new) == [f"down {V3.up_checksum}", "down 3", f"repeat {new.up_checksum}"]


def test_the_release_before_brings_its_own_text(line: Line) -> None:
    grown(line)
    assert line.to("2", ONE, TWO, V2) == [f"down {V3.up_checksum}", "down 3", f"repeat {V2.up_checksum}"]
    assert line.to("1", ONE, V0) == [f"down {V2.up_checksum}", "down 2", f"repeat {V0.up_checksum}"]


def test_a_corrected_down_of_a_view_is_the_one_that_runs(line: Line) -> None:
    grown(line)
    result = line.plan([*ALL, replace(V3, down_checksum="unview v better")], "2")
    assert isinstance(result, Plan)
    assert result.steps[0].candidate.down_checksum == "unview v better"
    # Of another text the down is the ledger's.
    result = line.plan([*ALL, replace(V2, down_checksum="unview v better")], "2")
    assert isinstance(result, Plan)
    assert result.steps[0].candidate.down_checksum == V3.down_checksum


def test_a_view_without_a_down_has_its_earlier_text_run_over_it_before(line: Line) -> None:
    grown(line, down=False)
    top = replace(V3, down_checksum=ABSENT)
    assert line.to("2", *ALL, top) == [f"repeat {V2.up_checksum}", "down 3"]
    assert line.to("1", *ALL, top) == [f"repeat {V0.up_checksum}", "down 2"]
    assert line.views == [V0.up_checksum]


def test_or_the_text_that_the_set_has_changed(line: Line) -> None:
    grown(line, down=False)
    new = view("v", "1", edition="new", down=False)
    assert line.to("2", *ALL, new) == [f"repeat {new.up_checksum}", "down 3"]
    assert line.views == [new.up_checksum]


def test_a_text_that_a_way_back_has_put_there_is_in_the_way_of_the_next(line: Line) -> None:
    grown(line, down=False)
    second = replace(V2, down_checksum=ABSENT)
    line.to("2", ONE, TWO, second)
    line.to("3", *ALL, second)
    assert line.to("1", *ALL, second) == [f"repeat {V0.up_checksum}", "down 3", "down 2"]


def test_or_is_dropped_by_the_down_of_that_text(line: Line) -> None:
    grown(line, down=False)
    new = view("v", "1", edition="new")
    assert line.to("2", *ALL, new) == [f"down {V3.up_checksum}", "down 3", f"repeat {new.up_checksum}"]


def test_a_view_without_a_down_or_a_past_is_left_alone(line: Line) -> None:
    harmless = view("v", "1", down=False)
    line.to("2", ONE, TWO, harmless)
    assert line.to("1", ONE, TWO, harmless) == ["down 2"]
    assert line.views == [harmless.up_checksum]
    wanting = view("w", "1", down=False)
    line.to("1", ONE, harmless, wanting)
    with pytest.raises(FailedError, match="use it"):
        line.to("base", ONE, harmless, wanting)


def taken_by_hand(line: Line, *, down: bool) -> Candidate:
    """Version 1 with a view on it, then version 2 and the view on that; then version 1 went by hand."""
    line.to("latest", ONE, view("v", "1"))
    last = view("v", "2", down=down)
    line.to("latest", ONE, TWO, last)
    line.database.things.discard("1")
    line.ledger.unmark(ONE)
    return last


def test_a_text_does_not_come_back_without_what_went_by_hand(line: Line) -> None:
    last = taken_by_hand(line, down=True)
    assert line.to("base", ONE, TWO, last) == ["down view v on 2 #", "down 2"]


def test_nor_is_it_in_the_way_of_what_only_comes_after_it(line: Line) -> None:
    last = taken_by_hand(line, down=False)
    result = line.plan([ONE, TWO, last], "1", allow_out_of_order=True)
    assert isinstance(result, Plan)
    assert [step.label for step in result.steps] == ["down 2 (m-2)", "up 1 (m-1)"]


def test_the_texts_of_data_are_not_restored(line: Line) -> None:
    line.to("1", ONE, replace(V0, kind="Seed"))
    line.to("2", ONE, TWO, replace(V2, kind="Seed"))
    assert line.to("1", ONE) == [f"down {V2.up_checksum}", "down 2"]


def test_views_go_in_the_reverse_of_how_they_came_and_come_back_as_they_came(line: Line) -> None:
    base, top = view("z", "1", edition="1"), view("a", "1", edition="1")
    # Not in the order of names, and not in that of their first runs.
    line.to("1", ONE, view("a", "1", edition="0"))
    line.to("1", ONE, base)
    line.to("1", ONE, base, top)
    line.to("2", ONE, TWO, view("z", "1", edition="2"), view("a", "1", edition="2"))
    steps = line.to("1", ONE, TWO)
    assert steps == [
        "down view z on 1 #2",
        "down view a on 1 #2",
        "down 2",
        f"repeat {base.up_checksum}",
        f"repeat {top.up_checksum}",
    ]


def test_a_version_that_was_run_again_after_a_view_keeps_nothing_from_coming_back(line: Line) -> None:
    early, late = view("v", edition="1"), view("v", edition="2")
    line.to("1", ONE, early)
    line.to("2", ONE, TWO, late)
    line.ledger.unmark(ONE)
    line.database.things.discard("1")
    line.to("2", ONE, TWO, late, allow_out_of_order=True)
    # Pruned, it comes back from the ledger, and in the very plan that takes it away.
    assert line.to("1", ONE) == [f"down {late.up_checksum}", "down 2", f"repeat {early.up_checksum}"]


@pytest.mark.parametrize("died", [0, 1, 2, 3])
@pytest.mark.parametrize(
    "some", [[*ALL, V3], [ONE, TWO, V2], [ONE, TWO], [ONE, TWO, view("v", edition="new")]], ids=str
)
@pytest.mark.parametrize("down", [True, False], ids=["down", "no-down"])
def test_wherever_a_way_back_dies_it_ends_the_same(line: Line, died: int, some: list[Candidate], down: bool) -> None:
    some = [one if down or one.version else replace(one, down_checksum=ABSENT) for one in some]
    other = Line()
    for each in (line, other):
        grown(each, down=down)
    line.to("2", *some)
    other.to("2", *some, die_after=died)
    other.to("2", *some)
    assert (other.database.things, other.views) == (line.database.things, line.views)


def test_a_text_that_ran_on_other_versions_too_is_not_taken_back(line: Line) -> None:
    first, second = view("v", edition="1"), view("v", edition="2")
    line.to("1", ONE, first)
    line.to("2", ONE, TWO, second)
    line.to("2", ONE, TWO, first)
    # It ran on 1 alone once, so it belongs there.
    assert line.to("1", ONE, TWO, first) == [f"down {first.up_checksum}", "down 2", f"repeat {first.up_checksum}"]
    # The set says so: not the text that came to the database after it had run there.
    line.to("1", ONE, second)
    line.to("2", ONE, TWO, second)
    line.to("2", ONE, TWO, first)
    assert line.to("1", ONE, TWO, first) == [f"down {first.up_checksum}", "down 2", f"repeat {first.up_checksum}"]


def test_a_view_that_was_pruned_and_comes_back_as_it_was_at_the_top_is_not_run(line: Line) -> None:
    grown(line)
    line.to("2", ONE, TWO)
    line.to("1", ONE)
    assert line.to("1", *ALL, V3) == []
    assert line.to("3", *ALL, V3) == ["up 2", "up 3", f"repeat {V3.up_checksum}"]


def test_a_way_up_that_dies_before_its_views_runs_them_the_next_time(line: Line) -> None:
    grown(line)
    line.to("2", *ALL, V3)
    line.to("3", *ALL, V3, die_after=1)
    assert line.database.things == {"1", "2", "3"}
    assert line.to("3", *ALL, V3) == [f"repeat {V3.up_checksum}"]


def test_a_way_back_that_is_given_up_puts_its_view_back(line: Line) -> None:
    grown(line)
    line.to("2", *ALL, V3, die_after=1)
    assert line.views == []
    assert line.to("3", *ALL, V3) == [f"repeat {V3.up_checksum}"]
    line.to("2", *ALL, V3, die_after=1)
    # Its Migration was pruned meanwhile: the ledger has it.
    assert line.to("3", *ALL) == [f"repeat {V3.up_checksum}"]


def test_a_view_that_was_pruned_does_not_come_back_by_going_up(line: Line) -> None:
    on_two = view("v", "2")
    line.to("2", ONE, TWO, on_two)
    line.to("1", ONE)
    assert line.to("2", ONE, TWO) == ["up 2"]
    assert line.to("3", *ALL) == ["up 3"]


def test_nor_by_the_way_back_from_there(line: Line) -> None:
    shown = view("v", "1")
    line.to("latest", ONE, TWO, shown)
    # It is out of the way, and then everybody goes on without it.
    line.to("base", ONE, TWO, shown, die_after=1)
    line.to("latest", ONE, TWO, THREE)
    assert line.to("2", ONE, TWO, THREE) == ["down 3"]
    assert line.views == []


def test_on_a_way_down_and_up_a_view_is_restored_once(line: Line) -> None:
    line.to("1", ONE, V0)
    line.to("3", ONE, THREE, V3)
    assert line.to("2", *ALL, V3) == [f"down {V3.up_checksum}", "down 3", "up 2", f"repeat {V0.up_checksum}"]


def test_one_that_the_ledger_says_is_taken_back_is_not_in_the_way() -> None:
    history = History(
        (Applied(version("1"), "m-1", "u", "d", sequence=1),), (Repeated("v", ABSENT, "dv", undone="t", sequence=3),)
    )
    result = make_plan("orders", history, [], Intent(BASE))
    assert isinstance(result, Plan)
    assert [step.direction for step in result.steps] == [Direction.DOWN]
    assert result.steps[0].candidate.version == Version.parse("1")


def test_carrying_out_is_what_these_tests_think_it_is() -> None:
    """The model itself refuses what a database refuses."""
    ledger, database = Ledger(), Database()
    up = Plan("l", BASE, version("1"), (Step(Direction.UP, ONE),))
    carry_out(up, ledger, database, [ONE])
    with pytest.raises(FailedError, match="there already"):
        carry_out(up, ledger, database, [ONE])
    carry_out(Plan("l", BASE, version("1"), (Step(Direction.REPEAT, V0),)), ledger, database, [V0])
    with pytest.raises(FailedError, match="use it"):
        carry_out(Plan("l", version("1"), BASE, (Step(Direction.DOWN, ONE),)), ledger, database, [ONE])
