"""Other tools' projects, imported and run: what the database has then is what the tool would have made of the files."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lockstep.api.reasons import Reason
from lockstep.cli import importing
from lockstep.planning.wire import AdoptOrder, OrderedMigration, Policy
from servers.corpora import imported
from servers.postgres import Database, Postgres
from servers.runner import Pod, keys_of, order

FREE = Policy(rollback="Allow")
BY = "2026-08-01T12:00:00Z Ann Ex <ann@example.com>"


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def strip(folder: Path) -> list[OrderedMigration]:
    return imported(importing.make(folder, "orders", engine="postgresql", strip_transactions=True))


def by_hand(database: Database, text: str) -> None:
    """Run a file as its tool does: with the transactions that it has."""
    with closing(database.connect()) as connection:
        connection.execute(text)


def function(price: str) -> str:
    return (
        "BEGIN;\n\nCREATE OR REPLACE FUNCTION shop.price(n integer) RETURNS integer\n  LANGUAGE plpgsql AS $$\nBEGIN\n"
        f"  RETURN {price};\nEND;\n$$;\n\nCOMMIT;\n"
    )


SQITCH = {
    "sqitch.plan": "%syntax-version=1.0.0\n%project=shop\n\n"
    f"schema {BY} # Where all of it is.\nitems [schema] {BY}\nprice [items] {BY}\n@v1 {BY}\n\n"
    f"price [price@v1] {BY} # With a rebate.\n",
    "deploy/schema.sql": "-- Deploy shop:schema to pg\n\nBEGIN;\n\nCREATE SCHEMA shop;\n\nCOMMIT;\n",
    "revert/schema.sql": "-- Revert shop:schema from pg\n\nBEGIN;\n\nDROP SCHEMA shop;\n\nCOMMIT;\n",
    "deploy/items.sql": "BEGIN;\nCREATE TABLE shop.items (n integer PRIMARY KEY, name text);\n"
    "COPY shop.items FROM stdin;\n1\tCOMMIT;\n2\tBEGIN;\n\\.\nCOMMIT;\n",
    "revert/items.sql": "BEGIN;\nDROP TABLE shop.items;\nCOMMIT;\n",
    "deploy/price@v1.sql": function("n * 10"),
    "revert/price@v1.sql": "BEGIN;\nDROP FUNCTION shop.price(integer);\nCOMMIT;\n",
    "deploy/price.sql": function("n * 9"),
    "revert/price.sql": function("n * 10"),
}


def price(database: Database) -> object:
    return database.query("SELECT shop.price(2)")[0][0]


def test_a_sqitch_project_goes_up_and_down(database: Database, pod: Pod, tmp_path: Path) -> None:
    write(tmp_path / "theirs", SQITCH)
    wanted = strip(tmp_path / "theirs")
    ended = pod.run(order(*wanted, target="0003", policy=FREE), keys_of(database))
    assert (ended.code, ended.result.applied) == (0, 3), ended.text[-3000:]
    assert price(database) == 20
    assert database.query("SELECT name FROM shop.items ORDER BY n") == [("COMMIT;",), ("BEGIN;",)]
    assert pod.run(order(*wanted, policy=FREE), keys_of(database)).code == 0
    assert price(database) == 18
    # What takes a reworked change back makes the one before it.
    assert pod.run(order(*wanted, target="0003", policy=FREE), keys_of(database)).code == 0
    assert price(database) == 20
    ended = pod.run(order(*wanted, target="base", policy=FREE), keys_of(database))
    assert (ended.code, ended.result.version) == (0, "base"), ended.text[-3000:]
    assert database.query("SELECT 1 FROM pg_namespace WHERE nspname = 'shop'") == []


def test_a_database_of_sqitch_s_goes_on_from_its_baseline(database: Database, pod: Pod, tmp_path: Path) -> None:
    write(tmp_path / "theirs", SQITCH)
    for name in ("schema", "price@v1"):
        by_hand(database, SQITCH[f"deploy/{name}.sql"])
    by_hand(database, "CREATE SCHEMA sqitch; CREATE TABLE sqitch.changes (change_id text, change text)")
    wanted = strip(tmp_path / "theirs")
    assert pod.run(order(*wanted), keys_of(database)).result.reason is Reason.DATABASE_NOT_EMPTY
    ended = pod.run(order(*wanted, baseline="0003"), keys_of(database))
    assert (ended.code, ended.result.version) == (0, "0004"), ended.text[-3000:]
    assert price(database) == 18


def test_what_fails_is_at_its_line_of_the_file(database: Database, pod: Pod, tmp_path: Path) -> None:
    text = "-- Deploy\n\nBEGIN;\n\nSELECT 1;\nSELECT 1 / 0;\n\nCOMMIT;\n"
    write(tmp_path / "theirs", {"1_a.up.sql": text})
    ended = pod.run(order(*strip(tmp_path / "theirs")), keys_of(database)).result
    assert ended.error is not None
    assert (ended.error.statement, ended.error.line) == (2, 6)


FLYWAY = {
    "V1__items.sql": "CREATE TABLE items (n integer PRIMARY KEY);",
    "more/V2__name.sql": "ALTER TABLE items ADD COLUMN name text;",
    "B2__all.sql": "CREATE TABLE items (n integer PRIMARY KEY, name text);",
    "more/V3__price.sql": "ALTER TABLE items ADD COLUMN price integer;",
}
HISTORY = """
    CREATE TABLE flyway_schema_history (
        installed_rank integer PRIMARY KEY, version text, description text, type text, script text, checksum integer,
        success boolean);
"""
ADOPT = AdoptOrder("flyway")


@pytest.fixture
def databases(server: Postgres) -> Iterator[list[Database]]:
    """Three empty ones."""
    made = [server.database() for _ in range(3)]
    yield made
    for each in made:
        server.drop(each)


def columns(database: Database) -> list[str]:
    found = database.query("SELECT attname FROM pg_attribute WHERE attrelid = 'items'::regclass AND attnum > 0")
    return sorted(str(name) for (name,) in found)


def recorded(database: Database) -> list[tuple[object, ...]]:
    return database.query("SELECT version, direction FROM lockstep.history ORDER BY sequence")


def test_flyway_s_versions_are_right_whatever_a_database_began_with(
    databases: list[Database], pod: Pod, tmp_path: Path
) -> None:
    write(tmp_path / "theirs", FLYWAY)
    wanted = imported(importing.make(tmp_path / "theirs", "orders"))
    new, old, based = databases
    by_hand(old, f"{FLYWAY['V1__items.sql']}{HISTORY}")
    by_hand(old, "INSERT INTO flyway_schema_history VALUES (1, '1', 'items', 'SQL', 'V1__items.sql', 7, true)")
    by_hand(based, f"{FLYWAY['B2__all.sql']}{HISTORY}")
    by_hand(based, "INSERT INTO flyway_schema_history VALUES (1, '2', 'all', 'SQL_BASELINE', 'B2__all.sql', 7, true)")
    for each in databases:
        ended = pod.run(order(*wanted, adopt=ADOPT), keys_of(each))
        assert (ended.code, ended.result.version) == (0, "3"), ended.text[-3000:]
        assert columns(each) == ["n", "name", "price"]
    assert recorded(new) == [("1", "up"), ("2", "up"), ("3", "up")]
    assert recorded(old) == [("1", "adopt"), ("2", "up"), ("3", "up")]
    assert recorded(based) == [("1", "adopt"), ("2", "adopt"), ("3", "up")]


def test_flyway_s_baseline_is_where_a_new_database_begins(databases: list[Database], pod: Pod, tmp_path: Path) -> None:
    write(tmp_path / "theirs", {name: text for name, text in FLYWAY.items() if "V1" not in name and "V2" not in name})
    wanted = imported(importing.make(tmp_path / "theirs", "orders"))
    new, old, behind = databases
    for each, versions in ((old, "12"), (behind, "1")):
        by_hand(each, f"{FLYWAY['V1__items.sql']}{HISTORY}")
        for version in versions:
            row = f"({version}, '{version}', '', 'SQL', 'V{version}__x.sql', 7, true)"
            by_hand(each, f"INSERT INTO flyway_schema_history VALUES {row}")
    by_hand(old, FLYWAY["more/V2__name.sql"])
    for each in (new, old):
        ended = pod.run(order(*wanted, adopt=ADOPT), keys_of(each))
        assert (ended.code, ended.result.version) == (0, "3"), ended.text[-3000:]
        assert columns(each) == ["n", "name", "price"]
    assert recorded(new) == [("2", "up"), ("3", "up")]
    assert recorded(old) == [("1", "adopt"), ("2", "adopt"), ("3", "up")]
    # Here it is run, and finds the table: nothing of it is done.
    ended = pod.run(order(*wanted, adopt=ADOPT), keys_of(behind))
    assert ended.result.reason is Reason.STATEMENT_FAILED
    assert columns(behind) == ["n"]
