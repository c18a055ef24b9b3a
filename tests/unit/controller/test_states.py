"""Every state of a SchemaVersion: its reason, what is done about it, and what kstatus makes of it."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from msgspec.structs import replace

from lockstep.api.reasons import Reason
from lockstep.controller.decide.schemaversion import decide
from lockstep.controller.snapshot import SchemaVersionSnapshot
from lockstep.planning.digest import set_digest
from lockstep.planning.result import Result
from support.controller import a_member, as_status, ended, kstatus, snapshot
from support.decided import (
    DONE,
    FAILED,
    NEEDED,
    ONE,
    RUNNING,
    TWO,
    UNREACHABLE,
    after,
    circle,
    failed,
    finished,
    fresh,
    lowered,
    needing,
    not_there,
    other_line,
    planned,
    planning,
    requiring,
    stopped_by_target,
    under_way,
    up_to_date,
    written,
)


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
