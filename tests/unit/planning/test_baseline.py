"""What is recorded without being run: once, where a database had it before Lockstep came."""

from msgspec.structs import replace

from lockstep.api.reasons import Reason
from lockstep.planning.adoption import Adopted
from lockstep.planning.checksum import ABSENT
from lockstep.planning.plan import RECORDED_ONLY, Candidate, Direction, History, Plan, Refusal, Step
from lockstep.planning.planner import Intent, make_plan
from lockstep.planning.version import BASE, Version, parse_target
from support.line_model import Ledger, candidate, version, view

ONE, TWO, THREE = candidate("1"), candidate("2"), candidate("3")
ALL = [THREE, ONE, TWO]
FOUND = History(fresh=True, occupied=True)
"""A database that is not empty, and knows nothing of the line."""


def asked(
    history: History,
    some: list[Candidate],
    target: str = "latest",
    baseline: str | None = None,
    adopted: tuple[Adopted, ...] | None = None,
) -> Plan | Refusal:
    wanted = None if baseline is None else Version.parse(baseline)
    return make_plan("orders", history, some, Intent(parse_target(target), baseline=wanted, adopted=adopted))


def planned(result: Plan | Refusal) -> Plan:
    assert isinstance(result, Plan), result
    return result


def words(result: Plan | Refusal) -> list[str]:
    return [step.label for step in planned(result).steps]


def test_what_is_up_to_the_baseline_is_recorded_and_the_rest_runs() -> None:
    result = planned(asked(FOUND, ALL, baseline="2"))
    assert words(result) == ["baseline 1 (m-1)", "baseline 2 (m-2)", "up 3 (m-3)"]
    assert (result.start, result.end, result.direction, result.corrections) == (BASE, version("3"), "Up", ())
    # Texts and all: what goes down later, and what is compared, is the Migration's.
    assert [step.candidate for step in result.steps] == [ONE, TWO, THREE]


def test_a_baseline_without_a_migration_is_an_entry_of_its_own() -> None:
    result = planned(asked(FOUND, [THREE, ONE], baseline="2.0"))
    assert words(result) == ["baseline 1 (m-1)", "baseline 2.0 ((baseline))", "up 3 (m-3)"]
    made = result.steps[1].candidate
    assert (made.version, made.up_checksum, made.down_checksum) == (version("2"), ABSENT, ABSENT)
    assert "had it before Lockstep came" in (made.irreversible or "")


def test_a_baseline_is_enough_without_any_migration() -> None:
    assert words(asked(FOUND, [], baseline="7")) == ["baseline 7 ((baseline))"]
    assert words(asked(FOUND, [], "7", baseline="7")) == ["baseline 7 ((baseline))"]


def test_an_empty_database_runs_everything() -> None:
    assert words(asked(replace(FOUND, occupied=False), ALL, baseline="2")) == ["up 1 (m-1)", "up 2 (m-2)", "up 3 (m-3)"]


def test_once_in_the_life_of_a_line() -> None:
    ledger = Ledger()
    for step in planned(asked(FOUND, ALL, "2", baseline="2")).steps:
        ledger.record(step)
    assert words(asked(ledger.history(occupied=True), ALL, "2", baseline="2")) == []
    # Another baseline comes too late.
    assert words(asked(ledger.history(occupied=True), ALL, baseline="3")) == ["up 3 (m-3)"]
    assert words(asked(replace(ledger.history(), occupied=True), ALL, baseline="3")) == ["up 3 (m-3)"]
    adopted = (Adopted(version("3"), "m-3", "V3"),)
    assert words(asked(ledger.history(), ALL, adopted=adopted)) == ["up 3 (m-3)"]


def test_what_was_recorded_is_undone_like_anything_else() -> None:
    ledger = Ledger()
    for step in planned(asked(FOUND, ALL, baseline="2")).steps:
        ledger.record(step)
    assert words(asked(ledger.history(), ALL, "base")) == ["down 3 (m-3)", "down 2 (m-2)", "down 1 (m-1)"]


def test_a_target_below_the_baseline_waits_until_it_is_recorded() -> None:
    for target in ("1", "base"):
        result = asked(FOUND, ALL, target, baseline="2")
        assert isinstance(result, Refusal)
        assert (result.reason, result.version) == (Reason.ADOPTION_FAILED, parse_target(target))
        assert "already has version 2" in result.message
        assert "set spec.version to 2 or higher" in result.message


def test_a_line_that_has_repeatables_runs_them_after() -> None:
    assert words(asked(FOUND, [ONE, view("v", "1")], baseline="1")) == ["baseline 1 (m-1)", "repeat v"]


def test_what_another_tool_has_applied_is_recorded_in_the_order_of_versions() -> None:
    adopted = (
        Adopted(version("2"), "m-2", "V2__two.sql"),
        Adopted(version("1"), "m-1", "V1__one.sql"),
    )
    result = planned(asked(FOUND, ALL, adopted=adopted))
    assert words(result) == ["adopt 1 (m-1)", "adopt 2 (m-2)", "up 3 (m-3)"]
    assert [step.candidate for step in result.steps] == [ONE, TWO, THREE]
    # The other tool says it, whatever else the database holds.
    assert words(asked(replace(FOUND, occupied=False), ALL, adopted=adopted))[0] == "adopt 1 (m-1)"


def test_what_it_has_applied_without_a_migration_cannot_be_undone() -> None:
    identity = "x" * 300
    result = planned(asked(FOUND, [THREE, TWO], adopted=(Adopted(version("2"), None, identity),)))
    # The Migration of the same number was not named as the one: it is another's.
    (made, up) = (step.candidate for step in result.steps)
    assert result.corrections == ()
    assert (made.name, made.up_checksum, made.down_checksum) == (f"({identity})"[:253], ABSENT, ABSENT)
    assert made.irreversible is not None
    assert up == THREE
    ledger = Ledger()
    for step in result.steps:
        ledger.record(step)
    gone = asked(ledger.history(), [THREE], "base")
    assert isinstance(gone, Refusal)
    assert gone.reason is Reason.IRREVERSIBLE


def test_adoption_comes_before_a_baseline() -> None:
    adopted = (Adopted(version("1"), "m-1", "V1"),)
    assert words(asked(FOUND, ALL, "2", baseline="2", adopted=adopted)) == ["adopt 1 (m-1)", "up 2 (m-2)"]


def test_what_the_other_tool_skipped_is_late() -> None:
    adopted = (Adopted(version("2"), "m-2", "V2"),)
    result = asked(FOUND, ALL, adopted=adopted)
    assert isinstance(result, Refusal)
    assert result.reason is Reason.OUT_OF_ORDER


def test_what_is_only_recorded_runs_no_sql() -> None:
    assert {Direction.BASELINE, Direction.ADOPT, Direction.CORRECT} == RECORDED_ONLY


def test_the_hash_tells_what_is_recorded_from_what_runs() -> None:
    run = planned(asked(replace(FOUND, occupied=False), ALL, "2", baseline="2"))
    recorded = planned(asked(FOUND, ALL, "2", baseline="2"))
    adopted = tuple(Adopted(one, f"m-{one}", f"V{one}") for one in (version("1"), version("2")))
    assert len({run.hash, recorded.hash, planned(asked(FOUND, ALL, "2", adopted=adopted)).hash}) == 3
    assert Step(Direction.BASELINE, ONE).words[0] == "baseline"
