"""The order of a run: what its pod is told, made from live texts."""

from collections.abc import Iterable

from msgspec import Struct

from lockstep.api.fields import milliseconds
from lockstep.api.migration import MigrationSpec
from lockstep.api.schemaversion import SchemaVersionSpec
from lockstep.controller.decide import repair
from lockstep.controller.facts import MigrationFact, SchemaVersionFact
from lockstep.controller.inputs import tag
from lockstep.controller.snapshot import Member
from lockstep.planning import wire
from lockstep.planning.checksum import ABSENT
from lockstep.planning.digest import SetMember
from lockstep.planning.version import Version

_TLS_MODES = {
    None: None,
    "Disable": "disable",
    "Prefer": "prefer",
    "Require": "require",
    "VerifyCA": "verify-ca",
    "VerifyFull": "verify-full",
}


class Texts(Struct, frozen=True):
    """One Migration of the set with its texts."""

    member: Member
    spec: MigrationSpec
    up: str | None
    """None: the database has it already."""
    down: str | None


def is_settled(fact: MigrationFact, up: str, down: str, settled: frozenset[bytes]) -> bool:
    """Tell whether the database is known to have these very texts, so that the run need not be given them.

    Not by its version: a version below the database's may be new (outOfOrder).
    """
    return fact.version is not None and tag(SetMember(fact.name, fact.version, up, down)) in settled


def _limit(duration: str | None) -> int | None:
    return None if duration is None else milliseconds(duration)


def _migration(each: Texts) -> wire.OrderedMigration:
    member, spec = each.member, each.spec
    return wire.OrderedMigration(
        name=member.fact.name,
        version=spec.version,
        up_checksum=member.up or "",
        down_checksum=None if member.down == ABSENT else member.down,
        description=spec.description,
        kind=spec.kind,
        transaction=spec.transaction,
        irreversible=spec.irreversible,
        lock_timeout_ms=_limit(spec.lock_timeout),
        requires=tuple((need.line, need.version) for need in spec.requires),
        adopts=tuple(spec.adopts),
        up=each.up,
        down=each.down,
    )


def _database(spec: SchemaVersionSpec) -> wire.DatabaseOrder:
    database = spec.database
    tls = wire.Tls()
    if database.tls is not None:
        ca, client = database.tls.ca_secret_ref, database.tls.client_certificate_secret_ref
        tls = wire.Tls(
            mode=_TLS_MODES[database.tls.mode],
            ca_secret=ca.name if ca else None,
            ca_key=ca.key if ca else "ca.crt",
            client_certificate_secret=client.name if client else None,
        )
    return wire.DatabaseOrder(
        secret=database.secret_ref.name,
        key=database.secret_ref.key,
        engine=database.engine,
        ledger_schema=database.ledger_schema,
        pooler=database.pooler,
        tls=tls,
    )


def _repair(fact: SchemaVersionFact) -> wire.RepairOrder | None:
    act = repair.pending(fact)
    if act is None:
        return None
    return wire.RepairOrder(act.token, act.action, act.version, act.confirm, act.note)


def make_order(
    fact: SchemaVersionFact,
    spec: SchemaVersionSpec,
    *,
    mode: wire.Mode,
    job: str,
    attempt: int,
    target: Version,
    texts: Iterable[Texts],
    cluster: str,
) -> wire.Order:
    """Return the order of a run."""
    ledger = fact.status.ledger
    return wire.Order(
        line=fact.line,
        # Resolved: a Migration that arrives during the run is another input.
        target=target.text,
        job=job,
        attempt=attempt,
        owner=wire.Owner(cluster=cluster, namespace=fact.namespace, name=fact.name, uid=fact.uid),
        database=_database(spec),
        known_version=fact.status.version,
        known_ledger=ledger.uuid if ledger else None,
        known_sequence=ledger.sequence if ledger else 0,
        known_hash=ledger.hash if ledger else None,
        mode=mode,
        policy=wire.Policy(
            out_of_order=spec.out_of_order,
            rollback=spec.rollback,
            approval=spec.approval,
            approved_plans=tuple(spec.approved_plans),
        ),
        baseline=spec.baseline,
        adopt=wire.AdoptOrder(spec.adopt.history, spec.adopt.table) if spec.adopt is not None else None,
        drift=wire.DriftOrder(spec.drift, tuple(spec.drift_options.include), tuple(spec.drift_options.ignore)),
        # Plans and looks for drift write nothing.
        repair=_repair(fact) if mode is wire.Mode.RUN else None,
        limits=wire.Limits(
            lock_timeout_ms=milliseconds(spec.execution.lock_timeout),
            statement_timeout_ms=_limit(spec.execution.statement_timeout),
            deadline_ms=milliseconds(spec.execution.deadline),
        ),
        migrations=tuple(_migration(each) for each in texts),
    )
