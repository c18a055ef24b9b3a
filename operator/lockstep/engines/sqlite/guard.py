"""What a migration's SQL may not do, whatever its text looks like: SQLite itself asks for each statement.

The splitter refuses the same things earlier and says where; this is the net under it, and holds inside of triggers.
"""

import sqlite3
from typing import Final

from lockstep.engines.portable.tables import PREFIX
from lockstep.engines.sqlite.statements import may_use

_READING: Final = frozenset(
    {
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_RECURSIVE,
        sqlite3.SQLITE_ANALYZE,
        sqlite3.SQLITE_REINDEX,
        sqlite3.SQLITE_SAVEPOINT,
    }
)


class Guard:
    """SQLite's authorizer while a migration's SQL runs."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw
        self.denied: str | None = None
        """What the last statement was refused for."""

    def __enter__(self) -> "Guard":
        self.denied = None
        # It also makes SQLite ask again for statements that were prepared before.
        self._raw.set_authorizer(self._judge)
        return self

    def __exit__(self, *_: object) -> None:
        self._raw.set_authorizer(None)

    def _judge(
        self, action: int, first: str | None, second: str | None, _database: str | None, _inner: str | None
    ) -> int:
        why = judge(action, first, second)
        if why is None:
            return sqlite3.SQLITE_OK
        self.denied = why
        return sqlite3.SQLITE_DENY


def judge(action: int, first: str | None, second: str | None) -> str | None:
    """Return why an action is refused; None: it may be done. Pure.

    Args:
        action: SQLite's number of it.
        first: what it is done to, as SQLite's authorizer has it.
        second: the same.
    """
    if action == sqlite3.SQLITE_TRANSACTION:
        return f"{first} would end the transaction that its record belongs to"
    if action in {sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH}:
        return "another database is not covered by this transaction"
    if action == sqlite3.SQLITE_PRAGMA and not may_use(first or "", sets=second is not None):
        return f"PRAGMA {(first or '').lower()} is none of those that a migration may use"
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() == "load_extension":
        return "load_extension() would run foreign code"
    if action in _READING:
        return None
    touched = next((name for name in (first, second) if name is not None and name.lower().startswith(PREFIX)), None)
    return None if touched is None else f"{touched} is Lockstep's own"
