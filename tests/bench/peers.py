"""The tools that are measured: how each is had, how its files are laid out, and the command that runs them up.

The same command is run again to see what a tool takes that has nothing to do. Each change is one transaction with its
record, in every tool; each has its way back where the tool's format has a place for it.
"""

import os
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench import getting, imaged
from bench.compiled import compiled
from lockstep.planning.bundle import pack
from lockstep.planning.wire import BUNDLE_DIR, SECRET_DIR
from servers.postgres import binaries
from servers.runner import Pod, migration, order

USER: Final = "bench"
"""The role that the tools work as, and its password."""
HERE: Final = Path(__file__).parent


@dataclass(frozen=True)
class Change:
    """One migration."""

    number: int
    """From 1, without gaps."""
    up: str
    down: str

    @property
    def version(self) -> str:
        """Its number, as wide as all others."""
        return f"{self.number:05}"


def changes(count: int) -> list[Change]:
    """Return as many migrations; each makes a table `t<number>`."""
    return [
        Change(n, f"CREATE TABLE t{n} (id bigint PRIMARY KEY, name text);\n", f"DROP TABLE t{n};\n")
        for n in range(1, count + 1)
    ]


@dataclass(frozen=True)
class Place:
    """One database on this machine."""

    port: int
    name: str

    @property
    def conninfo(self) -> str:
        """Its address for libpq."""
        return f"host=127.0.0.1 port={self.port} dbname={self.name} user={USER} password={USER} sslmode=disable"

    def url(self, scheme: str = "postgres") -> str:
        """Return its address as an URL."""
        return f"{scheme}://{USER}:{USER}@127.0.0.1:{self.port}/{self.name}"


@dataclass(frozen=True)
class Command:
    """What is run."""

    words: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Beside that of this process."""


def _unless(here: bool) -> str:
    return "" if here else "not installed"


class Tool(ABC):
    """One tool."""

    name: str
    knows_what_is_applied: bool = True
    """False where there is no such thing as a run with nothing to do."""

    def missing(self) -> str:
        """Return why it cannot be run here; empty where it can."""
        return ""

    @abstractmethod
    def lay_out(self, folder: Path, wanted: Sequence[Change]) -> None:
        """Write the migrations into an empty folder, in the tool's own format."""

    @abstractmethod
    def command(self, folder: Path, place: Place) -> Command:
        """Return the command that applies what is missing."""


class BareLoop(Tool):
    """The loop of psycopg that all are measured by; Python's start is in it."""

    name = "bare loop"

    def lay_out(self, folder: Path, wanted: Sequence[Change]) -> None:
        for each in wanted:
            (folder / f"{each.version}.sql").write_text(each.up)

    def command(self, folder: Path, place: Place) -> Command:
        return Command([sys.executable, str(HERE / "bare_loop.py"), str(folder), place.conninfo])


class Psql(Tool):
    """One script that includes every file between BEGIN and COMMIT."""

    name = "psql"
    knows_what_is_applied = False

    def missing(self) -> str:
        return "" if binaries(18) else "no PostgreSQL 18"

    def lay_out(self, folder: Path, wanted: Sequence[Change]) -> None:
        script = [
            "\\set ON_ERROR_STOP on\nCREATE TABLE history (version text PRIMARY KEY, at timestamptz DEFAULT now());"
        ]
        for each in wanted:
            (folder / f"{each.version}.sql").write_text(each.up)
            record = f"INSERT INTO history (version) VALUES ('{each.version}');"
            script.append(f"BEGIN;\n\\ir {each.version}.sql\n{record}\nCOMMIT;")
        (folder / "all.sql").write_text("\n".join(script) + "\n")

    def command(self, folder: Path, place: Place) -> Command:
        # The server's own: what Debian has on the PATH is a script in Perl that starts psql.
        psql = f"{binaries(18)}/psql"
        return Command([psql, "-X", "-q", "-f", str(folder / "all.sql"), place.conninfo])


class Lockstep(Tool):
    """The runner of the checkout: a process that finds its order, its texts and its Secret in files."""

    name = "Lockstep"

    def lay_out(self, folder: Path, wanted: Sequence[Change]) -> None:
        made = order(*(migration(each.version, each.up, each.down) for each in wanted))
        shards = {f"{number:03}": shard for number, shard in enumerate(pack(made))}
        Pod(folder, "pod").mount(BUNDLE_DIR, shards)

    def command(self, folder: Path, place: Place) -> Command:
        pod = Pod(folder, "pod")
        pod.mount(SECRET_DIR, {"url": place.url()})
        environment = {
            **compiled(),
            "LOCKSTEP_ROOT": str(pod.folder),
            "LOCKSTEP_TERMINATION_LOG": str(pod.message),
            "POD_NAME": pod.name,
        }
        return Command([sys.executable, "-m", "lockstep.runner"], environment)


class LockstepImage(Lockstep):
    """The same as its pod has it: from the image, with the image's Python and libraries."""

    name = "Lockstep-image"

    def missing(self) -> str:
        return imaged.missing()

    def lay_out(self, folder: Path, wanted: Sequence[Change]) -> None:
        super().lay_out(self._within(folder), wanted)

    def command(self, folder: Path, place: Place) -> Command:
        image = imaged.unpacked()
        given = super().command(self._within(folder), place).environment
        seen = {name: value.removeprefix(str(image.root)) for name, value in given.items() if name not in compiled()}
        # What this process has of Python's variables is not the pod's.
        nothing = dict.fromkeys((name for name in os.environ if name.startswith("PYTHON")), "")
        # By its path: PATH is the image's.
        words = [shutil.which("chroot") or "", str(image.root), "/opt/lockstep/bin/python", "-m", "lockstep.runner"]
        return Command(words, {**nothing, **image.environment, **seen})

    def _within(self, folder: Path) -> Path:
        return imaged.unpacked().root / folder.relative_to("/")


class Goose(Tool):
    """goose, as Go builds it."""

    name = "goose"

    def missing(self) -> str:
        return _unless(getting.program("goose").exists())

    def lay_out(self, folder: Path, wanted: Sequence[Change]) -> None:
        for each in wanted:
            text = f"-- +goose Up\n{each.up}-- +goose Down\n{each.down}"
            (folder / f"{each.version}_t{each.number}.sql").write_text(text)

    def command(self, folder: Path, place: Place) -> Command:
        return Command(
            [str(getting.program("goose")), "-dir", str(folder), "postgres", place.url() + "?sslmode=disable", "up"]
        )


class GolangMigrate(Tool):
    """golang-migrate, as Go builds it; it keeps one version, no history."""

    name = "golang-migrate"

    def missing(self) -> str:
        return _unless(getting.program("migrate").exists())

    def lay_out(self, folder: Path, wanted: Sequence[Change]) -> None:
        for each in wanted:
            (folder / f"{each.version}_t{each.number}.up.sql").write_text(each.up)
            (folder / f"{each.version}_t{each.number}.down.sql").write_text(each.down)

    def command(self, folder: Path, place: Place) -> Command:
        where = ["-source", f"file://{folder}", "-database", place.url() + "?sslmode=disable"]
        return Command([str(getting.program("migrate")), *where, "up"])


class Flyway(Tool):
    """Flyway's engine, started by a main of a few lines; the JVM's start is in it."""

    name = "Flyway"

    def missing(self) -> str:
        return _unless(getting.has_java())

    def lay_out(self, folder: Path, wanted: Sequence[Change]) -> None:
        for each in wanted:
            (folder / f"V{each.version}__t{each.number}.sql").write_text(each.up)

    def command(self, folder: Path, place: Place) -> Command:
        settings = [f"url=jdbc:postgresql://127.0.0.1:{place.port}/{place.name}", f"user={USER}", f"password={USER}"]
        return Command(getting.java("RunFlyway", *settings, f"locations=filesystem:{folder}", "migrate"))


class Liquibase(Tool):
    """Liquibase's command line with a folder of formatted SQL; the JVM's start is in it."""

    name = "Liquibase"

    def missing(self) -> str:
        return _unless(getting.has_java())

    def lay_out(self, folder: Path, wanted: Sequence[Change]) -> None:
        (folder / "changes.xml").write_text(
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<databaseChangeLog xmlns="http://www.liquibase.org/xml/ns/dbchangelog"\n'
            '    xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"\n'
            '    xsi:schemaLocation="http://www.liquibase.org/xml/ns/dbchangelog\n'
            '        http://www.liquibase.org/xml/ns/dbchangelog/dbchangelog-latest.xsd">\n'
            '<includeAll path="sql" relativeToChangelogFile="true"/>\n'
            "</databaseChangeLog>\n"
        )
        (folder / "sql").mkdir()
        for each in wanted:
            text = f"--liquibase formatted sql\n--changeset bench:{each.number}\n{each.up}--rollback {each.down}"
            (folder / "sql" / f"{each.version}.sql").write_text(text)

    def command(self, folder: Path, place: Place) -> Command:
        where = [f"--url=jdbc:postgresql://127.0.0.1:{place.port}/{place.name}", f"--username={USER}"]
        client = ["liquibase.integration.commandline.LiquibaseCommandLine", "--show-banner=false"]
        # Nothing is sent to its makers while it is measured.
        client += ["--analytics-enabled=false", f"--search-path={folder}"]
        update = ["update", "--changelog-file=changes.xml", f"--password={USER}"]
        return Command(getting.java(*client, update[0], *where, *update[1:]))


class _Python(Tool):
    """A tool of the Python environment."""

    def missing(self) -> str:
        return _unless(getting.program(self.name.lower()).exists())


class Alembic(_Python):
    """Alembic with a transaction for each revision, as the others have it.

    One transaction for all, which is what it does when it is told nothing, has a lock for every table: 10,000 are more
    than a server with its usual settings holds.
    """

    name = "Alembic"

    def lay_out(self, folder: Path, wanted: Sequence[Change]) -> None:
        (folder / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s\n")
        (folder / "env.py").write_text(
            "import os\n"
            "from alembic import context\n"
            "from sqlalchemy import create_engine, pool\n"
            "engine = create_engine(os.environ['BENCH_URL'], poolclass=pool.NullPool)\n"
            "with engine.connect() as connection:\n"
            "    context.configure(connection=connection, transaction_per_migration=True)\n"
            "    with context.begin_transaction():\n"
            "        context.run_migrations()\n"
        )
        (folder / "versions").mkdir()
        for each in wanted:
            before = None if each.number == 1 else f"{each.number - 1:05}"
            (folder / "versions" / f"{each.version}_t{each.number}.py").write_text(
                "from alembic import op\n"
                f"revision = {each.version!r}\ndown_revision = {before!r}\n"
                f"def upgrade():\n    op.execute({each.up!r})\n"
                f"def downgrade():\n    op.execute({each.down!r})\n"
            )

    def command(self, folder: Path, place: Place) -> Command:
        words = [str(getting.program("alembic")), "-c", str(folder / "alembic.ini"), "upgrade", "head"]
        return Command(words, {"BENCH_URL": place.url("postgresql+psycopg")})


class Yoyo(_Python):
    """yoyo with a file of SQL for each way."""

    name = "yoyo"

    def lay_out(self, folder: Path, wanted: Sequence[Change]) -> None:
        for each in wanted:
            (folder / f"{each.version}_t{each.number}.sql").write_text(each.up)
            (folder / f"{each.version}_t{each.number}.rollback.sql").write_text(each.down)

    def command(self, folder: Path, place: Place) -> Command:
        words = [str(getting.program("yoyo")), "apply", "--batch", "--no-config-file"]
        return Command([*words, "--database", place.url("postgresql+psycopg"), str(folder)])


TOOLS: Final[tuple[Tool, ...]] = (
    BareLoop(),
    Psql(),
    Lockstep(),
    LockstepImage(),
    Goose(),
    GolangMigrate(),
    Flyway(),
    Liquibase(),
    Alembic(),
    Yoyo(),
)
"""The bare loop first: the others are measured by it."""
