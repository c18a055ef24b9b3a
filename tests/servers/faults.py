"""A TCP proxy before a database that is slow, or strikes when the client says a word."""

import contextlib
import queue
import select
import socket
import threading
import time
from collections.abc import Callable
from enum import Enum


class Fault(Enum):
    """What to do when the client sends the word that is waited for."""

    CUT_BEFORE = "the server gets all up to the word, then both ends are closed"
    CUT_AFTER = "the server gets it and does it; then both ends are closed, and the client learns nothing"
    FREEZE = "what has the word and all after it is dropped, in both directions, and nothing is closed"


class FaultyProxy:
    """Stands before a server on this machine."""

    def __init__(self, port: int, *, delay: float = 0.0) -> None:
        self._target = port
        self._delay = delay
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
            silent = threading.Event()
            for pump in (_Pump(self, client, server, silent, watch=True), _Pump(self, server, client, silent)):
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


class _Pump:
    """Carries bytes one way; in a second thread where they are to be late."""

    def __init__(
        self,
        proxy: FaultyProxy,
        source: socket.socket,
        sink: socket.socket,
        silent: threading.Event,
        *,
        watch: bool = False,
    ) -> None:
        self._proxy = proxy
        self._source = source
        self._sink = sink
        self._silent = silent
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
        if not self._silent.is_set():
            with contextlib.suppress(OSError):
                self._sink.sendall(data)

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
        if not self._silent.is_set():
            with contextlib.suppress(OSError):
                self._sink.shutdown(socket.SHUT_WR)

    def _strike(self, fault: Fault, data: bytes) -> None:
        if fault is Fault.CUT_AFTER:
            # Nothing of the answer may reach the client.
            self._silent.set()
            self._sink.sendall(data)
            _wait_until_quiet(self._sink)
        else:
            if fault is Fault.CUT_BEFORE:
                self._send(data[: data.index(self._proxy.word)])
            self._silent.set()
        if fault is not Fault.FREEZE:
            for each in (self._source, self._sink):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
        self._proxy.struck.set()


def _wait_until_quiet(server: socket.socket, seconds: float = 0.5) -> None:
    """Wait until the server has been silent for a while: it is through with what it was sent."""
    while select.select([server], [], [], seconds)[0]:
        try:
            if not server.recv(1 << 16, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                return
        except BlockingIOError:
            pass
        except OSError:
            return
        # The other thread takes it away.
        time.sleep(0.01)
