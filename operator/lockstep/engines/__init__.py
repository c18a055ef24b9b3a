"""The databases that Lockstep knows, each a package behind the protocol in base.py."""

import importlib
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from lockstep.engines.base import Engine
    from lockstep.engines.lexing import Statement

ENGINES: Final = {
    "postgresql": "PostgreSQL",
    "sqlite": "SQLite",
    "mysql": "MySQL",
    "mariadb": "MariaDB",
}
"""Engines by the word that database.engine takes, and what people call them."""

SCHEMES: Final = {
    "postgres": "postgresql",
    "postgresql": "postgresql",
    "file": "sqlite",
    "sqlite": "sqlite",
    "sqlite3": "sqlite",
    "mysql": "mysql",
    "mysql2": "mysql",
    "mariadb": "mariadb",
}
"""URL schemes (before any `+driver`) of the engines."""

_PACKAGES: Final = {"mariadb": "mysql"}
"""Engines whose package has another name."""

FOREIGN: Final = ("cockroachdb", "mariadb", "mongodb", "mssql", "mysql", "oracle", "redis", "sqlite", "sqlserver")
"""Schemes that people may well write; a message may repeat these, as it may never repeat what a URL says."""


def engine_of(url: str) -> str | None:
    """Return the engine that a URL names; None where it names none that is known."""
    scheme = url.strip().removeprefix("jdbc:").partition(":")[0].partition("+")[0].lower()
    return SCHEMES.get(scheme)


def load(name: str) -> "Engine":
    """Return an engine; its driver is imported now and not before."""
    return cast("Engine", _module(name, "engine").ENGINE)


def lexer(name: str) -> "Callable[[str], Iterator[Statement]]":
    """Return what cuts an engine's SQL into statements."""
    return cast("Callable[[str], Iterator[Statement]]", _module(name, "lexer").split)


def _module(name: str, part: str) -> "ModuleType":
    return importlib.import_module(f"lockstep.engines.{_PACKAGES.get(name, name)}.{part}")
