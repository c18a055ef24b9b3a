"""The databases that Lockstep knows, each a package behind the protocol in base.py."""

import importlib
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from lockstep.engines.base import Engine

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
    return cast("Engine", importlib.import_module(f"lockstep.engines.{_PACKAGES.get(name, name)}.engine").ENGINE)
