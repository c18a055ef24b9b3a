"""Decisions about a SchemaVersion that take more than one look, or more than its state to tell."""

from itertools import pairwise

import pytest
from msgspec.structs import replace

from lockstep.api.reasons import Reason
from lockstep.controller.decide.schemaversion import decide
from lockstep.controller.decide.wanted import Ready, want
from lockstep.controller.inputs import tag, unpack_tags
from lockstep.controller.snapshot import Limits
from lockstep.planning.digest import set_digest
from lockstep.planning.result import Progress, Result, StepDone
from lockstep.planning.wire import Mode
from support.controller import a_job, a_member, a_pod, a_run, as_status, ended, kstatus, snapshot
from support.decided import (
    DONE,
    FAILED,
    ONE,
    RUNNING,
    TWO,
    UNREACHABLE,
    after,
    failed,
    finished,
    fresh,
    lowered,
    not_there,
    planned,
    under_way,
    up_to_date,
    wanted_input,
    written,
)


def test_a_result_is_on_the_status() -> None:
    status = written(s := finished(FAILED), decide(s))
    assert status["version"] == "1"
    assert [each["name"] for each in status["history"]] == ["one"]
    assert status["run"]["outcome"] == "Permanent"
    assert status["pending"]["names"] == ["2 (two)"]


def test_a_job_may_go_only_once_its_result_is_written() -> None:
    s = finished(DONE)
    decision = decide(s)
    assert [job.name for job in decision.retire] == ["orders-x-1"]


def test_a_result_is_written_before_the_next_run_starts() -> None:
    """Its Job may be gone a moment later, and its result with it."""
    s = finished(DONE)
    decision = decide(replace(s, members=(*s.members, a_member("three", "3"))))
    assert decision.status is not None
    assert decision.status.version == "2"
    assert decision.start is None
    assert decision.again == 0.0
    fact = after(replace(s, members=(*s.members, a_member("three", "3"))))
    assert decide(snapshot(fact, ONE, TWO, a_member("three", "3"))).start is not None


def test_two_jobs_of_one_second() -> None:
    """Creation times have seconds only: a new run is not taken for one that was recorded."""
    fact = after(under_way({"state": RUNNING}))
    job = a_job("orders-y-1", str(wanted_input(fresh(version="1"), ONE)), target="1")
    s = snapshot(replace(fact, spec=fresh(version="1").spec), ONE, TWO, run_is_gone=True)
    s = replace(s, runs=(a_run(job, a_pod("p", job, RUNNING)),), pods_left=("p",))
    decision = decide(s)
    assert decision.status is not None
    assert decision.status.run is not None
    assert decision.status.run.job == "orders-y-1"
    done = replace(DONE, version="1")
    s = replace(s, runs=(a_run(job, a_pod("p", job, ended(done))),), pods_left=())
    assert decide(s).reason is Reason.UP_TO_DATE


def test_a_result_of_another_input_counts_for_the_version_only() -> None:
    """The set changed during the run: what is there now is not taken for what was run."""
    s = finished(DONE)
    fact = after(replace(s, members=(ONE, a_member("two", "2", up="CREATE TABLE other ()"))))
    assert fact.status.version == "2"
    assert fact.status.settled is None
    assert decide(snapshot(fact, ONE, a_member("two", "2", up="CREATE TABLE other ()"))).start is not None


def test_backoff_grows_with_failures_but_not_with_evictions() -> None:
    fact = failed()
    assert fact.status.run is not None
    assert fact.status.run.failures == 1
    waits = []
    for attempt in range(2, 6):
        run = fact.status.run
        assert run is not None
        job = a_job(f"orders-x-{attempt}", run.input or "", attempt, created=f"2026-07-01T12:0{attempt}:00Z")
        s = snapshot(fact, ONE, TWO, runs=(a_run(job, a_pod("p", job, ended(UNREACHABLE))),))
        decision = decide(s)
        assert decision.again is not None
        waits.append(decision.again)
        fact = after(s)
    assert all(later > 1.3 * earlier for earlier, later in pairwise(waits))
    last = fact.status.run
    assert last is not None
    job = a_job("orders-x-9", last.input or "", 9, created="2026-07-01T12:09:00Z")
    s = snapshot(fact, ONE, TWO, runs=(a_run(job, a_pod("p", job, ended(None), deleting=True)),))
    decision = decide(s)
    assert decision.reason is Reason.POD_LOST
    assert decision.again == 1.0
    assert decision.status is not None
    assert decision.status.run is not None
    assert decision.status.run.failures == 5


def test_a_retry_under_way_keeps_the_reason_of_the_failure() -> None:
    fact = failed()
    assert fact.status.run is not None
    job = a_job("orders-x-2", fact.status.run.input or "", 2, created="2026-07-01T12:02:00Z")
    s = snapshot(fact, ONE, TWO, runs=(a_run(job, a_pod("p", job, RUNNING)),))
    decision = decide(s)
    assert decision.reason is Reason.UNREACHABLE
    assert not decision.announce
    moving = replace(s.runs[0], progress=Progress(1, 2, "2"))
    assert decide(replace(s, runs=(moving,))).reason is Reason.RUNNING


def test_progress_and_the_holder_of_the_lock() -> None:
    s = under_way({"state": RUNNING})
    view = replace(s.runs[0], progress=Progress(1, 2, "2", "Running", "one done"))
    status = written(s, decide(replace(s, runs=(view,))))
    assert status["run"]["progress"] == {"done": 1, "total": 2, "version": "2", "message": "one done"}
    assert status["lock"]["holder"] == "p0"
    waiting = replace(view, progress=Progress(0, 0, None, "WaitingForLock", "held by x"))
    assert "lock" not in written(s, decide(replace(s, runs=(waiting,))))


def test_progress_that_was_seen_stays_until_the_log_is_read_again() -> None:
    s = under_way({"state": RUNNING})
    s = replace(s, runs=(replace(s.runs[0], progress=Progress(1, 2, "2")),))
    fact = after(s)
    later = decide(replace(s, fact=fact, runs=(replace(s.runs[0], progress=None, seconds=120.0),)))
    assert as_status(later.status) == as_status(fact.status)
    # The longer it runs, the less often: a status is not a log.
    assert later.again == 12.0
    assert decide(replace(s, runs=(replace(s.runs[0], seconds=1e5),))).again == 60.0


def test_the_next_attempt_gets_a_name_of_its_own() -> None:
    start = decide(snapshot(failed(), ONE, TWO, since_failure=60.0)).start
    assert start is not None
    assert start.attempt == 2


def test_an_overdue_wait_stays_so_in_another_process() -> None:
    """A new leader has not waited itself, and does not believe the old one's times."""
    s = snapshot(not_there(), ONE, waited=121.0)
    fact = after(replace(s, fact=after(replace(s, waited=0.0))))
    stalled = decide(snapshot(fact, ONE, waited=0.0))
    assert kstatus(1, written(s, stalled)) == "Failed"
    # Another generation starts anew.
    changed = decide(snapshot(replace(fact, generation=2), ONE, waited=121.0))
    assert kstatus(2, written(s, changed)) == "InProgress"


def test_a_result_is_announced_once() -> None:
    s = finished(DONE)
    assert decide(s).announce
    assert not decide(snapshot(after(s), ONE, TWO)).announce


def test_other_pod_settings_restart_only_what_has_not_started() -> None:
    s = under_way({"state": RUNNING})
    changed = fresh(execution={"nodeSelector": {"disk": "ssd"}})
    assert decide(replace(s, fact=changed)).stop is None
    stuck = under_way({"state": {"waiting": {"reason": "ImagePullBackOff"}}})
    assert decide(replace(stuck, fact=changed)).stop is not None


def test_a_corrected_image_replaces_only_a_pod_that_waits_for_the_old_one() -> None:
    spec = {"template": {"spec": {"containers": [{"image": "lockstep:typo"}]}}}
    pulling = {"state": {"waiting": {"reason": "ErrImagePull"}}}
    stuck, works = under_way(pulling, spec=spec), under_way({"state": RUNNING}, spec=spec)
    assert decide(replace(stuck, limits=Limits(image="lockstep:typo"))).stop is None
    assert decide(replace(stuck, limits=Limits(image="lockstep:right"))).stop is not None
    assert decide(replace(works, limits=Limits(image="lockstep:right"))).stop is None


def test_somebody_elses_lock_is_named() -> None:
    held = Result(Reason.LOCK_HELD, "the line is held by pod x", holder="x")
    status = written(s := finished(held), decide(s))
    assert status["lock"]["holder"] == "x"
    assert status["state"] == "LockHeld"


def test_a_retry_token_is_on_the_status_once_it_was_handled() -> None:
    fact = fresh()
    fact = replace(fact, retry="now")
    job = replace(a_job("orders-x-1", str(wanted_input(fact, ONE, TWO))), retry="now")
    s = snapshot(fact, ONE, TWO, runs=(a_run(job, a_pod("p", job, ended(DONE))),))
    assert written(s, decide(s))["lastHandledRetry"] == "now"


def test_a_job_that_was_never_started_and_is_outdated_is_taken_away() -> None:
    job = a_job("orders-x-1", str(wanted_input(fresh(), ONE)), spec={"suspend": True})
    decision = decide(snapshot(fresh(), ONE, TWO, runs=(a_run(job),)))
    assert decision.stop == job
    assert decision.start is None
    # While nothing can be said about what is wanted it stays.
    assert decide(snapshot(fresh(), ONE, TWO, runs=(a_run(job),), quiet=0.1)).stop is None
    # The database has what is wanted.
    assert decide(snapshot(up_to_date(), ONE, TWO, runs=(a_run(replace(job, name="orders-y-1")),))).stop


def test_the_status_of_another_version_of_lockstep() -> None:
    """A reason that this version does not know is a failure like any other."""
    fact = failed(FAILED)
    assert fact.status.run is not None
    later = fact.status.model_copy(update={"run": fact.status.run.model_copy(update={"reason": "FromTheFuture"})})
    assert decide(snapshot(replace(fact, status=later), ONE, TWO)).reason is Reason.RUNNER_FAILED


def test_an_applied_text_whose_config_map_is_gone_is_no_news() -> None:
    source = {"configMapKeyRef": {"name": "c", "key": "k"}}
    gone = a_member("one", "1", up=None, upFrom=source)
    assert gone.up is None
    assert decide(snapshot(up_to_date(), gone, TWO)).reason is Reason.UP_TO_DATE


def test_several_unmet_requirements_are_counted() -> None:
    needy = a_member("needy", "1", requires=[{"schema": "a", "version": "1"}, {"schema": "b", "version": "1"}])
    decision = decide(snapshot(fresh(), needy))
    assert decision.reason is Reason.REQUIREMENT_NOT_MET
    assert "and 1 more" in decision.message


def test_a_set_with_another_digest_says_so() -> None:
    decision = decide(snapshot(fresh(migrations={"digest": "sha256:" + "0" * 64}), ONE))
    assert "missing, changed or too many" in decision.message


def test_a_set_that_is_just_arriving_is_not_announced_as_waiting() -> None:
    s = snapshot(fresh(migrations={"digest": "sha256:" + "0" * 64}), ONE)
    arriving, resting = decide(replace(s, quiet=0.2)), decide(replace(s, quiet=60.0))
    assert (arriving.reason, arriving.status, arriving.announce) == (Reason.WAITING_FOR_MIGRATIONS, None, False)
    assert arriving.again == pytest.approx(0.8)
    assert resting.status is not None
    assert resting.announce


@pytest.mark.parametrize(
    ("steps", "applied", "version", "settled"),
    [
        # All that it did had room.
        ((StepDone("two", "2", "down", 1, ""),), 1, "1", {"one"}),
        # Some of it had not: nothing above the target is sure any more.
        ((StepDone("two", "2", "down", 1, ""),), 2, "1", set()),
        ((), 0, "1", {"one"}),
        # In the order of application, which need not be that of versions.
        ((StepDone("one", "1", "down", 1, ""),), 1, "2", {"two"}),
    ],
)
def test_what_is_settled_after_half_a_way_down(
    steps: tuple[StepDone, ...], applied: int, version: str, settled: set[str]
) -> None:
    fact = replace(up_to_date(), spec=fresh(version="base", rollback="Allow").spec)
    start = decide(snapshot(fact, ONE, TWO)).start
    assert start is not None
    job = a_job("orders-y-1", str(start.input), target="base", created="2026-07-01T12:00:00Z")
    result = Result(Reason.LOCK_TIMEOUT, "in use", version, applied=applied, steps=steps)
    fact = after(snapshot(fact, ONE, TWO, runs=(a_run(job, a_pod("p", job, ended(result))),)))
    tags = unpack_tags(fact.status.settled)
    assert {m.fact.name for m in (ONE, TWO) if tag(m.as_set_member()) in tags} == settled


def test_a_status_of_nothing_takes_no_text_for_applied() -> None:
    """A run that found another text under an applied version: its version is no proof of the text that is here."""
    refused = Result(Reason.CHECKSUM_MISMATCH, "1 was another", "2", steps=(StepDone("one", "1", "up", 1, ""),))
    assert after(finished(refused)).status.settled is None


def test_an_unreadable_down_of_an_applied_version_is_no_news() -> None:
    source = {"configMapKeyRef": {"name": "c", "key": "k"}}
    gone = a_member("one", "1", downFrom=source)
    assert gone.up is not None
    assert gone.problem is not None
    assert decide(snapshot(up_to_date(), gone, TWO)).reason is Reason.UP_TO_DATE


def test_a_plans_job_is_not_finished_as_a_run() -> None:
    fact = after(planned())
    spec = lowered(approvedPlans=["sha256:" + "a" * 64]).fact.spec
    s = snapshot(replace(fact, spec=spec), ONE, TWO)
    start = decide(s).start
    assert start is not None
    assert (start.mode, start.attempt) == (Mode.RUN, 1)
    left = a_job("orders-plan-x-2", str(start.input), 2, target="1", mode="plan", spec={"suspend": True})
    decision = decide(replace(s, runs=(a_run(left),)))
    assert (decision.stop, decision.start) == (left, None)


def test_another_way_to_run_it_is_a_reason_to_try_again() -> None:
    always = a_member("m", "1", transaction="Always")
    never = a_member("m", "1", transaction="Never")
    first, second = want(snapshot(fresh(), always)), want(snapshot(fresh(), never))
    assert isinstance(first, Ready)
    assert isinstance(second, Ready)
    assert not first.input.same_work(second.input)
    # It is no part of the digest, and of what is known to be applied.
    assert set_digest([always.as_set_member()], None) == set_digest([never.as_set_member()], None)
    assert tag(always.as_set_member()) == tag(never.as_set_member())
