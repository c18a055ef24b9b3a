"""The history tables of other tools, as the tools have made them (tests/engines/histories/*.sql)."""

from pathlib import Path

import pytest

from engines.histories.asking import HERE, On, OnPostgresql, recorded
from engines.histories.record import RECORDINGS
from engines.histories.seeing import (
    Expected,
    adopted,
    candidate,
    found,
    load,
    not_adopted,
    pairs,
    place,
    refused,
)
from lockstep.api.schemaversion import Adopt
from lockstep.engines.histories import HISTORIES, Found, look
from lockstep.engines.histories.base import Reader, tables
from lockstep.planning.plan import Refusal
from servers.postgres import Database

ONE_TWO: Expected = [("1", "1"), ("2", "2")]
TWO_DATES: Expected = [("20260101120000", "20260101120000"), ("20260102120000", "20260102120000")]

ROWS: dict[str, tuple[str, Expected]] = {
    "flyway": ("flyway", [*ONE_TWO, ("2.1", "2.1")]),
    "flyway-old-name": ("flyway", [*ONE_TWO, ("2.1", "2.1")]),
    "flyway-baseline": ("flyway", [("2", "2"), ("2.1", "2.1")]),
    "flyway-failed": ("flyway", [*ONE_TWO, ("2.1", "2.1"), ("3", "3")]),
    "flyway-deleted": ("flyway", [("1", "1"), ("2.1", "2.1")]),
    "flyway-schema": ("flyway", [*ONE_TWO, ("2.1", "2.1")]),
    "liquibase": ("liquibase", [*ONE_TWO, ("3", "3"), ("add-name", None), ("5", "5")]),
    "liquibase-files": ("liquibase", [("1::ann::users.xml", None), ("1::ann::orders.xml", None), ("2", None)]),
    "liquibase-tagged": ("liquibase", []),
    "liquibase-locked": ("liquibase", [("databasechangeloglock", None)]),
    "rails": ("rails", [("1", "1"), ("20260102120000", "20260102120000")]),
    "knex": (
        "knex",
        [
            ("20260101120000_create_users.js", "20260101120000"),
            ("20260102120000_add_name.js", "20260102120000"),
        ],
    ),
    "knex-locked": ("knex", [("knex_migrations_lock", None)]),
    "golang-migrate": ("golang-migrate", [("10", "10")]),
    "golang-migrate-dirty": ("golang-migrate", [("10", "10")]),
    "golang-migrate-empty": ("golang-migrate", []),
    "goose": ("goose", ONE_TWO),
    "goose-old": ("goose", ONE_TWO),
    "dbmate": ("dbmate", TWO_DATES),
    # .NET cannot be had here: these two are written by hand.
    "efcore": (
        "efcore",
        [("20260101120000_CreateUsers", "20260101120000"), ("20260102120000_AddName", "20260102120000")],
    ),
    "efcore-snake-case": (
        "efcore",
        [("20260101120000_CreateUsers", "20260101120000"), ("20260102120000_AddName", "20260102120000")],
    ),
}
"""The tool of each recording, and what its rows are: identity and version."""

PROBLEMS = {
    "flyway-failed": ("3", "failed: take away what it has left, then run `flyway repair`"),
    "liquibase-locked": ("databasechangeloglock", "is locked"),
    "knex-locked": ("knex_migrations_lock", "is locked"),
    "golang-migrate-dirty": ("10", "is dirty"),
}
FILES = sorted(HERE.glob("*.sql"))


def words_of(path: Path) -> tuple[str, str]:
    name, engine, _ = path.name.split(".")
    return name, engine


@pytest.fixture
def on(request: pytest.FixtureRequest, tmp_path: Path) -> On:
    return place(request, tmp_path)


@pytest.fixture
def postgresql(database: Database) -> OnPostgresql:
    return OnPostgresql(database)


def test_every_tool_of_the_api_is_known() -> None:
    words = Adopt.model_fields["history"].annotation
    assert set(HISTORIES) == set(getattr(words, "__args__", ()))


def test_every_recording_is_used() -> None:
    assert {words_of(path)[0] for path in FILES} == set(ROWS)
    made = {recording.path(engine) for recording in RECORDINGS for engine in recording.engines}
    assert made == {path for path in FILES if not path.name.startswith("efcore")}


@pytest.mark.parametrize(
    ("on", "path"),
    [pytest.param(words_of(path)[1], path, id=path.name.removesuffix(".sql")) for path in FILES],
    indirect=["on"],
)
def test_a_history_is_read_as_the_tool_has_made_it(on: On, path: Path) -> None:
    name, engine = words_of(path)
    load(on, name, engine)
    tool, expected = ROWS[name]
    seen = found(on, tool)
    assert [(identity.lower() if "lock" in name else identity, v) for identity, v in pairs(seen.rows)] == expected
    problems = [(row.identity.lower(), row.problem) for row in seen.rows if row.problem is not None]
    assert bool(problems) == (name in PROBLEMS)
    if problems:
        ((identity, problem),) = problems
        assert identity == PROBLEMS[name][0]
        assert problem is not None
        assert problem.startswith(PROBLEMS[name][1])
        assert PROBLEMS[name][0] in not_adopted(seen, tool).lower()


@pytest.mark.parametrize("name", ["flyway", "liquibase", "rails"])
def test_every_postgresql_is_asked_the_same(any_database: Database, name: str) -> None:
    on = OnPostgresql(any_database)
    load(on, name, "postgresql")
    assert pairs(found(on, name).rows) == ROWS[name][1]


@pytest.mark.parametrize("on", ["postgresql", "mariadb"], indirect=True)
def test_liquibase_by_id_or_by_the_whole_name(on: On, request: pytest.FixtureRequest) -> None:
    load(on, "liquibase", request.node.callspec.params["on"])
    seen = found(on, "liquibase")
    line = [candidate("1"), candidate("2"), candidate("3"), candidate("5")]
    assert adopted(seen, "liquibase", *line, candidate("4", "add-name"))[3] == ("4", "m-4")
    assert adopted(seen, "liquibase", *line, candidate("4", "add-name::bob::changes.xml"))[3] == ("4", "m-4")
    assert 'spec.adopts: ["add-name"]' in not_adopted(seen, "liquibase", *line)
    assert "add-name" in not_adopted(seen, "liquibase", *line, candidate("4", "add-name::ann::changes.xml"))


def test_liquibase_ids_that_several_files_share_need_the_whole_name(postgresql: OnPostgresql) -> None:
    load(postgresql, "liquibase-files", "postgresql")
    seen = found(postgresql, "liquibase")
    users, orders = "1::ann::users.xml", "1::ann::orders.xml"
    assert users in not_adopted(seen, "liquibase", candidate("1"), candidate("2"))
    line = [candidate("1", users), candidate("2", orders), candidate("3", "2")]
    assert [version for version, _ in adopted(seen, "liquibase", *line)] == ["1", "2", "3"]


def test_a_changeset_recorded_as_failed_is_refused(postgresql: OnPostgresql) -> None:
    load(postgresql, "liquibase", "postgresql")
    # By hand: Liquibase of today leaves no row of what failed.
    postgresql.load("UPDATE public.databasechangelog SET exectype = 'FAILED' WHERE id = '2'")
    assert "2 is recorded as FAILED" in not_adopted(found(postgresql, "liquibase"), "liquibase")


def test_flyway_a_baseline_covers_what_was_before_it(postgresql: OnPostgresql) -> None:
    load(postgresql, "flyway-baseline", "postgresql")
    seen = found(postgresql, "flyway")
    assert [row.covers for row in seen.rows] == [True, False]
    line = [candidate("1"), candidate("2"), candidate("2.1"), candidate("3")]
    assert adopted(seen, "flyway", *line) == [("1", "m-1"), ("2", "m-2"), ("2.1", "m-2.1")]


def test_flyway_by_the_name_of_the_script(postgresql: OnPostgresql) -> None:
    load(postgresql, "flyway", "postgresql")
    line = [candidate("10", "V1__create_users.sql"), candidate("11", "2"), candidate("12", "V2.1__add_name.sql")]
    assert [version for version, _ in adopted(found(postgresql, "flyway"), "flyway", *line)] == ["10", "11", "12"]


@pytest.mark.parametrize(
    ("kind", "success", "expected"),
    [
        # Undoing is not in the edition that can be had: its rows are written by hand, as documented.
        ("UNDO_SQL", "true", [("1", "1"), ("2", "2")]),
        ("UNDO_SQL", "false", [("1", "1"), ("2", "2"), ("2.1", "2.1")]),
        ("SQL", "true", [("1", "1"), ("2", "2"), ("2.1", "2.1")]),
    ],
)
def test_flyway_the_last_row_of_a_version_counts(
    postgresql: OnPostgresql, kind: str, success: str, expected: Expected
) -> None:
    load(postgresql, "flyway", "postgresql")
    postgresql.load(
        "INSERT INTO public.flyway_schema_history VALUES "
        f"(10, '2.1', 'add name', '{kind}', 'U2.1__add_name.sql', 1, 'recorder', now(), 1, {success})"
    )
    seen = found(postgresql, "flyway")
    assert pairs(seen.rows) == expected
    assert [row.identity for row in seen.rows if row.problem] == (["2.1"] if success == "false" else [])


def test_flyway_a_failed_repeatable_is_refused_until_it_has_run(postgresql: OnPostgresql) -> None:
    load(postgresql, "flyway", "postgresql")
    again = (
        "INSERT INTO public.flyway_schema_history VALUES "
        "({}, NULL, 'names', 'SQL', 'R__names.sql', 2, 'recorder', now(), 1, {})"
    )
    postgresql.load(again.format(9, "false"))
    assert "R__names.sql failed" in not_adopted(found(postgresql, "flyway"), "flyway")
    # As text 10 is before 9.
    postgresql.load(again.format(10, "true"))
    # A row that was written anew comes last where no order is asked for.
    postgresql.load("UPDATE public.flyway_schema_history SET checksum = 3 WHERE installed_rank = 9")
    assert len(adopted(found(postgresql, "flyway"), "flyway")) == 3


def test_goose_adopts_what_is_up_by_its_last_row(postgresql: OnPostgresql) -> None:
    load(postgresql, "goose-old", "postgresql")
    # A row that was written anew comes last where no order is asked for.
    postgresql.load("UPDATE public.goose_db_version SET tstamp = now() WHERE id = 6")
    line = [candidate("1"), candidate("2"), candidate("20260101120000")]
    assert adopted(found(postgresql, "goose"), "goose", *line) == [("1", "m-1"), ("2", "m-2")]


def test_golang_migrate_stands_for_everything_up_to_its_place(postgresql: OnPostgresql) -> None:
    load(postgresql, "golang-migrate", "postgresql")
    # What migrations of an application add to the table does not matter.
    postgresql.load("ALTER TABLE public.schema_migrations ADD COLUMN data_version int")
    line = [candidate("0001"), candidate("0002"), candidate("0010"), candidate("0011")]
    assert len(adopted(found(postgresql, "golang-migrate"), "golang-migrate", *line)) == 3


def test_an_empty_history_is_refused(postgresql: OnPostgresql) -> None:
    load(postgresql, "golang-migrate-empty", "postgresql")
    assert "spec.baseline" in not_adopted(found(postgresql, "golang-migrate"), "golang-migrate", candidate("1"))


def test_a_lock_that_was_let_go_is_no_problem(postgresql: OnPostgresql) -> None:
    load(postgresql, "knex-locked", "postgresql")
    postgresql.load("UPDATE public.knex_migrations_lock SET is_locked = 0")
    assert pairs(found(postgresql, "knex").rows) == ROWS["knex"][1]


def test_knex_by_the_name_of_the_file(postgresql: OnPostgresql) -> None:
    load(postgresql, "knex", "postgresql")
    line = [candidate("1", "20260101120000_create_users"), candidate("2", "20260102120000_add_name.js")]
    assert [version for version, _ in adopted(found(postgresql, "knex"), "knex", *line)] == ["1", "2"]


@pytest.mark.parametrize("on", ["postgresql", "mariadb", "sqlite"], indirect=True)
def test_a_table_that_is_not_there_is_refused_with_what_was_looked_for(on: On) -> None:
    for tool, history in HISTORIES.items():
        message = refused(on, tool)
        assert f"no history of {tool} was found" in message
        assert history.tables[0] in message
    assert "no table elsewhere" in refused(on, "flyway", "elsewhere")


@pytest.mark.parametrize("on", ["postgresql", "mariadb", "sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("made_by", "said", "named"),
    [
        ("golang-migrate", "rails", "golang-migrate"),
        ("golang-migrate", "dbmate", "golang-migrate"),
        ("rails", "golang-migrate", "rails and dbmate"),
        ("rails", "dbmate", "rails"),
        ("dbmate", "golang-migrate", "rails and dbmate"),
    ],
)
def test_another_tools_table_of_the_same_name_is_refused(
    on: On, made_by: str, said: str, named: str, request: pytest.FixtureRequest
) -> None:
    engine = request.node.callspec.params["on"]
    if made_by == "golang-migrate" and engine == "sqlite":
        on.load(
            "CREATE TABLE schema_migrations (version uint64, dirty bool); INSERT INTO schema_migrations VALUES (1, 0)"
        )
    else:
        load(on, made_by, engine)
    message = refused(on, said)
    assert named in message
    assert "spec.adopt.history" in message


def test_a_table_of_no_known_tool_is_refused_with_its_columns(postgresql: OnPostgresql) -> None:
    postgresql.load("CREATE TABLE schema_migrations (filename text)")
    message = refused(postgresql, "rails")
    assert "public.schema_migrations is no history of rails: its columns are filename" in message


def test_a_view_is_not_asked(postgresql: OnPostgresql) -> None:
    postgresql.load("CREATE VIEW schema_migrations AS SELECT 1 / 0 AS version")
    assert "no history of rails was found" in refused(postgresql, "rails")


@pytest.mark.parametrize("on", ["postgresql", "mariadb", "sqlite"], indirect=True)
def test_a_table_may_have_another_name(on: On, request: pytest.FixtureRequest) -> None:
    engine = request.node.callspec.params["on"]
    odd = {"postgresql": 'Odd "name" %s $1.x', "mariadb": "Odd `name` %s $1", "sqlite": 'Odd "name" %s $1.x'}[engine]
    text = recorded("goose", engine)
    on.load(text)
    quoted = on.dialect.quote(odd)
    on.load(f"ALTER TABLE {'public.' if engine == 'postgresql' else ''}goose_db_version RENAME TO {quoted}")
    assert "no history of goose was found" in refused(on, "goose")
    assert pairs(found(on, "goose", odd).rows) == ONE_TWO
    if engine == "postgresql":
        assert found(on, "goose", f"public.{odd}").table == f"public.{odd}"
        assert "no table other." in refused(on, "goose", f"other.{odd}")


@pytest.mark.parametrize("on", ["postgresql", "mariadb", "sqlite"], indirect=True)
def test_a_name_in_another_case_is_another_name(on: On) -> None:
    on.load(f"CREATE TABLE {on.dialect.quote('GOOSE_DB_VERSION')} (id int, version_id int, is_applied int, tstamp int)")
    assert "no history of goose was found" in refused(on, "goose")


@pytest.mark.parametrize("on", ["postgresql", "mariadb", "sqlite"], indirect=True)
def test_rows_come_in_the_order_of_the_column_and_not_of_its_text(on: On) -> None:
    on.load("CREATE TABLE numbers (id int)")
    on.load("INSERT INTO numbers VALUES (10), (9), (100)")
    with on.asking() as ask:
        (table,) = tables(ask, on.dialect, ["numbers"])
        rows = Reader(ask, on.dialect, table).rows("id", order=["id"])
    assert rows == [("9",), ("10",), ("100",)]


def test_several_schemas_are_refused_unless_one_is_named(postgresql: OnPostgresql) -> None:
    postgresql.load("CREATE SCHEMA app")
    load(postgresql, "goose", "postgresql")
    postgresql.load(recorded("goose-old", "postgresql").replace("public.", "app."))
    postgresql.load("DELETE FROM app.goose_db_version WHERE version_id = 2")
    assert "public.goose_db_version, app.goose_db_version" in refused(postgresql, "goose")
    assert "2 schemas" in refused(postgresql, "goose", "goose_db_version")
    assert pairs(found(postgresql, "goose", "app.goose_db_version").rows) == [("1", "1")]
    assert pairs(found(postgresql, "goose", "public.goose_db_version").rows) == ONE_TWO


def test_the_lock_that_counts_is_the_one_in_the_same_schema(postgresql: OnPostgresql) -> None:
    load(postgresql, "knex", "postgresql")
    for schema in ("app", "zoo"):
        postgresql.load(
            f"CREATE SCHEMA {schema}; CREATE TABLE {schema}.knex_migrations_lock (index int, is_locked int)"
        )
        postgresql.load(f"INSERT INTO {schema}.knex_migrations_lock VALUES (1, 1)")
    assert [row.problem for row in found(postgresql, "knex").rows] == [None, None]


def test_of_two_tables_in_several_schemas_the_one_that_fits_is_taken(postgresql: OnPostgresql) -> None:
    load(postgresql, "golang-migrate", "postgresql")
    postgresql.load("CREATE SCHEMA app")
    postgresql.load(recorded("rails", "postgresql").replace("public.", "app."))
    assert found(postgresql, "golang-migrate").table == "public.schema_migrations"
    assert found(postgresql, "rails").table == "app.schema_migrations"


def test_the_newest_of_a_tools_names_comes_first(postgresql: OnPostgresql) -> None:
    load(postgresql, "flyway-old-name", "postgresql")
    assert found(postgresql, "flyway").table == "public.schema_version"
    load(postgresql, "flyway-schema", "postgresql")
    assert found(postgresql, "flyway").table == "app.flyway_schema_history"


def test_nothing_of_the_application_is_called_while_reading(postgresql: OnPostgresql) -> None:
    load(postgresql, "flyway", "postgresql")
    load(postgresql, "rails", "postgresql")
    hostile = "CREATE SCHEMA evil;\n"
    # Operators and types that come first where a name is not qualified.
    for number, (left, operator, right, commutes) in enumerate(
        [
            ("name", "=", "text", "bool"),
            ("text", "=", "text", "bool"),
            ("oid", "=", "oid", "bool"),
            ('"char"', "=", '"char"', "bool"),
            ('"char"', "<>", '"char"', "bool"),
            ("smallint", ">", "smallint", "bool"),
            ("smallint", ">", "integer", "bool"),
        ]
    ):
        hostile += (
            f"CREATE FUNCTION evil.f{number}({left}, {right}) RETURNS {commutes} LANGUAGE plpgsql "
            "AS $$BEGIN RAISE 'called'; END$$;\n"
            f"CREATE OPERATOR evil.{operator} (FUNCTION = evil.f{number}, LEFTARG = {left}, RIGHTARG = {right});\n"
        )
    hostile += "CREATE DOMAIN evil.text AS pg_catalog.text CHECK (pg_catalog.random() < 0);\n"
    hostile += "CREATE TABLE evil.pg_class (oid oid, relname name);\n"
    postgresql.load(hostile)
    with postgresql.asking("evil, pg_catalog") as ask:
        for tool, table in (("flyway", None), ("rails", "public.schema_migrations"), ("knex", None), ("dbmate", None)):
            seen = look(tool, table, "orders", ask, postgresql.dialect)
            if tool in ("flyway", "rails"):
                assert isinstance(seen, Found)
                assert pairs(seen.rows) == ROWS[tool][1]
            else:
                assert isinstance(seen, Refusal)
