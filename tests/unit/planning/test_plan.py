"""What to run next: upwards, and what a plan is."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lockstep.api.reasons import Reason
from lockstep.planning.checksum import ABSENT
from lockstep.planning.plan import (
    Applied,
    Candidate,
    Dependent,
    Direction,
    History,
    Partial,
    Plan,
    Refusal,
    Repeated,
    Step,
    current,
    listed,
)
from lockstep.planning.planner import Intent, make_plan
from lockstep.planning.version import BASE, Version, parse_target


def candidate(version: str, up: str = "up", **more: Any) -> Candidate:
    made = Candidate(f"m-{version}", Version.parse(version), f"{up}-{version}", f"down-{version}")
    return replace(made, **more)


def applied(*versions: str) -> History:
    """Return a history in which these were applied, in this order."""
    return History(
        tuple(
            Applied(Version.parse(each), f"m-{each}", f"up-{each}", f"down-{each}", sequence=number)
            for number, each in enumerate(versions, start=1)
        ),
        fresh=not versions,
    )


def plan(
    history: History, some: list[Candidate], target: str = "latest", *, allow: bool = False, line: str = "orders"
) -> Plan | Refusal:
    return make_plan(line, history, some, Intent(parse_target(target), allow_out_of_order=allow))


def planned(result: Plan | Refusal) -> Plan:
    assert isinstance(result, Plan), result
    return result


def steps(result: Plan | Refusal) -> list[str]:
    return [f"{step.direction.value} {step.candidate.version or step.candidate.name}" for step in planned(result).steps]


def refused(result: Plan | Refusal) -> Refusal:
    assert isinstance(result, Refusal), result
    return result


def test_an_empty_line_goes_up_in_the_order_of_numbers() -> None:
    result = planned(plan(applied(), [candidate("10"), candidate("2"), candidate("1.1"), candidate("1")]))
    assert steps(result) == ["up 1", "up 1.1", "up 2", "up 10"]
    assert (result.start, result.end, result.direction) == (BASE, Version.parse("10"), "Up")


def test_only_what_is_missing_up_to_the_target_runs() -> None:
    result = planned(plan(applied("1"), [candidate("1"), candidate("2"), candidate("3")], "2.0"))
    assert steps(result) == ["up 2"]
    assert (result.start, result.end) == (Version.parse("1"), Version.parse("2"))


def test_nothing_runs_twice() -> None:
    assert steps(plan(applied("1", "2"), [candidate("1"), candidate("2")])) == []
    otherwise_written = Candidate("m", Version.parse("01.0"), "up-1", "down-1")
    result = planned(plan(applied("1"), [otherwise_written], "1"))
    assert (result.steps, result.corrections) == ((), ())


def test_an_applied_version_that_is_no_longer_there_is_no_error() -> None:
    assert steps(plan(applied("1", "2"), [candidate("2")], "2")) == []
    assert steps(plan(applied("1", "2"), [], "2")) == []


def test_latest_never_goes_down() -> None:
    result = planned(plan(applied("1", "5"), [candidate("1")]))
    assert result.steps == ()
    assert result.end == Version.parse("5")


def test_base_of_an_empty_line_is_nothing_to_do() -> None:
    assert steps(plan(applied(), [candidate("1")], "base")) == []
    assert planned(plan(applied(), [])).end == BASE


def test_a_target_that_does_not_exist_is_waited_for_and_named() -> None:
    result = refused(plan(applied("1", "3"), [candidate("1")], "2"))
    assert (result.reason, result.version) == (Reason.TARGET_NOT_FOUND, Version.parse("2"))
    assert "'orders' has version 2" in result.message


def test_a_changed_text_is_named_with_both_checksums_and_both_names() -> None:
    other = candidate("1", "changed", name="other-name")
    result = refused(plan(applied("1"), [other, candidate("2")]))
    assert (result.reason, result.version) == (Reason.CHECKSUM_MISMATCH, Version.parse("1"))
    for word in ("m-1", "up-1", "other-name", "changed-1"):
        assert word in result.message


@pytest.mark.parametrize("target", ["1", "2", "3", "base", "latest"])
def test_a_changed_text_stops_every_way(target: str) -> None:
    some = [candidate("1"), candidate("2", "changed"), candidate("3")]
    assert refused(plan(applied("1", "2"), some, target)).reason is Reason.CHECKSUM_MISMATCH


def test_what_was_recorded_without_a_text_has_no_checksum_to_differ_from() -> None:
    history = replace(applied("1"), applied=(Applied(Version.parse("1"), "(baseline)", ABSENT, sequence=1),))
    assert steps(plan(history, [candidate("1"), candidate("2")])) == ["up 2"]


def test_a_late_version_is_refused_or_allowed_as_asked() -> None:
    late = [candidate("1"), candidate("2"), candidate("3"), candidate("0.5")]
    result = refused(plan(applied("1", "3"), late))
    assert (result.reason, result.version) == (Reason.OUT_OF_ORDER, Version.parse("0.5"))
    assert "2 version(s) below the applied 3" in result.message
    assert "0.5 (m-0.5), 2 (m-2)" in result.message
    assert steps(plan(applied("1", "3"), late, allow=True)) == ["up 0.5", "up 2"]


def test_a_late_version_above_the_target_is_nobodys_concern() -> None:
    assert steps(plan(applied("1"), [candidate("1"), candidate("3"), candidate("2")], "1")) == []


def test_a_message_lists_only_a_few() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed(list("abcdefg")) == "a, b, c, d, e and 2 more"


def test_repeatables_run_last_in_the_order_of_names_and_only_when_their_text_changed() -> None:
    some = [Candidate("views", None, "v2"), candidate("1"), Candidate("seeds", None, "s1")]
    assert steps(plan(applied(), some)) == ["up 1", "repeat seeds", "repeat views"]
    known = replace(applied("1"), repeated=(Repeated("views", "v1", sequence=2), Repeated("seeds", "s1", sequence=3)))
    assert steps(plan(known, some)) == ["repeat views"]
    known = replace(applied("1"), repeated=(Repeated("views", "v2", sequence=2), Repeated("seeds", "s1", sequence=3)))
    assert steps(plan(known, some)) == []
    assert steps(plan(known, [candidate("1")])) == []


CORRECTED: dict[str, dict[str, Any]] = {
    "another text": {"down_checksum": "better"},
    "none any more": {"down_checksum": ABSENT},
    "never again": {"down_checksum": ABSENT, "irreversible": "the data is gone"},
}


@pytest.mark.parametrize("change", CORRECTED.values(), ids=CORRECTED.keys())
def test_a_corrected_down_is_taken_into_the_ledger(change: dict[str, Any]) -> None:
    corrected = candidate("1", **change)
    result = planned(plan(applied("1"), [corrected, candidate("2")]))
    assert result.corrections == (Step(Direction.CORRECT, corrected),)
    assert steps(result) == ["up 2"]


def test_a_reason_is_corrected_too() -> None:
    history = applied("1")
    forever = replace(history, applied=(replace(history.applied[0], irreversible="because"),))
    assert planned(plan(forever, [candidate("1")])).corrections == (Step(Direction.CORRECT, candidate("1")),)
    assert planned(plan(forever, [candidate("1", irreversible="because")])).corrections == ()


def test_what_was_recorded_without_a_migration_takes_the_way_back_of_one_that_comes_later() -> None:
    known = Applied(Version.parse("1"), "(baseline)", ABSENT, irreversible="it is the baseline", sequence=1)
    result = planned(plan(replace(applied("1"), applied=(known,)), [candidate("1")]))
    assert result.corrections == (Step(Direction.CORRECT, candidate("1")),)


def test_what_is_undone_needs_no_correction() -> None:
    some = [candidate("1", down_checksum="better"), candidate("2", down_checksum="better")]
    result = planned(plan(applied("1", "2"), some, "1"))
    assert [step.candidate.name for step in result.corrections] == ["m-1"]
    assert [text.candidate.down_checksum for text in result.steps] == ["better"]


def test_the_corrected_down_of_a_repeatable_is_taken_too() -> None:
    known = replace(applied("1"), repeated=(Repeated("v", "v1", "unview", sequence=2),))
    better = Candidate("v", None, "v1", "better")
    result = planned(plan(known, [candidate("1"), better]))
    assert (result.steps, result.corrections) == ((), (Step(Direction.CORRECT, better),))
    # One that runs now records its down by itself.
    changed = planned(plan(known, [candidate("1"), replace(better, up_checksum="v2")]))
    assert (steps(changed), changed.corrections) == (["repeat v"], ())
    gone = replace(known, repeated=(Repeated("v", ABSENT, "unview", undone="v1", sequence=3),))
    assert planned(plan(gone, [candidate("1"), Candidate("v", None, "v1", "better")])).corrections == ()


GOLDEN = "sha256:f6a61079b0959ad9bff10d7a4a1e146aac07c53d00b0292cbaba9df6e1888e10"
"""Written down once: a hash that somebody has approved, or committed, must not change with Lockstep."""


def way() -> list[Candidate]:
    return [candidate("1"), candidate("2"), Candidate("views", None, "v1", "dv1")]


def test_the_hash_of_a_plan_never_changes() -> None:
    result = planned(plan(applied("1"), way()))
    assert [step.words for step in result.steps] == [
        ["up", "2", "up-2", "down-2"],
        ["repeat", "~views", "v1", "dv1"],
    ]
    assert result.hash == GOLDEN


def test_the_hash_is_that_of_texts_ends_and_directions() -> None:
    hashes = [
        planned(result).hash
        for result in (
            plan(applied("1"), way()),
            plan(applied("1"), way(), line="billing"),
            plan(applied(), way()),
            plan(applied("1"), [*way(), candidate("3")]),
            plan(applied("1"), [candidate("1"), candidate("2", "other"), way()[2]]),
            plan(applied("1"), [candidate("1"), candidate("2", down_checksum="other"), way()[2]]),
            plan(applied("1"), [*way()[:2], Candidate("views", None, "v2", "dv1")]),
            plan(applied("1"), [*way()[:2], Candidate("views", None, "v1", "other")]),
            plan(applied("1"), [*way()[:2], Candidate("other", None, "v1", "dv1")]),
            plan(applied("1"), way()[:2]),
            plan(applied("1", "2"), way(), "1"),
            plan(applied("1", "2"), way(), "base"),
        )
    ]
    assert len(set(hashes)) == len(hashes)


def test_the_hash_depends_on_neither_names_nor_writing_nor_the_sets_order_nor_corrections() -> None:
    expected = planned(plan(applied("1"), way())).hash
    assert planned(plan(applied("1"), way()[::-1])).hash == expected
    renamed = [candidate("1"), Candidate("other-name", Version.parse("2.0"), "up-2", "down-2"), way()[2]]
    assert planned(plan(applied("1"), renamed)).hash == expected
    corrected = planned(plan(applied("1"), [candidate("1", down_checksum="better"), *way()[1:]]))
    assert corrected.corrections
    assert corrected.hash == expected


def test_up_and_down_of_the_same_texts_are_not_the_same_plan() -> None:
    there, back = Version.parse("1"), Version.parse("2")
    up = Plan("l", there, there, (Step(Direction.UP, candidate("2")),))
    down = Plan("l", there, there, (Step(Direction.DOWN, candidate("2")),))
    assert up.hash != down.hash
    assert Plan("l", there, back, ()).hash != Plan("l", back, there, ()).hash


def half(version: str | None, direction: str, state: str, name: str = "x") -> Partial:
    return Partial(name, None if version is None else Version.parse(version), direction, 3, state, "index i")


def test_what_is_in_doubt_stops_everything_and_says_what_to_do() -> None:
    history = replace(applied("1"), partial=half("2", "up", "unknown"))
    for target in ("1", "2", "base"):
        result = refused(plan(history, [candidate("1"), candidate("2")], target))
        assert (result.reason, result.version) == (Reason.PARTIAL, Version.parse("2"))
        assert "statement 3" in result.message
        assert "index i" in result.message
        assert "StatementNotApplied" in result.message


def test_a_half_done_step_is_finished_and_never_left() -> None:
    some = [candidate("1"), candidate("2"), candidate("3"), Candidate("v", None, "v1")]
    up = replace(applied("1"), partial=half("2", "up", "started"))
    assert steps(plan(up, some, "3"))[0] == "up 2"
    assert refused(plan(up, some, "1")).reason is Reason.PARTIAL
    assert refused(plan(up, some, "base")).reason is Reason.PARTIAL
    down = replace(applied("1", "2"), partial=half("2", "down", "started"))
    assert steps(plan(down, some[:2], "1")) == ["down 2"]
    assert refused(plan(down, some, "3")).reason is Reason.PARTIAL
    again = replace(applied("1"), partial=half(None, "repeat", "started", "v"))
    assert steps(plan(again, [candidate("1"), some[3]])) == ["repeat v"]
    # A version has no name in common with a repeatable one.
    assert refused(plan(again, [candidate("1"), Candidate("w", None, "v1")])).reason is Reason.PARTIAL


def test_what_other_lines_require_does_not_count_on_the_way_up() -> None:
    history = replace(applied("1"), dependents=(Dependent("billing", "7", Version.parse("1")),))
    assert steps(plan(history, [candidate("1"), candidate("2")])) == ["up 2"]


numbers = st.lists(st.integers(1, 30), unique=True, max_size=12)


@given(numbers, numbers, st.booleans(), st.one_of(st.none(), st.integers(1, 30)))
def test_every_plan_ends_where_it_should(done: list[int], some: list[int], allow: bool, target: int | None) -> None:
    history = applied(*(str(n) for n in done))
    result = plan(history, [candidate(str(n)) for n in some], "latest" if target is None else str(target), allow=allow)
    if isinstance(result, Refusal):
        return
    versions = {n for n in done if Version.parse(str(n)) <= result.end}
    ups = [step.candidate.version for step in result.steps if step.direction is Direction.UP]
    downs = [step.candidate.version for step in result.steps if step.direction is Direction.DOWN]
    assert ups == sorted(ups)  # type: ignore[type-var]  # none is None here
    assert [version.key[0] for version in downs if version] == [n for n in reversed(done) if n not in versions]
    after = versions | {version.key[0] for version in ups if version}
    assert not versions & {version.key[0] for version in ups if version}
    assert after == versions | {n for n in some if Version.parse(str(n)) <= result.end}
    assert Version.parse(str(max(after))) == result.end if after else result.end == BASE
    left = max((Version.parse(str(n)) for n in versions), default=BASE)
    if not allow:
        assert all(version > left for version in ups if version)


@pytest.mark.parametrize("order", list(itertools.permutations(["1", "2", "3"])))
def test_the_order_of_arrival_does_not_count(order: tuple[str, ...]) -> None:
    result = plan(applied(), [candidate(version) for version in order])
    assert result == plan(applied(), [candidate(version) for version in ("1", "2", "3")])


def test_the_lines_version_is_the_highest_and_not_the_last() -> None:
    assert current(applied("1", "3", "2").applied) == Version.parse("3")
    assert current(()) == BASE
