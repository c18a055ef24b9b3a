"""The tools whose history tables are recorded, and which are measured: in a folder of the cache, and found there.

They come from the package registries as each one's own client is configured: Maven, the Go modules, npm. Active Record
is Debian's (ruby-activerecord, ruby-pg, ruby-mysql2, ruby-sqlite3). EF Core cannot be had in this way.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from servers.cache import CACHE

HOME: Final = CACHE / "tools"
HERE: Final = Path(__file__).parent
JARS: Final = HOME / "jars"

FLYWAY: Final = "12.4.0"
LIQUIBASE: Final = "4.33.0"
"""The last one under an open-source licence."""
MIGRATE: Final = "4.20.1"
GOOSE: Final = "3.29.0"
OLD_GOOSE: Final = "2.1.0"
KNEX: Final = "3.3.0"
DBMATE: Final = "2.36.0"

_JARS: Final = {
    "org.flywaydb:flyway-core": FLYWAY,
    "org.flywaydb:flyway-database-postgresql": FLYWAY,
    "org.flywaydb:flyway-mysql": FLYWAY,
    "org.liquibase:liquibase-core": LIQUIBASE,
    "info.picocli:picocli": "4.7.7",
    "org.postgresql:postgresql": "42.7.7",
    "org.mariadb.jdbc:mariadb-java-client": "3.5.3",
}
_MODULES: Final = {
    "goose": ("", f"github.com/pressly/goose/v3/cmd/goose@v{GOOSE}"),
    "migrate": ("postgres,mysql", f"github.com/golang-migrate/migrate/v4/cmd/migrate@v{MIGRATE}"),
    "goose2": ("", f"github.com/pressly/goose/cmd/goose@v{OLD_GOOSE}+incompatible"),
}
"""Tags and package of each program that Go builds."""
_NPM: Final = (f"knex@{KNEX}", f"dbmate@{DBMATE}", "pg@8", "mysql2@3", "better-sqlite3@12")
_ALL: Final = ("jars", *_MODULES, "knex")
"""What `install` gets; dbmate comes with Knex."""


def install(*names: str) -> None:
    """Get what is not here, all or those of these names; takes some minutes the first time."""
    HOME.mkdir(parents=True, exist_ok=True)
    for name in names or _ALL:
        if has(name):
            continue
        match name:
            case "jars":
                attempt(name, _maven)
            case "knex":
                attempt(name, _npm)
            case _:
                attempt(name, partial(_go, name, *_MODULES[name]))


def attempt(name: str, get: Callable[[], None]) -> None:
    """Get something; what has no client on this machine, or cannot be had, is said and left out."""
    print(f"getting {name}", flush=True)
    try:
        get()
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        print(f"{name} is not here, so what needs it is left out: {error}", flush=True)


def has(name: str) -> bool:
    """Tell whether a tool is here: jars, knex, dbmate, ruby, or a program that Go has built."""
    match name:
        case "jars":
            return shutil.which("java") is not None and any(JARS.glob("liquibase-core-*.jar"))
        case "knex":
            return any((HOME / "npm" / "node_modules" / "better-sqlite3" / "build" / "Release").glob("*.node"))
        case "dbmate":
            return (HOME / "npm" / "node_modules" / ".bin" / name).exists()
        case "ruby":
            code = "require 'active_record'; require 'pg'; require 'mysql2'; require 'sqlite3'"
            return (
                shutil.which("ruby") is not None and subprocess.run(["ruby", "-e", code], check=False).returncode == 0
            )
    return (HOME / "bin" / name).exists()


def how(name: str) -> str:
    """Return how a tool is had that is not here."""
    if name == "ruby":
        return "it is in Debian's packages ruby-activerecord, ruby-pg, ruby-mysql2 and ruby-sqlite3"
    return "`make test-all` gets it where it can"


def program(name: str) -> str:
    """Return a program that Go has built, or one of npm's."""
    folder = HOME / "npm" / "node_modules" / ".bin" if name in {"knex", "dbmate"} else HOME / "bin"
    return str(folder / name)


def java(*words: str, classes: Path | None = None) -> list[str]:
    """Return the command that starts Java with all that is here; a source file or a class first."""
    places = [f"{JARS}/*", *([] if classes is None else [str(classes)])]
    return ["java", "-cp", os.pathsep.join(places), *words]


def _maven() -> None:
    lines = "".join(
        f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></dependency>"
        for (group, artifact), version in ((name.split(":"), version) for name, version in _JARS.items())
    )
    project = HOME / "pom.xml"
    project.write_text(
        "<project><modelVersion>4.0.0</modelVersion><groupId>histories</groupId><artifactId>histories</artifactId>"
        f"<version>1</version><dependencies>{lines}</dependencies></project>"
    )
    # Under their own name once they are complete.
    beside = HOME / "jars.new"
    shutil.rmtree(beside, ignore_errors=True)
    _run(["mvn", "-q", "-B", "-f", str(project), "dependency:copy-dependencies", f"-DoutputDirectory={beside}"], HOME)
    shutil.rmtree(JARS, ignore_errors=True)
    beside.rename(JARS)


def _npm() -> None:
    node = HOME / "npm"
    node.mkdir(exist_ok=True)
    # Its driver for SQLite is compiled, which newer npms only do for packages that are named.
    (node / "package.json").write_text(json.dumps({"private": True, "allowScripts": {"better-sqlite3": True}}))
    _run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", *_NPM], node)
    _run(["npm", "rebuild", "better-sqlite3"], node)


def _go(name: str, tags: str, package: str) -> None:
    folder = HOME / "bin" / f"{name}.d"
    _run(["go", "install", "-tags", tags, package], HOME, GOBIN=str(folder))
    (built,) = folder.iterdir()
    built.rename(HOME / "bin" / name)
    folder.rmdir()


def _run(command: list[str], folder: Path, **environment: str) -> None:
    subprocess.run(command, cwd=folder, check=True, env={**os.environ, **environment})
