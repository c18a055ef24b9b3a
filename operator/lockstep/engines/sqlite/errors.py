"""What an error of SQLite means. Pure."""

import re
import sqlite3
from typing import Final

from lockstep.api.reasons import Reason
from lockstep.engines.base import RunError

BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_LITERAL: Final = re.compile(r"'[^']*'")

_MEANINGS: Final = {
    sqlite3.SQLITE_READONLY: (Reason.READ_ONLY, "the database takes no writes"),
    sqlite3.SQLITE_CANTOPEN: (
        Reason.PERMISSION_DENIED,
        "the file, its journal or its folder cannot be opened: the run must be able to write in the folder too",
    ),
    sqlite3.SQLITE_PERM: (Reason.PERMISSION_DENIED, "the file's rights do not allow it"),
    sqlite3.SQLITE_AUTH: (Reason.PERMISSION_DENIED, "SQLite was told not to allow it"),
    sqlite3.SQLITE_IOERR: (Reason.UNREACHABLE, "the file system failed"),
    sqlite3.SQLITE_FULL: (Reason.UNREACHABLE, "the file system is full"),
    sqlite3.SQLITE_NOTADB: (Reason.DATABASE_NOT_FOUND, "the file is no SQLite database, or is encrypted"),
    sqlite3.SQLITE_CORRUPT: (Reason.UNREACHABLE, "the database's file is damaged"),
}


def code_of(error: BaseException | None) -> int:
    """Return SQLite's primary result code; 0 where the error is one of its Python module."""
    found = getattr(error, "sqlite_errorcode", None)
    return int(found) & 0xFF if found else 0


def name_of(error: BaseException | None) -> str:
    """Return SQLite's name of the result code, such as SQLITE_CONSTRAINT_UNIQUE."""
    return str(getattr(error, "sqlite_errorname", "") or "SQLITE_MISUSE")


def is_busy(error: BaseException | None) -> bool:
    """Tell whether another connection is in the way: the next try may pass."""
    return code_of(error) in BUSY


def words_of(error: BaseException | None) -> str:
    """Return what SQLite says, without the literals that it quotes from the SQL."""
    return f"{name_of(error)}: {_LITERAL.sub(repr('…'), str(error))}"


def own_error(error: BaseException | None) -> RunError:
    """Return what it means that one of Lockstep's own statements failed."""
    if is_busy(error):
        return RunError(
            Reason.LOCK_HELD, f"another connection keeps the database locked ({words_of(error)}): end its transaction"
        )
    known = _MEANINGS.get(code_of(error))
    if known is not None:
        reason, what = known
        return RunError(reason, f"{what} ({words_of(error)})")
    return RunError(Reason.LEDGER_INVALID, f"the ledger is not as Lockstep has made it ({words_of(error)})")
