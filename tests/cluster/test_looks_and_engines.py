"""Looks for drift between runs, a session whose pod is gone, another engine: real pods on real databases."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from lockstep.engines.postgresql.lock import lock_key
from servers.mariadb import PASSWORD, MariaDatabase, Mariadb, program
from support.kube import Kube, condition, is_ready, migration, schema_version, secret
from support.targets import Target


def test_drift_is_seen_between_runs(kube: Kube, target: Target) -> None:
    kube.apply(
        target.secret(), migration("orders", "1", "CREATE TABLE a ()"), schema_version("orders", driftCheck="2s")
    )
    kube.wait_reason("SchemaVersion", "orders", "UpToDate")
    target.execute("CREATE TABLE by_hand ()")

    def drifted(status: str) -> dict[str, object]:
        return kube.wait(
            "SchemaVersion", "orders", lambda sv: condition(sv, "Drifted").get("status") == status, f"Drifted={status}"
        )

    found = drifted("True")
    assert "table public.by_hand" in condition(found, "Drifted")["message"]
    # It is said, and holds nothing up.
    assert is_ready(found)
    target.execute("DROP TABLE by_hand")
    assert is_ready(drifted("False"))
    # What looks is no run: the status still speaks of the one that did something.
    run = kube.get("SchemaVersion", "orders")["status"]["run"]
    assert "-check-" not in run["job"]


def test_a_session_whose_pod_is_gone_is_ended_when_a_person_says_so(kube: Kube, target: Target) -> None:
    """The session of a runner whose pod was deleted by force is played by a connection under its name."""
    kube.apply(target.secret(), migration("orders", "1", "CREATE TABLE a ()"), schema_version("orders", version="1"))
    kube.wait_reason("SchemaVersion", "orders", "UpToDate")
    params = {**target.database.params, "application_name": "lockstep orders-gone-x1"}
    with psycopg.connect(make_conninfo(**params), autocommit=True) as ghost:
        ghost.execute("SELECT pg_advisory_lock_shared(%s)", (lock_key("lockstep", None),))
        ghost.execute("SELECT pg_advisory_lock(%s)", (lock_key("lockstep", "orders"),))
        ghost.execute("UPDATE lockstep.run SET pod = 'orders-gone-x1', pid = pg_backend_pid()")
        kube.apply(migration("orders", "2", "CREATE TABLE b ()"), schema_version("orders", version="2"))
        held = kube.wait_reason("SchemaVersion", "orders", "LockHeld")
        assert held["status"]["lock"]["holder"] == "orders-gone-x1"
        repair = {"token": "one", "action": "EndSession", "confirm": "orders-gone-x1", "note": "its node is gone"}
        kube.apply(schema_version("orders", version="2", repair=repair))
        found = kube.wait_reason("SchemaVersion", "orders", "UpToDate", seconds=90)
    assert found["status"]["version"] == "2"
    assert found["status"]["lastHandledRepair"] == "one"
    assert target.query("SELECT description FROM lockstep.history WHERE repair = 'one'") == [
        ("EndSession: its node is gone",)
    ]


@pytest.fixture(scope="module")
def mariadb(address: str) -> Iterator[Mariadb]:
    if program() is None:
        pytest.skip("MariaDB is not installed on this machine")
    with Mariadb(bind_address=f"127.0.0.1,{address}") as server:
        yield server


@pytest.fixture
def maria(operator: None, mariadb: Mariadb) -> Iterator[MariaDatabase]:
    database = mariadb.database()
    yield database
    mariadb.drop(database)


def test_mariadb_both_ways(kube: Kube, maria: MariaDatabase, address: str) -> None:
    keys = {**maria.params, "host": address, "type": "mariadb"}
    kube.apply(
        secret("db", **keys),
        migration("orders", "1", "CREATE TABLE a (id int PRIMARY KEY)", down="DROP TABLE a"),
        migration("orders", "2", "ALTER TABLE a ADD COLUMN b int", down="ALTER TABLE a DROP COLUMN b"),
        schema_version("orders", rollback="Allow"),
    )
    found = kube.wait_reason("SchemaVersion", "orders", "UpToDate")
    assert found["status"]["version"] == "2"
    columns = (
        "SELECT column_name FROM information_schema.columns "
        f"WHERE table_schema = '{maria.name}' AND table_name = 'a' ORDER BY ordinal_position"
    )
    assert maria.query(columns) == [("id",), ("b",)]
    kube.apply(schema_version("orders", version="1", rollback="Allow"))
    kube.wait("SchemaVersion", "orders", lambda sv: is_ready(sv) and sv["status"]["version"] == "1", "is at 1")
    assert maria.query(columns) == [("id",)]
    for pod in kube.list("Pod"):
        log = kube.kubectl("logs", pod["metadata"]["name"])
        assert PASSWORD not in log
