"""A migration that ran by half: what a plan must do about it, and when there is none."""

from lockstep.api.reasons import Reason
from lockstep.planning.plan import Applied, Candidate, Direction, History, Partial, Plan, Refusal, Repeated
from lockstep.planning.planner import Intent, make_plan
from lockstep.planning.version import Version


def v(text: str) -> Version:
    return Version.parse(text)


def candidate(version: str) -> Candidate:
    return Candidate(f"orders-{version}", v(version), f"up{version}", f"down{version}")


SET = [candidate("1"), candidate("2"), candidate("3")]
VIEW = Candidate("orders-view", None, "view", "drop")


def half(version: str | None, direction: str = "up", state: str = "started", note: str = "") -> Partial:
    name = "orders-view" if version is None else version
    return Partial(name, None if version is None else v(version), direction, 2, state, note)


def plan(
    partial: Partial, applied: str = "1", target: str | None = None, candidates: list[Candidate] | None = None
) -> Plan | Refusal:
    done = tuple(
        Applied(v(each), f"orders-{each}", f"up{each}", f"down{each}", sequence=number)
        for number, each in enumerate(applied.split(), start=1)
    )
    history = History(done, (Repeated("orders-view", "view", "drop"),), partial=partial)
    intent = Intent(None if target is None else v(target))
    return make_plan("orders", history, [*SET, VIEW] if candidates is None else candidates, intent)


def labels(found: Plan | Refusal) -> list[str]:
    assert isinstance(found, Plan), found
    return [step.label for step in found.steps]


def refusal(found: Plan | Refusal) -> str:
    assert isinstance(found, Refusal), found
    assert found.reason is Reason.PARTIAL
    return found.message


def test_a_way_that_finishes_it_is_taken() -> None:
    assert labels(plan(half("2"))) == ["up 2 (orders-2)", "up 3 (orders-3)"]
    assert labels(plan(half("2"), target="2")) == ["up 2 (orders-2)"]
    assert labels(plan(half("2", "down"), "1 2", target="1")) == ["down 2 (orders-2)"]


def test_the_text_of_what_is_not_applied_may_be_corrected() -> None:
    corrected = [candidate("1"), Candidate("orders-2", v("2"), "other"), VIEW]
    assert labels(plan(half("2"), candidates=corrected)) == ["up 2 (orders-2)"]


def test_a_way_that_leaves_it_is_refused() -> None:
    assert "version 2 (orders-2) ran by half (up, statement 2" in refusal(plan(half("2"), target="1"))
    assert "MarkApplied or MarkNotApplied" in refusal(plan(half("2"), target="1"))
    # The direction counts: what was being undone is not finished by going up.
    assert "(down, statement 2" in refusal(plan(half("2", "down"), "1 2", target="3"))
    # Its Migration is gone.
    assert "version 2 (2) ran by half" in refusal(plan(half("2"), candidates=[candidate("1"), candidate("3"), VIEW]))


def test_what_is_in_doubt_comes_before_any_way() -> None:
    message = refusal(plan(half("2", state="unknown", note="CALL: lost")))
    assert "version 2 (orders-2)" in message
    assert "statement 2 took effect (CALL: lost)" in message
    assert "StatementApplied or StatementNotApplied" in message


def test_a_repeatable_one_is_run_again_also_with_the_text_that_ran_before() -> None:
    assert labels(plan(half(None, "repeat"), "1 2 3")) == ["repeat orders-view"]
    # Also where it was being dropped when the way turned.
    assert labels(plan(half(None, "down"), "1 2 3")) == ["repeat orders-view"]
    found = plan(half(None, "repeat"), "1 2 3", candidates=[*SET, Candidate("orders-view", None, "other")])
    assert labels(found) == ["repeat orders-view"]
    assert isinstance(found, Plan)
    assert found.steps[0].direction is Direction.REPEAT
    assert "create it again" in refusal(plan(half(None, "repeat"), "1 2 3", candidates=SET))
