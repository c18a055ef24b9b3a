"""Faults around the operator and the API server: one run, no lost result, and the status says what is so.

There is no node here: the tests play the kubelet and the runner by writing pods' statuses; the Job controller, the
garbage collector, quotas and PodSecurity are real. (What real pods do is in tests/cluster.)
"""

import re
import signal
import threading

import pytest

from lockstep.api.reasons import Reason
from lockstep.planning.checksum import checksum
from lockstep.planning.digest import SetMember, set_digest
from lockstep.planning.result import Progress, Result
from lockstep.planning.version import Version
from servers.controlplane import ControlPlane, RefusedError
from servers.operator import Operator
from servers.proxy import Proxy
from support.controlled import Namespace, done
from support.waiting import eventually


def conditions(found: dict[str, object]) -> dict[str, str]:
    status = found["status"]
    assert isinstance(status, dict)
    return {each["type"]: each["status"] for each in status["conditions"]}


def test_from_apply_to_ready_within_its_budget_of_writes(plane: ControlPlane, ns: Namespace) -> None:
    with Operator(plane, ns.name) as operator:
        operator.wait_for("cache filled")
        before = operator.writes()
        ns.migration("m1", "1")
        ns.migration("m2", "2")
        ns.schema_version(version="2")
        job = ns.wait_job()
        assert job["spec"].get("ttlSecondsAfterFinished") is None
        ns.end(job)
        found = ns.wait_state("UpToDate")
        assert (found["status"]["version"], found["status"]["target"]) == ("2", "2")
        for name in ("m1", "m2"):
            ns.wait_migration(name, lambda each: each["status"]["applied"], "applied")
        name = job["metadata"]["name"]
        eventually(lambda: ns.plane.get("jobs", ns.name, name)["spec"].get("ttlSecondsAfterFinished"), "the Job may go")
        eventually(lambda: ns.events() == ["UpToDate"], "one event")
        after = operator.writes()
        made = {key: count - before.get(key, 0) for key, count in after.items()}
        run = made["PATCH schemaversions"] + made["POST events"] + made["PATCH jobs"] - 1  # one lets the Job go
        assert run <= 4, made
        assert (made["POST jobs"], made["POST configmaps"]) == (1, 1)
        assert made["PATCH migrations"] <= 2 * 2
        # Nothing more happens by itself.
        assert {key: count for key, count in operator.writes().items() if "leases" not in key} == {
            key: count for key, count in after.items() if "leases" not in key
        }


def test_operator_killed_at_any_moment(plane: ControlPlane, ns: Namespace) -> None:
    """Killed as soon as something of it is seen: the Job, its bundle, its release, the status."""

    def job() -> bool:
        return bool(ns.jobs())

    def bundle() -> bool:
        return any(each["metadata"].get("ownerReferences") for each in ns.plane.list("configmaps", ns.name))

    def released() -> bool:
        return any(not each["spec"]["suspend"] for each in ns.jobs())

    def status() -> bool:
        return bool(ns.get()["status"].get("run"))

    for number, moment in enumerate((job, bundle, released, status)):
        ns.migration(f"m{number}", "1")
        with Operator(plane, ns.name) as operator:
            operator.wait_for("cache filled")
            ns.schema_version()
            eventually(moment, moment.__name__, every=0.001)
            operator.kill()
        with Operator(plane, ns.name) as operator:
            ns.end(ns.wait_job())
            ns.wait_state("UpToDate")
            assert len(ns.jobs()) == 1
            (made,) = [each for each in ns.plane.list("configmaps", ns.name) if each["metadata"].get("ownerReferences")]
            assert made["immutable"] is True
            ns.plane.delete("schemaversions", ns.name, "orders", propagationPolicy="Foreground")
            ns.wait_gone("schemaversions", "orders")
            ns.plane.delete("migrations", ns.name, f"m{number}")
            operator.stop()


def test_a_job_without_bundle_is_finished_and_let_go(plane: ControlPlane, ns: Namespace) -> None:
    ns.migration("m1", "1")
    ns.schema_version()
    with Operator(plane, ns.name) as operator:
        job = ns.wait_job()
        operator.kill()
    name = job["metadata"]["name"]
    # As if it had died right after creating the Job.
    ns.plane.patch("jobs", ns.name, name, {"spec": {"suspend": True}})
    eventually(lambda: not ns.pods(name), "the pod is gone")
    for each in ns.plane.list("configmaps", ns.name):
        if each["metadata"].get("ownerReferences"):
            ns.plane.delete("configmaps", ns.name, each["metadata"]["name"])
    ns.plane.patch("schemaversions", ns.name, "orders", {"status": None}, "status")
    with Operator(plane, ns.name):
        found = ns.wait_job()
        assert found["metadata"]["uid"] == job["metadata"]["uid"]
        assert len(ns.jobs()) == 1
        eventually(lambda: ns.plane.get("configmaps", ns.name, f"{name}-000"), "the bundle")
        ns.end(found)
        ns.wait_state("UpToDate")


def test_a_result_that_came_while_the_operator_was_dead(plane: ControlPlane, ns: Namespace) -> None:
    ns.migration("m1", "1")
    ns.schema_version()
    with Operator(plane, ns.name) as operator:
        job = ns.wait_job()
        ns.run(job)
        operator.kill()
    ns.end(job)
    with Operator(plane, ns.name):
        ns.wait_state("UpToDate")
        assert len(ns.jobs()) == 1


@pytest.mark.parametrize("running", [False, True], ids=["while dead", "while running"])
def test_job_and_pod_deleted_before_the_result_was_read(plane: ControlPlane, ns: Namespace, running: bool) -> None:
    ns.migration("m1", "1")
    ns.schema_version()
    with Operator(plane, ns.name) as operator:
        job = ns.wait_job()
        ns.wait_state("Running")
        if not running:
            operator.kill()
        ns.plane.delete("jobs", ns.name, job["metadata"]["name"], propagationPolicy="Foreground")
        ns.wait_gone("jobs", job["metadata"]["name"])
        if running:
            ns.end(ns.wait_attempt(2))
            ns.wait_state("UpToDate")
    if not running:
        with Operator(plane, ns.name):
            # The next attempt asks the ledger.
            ns.end(ns.wait_attempt(2))
            ns.wait_state("UpToDate")


def test_a_resource_deleted_while_the_operator_is_dead(plane: ControlPlane, ns: Namespace) -> None:
    ns.migration("m1", "1")
    ns.schema_version()
    with Operator(plane, ns.name) as operator:
        job = ns.wait_job()
        operator.kill()
    ns.plane.delete("schemaversions", ns.name, "orders")
    ns.wait_gone("schemaversions", "orders")
    # Its run goes with it: the pod is told to end. Of new kinds the garbage collector learns twice a minute.
    ns.wait_gone("jobs", job["metadata"]["name"], 90)


def test_api_server_down_in_mid_run(ns: Namespace, plane: ControlPlane) -> None:
    ns.migration("m1", "1")
    ns.schema_version()
    with Operator(plane, ns.name) as operator:
        job = ns.wait_job()
        ns.run(job)
        ns.wait_state("Running")
        plane.stop_apiserver()
        assert operator.ended() == 70
        plane.start_apiserver()
    with Operator(plane, ns.name):
        ns.end(job)
        ns.wait_state("UpToDate")
        assert [each["metadata"]["uid"] for each in ns.jobs()] == [job["metadata"]["uid"]]


def test_somebody_else_writes_all_the_time(plane: ControlPlane, ns: Namespace) -> None:
    ns.migration("m1", "1")
    ns.schema_version()
    stop = threading.Event()

    def disturb() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            body = {"metadata": {"annotations": {"noise": str(number)}}}
            plane.patch("schemaversions", ns.name, "orders", body)
            plane.patch("migrations", ns.name, "m1", body)

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        with Operator(plane, ns.name):
            ns.end(ns.wait_job())
            ns.wait_state("UpToDate")
            ns.wait_migration("m1", lambda each: each["status"]["applied"], "applied")
            assert len(ns.jobs()) == 1
    finally:
        stop.set()
        thread.join()


def test_watches_that_fall_silent(plane: ControlPlane, ns: Namespace) -> None:
    """The streams stay open and say nothing: the comparison with a list finds what they kept back."""
    with Proxy(plane.port) as proxy:
        through = plane.write_kubeconfig(f"{ns.name}-silent", proxy.port)
        with Operator(plane, ns.name, kubeconfig=through, LOCKSTEP_RESYNC_SECONDS="2") as operator:
            operator.wait_for("cache filled")
            eventually(lambda: "lockstep_watch_age_seconds" in operator.http("/metrics")[1], "watches")
            ns.migration("m0", "1", line="other")
            ns.wait_migration("m0", lambda each: each["status"].get("conditions"), "seen")
            proxy.stall()
            ns.migration("m1", "1")
            ns.schema_version()
            ns.end(ns.wait_job())
            ns.wait_state("UpToDate")
            operator.wait_for("watch missed changes")
            ns.plane.delete("migrations", ns.name, "m0")
            eventually(lambda: 'kind="migrations"} 1.0' in operator.http("/metrics")[1], "the deletion is known")


def test_the_target_changes_in_mid_run(plane: ControlPlane, ns: Namespace) -> None:
    for number in (1, 2, 3):
        ns.migration(f"m{number}", str(number))
    ns.schema_version(version="2")
    with Operator(plane, ns.name):
        first = ns.wait_job()
        pod = ns.run(first)
        ns.wait_state("Running")
        ns.change(version="3")
        name = first["metadata"]["name"]
        eventually(
            lambda: ns.plane.get("jobs", ns.name, name)["metadata"].get("deletionTimestamp"), "the run is stopped"
        )
        # No other run before its pod has ended.
        assert len(ns.jobs()) == 1
        interrupted = Result(Reason.INTERRUPTED, "stopped after 0001", "1", applied=1, pending=1)
        ns.end_pod(pod, interrupted)
        second = eventually(
            lambda: next((each for each in ns.jobs() if each["metadata"]["name"] != name), None), "another run"
        )
        assert second["metadata"]["annotations"]["lockstep.dev/target"] == "3"
        assert ns.get()["status"]["version"] == "1"
        ns.end(ns.wait_attempt(1))
        found = ns.wait_state("UpToDate")
        assert found["status"]["version"] == "3"


def test_a_failure_is_tried_again_and_then_permanent_until_a_token(plane: ControlPlane, ns: Namespace) -> None:
    ns.migration("m1", "1")
    ns.schema_version(progressDeadline="1s")
    with Operator(plane, ns.name):
        ns.end(ns.wait_job(), Result(Reason.UNREACHABLE, "connection refused"))
        found = ns.wait_state("Unreachable")
        assert found["status"]["run"]["retryAt"]
        ns.end(ns.wait_attempt(2), Result(Reason.UNREACHABLE, "connection refused"))
        ns.wait(lambda sv: conditions(sv).get("Stalled") == "True", "Stalled, and still trying")
        ns.end(ns.wait_attempt(3), Result(Reason.STATEMENT_FAILED, "syntax error"), 20)
        found = ns.wait_state("StatementFailed")
        assert conditions(found)["Stalled"] == "True"
        jobs = len(ns.jobs())
        ns.plane.patch("schemaversions", ns.name, "orders", {"metadata": {"annotations": {"lockstep.dev/retry": "1"}}})
        eventually(lambda: len(ns.jobs()) == jobs + 1, "one more attempt")
        ns.end(
            eventually(lambda: next((j for j in ns.jobs() if not ended(j) and not j["spec"]["suspend"]), None), "it")
        )
        found = ns.wait_state("UpToDate")
        assert found["status"]["lastHandledRetry"] == "1"


def ended(job: dict[str, object]) -> bool:
    status = job["status"]
    assert isinstance(status, dict)
    return any(each["type"] in ("Complete", "Failed") for each in status.get("conditions") or ())


def test_a_quota_on_jobs_and_one_on_pods(plane: ControlPlane, ns: Namespace) -> None:
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"count/jobs.batch": "0"}}}
    ns.plane.create("resourcequotas", ns.name, quota)
    eventually(lambda: "hard" in ns.plane.get("resourcequotas", ns.name, "q").get("status", {}), "the quota counts")
    ns.migration("m1", "1")
    with Operator(plane, ns.name):
        ns.schema_version()
        ns.wait_state("QuotaExceeded")
        ns.plane.patch("resourcequotas", ns.name, "q", {"spec": {"hard": {"count/jobs.batch": None, "pods": "0"}}})
        eventually(
            lambda: ns.plane.get("resourcequotas", ns.name, "q")["status"]["hard"] == {"pods": "0"}, "the other quota"
        )
        job = ns.wait_job()
        ns.wait(lambda sv: "pods" in sv["status"]["conditions"][0]["message"], "names the quota of pods")
        assert not ns.pods()
        ns.plane.delete("resourcequotas", ns.name, "q")
        ns.end(job)
        ns.wait_state("UpToDate")


def test_an_image_that_cannot_be_pulled(plane: ControlPlane, ns: Namespace) -> None:
    ns.migration("m1", "1")
    ns.schema_version()
    with Operator(plane, ns.name):
        job = ns.wait_job()
        pod = ns.wait_pod(job["metadata"]["name"])
        ns.hold(pod, "ImagePullBackOff", "Back-off pulling image")
        ns.wait_state("ImagePullFailed")
        ns.end(job)
        ns.wait_state("UpToDate")


def test_progress_comes_from_the_log_only_where_there_is_one(plane: ControlPlane, ns: Namespace) -> None:
    """Without a node there is no log: that is no error."""
    assert Progress.decode("not json") is None
    ns.migration("m1", "1")
    ns.schema_version()
    with Operator(plane, ns.name) as operator:
        job = ns.wait_job()
        ns.run(job)
        refused = re.compile(r'resource="pods",status="[45]')
        eventually(lambda: refused.search(operator.http("/metrics")[1]), "the log was asked for")
        assert operator.http("/healthz") == (200, "ok")
        ns.end(job)
        ns.wait_state("UpToDate")


def test_the_set_arrives_late_and_in_any_order(plane: ControlPlane, ns: Namespace) -> None:
    texts = {"1": "CREATE TABLE t1 ()", "2": "CREATE TABLE t2 ()"}
    members = [SetMember("x", Version.parse(version), checksum(up)) for version, up in texts.items()]
    with Operator(plane, ns.name):
        ns.schema_version(version="2", migrations={"digest": set_digest(members, None)}, progressDeadline="1s")
        ns.wait_state("WaitingForMigrations")
        ns.wait(lambda sv: conditions(sv).get("Stalled") == "True", "Stalled, and still waiting")
        ns.migration("m2", "2")
        ns.migration("m1", "1", up="CREATE TABLE other ()")
        ns.wait_migration("m1", lambda each: each["status"].get("conditions"), "seen")
        assert not ns.jobs()
        ns.plane.patch("migrations", ns.name, "m1", {"spec": {"up": texts["1"]}})
        ns.end(ns.wait_job())
        ns.wait_state("UpToDate")
        # What is applied may be taken away: no run, no complaint.
        ns.plane.delete("migrations", ns.name, "m1")
        ns.migration("other", "1", line="other")
        ns.wait_migration("other", lambda each: each["status"].get("conditions"), "seen")
        assert ns.get()["status"]["state"] == "UpToDate"
        assert len(ns.jobs()) == 1


def test_another_line_moves(plane: ControlPlane, ns: Namespace) -> None:
    ns.migration("o1", "1", requires=[{"schema": "auth", "version": "1"}])
    ns.schema_version()
    with Operator(plane, ns.name):
        ns.wait_state("RequirementNotMet")
        ns.migration("a1", "1", line="auth")
        ns.schema_version("auth")
        ns.end(ns.wait_next(), done("1"))
        ns.wait_state("UpToDate", "auth")
        job = ns.wait_next()
        assert job["metadata"]["annotations"]["lockstep.dev/schemaversion"] == "orders"
        ns.end(job)
        ns.wait_state("UpToDate")


def test_missing_crds_end_the_process_with_a_message() -> None:
    with ControlPlane() as bare:
        bare.create("namespaces", None, {"metadata": {"name": "x"}})
        with Operator(bare, "x") as operator:
            assert operator.ended(30) == 1
            (line,) = operator.lines("cannot start")
            assert "install the CRDs" in line["error"]


def test_asked_to_end_it_ends_soon_and_leaves_the_run_alone(plane: ControlPlane, ns: Namespace) -> None:
    ns.migration("m1", "1")
    ns.schema_version()
    with Operator(plane, ns.name) as operator:
        job = ns.wait_job()
        ns.run(job)
        ns.wait_state("Running")
        operator.send(signal.SIGTERM)
        assert operator.ended(6) == 0
    with Operator(plane, ns.name):
        ns.end(job)
        ns.wait_state("UpToDate")
        assert len(ns.jobs()) == 1


def test_a_job_of_somebody_else_under_that_name(plane: ControlPlane, ns: Namespace) -> None:
    """A name that is taken is no run of ours, whoever took it."""
    ns.migration("m1", "1")
    ns.schema_version()
    with Operator(plane, ns.name) as operator:
        job = ns.wait_job()
        operator.kill()
    name = job["metadata"]["name"]
    ns.plane.delete("jobs", ns.name, name, propagationPolicy="Foreground")
    ns.wait_gone("jobs", name)
    ns.plane.patch("schemaversions", ns.name, "orders", {"status": None}, "status")
    spec = {**job["spec"], "suspend": True}
    spec.pop("selector")
    spec["template"]["metadata"].pop("labels")
    foreign = {"metadata": {"name": name}, "spec": spec, "apiVersion": "batch/v1", "kind": "Job"}
    ns.plane.create("jobs", ns.name, foreign)
    with Operator(plane, ns.name):
        found = ns.wait_state("PodRejected")
        assert "not this SchemaVersion's" in found["status"]["conditions"][0]["message"]
        assert ns.plane.get("jobs", ns.name, name)["spec"]["suspend"] is True
        with pytest.raises(RefusedError):
            ns.plane.get("configmaps", ns.name, f"{name}-000")
