"""What a migration's statements say and do, for the log: a few lines, whatever they are."""

from collections.abc import Sequence
from typing import Final

from lockstep.engines.base import Log
from lockstep.engines.postgresql.messages import Notice, Reply

NOTICES: Final = 200
"""Notices of one migration that are logged; the others are counted."""
CHARACTERS: Final = 500
SLOW_SECONDS: Final = 1.0
"""A statement that took longer is logged."""


class Account:
    """What is said of one migration; takes no memory, however much there is."""

    def __init__(self, log: Log, version: str | None, statements: int) -> None:
        self._log = log
        self._version = version
        self._statements = statements
        self._notices = 0
        self.rows = 0
        """Rows that its statements have touched, as the server counts them."""

    def notice(self, number: int, notice: Notice) -> None:
        """Log what the server said while it ran a statement, numbered from 1; what is none of its own is left out."""
        if not 0 < number <= self._statements:
            return
        self._notices += 1
        if self._notices <= NOTICES:
            message = notice.message if len(notice.message) <= CHARACTERS else f"{notice.message[: CHARACTERS - 1]}…"
            self._log(
                "notice", version=self._version, statement=number, severity=notice.severity.lower(), message=message
            )

    def ran(self, found: Sequence[tuple[int, Reply]], together: float | None = None, *, always: bool = False) -> None:
        """Count what statements have touched, and log those that took long.

        Args:
            found: the statements' numbers, from 1, and their answers.
            together: the seconds that all of them took, where they were not answered one by one.
            always: log them whatever they took.
        """
        self.rows += sum(reply.count for _, reply in found)
        if together is not None and len(found) > 1:
            if together > SLOW_SECONDS:
                first, last = found[0][0], found[-1][0]
                self._say("statements", statement=first, last=last, ms=int(together * 1000))
            return
        for number, reply in found:
            seconds = reply.seconds if together is None else together
            if always or seconds > SLOW_SECONDS:
                self._say("statement", statement=number, tag=reply.tag, rows=reply.count, ms=int(seconds * 1000))

    def left_behind(self, number: int, sqlstate: str, indexes: Sequence[str] | None = None) -> None:
        """Log that something of a statement could not be cleaned up."""
        self._say("left_behind", level="warning", statement=number, sqlstate=sqlstate, indexes=indexes)

    def _say(self, event: str, **fields: object) -> None:
        self._log(event, version=self._version, of=self._statements, **fields)

    def close(self) -> None:
        """Say how much was left out."""
        if self._notices > NOTICES:
            left = self._notices - NOTICES
            self._log("notices_left_out", level="warning", version=self._version, notices=left)
