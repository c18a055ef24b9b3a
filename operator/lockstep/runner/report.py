"""What the run says: JSON lines on stdout, and the result as the last of them and as the termination message.

A second net: whatever line is about to be written, the Secret's password and URL are taken out of its texts. The
first is that no message is ever made of them. Plain json and no logging library: it starts in no time.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TextIO
from urllib.parse import quote

from msgspec.structs import replace

from lockstep.planning.result import Progress, Result, encode_result

PROGRESS_SECONDS: Final = 1.0
"""At most one progress line in this time; the first and the last always go out."""
SHORTEST_SECRET: Final = 4
"""Shorter passwords are no secret, and taking them out would take everything out."""
MASK: Final = "•••"


class Report:
    """Writes the run's log."""

    def __init__(
        self,
        termination_log: str,
        out: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._termination_log = termination_log
        self._out = out or sys.stdout
        self._clock = clock
        self._secrets: list[str] = []
        self._last: float | None = None
        self._held: Progress | None = None

    def hide(self, secrets: Sequence[str]) -> None:
        """Take these out of everything from now on, also percent-encoded."""
        forms = {form for each in secrets for form in (each, quote(each, safe="")) if len(each) >= SHORTEST_SECRET}
        # The longest first, since one may be a part of another.
        self._secrets = sorted(forms, key=len, reverse=True)

    def scrub(self, text: str) -> str:
        """Return a text without the secrets."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text

    def log(self, event: str, level: str = "info", **fields: object) -> None:
        """Write one line."""
        document: dict[str, object] = {"time": _now(), "level": level, "event": event}
        for key, value in fields.items():
            if value is not None:
                document[key] = self.scrub(value) if isinstance(value, str) else value
        self._write(json.dumps(document, separators=(",", ":"), ensure_ascii=False, default=str))

    def progress(self, progress: Progress) -> None:
        """Say how far the run is, now or, where it comes too soon after another, with the next that is due."""
        now = self._clock()
        if self._last is not None and now - self._last < PROGRESS_SECONDS:
            self._held = progress
            return
        self._say(progress, now)

    def _say(self, progress: Progress, now: float) -> None:
        self._last, self._held = now, None
        self._write(replace(progress, message=self.scrub(progress.message)).encode())

    def finish(self, result: Result) -> None:
        """Write the result: the last line, and the termination message."""
        if self._held is not None:
            self._say(self._held, self._clock())
        line = encode_result(replace(result, message=self.scrub(result.message)))
        try:
            Path(self._termination_log).write_text(line, encoding="utf-8")
        except OSError as error:
            # The line in the log is as good.
            self.log("no_termination_log", level="warning", error=type(error).__name__)
        self._write(line)

    def _write(self, line: str) -> None:
        self._out.write(line + "\n")
        self._out.flush()


def _now() -> str:
    seconds = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds * 1000) % 1000:03d}Z"
