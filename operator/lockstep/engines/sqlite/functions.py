"""SQL functions that SQLite has not and that applications' own migrations call, by the names that they give them.

A SQLite database has no functions of its own: each application registers what it needs when it connects. Those here
are pure, and nothing of them stays in the database. One that is not here is an error of the statement that calls it.
"""

import base64
import sqlite3
from collections.abc import Callable
from typing import Final


def _to_base64(data: str | bytes | None) -> str | None:
    if data is None:
        return None
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


def _from_base64(text: str | bytes | None) -> bytes | None:
    # ValueError: the statement fails.
    return None if text is None else base64.b64decode(text, validate=True)


FUNCTIONS: Final[dict[str, Callable[[str | bytes | None], str | bytes | None]]] = {
    # Authelia's.
    "BIN2B64": _to_base64,
    "B642BIN": _from_base64,
}
"""By name; each takes one argument."""


def register(raw: sqlite3.Connection) -> None:
    """Make the functions known to a connection."""
    for name, function in FUNCTIONS.items():
        raw.create_function(name, 1, function, deterministic=True)
