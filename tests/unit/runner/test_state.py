"""What a run counts as done when its session is lost, and the server with it."""

from lockstep.engines.base import Action, Recorded
from lockstep.planning.plan import Applied, Candidate, Direction, History, Step
from lockstep.planning.result import LedgerMark
from lockstep.planning.version import Version
from lockstep.planning.wire import OrderedMigration
from lockstep.runner.state import State, done


def action(version: str, direction: Direction = Direction.UP) -> Action:
    migration = OrderedMigration(f"orders-{version}", version, "sum", None)
    return Action(Step(direction, Candidate(migration.name, Version.parse(version), "sum")), migration)


def mark(sequence: int) -> LedgerMark:
    return LedgerMark("uuid", sequence, "hash")


def history(*versions: str) -> History:
    return History(tuple(Applied(Version.parse(each), f"orders-{each}", "sum") for each in versions))


def running(*versions: str, sure: int, direction: Direction = Direction.UP) -> State:
    """Return what a run knows that took these steps, the first of which are sure."""
    state = State(applied=set() if direction is Direction.UP else {Version.parse(each) for each in versions})
    for number, version in enumerate(versions, start=1):
        step = action(version, direction)
        state.took(step, Recorded(mark(number), "", is_durable=number <= sure), done(step, 0, ""))
    return state


def seen(state: State) -> tuple[int, list[str | None], str]:
    return state.taken, [step.version for step in state.steps], str(state.version)


def test_only_what_is_sure_is_held_against_the_next_session() -> None:
    state = running("1", "2", "3", sure=2)
    assert (state.mark, state.last) == (mark(2), mark(3))
    state.hardened(state.last)
    assert state.mark == mark(3)
    assert state.reconcile(history()) == 0


def test_what_the_server_has_lost_is_not_counted() -> None:
    state = running("1", "2", "3", "4", sure=1)
    state.doing = (action("5"),)
    assert state.reconcile(history("1", "2")) == 2
    assert seen(state) == (2, ["1", "2"], "2")
    assert not state.doing


def test_what_it_has_kept_is_counted_once_and_what_was_under_way_is_found() -> None:
    state = running("1", "2", "3", sure=1)
    state.doing = (action("4"), action("5"))
    assert state.reconcile(history("1", "2", "3", "4")) == 0
    assert seen(state)[:2] == (4, ["1", "2", "3", "4"])


def test_where_nobody_can_be_asked_only_what_is_sure_is_said() -> None:
    state = running("1", "2", "3", sure=1)
    state.give_up()
    assert seen(state) == (1, ["1"], "1")
    back = running("3", "2", "1", sure=1, direction=Direction.DOWN)
    assert str(back.version) == "base"
    back.give_up()
    assert seen(back) == (1, ["3"], "2")
