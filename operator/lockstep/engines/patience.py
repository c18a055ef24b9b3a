"""Trying again what has met a lock, for a while, and saying who stands in the way."""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import closing
from typing import Any, Final, Generic, Protocol, TypeVar

from lockstep.api.reasons import Reason
from lockstep.engines.base import ConnectionLostError, Log, RunError
from lockstep.engines.control import Control

TRIES: Final = 6
"""How often something is tried that meets a lock, before the run gives way; a later run tries again."""
FIRST_PAUSE: Final = 0.3
LONGEST_PAUSE: Final = 5.0
"""Seconds between two tries: each time twice as long, and half as much more or less by chance."""

POLL_SECONDS: Final = 0.1
"""Seconds between two tries at the line's lock, as much more or less by chance as above."""


class Closable(Protocol):
    """A connection, as far as it matters here."""

    def close(self) -> None:
        """Let go of it."""


T = TypeVar("T")
Second = TypeVar("Second", bound=Closable)


def pause_for_lock(control: Control) -> None:
    """Wait a little before the line's lock is tried again, each run a different while.

    Raises:
        RunError: if the run must stop.
    """
    control.pause(POLL_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
    if (reason := control.stop) is not None:
        raise RunError(reason, "the run was asked to stop while it waited for the lock")


class Onlooker(ABC, Generic[Second]):
    """Looks from a second connection at the sessions that stand in the way, and keeps what it has seen."""

    def __init__(self, beside: Callable[[], Second]) -> None:
        self._beside = beside
        self._seen = ""

    @abstractmethod
    def _ask(self, beside: Second) -> str | None:
        """Return who stands in the way, to append to a message; None: it cannot be told."""

    def forget(self) -> None:
        """Begin a new wait."""
        self._seen = ""

    def look(self) -> None:
        """Ask now; that it cannot be asked is no error."""
        try:
            with closing(self._beside()) as beside:
                found = self._ask(beside)
        except (RunError, ConnectionLostError):
            return
        if found is not None:
            self._seen = found

    def words(self) -> str:
        """Return who was seen, to append to a message."""
        return self._seen


class PassingError(Exception):
    """A lock, a deadlock or a serialization failure: nothing of the try is left, and the next one may pass."""

    def __init__(self, code: str | int, words: str, give_up: Callable[[int, str], RunError]) -> None:
        """Say what was met.

        Args:
            code: the server's word for it, for the log.
            words: what stands in the way.
            give_up: how the run ends after so many tries, given who stood in the way.
        """
        super().__init__(code)
        self.code = code
        self.words = words
        self.give_up = give_up


class Patience:
    """Tries again for a while."""

    def __init__(self, control: Control, log: Log, onlooker: Onlooker[Any] | None = None) -> None:
        self._control = control
        self._log = log
        self._onlooker = onlooker

    def persist(self, attempt: Callable[[], T], version: str | None, waiting: Callable[[str], None]) -> T:
        """Return what an attempt returns that met no lock; `waiting` is told what stands in the way.

        Raises:
            RunError: what the last of them gives up with, if each has met one; or whatever ended an attempt.
        """
        gave_up: RunError | None = None
        blockers = ""
        for number in range(1, TRIES + 1):
            if self._onlooker is not None:
                self._onlooker.forget()
            try:
                return attempt()
            except PassingError as passing:
                if self._onlooker is not None:
                    # A look at them may have come too late this time.
                    blockers = self._onlooker.words() or blockers
                gave_up = passing.give_up(number, blockers)
                if number == TRIES:
                    raise gave_up from passing
                self._log("retry", version=version, attempt=number, code=passing.code)
                waiting(f"{passing.words}{blockers}")
                pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (number - 1))
                self._control.pause(pause * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
            except RunError as stopped:
                # What it waited for until its deadline says more than the deadline.
                if gave_up is not None and stopped.reason is Reason.DEADLINE_EXCEEDED:
                    raise gave_up from stopped
                raise
        raise AssertionError  # the last try has raised
