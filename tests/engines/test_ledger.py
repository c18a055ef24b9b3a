"""The ledger: where it is made, whose it is, and what it is held against."""

import pytest
from msgspec.structs import replace

from lockstep.api.reasons import Reason
from lockstep.planning.checksum import checksum
from lockstep.planning.result import LedgerMark
from lockstep.planning.wire import DatabaseOrder, Policy
from servers.postgres import APP, Database, Postgres
from servers.runner import OWNER, Pod, keys_of, migration, order

ONE = migration("1", "CREATE TABLE t (x int)")
TWO = migration("2", "CREATE TABLE u (x int)")


def taken_up(database: Database, pod: Pod) -> LedgerMark:
    ended = pod.run(order(ONE, TWO), keys_of(database))
    assert ended.result.ledger is not None, ended.text
    return ended.result.ledger


@pytest.mark.parametrize(
    ("sql", "name"),
    [
        ("CREATE TABLE theirs ()", "public.theirs"),
        ("CREATE SCHEMA s; CREATE VIEW s.v AS SELECT 1 AS x", "s.v"),
        ("CREATE TYPE mood AS ENUM ('good')", "public.mood"),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "public.f"),
    ],
)
def test_a_database_that_holds_something_is_left_alone(sql: str, name: str, any_database: Database, pod: Pod) -> None:
    any_database.query(sql, admin=False)
    ended = pod.run(order(ONE), keys_of(any_database))
    assert (ended.code, ended.result.reason) == (20, Reason.DATABASE_NOT_EMPTY)
    assert name in ended.result.message
    assert any_database.query("SELECT count(*) FROM pg_namespace WHERE nspname = 'lockstep'") == [(0,)]


def test_extensions_and_empty_schemas_are_nothing(any_database: Database, pod: Pod) -> None:
    any_database.query("CREATE SCHEMA empty")
    for (name,) in any_database.query("SELECT name FROM pg_available_extensions WHERE name IN ('pgcrypto', 'vector')"):
        any_database.query(f"CREATE EXTENSION {name} SCHEMA empty")
    assert pod.run(order(ONE), keys_of(any_database)).code == 0


def test_a_schema_that_was_made_for_it_is_taken(any_database: Database, pod: Pod) -> None:
    any_database.query(f"ALTER DATABASE {any_database.name} OWNER TO postgres")
    any_database.query(f"CREATE SCHEMA lockstep AUTHORIZATION {APP}")
    any_database.query(f"GRANT CREATE ON SCHEMA public TO {APP}")
    assert pod.run(order(ONE), keys_of(any_database)).code == 0


def test_a_schema_that_holds_something_else_is_not(database: Database, pod: Pod) -> None:
    database.query("CREATE SCHEMA lockstep; CREATE TABLE lockstep.theirs ()", admin=False)
    ended = pod.run(order(ONE), keys_of(database))
    assert (ended.code, ended.result.reason) == (30, Reason.LEDGER_INVALID)


def test_its_schema_may_have_any_name(any_database: Database, pod: Pod) -> None:
    odd = 'My "ledger"; DROP'
    wanted = order(ONE, database=DatabaseOrder("orders-db", ledger_schema=odd))
    assert pod.run(wanted, keys_of(any_database)).code == 0
    assert pod.run(wanted, keys_of(any_database)).result.applied == 0
    assert any_database.query('SELECT version FROM "My ""ledger""; DROP".applied') == [("1",)]


def test_a_newer_ledger_is_refused(any_database: Database, pod: Pod) -> None:
    taken_up(any_database, pod)
    any_database.query("UPDATE lockstep.meta SET version = 99")
    ended = pod.run(order(ONE, TWO), keys_of(any_database))
    assert (ended.code, ended.result.reason) == (20, Reason.LEDGER_TOO_NEW)


def test_a_second_owner_of_a_line_is_refused_by_name(any_database: Database, pod: Pod) -> None:
    taken_up(any_database, pod)
    ended = pod.run(order(ONE, TWO, owner=replace(OWNER, namespace="other")), keys_of(any_database))
    assert (ended.code, ended.result.reason) == (20, Reason.FOREIGN_OWNER)
    assert "shop/orders of cluster cluster-uid" in ended.result.message
    epochs = any_database.query("SELECT epoch FROM lockstep.run")
    assert epochs == [(1,)]


def test_a_created_anew_schemaversion_is_the_same_owner(database: Database, pod: Pod) -> None:
    taken_up(database, pod)
    ended = pod.run(order(ONE, TWO, owner=replace(OWNER, uid="another")), keys_of(database))
    assert ended.code == 0
    assert database.query("SELECT owner_uid, epoch FROM lockstep.run") == [("another", 2)]


def test_two_lines_share_a_ledger(any_database: Database, pod: Pod) -> None:
    taken_up(any_database, pod)
    other = replace(order(migration("1", "CREATE TABLE v ()")), line="billing", owner=replace(OWNER, name="billing"))
    ended = pod.run(other, keys_of(any_database))
    assert ended.result.ledger is not None
    assert (ended.result.version, ended.result.ledger.sequence) == ("1", 1)
    assert any_database.query("SELECT line, sequence FROM lockstep.history ORDER BY 1, 2") == [
        ("billing", 1),
        ("orders", 1),
        ("orders", 2),
    ]


def test_a_status_that_is_behind_or_lost_is_fine(database: Database, pod: Pod) -> None:
    mark = taken_up(database, pod)
    assert pod.run(order(ONE, TWO), keys_of(database)).code == 0
    first = database.query("SELECT hash FROM lockstep.history WHERE sequence = 1")[0][0]
    older = order(ONE, TWO, known_ledger=mark.uuid, known_sequence=1, known_hash=str(first))
    assert pod.run(older, keys_of(database)).code == 0


def test_a_rewound_ledger_is_a_persons_to_judge(any_database: Database, pod: Pod) -> None:
    mark = taken_up(any_database, pod)
    wanted = order(ONE, TWO, known_ledger=mark.uuid, known_sequence=2, known_hash=mark.hash, known_version="2")
    any_database.query("DELETE FROM lockstep.history WHERE sequence = 2")
    any_database.query("DELETE FROM lockstep.applied WHERE version = '2'; DROP TABLE u")
    ended = pod.run(wanted, keys_of(any_database))
    assert (ended.code, ended.result.reason) == (30, Reason.LEDGER_BEHIND)
    # Applied anew by somebody else, it is still not what the status has seen.
    assert pod.run(order(ONE, TWO), keys_of(any_database)).code == 0
    ended = pod.run(wanted, keys_of(any_database))
    assert (ended.code, ended.result.reason) == (30, Reason.LEDGER_BEHIND)


def test_another_or_no_ledger_is_a_persons_to_judge(any_database: Database, pod: Pod) -> None:
    ended = pod.run(order(ONE, known_ledger="6b7f4c36-0000-4000-8000-000000000000"), keys_of(any_database))
    assert (ended.code, ended.result.reason) == (30, Reason.LEDGER_BEHIND)
    taken_up(any_database, pod)
    ended = pod.run(order(ONE, known_ledger="6b7f4c36-0000-4000-8000-000000000000"), keys_of(any_database))
    assert (ended.code, ended.result.reason) == (30, Reason.LEDGER_BEHIND)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE lockstep.history SET up_checksum = 'forged' WHERE sequence = 1",
        "UPDATE lockstep.history SET hash = 'forged' WHERE sequence = 2",
        "DELETE FROM lockstep.history WHERE sequence = 1",
    ],
)
def test_a_changed_history_shows(sql: str, any_database: Database, pod: Pod) -> None:
    taken_up(any_database, pod)
    any_database.query(sql)
    ended = pod.run(order(ONE, TWO), keys_of(any_database))
    assert (ended.code, ended.result.reason) == (30, Reason.LEDGER_INVALID)


@pytest.mark.parametrize(
    "body", ["'forged'", "body || 'more'", "(SELECT body FROM lockstep.texts WHERE checksum <> %)"]
)
def test_a_changed_text_shows(body: str, any_database: Database, pod: Pod) -> None:
    both = replace(ONE, down="DROP TABLE t", down_checksum=checksum("DROP TABLE t"))
    assert pod.run(order(both), keys_of(any_database)).code == 0
    down = f"'{both.down_checksum}'"
    any_database.query(f"UPDATE lockstep.texts SET body = {body.replace('%', down)} WHERE checksum = {down}")
    # Without its Migration: the ledger's text is what would run.
    ended = pod.run(order(target="base", policy=Policy(rollback="Allow")), keys_of(any_database))
    assert (ended.code, ended.result.reason) == (30, Reason.LEDGER_INVALID), ended.text
    assert any_database.query("SELECT to_regclass('t') IS NULL") == [(False,)]


def test_what_the_databases_encoding_has_not_is_named(server: Postgres, pod: Pod) -> None:
    """Descriptions go into the ledger, which is as the database is."""
    server.admin(f"CREATE DATABASE latin OWNER {APP} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    latin = Database(server, "latin")
    try:
        one = migration("1", "CREATE TABLE t ()", description="größer")
        two = migration("2", "CREATE TABLE u ()", description="大きい")
        ended = pod.run(order(one, two), keys_of(latin))
        assert (ended.result.reason, ended.result.version) == (Reason.STATEMENT_REFUSED, "1"), ended.text
        assert "spec.description" in ended.result.message
        assert pod.run(order(one, replace(two, description="")), keys_of(latin)).code == 0
    finally:
        server.drop(latin)


def test_a_name_that_is_no_text_is_said(server: Postgres, pod: Pod) -> None:
    server.admin(f"CREATE DATABASE bytes OWNER {APP} TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    database = Database(server, "bytes")
    try:
        with database.connect() as connection:
            connection.execute(b'CREATE TABLE "t\xe4" ()')
        ended = pod.run(order(migration("1", "SELECT 1")), keys_of(database))
        assert ended.result.reason is Reason.ENGINE_NOT_SUPPORTED, ended.text
        assert "no UTF-8" in ended.result.message
    finally:
        server.drop(database)
