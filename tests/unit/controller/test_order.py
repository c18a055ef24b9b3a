"""The order of a run: what the resources say, in the runner's words."""

import pytest

from lockstep.api.migration import MigrationSpec
from lockstep.controller.order import Texts, make_order
from lockstep.planning import wire
from lockstep.planning.bundle import pack, unpack
from lockstep.planning.version import Version
from support.controller import a_member, a_schema_version, migration


def test_every_field_that_the_runner_knows() -> None:
    fact = a_schema_version(
        status={"version": "1", "ledger": {"uuid": "u", "sequence": 4, "hash": "h"}},
        outOfOrder="Allow",
        rollback="Allow",
        approval="Manual",
        approvedPlans=["sha256:" + "0" * 64],
        adopt={"history": "flyway", "table": "schema_history"},
        drift="Block",
        driftOptions={"include": ["Grants"], "ignore": ["public.tmp_*"]},
        repair={"token": "t1", "action": "MarkApplied", "version": "2", "note": "why"},
        database={
            "secretRef": {"name": "db", "key": "dsn"},
            "engine": "postgresql",
            "ledgerSchema": "ledger",
            "pooler": "Session",
            "tls": {
                "mode": "VerifyCA",
                "caSecretRef": {"name": "ca", "key": "root.pem"},
                "clientCertificateSecretRef": {"name": "client"},
            },
        },
        execution={"lockTimeout": "2s", "statementTimeout": "1m", "deadline": "2h"},
    )
    raw = migration(
        "m2",
        "2",
        down="DROP TABLE m2",
        description="two",
        kind="Data",
        lockTimeout="250ms",
        adopts=["V2"],
        requires=[{"schema": "auth", "version": "1"}],
    )
    spec = MigrationSpec.model_validate(raw["spec"])
    member = a_member("m2", "2", down="DROP TABLE m2")
    assert fact.spec is not None
    order = make_order(
        fact,
        fact.spec,
        mode=wire.Mode.RUN,
        job="orders-x-1",
        attempt=2,
        target=Version.parse("2"),
        texts=[Texts(member, spec, spec.up, spec.down)],
        cluster="c",
    )
    assert order.database == wire.DatabaseOrder(
        secret="db",
        key="dsn",
        engine="postgresql",
        ledger_schema="ledger",
        pooler="Session",
        tls=wire.Tls("verify-ca", "ca", "root.pem", "client"),
    )
    assert order.limits == wire.Limits(2_000, 60_000, 7_200_000)
    assert (order.known_version, order.known_ledger, order.known_sequence, order.known_hash) == ("1", "u", 4, "h")
    assert (order.mode, order.attempt, order.job, order.target) == (wire.Mode.RUN, 2, "orders-x-1", "2")
    assert order.policy == wire.Policy("Allow", "Allow", "Manual", ("sha256:" + "0" * 64,))
    assert (order.baseline, order.adopt) == (None, wire.AdoptOrder("flyway", "schema_history"))
    assert order.drift == wire.DriftOrder("Block", ("Grants",), ("public.tmp_*",))
    assert order.repair == wire.RepairOrder("t1", "MarkApplied", "2", None, "why")
    (ordered,) = order.migrations
    assert (ordered.up, ordered.down, ordered.kind, ordered.lock_timeout_ms) == (spec.up, spec.down, "Data", 250)
    assert (ordered.up_checksum, ordered.down_checksum) == (member.up, member.down)
    assert (ordered.requires, ordered.adopts) == ((("auth", "1"),), ("V2",))
    assert unpack(pack(order)) == order


@pytest.mark.parametrize("mode", list(wire.Mode))
def test_an_act_is_handed_on_until_it_is_done_and_to_runs_only(mode: wire.Mode) -> None:
    act = {"token": "t1", "action": "TakeOver", "confirm": "ns/other"}
    for handled in (None, "t0", "t1"):
        fact = a_schema_version(status={"lastHandledRepair": handled} if handled else None, repair=act, baseline="1")
        assert fact.spec is not None
        target = Version.parse("2")
        order = make_order(fact, fact.spec, mode=mode, job="j", attempt=1, target=target, texts=[], cluster="c")
        assert (order.repair is not None) is (handled != "t1" and mode is wire.Mode.RUN)
        assert order.baseline == "1"
