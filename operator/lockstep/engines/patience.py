"""Trying again what has met a lock, for a while, and saying who stands in the way."""

import random
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from lockstep.api.reasons import Reason
from lockstep.engines.base import Log, RunError
from lockstep.engines.control import Control

TRIES: Final = 6
"""How often something is tried that meets a lock, before the run gives way; a later run tries again."""
FIRST_PAUSE: Final = 0.3
LONGEST_PAUSE: Final = 5.0
"""Seconds between two tries: each time twice as long, and half as much more or less by chance."""

T = TypeVar("T")


class Seen(Protocol):
    """What a look at the server's other sessions has shown."""

    def forget(self) -> None:
        """Begin a new wait."""

    def words(self) -> str:
        """Return who was seen, to append to a message."""


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

    def __init__(self, control: Control, log: Log, seen: Seen | None = None) -> None:
        self._control = control
        self._log = log
        self._seen = seen

    def persist(self, attempt: Callable[[], T], version: str | None, waiting: Callable[[str], None]) -> T:
        """Return what an attempt returns that met no lock; `waiting` is told what stands in the way.

        Raises:
            RunError: LockTimeout, if each of them met one; or whatever ended an attempt.
        """
        gave_up: RunError | None = None
        blockers = ""
        for number in range(1, TRIES + 1):
            if self._seen is not None:
                self._seen.forget()
            try:
                return attempt()
            except PassingError as passing:
                if self._seen is not None:
                    # A look at them may have come too late this time.
                    blockers = self._seen.words() or blockers
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
        raise AssertionError  # pragma: no cover - the last try has raised
