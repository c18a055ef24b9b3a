"""What another tool's history says of a line."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.api.reasons import Reason
from lockstep.planning.adoption import Adopted, ForeignRow, adopt
from lockstep.planning.plan import Candidate, Refusal
from lockstep.planning.version import Version


def candidate(version: str | None, *adopts: str, name: str | None = None) -> Candidate:
    parsed = None if version is None else Version.parse(version)
    return Candidate(name or f"m-{version}", parsed, "up", adopts=adopts)


def row(identity: str, version: str | None = None, **more: object) -> ForeignRow:
    parsed = None if version is None else Version.parse(version)
    return ForeignRow(identity, parsed, **more)  # type: ignore[arg-type]  # what a test wants to say of it


def number(version: str) -> ForeignRow:
    return row(version, version)


def adopted(
    rows: Sequence[ForeignRow], candidates: Sequence[Candidate], *, cumulative: bool = False
) -> list[tuple[str, str | None, str]]:
    found = adopt("orders", "tool", rows, candidates, cumulative=cumulative)
    assert not isinstance(found, Refusal), found.message
    return [(each.version.text, each.name, each.identity) for each in found]


def refused(rows: Sequence[ForeignRow], candidates: Sequence[Candidate], *, cumulative: bool = False) -> Refusal:
    found = adopt("orders", "tool", rows, candidates, cumulative=cumulative)
    assert isinstance(found, Refusal), found
    assert found.reason is Reason.ADOPTION_FAILED
    return found


def test_a_row_is_the_migration_of_its_version_however_that_is_written() -> None:
    found = adopted([number("1"), number("2.0")], [candidate("0002"), candidate("0001")])
    assert found == [("0001", "m-0001", "1"), ("0002", "m-0002", "2.0")]


def test_what_the_tool_has_not_run_is_left_to_run() -> None:
    assert adopted([number("1")], [candidate("1"), candidate("2")]) == [("1", "m-1", "1")]


@pytest.mark.parametrize("name", ["", " "])
def test_rows_without_a_name_cannot_be_named(name: str) -> None:
    refusal = refused([number("1"), row(name)], [candidate("1")])
    assert refusal.message.startswith("1 of tool's history have neither a name nor a number")
    assert "spec.adopts" not in refusal.message


def test_a_name_comes_before_a_number() -> None:
    rows = [row("add-email"), number("7")]
    found = adopted(rows, [candidate("1", "add-email"), candidate("2", "7")])
    assert found == [("1", "m-1", "add-email"), ("2", "m-2", "7")]


def test_a_row_answers_to_its_other_names() -> None:
    rows = [row("5", aliases=("5::ann::changes.xml",))]
    assert adopted(rows, [candidate("1", "5::ann::changes.xml")]) == [("1", "m-1", "5")]


def test_a_row_without_a_migration_is_known_by_its_number_alone() -> None:
    assert adopted([number("1"), number("2")], [candidate("2")]) == [("1", None, "1"), ("2", "m-2", "2")]


def test_a_row_that_nothing_names_is_refused_with_what_to_write() -> None:
    refusal = refused([number("1"), row("add-email"), row("add-name")], [candidate("1")])
    assert "2 of tool's history" in refusal.message
    assert "add-email, add-name" in refusal.message
    assert 'spec.adopts: ["add-email"]' in refusal.message


def test_only_the_first_of_many_names_are_shown() -> None:
    refusal = refused([row(f"change-{n}") for n in range(100)], [])
    assert "100 of tool's history" in refusal.message
    assert "change-99" not in refusal.message
    assert len(refusal.message) < 800


def test_what_failed_is_refused_by_name_whatever_else_there_is() -> None:
    rows = [number("1"), row("2", "2", problem="has failed: run `tool repair`"), row("unknown")]
    refusal = refused(rows, [candidate("1"), candidate("2")])
    assert "2 has failed: run `tool repair`" in refusal.message


def test_an_empty_history_is_refused() -> None:
    assert "holds nothing that is applied: say with spec.baseline" in refused([], [candidate("1")]).message


def test_two_rows_of_one_version_are_refused() -> None:
    refusal = refused([row("0002_a", "2"), row("0002_b", "2")], [candidate("2")])
    assert "0002_a, 0002_b" in refusal.message
    assert refusal.version == Version.parse("2")


def test_a_number_that_meets_a_migration_of_another_name_is_refused() -> None:
    refusal = refused([number("1")], [candidate("1", "something-else")])
    assert "m-1" in refusal.message
    assert 'spec.adopts: ["1"]' in refusal.message


def test_one_migration_may_stand_for_several_rows_that_it_names() -> None:
    rows = [row("a"), row("b"), number("2")]
    assert adopted(rows, [candidate("1", "a", "b"), candidate("2")]) == [("1", "m-1", "a, b"), ("2", "m-2", "2")]


def test_one_that_the_tool_has_done_by_half_is_refused() -> None:
    refusal = refused([row("a")], [candidate("1", "a", "b", "c")])
    assert "has applied a but not b, c" in refusal.message


def test_two_migrations_that_name_one_row_are_refused() -> None:
    refusal = refused([row("a", aliases=("alias",))], [candidate("1", "a"), candidate("2", "alias")])
    assert "m-1, m-2" in refusal.message


def test_a_row_of_a_repeatable_migration_is_known_and_has_no_version() -> None:
    repeatable = candidate(None, "views", name="views")
    assert adopted([number("1"), row("views")], [repeatable, candidate("1")]) == [("1", "m-1", "1")]
    assert "spec.baseline" in refused([row("views")], [repeatable]).message


def test_a_baseline_covers_what_is_before_it() -> None:
    rows = [row("3", "3", covers=True), number("4")]
    found = adopted(rows, [candidate(str(n)) for n in range(1, 6)])
    assert found == [("1", "m-1", "3"), ("2", "m-2", "3"), ("3", "m-3", "3"), ("4", "m-4", "4")]


def test_what_a_baseline_covers_keeps_its_own_row() -> None:
    rows = [number("1"), row("3", "3", covers=True)]
    found = adopted(rows, [candidate("1"), candidate("2"), candidate("3")])
    assert found == [("1", "m-1", "1"), ("2", "m-2", "3"), ("3", "m-3", "3")]


def test_a_place_stands_for_everything_up_to_it() -> None:
    found = adopted([number("20")], [candidate("1"), candidate("20"), candidate("30")], cumulative=True)
    assert found == [("1", "m-1", "20"), ("20", "m-20", "20")]


def test_a_place_between_the_migrations_is_a_version_of_its_own() -> None:
    found = adopted([number("15")], [candidate("10"), candidate("20")], cumulative=True)
    assert found == [("10", "m-10", "15"), ("15", None, "15")]


def test_a_named_place() -> None:
    line = [candidate("1", "ae10"), candidate("2"), candidate("3", "27c6", "b091"), candidate("4", "ffff")]
    assert [each[0] for each in adopted([row("b091")], line, cumulative=True)] == ["1", "2", "3"]
    # Between two that one Migration stands for.
    assert "27c6 but not b091" in refused([row("27c6")], line, cumulative=True).message
    assert 'spec.adopts: ["0000"]' in refused([row("0000")], line, cumulative=True).message


def test_several_places_are_refused() -> None:
    line = [candidate("1", "a"), candidate("2", "b")]
    refusal = refused([row("a"), row("b")], line, cumulative=True)
    assert "2 places at once (a, b)" in refusal.message


def test_a_number_says_nothing_where_migrations_name_places_of_their_own() -> None:
    # They count from 1 and name 10, 20, 30: 25 would be above them all.
    line = [candidate("1", "10"), candidate("2", "20"), candidate("3", "30")]
    refusal = refused([number("25")], line, cumulative=True)
    assert "spec.adopts of m-1, m-2, m-3 names other places" in refusal.message
    assert [each[0] for each in adopted([number("20")], line, cumulative=True)] == ["1", "2"]
    assert "names other places" in refused([number("4")], [*line, candidate("4")], cumulative=True).message


def test_a_long_name_is_cut_in_what_is_listed() -> None:
    refusal = refused([row("x" * 5000, "1", problem="has failed")], [])
    assert len(refusal.message) < 300


VERSIONS = st.lists(st.integers(1, 40), unique=True, max_size=12)


@given(VERSIONS, VERSIONS)
def test_by_number_exactly_the_rows_are_adopted(rows: list[int], line: list[int]) -> None:
    found = adopt("orders", "tool", [number(str(n)) for n in rows], [candidate(str(n)) for n in line], cumulative=False)
    if not rows:
        assert isinstance(found, Refusal)
        return
    assert found == tuple(Adopted(Version.parse(str(n)), f"m-{n}" if n in line else None, str(n)) for n in sorted(rows))


@given(st.integers(1, 40), VERSIONS)
def test_a_place_adopts_the_line_up_to_it_and_nothing_above(place: int, line: list[int]) -> None:
    found = adopted([number(str(place))], [candidate(str(n)) for n in line], cumulative=True)
    assert [int(version) for version, _, _ in found] == sorted({n for n in line if n <= place} | {place})
    assert [name for version, name, _ in found if int(version) not in line] == ([None] if place not in line else [])


@given(st.permutations(range(1, 7)), st.permutations(range(1, 7)), st.booleans())
def test_no_order_of_rows_or_migrations_matters(rows: list[int], line: list[int], named: bool) -> None:
    candidates = [candidate(str(n), *([f"change-{n}"] if named else [])) for n in line]
    history = [row(f"change-{n}") if named else number(str(n)) for n in rows]
    assert [int(version) for version, _, _ in adopted(history, candidates)] == sorted(rows)


@pytest.mark.parametrize("cumulative", [False, True])
@given(
    rows=st.lists(
        st.builds(
            row,
            st.sampled_from("abcdef"),
            st.sampled_from([None, "1", "2", "3", "4"]),
            problem=st.sampled_from([None, None, None, "has failed"]),
            covers=st.booleans(),
        ),
        max_size=5,
    ),
    names=st.lists(st.lists(st.sampled_from("abcdef"), max_size=2), min_size=4, max_size=4),
)
def test_nothing_is_adopted_twice_and_nothing_without_a_row(
    cumulative: bool, rows: list[ForeignRow], names: list[list[str]]
) -> None:
    candidates = [candidate(str(n + 1), *adopts) for n, adopts in enumerate(names)]
    found = adopt("orders", "tool", rows, candidates, cumulative=cumulative)
    if isinstance(found, Refusal):
        assert found.message
        return
    assert all(each.problem is None for each in rows)
    versions = [each.version for each in found]
    assert versions == sorted(set(versions))
    identities = {each.identity for each in rows}
    assert all(set(each.identity.split(", ")) <= identities for each in found)
    # Every row is in it, or is covered by nothing but itself.
    assert identities == {name for each in found for name in each.identity.split(", ")}
