"""What the API server itself refuses, and with which words."""

from typing import Any

import pytest

from support.kube import Kube, Refused, migration, schema_version


def refusal(kube: Kube, *objects: dict[str, Any]) -> str:
    with pytest.raises(Refused) as caught:
        kube.apply(*objects)
    assert caught.value.status in {400, 422}
    return caught.value.message


GOOD: dict[str, Any] = {"schema": "orders", "version": "0001", "up": "SELECT 1"}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"schema": "orders", "version": "1"}, "exactly one of spec.up, spec.upFrom and spec.framework"),
        ({**GOOD, "upFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}}, "exactly one of spec.up"),
        ({**GOOD, "down": "x", "irreversible": "y"}, "at most one of spec.down, spec.downFrom and spec.irreversible"),
        ({"schema": "orders", "up": "SELECT 1"}, "spec.version is missing"),
        ({**GOOD, "repeatable": True}, "a repeatable Migration has no spec.version"),
        ({**GOOD, "version": "v1"}, "spec.version"),
        ({**GOOD, "version": "1-rc1"}, "spec.version"),
        ({**GOOD, "schema": "Orders!"}, "spec.schema"),
        ({**GOOD, "up": "x" * 600_000, "down": "y" * 400_001}, "more than 1000000 bytes together"),
        ({**GOOD, "up": "é" * 500_001}, "more than 1000000 bytes together"),
        ({**GOOD, "transaction": "Maybe"}, 'supported values: "Auto", "Always", "Never"'),
        ({**GOOD, "lockTimeout": "5 seconds"}, "spec.lockTimeout"),
        ({"version": "1", "up": "SELECT 1"}, "spec.schema: Required value"),
        ({**GOOD, "requires": [{"schema": "auth"}]}, "spec.requires[0].version: Required value"),
        (
            {"schema": "o", "version": "1", "down": "x", "framework": {"name": "rails", "image": "app"}},
            "spec.framework has its own way back",
        ),
    ],
)
def test_a_malformed_migration_is_refused(kube: Kube, spec: dict[str, Any], message: str) -> None:
    assert message in refusal(kube, {**migration("orders", "1", "x"), "spec": spec})


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"database": {}}, "spec.database.secretRef: Required value"),
        ({"version": "newest"}, "spec.version"),
        ({"database": {"secretRef": {"name": "db"}, "engine": "oracle"}}, 'supported values: "postgresql"'),
        ({"migrations": {"digest": "sha256:12"}}, "spec.migrations.digest"),
        ({"baseline": "1", "adopt": {"history": "flyway"}}, "at most one of spec.baseline and spec.adopt"),
        ({"progressDeadline": "soon"}, "spec.progressDeadline"),
        ({"database": {"secretRef": {"name": "db"}, "ledgerSchema": 'x"; DROP'}}, "spec.database.ledgerSchema"),
        ({"approvedPlans": ["latest"]}, "spec.approvedPlans[0]"),
        ({"approvedPlans": [f"sha256:{number:064x}" for number in range(65)]}, "spec.approvedPlans: Too many"),
        ({"rollback": "Always"}, 'supported values: "Allow", "Approve", "Forbid"'),
        ({"driftOptions": {"include": ["Rows"]}}, 'supported values: "Grants", "Policies"'),
        ({"adopt": {"history": "rubber"}}, 'supported values: "flyway"'),
        ({"repair": {"token": "t", "action": "Erase"}}, 'supported values: "MarkApplied"'),
        ({"repair": {"token": "a b", "action": "TakeOver", "confirm": "x"}}, "spec.repair.token"),
        ({"repair": {"action": "TakeOver", "confirm": "x"}}, "spec.repair.token: Required value"),
        *[
            ({"repair": {"token": "t", "action": action}}, "spec.repair needs the version")
            for action in ("MarkApplied", "MarkNotApplied", "StatementApplied", "StatementNotApplied")
        ],
        *[
            ({"repair": {"token": "t", "action": action}}, "spec.repair.confirm must say what the status shows")
            for action in ("AcceptDrift", "AcceptLedger", "TakeOver", "EndSession")
        ],
    ],
)
def test_a_malformed_schema_version_is_refused(kube: Kube, spec: dict[str, Any], message: str) -> None:
    assert message in refusal(kube, schema_version("orders", **spec))


def test_the_line_of_a_schema_version_cannot_change(kube: Kube) -> None:
    kube.apply(schema_version("orders", schema="orders"))
    assert "spec.schema cannot change" in refusal(kube, schema_version("orders", schema="other"))


def test_a_new_resource_counts_as_not_looked_at(kube: Kube) -> None:
    found = kube.apply(schema_version("fresh"), migration("fresh", "1", "SELECT 1"))
    assert [each["status"]["observedGeneration"] for each in found] == [-1, -1]


@pytest.fixture
def kube(unserved: Kube) -> Kube:
    """No operator: what stands here is the API server's alone."""
    return unserved


@pytest.fixture
def applied(kube: Kube) -> Kube:
    """A namespace with a Migration whose status says applied, as the operator writes it."""
    kube.apply(migration("orders", "1", "SELECT 1", down="SELECT 2"))
    kube.patch("Migration", "orders-1", {"status": {"applied": True, "observedGeneration": 1}}, "status")
    return kube


@pytest.mark.parametrize(
    "change",
    [
        {"up": "SELECT 3"},
        {"version": "2"},
        {"schema": "other"},
        {"up": None, "upFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}},
        {"up": None, "framework": {"name": "rails", "image": "app"}, "down": None},
        {"repeatable": True, "version": None},
    ],
)
def test_what_has_run_does_not_change(applied: Kube, change: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="since this Migration has been applied"):
        applied.patch("Migration", "orders-1", {"spec": change})
    spec = {k: v for k, v in {**applied.get("Migration", "orders-1")["spec"], **change}.items() if v is not None}
    full = {**migration("orders", "1", "x"), "spec": spec}
    assert "since this Migration has been applied" in refusal(applied, full)
    live = applied.get("Migration", "orders-1")
    with pytest.raises(Refused, match="since this Migration has been applied"):
        applied.call("PUT", applied.path("Migration", "orders-1"), {**live, "spec": spec})


def test_a_status_cannot_be_faked_through_the_resource(applied: Kube) -> None:
    with pytest.raises(Refused, match="since this Migration has been applied"):
        applied.patch("Migration", "orders-1", {"spec": {"up": "SELECT 3"}, "status": {"applied": False}})


def test_its_way_back_may_be_corrected(applied: Kube) -> None:
    changed = applied.patch("Migration", "orders-1", {"spec": {"down": "SELECT 4", "description": "better"}})
    assert changed["spec"]["down"] == "SELECT 4"


def test_what_was_taken_back_may_change_again(applied: Kube) -> None:
    applied.patch("Migration", "orders-1", {"status": {"applied": False}}, "status")
    assert applied.patch("Migration", "orders-1", {"spec": {"up": "SELECT 3"}})["spec"]["up"] == "SELECT 3"


def test_the_text_of_a_repeatable_may_change(kube: Kube) -> None:
    kube.apply(migration("orders", None, "SELECT 1", name="views", repeatable=True))
    kube.patch("Migration", "views", {"status": {"applied": True}}, "status")
    assert kube.patch("Migration", "views", {"spec": {"up": "SELECT 2"}})["spec"]["up"] == "SELECT 2"


def test_lines_can_be_selected(kube: Kube) -> None:
    kube.apply(
        migration("orders", "1", "SELECT 1"), migration("auth", "1", "SELECT 1"), schema_version("x", schema="auth")
    )
    assert [each["metadata"]["name"] for each in kube.list("Migration", fields="spec.schema=auth")] == ["auth-1"]
    assert [each["metadata"]["name"] for each in kube.list("SchemaVersion", fields="spec.schema=auth")] == ["x"]


def test_kubectl_knows_the_short_names(kube: Kube) -> None:
    kube.apply(migration("orders", "1", "SELECT 1"), schema_version("orders"))
    table = kube.kubectl("get", "sv,mig")
    assert "VERSION" in table
    assert "HOLDER" in table
    assert "migration.lockstep.dev/orders-1" in table
    assert "orders" in kube.kubectl("get", "lockstep")
