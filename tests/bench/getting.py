"""Where the tools are that are measured, and how they are had: each with the client of its own registry.

In the cache, where they outlive the checkout and are found again by the next one: those whose history tables are
recorded, in those versions, and some that are written in Python.

    PYTHONPATH=tests python -m bench.getting   # gets what is not here, with all whose tables are recorded
"""

import subprocess
import venv
from pathlib import Path
from typing import Final

from engines.histories import tools

_CLASSES: Final = tools.HOME / "classes"
_PYTHON: Final = tools.HOME / "python"
"""An environment of the tools that are written in Python: theirs is not Lockstep's."""

_GO: Final = ("goose", "migrate")
_PYPI: Final = (
    "alembic==1.20.1",
    "psycopg[binary]==3.3.9",
    "setuptools==65.5.0",  # yoyo needs its pkg_resources
    "SQLAlchemy==2.1.9",
    "yoyo-migrations==9.0.0",
)


def program(name: str) -> Path:
    """Return where a program is, or would be: goose, migrate, alembic or yoyo."""
    return Path(tools.program(name)) if name in _GO else _PYTHON / "bin" / name


def has_java() -> bool:
    """Tell whether what runs on Java is here."""
    return tools.has("jars") and (_CLASSES / "RunFlyway.class").exists()


def java(*words: str) -> list[str]:
    """Return the command that starts Java with all that is here; a class first."""
    return tools.java(*words, classes=_CLASSES)


def install() -> None:
    """Get what is not here and can be had; takes some minutes the first time."""
    tools.install("jars", *_GO)
    if tools.has("jars") and not has_java():
        tools.attempt("RunFlyway", _compile)
    if not program("yoyo").exists():
        tools.attempt("python", _pip)


def _compile() -> None:
    _run(["javac", "-cp", f"{tools.JARS}/*", "-d", str(_CLASSES), str(tools.HERE / "RunFlyway.java")])


def _pip() -> None:
    venv.create(_PYTHON, with_pip=True)
    _run([str(_PYTHON / "bin" / "python"), "-m", "pip", "install", "--quiet", *_PYPI])


def _run(command: list[str]) -> None:
    subprocess.run(command, cwd=tools.HOME, check=True)


if __name__ == "__main__":
    tools.install()
    install()
