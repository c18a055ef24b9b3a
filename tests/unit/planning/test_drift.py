"""Drift: what is compared, what a run takes in, and what nobody is accused of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lockstep.planning.drift import (
    Change,
    Drift,
    Expected,
    Objects,
    Options,
    accept,
    compare,
    judge,
    kind,
    left,
    merge,
    settle,
)

NAMES = (
    "table s.a",
    "column s.a.x",
    "column s.a.y",
    "table s.b",
    "index s.i of s.b",
    "view s.v",
    "function s.f(integer)",
)
databases = st.dictionaries(st.sampled_from(NAMES), st.sampled_from("0123"), max_size=len(NAMES))
works = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(["0", "1", "2", "3", None]), max_size=4)
"""What somebody does: the hash that each object has after it; None: it is gone."""
Work = dict[str, str | None]


def after(database: Objects, work: Work) -> dict[str, str]:
    return {name: hashed for name, hashed in {**database, **work}.items() if hashed is not None}


def written(expected: Objects, change: Change) -> dict[str, str]:
    """Return what the ledger holds after a change, as its SQL has it."""
    return {name: hashed for name, hashed in {**expected, **change.upserts}.items() if name not in change.removed}


def merged(expected: Objects, seen: Objects, before: Objects, found: Objects) -> dict[str, str]:
    """Return what the ledger holds after a run that has looked at `before` when the ledger had `seen`."""
    upserts, removed = merge(expected, left(seen, before, None), found)
    return written(expected, Change(upserts, removed))


def differing(one: Objects, other: Objects) -> set[str]:
    return {name for name in {**one, **other} if one.get(name) != other.get(name)}


def names_of(drift: Drift) -> set[str]:
    return {*drift.added, *drift.changed, *drift.removed}


def test_what_differs_is_told_apart() -> None:
    expected = {"table s.a": "1", "table s.b": "1", "view s.v": "1"}
    found = {"table s.a": "1", "table s.c": "1", "view s.v": "2"}
    assert compare(expected, found) == Drift(("table s.c",), ("view s.v",), ("table s.b",))
    assert not compare(expected, expected)


@given(databases, databases)
def test_drift_names_exactly_what_differs(expected: Objects, found: Objects) -> None:
    drift = compare(expected, found)
    assert names_of(drift) == differing(expected, found)
    assert set(drift.added).isdisjoint(expected)
    assert set(drift.removed).isdisjoint(found)
    assert bool(drift) == (expected != found)


@given(databases, works, works)
def test_a_run_takes_in_its_own_work_and_nothing_else(baseline: Objects, by_hand: Work, run: Work) -> None:
    before = after(baseline, by_hand)
    found = after(before, run)
    expected = merged(baseline, baseline, before, found)
    its_own = differing(before, found)
    assert names_of(compare(expected, found)) == differing(baseline, before) - its_own
    assert all(expected.get(name) == found.get(name) for name in its_own)


@given(databases, works, st.lists(works, max_size=5))
def test_lines_that_work_one_after_the_other_do_not_accuse_each_other(
    baseline: Objects, by_hand: Work, runs: list[Work]
) -> None:
    expected: Objects = baseline
    database = after(baseline, by_hand)
    hands = differing(baseline, database)
    for run in runs:
        # What the line before has done is no drift to this one.
        assert names_of(compare(expected, database)) <= hands
        before, database = database, after(database, run)
        expected = merged(expected, expected, before, database)
        hands -= differing(before, database)
    assert names_of(compare(expected, database)) == hands


@given(databases, works, works)
def test_the_order_in_which_two_lines_settle_does_not_matter(baseline: Objects, one: Work, two: Work) -> None:
    """Two that ran at once: each sees the other's work, or a part of it, as its own; the last look is the newest."""
    two = {name: hashed for name, hashed in two.items() if name not in one}
    middle = after(baseline, one)
    end = after(middle, two)
    settled = merged(baseline, baseline, baseline, middle)
    first = merged(settled, baseline, middle, end)
    second = merged(settled, settled, middle, end)
    other = merged(merged(baseline, baseline, baseline, end), baseline, middle, end)
    late = merged(merged(baseline, baseline, middle, end), baseline, baseline, end)
    assert first == second == other == late == end


@given(databases, databases, databases)
def test_the_ledger_is_only_written_where_it_changes(expected: Objects, before: Objects, found: Objects) -> None:
    upserts, removed = merge(expected, left(expected, before, None), found)
    assert all(expected.get(name) != hashed for name, hashed in upserts.items())
    assert set(removed) <= set(expected)


def test_the_hash_is_of_the_drift_and_of_what_is_there() -> None:
    found = {"table s.a": "1", "view s.v": "2"}
    hashes = {
        compare({"table s.a": "1"}, found).hash(found),
        compare({"table s.a": "1", "view s.v": "1"}, found).hash(found),
        compare({"table s.a": "1"}, {**found, "view s.v": "3"}).hash({**found, "view s.v": "3"}),
        compare({**found, "table s.b": "1"}, found).hash(found),
        compare({**found, "table s.b, view s.c": "1"}, found).hash(found),
    }
    assert len(hashes) == 5
    assert all(each.startswith("sha256:") and len(each) == 71 for each in hashes)
    # What is as expected is no part of it.
    assert compare({}, {"view s.v": "2"}).hash({"view s.v": "2"}) in hashes


@given(databases, databases, databases)
def test_another_drift_has_another_hash(expected: Objects, one: Objects, two: Objects) -> None:
    first, second = compare(expected, one), compare(expected, two)
    assert (first.hash(one) == second.hash(two)) == (one == two)


def test_only_the_accepted_drift_is_taken_in() -> None:
    expected = {"table s.a": "1", "table s.b": "1", "view s.v": "1"}
    found = {"table s.a": "1", "table s.c": "1", "view s.v": "2"}
    drift = compare(expected, found)
    assert accept(drift, found, "sha256:" + "0" * 64) is None
    change = accept(drift, found, drift.hash(found))
    assert change is not None
    assert written(expected, change) == found
    later = {**found, "table s.d": "1"}
    assert accept(compare(expected, later), later, drift.hash(found)) is None


def test_the_first_few_are_named() -> None:
    drift = Drift(("table s.a", "view s.b", "view s.c", "view s.d"), ("column s.t.x",), ())
    assert drift.describe(2) == "added table s.a, view s.b and 2 more; changed column s.t.x"
    assert Drift().describe() == "no drift"
    assert Drift((), (), ("view s.v",)).describe() == "removed view s.v"


WHOLE = (
    "column public.users.email",
    "constraint public.users.users_pkey",
    "grant on column public.users.email to app",
    "grant on table public.users to app",
    "index public.users_email of public.users",
    "policy public.users.mine",
    "rule public.users.r",
    "sequence public.users_id_seq of public.users",
    "statistics other.both of public.users",
    "trigger public.users.t",
)


@pytest.mark.parametrize("owner", ["table public.users", "schema public"])
def test_what_comes_with_a_table_is_not_named_beside_it(owner: str) -> None:
    assert Drift(added=tuple(sorted((owner, *WHOLE)))).describe() in {
        f"added {owner}",
        # It has a schema of its own, so it does not come with that of the table.
        f"added {owner}, statistics other.both of public.users",
    }
    assert Drift(removed=tuple(sorted((owner, *WHOLE)))).describe() == Drift(
        added=tuple(sorted((owner, *WHOLE)))
    ).describe().replace("added", "removed")
    # But where only they differ, they are named.
    assert Drift(added=WHOLE).describe(100).count(",") == len(WHOLE) - 2, "a column's grant comes with the column"
    assert Drift(changed=tuple(sorted((owner, *WHOLE)))).describe(100).count(",") == len(WHOLE)


def test_names_that_only_look_alike_do_not_swallow_each_other() -> None:
    names = ("column public.users.email", 'column public."users.email".x', "table public.user", "type public.users2")
    assert Drift(added=tuple(sorted(names))).describe(9).count(",") == 3
    odd = ('column "a "" of".". to ".x', 'grant on table "a "" of".". to " to " on "', 'table "a "" of".". to "')
    assert Drift(added=odd).describe() == 'added table "a "" of".". to "'
    index = 'index s." of s.t" of s."a b"'
    assert Drift(added=(index, "table s.t")).describe(9).count(",") == 1
    assert Drift(added=(index, 'table s."a b"')).describe(9) == 'added table s."a b"'


def test_a_message_stays_one_short_line() -> None:
    text = Drift(added=(f"function public.f({'integer,' * 1000}integer)", 'table "a\nb".c')).describe()
    assert len(text) < 400
    assert "\n" not in text


IN_TMP = {
    "table public.tmp_a",
    "column public.tmp_a.x",
    "index public.tmp_i of public.tmp_a",
    "sequence public.s of public.tmp_a",
    "grant on table public.tmp_a to app",
}
BESIDE = {
    "table public.users",
    "column public.users.tmp_a",
    "index public.i of public.users",
    "function public.tmp_f()",
    "schema public",
}


@pytest.mark.parametrize(
    ("pattern", "gone"),
    [
        ("public.tmp_*", IN_TMP | {"function public.tmp_f()"}),
        ("table public.tmp_?", IN_TMP),
        ("public.tmp_a", IN_TMP),
        ("index public.tmp_i", {"index public.tmp_i of public.tmp_a"}),
        ("*.tmp_a", IN_TMP | {"column public.users.tmp_a"}),
        ("public", IN_TMP | BESIDE),
        ("PUBLIC.TMP_*", set()),
        ("nothing", set()),
    ],
)
def test_what_lies_in_an_ignored_object_is_ignored(pattern: str, gone: set[str]) -> None:
    names = IN_TMP | BESIDE
    objects = dict.fromkeys(names, "1")
    for patterns in ([pattern], ["nothing", pattern]):
        assert set(compare({}, objects, patterns).added) == names - gone
        assert set(compare(objects, {}, patterns).removed) == names - gone
    # What it lies in need not differ.
    for name in names:
        left = {each: "1" for each in names if each != name}
        assert bool(compare(left, objects, [pattern])) == (name not in gone)


def test_patterns_hold_for_both_sides() -> None:
    expected = {"table s.a": "1", "table s.tmp_1": "1", "column s.tmp_1.x": "1"}
    found = {"table s.a": "1", "table s.tmp_2": "1", "column s.tmp_2.x": "1", "view s.v": "1"}
    assert compare(expected, found, ["s.tmp_*"]) == Drift(added=("view s.v",))
    assert not compare(expected, found, ["view *", "table s.tmp_*"])


def test_a_name_without_a_kind_is_an_error() -> None:
    assert kind("materialized view s.v") == "materialized view"
    with pytest.raises(ValueError, match="no kind of object"):
        kind("something s.v")


def test_options_are_read_back() -> None:
    options = Options(3, frozenset({"Policies", "Grants"}))
    assert options.text == "3 Grants,Policies"
    assert Options.parse(options.text) == options
    assert Options.parse(Options(3).text) == Options(3)
    assert Options.parse("whatever") == Options(0)


PLAIN = Options(1)
GRANTS = Options(1, frozenset({"Grants"}))
BOTH = Options(1, frozenset({"Grants", "Policies"}))
BASE = Expected({"table s.a": "1"}, 18, PLAIN)
LEFT = {"table s.a": "1", "view s.v": "1"}


def looked(expected: Expected, found: Objects = LEFT, options: Options = PLAIN, major: int = 18) -> tuple[str, Drift]:
    judged = judge(expected, found, major=major, options=options)
    return judged.outcome, judged.drift


def test_what_is_there_is_compared() -> None:
    assert looked(BASE) == ("Compared", Drift(added=("view s.v",)))
    assert judge(BASE, LEFT, major=18, options=PLAIN).change is None
    assert judge(BASE, LEFT, major=18, options=PLAIN, ignore=["s.v"]).drift == Drift()


@pytest.mark.parametrize(
    "expected",
    [
        Expected(),
        replace(BASE, major=17),
        replace(BASE, options=Options(0)),
        replace(BASE, objects={"table s.b": "2"}, major=17, unsettled=("a",)),
    ],
)
def test_what_cannot_be_compared_is_the_new_baseline(expected: Expected) -> None:
    judged = judge(expected, LEFT, major=18, options=PLAIN)
    assert (judged.outcome, judged.drift) == ("Baseline", Drift())
    assert judged.change is not None
    assert written(expected.objects, judged.change) == LEFT
    assert (judged.change.major, judged.change.options) == (18, PLAIN)
    assert judged.change.lines == expected.unsettled


def test_what_another_line_asks_for_outlives_an_upgrade() -> None:
    judged = judge(replace(BASE, major=17, options=GRANTS), LEFT, major=18, options=PLAIN)
    assert judged.change is not None
    assert judged.change.options == GRANTS


def test_while_another_line_works_nobody_is_accused() -> None:
    for expected in (BASE, Expected(), replace(BASE, unsettled=("b",))):
        judged = judge(replace(expected, others=("a",)), LEFT, major=18, options=PLAIN)
        assert (judged.outcome, judged.drift, judged.change) == ("Inconclusive", Drift(), None)


def test_what_a_dead_run_may_have_left_is_taken_in() -> None:
    judged = judge(replace(BASE, unsettled=("a", "b")), LEFT, major=18, options=PLAIN)
    assert (judged.outcome, judged.drift) == ("Unattributed", Drift(added=("view s.v",)))
    assert judged.change == Change({"view s.v": "1"}, (), ("a", "b"), 18, PLAIN)


def test_what_is_asked_for_anew_accuses_nobody() -> None:
    found = {**LEFT, "grant on table s.a to app": "1", "default privileges of app on tables": "1"}
    expected = replace(BASE, objects={**BASE.objects, "grant on view s.gone to app": "1"})
    judged = judge(expected, found, major=18, options=GRANTS)
    assert judged.drift == Drift(added=("view s.v",))
    assert judged.change is not None
    assert written(expected.objects, judged.change) == {name: "1" for name in found if name != "view s.v"}
    assert judged.change.options == GRANTS
    # From now on it counts.
    later = replace(BASE, objects=written(expected.objects, judged.change), options=GRANTS)
    del found["grant on table s.a to app"]
    assert looked(later, found, GRANTS)[1] == Drift(added=("view s.v",), removed=("grant on table s.a to app",))
    # And stays in the ledger for the line that asked, whatever others ask for.
    assert looked(later, found, PLAIN) == ("Compared", Drift(added=("view s.v",)))
    assert judge(later, found, major=18, options=PLAIN).change is None
    assert judge(later, found, major=18, options=Options(1, frozenset({"Policies"}))).change == Change(
        major=18, options=BOTH
    )


@given(databases, databases, works)
def test_a_run_settles_its_line(baseline: Objects, before: Objects, work: Work) -> None:
    found = after(before, work)
    known = left(baseline, before, None)
    change = settle(Expected(baseline, 18, PLAIN), known, found, "orders", major=18, options=PLAIN)
    assert change is not None
    assert written(baseline, change) == merged(baseline, baseline, before, found)
    assert (change.lines, change.major, change.options) == (("orders",), None, None)
    assert settle(Expected(), known, found, "orders", major=18, options=PLAIN) == Change(lines=("orders",))


@pytest.mark.parametrize("expected", [replace(BASE, major=19), replace(BASE, options=Options(2))])
def test_what_was_read_in_another_way_meanwhile_is_not_mixed_with(expected: Expected) -> None:
    assert settle(expected, {}, LEFT, "orders", major=18, options=PLAIN) is None
    # The line stays unsettled: the next look takes in what differs, and accuses nobody.
    assert judge(replace(expected, unsettled=("orders",)), LEFT, major=18, options=PLAIN).outcome == "Baseline"


@given(databases, databases, works)
def test_what_is_the_same_on_both_sides_may_be_left_out(baseline: Objects, before: Objects, work: Work) -> None:
    """As an engine does that compares where the objects are."""
    found = after(before, work)

    def short(expected: Objects, found: Objects) -> list[dict[str, str]]:
        names = differing(expected, found)
        return [{name: each[name] for name in names & each.keys()} for each in (expected, found)]

    was, there = short(baseline, before)
    assert compare(was, there) == compare(baseline, before)
    known = left(baseline, before, None)
    assert left(was, there, None) == known
    was, there = short(baseline, found)
    assert merge(was, known, there) == merge(baseline, known, found)


def test_what_another_line_has_made_and_this_one_dropped_is_nobody_s_drift() -> None:
    # It was not there when this line looked; another has settled it meanwhile.
    assert merged({"table s.a": "1"}, {}, {}, {}) == {}
    # And what was gone by hand before stays gone by hand.
    assert merged({"table s.a": "1"}, {"table s.a": "1"}, {}, {}) == {"table s.a": "1"}


def test_what_a_look_takes_in_differs_no_more() -> None:
    judged = judge(replace(BASE, unsettled=("a",)), LEFT, major=18, options=PLAIN)
    assert left(BASE.objects, LEFT, judged.change) == {}
    assert left(BASE.objects, {"view s.v": "1"}, None) == {"table s.a": None, "view s.v": "1"}


steps = st.lists(st.tuples(st.sampled_from(["orders", "billing", "by hand", "dies", "upgrade"]), works), max_size=12)


@given(databases, steps)
def test_over_a_life_only_what_was_made_by_hand_is_drift(baseline: Objects, life: list[tuple[str, Work]]) -> None:
    database, major = dict(baseline), 18
    expected = Expected(baseline, major, PLAIN)
    hands: set[str] = set()

    def look() -> None:
        nonlocal expected
        judged = judge(expected, database, major=major, options=PLAIN)
        if judged.outcome == "Compared":
            assert names_of(judged.drift) == hands
        if judged.change is not None:
            assert judged.outcome in {"Baseline", "Unattributed"}
            hands.clear()
            expected = Expected(written(expected.objects, judged.change), major, PLAIN)

    for who, work in life:
        if who == "upgrade":
            major += 1
            continue
        if who == "by hand":
            changed = after(database, work)
            touched = differing(database, changed)
            database = changed
            # What is put back as it was is drift no more.
            hands |= touched
            hands -= {name for name in hands if expected.objects.get(name) == database.get(name)}
            continue
        look()
        before, database = database, after(database, work)
        if who == "dies":
            expected = replace(expected, unsettled=("dies",))
            continue
        known = left(expected.objects, before, None)
        change = settle(expected, known, database, who, major=major, options=PLAIN)
        assert change is not None
        expected = replace(expected, objects=written(expected.objects, change))
        hands -= differing(before, database)
    look()
