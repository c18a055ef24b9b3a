"""Ways back, approval, drift, acts by a person and lost statuses, on a real API server and with an operator that dies.

There is no node here: the tests play the kubelet and the runner. Every order of events is in
tests/unit/controller/life; here is what only an API server and a process that is killed can show.
"""

from typing import Any

import pytest

from lockstep.api.reasons import Reason
from lockstep.planning.result import DriftSummary, LedgerMark, Result, StepDone
from servers.controlplane import ControlPlane, RefusedError
from servers.operator import Operator
from support.controlled import HASH, OTHER, Namespace, done, planned
from support.waiting import eventually

AT = "2026-07-01T12:00:00Z"


def condition(found: dict[str, Any], kind: str) -> dict[str, Any]:
    return next((each for each in found["status"].get("conditions", ()) if each["type"] == kind), {})


def ttl(ns: Namespace, job: dict[str, Any]) -> int | None:
    found = ns.plane.get("jobs", ns.name, job["metadata"]["name"])["spec"]
    seconds: int | None = found.get("ttlSecondsAfterFinished")
    return seconds


def at_two(ns: Namespace, **spec: Any) -> None:
    """Take a line to version 2."""
    for number in (1, 2):
        ns.migration(f"m{number}", str(number), down=f"DROP TABLE t{number}")
    ns.schema_version(version="2", **spec)
    ns.end(ns.wait_next())
    ns.wait_state("UpToDate")
    for name in ("m1", "m2"):
        ns.wait_migration(name, lambda each: each["status"]["applied"], "applied")


def went_down(version: str) -> Result:
    step = StepDone("m2", "2", "down", 5, AT, "Data")
    return Result(Reason.UP_TO_DATE, "there", version, applied=1, ledger=LedgerMark("u", 2, "h"), steps=(step,))


def test_a_way_down_frees_the_text(plane: ControlPlane, ns: Namespace) -> None:
    with Operator(plane, ns.name):
        at_two(ns, rollback="Allow")
        with pytest.raises(RefusedError, match="what has run does not change"):
            ns.plane.patch("migrations", ns.name, "m2", {"spec": {"up": "CREATE TABLE other ()"}})
        ns.change(version="1")
        job = ns.wait_next()
        assert job["metadata"]["annotations"]["lockstep.dev/target"] == "1"
        ns.end(job, went_down("1"))
        found = ns.wait_state("UpToDate")
        assert (found["status"]["version"], found["status"]["target"]) == ("1", "1")
        last = found["status"]["history"][-1]
        assert (last["direction"], last["kind"]) == ("down", "Data")
        ns.wait_migration("m2", lambda each: not each["status"]["applied"], "not applied any more")
        ns.wait_migration("m1", lambda each: each["status"]["applied"], "still applied")
        ns.plane.patch("migrations", ns.name, "m2", {"spec": {"up": "CREATE TABLE other ()"}})
        with pytest.raises(RefusedError, match="what has run does not change"):
            ns.plane.patch("migrations", ns.name, "m1", {"spec": {"up": "CREATE TABLE other ()"}})
        assert len(ns.jobs()) == 2


def test_helm_rollback_prunes_after_and_git_revert_before(plane: ControlPlane, ns: Namespace) -> None:
    with Operator(plane, ns.name) as operator:
        at_two(ns, rollback="Allow")
        # As Helm does: the SchemaVersion first, the deletion while the run is under way.
        ns.change(version="1")
        job = ns.wait_next()
        ns.run(job)
        ns.plane.delete("migrations", ns.name, "m2")
        ns.wait_gone("migrations", "m2")
        operator.wait_for("run started")
        ns.wait_state("Running")
        ns.end(job, went_down("1"))
        ns.wait_state("UpToDate")
        assert len(ns.jobs()) == 2
        # Up again, and down the other way round.
        ns.migration("m2", "2", down="DROP TABLE t2")
        ns.change(version="2")
        ns.end(ns.wait_next())
        ns.wait_state("UpToDate")
        ns.plane.delete("migrations", ns.name, "m2")
        ns.wait_gone("migrations", "m2")
        ns.migration("other", "1", line="other")
        ns.wait_migration("other", lambda each: each["status"].get("conditions"), "seen")
        assert ns.get()["status"]["state"] == "UpToDate"
        assert len(ns.jobs()) == 3
        ns.change(version="1")
        ns.end(ns.wait_next(), went_down("1"))
        ns.wait_state("UpToDate")
        assert len(ns.jobs()) == 4


def test_a_target_that_changes_in_the_middle_of_a_way_down(plane: ControlPlane, ns: Namespace) -> None:
    with Operator(plane, ns.name):
        at_two(ns, rollback="Allow")
        ns.change(version="base")
        job = ns.wait_next()
        pod = ns.run(job)
        ns.wait_state("Running")
        ns.change(version="1")
        name = job["metadata"]["name"]
        eventually(lambda: ns.plane.get("jobs", ns.name, name)["metadata"].get("deletionTimestamp"), "it is stopped")
        step = StepDone("m2", "2", "down", 5, AT)
        ns.end_pod(pod, Result(Reason.INTERRUPTED, "stopped after 2", "1", applied=1, pending=1, steps=(step,)))
        second = ns.wait_next()
        assert second["metadata"]["annotations"]["lockstep.dev/target"] == "1"
        ns.end(second, done("1"))
        assert ns.wait_state("UpToDate")["status"]["version"] == "1"


def test_a_plan_waits_for_its_hash_and_a_stale_one_is_replaced(plane: ControlPlane, ns: Namespace) -> None:
    with Operator(plane, ns.name):
        at_two(ns)
        ns.change(version="1")
        plan = ns.wait_next("plan")
        ns.wait_state("Planning")
        ns.end(plan, planned("2"))
        found = ns.wait_state("ApprovalRequired")
        assert found["status"]["plan"]["hash"] == HASH
        said = condition(found, "ApprovalRequired")
        assert said["status"] == "True"
        assert f"job/{plan['metadata']['name']}" in said["message"]
        assert not condition(found, "Reconciling")
        assert not condition(found, "Stalled")
        assert ttl(ns, plan) is None
        ns.change(approvedPlans=[HASH])
        run = ns.wait_next()
        # The database has moved on.
        ns.end(run, planned("2", OTHER, reason=Reason.APPROVAL_REQUIRED))
        found = ns.wait(lambda sv: (sv["status"].get("plan") or {}).get("hash") == OTHER, "the new plan")
        found = ns.wait_state("ApprovalRequired")
        assert found["status"]["plan"]["job"] == run["metadata"]["name"]
        eventually(lambda: ttl(ns, plan), "the old plan's Job may go")
        assert ttl(ns, run) is None
        ns.change(approvedPlans=[HASH, OTHER])
        ns.end(ns.wait_next(), went_down("1"))
        found = ns.wait_state("UpToDate")
        assert condition(found, "ApprovalRequired")["reason"] == "Approved"
        eventually(lambda: ttl(ns, run), "what has run may go")


def test_a_hash_committed_with_the_version_goes_on_by_itself(plane: ControlPlane, ns: Namespace) -> None:
    with Operator(plane, ns.name):
        at_two(ns)
        ns.change(version="1", approvedPlans=[HASH])
        ns.end(ns.wait_next("plan"), planned("2"))
        ns.end(ns.wait_next(), went_down("1"))
        ns.wait_state("UpToDate")
        assert "ApprovalRequired" not in ns.events()


def test_operator_killed_between_plan_and_run(plane: ControlPlane, ns: Namespace) -> None:
    """At each moment: the plan's Job under way, its end unread, the plan unapproved, approved."""
    with Operator(plane, ns.name) as operator:
        at_two(ns)
        ns.change(version="1")
        plan = ns.wait_next("plan")
        ns.run(plan)
        ns.wait_state("Planning")
        operator.kill()
    ns.end(plan, planned("2"))
    with Operator(plane, ns.name) as operator:
        ns.wait_state("ApprovalRequired")
        operator.kill()
    with Operator(plane, ns.name) as operator:
        operator.wait_for("cache filled")
        ns.change(approvedPlans=[HASH])
        run = ns.wait_next()
        operator.kill()
    with Operator(plane, ns.name):
        ns.end(run, went_down("1"))
        ns.wait_state("UpToDate")
        assert [len(ns.of_mode(mode)) for mode in ("plan", "run", "check")] == [1, 2, 0]


def test_a_plan_that_fails_is_tried_again_like_a_run(plane: ControlPlane, ns: Namespace) -> None:
    with Operator(plane, ns.name):
        at_two(ns)
        ns.change(version="1", progressDeadline="1s")
        ns.end(ns.wait_next("plan"), Result(Reason.UNREACHABLE, "connection refused"))
        found = ns.wait_state("Unreachable")
        assert (found["status"]["run"]["mode"], found["status"]["version"]) == ("Plan", "2")
        ns.end(ns.wait_next("plan"), Result(Reason.IRREVERSIBLE, "2 (m2): data is gone", "2"))
        found = ns.wait_state("Irreversible")
        assert condition(found, "Stalled")["status"] == "True"
        ns.plane.patch("schemaversions", ns.name, "orders", {"metadata": {"annotations": {"lockstep.dev/retry": "1"}}})
        ns.end(ns.wait_next("plan"), planned("2"))
        ns.wait_state("ApprovalRequired")
        # What was wished for is taken back: nothing has changed, nothing is run.
        ns.plane.patch("schemaversions", ns.name, "orders", {"metadata": {"annotations": {"lockstep.dev/retry": None}}})
        ns.change(version="2")
        found = ns.wait_state("UpToDate")
        assert found["status"].get("plan") is None
        assert len(ns.of_mode("run")) == 1


def test_looks_for_drift_by_the_clock(plane: ControlPlane, ns: Namespace) -> None:
    with Operator(plane, ns.name, LOCKSTEP_DRIFT_FLOOR_SECONDS="0.3") as operator:
        at_two(ns, driftCheck="1s", rollback="Allow")
        ready = condition(ns.get(), "Ready")
        drifted = Result(Reason.CHECKED, "looked", "2", drift=DriftSummary(True, "added table by_hand", HASH))
        first = ns.wait_next("check")
        ns.end(first, drifted)
        found = ns.wait(lambda sv: condition(sv, "Drifted").get("status") == "True", "Drifted")
        assert "by_hand" in condition(found, "Drifted")["message"]
        assert found["status"]["drift"]["hash"] == HASH
        assert found["status"]["drift"]["job"] == first["metadata"]["name"]
        ns.end(ns.wait_next("check"), Result(Reason.UNREACHABLE, "connection refused"))
        found = ns.wait(lambda sv: "Unreachable" in condition(sv, "Drifted").get("message", ""), "why it told nothing")
        assert condition(found, "Drifted")["status"] == "True"
        # Killed in the middle of one: it is neither doubled nor taken for a run.
        third = ns.wait_next("check")
        ns.run(third)
        operator.kill()
    with Operator(plane, ns.name, LOCKSTEP_DRIFT_FLOOR_SECONDS="0.3"):
        ns.end(third, Result(Reason.CHECKED, "looked", "2", drift=DriftSummary(False, "as it was")))
        found = ns.wait(lambda sv: condition(sv, "Drifted").get("status") == "False", "no drift")
        assert condition(found, "Ready") == ready
        assert found["status"]["run"]["outcome"] == "Done"
        # Real work ends a look under way, and waits for its pod.
        fourth = ns.wait_next("check")
        pod = ns.run(fourth)
        ns.change(version="1", driftCheck=None)
        name = fourth["metadata"]["name"]
        eventually(
            lambda: ns.plane.get("jobs", ns.name, name)["metadata"].get("deletionTimestamp"), "the look is ended"
        )
        assert len(ns.of_mode("run")) == 1
        ns.end_pod(pod, Result(Reason.INTERRUPTED, "stopped"))
        ns.end(ns.wait_next(), went_down("1"))
        ns.wait_state("UpToDate")


def repaired(token: str, version: str = "2") -> Result:
    step = StepDone("(TakeOver)", None, "repair", 0, AT)
    mark = LedgerMark("u", 3, "h")
    return Result(Reason.UP_TO_DATE, "done", version, applied=1, ledger=mark, repaired=token, steps=(step,))


def test_an_act_is_done_once_for_each_token(plane: ControlPlane, ns: Namespace) -> None:
    with Operator(plane, ns.name):
        at_two(ns)
        act = {"token": "t1", "action": "TakeOver", "confirm": "ns/other"}
        ns.change(repair=act)
        ns.end(ns.wait_next(), repaired("t1"))
        found = ns.wait(lambda sv: sv["status"].get("lastHandledRepair") == "t1", "handled")
        assert found["status"]["history"][-1]["direction"] == "repair"
        ns.wait_state("UpToDate")
        ns.change(repair={**act, "note": "again"})
        ns.wait_state("UpToDate")
        ns.change(repair=None)
        ns.wait_state("UpToDate")
        assert len(ns.jobs()) == 2
        # Refused: not tried again before something changes.
        ns.change(repair={**act, "token": "t2"})
        ns.end(ns.wait_next(), Result(Reason.REPAIR_REFUSED, "the owner is ns/third", "2"))
        found = ns.wait_state("RepairRefused")
        assert condition(found, "Stalled")["status"] == "True"
        ns.migration("other", "1", line="other")
        ns.wait_migration("other", lambda each: each["status"].get("conditions"), "seen")
        assert len(ns.jobs()) == 3
        ns.change(repair={**act, "token": "t3"})
        ns.end(ns.wait_next(), repaired("t3"))
        ns.wait_state("UpToDate")


def test_a_session_is_ended_only_once_its_pod_is_gone(plane: ControlPlane, ns: Namespace) -> None:
    """The holder is no pod of a run that the operator watches: it is looked for by its name."""
    security: dict[str, Any] = {
        "allowPrivilegeEscalation": False,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {"name": "runner", "image": "i", "securityContext": security}
    holder = {
        "metadata": {"name": "holder", "labels": {"app": "x"}},
        "spec": {"containers": [container], "automountServiceAccountToken": False},
    }
    ns.plane.create("pods", ns.name, holder)
    with Operator(plane, ns.name):
        at_two(ns)
        ns.change(repair={"token": "t1", "action": "EndSession", "confirm": "holder"})
        found = ns.wait_state("RepairRefused")
        assert "pod holder is still there" in condition(found, "Ready")["message"]
        assert len(ns.jobs()) == 1
        ns.plane.delete("pods", ns.name, "holder", gracePeriodSeconds=0)
        ns.wait_gone("pods", "holder")
        ns.end(ns.wait_next(), repaired("t1"))
        found = ns.wait_state("UpToDate")
        assert found["status"]["lastHandledRepair"] == "t1"


def test_a_wiped_status_is_rebuilt_by_one_run(plane: ControlPlane, ns: Namespace) -> None:
    steps = tuple(StepDone(f"m{number}", str(number), "up", 5, AT) for number in (1, 2))
    whole = Result(Reason.UP_TO_DATE, "there", "2", ledger=LedgerMark("u", 2, "h"), steps=steps)
    with Operator(plane, ns.name):
        at_two(ns)
        ns.plane.patch("schemaversions", ns.name, "orders", {"status": None}, "status")
        ns.end(ns.wait_next(), whole)
        found = ns.wait_state("UpToDate")
        status = found["status"]
        assert (status["version"], status["ledger"]["sequence"]) == ("2", 2)
        assert [each["name"] for each in status["history"]] == ["m1", "m2"]
        assert status["settled"]
        assert all(ns.plane.get("migrations", ns.name, name)["status"]["applied"] for name in ("m1", "m2"))
        # Replaced with nonsense: it is derived anew.
        raw = ns.get()
        ns.plane.call(
            "PUT", ns.plane.path("schemaversions", ns.name, "orders", "status"), {**raw, "status": {"version": "1"}}
        )
        ns.end(ns.wait_next(), whole)
        ns.wait(lambda sv: sv["status"].get("version") == "2", "the truth")
        ns.wait_state("UpToDate")


def test_suspend_starts_nothing_and_ends_nothing(plane: ControlPlane, ns: Namespace) -> None:
    with Operator(plane, ns.name, LOCKSTEP_DRIFT_FLOOR_SECONDS="0.3"):
        at_two(ns, rollback="Allow")
        ns.change(suspend=True, driftCheck="1s")
        found = ns.wait_state("UpToDate")
        assert "spec.suspend" in condition(found, "Ready")["message"]
        ns.change(version="1")
        ns.wait_state("Suspended")
        assert len(ns.jobs()) == 1
        ns.change(suspend=False)
        job = ns.wait_next()
        ns.run(job)
        ns.wait_state("Running")
        ns.change(suspend=True)
        ns.wait_state("Running")
        ns.end(job, went_down("1"))
        ns.wait_state("UpToDate")
        assert len(ns.jobs()) == 2
