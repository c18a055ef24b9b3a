"""One connection for the run, made through SQLAlchemy and never replaced, and short ones beside it."""

import codecs
import os
import socket
import ssl
import threading
from contextlib import suppress
from typing import Any, Final

import pymysql
from pymysql.cursors import Cursor
from sqlalchemy import Connection

from lockstep.api.reasons import Reason
from lockstep.engines.base import Files, Identity, RunError, Task
from lockstep.engines.control import Control
from lockstep.engines.mounts import mounted
from lockstep.engines.mysql.channel import Channel, Raw, SqlError
from lockstep.engines.mysql.errors import IN_CLEAR, connect_error
from lockstep.engines.portable.store import open_once
from lockstep.planning.wire import Tls

CONNECT_SECONDS: Final = "10"
"""Seconds for the server to answer, where the URL does not say."""
BESIDE_SECONDS: Final = 5
"""The same for a connection beside the run's own: what waits for it is cancelled by it."""
PORT: Final = 3306
_KEEPALIVE: Final = (
    ("TCP_KEEPIDLE", 5),
    ("TCP_KEEPINTVL", 2),
    ("TCP_KEEPCNT", 3),
    ("TCP_USER_TIMEOUT", 15_000),
)

_FIRST: Final = "SET SESSION autocommit = 1, completion_type = 0, sql_mode = 'STRICT_ALL_TABLES'"
"""Until the session is set up: SQLAlchemy would quote names as the server's own mode has it."""
_IN_CLEAR: Final = frozenset({b"mysql_clear_password", b"dialog"})
"""Ways to authenticate (PAM, LDAP) in which the client sends the password as it is."""
LETTERS: Final = "lockstep_utf8"
"""UTF-8; what is none is shown as bytes: SQL may have told the server to answer in other letters."""


def _find_letters(name: str) -> codecs.CodecInfo | None:
    if name != LETTERS:
        return None
    return codecs.CodecInfo(codecs.utf_8_encode, lambda data, _errors="": codecs.utf_8_decode(data, "backslashreplace"))


codecs.register(_find_letters)


class Driver(pymysql.connections.Connection):
    """The driver's connection, which would read all CAs of the image to verify nobody: for longer than it connects."""

    def _create_ssl_ctx(self, sslp: ssl.SSLContext | dict[str, Any]) -> ssl.SSLContext:
        made: ssl.SSLContext = super()._create_ssl_ctx(sslp or _trusting())  # type: ignore[misc]  # no stub has it
        return made

    def _process_auth(self, plugin_name: bytes, *packet: Any) -> Any:
        """Answer a server that asks for another way to authenticate: never with the password itself for all to read."""
        if plugin_name in _IN_CLEAR and not (self._secure or self.unix_socket):  # type: ignore[attr-defined]  # no stub
            raise pymysql.err.OperationalError(IN_CLEAR, "")
        return super()._process_auth(plugin_name, *packet)  # type: ignore[misc]  # no stub has it


class Connector:
    """Makes connections to one target, for the run and beside it."""

    def __init__(self, task: Task, control: Control) -> None:
        params = task.target.params
        self._secret = task.order.database.secret
        self._control = control
        self._address = (params.get("host", "localhost"), int(params.get("port", PORT)))
        self._socket = params.get("socket")
        self._seconds = int(params.get("connect_timeout", CONNECT_SECONDS))
        self._arguments: dict[str, Any] = {
            "host": self._address[0],
            "port": self._address[1],
            "unix_socket": self._socket,
            "user": params.get("user", ""),
            # Bytes, since the driver would take letters beyond Latin-1 for an error.
            "password": params.get("password", "").encode("utf-8", "surrogateescape"),
            "database": params["database"],
            "charset": "utf8mb4",
            "autocommit": True,
            "local_infile": False,
            "program_name": program_name(task.identity),
            "defer_connect": True,
            **tls_arguments(params.get("sslmode"), task.order.database.tls, task.files),
        }

    def open(self) -> tuple[Connection, Channel]:
        """Connect for the run.

        Raises:
            RunError: if it cannot be done.
        """
        raw, handle = self._create(self._seconds, None)
        try:
            connection = open_once("mysql+pymysql://", lambda: raw, self._arguments["database"])
            # From here on the pool has no say over it, and nothing to say of its end.
            connection.detach()
        except BaseException:
            # Lost meanwhile, it has closed itself: the driver makes an error of a second time.
            with suppress(Exception):
                raw.close()
            handle.close()
            raise
        return connection, Channel(raw, handle, self._control, self.kill)

    def beside(self) -> Channel:
        """Connect a second time, for a moment.

        Raises:
            RunError: if it cannot be done.
        """
        raw, handle = self._create(min(BESIDE_SECONDS, self._seconds), BESIDE_SECONDS)
        return Channel(raw, handle, self._control, self.kill)

    def kill(self, connection: int, what: str) -> None:
        """Have the server end a session (CONNECTION) or what it is doing (QUERY); that there is none is no error.

        Raises:
            RunError: if it cannot be asked.
            ConnectionLostError: as well.
            SqlError: if it is not allowed.
        """
        channel = self.beside()
        try:
            channel.query(f"KILL {what} {connection:d}")
        except SqlError as error:
            if error.number != 1094:
                raise
        finally:
            channel.close()

    def _create(self, seconds: int, read_seconds: int | None) -> tuple[Raw, socket.socket]:
        try:
            plain = self._reach(seconds)
        except OSError as error:
            # `from None`: the text names the host.
            raise connect_error(error, self._secret) from None
        handle = plain.dup()
        # The driver would wait for ever for a server that takes the connection and says nothing.
        timer = threading.Timer(seconds, _shut, (handle,))
        timer.daemon = True
        timer.start()
        try:
            raw = Driver(**self._arguments, cursorclass=Cursor, read_timeout=read_seconds, write_timeout=read_seconds)
            raw.connect(plain)
            raw.encoding = LETTERS
            # In no transaction yet: whatever the server sets for each that connects.
            raw.query(_FIRST)
        except (pymysql.err.Error, OSError, RuntimeError) as error:
            handle.close()
            plain.close()
            raise connect_error(error, self._secret) from None
        finally:
            timer.cancel()
        return raw, handle

    def _reach(self, seconds: int) -> socket.socket:
        if self._socket:
            found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            found.settimeout(seconds)
            found.connect(self._socket)
        else:
            found = socket.create_connection(self._address, seconds)
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _KEEPALIVE:
                # Not every platform has all of them.
                if (option := getattr(socket, name, None)) is not None:
                    found.setsockopt(socket.IPPROTO_TCP, option, value)
        return found


def _trusting() -> ssl.SSLContext:
    """Return what takes whatever certificate a server has."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _shut(handle: socket.socket) -> None:
    with suppress(OSError):
        handle.shutdown(socket.SHUT_RDWR)


def program_name(identity: Identity) -> str:
    """Return what the server's list of connection attributes shows: `lockstep` and the pod."""
    return f"lockstep {identity.pod}"[:63]


def tls_arguments(mode: str | None, tls: Tls, files: Files) -> dict[str, Any]:
    """Return the driver's arguments for TLS; without any it is used where the server offers it.

    Raises:
        RunError: SecretNotFound, SecretKeyNotFound or TLSFailed.
    """
    given = tls.ca_secret is not None
    # A CA is given to verify the server with.
    mode = tls.mode or mode or ("verify-full" if given else "prefer")
    if mode == "disable":
        return {"ssl_disabled": True}
    if mode == "prefer" and tls.client_certificate_secret is None:
        return {}
    context = _trusting()
    if mode in {"verify-ca", "verify-full"}:
        context.verify_mode = ssl.CERT_REQUIRED
        context.check_hostname = mode == "verify-full"
    try:
        if given:
            what = str(mounted(files.ca, tls.ca_key, tls.ca_secret or "", "CA"))
            context.load_verify_locations(what)
        elif context.verify_mode is ssl.CERT_REQUIRED:
            what = "the CAs of the image"
            context.load_default_certs()
        if tls.client_certificate_secret is not None:
            name = tls.client_certificate_secret
            what = str(mounted(files.client_certificate, "tls.crt", name, "client certificate"))
            key = str(mounted(files.client_certificate, "tls.key", name, "client certificate's key"))
            context.load_cert_chain(what, key)
    except (ssl.SSLError, OSError):
        # `from None`: nothing of a key may come with it.
        raise RunError(
            Reason.TLS_FAILED,
            f"{os.path.basename(what)} of spec.database.tls cannot be read as PEM, or does not match its key",
        ) from None
    return {"ssl": context}
