"""The tools whose history tables are recorded: installed into a folder of this checkout, and found there.

They come from the package registries as each one's own client is configured: Maven, the Go modules, npm. Active Record
is Debian's (ruby-activerecord, ruby-pg, ruby-mysql2, ruby-sqlite3). EF Core cannot be had in this way.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[3]
HOME: Final = ROOT / ".local" / "histories"
HERE: Final = Path(__file__).parent

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


def install() -> None:
    """Install what is missing; takes some minutes the first time."""
    HOME.mkdir(parents=True, exist_ok=True)
    if not has("jars"):
        _maven()
    for name, (tags, package) in _MODULES.items():
        if not has(name):
            _go(name, tags, package)
    if not has("knex"):
        node = HOME / "npm"
        node.mkdir(exist_ok=True)
        # Its driver for SQLite is compiled, which newer npms only do for packages that are named.
        (node / "package.json").write_text(json.dumps({"private": True, "allowScripts": {"better-sqlite3": True}}))
        _run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", *_NPM], node)
        _run(["npm", "rebuild", "better-sqlite3"], node)


def has(name: str) -> bool:
    """Tell whether a tool is here: jars, knex, dbmate, ruby, or a program that Go has built."""
    match name:
        case "jars":
            return shutil.which("java") is not None and any((HOME / "jars").glob("liquibase-core-*.jar"))
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


def program(name: str) -> str:
    """Return a program that Go has built, or one of npm's."""
    folder = HOME / "npm" / "node_modules" / ".bin" if name in {"knex", "dbmate"} else HOME / "bin"
    return str(folder / name)


def java(*words: str) -> list[str]:
    """Return the command that starts Java with all that is here; a source file or a class first."""
    return ["java", "-cp", str(HOME / "jars" / "*"), *words]


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
    _run(["mvn", "-q", "-B", "-f", str(project), "dependency:copy-dependencies", "-DoutputDirectory=jars"], HOME)


def _go(name: str, tags: str, package: str) -> None:
    folder = HOME / "bin" / f"{name}.d"
    _run(["go", "install", "-tags", tags, package], HOME, GOBIN=str(folder))
    (built,) = folder.iterdir()
    built.rename(HOME / "bin" / name)
    folder.rmdir()


def _run(command: list[str], folder: Path, **environment: str) -> None:
    subprocess.run(command, cwd=folder, check=True, env={**os.environ, **environment})
