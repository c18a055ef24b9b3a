"""Records the history tables of other tools as SQL files beside this one, by running the real tools.

    PYTHONPATH=tests python tests/engines/histories/record.py            # all
    PYTHONPATH=tests python tests/engines/histories/record.py knex goose # those whose names begin so

The tools are got first, into the cache (tools.py); the files of one that cannot be had stay as they are. Failed and
locked histories are made by migrations that really fail, and by killing the tool while it works. efcore.postgresql.sql
is written by hand: .NET cannot be had from the registries that this project uses. Alembic and Django are not here,
since the tests run them live.
"""

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engines.histories import makers, tools
from engines.histories.scratch import Scratch, Servers

HERE: Final = Path(__file__).parent


@dataclass(frozen=True)
class Recording:
    """One history, made anew in an empty database of each of some engines."""

    name: str
    tool: str
    """What makes it, and in which version: the head of the file."""
    needs: str
    """The tool, as tools.has knows it."""
    what: str
    make: Callable[[Scratch, Path], None]
    """make(scratch, folder) runs the tool on a database; the folder is empty."""
    tables: tuple[str, ...]
    engines: tuple[str, ...] = ("postgresql",)

    def path(self, engine: str) -> Path:
        """Return the file that it is kept in."""
        return HERE / f"{self.name}.{engine}.sql"

    def record(self, scratch: Scratch, folder: Path) -> str:
        """Make it and return its text."""
        self.make(scratch, folder)
        head = f"-- {self.tool}, {scratch.engine}: {self.what}. Made by record.py.\n"
        return head + scratch.dump(self.tables)


_CHANGELOG: Final = ("databasechangeloglock", "databasechangelog")
_ALL: Final = ("postgresql", "mariadb", "sqlite")
_TWO: Final = ("postgresql", "mariadb")
_F: Final = f"Flyway {tools.FLYWAY}"
_L: Final = f"Liquibase {tools.LIQUIBASE}"
_M: Final = f"golang-migrate {tools.MIGRATE}"
_FLYWAY: Final = ("flyway_schema_history",)
_KNEX: Final = ("knex_migrations_lock", "knex_migrations")
_RAILS: Final = ("schema_migrations", "ar_internal_metadata")
_SIMPLE: Final = ("schema_migrations",)
_GOOSE: Final = ("goose_db_version",)

RECORDINGS: Final = (
    Recording("flyway", _F, "jars", "1, 2, 2.1, a repeatable", makers.flyway, _FLYWAY, _TWO),
    Recording(
        "flyway-old-name", _F, "jars", "under the name until Flyway 5", makers.flyway_old_name, ("schema_version",)
    ),
    Recording("flyway-baseline", _F, "jars", "a baseline at 2, then 2.1", makers.flyway_baseline, _FLYWAY),
    Recording("flyway-failed", _F, "jars", "3 has failed", makers.flyway_failed, _FLYWAY, _TWO),
    Recording("flyway-deleted", _F, "jars", "2 taken away by a repair", makers.flyway_deleted, _FLYWAY),
    Recording(
        "flyway-schema", _F, "jars", "a schema of its own making", makers.flyway_schema, ("app.flyway_schema_history",)
    ),
    Recording("liquibase", _L, "jars", "1, 2, a tag, 3 marked, add-name, 5 rerun", makers.liquibase, _CHANGELOG, _TWO),
    Recording("liquibase-files", _L, "jars", "two files that count from 1", makers.liquibase_files, _CHANGELOG),
    Recording("liquibase-tagged", _L, "jars", "nothing but a tag", makers.liquibase_tagged, _CHANGELOG),
    Recording("liquibase-locked", _L, "jars", "killed while it worked", makers.liquibase_locked, _CHANGELOG, _TWO),
    Recording("rails", "Active Record 6.1", "ruby", "1, 20260102120000", makers.rails, _RAILS, _ALL),
    Recording("knex", f"Knex {tools.KNEX}", "knex", "two files", makers.knex, _KNEX, _ALL),
    Recording("knex-locked", f"Knex {tools.KNEX}", "knex", "killed while it worked", makers.knex_locked, _KNEX, _TWO),
    Recording("golang-migrate", _M, "migrate", "at 10", makers.golang_migrate, _SIMPLE, _TWO),
    Recording("golang-migrate-dirty", _M, "migrate", "10 has failed", makers.golang_migrate_dirty, _SIMPLE, _TWO),
    Recording("golang-migrate-empty", _M, "migrate", "up and down", makers.golang_migrate_empty, _SIMPLE),
    Recording("goose", f"goose {tools.GOOSE}", "goose", "1, 2, the third down again", makers.goose, _GOOSE, _ALL),
    Recording(
        "goose-old", f"goose {tools.OLD_GOOSE}", "goose2", "2 down and up, the third down", makers.goose_old, _GOOSE
    ),
    Recording("dbmate", f"dbmate {tools.DBMATE}", "dbmate", "two files", makers.dbmate, _SIMPLE, _ALL),
)


def main(beginnings: list[str]) -> None:
    """Record all, or those whose names begin so."""
    tools.install()
    with tempfile.TemporaryDirectory() as place, Servers(Path(place)).running() as servers:
        for recording in RECORDINGS:
            if beginnings and not recording.name.startswith(tuple(beginnings)):
                continue
            if not tools.has(recording.needs):
                print(f"{recording.name} stays as it is: {recording.tool} is not here", flush=True)
                continue
            for engine in recording.engines:
                folder = Path(tempfile.mkdtemp(dir=place))
                recording.path(engine).write_text(recording.record(servers.database(engine), folder))
                print(recording.path(engine).name, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
