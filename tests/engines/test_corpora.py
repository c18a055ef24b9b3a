"""Real projects' migrations, where they are at hand: outside of the repository, so absent on most machines."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from lockstep.engines.postgresql.lexer import split
from lockstep.planning.wire import OrderedMigration
from servers.postgres import Database, Postgres
from servers.process import run
from servers.runner import Pod, keys_of, migration, order

CORPORA = Path(__file__).parents[3] / "shared" / "corpora"

pytestmark = pytest.mark.skipif(not CORPORA.is_dir(), reason=f"no corpora in {CORPORA}")


def concourse() -> list[OrderedMigration]:
    """Two of its files share a version: the second gets a dotted one."""
    seen: set[str] = set()
    found = []
    for path in sorted((CORPORA / "concourse").glob("*.up.sql")):
        version = path.name.split("_")[0]
        version = f"{version}.1" if version in seen else version
        seen.add(version)
        down = path.with_name(path.name.replace(".up.", ".down."))
        found.append(
            migration(version, path.read_text(), down.read_text() if down.exists() else None, name=f"c-{version}")
        )
    return found


def authelia() -> list[OrderedMigration]:
    found = []
    for path in sorted((CORPORA / "authelia" / "postgres").glob("*.up.sql")):
        version = re.findall(r"[0-9]+", path.name)[0]
        down = path.with_name(path.name.replace(".up.", ".down."))
        found.append(migration(version, path.read_text(), down.read_text(), name=f"a-{version}"))
    return found


def dump(database: Database) -> str:
    """Return the catalog as pg_dump shows it, without the ledger."""
    server = database.server
    done = run(
        [
            str(server.bin / "pg_dump"),
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
            str(server.bin / "psql"),
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


@pytest.mark.parametrize("corpus", [concourse, authelia])
def test_up_gives_the_catalog_that_psql_gives(corpus: object, any_server: Postgres, pod: Pod) -> None:
    assert callable(corpus)
    wanted = corpus()
    ours, theirs = any_server.database(), any_server.database()
    for (missing,) in _missing(ours, wanted):
        pytest.skip(f"this server comes without the extension {missing}")
    ended = pod.run(order(*wanted), keys_of(ours))
    assert ended.code == 0, ended.text[-3000:]
    assert ended.result.applied == len(wanted)
    by_psql(theirs, [each.up or "" for each in wanted])
    assert dump(ours).replace(ours.name, "") == dump(theirs).replace(theirs.name, "")


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
