"""Waiting for conditions, never for luck."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(look: Callable[[], T | None], what: str, seconds: float = 60, every: float = 0.1) -> T:
    """Return what `look` finds, as soon as it finds something true.

    Raises:
        AssertionError: if it does not within `seconds`; with the last thing seen, or the last error.
    """
    deadline = time.monotonic() + seconds
    last: object = None
    while time.monotonic() < deadline:
        try:
            last = found = look()
            if found:
                return found
        except AssertionError as error:
            last = error
        time.sleep(every)
    raise AssertionError(f"not within {seconds:.0f} s: {what}; last seen: {last}")
