"""Each tool at work: a function takes an empty database and an empty folder, and leaves a history in the database."""

import json
import os
import subprocess
from pathlib import Path
from typing import Final

from engines.histories import tools
from engines.histories.scratch import USER, Scratch
from support.waiting import eventually

HERE: Final = Path(__file__).parent


def _write(folder: Path, texts: dict[str, str]) -> Path:
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def _run(words: list[str], *, fails: bool = False, folder: Path | None = None, **environment: str) -> str:
    done = subprocess.run(
        words, check=False, capture_output=True, text=True, cwd=folder, env={**os.environ, **environment}
    )
    if (done.returncode != 0) != fails:
        raise RuntimeError(f"{words[0]} ended with {done.returncode}: {done.stdout}\n{done.stderr}")
    return done.stdout


# Flyway

_FLYWAY: Final = {
    "V1__create_users.sql": "CREATE TABLE users (id int);",
    "V2__create_orders.sql": "CREATE TABLE orders (id int);",
    "V2.1__add_name.sql": "ALTER TABLE users ADD name varchar(50);",
    "R__names.sql": "CREATE OR REPLACE VIEW names AS SELECT name FROM users;",
}


def _flyway(scratch: Scratch, folder: Path, *words: str, fails: bool = False) -> None:
    settings = [f"url={scratch.jdbc}", f"user={USER}", f"password={USER}", f"locations=filesystem:{folder}"]
    _run(tools.java(str(HERE / "RunFlyway.java"), *settings, *words), fails=fails)


def flyway(scratch: Scratch, folder: Path) -> None:
    """Versions and a repeatable."""
    _flyway(scratch, _write(folder, _FLYWAY), "migrate")


def flyway_old_name(scratch: Scratch, folder: Path) -> None:
    """The table's name until Flyway 5."""
    _flyway(scratch, _write(folder, _FLYWAY), "table=schema_version", "migrate")


def flyway_baseline(scratch: Scratch, folder: Path) -> None:
    """A database that was there before Flyway came."""
    scratch.query("CREATE TABLE users (id int)")
    _flyway(scratch, _write(folder, _FLYWAY), "baselineVersion=2", "baseline", "migrate")


def flyway_failed(scratch: Scratch, folder: Path) -> None:
    """A script that fails, where the database cannot take it back."""
    fails = "CREATE TABLE left_over (id int);\nINSERT INTO nowhere VALUES (1);"
    if scratch.engine == "postgresql":
        fails = "CREATE UNIQUE INDEX CONCURRENTLY left_over ON nowhere (id);"
    _write(folder, _FLYWAY | {"V3__fails.sql": fails})
    _flyway(scratch, folder, "postgresql.transactional.lock=false", "migrate", fails=True)


def flyway_deleted(scratch: Scratch, folder: Path) -> None:
    """A script that is no longer there, and a repair."""
    _flyway(scratch, _write(folder, _FLYWAY), "migrate")
    (folder / "V2__create_orders.sql").unlink()
    _flyway(scratch, folder, "repair")


def flyway_schema(scratch: Scratch, folder: Path) -> None:
    """A schema that Flyway has made itself: a row that is no migration."""
    _flyway(scratch, _write(folder, _FLYWAY), "schemas=app", "createSchemas=true", "migrate")


# Liquibase

_HEAD: Final = """<?xml version="1.0" encoding="UTF-8"?>
<databaseChangeLog xmlns="http://www.liquibase.org/xml/ns/dbchangelog"
    xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
    xsi:schemaLocation="http://www.liquibase.org/xml/ns/dbchangelog
        http://www.liquibase.org/xml/ns/dbchangelog/dbchangelog-latest.xsd">
"""


def _change(identifier: str, sql: str, attributes: str = "", author: str = "ann") -> str:
    return f'<changeSet id="{identifier}" author="{author}" {attributes}>{sql}</changeSet>\n'


def _changelog(*changes: str) -> str:
    return _HEAD + "".join(changes) + "</databaseChangeLog>\n"


_UPDATE: Final = ("update", "--changelog-file=changes.xml")
_LIQUIBASE: Final = _changelog(
    _change("1", "<sql>CREATE TABLE users (id int)</sql>"),
    _change("2", "<sql>CREATE TABLE orders (id int)</sql>"),
    _change("release-1", '<tagDatabase tag="release-1"/>'),
    _change(
        "3",
        '<preConditions onFail="MARK_RAN"><not><tableExists tableName="users"/></not></preConditions>'
        "<sql>CREATE TABLE users (id int)</sql>",
    ),
    _change("add-name", "<sql>ALTER TABLE users ADD name varchar(50)</sql>", author="bob"),
    _change("5", "<sql>DELETE FROM orders WHERE id = 0</sql>", 'runAlways="true"'),
)


def _liquibase_words(scratch: Scratch, folder: Path, *words: str) -> list[str]:
    place = [f"--url={scratch.jdbc}", f"--username={USER}", f"--password={USER}"]
    client = ["liquibase.integration.commandline.LiquibaseCommandLine", "--show-banner=false"]
    return tools.java(*client, f"--search-path={folder}", words[0], *place, *words[1:])


def _liquibase(scratch: Scratch, folder: Path, *words: str, fails: bool = False) -> None:
    _run(_liquibase_words(scratch, folder, *words), fails=fails, folder=folder)


def liquibase(scratch: Scratch, folder: Path) -> None:
    """Numbers, a name, a tag, one that need not run, one that runs always, and a failing one that leaves no row."""
    _write(folder, {"changes.xml": _LIQUIBASE})
    _liquibase(scratch, folder, *_UPDATE)
    _liquibase(scratch, folder, *_UPDATE)
    fails = _change("6", "<sql>INSERT INTO nowhere VALUES (1)</sql>")
    _write(folder, {"changes.xml": _LIQUIBASE.replace("</databaseChangeLog>", fails + "</databaseChangeLog>")})
    _liquibase(scratch, folder, *_UPDATE, fails=True)


def liquibase_files(scratch: Scratch, folder: Path) -> None:
    """Two files that both count from 1."""
    _write(
        folder,
        {
            "changes.xml": _changelog('<include file="users.xml"/>', '<include file="orders.xml"/>'),
            "users.xml": _changelog(_change("1", "<sql>CREATE TABLE users (id int)</sql>")),
            "orders.xml": _changelog(
                _change("1", "<sql>CREATE TABLE orders (id int)</sql>"),
                _change("2", "<sql>ALTER TABLE orders ADD name varchar(50)</sql>"),
            ),
        },
    )
    _liquibase(scratch, folder, *_UPDATE)


def liquibase_tagged(scratch: Scratch, folder: Path) -> None:
    """A tag on an empty database: a row of Liquibase's own."""
    _liquibase(scratch, folder, "tag", "--tag=empty")


def liquibase_locked(scratch: Scratch, folder: Path) -> None:
    """Killed while a changeset runs: the lock stays."""
    wait = "SELECT pg_sleep(600)" if scratch.engine == "postgresql" else "SELECT sleep(600)"
    _write(folder, {"changes.xml": _changelog(_change("1", f"<sql>{wait}</sql>"))})
    process = subprocess.Popen(
        _liquibase_words(scratch, folder, *_UPDATE), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    table = "pg_stat_activity" if scratch.engine == "postgresql" else "information_schema.PROCESSLIST"
    column = "query" if scratch.engine == "postgresql" else "INFO"
    eventually(
        lambda: scratch.query(f"SELECT 1 FROM {table} WHERE {column} LIKE 'SELECT%sleep(600)'"), "the changeset runs"
    )
    process.kill()
    process.wait()
    # The name of this machine is nobody's business.
    lock = "databasechangeloglock" if scratch.engine == "postgresql" else "DATABASECHANGELOGLOCK"
    scratch.query(f"UPDATE {lock} SET lockedby = 'host (192.0.2.1)'")


# Active Record


def rails(scratch: Scratch, folder: Path) -> None:
    """Two versions, one of them short, and a migration that fails."""
    body = "class {} < ActiveRecord::Migration[6.1]\n  def change\n    {}\n  end\nend\n"
    _write(
        folder,
        {
            "001_create_users.rb": body.format("CreateUsers", "create_table(:users)"),
            "20260102120000_add_name.rb": body.format("AddName", "add_column(:users, :name, :string)"),
            "20260103120000_fail.rb": body.format("Fail", "execute('INSERT INTO nowhere VALUES (1)')"),
        },
    )
    adapter = {"postgresql": "postgresql", "mariadb": "mysql2", "sqlite": "sqlite3"}[scratch.engine]
    way: dict[str, object] = {"adapter": adapter, "database": scratch.name}
    if scratch.engine != "sqlite":
        way |= {"host": "127.0.0.1", "port": scratch.port, "username": USER, "password": USER}
    _run(["ruby", str(HERE / "run_rails.rb"), json.dumps(way), str(folder)], fails=True)


# Knex.js


def _knex(scratch: Scratch, folder: Path, *, fails: bool = False) -> None:
    client = {"postgresql": "pg", "mariadb": "mysql2", "sqlite": "better-sqlite3"}[scratch.engine]
    way: dict[str, object] = {"filename": scratch.name}
    if scratch.engine != "sqlite":
        way = {"host": "127.0.0.1", "port": scratch.port, "user": USER, "password": USER, "database": scratch.name}
    settings = {"client": client, "connection": way, "useNullAsDefault": True, "migrations": {"directory": str(folder)}}
    modules = str(tools.HOME / "npm" / "node_modules")
    _run(["node", str(HERE / "run_knex.js"), json.dumps(settings)], fails=fails, NODE_PATH=modules)


_KNEX: Final = {
    "20260101120000_create_users.js": "exports.up = (k) => k.schema.createTable('users', (t) => t.increments());\n",
    "20260102120000_add_name.js": "exports.up = (k) => k.schema.table('users', (t) => t.string('name'));\n",
}
_KNEX_DOWN: Final = "exports.down = async () => {};\n"


def knex(scratch: Scratch, folder: Path) -> None:
    """Two files in one batch, and one that fails."""
    _knex(scratch, _write(folder, {name: text + _KNEX_DOWN for name, text in _KNEX.items()}))
    fails = "exports.up = (k) => k.raw('INSERT INTO nowhere VALUES (1)');\n" + _KNEX_DOWN
    _knex(scratch, _write(folder, {"20260103120000_fails.js": fails}), fails=True)


def knex_locked(scratch: Scratch, folder: Path) -> None:
    """Killed while a file runs: the lock stays."""
    _knex(scratch, _write(folder, {name: text + _KNEX_DOWN for name, text in _KNEX.items()}))
    dies = "exports.config = { transaction: false };\nexports.up = () => process.kill(process.pid, 'SIGKILL');\n"
    _knex(scratch, _write(folder, {"20260103120000_dies.js": dies + _KNEX_DOWN}), fails=True)


# golang-migrate

_MIGRATE: Final = {
    "0001_create_users.up.sql": "CREATE TABLE users (id int);",
    "0001_create_users.down.sql": "DROP TABLE users;",
    "0002_create_orders.up.sql": "CREATE TABLE orders (id int);",
    "0002_create_orders.down.sql": "DROP TABLE orders;",
    "0010_add_name.up.sql": "ALTER TABLE users ADD name varchar(50);",
    "0010_add_name.down.sql": "ALTER TABLE users DROP name;",
}


def golang_migrate_up(scratch: Scratch, folder: Path, *words: str, fails: bool = False) -> None:
    """Run golang-migrate on the files of a folder."""
    url = scratch.url
    if scratch.engine == "mariadb":
        url = f"mysql://{USER}:{USER}@tcp(127.0.0.1:{scratch.port})/{scratch.name}?multiStatements=true"
    _run([tools.program("migrate"), "-source", f"file://{folder}", "-database", url, *words], fails=fails)


def golang_migrate(scratch: Scratch, folder: Path) -> None:
    """Three versions: one row."""
    golang_migrate_up(scratch, _write(folder, _MIGRATE), "up")


def golang_migrate_dirty(scratch: Scratch, folder: Path) -> None:
    """The third fails."""
    _write(folder, _MIGRATE | {"0010_add_name.up.sql": "INSERT INTO nowhere VALUES (1);"})
    golang_migrate_up(scratch, folder, "up", fails=True)


def golang_migrate_empty(scratch: Scratch, folder: Path) -> None:
    """Up, and all the way down again: no row."""
    golang_migrate_up(scratch, _write(folder, _MIGRATE), "up")
    golang_migrate_up(scratch, folder, "down", "-all")


# goose

_GOOSE: Final = {
    "00001_create_users.sql": "-- +goose Up\nCREATE TABLE users (id int);\n-- +goose Down\nDROP TABLE users;\n",
    "00002_create_orders.sql": "-- +goose Up\nCREATE TABLE orders (id int);\n-- +goose Down\nDROP TABLE orders;\n",
    "20260101120000_add_name.sql": "-- +goose Up\nALTER TABLE users ADD name varchar(50);\n"
    "-- +goose Down\nALTER TABLE users DROP name;\n",
}


def _goose(program: str, scratch: Scratch, folder: Path, verbs: list[str]) -> None:
    driver, way = "mysql", f"{USER}:{USER}@tcp(127.0.0.1:{scratch.port})/{scratch.name}?parseTime=true"
    if scratch.engine == "postgresql":
        driver, way = "postgres", scratch.url
    if scratch.engine == "sqlite":
        driver, way = "sqlite3", scratch.name
    _write(folder, _GOOSE)
    for verb in verbs:
        _run([tools.program(program), "-dir", str(folder), driver, way, verb])


def goose(scratch: Scratch, folder: Path) -> None:
    """Up, one down, up again, and one down for good."""
    _goose("goose", scratch, folder, ["up", "down", "up", "down"])


def goose_old(scratch: Scratch, folder: Path) -> None:
    """The same by an old version, which leaves a row for each step down."""
    _goose("goose2", scratch, folder, ["up", "down", "down", "up-by-one"])


# dbmate


def dbmate(scratch: Scratch, folder: Path) -> None:
    """Two files, and one that fails."""
    body = "-- migrate:up\n{}\n-- migrate:down\n"
    _write(
        folder,
        {
            "20260101120000_create_users.sql": body.format("CREATE TABLE users (id int);"),
            "20260102120000_add_name.sql": body.format("ALTER TABLE users ADD name varchar(50);"),
            "20260103120000_fails.sql": body.format("INSERT INTO nowhere VALUES (1);"),
        },
    )
    words = ["--url", scratch.url, "--migrations-dir", str(folder), "--no-dump-schema", "migrate"]
    _run([tools.program("dbmate"), *words], fails=True)
