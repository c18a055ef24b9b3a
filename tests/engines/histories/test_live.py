"""Alembic and Django, which run here."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from engines.histories.asking import HERE, On, OnPostgresql, OnSqlite
from engines.histories.seeing import adopted, candidate, found, not_adopted, pairs, place, refused
from servers.postgres import Database


@pytest.fixture
def on(request: pytest.FixtureRequest, tmp_path: Path) -> On:
    return place(request, tmp_path)


@pytest.fixture
def postgresql(database: Database) -> OnPostgresql:
    return OnPostgresql(database)


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
