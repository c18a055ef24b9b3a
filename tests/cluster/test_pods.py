"""Pods that cannot start, or do not live: the cause is on the resource, and its end is noticed."""

import pytest

from support.kube import Kube, Object, condition, migration, schema_version
from support.targets import Target

CREATE = "CREATE TABLE a (id int)"


def message(found: Object) -> str:
    return str(condition(found, "Ready")["message"])


def test_a_quota_that_lets_no_pod_in(kube: Kube, target: Target) -> None:
    kube.apply(
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "none"},
            "spec": {"hard": {"pods": "0"}},
        },
        target.secret(),
        migration("orders", "1", CREATE),
        schema_version("orders"),
    )
    assert "none" in message(kube.wait_reason("SchemaVersion", "orders", "QuotaExceeded"))
    kube.delete("ResourceQuota", "none")
    kube.wait_reason("SchemaVersion", "orders", "UpToDate", seconds=90)
    assert target.tables() == {"a"}


@pytest.mark.parametrize(
    ("execution", "reason", "piece"),
    [
        ({"nodeSelector": {"disk": "of-glass"}}, "Unschedulable", "node"),
        ({"serviceAccountName": "nobody"}, "PodRejected", "nobody"),
        ({"resources": {"requests": {"memory": "900Ti"}}}, "Unschedulable", "memory"),
    ],
)
def test_settings_that_no_pod_can_have(kube: Kube, target: Target, execution: Object, reason: str, piece: str) -> None:
    kube.apply(target.secret(), migration("orders", "1", CREATE), schema_version("orders", execution=execution))
    assert piece in message(kube.wait_reason("SchemaVersion", "orders", reason))
    kube.apply(schema_version("orders"))
    kube.wait_reason("SchemaVersion", "orders", "UpToDate", seconds=90)
    assert target.tables() == {"a"}


def test_a_runner_without_memory(kube: Kube, target: Target) -> None:
    tiny = {"resources": {"limits": {"memory": "12Mi"}, "requests": {"memory": "12Mi"}}}
    kube.apply(target.secret(), migration("orders", "1", CREATE), schema_version("orders", execution=tiny))
    found = kube.wait_reason("SchemaVersion", "orders", "OutOfMemory", seconds=90)
    assert "spec.execution.resources" in message(found)
    kube.apply(schema_version("orders"))
    kube.wait_reason("SchemaVersion", "orders", "UpToDate", seconds=90)


def test_a_deadline_that_passes(kube: Kube, target: Target) -> None:
    wanted = schema_version("orders", execution={"deadline": "2s"})
    kube.apply(target.secret(), migration("orders", "1", f"{CREATE}; SELECT pg_sleep(30)"), wanted)
    found = kube.wait_reason("SchemaVersion", "orders", "DeadlineExceeded")
    assert "deadline" in message(found)
    assert target.tables() == set()


def test_a_pod_that_is_deleted_in_mid_run(kube: Kube, target: Target) -> None:
    """The database decides: nothing half done, nothing twice."""
    kube.apply(
        target.secret(),
        migration("orders", "1", CREATE),
        migration("orders", "2", "INSERT INTO a VALUES (1); SELECT pg_sleep(4)"),
        schema_version("orders"),
    )
    kube.wait("SchemaVersion", "orders", lambda _: target.tables() == {"a"}, "the first is applied")
    pod = next(each for each in kube.list("Pod") if each["metadata"]["name"].startswith("orders-"))
    kube.delete("Pod", pod["metadata"]["name"])
    found = kube.wait_reason("SchemaVersion", "orders", "UpToDate", seconds=90)
    assert found["status"]["version"] == "2"
    assert target.query("SELECT count(*) FROM a") == [(1,)]


def test_a_schema_version_deleted_in_mid_run(kube: Kube, target: Target) -> None:
    kube.apply(
        target.secret(),
        migration("orders", "1", CREATE),
        migration("orders", "2", "CREATE TABLE b (n int); SELECT pg_sleep(60)"),
        schema_version("orders"),
    )
    kube.wait("SchemaVersion", "orders", lambda _: target.tables() == {"a"}, "the first is applied")
    kube.delete("SchemaVersion", "orders")
    kube.wait_gone("SchemaVersion", "orders", seconds=30)
    # The run ends at a boundary and its lock is free: another one can have the line at once.
    kube.apply(schema_version("orders", version="1"))
    kube.wait_reason("SchemaVersion", "orders", "UpToDate", seconds=90)
    assert target.tables() == {"a"}


def test_a_target_that_changes_in_mid_run(kube: Kube, target: Target) -> None:
    kube.apply(
        target.secret(),
        migration("orders", "1", CREATE),
        migration("orders", "2", "CREATE TABLE b (n int); SELECT pg_sleep(60)"),
        schema_version("orders", version="2"),
    )
    kube.wait("SchemaVersion", "orders", lambda _: target.tables() == {"a"}, "the first is applied")
    kube.apply(schema_version("orders", version="1"))
    found = kube.wait_reason("SchemaVersion", "orders", "UpToDate", seconds=90)
    assert found["status"]["version"] == "1"
    assert target.tables() == {"a"}
