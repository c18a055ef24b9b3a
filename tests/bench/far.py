"""The server as it is over a network: each direction is held back, by a process of its own."""

import multiprocessing
import multiprocessing.connection
from collections.abc import Iterator
from contextlib import contextmanager

from servers.faults import FaultyProxy


def _proxy(port: int, delay: float, pipe: multiprocessing.connection.Connection) -> None:
    with FaultyProxy(port, delay=delay) as proxy:
        pipe.send(proxy.port)
        pipe.recv()


@contextmanager
def far_away(port: int, round_trip: float) -> Iterator[int]:
    """Give the port by which a server on this machine is so many seconds away; the work for it is not the client's."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_proxy, args=(port, round_trip / 2, theirs), daemon=True)
    process.start()
    yield ours.recv()
    ours.send(None)
    process.join(10)
