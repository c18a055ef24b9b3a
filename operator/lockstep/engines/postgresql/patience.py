"""Trying again what has met a lock, for a while, and saying who stands in the way."""

import random
from collections.abc import Callable
from typing import Final, TypeVar

from lockstep.api.reasons import Reason
from lockstep.engines.base import Log, RunError
from lockstep.engines.control import Control
from lockstep.engines.postgresql.blockers import Blockers
from lockstep.engines.postgresql.failures import Failure

TRIES: Final = 6
"""How often one migration is tried when it meets a lock, before the run gives way; a later run tries again."""
FIRST_PAUSE: Final = 0.3
LONGEST_PAUSE: Final = 5.0

T = TypeVar("T")


class PassingError(Exception):
    """A lock, a deadlock or a serialization failure: the next try may pass."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.error.sqlstate)
        self.failure = failure


class Patience:
    """Tries again for a while."""

    def __init__(self, control: Control, blockers: Blockers, log: Log) -> None:
        self._control = control
        self._blockers = blockers
        self._log = log

    def persist(self, attempt: Callable[[], T], version: str | None, waiting: Callable[[str], None]) -> T:
        """Return what an attempt returns that met no lock; `waiting` is told what stands in the way.

        Raises:
            RunError: LockTimeout, if each of them met one; or whatever ended an attempt.
        """
        pause = FIRST_PAUSE
        gave_up: RunError | None = None
        blockers = ""
        for number in range(1, TRIES + 1):
            self._blockers.forget()
            try:
                return attempt()
            except PassingError as passing:
                # A look at them may have come too late this time.
                blockers = self._blockers.words() or blockers
                gave_up = _gave_up(passing.failure, number, blockers)
                if number == TRIES:
                    raise gave_up from passing
                self._log("retry", version=version, attempt=number, sqlstate=passing.failure.error.sqlstate)
                waiting(f"{passing.failure.error.primary}{blockers}")
                self._control.pause(pause * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
                pause = min(LONGEST_PAUSE, pause * 2)
            except RunError as stopped:
                # What it waited for until its deadline says more than the deadline.
                if gave_up is not None and stopped.reason is Reason.DEADLINE_EXCEEDED:
                    raise gave_up from stopped
                raise
        raise AssertionError  # pragma: no cover - the last try has raised


def _gave_up(failure: Failure, attempts: int, blockers: str) -> RunError:
    return RunError(
        Reason.LOCK_TIMEOUT,
        f"{failure.place}: tried {attempts} time(s), SQLSTATE {failure.error.sqlstate}: {failure.error.primary}"
        f"{blockers}{failure.left}",
        error=failure.detail,
    )
