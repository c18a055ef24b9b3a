"""From apply to a migrated database, as a user sees it."""

import json
import os

from lockstep.planning.checksum import checksum
from support.kube import Kube, Object, condition, config_map, is_ready, migration, schema_version
from support.targets import Target
from support.waiting import eventually


def test_kubectl_wait_returns_when_the_database_is_there_and_not_before(kube: Kube, target: Target) -> None:
    kube.apply(
        target.secret(),
        migration("orders", "0001", "SELECT pg_sleep(2); CREATE TABLE users (id int PRIMARY KEY)"),
        migration("orders", "0002", "ALTER TABLE users ADD COLUMN email text"),
        schema_version("orders"),
    )
    kube.kubectl("wait", "--for=condition=Ready", "schemaversion/orders", "--timeout=60s")
    assert target.columns("users") == ["id", "email"]
    found = kube.get("SchemaVersion", "orders")
    assert is_ready(found)
    status = found["status"]
    assert (status["version"], status["target"], status["state"]) == ("0002", "0002", "UpToDate")
    assert [(each["version"], each["direction"]) for each in status["history"]] == [("0001", "up"), ("0002", "up")]
    assert status["ledger"]["sequence"] >= 2
    for name in ("orders-0001", "orders-0002"):
        mig = kube.wait("Migration", name, lambda mig: mig["status"]["applied"], "is applied")
        assert condition(mig, "Applied")["status"] == "True"
        assert is_ready(mig)
    assert kube.get("Migration", "orders-0002")["status"]["checksum"] == checksum(
        "ALTER TABLE users ADD COLUMN email text"
    )
    table = kube.kubectl("get", "sv,mig")
    assert "0002" in table
    assert "UpToDate" in table


def test_the_next_version_and_nothing_twice(kube: Kube, target: Target) -> None:
    kube.apply(
        target.secret(), migration("orders", "1", "CREATE TABLE t (n int)"), schema_version("orders", version="1")
    )
    kube.wait_reason("SchemaVersion", "orders", "UpToDate")
    kube.apply(
        migration("orders", "2", "INSERT INTO t VALUES (2)"), migration("orders", "3", "INSERT INTO t VALUES (3)")
    )
    kube.apply(schema_version("orders", version="2"))
    kube.wait("SchemaVersion", "orders", lambda sv: is_ready(sv) and sv["status"]["version"] == "2", "version 2")
    assert target.query("SELECT n FROM t") == [(2,)]
    kube.apply(schema_version("orders"))
    kube.wait("SchemaVersion", "orders", lambda sv: is_ready(sv) and sv["status"]["version"] == "3", "latest is 3")
    assert target.query("SELECT n FROM t ORDER BY n") == [(2,), (3,)]


def test_latest_never_goes_down_and_deleting_touches_no_database(kube: Kube, target: Target) -> None:
    kube.apply(
        target.secret(), migration("orders", "1", "CREATE TABLE a ()"), migration("orders", "2", "CREATE TABLE b ()")
    )
    kube.apply(schema_version("orders"))
    kube.wait_reason("SchemaVersion", "orders", "UpToDate")
    kube.delete("Migration", "orders-2")
    kube.apply(migration("orders", "1.5", "CREATE TABLE late ()"))
    # The late version is refused, and the deleted one is no error.
    found = kube.wait_reason("SchemaVersion", "orders", "OutOfOrder")
    assert "orders-1.5" in condition(found, "Ready")["message"]
    kube.apply(schema_version("orders", outOfOrder="Allow"))
    found = kube.wait_reason("SchemaVersion", "orders", "UpToDate")
    assert found["status"]["version"] == "2"
    assert target.tables() == {"a", "b", "late"}
    kube.apply(schema_version("orders", version="1", outOfOrder="Allow"))
    # Nothing says how to undo it.
    kube.wait_reason("SchemaVersion", "orders", "DownMissing")
    kube.delete("SchemaVersion", "orders")
    assert target.tables() == {"a", "b", "late"}


def test_a_recreated_schema_version_finds_what_its_database_has(kube: Kube, target: Target) -> None:
    kube.apply(target.secret(), migration("orders", "1", "CREATE TABLE a ()"), schema_version("orders"))
    kube.wait_reason("SchemaVersion", "orders", "UpToDate")
    kube.delete("SchemaVersion", "orders", "Foreground")
    kube.wait_gone("SchemaVersion", "orders")
    kube.apply(schema_version("orders"))
    found = kube.wait_reason("SchemaVersion", "orders", "UpToDate")
    assert found["status"]["version"] == "1"
    assert target.tables() == {"a"}


def test_a_line_of_5_mb_in_config_maps(kube: Kube, target: Target) -> None:
    # Random text, so that it does not shrink: several shards.
    for number in range(1, 8):
        noise = os.urandom(360_000).hex()
        text = f"CREATE TABLE t{number} ();\nCOMMENT ON TABLE t{number} IS '{noise}';"
        kube.apply(config_map(f"text-{number}", up=text))
        late = migration("orders", str(number), "")
        del late["spec"]["up"]
        late["spec"]["upFrom"] = {"configMapKeyRef": {"name": f"text-{number}", "key": "up"}}
        kube.apply(late)
    kube.apply(target.secret(), schema_version("orders"))
    kube.wait_reason("SchemaVersion", "orders", "UpToDate", seconds=90)
    assert target.tables() == {f"t{number}" for number in range(1, 8)}


def test_repeatable_migrations_run_again_when_their_text_changed(kube: Kube, target: Target) -> None:
    kube.apply(
        target.secret(),
        migration("orders", "1", "CREATE TABLE t (n int); CREATE TABLE runs (name text)"),
        migration("orders", None, "INSERT INTO runs VALUES ('one')", name="views", repeatable=True),
        schema_version("orders"),
    )
    kube.wait_reason("SchemaVersion", "orders", "UpToDate")
    kube.apply(migration("orders", None, "INSERT INTO runs VALUES ('two')", name="views", repeatable=True))
    kube.wait(
        "SchemaVersion",
        "orders",
        lambda sv: is_ready(sv) and len(sv["status"]["history"]) == 3,
        "the changed text has run",
    )
    assert target.query("SELECT name FROM runs") == [("one",), ("two",)]


def test_the_pod_of_a_run_holds_no_token_and_little_power(kube: Kube, target: Target) -> None:
    kube.apply(target.secret(), migration("orders", "1", "SELECT 1"), schema_version("orders"))
    found = kube.wait_reason("SchemaVersion", "orders", "UpToDate")
    job = kube.get("Job", found["status"]["run"]["job"])
    pod = job["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    # Once the result is on the status the Job may go, and not before.
    kube.wait("Job", job["metadata"]["name"], lambda job: job["spec"].get("ttlSecondsAfterFinished"), "has a TTL")
    (owner,) = job["metadata"]["ownerReferences"]
    assert owner["uid"] == found["metadata"]["uid"]
    bundles = [each for each in kube.list("ConfigMap") if each["metadata"].get("ownerReferences")]
    assert all(each["immutable"] for each in bundles)
    assert {each["metadata"]["ownerReferences"][0]["kind"] for each in bundles} == {"Job"}


def test_events_only_on_change(kube: Kube, target: Target) -> None:
    kube.apply(target.secret(), migration("orders", "1", "SELECT 1"), schema_version("orders"))
    kube.wait_reason("SchemaVersion", "orders", "UpToDate")

    def said() -> list[str]:
        events = [each for each in kube.list("Event") if each["involvedObject"]["kind"] == "SchemaVersion"]
        return [each["reason"] for each in events]

    # It is written behind the status.
    eventually(lambda: "UpToDate" in said(), "its event")
    reasons = said()
    assert len(reasons) == len(set(reasons)) <= 3, json.dumps(reasons)


def test_progress_is_shown_on_the_resource(kube: Kube, target: Target) -> None:
    slow = [migration("orders", str(number), "SELECT pg_sleep(3)") for number in range(1, 7)]
    kube.apply(target.secret(), *slow, schema_version("orders"))

    def halfway(sv: Object) -> bool:
        run = sv["status"].get("run") or {}
        progress = run.get("progress") or {}
        return progress.get("total") == 6 and 1 <= progress.get("done", 0) < 6

    found = kube.wait("SchemaVersion", "orders", halfway, "shows how far it is", seconds=60)
    assert condition(found, "Reconciling")["status"] == "True"
    assert found["status"]["lock"]["holder"].startswith("orders-")
    kube.wait_reason("SchemaVersion", "orders", "UpToDate")
