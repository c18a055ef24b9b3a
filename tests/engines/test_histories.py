"""The history tables of other tools, as the tools make them: recorded ones, and those that run here."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from engines.histories import tools
from engines.histories.asking import HERE, On, OnMariadb, OnPostgresql, OnSqlite, recorded
from engines.histories.record import RECORDINGS, Recording
from engines.histories.scratch import Servers
from lockstep.api.reasons import Reason
from lockstep.api.schemaversion import Adopt
from lockstep.engines.histories import HISTORIES, Found, look
from lockstep.planning.adoption import ForeignRow, adopt
from lockstep.planning.plan import Candidate, Refusal
from lockstep.planning.version import Version
from servers.postgres import Database

Expected = list[tuple[str, str | None]]
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
    """An empty database of the engine that the parameter names."""
    if request.param == "postgresql":
        return OnPostgresql(request.getfixturevalue("database"))
    if request.param == "mariadb":
        return OnMariadb(request.getfixturevalue("maria_database"))
    return OnSqlite(tmp_path / "database.db")


@pytest.fixture
def postgresql(database: Database) -> OnPostgresql:
    return OnPostgresql(database)


def load(on: On, name: str, engine: str) -> None:
    if name == "flyway-schema":
        on.load("CREATE SCHEMA app")
    on.load(recorded(name, engine))


def see(on: On, tool: str, table: str | None = None, line: str = "orders") -> Found | Refusal:
    with on.asking() as ask:
        return look(tool, table, line, ask, on.dialect)


def found(on: On, tool: str, table: str | None = None, line: str = "orders") -> Found:
    seen = see(on, tool, table, line)
    assert isinstance(seen, Found), seen
    return seen


def refused(on: On, tool: str, table: str | None = None, line: str = "orders") -> str:
    seen = see(on, tool, table, line)
    assert isinstance(seen, Refusal), seen
    assert seen.reason is Reason.ADOPTION_FAILED
    return seen.message


def pairs(rows: Sequence[ForeignRow]) -> Expected:
    return [(row.identity, None if row.version is None else row.version.canonical) for row in rows]


def candidate(version: str, *adopts: str) -> Candidate:
    return Candidate(f"m-{version}", Version.parse(version), "up", adopts=adopts)


def adopted(seen: Found, tool: str, *candidates: Candidate) -> list[tuple[str, str | None]]:
    result = adopt("orders", tool, seen.rows, candidates, cumulative=seen.cumulative)
    assert not isinstance(result, Refusal), result.message
    return [(each.version.text, each.name) for each in result]


def not_adopted(seen: Found, tool: str, *candidates: Candidate) -> str:
    result = adopt("orders", tool, seen.rows, candidates, cumulative=seen.cumulative)
    assert isinstance(result, Refusal), result
    return result.message


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
    assert len(adopted(found(postgresql, "flyway"), "flyway")) == 3


def test_goose_adopts_what_is_up_by_its_last_row(postgresql: OnPostgresql) -> None:
    load(postgresql, "goose-old", "postgresql")
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
    postgresql.load("CREATE SCHEMA app; CREATE TABLE app.knex_migrations_lock (index int, is_locked int)")
    postgresql.load("INSERT INTO app.knex_migrations_lock VALUES (1, 1)")
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
    load(postgresql, "flyway", "postgresql")
    assert found(postgresql, "flyway").table == "public.flyway_schema_history"


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


# Alembic and Django run here.

ENV = """
import json, os
from alembic import context
from sqlalchemy import URL, create_engine
with create_engine(URL.create(**json.loads(os.environ["DATABASE"]))).connect() as connection:
    context.configure(connection=connection, **json.loads(os.environ["OPTIONS"]))
    with context.begin_transaction():
        context.run_migrations()
"""
REVISION = """
from alembic import op
revision, down_revision, branch_labels, depends_on = {revision!r}, {down!r}, None, None
def upgrade():
    op.execute("CREATE TABLE t{revision} (id int)")
def downgrade():
    op.execute("DROP TABLE t{revision}")
"""
CHAIN = {"ae1027a6acf0": None, "201234567890": "ae1027a6acf0", "b0917f2c6d11": "201234567890"}
"""Revisions and those before them; the second happens to be decimal."""


class Alembic:
    """Alembic with revisions of our own on one database."""

    def __init__(self, on: On, folder: Path, revisions: dict[str, str | None], **options: str) -> None:
        self._folder = folder / "alembic"
        (self._folder / "versions").mkdir(parents=True)
        (self._folder / "env.py").write_text(ENV)
        for revision, down in revisions.items():
            text = REVISION.format(revision=revision, down=down)
            (self._folder / "versions" / f"r{revision}.py").write_text(text)
        (self._folder / "alembic.ini").write_text(f"[alembic]\nscript_location = {self._folder}\n")
        self._environment = {"DATABASE": json.dumps(_sqlalchemy(on)), "OPTIONS": json.dumps(options)}

    def __call__(self, *words: str) -> None:
        run([sys.executable, "-m", "alembic", *words], self._folder, self._environment)


def _sqlalchemy(on: On) -> dict[str, Any]:
    if isinstance(on, OnSqlite):
        return {"drivername": "sqlite", "database": str(on.path)}
    params = dict(on.database.params)
    return {
        "drivername": "postgresql+psycopg" if isinstance(on, OnPostgresql) else "mysql+pymysql",
        "host": params["host"],
        "port": int(params["port"]),
        "username": params["user"],
        "password": params["password"],
        "database": params.get("dbname") or params["database"],
    }


def run(words: list[str], folder: Path, environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        words, cwd=folder, check=False, capture_output=True, text=True, env=os.environ | (environment or {})
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("on", ["postgresql", "mariadb", "sqlite"], indirect=True)
def test_alembic_stands_for_everything_before_its_head(on: On, tmp_path: Path) -> None:
    alembic = Alembic(on, tmp_path, CHAIN)
    alembic("upgrade", "201234567890")
    seen = found(on, "alembic")
    # Decimal by chance: no number.
    assert pairs(seen.rows) == [("201234567890", None)]
    line = [candidate("1", "ae1027a6acf0"), candidate("2", "201234567890"), candidate("3", "b0917f2c6d11")]
    assert adopted(seen, "alembic", *line) == [("1", "m-1"), ("2", "m-2")]
    assert 'spec.adopts: ["201234567890"]' in not_adopted(seen, "alembic", candidate("1"), candidate("2"))
    alembic("upgrade", "head")
    assert len(adopted(found(on, "alembic"), "alembic", *line)) == 3
    alembic("downgrade", "base")
    assert "spec.baseline" in not_adopted(found(on, "alembic"), "alembic", *line)


def test_alembic_with_numbers_for_revisions(postgresql: OnPostgresql, tmp_path: Path) -> None:
    Alembic(postgresql, tmp_path, {"0001": None, "0002": "0001"})("upgrade", "head")
    line = [candidate("1"), candidate("2"), candidate("3")]
    assert adopted(found(postgresql, "alembic"), "alembic", *line) == [("1", "m-1"), ("2", "m-2")]


def test_alembic_at_several_heads_is_refused(postgresql: OnPostgresql, tmp_path: Path) -> None:
    Alembic(postgresql, tmp_path, {"aaaa": None, "bbbb": "aaaa", "cccc": "aaaa"})("upgrade", "heads")
    line = [candidate("1", "aaaa"), candidate("2", "bbbb"), candidate("3", "cccc")]
    assert "bbbb, cccc" in not_adopted(found(postgresql, "alembic"), "alembic", *line)


def test_alembic_with_a_table_of_another_name_and_schema(postgresql: OnPostgresql, tmp_path: Path) -> None:
    postgresql.load("CREATE SCHEMA app")
    Alembic(postgresql, tmp_path, CHAIN, version_table="Versions", version_table_schema="app")("upgrade", "head")
    assert pairs(found(postgresql, "alembic", "app.Versions").rows) == [("b0917f2c6d11", None)]
    assert pairs(found(postgresql, "alembic", "Versions").rows) == [("b0917f2c6d11", None)]


MODEL = """
from django.db import migrations, models
class Migration(migrations.Migration):
    dependencies = {dependencies}
    replaces = {replaces}
    operations = {operations}
"""
MAKE = (
    "[migrations.CreateModel('User', [('id', models.BigAutoField(primary_key=True))])]",
    "[migrations.AddField('User', 'name', models.TextField(default=''))]",
)


class Django:
    """Django with an app called shop on one database."""

    def __init__(self, on: On, folder: Path) -> None:
        self._folder = folder / "django"
        self.migrations = self._folder / "shop" / "migrations"
        self.migrations.mkdir(parents=True)
        for package in (self.migrations, self.migrations.parent):
            (package / "__init__.py").write_text("")
        self._database = json.dumps(_django(on))
        self.write("0001_initial", MAKE[0])
        self.write("0002_user_name", MAKE[1], after="0001_initial")

    def write(self, name: str, operations: str, *, after: str | None = None, replaces: Sequence[str] = ()) -> None:
        dependencies = [("shop", after)] if after else []
        text = MODEL.format(
            dependencies=dependencies, replaces=[("shop", each) for each in replaces], operations=operations
        )
        (self.migrations / f"{name}.py").write_text(text)

    def __call__(self, *words: str) -> None:
        script = [sys.executable, "-B", str(HERE / "run_django.py"), self._database, str(self._folder)]
        run([*script, json.dumps(words)], self._folder)


def _django(on: On) -> dict[str, Any]:
    if isinstance(on, OnSqlite):
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(on.path)}
    assert isinstance(on, OnPostgresql)
    params = on.database.params
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": params["dbname"],
        "HOST": params["host"],
        "PORT": params["port"],
        "USER": params["user"],
        "PASSWORD": params["password"],
    }


@pytest.mark.parametrize("on", ["postgresql", "sqlite"], indirect=True)
def test_django_by_the_app_of_the_lines_name(on: On, tmp_path: Path) -> None:
    Django(on, tmp_path)("migrate")
    seen = found(on, "django", line="shop")
    assert pairs(seen.rows) == [("0001_initial", "1"), ("0002_user_name", "2")]
    line = [candidate("0001"), candidate("5", "shop.0002_user_name"), candidate("6")]
    assert adopted(seen, "django", *line) == [("0001", "m-0001"), ("5", "m-5")]
    message = refused(on, "django", line="orders")
    assert "no migration of an app 'orders', but of contenttypes, shop" in message


@pytest.mark.parametrize("on", ["postgresql", "sqlite"], indirect=True)
def test_django_squashed_before_and_after_the_pruning(on: On, tmp_path: Path) -> None:
    django = Django(on, tmp_path)
    django("migrate")
    squashed, parts = "0001_squashed_0002_user_name", ["0001_initial", "0002_user_name"]
    operations = f"{MAKE[0]} + {MAKE[1]}"
    django.write(squashed, operations, replaces=parts)
    django.write("0003_more", "[]", after=squashed)
    django("migrate")
    # All three rows are there; those of the parts count.
    assert pairs(found(on, "django", line="shop").rows) == [
        ("0001_initial", "1"),
        ("0002_user_name", "2"),
        ("0003_more", "3"),
    ]
    for part in parts:
        (django.migrations / f"{part}.py").unlink()
    django.write(squashed, operations)
    django("migrate", "shop", "--prune")
    seen = found(on, "django", line="shop")
    assert sorted(pairs(seen.rows)) == [(squashed, "2"), ("0003_more", "3")]
    line = [candidate("1"), candidate("2"), candidate("3"), candidate("4")]
    assert [version for version, _ in adopted(seen, "django", *line)] == ["1", "2", "3"]


def test_django_a_line_may_write_an_underscore_as_a_hyphen(postgresql: OnPostgresql, tmp_path: Path) -> None:
    Django(postgresql, tmp_path)("migrate")
    postgresql.load("UPDATE django_migrations SET app = 'web_shop' WHERE app = 'shop'")
    assert len(found(postgresql, "django", line="web-shop").rows) == 2


def test_django_two_of_one_number_are_told_apart_by_name(postgresql: OnPostgresql, tmp_path: Path) -> None:
    Django(postgresql, tmp_path)("migrate")
    postgresql.load("INSERT INTO django_migrations (app, name, applied) VALUES ('shop', '0002_other', now())")
    seen = found(postgresql, "django", line="shop")
    assert "0002_user_name, 0002_other" in not_adopted(seen, "django", candidate("1"), candidate("2"))
    line = [candidate("1"), candidate("2.1", "0002_user_name"), candidate("2.2", "0002_other")]
    assert [version for version, _ in adopted(seen, "django", *line)] == ["1", "2.1", "2.2"]


# The recordings made anew, where the tools are (record.py installs them).


@pytest.fixture(scope="module")
def scratch_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with Servers(tmp_path_factory.mktemp("scratch")).running() as running:
        yield running


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.name)
def test_the_tools_of_this_machine_make_the_same(
    recording: Recording, scratch_servers: Servers, tmp_path: Path
) -> None:
    if not tools.has(recording.needs):
        pytest.skip(f"{recording.tool} is not here; tests/engines/histories/record.py installs it")
    for engine in recording.engines:
        folder = tmp_path / engine
        folder.mkdir()
        text = recording.record(scratch_servers.database(engine), folder)
        assert steady(text) == steady(recorded(recording.name, engine))


def steady(text: str) -> str:
    """Return a recording without what differs from time to time: dates, durations, identities made of them."""
    text = re.sub(r"'2[0-9]{3}-[0-9]{2}-[0-9]{2} [^']*'|\b17[0-9]{11}\b", "<date>", text)
    text = re.sub(r"'(recorder|[0-9]{10})'", "<who>", text)
    return re.sub(r"<date>, ?[0-9]+, ?(true|false|0|1)\)", r"<date>, <duration>, \1)", text)
