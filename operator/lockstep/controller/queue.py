"""A queue of keys: each once, retried with backoff and jitter, worked on by a bounded number of workers.

It holds no payload: who works on a key reads what is so now. So any event may be lost, doubled or reordered.
"""

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import structlog

from lockstep.controller.clock import Clock

log = structlog.get_logger("lockstep.queue")

Key = TypeVar("Key")
FIRST_RETRY: Final = 0.2
"""Seconds before a key whose work failed is tried again; doubles."""
LAST_RETRY: Final = 60.0


@dataclass
class WorkQueue(Generic[Key]):
    """Keys waiting for work, urgent ones first."""

    clock: Clock
    urgent: Callable[[Key], bool] = lambda key: False
    first_retry: float = FIRST_RETRY
    last_retry: float = LAST_RETRY
    _ready: deque[Key] = field(default_factory=deque, init=False)
    _urgent: deque[Key] = field(default_factory=deque, init=False)
    _waiting: set[Key] = field(default_factory=set, init=False)
    _working: dict[Key, float] = field(default_factory=dict, init=False)
    _again: set[Key] = field(default_factory=set, init=False)
    _due: dict[Key, float] = field(default_factory=dict, init=False)
    _heap: list[tuple[float, int, Key]] = field(default_factory=list, init=False)
    _failures: dict[Key, int] = field(default_factory=dict, init=False)
    _sequence: int = field(default=0, init=False)
    _wake: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _replan: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _idle: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    finished_at: float = field(default=0.0, init=False)
    """When a worker last finished a key (monotonic)."""

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def delayed(self) -> int:
        """Keys that wait for their time."""
        return len(self._due)

    def oldest_work(self) -> float:
        """Return the seconds for which the slowest worker has been at its key; 0 if none works."""
        if not self._working:
            return 0.0
        return self.clock.monotonic() - min(self._working.values())

    def add(self, key: Key) -> None:
        """Ask for work on a key soon; while it is being worked on: once more after that."""
        if key in self._working:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            (self._urgent if self.urgent(key) else self._ready).append(key)
            self._wake.set()

    def add_after(self, key: Key, seconds: float) -> None:
        """Ask for work on a key in some seconds; of several times the earliest counts."""
        if seconds <= 0:
            self.add(key)
            return
        due = self.clock.monotonic() + seconds
        if (known := self._due.get(key)) is not None and known <= due:
            return
        self._due[key] = due
        self._sequence += 1
        heapq.heappush(self._heap, (due, self._sequence, key))
        if self._heap[0][2] == key:
            self._replan.set()

    def forget(self, key: Key) -> None:
        """Drop the later times and the failures of a key."""
        self._due.pop(key, None)
        self._failures.pop(key, None)

    def retry_delay(self, key: Key) -> float:
        """Return the seconds until the next try of a key that failed once more, with jitter."""
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        full = min(self.last_retry, self.first_retry * 2.0 ** min(count, 30))
        return full * random.uniform(0.75, 1.25)  # noqa: S311 - jitter

    async def _take(self) -> Key:
        while True:
            for line in (self._urgent, self._ready):
                if line:
                    key = line.popleft()
                    self._waiting.discard(key)
                    # A look now makes a look later superfluous: the work asks for its next time itself.
                    self._due.pop(key, None)
                    self._working[key] = self.clock.monotonic()
                    return key
            self._wake.clear()
            await self._wake.wait()

    async def wait_until_idle(self) -> None:
        """Wait until no worker is at a key; only once no worker takes another."""
        while self._working:
            self._idle.clear()
            await self._idle.wait()

    def _done(self, key: Key) -> None:
        self.finished_at = self.clock.monotonic()
        del self._working[key]
        self._idle.set()
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def promote(self) -> float | None:
        """Move the keys whose time has come to the waiting ones; return the seconds to the next, None without one."""
        now = self.clock.monotonic()
        while self._heap:
            due, _, key = self._heap[0]
            if self._due.get(key) != due:
                heapq.heappop(self._heap)  # superseded
            elif due <= now:
                heapq.heappop(self._heap)
                del self._due[key]
                self.add(key)
            else:
                return due - now
        return None

    async def run_timer(self) -> None:
        """Keep the times of delayed keys, for ever."""
        while True:
            self._replan.clear()
            seconds = self.promote()
            try:
                async with asyncio.timeout(seconds):
                    await self._replan.wait()
            except TimeoutError:
                continue

    async def run_worker(self, work: Callable[[Key], Awaitable[None]], stopping: asyncio.Event) -> None:
        """Work on keys until `stopping`; a failure is logged and tried again later, a fatal one ends the process."""
        while not stopping.is_set():
            key = await self._take()
            try:
                await work(key)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                if getattr(error, "fatal", False):
                    raise
                delay = self.retry_delay(key)
                log.warning(
                    "work failed", key=str(key), error=f"{type(error).__name__}: {error}", retry_in=round(delay, 1)
                )
                self.add_after(key, delay)
            else:
                self._failures.pop(key, None)
            finally:
                self._done(key)
