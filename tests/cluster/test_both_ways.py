"""Ways back, approval, drift, acts by a person and lost statuses: real pods on real databases."""

import re
import subprocess
from pathlib import Path
from typing import Any

from support.kube import KUBECONFIG, ROOT, Kube, condition, is_ready, migration, schema_version
from support.targets import Target

HELM = str(ROOT / ".local" / "bin" / "helm")
VIEW = "CREATE OR REPLACE VIEW report AS SELECT {} FROM orders"


def orders(number: int, up: str, down: str, **spec: Any) -> dict[str, Any]:
    return migration("orders", str(number), up, down=down, **spec)


ONE = orders(1, "CREATE TABLE orders (id int)", "DROP TABLE orders")
TWO = orders(2, "ALTER TABLE orders ADD COLUMN total int", "ALTER TABLE orders DROP COLUMN total")
THREE = orders(3, "CREATE TABLE extra ()", "DROP TABLE extra")


def at_three(kube: Kube, target: Target, **spec: Any) -> None:
    kube.apply(target.secret(), ONE, TWO, THREE, schema_version("orders", version="3", rollback="Allow", **spec))
    kube.wait_reason("SchemaVersion", "orders", "UpToDate")


def directions(found: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["direction"], each.get("version", "")) for each in found["status"]["history"]]


def wait_version(kube: Kube, version: str) -> dict[str, Any]:
    def there(sv: dict[str, Any]) -> bool:
        return is_ready(sv) and sv["status"].get("version") == version

    return kube.wait("SchemaVersion", "orders", there, f"is at {version}")


def write_chart(folder: Path, target: str, *migrations: tuple[str, str, str]) -> None:
    """Write an app's chart with these versions: their number, up and down."""
    files = {"Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.0.0\n"}
    for number, up, down in migrations:
        files[f"templates/migration-{number}.yaml"] = (
            f"apiVersion: lockstep.dev/v1alpha1\nkind: Migration\nmetadata: {{name: orders-{number}}}\n"
            f'spec: {{schema: orders, version: "{number}", up: "{up}", down: "{down}"}}\n'
        )
    files["templates/schemaversion.yaml"] = (
        "apiVersion: lockstep.dev/v1alpha1\nkind: SchemaVersion\nmetadata: {name: orders}\n"
        f'spec: {{version: "{target}", rollback: Allow, database: {{secretRef: {{name: db}}}}}}\n'
    )
    for path in (folder / "templates").glob("*"):
        path.unlink()
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)


def helm(kube: Kube, *words: str) -> None:
    command = [HELM, *words, "--wait", "--timeout", "90s", "--kubeconfig", str(KUBECONFIG), "-n", kube.namespace]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_helm_rollback_after_which_the_migration_is_pruned(kube: Kube, target: Target, tmp_path: Path) -> None:
    kube.apply(target.secret())
    first = ("1", "CREATE TABLE orders (id int)", "DROP TABLE orders")
    second = ("2", "ALTER TABLE orders ADD COLUMN total int", "ALTER TABLE orders DROP COLUMN total")
    write_chart(tmp_path, "1", first)
    helm(kube, "upgrade", "--install", "shop", str(tmp_path))
    write_chart(tmp_path, "2", first, second)
    helm(kube, "upgrade", "--install", "shop", str(tmp_path))
    assert target.columns("orders") == ["id", "total"]
    helm(kube, "rollback", "shop", "1")
    kube.wait_gone("Migration", "orders-2")
    found = wait_version(kube, "1")
    assert target.columns("orders") == ["id"]
    assert directions(found) == [("up", "1"), ("up", "2"), ("down", "2")]
    # And forward again, with another text under the same version: it was taken back.
    write_chart(tmp_path, "2", first, ("2", "ALTER TABLE orders ADD COLUMN sum int", "SELECT 1"))
    helm(kube, "upgrade", "--install", "shop", str(tmp_path))
    assert target.columns("orders") == ["id", "sum"]
    helm(kube, "uninstall", "shop")
    assert target.tables() == {"orders"}


def test_a_view_in_the_way_and_a_correction(kube: Kube, target: Target) -> None:
    view = migration("orders", None, VIEW.format("id"), name="report", repeatable=True, down="DROP VIEW report")
    kube.apply(target.secret(), ONE, view, schema_version("orders", version="1", rollback="Allow"))
    wait_version(kube, "1")
    later = migration("orders", None, VIEW.format("id, total"), name="report", repeatable=True, down="DROP VIEW report")
    kube.apply(TWO, later, schema_version("orders", version="2", rollback="Allow"))
    wait_version(kube, "2")
    kube.patch("Migration", "orders-2", {"spec": {"down": "ALTER TABLE orders DROP COLUMN IF EXISTS total"}})
    kube.wait(
        "SchemaVersion",
        "orders",
        lambda sv: is_ready(sv) and directions(sv)[-1] == ("correct", "2"),
        "the correction is in the ledger",
    )
    kube.delete("Migration", "orders-2")
    kube.apply(schema_version("orders", version="1", rollback="Allow"))
    wait_version(kube, "1")
    assert target.columns("orders") == ["id"]
    assert target.columns("report") == ["id"]


def test_what_was_taken_back_may_be_edited_and_what_was_not_may_not(kube: Kube, target: Target) -> None:
    at_three(kube, target)
    kube.apply(schema_version("orders", version="base", rollback="Allow"))
    wait_version(kube, "base")
    assert target.tables() == set()
    kube.wait("Migration", "orders-1", lambda found: not found["status"]["applied"], "is not applied any more")
    kube.apply(orders(1, "CREATE TABLE others (id int)", "DROP TABLE others"))
    kube.apply(schema_version("orders", version="1", rollback="Allow"))
    wait_version(kube, "1")
    assert target.tables() == {"others"}


def test_a_wiped_status_comes_back_though_the_migrations_are_gone(kube: Kube, target: Target) -> None:
    at_three(kube, target)
    kube.apply(schema_version("orders", version="2", rollback="Allow"))
    before = wait_version(kube, "2")["status"]
    for number in (1, 2, 3):
        kube.delete("Migration", f"orders-{number}")
    kube.patch("SchemaVersion", "orders", {"status": None}, "status")
    after = wait_version(kube, "2")["status"]
    assert after["ledger"]["uuid"] == before["ledger"]["uuid"]
    assert directions({"status": after}) == directions({"status": before})
    kube.apply(schema_version("orders", version="1", rollback="Allow"))
    wait_version(kube, "1")
    assert target.columns("orders") == ["id"]


def test_a_plan_writes_nothing_and_its_log_has_the_sql(kube: Kube, target: Target) -> None:
    kube.apply(target.secret(), ONE, schema_version("orders", version="1", approval="Manual"))
    found = kube.wait_reason("SchemaVersion", "orders", "ApprovalRequired")
    plan = found["status"]["plan"]
    assert (plan["direction"], plan["count"], plan["steps"]) == ("Up", 1, ["up 1 (orders-1)"])
    assert "CREATE TABLE orders" in kube.kubectl("logs", f"job/{plan['job']}")
    assert target.query("SELECT nspname FROM pg_namespace WHERE nspname = 'lockstep'") == []
    assert target.tables() == set()
    kube.patch("SchemaVersion", "orders", {"spec": {"approvedPlans": [plan["hash"]]}})
    wait_version(kube, "1")
    # The way back asks anew, though nothing of it has changed; the old hash is none for it.
    kube.patch("SchemaVersion", "orders", {"spec": {"version": "base"}})
    found = kube.wait_reason("SchemaVersion", "orders", "ApprovalRequired")
    assert found["status"]["plan"]["direction"] == "Down"
    assert target.tables() == {"orders"}
    # Taken back: nothing is run.
    kube.patch("SchemaVersion", "orders", {"spec": {"version": "1"}})
    wait_version(kube, "1")
    assert len(kube.list("Job", "lockstep.dev/mode=run")) == 1


def test_drift_is_reported_blocks_and_is_accepted(kube: Kube, target: Target) -> None:
    kube.apply(target.secret(), ONE, schema_version("orders", version="1", drift="Block"))
    wait_version(kube, "1")
    target.execute("ALTER TABLE orders ADD COLUMN by_hand int")
    kube.apply(TWO, schema_version("orders", version="2", drift="Block"))
    found = kube.wait_reason("SchemaVersion", "orders", "Drifted")
    drifted = condition(found, "Drifted")
    assert drifted["status"] == "True"
    assert "by_hand" in drifted["message"]
    assert target.columns("orders") == ["id", "by_hand"]
    act = {"token": "t1", "action": "AcceptDrift", "confirm": found["status"]["drift"]["hash"], "note": "it is right"}
    kube.patch("SchemaVersion", "orders", {"spec": {"repair": act}})
    found = wait_version(kube, "2")
    assert found["status"]["lastHandledRepair"] == "t1"
    assert condition(found, "Drifted")["status"] == "False"
    assert target.columns("orders") == ["id", "by_hand", "total"]


def test_a_version_that_was_run_by_hand_is_marked(kube: Kube, target: Target) -> None:
    kube.apply(target.secret(), ONE, schema_version("orders", version="1"))
    wait_version(kube, "1")
    target.execute("ALTER TABLE orders ADD COLUMN total int")
    kube.apply(TWO, schema_version("orders", version="2"))
    kube.wait_reason("SchemaVersion", "orders", "StatementFailed")
    act = {"token": "t1", "action": "MarkApplied", "version": "2", "note": "incident 4711"}
    kube.patch("SchemaVersion", "orders", {"spec": {"repair": act}})
    found = wait_version(kube, "2")
    assert ("repair", "2") in directions(found)
    assert target.columns("orders") == ["id", "total"]
    kube.patch("SchemaVersion", "orders", {"spec": {"repair": None}})
    wait_version(kube, "2")
    assert kube.get("SchemaVersion", "orders")["status"]["run"]["job"] == found["status"]["run"]["job"]


def test_a_line_is_taken_over_explicitly(kube: Kube, target: Target) -> None:
    kube.apply(target.secret(), ONE, schema_version("orders", version="1"))
    wait_version(kube, "1")
    kube.apply(schema_version("heir", schema="orders", version="1"))
    found = kube.wait_reason("SchemaVersion", "heir", "ForeignOwner")
    # As the message names it.
    found_owner = re.search(r"belongs to SchemaVersion (.+? of cluster [^:]+):", condition(found, "Ready")["message"])
    assert found_owner is not None
    owner = found_owner[1]
    assert f"{kube.namespace}/orders" in owner
    act = {"token": "t1", "action": "TakeOver", "confirm": f"{kube.namespace}/orders"}
    kube.patch("SchemaVersion", "heir", {"spec": {"repair": act}})
    found = kube.wait_reason("SchemaVersion", "heir", "RepairRefused")
    kube.patch("SchemaVersion", "orders", {"spec": {"suspend": True}})
    kube.patch("SchemaVersion", "heir", {"spec": {"repair": {**act, "token": "t2", "confirm": owner}}})
    kube.wait("SchemaVersion", "heir", is_ready, "owns the line")
    assert kube.get("SchemaVersion", "heir")["status"]["version"] == "1"


def test_a_target_that_changes_in_the_middle_of_a_way_down(kube: Kube, target: Target) -> None:
    slow = orders(3, "CREATE TABLE extra ()", "SELECT pg_sleep(4); DROP TABLE extra")
    kube.apply(target.secret(), ONE, TWO, slow, schema_version("orders", version="3", rollback="Allow"))
    wait_version(kube, "3")
    kube.apply(schema_version("orders", version="base", rollback="Allow"))
    kube.wait(
        "SchemaVersion",
        "orders",
        lambda sv: (sv["status"].get("lock") or {}).get("holder") or sv["status"]["version"] != "3",
        "is on its way down",
    )
    kube.apply(schema_version("orders", version="2", rollback="Allow"))
    found = wait_version(kube, "2")
    assert target.columns("orders") == ["id", "total"]
    assert found["status"]["target"] == "2"
