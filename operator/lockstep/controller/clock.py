"""Clocks: the wall clock for what people read, a monotonic one for every duration."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What tells the time."""

    def now(self) -> datetime:
        """Return the time of day (UTC): shown on resources, never compared with another host's."""

    def monotonic(self) -> float:
        """Return seconds of a clock that never goes back, for durations in this process."""


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """Return the time of day (UTC)."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that also pass while the process is stopped or the machine sleeps."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)


def rfc3339(moment: datetime) -> str:
    """Return a moment as the API writes it, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
