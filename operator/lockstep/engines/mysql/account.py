"""What a migration's statements do and are warned of, for the log: a few lines, whatever they are."""

from collections.abc import Iterable
from typing import Final

from lockstep.engines.base import Log
from lockstep.engines.mysql.channel import Reply

WARNINGS: Final = 200
"""Warnings of one migration that are logged; the others are counted."""
SLOW_SECONDS: Final = 1.0
"""A statement that took longer is logged."""


class Account:
    """What is said of one migration; takes no memory, however much there is."""

    def __init__(self, log: Log, version: str | None, statements: int) -> None:
        self._log = log
        self._version = version
        self._statements = statements
        self._warnings = 0
        self._rows = 0

    @property
    def asks(self) -> bool:
        """Whether further warnings are of use."""
        return self._warnings < WARNINGS

    def ran(self, number: int, reply: Reply, *, always: bool = False) -> None:
        """Count a statement's rows, and log it if it took long or is to be logged anyway."""
        self._rows += reply.affected
        self._warnings += reply.warnings
        if always or reply.seconds > SLOW_SECONDS:
            self._log(
                "statement",
                version=self._version,
                statement=number,
                of=self._statements,
                rows=reply.affected,
                ms=int(reply.seconds * 1000),
            )

    def warned(self, number: int, warnings: Iterable[tuple[int, str]]) -> None:
        """Log what the server has warned of."""
        for error, words in warnings:
            self._log("warning", level="warning", version=self._version, statement=number, number=error, message=words)

    def close(self) -> None:
        """Say how many rows and warnings there were in all."""
        if self._rows or self._warnings:
            self._log("statements", version=self._version, rows=self._rows, warnings=self._warnings)
