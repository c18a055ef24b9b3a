"""Every state of a SchemaVersion: its reason, what is done about it, and what kstatus makes of it."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
from msgspec.structs import replace

from lockstep.api.reasons import Reason
from lockstep.controller.decide.schemaversion import decide
from lockstep.controller.decide.state import Decision
from lockstep.controller.decide.wanted import Ready, want
from lockstep.controller.facts import SchemaVersionFact, schema_version_fact
from lockstep.controller.inputs import RunInput, tag, unpack_tags
from lockstep.controller.snapshot import Limits, LineView, Member, SchemaVersionSnapshot
from lockstep.planning.digest import set_digest
from lockstep.planning.result import ErrorDetail, LedgerMark, PlanSummary, Progress, Result, StepDone
from lockstep.planning.wire import Mode
from support.controller import (
    a_job,
    a_member,
    a_migration,
    a_pod,
    a_run,
    a_schema_version,
    as_status,
    ended,
    kstatus,
    schema_version,
    snapshot,
)

ONE, TWO = a_member("one", "1"), a_member("two", "2")
DONE = Result(Reason.UP_TO_DATE, "there", version="2", applied=2, ledger=LedgerMark("u", 2, "h"))
UNREACHABLE = Result(Reason.UNREACHABLE, "cannot reach db:5432: connection refused")
FAILED = Result(
    Reason.STATEMENT_FAILED,
    'relation "x" does not exist',
    version="1",
    applied=1,
    error=ErrorDetail("2", 3, 7, "42P01"),
    steps=(StepDone("one", "1", "up", 5, "2026-07-01T11:59:30Z"),),
)
RUNNING: dict[str, Any] = {"running": {}}


def wanted_input(fact: SchemaVersionFact, *members: Member) -> RunInput:
    """Return the input that the operator would start now."""
    start = decide(snapshot(fact, *members)).start
    assert start is not None
    return start.input


def fresh(**spec: Any) -> SchemaVersionFact:
    return a_schema_version(**spec)


def after(s: SchemaVersionSnapshot) -> SchemaVersionFact:
    """Return the SchemaVersion once what is decided about it is written."""
    decision = decide(s)
    assert decision.status is not None
    raw_spec = s.fact.spec.model_dump(by_alias=True, exclude_none=True, mode="json") if s.fact.spec else {}
    raw = schema_version(s.fact.name, as_status(decision.status), s.fact.generation, s.fact.retry, **raw_spec)
    return schema_version_fact(raw)


def finished(result: Result, *members: Member, fact: SchemaVersionFact | None = None) -> SchemaVersionSnapshot:
    """Return the snapshot in which the run for what is wanted has just ended with this result."""
    fact = fact or fresh()
    members = members or (ONE, TWO)
    job = a_job("orders-x-1", str(wanted_input(fact, *members)))
    return snapshot(fact, *members, runs=(a_run(job, a_pod("p", job, ended(result))),))


def up_to_date(**spec: Any) -> SchemaVersionFact:
    return after(finished(DONE, fact=fresh(**spec)))


def failed(result: Result = UNREACHABLE) -> SchemaVersionFact:
    return after(finished(result))


@dataclass(frozen=True)
class Case:
    name: str
    make: Callable[[], SchemaVersionSnapshot]
    reason: Reason
    status: str | None
    """What kstatus says once it is written; None: nothing is written."""
    says: str = ""
    starts: bool = False
    stops: bool = False
    again: bool = False


def under_way(*pods: Any, **more: Any) -> SchemaVersionSnapshot:
    fact = fresh()
    job = a_job("orders-x-1", str(wanted_input(fact, ONE, TWO)), **more)
    return snapshot(fact, ONE, TWO, runs=(a_run(job, *(a_pod(f"p{i}", job, **pod) for i, pod in enumerate(pods))),))


def other_line(version: str | None, *migrations: Any) -> LineView:
    status = {"observedGeneration": 1, **({"version": version} if version else {})}
    return LineView(tuple(migrations), (a_schema_version("auth", status),))


NEEDY = a_member("needy", "1", requires=[{"schema": "auth", "version": "2"}])
NEEDED = a_migration("a2", "2", "auth")


def needing(line: LineView | None) -> SchemaVersionSnapshot:
    lines = {"orders": LineView((NEEDY.fact,), (fresh(),)), **({"auth": line} if line else {})}
    return snapshot(fresh(), NEEDY, lines=lines)


def circle() -> SchemaVersionSnapshot:
    back = a_migration("a2", "2", "auth", requires=[{"schema": "orders", "version": "1"}])
    return needing(other_line(None, back))


def stopped_by_target() -> SchemaVersionSnapshot:
    s = under_way({"state": RUNNING, "phase": "Running"})
    return replace(s, fact=fresh(version="1"))


def not_there(**spec: Any) -> SchemaVersionFact:
    """Return a SchemaVersion that is known to be at base, and asks for a version that is not there."""
    return a_schema_version(status={"observedGeneration": 1, "version": "base"}, version="3", **spec)


def lowered(**spec: Any) -> SchemaVersionSnapshot:
    """Return a SchemaVersion at version 2 that asks for 1."""
    return snapshot(replace(up_to_date(), spec=fresh(version="1", **spec).spec), ONE, TWO)


def requiring(version: str, has: str = "1") -> LineView:
    """Return another line that requires a version of this one, and what its database has."""
    needs = a_migration("a1", "1", "auth", requires=[{"schema": "orders", "version": version}])
    return LineView((needs,), (a_schema_version("auth", {"observedGeneration": 1, "version": has}),))


def plan_job(s: SchemaVersionSnapshot) -> Any:
    start = decide(s).start
    assert start is not None
    assert start.mode is Mode.PLAN
    return a_job("orders-plan-x-1", str(start.input), target="1", mode="plan", created="2026-07-01T12:00:00Z")


def planning() -> SchemaVersionSnapshot:
    s = lowered()
    job = plan_job(s)
    return replace(s, runs=(a_run(job, a_pod("p", job, RUNNING)),))


def planned() -> SchemaVersionSnapshot:
    s = lowered()
    job = plan_job(s)
    plan = PlanSummary("sha256:" + "a" * 64, "Down", 1, ("down 2 (two)",))
    result = Result(Reason.PLANNED, "1 step(s) down", "2", plan=plan)
    return replace(s, runs=(a_run(job, a_pod("p", job, ended(result))),))


FRAMEWORK = a_member("x", "3", up=None, framework={"name": "rails", "image": "i"})

CASES = [
    # The spec.
    Case("invalid", lambda: snapshot(fresh(version="x")), Reason.INVALID_SPEC, "Failed", "spec.version"),
    Case(
        "another engine runs like any other",
        lambda: snapshot(fresh(database={"secretRef": {"name": "d"}, "engine": "mysql"}), ONE),
        Reason.STARTING,
        None,
        starts=True,
    ),
    Case("being deleted", lambda: snapshot(replace(fresh(), deleting=True), ONE), Reason.SUSPENDED, None),
    # The set.
    Case("settling", lambda: snapshot(fresh(), ONE, quiet=0.2), Reason.SETTLING, None, again=True),
    Case("ready to run", lambda: snapshot(fresh(), ONE, TWO), Reason.STARTING, None, starts=True),
    Case("an empty line", lambda: snapshot(fresh()), Reason.STARTING, None, starts=True),
    Case(
        "target missing",
        lambda: snapshot(fresh(version="3"), ONE),
        Reason.TARGET_NOT_FOUND,
        "InProgress",
        "3",
        again=True,
    ),
    Case(
        "target missing for long",
        lambda: snapshot(after(snapshot(not_there(), ONE)), ONE, waited=121.0),
        Reason.TARGET_NOT_FOUND,
        "Failed",
    ),
    Case(
        "duplicates",
        lambda: snapshot(fresh(), ONE, a_member("uno", "1.0")),
        Reason.DUPLICATE_VERSION,
        "Failed",
        "one, uno",
    ),
    Case(
        "duplicates above the target",
        lambda: snapshot(fresh(version="1"), ONE, TWO, a_member("deux", "2.0")),
        Reason.STARTING,
        None,
        starts=True,
    ),
    Case(
        "digest not there",
        lambda: snapshot(fresh(version="2", migrations={"digest": "sha256:" + "0" * 64}), ONE),
        Reason.WAITING_FOR_MIGRATIONS,
        "InProgress",
        "version 2 is missing",
        again=True,
    ),
    Case(
        "digest there, whatever has just changed",
        lambda: snapshot(fresh(migrations={"digest": set_digest([ONE.as_set_member()], None)}), ONE, quiet=0.0),
        Reason.STARTING,
        None,
        starts=True,
    ),
    Case(
        "a framework",
        lambda: snapshot(fresh(), a_member("rails", "1", up=None, framework={"name": "rails", "image": "i"})),
        Reason.NOT_SUPPORTED_YET,
        "Failed",
        "rails",
    ),
    Case(
        "transaction Never",
        lambda: snapshot(fresh(), a_member("never", "1", transaction="Never")),
        Reason.STARTING,
        None,
        starts=True,
    ),
    Case(
        "an unreadable source",
        lambda: snapshot(fresh(), a_member("m", "1", up=None, upFrom={"configMapKeyRef": {"name": "c", "key": "k"}})),
        Reason.INVALID_MIGRATION,
        "InProgress",
        "ConfigMap 'c'",
        again=True,
    ),
    Case(
        "an invalid Migration",
        lambda: snapshot(fresh(), a_member("m", "1", lockTimeout="x")),
        Reason.INVALID_MIGRATION,
        "InProgress",
        "m",
    ),
    # Requirements.
    Case("no such line", lambda: needing(None), Reason.REQUIREMENT_NOT_MET, "InProgress", "create it", again=True),
    Case("line behind", lambda: needing(other_line("1", NEEDED)), Reason.REQUIREMENT_NOT_MET, "InProgress", "is at 1"),
    Case(
        "line without that version",
        lambda: needing(other_line("1")),
        Reason.REQUIREMENT_NOT_MET,
        "InProgress",
        "create it",
    ),
    Case(
        "line silent", lambda: needing(other_line(None, NEEDED)), Reason.REQUIREMENT_NOT_MET, "InProgress", "not said"
    ),
    Case("line there", lambda: needing(other_line("2.0")), Reason.STARTING, None, starts=True),
    Case("circle", circle, Reason.CIRCULAR_REQUIREMENT, "Failed", "orders 1 -> auth 2 -> orders 1"),
    # The run.
    Case("suspended Job", lambda: under_way(spec={"suspend": True}), Reason.STARTING, None, starts=True),
    Case("no pod yet", under_way, Reason.RUNNING, "InProgress", "to version 2", again=True),
    Case(
        "running", lambda: under_way({"state": RUNNING, "phase": "Running"}), Reason.RUNNING, "InProgress", again=True
    ),
    Case(
        "image",
        lambda: under_way({"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}),
        Reason.IMAGE_PULL_FAILED,
        "InProgress",
        "no such image",
        again=True,
    ),
    Case(
        "container rejected",
        lambda: under_way({"state": {"waiting": {"reason": "CreateContainerConfigError", "message": "runs as root"}}}),
        Reason.POD_REJECTED,
        "InProgress",
        "runs as root",
    ),
    Case(
        "unschedulable",
        lambda: under_way(
            {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1"}]}
        ),
        Reason.UNSCHEDULABLE,
        "InProgress",
        "0/1",
    ),
    Case("target changed in mid-run", stopped_by_target, Reason.RUNNING, "InProgress", "changed", stops=True),
    Case(
        "stopping",
        lambda: under_way({"state": RUNNING}, metadata={"deletionTimestamp": "2026-07-01T12:00:00Z"}),
        Reason.RUNNING,
        "InProgress",
        "boundary",
        again=True,
    ),
    Case(
        "pod of a stopped run still there",
        lambda: snapshot(fresh(), ONE, TWO, pods_left=("p",)),
        Reason.RUNNING,
        "InProgress",
        "waiting for pod p",
        again=True,
    ),
    Case(
        "invalid while running",
        lambda: replace(under_way({"state": RUNNING}), fact=fresh(version="x")),
        Reason.INVALID_SPEC,
        "Failed",
        "still runs",
    ),
    Case(
        "set incomplete while running: it goes on",
        lambda: replace(under_way({"state": RUNNING}), members=(ONE, TWO, FRAMEWORK)),
        Reason.NOT_SUPPORTED_YET,
        "Failed",
        "still runs",
    ),
    Case(
        "quota",
        lambda: snapshot(fresh(), ONE, rejected=(Reason.QUOTA_EXCEEDED, "pods")),
        Reason.QUOTA_EXCEEDED,
        "InProgress",
        again=True,
    ),
    # Its end.
    Case("done", lambda: finished(DONE), Reason.UP_TO_DATE, "Current", "version 2"),
    Case("unreachable", lambda: finished(UNREACHABLE), Reason.UNREACHABLE, "InProgress", "refused", again=True),
    Case(
        "unreachable for long",
        lambda: snapshot(failed(), ONE, TWO, since_failure=1.0, waited=121.0),
        Reason.UNREACHABLE,
        "Failed",
        again=True,
    ),
    Case("retry due", lambda: snapshot(failed(), ONE, TWO, since_failure=9.0), Reason.STARTING, None, starts=True),
    Case(
        "SQL failed",
        lambda: finished(FAILED),
        Reason.STATEMENT_FAILED,
        "Failed",
        "SQLSTATE 42P01, version 2, statement 3, line 7",
    ),
    Case("a person", lambda: finished(Result(Reason.LEDGER_BEHIND, "rewound")), Reason.LEDGER_BEHIND, "Failed"),
    Case(
        "permanent stays",
        lambda: snapshot(failed(FAILED), ONE, TWO, since_failure=1e9),
        Reason.STATEMENT_FAILED,
        "Failed",
    ),
    Case(
        "permanent, then its text changed",
        lambda: snapshot(failed(FAILED), ONE, a_member("two", "2", up="CREATE TABLE better ()")),
        Reason.STARTING,
        None,
        starts=True,
    ),
    Case(
        "permanent, then a retry token",
        lambda: snapshot(replace(failed(FAILED), retry="again"), ONE, TWO),
        Reason.STARTING,
        None,
        starts=True,
    ),
    Case(
        "out of memory",
        lambda: under_way({"state": ended(None, 137, "OOMKilled")}),
        Reason.OUT_OF_MEMORY,
        "InProgress",
        "limits.memory",
    ),
    Case(
        "pod's deadline",
        lambda: under_way({"state": ended(None, 137, "Error"), "reason": "DeadlineExceeded"}),
        Reason.DEADLINE_EXCEEDED,
        "InProgress",
    ),
    Case(
        "Job's deadline",
        lambda: under_way(status={"conditions": [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]}),
        Reason.DEADLINE_EXCEEDED,
        "InProgress",
    ),
    Case(
        "runner crashed",
        lambda: under_way({"state": ended("Traceback", 1, "Error")}),
        Reason.RUNNER_FAILED,
        "InProgress",
        "Traceback",
    ),
    Case(
        "pod taken away",
        lambda: under_way({"state": ended(None, 137, "Error"), "deleting": True}),
        Reason.POD_LOST,
        "InProgress",
    ),
    Case(
        "pod gone with its result",
        lambda: under_way(status={"conditions": [{"type": "Complete", "status": "True"}]}),
        Reason.POD_LOST,
        "InProgress",
    ),
    Case(
        "evicted: the Job replaces the pod",
        lambda: under_way(
            {"state": ended(None, 137, "Error"), "conditions": [{"type": "DisruptionTarget", "status": "True"}]}
        ),
        Reason.RUNNING,
        "InProgress",
        "replacement",
    ),
    Case(
        "Job gone",
        lambda: snapshot(after(under_way({"state": RUNNING})), ONE, TWO, run_is_gone=True),
        Reason.POD_LOST,
        "InProgress",
        "ledger",
        again=True,
    ),
    # Afterwards.
    Case("steady", lambda: snapshot(up_to_date(), ONE, TWO), Reason.UP_TO_DATE, "Current"),
    Case("one taken away", lambda: snapshot(up_to_date(), TWO), Reason.UP_TO_DATE, "Current"),
    Case("all taken away", lambda: snapshot(up_to_date()), Reason.UP_TO_DATE, "Current"),
    Case(
        "one taken away from a digest",
        lambda: snapshot(
            up_to_date(migrations={"digest": set_digest([ONE.as_set_member(), TWO.as_set_member()], None)}), TWO
        ),
        Reason.UP_TO_DATE,
        "Current",
    ),
    Case(
        "an applied text changed",
        lambda: snapshot(up_to_date(), a_member("one", "1", up="DROP TABLE x"), TWO),
        Reason.STARTING,
        None,
        starts=True,
    ),
    Case(
        "a late version",
        lambda: snapshot(up_to_date(), ONE, TWO, a_member("late", "1.5")),
        Reason.STARTING,
        None,
        starts=True,
    ),
    Case(
        "a down corrected",
        lambda: snapshot(up_to_date(), ONE, a_member("two", "2", down="DROP TABLE two")),
        Reason.STARTING,
        None,
        starts=True,
    ),
    Case(
        "the next version",
        lambda: snapshot(up_to_date(), ONE, TWO, a_member("three", "3")),
        Reason.STARTING,
        None,
        starts=True,
    ),
    Case(
        "a lower target, allowed",
        lambda: lowered(rollback="Allow"),
        Reason.STARTING,
        None,
        starts=True,
    ),
    Case("a lower target, to be approved", lowered, Reason.PLANNING, None, starts=True),
    Case(
        "a lower target, forbidden",
        lambda: lowered(rollback="Forbid"),
        Reason.ROLLBACK_FORBIDDEN,
        "Failed",
        "at version 2, above the target 1",
    ),
    Case(
        "a lower target that is gone",
        lambda: replace(lowered(rollback="Allow"), members=(TWO,)),
        Reason.STARTING,
        None,
        starts=True,
    ),
    Case(
        "a lower target, required by another line",
        lambda: replace(lowered(rollback="Allow"), lines={"auth": requiring("2")}),
        Reason.REQUIRED_BY_OTHERS,
        "InProgress",
        "auth 1 (a1) requires orders 2",
        again=True,
    ),
    Case(
        "a lower target, required by what another line does not have",
        lambda: replace(lowered(rollback="Allow"), lines={"auth": requiring("2", has="base")}),
        Reason.STARTING,
        None,
        starts=True,
    ),
    Case(
        "a lower target that is enough for the other line",
        lambda: replace(lowered(rollback="Allow"), lines={"auth": requiring("1.0")}),
        Reason.STARTING,
        None,
        starts=True,
    ),
    Case("up, to be approved", lambda: snapshot(fresh(approval="Manual"), ONE), Reason.PLANNING, None, starts=True),
    Case("a plan under way", planning, Reason.PLANNING, "InProgress", "plans the way to version 1", again=True),
    Case("a plan that waits", planned, Reason.APPROVAL_REQUIRED, "InProgress", "kubectl logs -n ns job/"),
    Case(
        "a plan that waits, suspended",
        lambda: replace(planned(), fact=replace(planned().fact, spec=lowered(suspend=True).fact.spec)),
        Reason.SUSPENDED,
        "InProgress",
    ),
    Case(
        "suspended, nothing to do",
        lambda: snapshot(replace(up_to_date(), spec=fresh(suspend=True).spec), ONE, TWO),
        Reason.UP_TO_DATE,
        "Current",
        "spec.suspend is true",
    ),
    Case("suspended", lambda: snapshot(fresh(suspend=True), ONE), Reason.SUSPENDED, "InProgress"),
    Case(
        "suspended and invalid",
        lambda: snapshot(fresh(suspend=True, version="x"), ONE),
        Reason.INVALID_SPEC,
        "Failed",
    ),
]


def written(s: SchemaVersionSnapshot, decision: Decision) -> dict[str, Any]:
    assert decision.status is not None
    return as_status(decision.status)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_state(case: Case) -> None:
    s = case.make()
    decision = decide(s)
    assert decision.reason is case.reason
    assert decision.message
    assert case.says in (decision.status.last_error or decision.message if decision.status else decision.message)
    assert (decision.start is not None) is case.starts
    assert (decision.stop is not None) is case.stops
    assert decision.again is not None or not case.again
    if case.status is None:
        assert decision.status is None
        assert decision.retire == ()
        return
    status = written(s, decision)
    assert kstatus(s.fact.generation, status) == case.status
    conditions = {each["type"]: each for each in status["conditions"]}
    ready = conditions["Ready"]
    assert status["state"] == ready["reason"] == case.reason
    assert status["observedGeneration"] == s.fact.generation
    assert not {"Reconciling", "Stalled"} <= conditions.keys()
    for kind in ("Reconciling", "Stalled"):
        if kind in conditions:
            assert (conditions[kind]["reason"], conditions[kind]["message"]) == (ready["reason"], ready["message"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_written_is_not_written_again(case: Case) -> None:
    s = case.make()
    first = decide(s)
    if first.status is None:
        return
    second = decide(replace(s, fact=replace(s.fact, status=first.status), waited=s.waited))
    # What a run ended with is taken in once; the state does not flap.
    assert second.reason is first.reason
    assert second.status is None or as_status(second.status) == as_status(first.status)


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
