"""What stands around a migration's SQL: its time limits, and the way back to a session of Lockstep's own."""

from collections.abc import Sequence
from typing import Final

from lockstep.engines.control import Control
from lockstep.engines.postgresql.connect import SAFE_PATH
from lockstep.engines.postgresql.messages import Command
from lockstep.planning.wire import Limits, OrderedMigration

BEGIN: Final = Command("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
COMMIT: Final = Command("COMMIT")
ROLLBACK: Final = Command("ROLLBACK")
SAVEPOINT: Final = Command("SAVEPOINT lockstep_statement")
RELEASE: Final = Command("RELEASE SAVEPOINT lockstep_statement")
"""These two fail unless they are in one transaction: a COMMIT between them is not overlooked."""
IMMEDIATE: Final = Command("SET CONSTRAINTS ALL IMMEDIATE")
"""What is deferred fails here, with the migration's own rights, and not in the commit."""

# What the SQL has set in its session, set back until the transaction ends; with the rights of the role that connected.
# Not temp_buffers: a session that has seen a temporary table refuses to change them, and they are nothing to a ledger.
_RESET_LOCALLY: Final = """
SELECT pg_catalog.set_config(s.name, s.reset_val, true) FROM pg_catalog.pg_settings AS s
WHERE s.source = 'session'
  AND (s.context = 'user' OR s.context = 'superuser' AND pg_catalog.current_setting('is_superuser') = 'on')
  AND s.name <> ALL ('{search_path,temp_buffers}'::text[])
  AND s.name <> ALL ('{transaction_isolation,transaction_read_only,transaction_deferrable}'::text[])
"""
# Not for everybody: to set it, even to what it is, takes a role away that was set.
_LOG_IN_LOCALLY: Final = """
SELECT pg_catalog.set_config('session_authorization'::pg_catalog.text, $1::pg_catalog.text, true)
WHERE SESSION_USER OPERATOR(pg_catalog.<>) $1::pg_catalog.name
"""


class Frame:
    """Makes the statements around those of a migration."""

    def __init__(self, settings: Sequence[Command], limits: Limits, control: Control, server_version: int) -> None:
        self._limits = limits
        self._control = control
        self._server_version = server_version
        self.reset: tuple[Command, ...] = (
            Command("RESET SESSION AUTHORIZATION"),
            Command("RESET ROLE"),
            Command("RESET ALL"),
            *settings,
        )
        """Make the session Lockstep's own again, for good."""
        self._settings = [Command(each.sql.replace("SET ", "SET LOCAL ", 1)) for each in settings]

    def reset_locally(self, user: str) -> list[Command]:
        """Return what makes the session Lockstep's own until the transaction ends.

        Args:
            user: the role that connected.
        """
        return [
            Command(_LOG_IN_LOCALLY, (user,)),
            Command("SET LOCAL role TO DEFAULT"),
            Command(SAFE_PATH.replace("SET ", "SET LOCAL ", 1)),
            Command(_RESET_LOCALLY),
            *self._settings,
        ]

    def lock_timeout(self, migration: OrderedMigration) -> int:
        """Return how long a statement may wait for a lock, in milliseconds; 0: as long as it takes."""
        return migration.lock_timeout_ms or self._limits.lock_timeout_ms

    def statement_timeout(self) -> int:
        """Return how long a statement may take, in milliseconds: at most what is left of the deadline."""
        left = max(1, int(self._control.remaining() * 1000))
        wanted = self._limits.statement_timeout_ms
        return left if not wanted else min(wanted, left)

    def timed_out(self, statement_timeout: int) -> int | None:
        """Return the statementTimeout that was asked for, if it was the one in force."""
        return statement_timeout if statement_timeout == self._limits.statement_timeout_ms else None

    def time_limits(self, lock_timeout: int, statement_timeout: int) -> dict[str, int]:
        """Return the settings that bound a migration's SQL, in milliseconds."""
        limits = {"lock_timeout": lock_timeout, "statement_timeout": statement_timeout}
        if self._server_version >= 170000:
            # For a runner that is frozen in the middle of a send.
            limits["transaction_timeout"] = int(self._control.remaining() * 1000) + 2000
        return limits
