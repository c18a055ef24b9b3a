"""A TCP proxy that knows where a protocol's messages end, and strikes at the n-th: before, at or after any of them."""

import contextlib
import re
import selectors
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class Strike(Enum):
    """What happens at the message that is counted down to."""

    CUT = "it is lost with all that follows; the server does what it has got, and both ends are closed"
    KILL = "the same, and the runner is killed"
    KILL_SENT = "the runner is killed; what it had sent by then still arrives"
    HOLD = "it and all that follows that way is held back until `release`; nothing is closed"


class Framing:
    """Finds the ends of messages in a stream."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._to_go = 0

    def head(self) -> int:
        """Return how many bytes a message's head has."""
        raise NotImplementedError

    def size(self, head: bytes) -> int:
        """Return how many bytes a message has in all."""
        raise NotImplementedError

    def ends(self, data: bytes) -> list[int]:
        """Return where messages end in these bytes of the stream."""
        found = []
        at = 0
        while at < len(data):
            if self._to_go == 0:
                missing = self.head() - len(self._kept)
                self._kept += data[at : at + missing]
                at += min(missing, len(data) - at)
                if len(self._kept) < self.head():
                    break
                self._to_go = self.size(bytes(self._kept)) - len(self._kept)
                self._kept.clear()
            else:
                step = min(self._to_go, len(data) - at)
                at += step
                self._to_go -= step
            if self._to_go == 0:
                found.append(at)
        return found


class PostgresqlFraming(Framing):
    """A letter, then the length; the client's first message has no letter. Without TLS."""

    def __init__(self, *, client: bool) -> None:
        super().__init__()
        self._first = client

    def head(self) -> int:
        return 4 if self._first else 5

    def size(self, head: bytes) -> int:
        if self._first:
            self._first = False
            return int.from_bytes(head, "big")
        return 1 + int.from_bytes(head[1:], "big")


class MysqlFraming(Framing):
    """The length, then a number. Without TLS and compression."""

    def __init__(self, *, client: bool) -> None:
        super().__init__()
        self._client = client

    def head(self) -> int:
        return 4

    def size(self, head: bytes) -> int:
        return 4 + int.from_bytes(head[:3], "little")


@dataclass
class _End:
    """One socket, and what comes out of it."""

    own: socket.socket
    other: socket.socket
    framing: Framing
    client: bool
    silent: bool = False
    """Whether what comes out is thrown away: nobody is there any more to hear it."""


@dataclass
class _Armed:
    after: int
    client: bool
    strike: Strike
    kill: Callable[[], None]
    word: bytes
    beyond: int


class CountingProxy:
    """Stands before a server on this machine; one thread carries everything."""

    def __init__(self, port: int, framing: Callable[..., Framing] = PostgresqlFraming) -> None:
        self._target = port
        self._framing = framing
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._ends: dict[socket.socket, _End] = {}
        self._armed: _Armed | None = None
        self._held: dict[socket.socket, bytearray] | None = None
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._ended = False
        self.struck = threading.Event()
        """Set once it has happened."""
        self.counted = {True: 0, False: 0}
        """Messages of the client (True) and of the server (False) since it was armed."""
        self.met = 0
        """Those that had the word."""

    def __enter__(self) -> "CountingProxy":
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        # Wakes the thread.
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            pass
        self._thread.join(10)
        self._listener.close()
        self._close_all()
        self._selector.close()

    def arm(
        self,
        after: int,
        strike: Strike,
        *,
        client: bool = True,
        kill: Callable[[], None] = lambda: None,
        word: bytes = b"",
        beyond: int = 0,
    ) -> None:
        """Strike at the n-th message of one side.

        Args:
            after: n; where a word is given, only messages that have it are counted.
            strike: what to do.
            client: whose messages.
            kill: kills the runner.
            word: what the messages say; a regular expression.
            beyond: how many more messages of that side to let through then.
        """
        with self._lock:
            self.counted, self.met = {True: 0, False: 0}, 0
            self.struck.clear()
            self._armed = _Armed(after, client, strike, kill, word, beyond)

    def disarm(self) -> None:
        """Strike no more."""
        with self._lock:
            self._armed = None

    def release(self) -> None:
        """Send on what was held back."""
        with self._lock:
            held, self._held = self._held or {}, None
            for to, data in held.items():
                with contextlib.suppress(OSError):
                    to.sendall(data)

    def _carry(self) -> None:
        while not self._ended:
            for key, _ in self._selector.select(1):
                if key.fileobj is self._listener:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket) and (end := self._ends.get(key.fileobj)) is not None:
                    with self._lock:
                        self._read(end)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        if self._ended:
            client.close()
            return
        try:
            server = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            client.close()
            return
        for end in (
            _End(client, server, self._framing(client=True), True),
            _End(server, client, self._framing(client=False), False),
        ):
            end.own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._ends[end.own] = end
            self._selector.register(end.own, selectors.EVENT_READ)

    def _read(self, end: _End) -> None:
        try:
            data = end.own.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            self._close(end)
            return
        at = None if end.silent else self._look(end, data)
        if at is None:
            self._send(end, data)
        else:
            self._do(end, data, at)

    def _look(self, end: _End, data: bytes) -> int | None:
        """Count; return where in these bytes the message begins at which to strike."""
        before = 0
        ends = end.framing.ends(data)
        armed = self._armed
        for at in ends:
            if armed is not None and end.client == armed.client and re.search(armed.word, data[before:at]):
                self.met += 1
                armed.after -= 1
                if armed.after == 0 and armed.beyond == 0:
                    return before
                if armed.after == 0:
                    armed.word, armed.after, armed.beyond = b"", armed.beyond, 0
            self.counted[end.client] += 1
            before = at
        return None

    def _do(self, end: _End, data: bytes, at: int) -> None:
        armed, self._armed = self._armed, None
        assert armed is not None
        if armed.strike is Strike.HOLD:
            self._send(end, data[:at])
            self._held = {end.other: bytearray(data[at:])}
        elif armed.strike is Strike.KILL_SENT:
            self._send(end, data)
            armed.kill()
        else:
            self._send(end, data[:at])
            if armed.strike is Strike.KILL:
                armed.kill()
            for each in list(self._ends.values()):
                if each.client:
                    self._close(each)
        self.struck.set()

    def _send(self, end: _End, data: bytes) -> None:
        if end.silent:
            return
        if self._held is not None and end.other in self._held:
            self._held[end.other] += data
            return
        with contextlib.suppress(OSError):
            end.other.sendall(data)

    def _close(self, end: _End) -> None:
        if end.client and (server := self._ends.get(end.other)) is not None:
            # The server is told of the end behind all that was sent, and heard until it is through: it would give up
            # in the middle of what it has got if its answers found nobody.
            server.silent = True
            with contextlib.suppress(OSError):
                end.other.shutdown(socket.SHUT_WR)
            self._forget(end.own)
        else:
            self._forget(end.own)
            self._forget(end.other)

    def _forget(self, own: socket.socket) -> None:
        if self._ends.pop(own, None) is not None:
            self._selector.unregister(own)
        own.close()

    def _close_all(self) -> None:
        for own in list(self._ends):
            self._forget(own)
