"""The order of a run: what the resources say, in the runner's words."""

from lockstep.api.migration import MigrationSpec
from lockstep.controller.order import Texts, make_order
from lockstep.planning import wire
from lockstep.planning.version import Version
from support.controller import a_member, a_schema_version, migration


def test_every_field_that_the_runner_knows() -> None:
    fact = a_schema_version(
        status={"version": "1", "ledger": {"uuid": "u", "sequence": 4, "hash": "h"}},
        outOfOrder="Allow",
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
    raw = migration("m2", "2", down="DROP TABLE m2", description="two", kind="Data", lockTimeout="250ms")
    spec = MigrationSpec.model_validate(raw["spec"])
    member = a_member("m2", "2", down="DROP TABLE m2")
    assert fact.spec is not None
    order = make_order(
        fact,
        fact.spec,
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
    assert (order.out_of_order, order.attempt, order.job, order.target) == ("Allow", 2, "orders-x-1", "2")
    (ordered,) = order.migrations
    assert (ordered.up, ordered.down, ordered.kind, ordered.lock_timeout_ms) == (spec.up, spec.down, "Data", 250)
    assert (ordered.up_checksum, ordered.down_checksum) == (member.up, member.down)
    assert wire.unpack(wire.pack(order)) == order
