"""What bounds a run: its deadline, and the wish that it stop."""

import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from lockstep.api.reasons import Reason


class Control:
    """Tells how long a run may still take and whether it shall stop; asked often, never waits by itself."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + seconds
        self._interrupted = False
        self._grace_end = 0.0
        # A socket pair, since a wait for the database must end when a signal comes.
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    @property
    def wakeup(self) -> int:
        """A file descriptor that becomes readable once the run shall stop."""
        return self._reader.fileno()

    def interrupt(self) -> None:
        """Ask the run to stop at the next safe boundary; safe to call from a signal handler."""
        if not self._interrupted:
            self._interrupted = True
            self._writer.send(b"x")

    def remaining(self) -> float:
        """Seconds until the deadline, or until the end of a grace; never below zero."""
        return max(0.0, max(self._end, self._grace_end) - self._clock())

    @contextmanager
    def grace(self, seconds: float, *, at_most: bool = False) -> Iterator[None]:
        """Let a last word through, although the run must stop: for so long nothing asks it to.

        Args:
            seconds: how long.
            at_most: whether it must be said by then, although the deadline may be far.
        """
        end = self._end
        self._grace_end = self._clock() + seconds
        if at_most:
            self._end = min(end, self._grace_end)
        with suppress(BlockingIOError):
            self._reader.recv(1)
        try:
            yield
        finally:
            self._end, self._grace_end = end, 0.0
            if self._interrupted:
                self._writer.send(b"x")

    @property
    def stop(self) -> Reason | None:
        """Why the run must stop now, if it must."""
        if self._clock() < self._grace_end:
            return None
        if self._interrupted:
            return Reason.INTERRUPTED
        return Reason.DEADLINE_EXCEEDED if self.remaining() <= 0 else None

    def pause(self, seconds: float) -> None:
        """Wait, but no longer than the run may go on."""
        select.select([self._reader], [], [], min(seconds, self.remaining()))

    def close(self) -> None:
        """Let go of the file descriptors."""
        self._reader.close()
        self._writer.close()
