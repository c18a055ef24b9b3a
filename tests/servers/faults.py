"""A TCP proxy before a database that is slow, or strikes when the client says a word."""

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Callable
from enum import Enum

ANSWER_SECONDS = 30.0
"""How long a server may take to do what it is cut off after."""


class Fault(Enum):
    """What to do when the client sends the word that is waited for."""

    CUT_BEFORE = "the server gets all up to the word, then both ends are closed"
    CUT_AFTER = "the server gets it and does it; then both ends are closed, and the client learns nothing"
    FREEZE = "what has the word and all after it is dropped, in both directions, and nothing is closed"


def by_postgresql(sent: bytes, answer: bytes) -> bool:
    """Tell whether PostgreSQL has answered all of what was sent: each Sync, or one simple query."""
    return all_synced(sent, answer) and b"Z\0\0\0\5" in answer


def all_synced(sent: bytes, answer: bytes) -> bool:
    """Tell whether PostgreSQL has answered each Sync of what was sent; there may be none."""
    return answer.count(b"Z\0\0\0\5") >= sent.count(b"S\0\0\0\4")


def by_mysql(_: bytes, answer: bytes) -> bool:
    """Tell whether MySQL has answered a statement, or several in one text, the last of which returns no rows."""
    last = b""
    while len(answer) >= 4:
        size = 4 + int.from_bytes(answer[:3], "little")
        last, answer = answer[4:size], answer[size:] if size <= len(answer) else b"?"
    # Fewer than 251 rows changed, no number given: the status comes next, and says whether there are more answers.
    return answer == b"" and (last[:1] == b"\xff" or (last[:1] == b"\0" and not last[3] & 8))


class FaultyProxy:
    """Stands before a server on this machine.

    Args:
        port: the server's.
        delay: seconds by which everything is late.
        answered: tells by what was sent, and by what has come back, whether the server is through with it.
    """

    def __init__(
        self, port: int, *, delay: float = 0.0, answered: Callable[[bytes, bytes], bool] = by_postgresql
    ) -> None:
        self._target = port
        self._delay = delay
        self.answered = answered
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._word = b""
        self._fault: Fault | None = None
        self._sockets: list[socket.socket] = []
        self._stop = threading.Event()
        self.struck = threading.Event()
        """Set once the fault has happened."""
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> "FaultyProxy":
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(5)

    def on(self, word: bytes, fault: Fault) -> None:
        """Strike when a client sends this, once."""
        self.struck.clear()
        self._word, self._fault = word, fault

    def cut(self) -> None:
        """Close every connection, both ends."""
        sockets, self._sockets = self._sockets, []
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets += [client, server]
            link = _Link()
            for pump in (_Pump(self, client, server, link, watch=True), _Pump(self, server, client, link)):
                self._threads += pump.start(self._delay)

    def strikes(self, data: bytes) -> Fault | None:
        """Tell whether the word is in what a client sends, and what to do then."""
        fault = self._fault
        if fault is None or self._word not in data:
            return None
        self._fault = None
        return fault

    @property
    def word(self) -> bytes:
        """The word that is waited for."""
        return self._word


class _Link:
    """What the two directions of one connection know of each other."""

    def __init__(self) -> None:
        self.silent = threading.Event()
        """Set when nothing of what is said reaches the other side any more."""
        self._heard = threading.Condition()
        self._answer = bytearray()
        self._ended = False

    def hear(self, data: bytes) -> None:
        """Note what the server says to nobody; nothing: it has closed."""
        with self._heard:
            self._answer += data
            self._ended = self._ended or not data
            self._heard.notify_all()

    def wait(self, is_whole: Callable[[bytes], bool]) -> None:
        """Wait until the server has answered, or has closed."""
        with self._heard:
            self._heard.wait_for(lambda: self._ended or is_whole(bytes(self._answer)), ANSWER_SECONDS)


class _Pump:
    """Carries bytes one way; in a second thread where they are to be late."""

    def __init__(
        self,
        proxy: FaultyProxy,
        source: socket.socket,
        sink: socket.socket,
        link: _Link,
        *,
        watch: bool = False,
    ) -> None:
        self._proxy = proxy
        self._source = source
        self._sink = sink
        self._link = link
        self._watch = watch
        self._late: queue.Queue[tuple[float, bytes]] = queue.Queue()

    def start(self, delay: float) -> list[threading.Thread]:
        """Begin."""
        if not delay:
            threads = [threading.Thread(target=self._read, args=(self._send,), daemon=True)]
        else:

            def later(data: bytes) -> None:
                self._late.put((time.perf_counter() + delay, data))

            threads = [
                threading.Thread(target=self._read, args=(later,), daemon=True),
                threading.Thread(target=self._deliver, daemon=True),
            ]
        for thread in threads:
            thread.start()
        return threads

    def _send(self, data: bytes) -> None:
        if not self._link.silent.is_set():
            with contextlib.suppress(OSError):
                self._sink.sendall(data)
        elif not self._watch:
            self._link.hear(data)

    def _deliver(self) -> None:
        while True:
            due, data = self._late.get()
            if not data:
                return
            while (wait := due - time.perf_counter()) > 0:
                time.sleep(wait)
            self._send(data)

    def _read(self, forward: Callable[[bytes], None]) -> None:
        while True:
            try:
                data = self._source.recv(1 << 18)
            except OSError:
                data = b""
            if not data:
                break
            fault = self._proxy.strikes(data) if self._watch else None
            if fault is None:
                forward(data)
            else:
                self._strike(fault, data)
        self._late.put((0.0, b""))
        if not self._watch:
            self._link.hear(b"")
        if not self._link.silent.is_set():
            with contextlib.suppress(OSError):
                self._sink.shutdown(socket.SHUT_WR)

    def _strike(self, fault: Fault, data: bytes) -> None:
        if fault is Fault.CUT_AFTER:
            # Nothing of the answer may reach the client.
            self._link.silent.set()
            self._sink.sendall(data)
            self._link.wait(lambda answer: self._proxy.answered(data, answer))
        else:
            if fault is Fault.CUT_BEFORE:
                self._send(data[: data.index(self._proxy.word)])
            self._link.silent.set()
        if fault is not Fault.FREEZE:
            for each in (self._source, self._sink):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
        self._proxy.struck.set()
