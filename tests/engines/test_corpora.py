"""Real projects' migrations, where they are at hand: outside of the repository, so absent on most machines."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from lockstep.api.reasons import Reason
from lockstep.engines.postgresql.lexer import split
from lockstep.planning.wire import AdoptOrder, OrderedMigration, Policy
from servers.corpora import CORPORA, NEEDED, load
from servers.postgres import Database, Postgres
from servers.process import run
from servers.runner import Pod, keys_of, migration, order

pytestmark = NEEDED


def dump(database: Database) -> str:
    """Return the catalog as pg_dump shows it, without the ledger."""
    server = database.server
    done = run(
        [
            server.client("pg_dump"),
            "--schema-only",
            "--no-owner",
            "--exclude-schema=lockstep",
            f"--dbname=host=127.0.0.1 port={server.port} dbname={database.name} user=postgres",
        ],
        env={"PGPASSWORD": database.params["password"]},
    )
    # Newer ones print a random key.
    return re.sub(r"^\\(un)?restrict .*$", "", done.stdout, flags=re.MULTILINE)


def by_psql(database: Database, texts: list[str]) -> None:
    server = database.server
    run(
        [
            server.client("psql"),
            "-qX1v",
            "ON_ERROR_STOP=1",
            f"--dbname=host=127.0.0.1 port={server.port} dbname={database.name} user=app",
        ],
        env={"PGPASSWORD": database.params["password"], "PGOPTIONS": "-c client_min_messages=error"},
        input=";\nRESET ALL;\n".join(texts),
    )


def _missing(database: Database, wanted: list[OrderedMigration]) -> list[tuple[object, ...]]:
    """Return extensions that the texts create and the server has not."""
    found = {
        name for each in wanted for name in re.findall(r'(?i)CREATE EXTENSION IF NOT EXISTS "?(\w+)', each.up or "")
    }
    names = ", ".join(f"('{name}')" for name in found) or "('plpgsql')"
    return database.query(
        f"SELECT x.n FROM (VALUES {names}) AS x (n) WHERE n NOT IN (SELECT name FROM pg_available_extensions)"
    )


@pytest.mark.parametrize("corpus", ["concourse", "authelia/postgres"])
def test_up_gives_the_catalog_that_psql_gives(corpus: str, any_server: Postgres, pod: Pod) -> None:
    wanted = load(corpus)
    ours, theirs = any_server.database(), any_server.database()
    for (missing,) in _missing(ours, wanted):
        pytest.skip(f"this server comes without the extension {missing}")
    ended = pod.run(order(*wanted), keys_of(ours))
    assert ended.code == 0, ended.text[-3000:]
    assert ended.result.applied == len(wanted)
    by_psql(theirs, [each.up or "" for each in wanted])
    assert dump(ours).replace(ours.name, "") == dump(theirs).replace(theirs.name, "")


def objects(database: Database) -> list[tuple[object, ...]]:
    return database.query(
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public' "
        "UNION ALL SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace "
        "WHERE n.nspname = 'public' "
        "UNION ALL SELECT t.typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace "
        "WHERE n.nspname = 'public' ORDER BY 1"
    )


FREE = Policy(rollback="Allow")


def test_authelia_goes_down_again_and_leaves_nothing(any_database: Database, pod: Pod) -> None:
    wanted = load("authelia/postgres")
    assert pod.run(order(*wanted, policy=FREE), keys_of(any_database)).code == 0
    # As after pruning: all that the run has are the ledger's texts.
    ended = pod.run(order(target="base", policy=FREE), keys_of(any_database))
    assert (ended.code, ended.result.version) == (0, "base"), ended.text[-3000:]
    assert objects(any_database) == []
    assert any_database.query("SELECT direction, count(*) FROM lockstep.history GROUP BY 1 ORDER BY 1") == [
        ("down", len(wanted)),
        ("up", len(wanted)),
    ]


def test_concourse_goes_down_as_far_as_its_downs_are_good(any_server: Postgres, pod: Pod) -> None:
    database = any_server.database()
    wanted = load("concourse")
    for (missing,) in _missing(database, wanted):
        pytest.skip(f"this server comes without the extension {missing}")
    assert pod.run(order(*wanted, policy=FREE), keys_of(database)).code == 0

    refused = pod.run(order(*wanted, target="base", policy=FREE), keys_of(database)).result
    without = [each.version for each in wanted if each.down is None]
    assert refused.reason is Reason.DOWN_MISSING
    assert f"{len(without)} version(s) have no down" in refused.message
    assert str(without[-1]) in refused.message
    assert refused.version == wanted[-1].version

    # With something to run for those that have none, it goes down until the first that fails, and says which.
    patched = [
        each if each.down is not None else migration(each.version, each.up or "", "SELECT 1", name=each.name)
        for each in wanted
    ]
    ended = pod.run(order(*patched, target="base", policy=FREE), keys_of(database)).result
    assert ended.reason is Reason.STATEMENT_FAILED
    assert ended.error is not None
    left = [row[0] for row in database.query("SELECT version FROM lockstep.applied ORDER BY sequence")]
    assert left == [each.version for each in patched[: len(left)]]
    assert (ended.error.version, ended.version) == (left[-1], left[-1])
    undone = [row[0] for row in database.query("SELECT version FROM lockstep.history WHERE direction = 'down'")]
    assert len(undone) + len(left) == len(patched)

    # The downs that ran, and nothing of the one that failed: psql has the same catalog after the same texts.
    downs = [each.down or "" for each in reversed(patched[len(left) :])]
    theirs = any_server.database()
    by_psql(theirs, [*(each.up or "" for each in patched), *downs])
    assert dump(database).replace(database.name, "") == dump(theirs).replace(theirs.name, "")


def test_harbor_is_taken_over_from_golang_migrate(any_server: Postgres, pod: Pod) -> None:
    wanted = load("harbor")
    old = [each for each in wanted if int(each.version or "0") <= 100]
    assert 0 < len(old) < len(wanted)
    ours, theirs = any_server.database(), any_server.database()
    history = (
        "CREATE TABLE schema_migrations (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL);\n"
        "INSERT INTO schema_migrations VALUES ({}, false);"
    )
    by_psql(ours, [history.format(int(old[-1].version or "0")), *(each.up or "" for each in old)])
    by_psql(theirs, [history.format(1), *(each.up or "" for each in wanted)])

    refused = pod.run(order(*wanted), keys_of(ours))
    assert refused.result.reason is Reason.DATABASE_NOT_EMPTY
    ended = pod.run(order(*wanted, adopt=AdoptOrder("golang-migrate")), keys_of(ours))
    assert (ended.code, ended.result.version) == (0, wanted[-1].version), ended.text[-3000:]
    done = ours.query("SELECT direction, count(*) FROM lockstep.history GROUP BY 1 ORDER BY 1")
    assert done == [("adopt", len(old)), ("up", len(wanted) - len(old))]
    assert dump(ours).replace(ours.name, "") == dump(theirs).replace(theirs.name, "")
    # Once: what the other tool says later is nothing to Lockstep.
    ours.query("UPDATE schema_migrations SET version = 1, dirty = true")
    assert pod.run(order(*wanted, adopt=AdoptOrder("golang-migrate")), keys_of(ours)).result.applied == 0


def every_text() -> Iterator[Path]:
    yield from sorted(CORPORA.glob("concourse/*.sql"))
    yield from sorted(CORPORA.glob("authelia/postgres/*.sql"))
    yield from sorted(CORPORA.glob("harbor/*.sql"))


def test_every_text_is_split_without_loss() -> None:
    total = 0
    for path in every_text():
        text = path.read_text()
        parts = list(split(text))
        total += len(parts)
        for part, following in pairwise(parts):
            between = re.sub(r"--[^\n]*|/\*.*?\*/|\s", "", text[part.end : following.start], flags=re.DOTALL)
            assert between.strip(";") == "", path
    assert total > 1000
