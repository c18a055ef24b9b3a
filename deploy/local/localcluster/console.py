"""What the user sees: one line a step, and how far a long one is."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

console = Console(highlight=False, soft_wrap=True, emoji=False)
HEARTBEAT = 30.0


class LocalClusterError(Exception):
    """Something that the user can act on; shown without a traceback."""


def say(text: str) -> None:
    """Print one line about what happens."""
    console.print(f"[bold]==>[/bold] {text}")


def note(text: str) -> None:
    """Print one line that belongs to the step before."""
    console.print(f"    {text}", style="dim", markup=False)


def minutes(seconds: float) -> str:
    """Render a duration the way people read it."""
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"


@contextmanager
def long_step(text: str, expected: float) -> Iterator[None]:
    """Show a step that takes a while: live on a terminal, a line now and then in a log."""
    started = time.monotonic()
    hint = f"{text} (about {minutes(expected)})"
    done = threading.Event()

    def beat() -> None:
        while not done.wait(HEARTBEAT):
            note(f"{text}: {minutes(time.monotonic() - started)} of about {minutes(expected)}")

    if sys.stdout.isatty():
        with console.status(hint) as status:

            def tick() -> None:
                while not done.wait(1):
                    status.update(f"{text}: {minutes(time.monotonic() - started)} of about {minutes(expected)}")

            thread = threading.Thread(target=tick, daemon=True)
            thread.start()
            try:
                yield
            finally:
                done.set()
                thread.join()
    else:
        note(hint)
        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
    note(f"{text}: done in {minutes(time.monotonic() - started)}")
