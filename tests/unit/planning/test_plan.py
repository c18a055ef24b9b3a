"""What to run next."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.api.reasons import Reason
from lockstep.planning.plan import Applied, Candidate, Direction, Plan, Refusal, make_plan
from lockstep.planning.version import BASE, Version, parse_target


def candidate(version: str, up: str = "up") -> Candidate:
    return Candidate(f"m-{version}", Version.parse(version), f"{up}-{version}")


def applied(version: str, up: str = "up") -> Applied:
    return Applied(Version.parse(version), f"m-{version}", f"{up}-{version}")


def plan(
    done: list[Applied],
    some: list[Candidate],
    target: str = "latest",
    *,
    repeated: dict[str, str] | None = None,
    allow: bool = False,
) -> Plan | Refusal:
    return make_plan("orders", done, repeated or {}, some, parse_target(target), allow_out_of_order=allow)


def steps(result: Plan | Refusal) -> list[str]:
    assert isinstance(result, Plan), result
    return [f"{step.direction.value} {step.candidate.version or step.candidate.name}" for step in result.steps]


def reason(result: Plan | Refusal) -> Reason:
    assert isinstance(result, Refusal), result
    assert result.message
    return result.reason


def test_an_empty_line_goes_up_in_the_order_of_numbers() -> None:
    result = plan([], [candidate("10"), candidate("2"), candidate("1.1"), candidate("1")])
    assert steps(result) == ["up 1", "up 1.1", "up 2", "up 10"]
    assert isinstance(result, Plan)
    assert (result.start, result.end) == (BASE, Version.parse("10"))


def test_only_what_is_missing_up_to_the_target_runs() -> None:
    assert steps(plan([applied("1")], [candidate("1"), candidate("2"), candidate("3")], "2.0")) == ["up 2"]


def test_nothing_runs_twice() -> None:
    assert steps(plan([applied("1"), applied("2")], [candidate("1"), candidate("2")])) == []
    otherwise_written = Candidate("m", Version.parse("01.0"), "up-1")
    assert steps(plan([applied("1")], [otherwise_written], "1")) == []


def test_an_applied_version_that_is_no_longer_there_is_no_error() -> None:
    assert steps(plan([applied("1"), applied("2")], [candidate("2")], "2")) == []
    assert steps(plan([applied("1"), applied("2")], [], "2")) == []


def test_latest_never_goes_down() -> None:
    result = plan([applied("1"), applied("5")], [candidate("1")])
    assert steps(result) == []
    assert isinstance(result, Plan)
    assert result.end == Version.parse("5")


def test_a_lower_target_is_not_supported_yet() -> None:
    assert reason(plan([applied("1"), applied("2")], [candidate("1"), candidate("2")], "1")) is Reason.NOT_SUPPORTED_YET
    assert reason(plan([applied("1")], [candidate("1")], "base")) is Reason.NOT_SUPPORTED_YET


def test_base_of_an_empty_line_is_nothing_to_do() -> None:
    assert steps(plan([], [candidate("1")], "base")) == []
    assert steps(plan([], [])) == []


def test_a_target_that_does_not_exist() -> None:
    assert reason(plan([], [candidate("1")], "2")) is Reason.TARGET_NOT_FOUND


def test_a_changed_text_is_named_with_both_checksums() -> None:
    result = plan([applied("1")], [candidate("1", "changed"), candidate("2")])
    assert reason(result) is Reason.CHECKSUM_MISMATCH
    assert isinstance(result, Refusal)
    assert "up-1" in result.message
    assert "changed-1" in result.message


def test_a_late_version_is_refused_or_allowed_as_asked() -> None:
    late = [candidate("1"), candidate("2"), candidate("3")]
    assert reason(plan([applied("1"), applied("3")], late)) is Reason.OUT_OF_ORDER
    assert steps(plan([applied("1"), applied("3")], late, allow=True)) == ["up 2"]


def test_repeatables_run_last_and_only_when_their_text_changed() -> None:
    some = [Candidate("views", None, "v2"), candidate("1"), Candidate("seeds", None, "s1")]
    assert steps(plan([], some)) == ["up 1", "repeat seeds", "repeat views"]
    assert steps(plan([applied("1")], some, repeated={"views": "v1", "seeds": "s1"})) == ["repeat views"]
    assert steps(plan([applied("1")], some, repeated={"views": "v2", "seeds": "s1"})) == []


def test_the_hash_of_a_plan_is_that_of_its_texts() -> None:
    hashes = {
        result.hash
        for result in (
            plan([], [candidate("1")]),
            plan([], [candidate("1"), candidate("2")]),
            plan([], [candidate("1", "other")]),
            plan([applied("1")], [candidate("1"), candidate("2")]),
        )
        if isinstance(result, Plan)
    }
    assert len(hashes) == 4
    renamed = make_plan("orders", [], {}, [Candidate("other-name", Version.parse("1.0"), "up-1")], None)
    same = plan([], [candidate("1")])
    assert isinstance(renamed, Plan)
    assert isinstance(same, Plan)
    assert renamed.hash == same.hash


numbers = st.lists(st.integers(1, 30), unique=True, max_size=12)


@given(numbers, numbers, st.booleans(), st.one_of(st.none(), st.integers(1, 30)))
def test_every_plan_ends_where_it_should(done: list[int], some: list[int], allow: bool, target: int | None) -> None:
    result = plan(
        [applied(str(n)) for n in done],
        [candidate(str(n)) for n in some],
        "latest" if target is None else str(target),
        allow=allow,
    )
    if isinstance(result, Refusal):
        return
    taken = [step.candidate.version for step in result.steps]
    assert all(step.direction is Direction.UP for step in result.steps)
    assert taken == sorted(taken)  # type: ignore[type-var]  # none is None here
    assert not {version.key[0] for version in taken if version} & set(done)
    after = {Version.parse(str(n)) for n in done} | {version for version in taken if version}
    assert max(after, default=BASE) == result.end
    assert {Version.parse(str(n)) for n in some if Version.parse(str(n)) <= result.end} <= after
    if not allow:
        assert all(version > result.start for version in taken if version)


@pytest.mark.parametrize("order", list(itertools.permutations(["1", "2", "3"])))
def test_the_order_of_arrival_does_not_count(order: tuple[str, ...]) -> None:
    result = plan([], [candidate(version) for version in order])
    expected = plan([], [candidate(version) for version in ("1", "2", "3")])
    assert result == expected
