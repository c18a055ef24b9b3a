"""The session's settings: fixed for Lockstep, the same for every migration, and set again after each."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final

from lockstep.engines.base import ConnectionLostError, Log
from lockstep.engines.mysql.channel import Channel, SqlError
from lockstep.engines.mysql.server import NO_LIMITS, Server
from lockstep.engines.mysql.statements import SqlScript
from lockstep.engines.mysql.subjects import Subject, temporary_tables

SQL_MODES: Final = {
    "MySQL": "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,"
    "NO_ENGINE_SUBSTITUTION",
    "MariaDB": "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_AUTO_CREATE_USER,NO_ENGINE_SUBSTITUTION",
}
"""The mode that each has by default: what a migration was tried with. The server's own setting does not count."""
IDLE_SECONDS: Final = 30
"""How long the server keeps a session that says nothing: a run that is frozen loses its lock then."""
OWN_LOCK_SECONDS: Final = 10
"""How long Lockstep's own statements wait for a lock."""
OWN_LOCKS: Final = "lockstep:"
"""What the names of Lockstep's own user locks begin with."""
_SETTINGS: Final = {
    "autocommit": "1",
    "time_zone": "'+00:00'",
    "timestamp": "DEFAULT",
    "foreign_key_checks": "1",
    "unique_checks": "1",
    "sql_safe_updates": "0",
    "sql_auto_is_null": "0",
    **NO_LIMITS,
    "sql_notes": "1",
    "completion_type": "0",
    "group_concat_max_len": "DEFAULT",
    "wait_timeout": str(IDLE_SECONDS),
    "net_read_timeout": "30",
    "net_write_timeout": "60",
}
_OF: Final = {
    "MySQL": {"max_execution_time": "0", "transaction_isolation": "'REPEATABLE-READ'", "transaction_read_only": "0"},
    "MariaDB": {
        "max_statement_time": "0",
        "check_constraint_checks": "1",
        "tx_isolation": "'REPEATABLE-READ'",
        "tx_read_only": "0",
    },
}
# What changes how Lockstep's own statements are read and answered, and how a definition is shown.
_OWN: Final = {
    "character_set_client": "utf8mb4",
    "character_set_results": "utf8mb4",
    "collation_connection": "utf8mb4_general_ci",
    "time_zone": "'+00:00'",
    "sql_quote_show_create": "1",
    **NO_LIMITS,
}
_OWN_OF: Final = {
    "MySQL": {"show_create_table_verbosity": "0", "transaction_read_only": "0"},
    "MariaDB": {"max_statement_time": "0", "tx_read_only": "0"},
}
# What other nodes have committed is seen.
_GALERA: Final = {"wsrep_sync_wait": "15"}
_MOVING: Final = re.compile(
    r"timestamp|rand_seed\d|(?:last_)?insert_id|identity|pseudo_thread_id|(?:warning|error)_count|in_transaction"
    r"|.*gtid.*|wsrep_.*|.*_user|hostname|last_.*|statement_id|max_allowed_packet|net_buffer_length|.*transaction_id"
)
"""Variables that change by themselves, or cannot be set."""
_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?")


def settings(server: Server) -> str:
    """Return the statement that sets the session up. Pure."""
    found = (
        _SETTINGS
        | _OF[server.kind]
        | (_GALERA if server.galera else {})
        | {"sql_mode": f"'{SQL_MODES[server.kind]}'"}
        | _lock_settings(OWN_LOCK_SECONDS)
    )
    return f"SET NAMES utf8mb4, {', '.join(f'SESSION {name} = {value}' for name, value in found.items())}"


def _own_settings(server: Server) -> tuple[str, str]:
    """Return what keeps some settings aside and sets Lockstep's, and what sets them back. Pure."""
    found = _OWN | _OWN_OF[server.kind] | {"sql_mode": f"'{SQL_MODES[server.kind]}'"}
    kept = ", ".join(f"@lockstep_{name} = @@SESSION.{name}, SESSION {name} = {value}" for name, value in found.items())
    return f"SET {kept}", f"SET {', '.join(f'SESSION {name} = @lockstep_{name}' for name in found)}"


def _lock_settings(seconds: int) -> dict[str, str]:
    """Return what limits the waiting for locks, of tables and of rows."""
    return {"lock_wait_timeout": str(seconds), "innodb_lock_wait_timeout": str(seconds)}


class SessionState:
    """Keeps one session as it was set up: COM_RESET_CONNECTION would let go of the lock too."""

    def __init__(self, channel: Channel, server: Server, log: Log) -> None:
        self._channel = channel
        self._server = server
        self._log = log
        self._variables: Mapping[str, str] | None = None
        self._role: str | None = None
        self._settings = settings(server)
        self._own_settings = _own_settings(server)
        self._is_own = False
        self._lock_seconds = 0

    def set_up(self) -> None:
        """Set the session up: when it is new, and whatever SQL has made of it."""
        self._channel.query(self._settings)
        self._lock_seconds = OWN_LOCK_SECONDS

    def wait_for_locks(self, seconds: int) -> None:
        """Limit the waiting for locks, unless it is limited so."""
        if seconds != self._lock_seconds:
            found = ", ".join(f"SESSION {name} = {value}" for name, value in _lock_settings(seconds).items())
            self._channel.query(f"SET {found}")
            self._lock_seconds = seconds

    def before(self, script: SqlScript) -> None:
        """Note what a migration may change, if it may change anything."""
        if script.touches_session and self._variables is None:
            self._variables = self._read()
            self._role = self._current_role()

    def settle(self, script: SqlScript) -> None:
        """Set again what the ledger's statements rely on: in the migration's own transaction, before its record."""
        if script.touches_session:
            self.set_up()
            self._take_role(script)

    @contextmanager
    def own(self, script: SqlScript) -> Iterator[None]:
        """Keep from Lockstep's own statements what a migration has set, in the middle of it.

        A definition that was looked at under its settings would be another one to the run that goes on.
        """
        if self._is_own or not script.touches_session:
            yield
            return
        keep, back = self._own_settings
        self._is_own = True
        try:
            self._channel.query(keep)
            role = self._take_role(script)
            yield
        except BaseException:
            # Of two errors the first one counts.
            with suppress(SqlError, ConnectionLostError):
                self._channel.query(back)
            raise
        finally:
            self._is_own = False
        if role is not None:
            self._channel.query(role)
        self._channel.query(back)

    def _take_role(self, script: SqlScript) -> str | None:
        """Take the role that the session began with; return what takes the SQL's again, if it was another."""
        if not script.sets_role or (role := self._current_role()) == self._role:
            return None
        self._channel.query(f"SET ROLE {self._role or 'NONE'}")
        return f"SET ROLE {role or 'NONE'}"

    def clean(self, script: SqlScript) -> None:
        """Take away what a migration has left in the session, as far as it can be found.

        Raises:
            ConnectionLostError: if the connection is gone.
        """
        if script.touches_session:
            self.set_up()
        for name in script.locks:
            self._release(name)
        if script.variables:
            names = ", ".join(f"@`{name}` = NULL" for name in script.variables)
            self._try(f"SET {names}")
        if not script.touches_session:
            return
        for subject in temporary_tables(script.heads):
            self._try(f"DROP TEMPORARY TABLE IF EXISTS {quoted(subject, self._server.database)}")
        for name in script.prepared:
            self._try(f"DEALLOCATE PREPARE `{name}`", quiet=True)
        self._restore()
        if self._channel.query("SELECT DATABASE()") != ((self._server.database,),):
            self._try(f"USE {quote(self._server.database)}")

    def _release(self, name: str) -> None:
        """Let go of a user lock, which would last as long as the run; of one of Lockstep's own, never."""
        # It is held as often as it was taken.
        mine = f"{name} LIKE '{OWN_LOCKS}%'"
        with suppress(SqlError):
            while self._channel.query(f"SELECT IF({mine}, NULL, RELEASE_LOCK({name}))") == ((1,),):
                pass

    def _restore(self) -> None:
        assert self._variables is not None  # noqa: S101 - `before` has noted them
        for name, value in self._read().items():
            before = self._variables.get(name)
            if before is not None and before != value and not _MOVING.fullmatch(name):
                self._try(f"SET SESSION {name} = {before if _NUMBER.fullmatch(before) else _string(before)}")
        if self._current_role() != self._role:
            self._try(f"SET ROLE {self._role or 'NONE'}")

    def _read(self) -> dict[str, str]:
        return {str(name).lower(): str(value) for name, value in self._channel.query("SHOW SESSION VARIABLES")}

    def _current_role(self) -> str | None:
        [(role,)] = self._channel.query("SELECT CURRENT_ROLE()")
        if role is None or str(role).upper() == "NONE":
            return None
        return str(role) if not self._server.maria else quote(str(role))

    def _try(self, sql: str, *, quiet: bool = False) -> None:
        try:
            self._channel.query(sql)
        except SqlError as error:
            if not quiet:
                self._log("session_not_reset", level="warning", error=error.text)


def quote(name: str) -> str:
    """Quote an identifier. Pure."""
    return "`" + name.replace("`", "``") + "`"


def quoted(subject: Subject, database: str) -> str:
    """Return an object's name, qualified and quoted. Pure."""
    own = quote(subject.name)
    return own if subject.kind == "database" else f"{quote(subject.schema or database)}.{own}"


def _string(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
