"""A ledger of version 1, as the first Lockstep has made it, is brought up to date with all that is in it."""

import gzip
import hashlib

import pytest
from msgspec.structs import replace

from lockstep.api.reasons import Reason
from lockstep.engines.postgresql import ledger_sql, ledger_tables
from lockstep.engines.postgresql.ledger_tables import LEDGER_VERSION, on
from lockstep.engines.postgresql.lock import lock_key
from lockstep.planning.wire import DriftOrder, Mode, OrderedMigration, Policy
from lockstep.runner import flow
from servers.faults import Fault, FaultyProxy
from servers.inprocess import take
from servers.postgres import Database
from servers.runner import OWNER, Pod, keys_of, migration, order

ALLOW = Policy(rollback="Allow")
ONE = migration("1", "CREATE TABLE t (x int);", "DROP TABLE t;")
TWO = migration("2", "CREATE TABLE u (x int);", "DROP TABLE u;")
VIEW = migration(None, "CREATE OR REPLACE VIEW w AS SELECT x FROM u", "DROP VIEW w", name="orders-w")
THREE = migration("3", "CREATE TABLE v (x int);", "DROP TABLE v;")


def chained(before: str, sequence: int, direction: str, one: OrderedMigration) -> str:
    """Hash an entry as version 1 did."""
    fields = (
        before,
        "orders",
        sequence,
        direction,
        one.version,
        one.name,
        one.up_checksum,
        one.down_checksum,
        1,
        HOLDER,
    )
    return hashlib.sha256("\n".join("-" if f is None else str(f) for f in fields).encode()).hexdigest()


HOLDER = "6b7f4c36-0000-4000-8000-000000000000"


@pytest.fixture
def old(any_database: Database) -> Database:
    """A database at version 2 with a view, taken there by the first Lockstep."""
    with any_database.connect() as connection:
        run = connection.execute
        run("CREATE SCHEMA lockstep")
        for statement in ledger_tables.CREATE:
            run(on("lockstep", statement).encode())
        run("INSERT INTO lockstep.meta (ledger, version) VALUES (gen_random_uuid(), 1)")
        run(
            "INSERT INTO lockstep.run VALUES ('orders', %s, %s, %s, %s, 1, %s, 1, NULL, 'job', 'pod', 1, now())",
            (OWNER.cluster, OWNER.namespace, OWNER.name, OWNER.uid, HOLDER),
        )
        before = ""
        for sequence, (direction, one) in enumerate([("up", ONE), ("up", TWO), ("repeat", VIEW)], start=1):
            run((one.up or "").encode())
            digest = chained(before, sequence, direction, one)
            run(
                "INSERT INTO lockstep.history VALUES "
                "('orders', %s, %s, %s, %s, %s, '', 'Schema', %s, %s, 1, %s, 'job', 'pod', now(), %s, %s)",
                (sequence, direction, one.version, one.version, one.name, one.up_checksum, one.down_checksum, HOLDER,
                 before, digest),
            )  # fmt: skip
            if one.version is None:
                run(
                    "INSERT INTO lockstep.repeatable VALUES ('orders', %s, %s, %s, %s)",
                    (one.name, one.up_checksum, one.down_checksum, sequence),
                )
            else:
                run(
                    "INSERT INTO lockstep.applied VALUES ('orders', %s, %s, %s, 'Schema', %s, %s, NULL, %s)",
                    (one.version, one.version, one.name, one.up_checksum, one.down_checksum, sequence),
                )
            for checksum, text in ((one.up_checksum, one.up), (one.down_checksum, one.down)):
                run(
                    "INSERT INTO lockstep.texts VALUES (%s, %s) ON CONFLICT DO NOTHING",
                    (checksum, gzip.compress((text or "").encode())),
                )
            before = digest
    return any_database


def broken(database: Database) -> list[tuple[object, ...]]:
    return database.query(on("lockstep", ledger_sql.BROKEN).replace("$1::pg_catalog.text", "'orders'::text"))


def everything(database: Database) -> object:
    columns = database.query(
        "SELECT relname, attname FROM pg_attribute JOIN pg_class c ON c.oid = attrelid "
        "WHERE relnamespace = to_regnamespace('lockstep') AND attnum > 0 AND relkind = 'r' ORDER BY 1, attnum"
    )
    names = sorted({str(name) for name, _ in columns})
    return columns, [(name, sorted(map(repr, database.query(f"TABLE lockstep.{name}")))) for name in names]


def test_it_goes_on_where_it_was(old: Database) -> None:
    first = old.query("SELECT sequence, hash FROM lockstep.history ORDER BY 1")
    done = take(old, order(ONE, TWO, VIEW, THREE, policy=ALLOW))
    assert (done.result.reason, done.result.version, done.result.applied) == (Reason.UP_TO_DATE, "3", 1)
    assert [(line["before"], line["version"]) for line in done.events("ledger_upgraded")] == [(1, LEDGER_VERSION)]
    assert old.query("SELECT version FROM lockstep.meta") == [(LEDGER_VERSION,)]
    assert old.query("SELECT sequence, hash FROM lockstep.history WHERE sequence <= 3 ORDER BY 1") == first
    assert old.query("SELECT count(*) FROM lockstep.history") == [(4,)]
    assert broken(old) == []
    # Once.
    again = take(old, order(ONE, TWO, VIEW, THREE, policy=ALLOW))
    assert (again.result.applied, again.events("ledger_upgraded")) == (0, [])


def test_its_texts_are_a_way_back(old: Database) -> None:
    result = take(old, order(target="base", policy=ALLOW)).result
    assert (result.reason, result.version) == (Reason.UP_TO_DATE, "base"), result
    assert [step.direction for step in result.steps[-result.applied :]] == ["down", "down", "down"]
    assert old.query("SELECT to_regclass('t'), to_regclass('u'), to_regclass('w')") == [(None, None, None)]
    assert broken(old) == []


def test_a_changed_history_still_shows(old: Database) -> None:
    old.query("UPDATE lockstep.history SET name = 'forged' WHERE sequence = 2")
    assert take(old, order(ONE, TWO, VIEW, THREE)).result.reason is Reason.LEDGER_INVALID


@pytest.mark.parametrize("policy", ["Ignore", "Report"])
def test_a_plan_reads_it_and_leaves_it_as_it_is(policy: str, old: Database) -> None:
    before = everything(old)
    asked = order(ONE, TWO, VIEW, target="1", mode=Mode.PLAN, drift=DriftOrder(policy))
    result = take(old, asked).result
    assert result.reason is Reason.PLANNED, result
    assert result.plan is not None
    assert result.plan.steps == ("down orders-w", "down 2 (orders-2)")
    assert everything(old) == before
    approved = Policy(approved_plans=(result.plan.hash,))
    assert take(old, order(ONE, TWO, VIEW, target="1", policy=approved)).result.version == "1"


def test_another_line_does_not_wait_for_the_upgrade_of_a_run_under_way(
    old: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is changed below a run of an older Lockstep that holds its line."""
    with old.connect() as other:
        key = _database_key()
        other.execute(f"SELECT pg_advisory_lock_shared({key})".encode())
        with monkeypatch.context() as hurry:
            hurry.setattr(flow, "LOCK_SECONDS", 0.2)
            result = take(old, order(ONE, TWO, VIEW, THREE)).result
        assert result.reason is Reason.LOCK_HELD
        assert old.query("SELECT version FROM lockstep.meta") == [(1,)]
    assert take(old, order(ONE, TWO, VIEW, THREE)).result.version == "3"


def _database_key() -> int:
    return lock_key("lockstep", None)


def test_an_upgrade_that_dies_is_not_there(old: Database, pod: Pod) -> None:
    before = everything(old)
    with FaultyProxy(old.server.port) as proxy:
        proxy.on(b"ADD COLUMN undone", Fault.CUT_BEFORE)
        pod.start(order(ONE, TWO, VIEW, THREE), keys_of(old) | {"port": str(proxy.port)})
        assert proxy.struck.wait(20)
        pod.kill()
    assert everything(old) == before
    assert take(old, order(ONE, TWO, VIEW, THREE)).result.version == "3"


def test_the_owner_is_still_asked_for(old: Database) -> None:
    foreign = replace(OWNER, namespace="other")
    assert take(old, order(ONE, owner=foreign)).result.reason is Reason.FOREIGN_OWNER
    plan = order(ONE, owner=foreign, mode=Mode.PLAN)
    assert take(old, plan).result.reason is Reason.FOREIGN_OWNER
