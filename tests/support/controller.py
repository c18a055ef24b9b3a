"""Resources, snapshots and clocks for tests of the controller's pure parts."""

from datetime import UTC, datetime, timedelta
from typing import Any

from lockstep.api import names
from lockstep.controller.facts import (
    JobFact,
    MigrationFact,
    PodFact,
    SchemaVersionFact,
    job_fact,
    migration_fact,
    pod_fact,
    schema_version_fact,
)
from lockstep.controller.pods import verdict
from lockstep.controller.snapshot import Member, RunView, SchemaVersionSnapshot, member_of
from lockstep.controller.status import dump
from lockstep.planning.result import Result, encode_result

Object = dict[str, Any]
NOW = datetime(2026, 7, 1, 12, 0, 0, tzinfo=UTC)


class FakeClock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> datetime:
        """Return the time of day."""
        return NOW + timedelta(seconds=self.seconds - 1000)

    def monotonic(self) -> float:
        """Return the seconds."""
        return self.seconds


def migration(name: str, version: str | None = "1", line: str = "orders", **spec: Any) -> Object:
    """Return a Migration as the API server holds it."""
    body: Object = {"schema": line, "up": f"CREATE TABLE {name.replace('-', '_')} ()", **spec}
    if version is not None:
        body["version"] = version
    body = {key: value for key, value in body.items() if value is not None}
    metadata = {"namespace": "ns", "name": name, "uid": f"uid-{name}", "resourceVersion": "1", "generation": 1}
    return {"metadata": metadata, "spec": body, "status": {"observedGeneration": -1}}


def a_migration(name: str, version: str | None = "1", line: str = "orders", **spec: Any) -> MigrationFact:
    """Return the fact of a Migration."""
    return migration_fact(migration(name, version, line, **spec))


def a_member(name: str, version: str | None = "1", line: str = "orders", **spec: Any) -> Member:
    """Return the member of a Migration without sources."""
    return member_of(a_migration(name, version, line, **spec), {})


def schema_version(
    name: str = "orders", status: Object | None = None, generation: int = 1, retry: str | None = None, **spec: Any
) -> Object:
    """Return a SchemaVersion as the API server holds it."""
    metadata: Object = {
        "namespace": "ns",
        "name": name,
        "uid": f"uid-{name}",
        "resourceVersion": "1",
        "generation": generation,
    }
    if retry is not None:
        metadata["annotations"] = {names.ANNOTATION_RETRY: retry}
    body = {"database": {"secretRef": {"name": "db"}}, **spec}
    return {"metadata": metadata, "spec": body, "status": status or {"observedGeneration": -1}}


def a_schema_version(
    name: str = "orders", status: Object | None = None, generation: int = 1, retry: str | None = None, **spec: Any
) -> SchemaVersionFact:
    """Return the fact of a SchemaVersion."""
    return schema_version_fact(schema_version(name, status, generation, retry, **spec))


def a_job(name: str, input_: str, attempt: int = 1, target: str = "2", **more: Any) -> JobFact:
    """Return the fact of a run's Job; `more` overrides spec, status and metadata."""
    raw: Object = {
        "metadata": {
            "namespace": "ns",
            "name": name,
            "uid": f"uid-{name}",
            "resourceVersion": "1",
            "creationTimestamp": more.get("created", "2026-07-01T11:59:00Z"),
            "labels": {names.LABEL_MODE: more.get("mode", "run")},
            "annotations": {
                names.ANNOTATION_OWNER: "orders",
                names.ANNOTATION_INPUT: input_,
                names.ANNOTATION_ATTEMPT: str(attempt),
                names.ANNOTATION_TARGET: target,
            },
            "ownerReferences": [{"kind": "SchemaVersion", "name": "orders", "uid": "uid-orders"}],
            **more.get("metadata", {}),
        },
        "spec": {"suspend": False, **more.get("spec", {})},
        "status": more.get("status", {}),
    }
    return job_fact(raw)


def pod(name: str, job: JobFact, state: Object | None = None, **status: Any) -> Object:
    """Return a run's pod with this state of its container."""
    container = [{"name": names.RUNNER_CONTAINER, "state": state}] if state is not None else []
    metadata: Object = {
        "namespace": "ns",
        "name": name,
        "uid": f"uid-{name}",
        "resourceVersion": "1",
        "creationTimestamp": status.pop("created", "2026-07-01T11:59:01Z"),
        "annotations": {names.ANNOTATION_OWNER: "orders"},
        "ownerReferences": [{"kind": "Job", "name": job.name, "uid": job.uid}],
    }
    if status.pop("deleting", False):
        metadata["deletionTimestamp"] = "2026-07-01T12:00:00Z"
    return {"metadata": metadata, "status": {"containerStatuses": container, "phase": "Pending", **status}}


def a_pod(name: str, job: JobFact, state: Object | None = None, **status: Any) -> PodFact:
    """Return the fact of a run's pod with this state of its container."""
    return pod_fact(pod(name, job, state, **status))


def ended(result: Result | str | None, code: int = 0, reason: str = "Completed") -> Object:
    """Return the state of a container that has ended."""
    message = encode_result(result) if isinstance(result, Result) else result
    state: Object = {"exitCode": code, "reason": reason}
    if message is not None:
        state["message"] = message
    return {"terminated": state}


def a_run(job: JobFact, *pods: PodFact) -> RunView:
    """Return the view of a run."""
    return RunView(job, verdict(job, pods))


def snapshot(fact: SchemaVersionFact, *members: Member, **more: Any) -> SchemaVersionSnapshot:
    """Return a snapshot."""
    return SchemaVersionSnapshot(fact=fact, now=NOW, members=members, **more)


def kstatus(generation: int, status: Object, deleting: bool = False) -> str:
    """Compute the status as kstatus does for kinds that it does not know (cli-utils, pkg/kstatus/status)."""
    if deleting:
        return "Terminating"
    observed = status.get("observedGeneration")
    if observed is not None and observed != generation:
        return "InProgress"
    conditions = {each["type"]: each["status"] for each in status.get("conditions", ())}
    if conditions.get("Reconciling") == "True":
        return "InProgress"
    if conditions.get("Stalled") == "True":
        return "Failed"
    if "Ready" in conditions:
        return "Current" if conditions["Ready"] == "True" else "InProgress"
    return "Current"


def apply_merge_patch(target: Any, patch: Any) -> Any:
    """Apply a patch as RFC 7386 says."""
    if not isinstance(patch, dict):
        return patch
    made = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = apply_merge_patch(made.get(key), value)
    return made


def as_status(model: Any) -> Object:
    """Return a status as the API server would hold it."""
    return dump(model)
