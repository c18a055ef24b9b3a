"""One run at a time on a line, whatever becomes of the runners, and each migration exactly once."""

import signal
import threading
from collections.abc import Callable
from contextlib import closing

import pytest

from engines.compliance.samples import EMAIL, ITEMS, USERS, other
from engines.compliance.target import Place, Target
from lockstep.api.reasons import Reason
from lockstep.engines import load
from lockstep.engines.base import Action, Files, Identity, RunError, SecretWords, Session, Task
from lockstep.engines.control import Control
from lockstep.planning.plan import Direction, Step
from lockstep.planning.wire import Order
from lockstep.runner.judge import candidate
from lockstep.runner.secret import read_secret
from servers.process import wait_until
from servers.runner import Ended, Pod, migration, order
from support.waiting import eventually

Pods = Callable[..., Pod]


def run_when_free(pod: Pod, wanted: Order, place: Place, seconds: float = 40) -> Ended:
    """Run until the lock of a run that has died is free."""

    def go() -> Ended | None:
        ended = pod.run(wanted, place.secret)
        return None if ended.result.reason is Reason.LOCK_HELD else ended

    return eventually(go, "the lock is free", seconds)


def in_the_slow_one(place: Place, target: Target, pod: Pod) -> None:
    """Start a pod and wait until it is in the middle of its second migration."""
    pod.start(order(USERS, migration("2", f"INSERT INTO users VALUES (7, 'x'); {target.sql.slow}")), place.secret)
    pod.wait_for("applied")
    wait_until(place.is_busy, what="the slow statement")


def test_the_second_run_gives_way_and_names_the_holder(place: Place, target: Target, pods: Pods, hurried: Pod) -> None:
    first, second = pods("orders-abc-first"), hurried
    in_the_slow_one(place, target, first)
    ended = second.run(order(USERS, ITEMS), place.secret)
    assert (ended.code, ended.result.reason) == (10, Reason.LOCK_HELD), ended.text
    assert ended.result.holder == "orders-abc-first"
    assert "orders-abc-first" in ended.result.message


def test_several_lines_make_the_ledger_at_once(place: Place, pods: Pods) -> None:
    ends: list[Ended] = []

    def run(number: int) -> None:
        wanted = other(migration("1", f"CREATE TABLE t{number} (id int)"), line=f"line{number}")
        ends.append(pods(f"pod{number}").run(wanted, place.secret))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [ended.result.reason for ended in ends] == [Reason.UP_TO_DATE] * 4, [ended.text for ended in ends]
    history = place.ledger("history")
    assert place.query(f"SELECT count(*), count(DISTINCT line) FROM {history}") == [(4, 4)]
    assert sum(len(ended.events("ledger_created")) for ended in ends) == 1


def test_many_runs_of_one_line_apply_it_once(place: Place, pods: Pods) -> None:
    wanted = order(*(migration(f"{n}", f"CREATE TABLE t{n} (id int)") for n in range(1, 21)))
    started = [pods(f"pod{number}") for number in range(4)]
    for each in started:
        each.start(wanted, place.secret)
    ends = [each.end() for each in started]
    assert {ended.result.reason for ended in ends} <= {Reason.UP_TO_DATE, Reason.LOCK_HELD}, [e.text for e in ends]
    assert sum(ended.result.applied for ended in ends) == 20
    assert place.history() == [("up", f"{n}") for n in range(1, 21)]


def test_a_stop_ends_the_statement_and_frees_the_lock(place: Place, target: Target, pods: Pods) -> None:
    first = pods("first")
    in_the_slow_one(place, target, first)
    first.signal(signal.SIGTERM)
    ended = first.end(20)
    assert (ended.code, ended.result.reason) == (10, Reason.INTERRUPTED), ended.text
    assert (ended.result.version, ended.result.applied, ended.result.pending) == ("0001", 1, 1)
    assert place.applied() == ["0001"]
    if target.transactional:
        assert place.query("SELECT id FROM users") == [(1,)]
        assert run_when_free(pods("second"), order(USERS, EMAIL), place, 10).result.version == "0002"


def test_killed_inside_of_a_migration(place: Place, target: Target, pods: Pods) -> None:
    first = pods("first")
    in_the_slow_one(place, target, first)
    first.kill()
    quick = migration("3", "CREATE TABLE quick (id int)")
    ended = run_when_free(pods("second"), order(USERS, quick), place)
    assert place.applied()[0] == "0001"
    if target.transactional:
        assert (ended.code, ended.result.applied) == (0, 1), ended.text
        assert place.query("SELECT id FROM users") == [(1,)]
        assert place.history() == [("up", "0001"), ("up", "3")]


def entered(place: Place, wanted: Order, control: Control, pod: str, wait: float = 5) -> Session:
    """A run that holds the line, without a process of its own."""
    name, words = read_secret(place.secret, wanted.database)
    engine = load(name)
    task = Task(
        wanted, engine.target(SecretWords(words.url, words.parts), "s"), Files(), Identity(pod, "job", 1, wanted.owner)
    )
    session = engine.connect(task, control, lambda *_, **__: None)
    try:
        session.lock(wait)
        session.enter()
    except BaseException:
        session.close()
        raise
    return session


def test_the_fence_refuses_a_run_that_was_overtaken(place: Place, target: Target) -> None:
    """The lock may be lost in ways that nobody sees; the epoch in the database decides."""
    step = migration("1", "CREATE TABLE left_behind (id int)")
    action = Action(Step(Direction.UP, candidate(step)), step)
    with closing(Control(60)) as control, closing(entered(place, order(step), control, "zombie")) as session:
        run = place.ledger("run")
        place.query(f"UPDATE {run} SET epoch = epoch + 1")
        script = load(target.engine).script(action)
        with pytest.raises(RunError) as caught:
            session.apply(action, script, lambda _: None)
        assert caught.value.reason is Reason.FENCED
        with pytest.raises(RunError):
            session.record([action])
    assert (place.history(), place.applied()) == ([], [])
    assert place.tables() == set()


def test_the_lock_is_held_until_the_session_is_closed(place: Place) -> None:
    with closing(Control(60)) as control:
        first = entered(place, order(USERS), control, "first")
        try:
            # Another line is free.
            entered(place, other(), control, "third").close()
            with pytest.raises(RunError) as caught:
                entered(place, order(USERS), control, "second", wait=0.2)
            assert (caught.value.reason, caught.value.holder) == (Reason.LOCK_HELD, "first")
        finally:
            first.close()
        entered(place, order(USERS), control, "second").close()
