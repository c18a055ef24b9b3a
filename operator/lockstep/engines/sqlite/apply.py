"""One migration in one transaction: begin, its SQL, then what it may have left is looked at, the fence, the record.

All of SQLite's DDL is transactional: the change and its record are there together or not at all. What its SQL does to
the session (pragmas, temporary tables) ends with it.
"""

import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from lockstep.api.reasons import Reason
from lockstep.engines.base import Action, ConnectionLostError, Log, Recorded, RunError, Task
from lockstep.engines.control import Control
from lockstep.engines.patience import PassingError, Patience
from lockstep.engines.portable.records import Recorder
from lockstep.engines.sqlite import errors
from lockstep.engines.sqlite.catalog import quote
from lockstep.engines.sqlite.connect import SqliteStore
from lockstep.engines.sqlite.guard import Guard
from lockstep.engines.sqlite.lexer import Statement
from lockstep.engines.sqlite.statements import SqliteScript
from lockstep.planning.result import ErrorDetail

LOOK_EVERY: Final = 20_000
"""Steps of SQLite's machine between two looks at whether the run must stop: some milliseconds."""
ROWS: Final = 1000
"""Rows of a SELECT that are fetched, and thrown away, at once."""

_RESET: Final = ("legacy_alter_table", "recursive_triggers", "ignore_check_constraints")
_TEMPORARY: Final = "SELECT type, name FROM temp.sqlite_master WHERE type IN ('table', 'view', 'trigger')"
_ORPHANS: Final = 'SELECT "table", "parent", "fkid", count(*) FROM pragma_foreign_key_check GROUP BY 1, 2, 3'

Orphans = Counter[tuple[str, str, int]]
"""Rows without what they refer to: how many of each table, the one referred to, and number of the foreign key."""


class _Clock(Struct):
    """What ends a statement before its own end."""

    control: Control
    until: float | None = None
    timed_out: bool = False

    def look(self) -> int:
        """Tell SQLite whether to go on (0); called while a statement runs, which is when signals are heard."""
        if self.until is not None and time.monotonic() >= self.until:
            self.timed_out = True
            return 1
        return 1 if self.control.stop is not None else 0


class Applier:
    """Applies migrations on one connection."""

    def __init__(self, store: SqliteStore, recorder: Recorder, task: Task, control: Control, log: Log) -> None:
        self._store = store
        self._raw = store.raw
        self._recorder = recorder
        self._limits = task.order.limits
        self._control = control
        self._clock = _Clock(control)
        self._patience = Patience(control, log)
        self._log = log

    def apply(self, action: Action, script: SqliteScript, waiting: Callable[[str], None]) -> Recorded:
        """Run one step and record it, trying again for a while when another connection is in the way.

        Raises:
            RunError: if it failed; nothing of it is left.
            ConnectionLostError: if it is not known whether it is there.
        """
        return self._patience.persist(lambda: self._try(action, script), action.migration.version, waiting)

    def _try(self, action: Action, script: SqliteScript) -> Recorded:
        self._begin(action, script)
        try:
            recorded = self._work(action, script)
            self._commit(action)
        except BaseException:
            self._store.roll_back()
            raise
        self._recorder.mark = recorded.mark
        return recorded

    def _work(self, action: Action, script: SqliteScript) -> Recorded:
        looks = script.may_orphan and not script.foreign_keys
        before = self._orphans() if looks else None
        for part in script.parts:
            self._one(action, script, part)
        self._end(action, before)
        if not self._raw.in_transaction:
            raise RunError(
                Reason.STATEMENT_REFUSED,
                f"{action.label}: its SQL has ended the transaction",
                error=ErrorDetail(action.migration.version),
            )
        self._recorder.fence(action.label)
        return self._recorder.write(action, self._recorder.entry(action))

    def _begin(self, action: Action, script: SqliteScript) -> None:
        raw = self._raw
        for name in _RESET:
            raw.execute(f"PRAGMA {name} = OFF")
        # Nothing in a transaction, so before it.
        raw.execute(f"PRAGMA foreign_keys = {'ON' if script.foreign_keys else 'OFF'}")
        try:
            self._store.patiently(lambda: raw.execute("BEGIN IMMEDIATE"), self._lock_seconds(action))
        except sqlite3.Error as error:
            if errors.is_busy(error):
                raise _passing(
                    error, f"{action.label}, at its beginning", ErrorDetail(action.migration.version)
                ) from error
            raise errors.own_error(error) from error

    def _lock_seconds(self, action: Action) -> float:
        milliseconds = action.migration.lock_timeout_ms or self._limits.lock_timeout_ms
        return milliseconds / 1000

    def _one(self, action: Action, script: SqliteScript, part: Statement) -> None:
        """Run one statement; its rows are of no use."""
        timeout, clock = self._limits.statement_timeout_ms, self._clock
        clock.until, clock.timed_out = None if timeout is None else time.monotonic() + timeout / 1000, False
        guard = Guard(self._raw)
        self._raw.set_progress_handler(clock.look, LOOK_EVERY)
        try:
            with guard:
                cursor = self._raw.execute(script.sent(part))
                while cursor.fetchmany(ROWS):
                    if clock.look():
                        self._raw.interrupt()
        except sqlite3.Error as error:
            raise self._explain(error, action, part, guard.denied) from error
        finally:
            self._raw.set_progress_handler(None, 0)

    def _explain(self, error: sqlite3.Error, action: Action, part: Statement, denied: str | None) -> Exception:
        detail = ErrorDetail(action.migration.version, part.number, part.line)
        place = f"{action.label}, statement {part.number}, line {part.line}"
        if denied is not None:
            return RunError(Reason.STATEMENT_REFUSED, f"{place}: refused: {denied}", error=detail)
        if errors.code_of(error) == sqlite3.SQLITE_INTERRUPT:
            if self._clock.timed_out:
                text = f"{place}: it took longer than statementTimeout ({self._limits.statement_timeout_ms} ms)"
                return RunError(Reason.STATEMENT_TIMEOUT, text, error=detail)
            return self._stopped(action)
        if errors.is_busy(error):
            return _passing(error, place, detail)
        if isinstance(error, sqlite3.ProgrammingError) and not errors.code_of(error):
            text = f"{place}: it has a parameter (?, :name, @name, $name) outside of quotes, and nothing is bound to it"
            return RunError(Reason.STATEMENT_FAILED, text, error=detail)
        return RunError(Reason.STATEMENT_FAILED, f"{place}: {errors.words_of(error)}", error=detail)

    def _stopped(self, action: Action) -> RunError:
        """Return why the run ends before its plan does."""
        reason = self._control.stop or Reason.DEADLINE_EXCEEDED
        if reason is Reason.INTERRUPTED:
            text = f"the run was asked to stop at {action.label}; nothing of that migration is left"
        else:
            text = (
                f"the run's deadline ({self._limits.deadline_ms} ms) came in {action.label}; "
                "nothing of that migration is left"
            )
        return RunError(reason, text, error=ErrorDetail(action.migration.version))

    def _end(self, action: Action, before: Orphans | None) -> None:
        """Look at what the SQL may have left: rows without what they refer to, and temporary objects."""
        try:
            # A table takes its triggers along.
            for kind, name in self._raw.execute(_TEMPORARY).fetchall():
                self._raw.execute(f"DROP {kind} IF EXISTS temp.{quote(name)}")
            after = self._orphans() if before is not None else None
        except sqlite3.Error as error:
            raise RunError(
                Reason.STATEMENT_FAILED,
                f"{action.label}, at its end: {errors.words_of(error)}",
                error=ErrorDetail(action.migration.version),
            ) from error
        if before is None or after is None:
            return
        if new := after - before:
            found = "; ".join(
                f"{count} of {table} to {parent}" for (table, parent, _), count in sorted(new.items())[:4]
            )
            raise RunError(
                Reason.STATEMENT_FAILED,
                f"{action.label}, at its end: it leaves rows whose foreign keys refer to nothing ({found})",
                error=ErrorDetail(action.migration.version),
            )

    def _orphans(self) -> Orphans | None:
        """Return the rows without what they refer to; None: it cannot be told.

        So it is where a foreign key refers to no key, or to one of a collation that only the application knows.
        """
        try:
            rows = self._raw.execute(_ORPHANS).fetchall()
        except sqlite3.OperationalError as error:
            if errors.code_of(error) != sqlite3.SQLITE_ERROR:
                raise
            self._log("foreign_keys_unchecked", level="warning", message=errors.words_of(error))
            return None
        return Counter({(str(table), str(parent), int(number)): int(count) for table, parent, number, count in rows})

    def _commit(self, action: Action) -> None:
        """Commit, waiting for those who read; what it means that it failed is only sure where SQLite says so."""
        try:
            self._store.patiently(lambda: self._raw.execute("COMMIT"), self._lock_seconds(action))
        except sqlite3.Error as error:
            if errors.is_busy(error):
                raise _passing(error, f"{action.label}, at its end", ErrorDetail(action.migration.version)) from error
            if errors.code_of(error) == sqlite3.SQLITE_CONSTRAINT:
                raise RunError(
                    Reason.STATEMENT_FAILED,
                    f"{action.label}, at its end: {errors.words_of(error)}",
                    error=ErrorDetail(action.migration.version),
                ) from error
            # The file system failed in the middle of it: the ledger will tell.
            raise ConnectionLostError from error


def _passing(error: BaseException, place: str, detail: ErrorDetail) -> PassingError:
    """Return what it means that another connection was in the way."""
    words = errors.words_of(error)

    def give_up(tries: int, _blockers: str) -> RunError:
        text = f"{place}: tried {tries} time(s), {words}: another connection keeps the database locked"
        return RunError(Reason.LOCK_TIMEOUT, text, error=detail)

    return PassingError(errors.name_of(error), words, give_up)
