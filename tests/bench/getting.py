"""Where the tools are that are measured, and how they are had: each with the client of its own registry.

In a folder of the cache, where they outlive the checkout and are found again by the next one. The versions are those
whose history tables are recorded.
"""

import os
import shutil
import subprocess
import venv
from pathlib import Path
from typing import Final

from engines.histories.tools import FLYWAY, GOOSE, LIQUIBASE, MIGRATE
from engines.histories.tools import HERE as HISTORIES

_CACHE_HOME: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
HOME: Final = Path(os.environ.get("LOCKSTEP_LOCAL_CACHE", _CACHE_HOME / "lockstep")) / "bench"

_JARS: Final = HOME / "jars"
_CLASSES: Final = HOME / "classes"
_PYTHON: Final = HOME / "python"
"""An environment of the tools that are written in Python: theirs is not Lockstep's."""

_MAVEN: Final = {
    "org.flywaydb:flyway-core": FLYWAY,
    "org.flywaydb:flyway-database-postgresql": FLYWAY,
    "org.liquibase:liquibase-core": LIQUIBASE,
    "info.picocli:picocli": "4.7.7",
    "org.postgresql:postgresql": "42.7.7",
}
_GO: Final = {
    "goose": ("", f"github.com/pressly/goose/v3/cmd/goose@v{GOOSE}"),
    "migrate": ("postgres", f"github.com/golang-migrate/migrate/v4/cmd/migrate@v{MIGRATE}"),
}
"""Tags and package."""
_PYPI: Final = (
    "alembic==1.20.1",
    "psycopg[binary]==3.3.9",
    "setuptools==65.5.0",  # yoyo needs its pkg_resources
    "SQLAlchemy==2.1.9",
    "yoyo-migrations==9.0.0",
)


def program(name: str) -> Path:
    """Return where a program is, or would be: goose, migrate, alembic or yoyo."""
    return (HOME if name in _GO else _PYTHON) / "bin" / name


def has_java() -> bool:
    """Tell whether what runs on Java is here."""
    return shutil.which("java") is not None and (_CLASSES / "RunFlyway.class").exists()


def java(*words: str) -> list[str]:
    """Return the command that starts Java with all that is here; a class first."""
    return ["java", "-cp", f"{_JARS}/*{os.pathsep}{_CLASSES}", *words]


def install() -> None:
    """Get what is not here; takes some minutes the first time. What has no client on this machine is left out."""
    HOME.mkdir(parents=True, exist_ok=True)
    for name, (tags, package) in _GO.items():
        if not program(name).exists() and shutil.which("go"):
            _run(["go", "install", "-tags", tags, package], GOBIN=str(program(name).parent))
    if not has_java() and shutil.which("mvn") and shutil.which("javac"):
        _maven()
        _run(["javac", "-cp", f"{_JARS}/*", "-d", str(_CLASSES), str(HISTORIES / "RunFlyway.java")])
    if not program("yoyo").exists():
        venv.create(_PYTHON, with_pip=True)
        _run([str(_PYTHON / "bin" / "python"), "-m", "pip", "install", "--quiet", *_PYPI])


def _maven() -> None:
    lines = "".join(
        f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></dependency>"
        for (group, artifact), version in ((name.split(":"), version) for name, version in _MAVEN.items())
    )
    (HOME / "pom.xml").write_text(
        "<project><modelVersion>4.0.0</modelVersion><groupId>bench</groupId><artifactId>bench</artifactId>"
        f"<version>1</version><dependencies>{lines}</dependencies></project>"
    )
    _run(["mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={_JARS}"])


def _run(command: list[str], **environment: str) -> None:
    subprocess.run(command, cwd=HOME, check=True, env={**os.environ, **environment})
