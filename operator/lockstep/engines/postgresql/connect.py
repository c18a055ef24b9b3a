"""One connection of psycopg's own, checked before anything is done with it.

There is no pool and no engine around it that could replace it on its own, since the lock would be lost with it.
"""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.conninfo import make_conninfo

from lockstep.api.reasons import Reason
from lockstep.engines.base import Files, Identity, RunError, Task
from lockstep.engines.control import Control
from lockstep.engines.mounts import mounted
from lockstep.engines.postgresql.channel import Channel
from lockstep.engines.postgresql.errors import connect_error
from lockstep.engines.postgresql.messages import Command, SqlError
from lockstep.planning.wire import Tls

CONNECT_SECONDS: Final = "10"
"""Seconds for one host to answer, where the URL does not say."""
OLDEST: Final = 140000

SAFE_PATH: Final = "SET search_path = pg_catalog, pg_temp"
"""First word of every session of Lockstep's own: an application's role can capture unqualified names."""
SETTINGS: Final = {
    "lock_timeout": "10s",
    "statement_timeout": "60s",
    "idle_in_transaction_session_timeout": "10s",
    "idle_session_timeout": "0",
    "client_min_messages": "notice",
    "standard_conforming_strings": "on",
    # A vanished client's backend, and its locks with it, are gone within seconds.
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10s",
    "client_connection_check_interval": "2s",
}
"""What Lockstep's own statements run under; a migration's SQL has time limits of its own."""
_TRANSACTION_TIMEOUT: Final = """
SELECT pg_catalog.current_setting('transaction_timeout'::pg_catalog.text, true)
"""
"""From 17 on; as an option of the connection older ones would refuse it."""
_OPTIONAL: Final = frozenset(name for name in SETTINGS if name.startswith(("tcp_", "client_connection_")))
_OPTIONS: Final = " ".join(f"-c {name}={value}" for name, value in SETTINGS.items())


class Connector:
    """Makes connections to one target, for the run and beside it."""

    def __init__(self, task: Task, control: Control) -> None:
        self._secret = task.order.database.secret
        self._control = control
        self._params = _protect(dict(task.target.params), task.order.database.tls, task.files)
        self._params.setdefault("connect_timeout", CONNECT_SECONDS)
        self._params.setdefault("gssencmode", "disable")
        self._given_options = self._params.get("options", "")
        self._params["options"] = f"{self._given_options} {_OPTIONS}".strip()
        self.resets_to_settings = True
        """Whether RESET ALL leads to SETTINGS: they were the session's start."""
        self._params |= {
            "application_name": application_name(task.identity),
            "client_encoding": "UTF8",
            "keepalives_idle": "5",
            "keepalives_interval": "2",
            "keepalives_count": "3",
            "tcp_user_timeout": "15000",
        }

    def open(self) -> Channel:
        """Connect for the run, with the session set up for Lockstep's own statements.

        Raises:
            RunError: if it cannot be done.
        """
        # psycopg would log connection errors in its own words.
        logging.getLogger("psycopg").setLevel(logging.CRITICAL)
        raw = self._create()
        self._pin(raw)
        return Channel(raw, self._control)

    def beside(self) -> Channel:
        """Connect a second time, to the very server that the first connection has reached."""
        return Channel(self._create(), self._control)

    def _pin(self, raw: "psycopg.Connection[Any]") -> None:
        """Hold later connections to the host that was chosen among several."""
        info = raw.pgconn
        self._params = {
            key: value for key, value in self._params.items() if key not in {"hostaddr", "target_session_attrs"}
        }
        self._params |= {"host": info.host.decode(), "port": info.port.decode()}
        if (address := info.hostaddr.decode()) and not info.host.startswith(b"/"):
            self._params["hostaddr"] = address

    def _create(self) -> "psycopg.Connection[Any]":
        try:
            return self._connect()
        except psycopg.Error as error:
            if not self.resets_to_settings or "parameter" not in str(error):
                # `from None`: the text names host, user and database.
                raise connect_error(str(error), self._secret) from None
        # A pooler takes no options, and some platform may not know one of these.
        self.resets_to_settings = False
        self._params["options"] = self._given_options
        try:
            return self._connect()
        except psycopg.Error as error:
            raise connect_error(str(error), self._secret) from None

    def _connect(self) -> "psycopg.Connection[Any]":
        return psycopg.connect(make_conninfo(**self._params), autocommit=True, prepare_threshold=None)


def application_name(identity: Identity) -> str:
    """Return what pg_stat_activity shows: `lockstep` and the pod, cut to PostgreSQL's 63 bytes."""
    return f"lockstep {identity.pod}"[:63]


def _protect(params: dict[str, str], tls: Tls, files: Files) -> dict[str, str]:
    """Add what database.tls says."""
    if tls.ca_secret is not None:
        params["sslrootcert"] = str(mounted(files.ca, tls.ca_key, tls.ca_secret, "CA"))
        # A CA is given to verify the server with.
        params.setdefault("sslmode", "verify-full")
    if tls.client_certificate_secret is not None:
        name = tls.client_certificate_secret
        certificate = mounted(files.client_certificate, "tls.crt", name, "client certificate")
        key = mounted(files.client_certificate, "tls.key", name, "client certificate's key")
        params["sslcert"] = str(certificate)
        params["sslkey"] = _private_copy(key, files.private)
    if tls.mode is not None:
        params["sslmode"] = tls.mode
    return params


def _private_copy(key: Path, folder: str) -> str:
    """Copy a key to where only this process reads it: libpq takes no other."""
    place = tempfile.mkdtemp(prefix="lockstep-", dir=folder)
    copy = os.path.join(place, "tls.key")
    with os.fdopen(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out, key.open("rb") as source:
        shutil.copyfileobj(source, out)
    return copy


def set_up(channel: Channel, *, started_with: bool) -> list[Command]:
    """Set the session up; return the commands that do so again after a RESET ALL."""
    commands = [Command(SAFE_PATH)]
    if not started_with:
        commands += [command for name, command in _settings() if name not in _OPTIONAL or _takes(channel, command)]
    *_, limit = channel.run([*commands, Command(_TRANSACTION_TIMEOUT)])
    if limit.rows[0][0] not in {None, "0"}:
        # Of the role or the database: a transaction that has begun under it ends by it, whatever is set then.
        commands.append(Command("SET transaction_timeout = '0'"))
        channel.run(commands[-1:])
    return commands


def _settings() -> Iterator[tuple[str, Command]]:
    for name, value in SETTINGS.items():
        yield name, Command(f"SET {name} = '{value}'")


def _takes(channel: Channel, command: Command) -> bool:
    """Tell whether this platform has a setting."""
    try:
        channel.run([command])
    except SqlError:
        return False
    return True


def check_server(channel: Channel, pooler: str) -> None:
    """See that this is a primary that takes writes, and no pooler that was not announced.

    Raises:
        RunError: EngineNotSupported, PoolerDetected or ReadOnly.
    """
    if channel.server_version < OLDEST:
        raise RunError(
            Reason.ENGINE_NOT_SUPPORTED, f"the server is PostgreSQL {channel.server_version // 10000}; 14 is the oldest"
        )
    [(pid, recovering, read_only)] = channel.query(
        "SELECT pg_catalog.pg_backend_pid(), pg_catalog.pg_is_in_recovery(), "
        "pg_catalog.current_setting('default_transaction_read_only')"
    )
    if recovering == "t":
        raise RunError(Reason.READ_ONLY, "the server is a standby: the Secret must name the primary")
    if read_only == "on":
        raise RunError(Reason.READ_ONLY, "the database is read-only (default_transaction_read_only is on)")
    if pid != str(channel.pid) and pooler != "Session":
        raise RunError(
            Reason.POOLER_DETECTED,
            "a connection pooler is between Lockstep and PostgreSQL, and the lock lives in a session: name the "
            "server itself in the Secret, or, if the pooler keeps a session a client, set database.pooler: Session",
        )


def check_pooler(channel: Channel, beside: Channel) -> None:
    """See that a pooler keeps this client's session, while a second client is in a transaction.

    A pooler that hands out sessions by transaction gives the second client the session that was just used, or the
    first one another than before.

    Raises:
        RunError: PoolerDetected.
    """
    ask = "SELECT pg_catalog.pg_backend_pid()"
    for _ in range(3):
        first = channel.query(ask)
        second = beside.run([Command("BEGIN READ ONLY"), Command(ask)])[1].rows
        again = channel.query(ask)
        beside.run([Command("ROLLBACK")])
        if first != again or first == second:
            raise RunError(
                Reason.POOLER_DETECTED,
                "the pooler in between gives its sessions to one client after the other, and the lock lives in a "
                "session: let it pool by session, or name the server itself in the Secret",
            )
