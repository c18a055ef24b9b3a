"""Runners by the dozen: each a process of its own, forked from one that has everything imported.

It starts in milliseconds, takes every signal for itself, and runs the pod's own `main`; only what a pod does before
that, starting Python, is done once for all.
"""

import gc
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lockstep.planning.bundle import pack
from lockstep.planning.result import decode_result
from lockstep.planning.wire import BUNDLE_DIR, SECRET_DIR, Order
from servers.moments import End, Moments
from servers.runner import Ended, Pod

ENGINES = ("postgresql", "mysql", "sqlite")
DIALECTS = {"mysql": "mysql+pymysql", "sqlite": "sqlite+pysqlite"}
"""What SQLAlchemy imports when it first connects to each engine that it carries."""
HURRY: Mapping[str, Mapping[str, float]] = {
    "lockstep.runner.flow": {"LOCK_SECONDS": 0.2},
    "lockstep.engines.patience": {"FIRST_PAUSE": 0.02},
    "lockstep.engines.mysql.session": {"OWN_LOCK_SECONDS": 1},
    "lockstep.engines.mysql.engine": {"OWN_LOCK_SECONDS": 1},
}
"""What a pod that is in a hurry has otherwise: it tries as often as others what meets a lock, and gives way sooner."""
RECONNECT_SECONDS = 0.05
"""The runner waits longer for a server that fails over: here it is the connection alone that is gone."""


class Nursery:
    """Starts runners; threads may share it."""

    def __init__(self, *engines: str) -> None:
        self._engines = engines or ("postgresql",)
        self._lock = threading.Lock()
        self._mother: subprocess.Popen[str] | None = None

    def __enter__(self) -> "Nursery":
        self._mother = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "servers.nursery", *self._engines],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._mother is not None
        # At the end of its input it ends.
        self._mother.communicate(timeout=30)

    def ask(self, **words: object) -> int:
        """Ask for a start (environment, log) or for the end of a process that has ended (reap)."""
        mother = self._mother
        assert mother is not None
        assert mother.stdin is not None
        assert mother.stdout is not None
        with self._lock:
            mother.stdin.write(json.dumps(words) + "\n")
            mother.stdin.flush()
            return int(mother.stdout.readline())


class Newborn(Pod):
    """A pod whose process comes from the nursery."""

    def __init__(self, nursery: Nursery, folder: Path, name: str = "orders-abc-x1") -> None:
        super().__init__(folder, name)
        self._nursery = nursery
        self._log = self.folder / "log"
        self._read = 0
        self._pidfd: int | None = None
        self._pid = 0
        self.strikes_itself: tuple[int, End] | None = None
        """Where SQLite is run: the moment at which it is to end, and how; None: they are not counted."""
        self.hurries = False
        """Whether it waits for locks for a short while only: see HURRY."""

    @property
    def pid(self) -> int:
        return self._pid

    @property
    def alive(self) -> bool:
        """Whether it was started and its end was not taken in."""
        return self._pidfd is not None

    def start(self, wanted: Order, secret: Mapping[str, str], **more: Mapping[str, str] | None) -> None:
        """Start the process."""
        assert not more, "the nursery's pods mount no certificates"
        self.mount(BUNDLE_DIR, {f"{number:03}": shard for number, shard in enumerate(pack(wanted))})
        self.mount(SECRET_DIR, secret)
        self.message.unlink(missing_ok=True)
        self._log.write_text("")
        self._moments.unlink(missing_ok=True)
        self._read = 0
        environment = {
            "LOCKSTEP_ROOT": str(self.folder),
            "LOCKSTEP_TERMINATION_LOG": str(self.message),
            "POD_NAME": self.name,
        }
        moments = None if self.strikes_itself is None else [*self.strikes_itself, str(self._moments)]
        log = str(self._log)
        self._pid = self._nursery.ask(environment=environment, log=log, moments=moments, hurries=self.hurries)
        # It is not reaped before it is asked for, so that its number stays its own.
        self._pidfd = os.pidfd_open(self._pid)

    @property
    def _moments(self) -> Path:
        return self.folder / "moments"

    def counted(self) -> tuple[int, bool]:
        """Return how many moments there were in a run that came to its end, and whether it was struck before it."""
        count, struck = self._moments.read_text().split()
        return int(count), struck == "1"

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal, if it is still there."""
        if self._pidfd is not None:
            signal.pidfd_send_signal(self._pidfd, number)

    def strike(self) -> None:
        """Kill it, and do not wait."""
        self.signal(signal.SIGKILL)

    def kill(self) -> None:
        """Kill it and wait."""
        self.strike()
        self.wait(30)

    def wait(self, seconds: float = 60) -> int:
        """Wait for the end; return the exit code, below zero the signal that ended it.

        Raises:
            AssertionError: if it does not end in time.
        """
        assert self._pidfd is not None
        poller = select.poll()
        poller.register(self._pidfd, select.POLLIN)
        assert poller.poll(seconds * 1000), f"{self.name} runs on after {seconds} s: {self._log.read_text()}"
        code = self._nursery.ask(reap=self._pid)
        os.close(self._pidfd)
        self._pidfd = None
        return code

    def wait_for(self, event: str, seconds: float = 20) -> dict[str, object]:
        """Read the log on until an event is there."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            lines = self._log.read_text().splitlines(keepends=True)
            while self._read < len(lines) and lines[self._read].endswith("\n"):
                self._read += 1
                found: dict[str, object] = json.loads(lines[self._read - 1])
                if found.get("event") == event:
                    return found
            time.sleep(0.01)
        raise AssertionError(f"no {event} in {seconds} s: {self._log.read_text()}")

    def end(self, seconds: float = 90) -> Ended:
        """Wait for the end."""
        return self.ended(self.wait(seconds))

    def ended(self, code: int) -> Ended:
        """Return how it has ended."""
        text = self.text()
        assert self.message.exists(), f"{code}: {text}"
        result = decode_result(self.message.read_text())
        assert result is not None, text
        return Ended(code, result, [json.loads(line) for line in text.splitlines()[:-1]], text)

    def text(self) -> str:
        """Return its log."""
        return self._log.read_text()


def _mother(engines: Sequence[str]) -> None:
    """Have everything imported, then fork for each line of the input."""
    import encodings.idna  # noqa: F401, PLC0415 - for the names of hosts

    from sqlalchemy import make_url  # noqa: PLC0415 - as those below

    from lockstep.engines import load  # noqa: PLC0415 - the tests import this module too
    from lockstep.runner import flow, main  # noqa: PLC0415 - as above

    for engine in engines:
        load(engine)
        if engine in DIALECTS:
            make_url(f"{DIALECTS[engine]}://").get_dialect()
    # Otherwise each child's first collection copies all of it.
    gc.freeze()
    flow.RECONNECT_SECONDS = RECONNECT_SECONDS  # type: ignore[misc]  # final but for this
    for line in sys.stdin:
        asked = json.loads(line)
        if "reap" in asked:
            answer = os.waitstatus_to_exitcode(os.waitpid(asked["reap"], 0)[1])
        else:
            answer = os.fork()
            if answer == 0:
                if asked["hurries"]:
                    _hurry()
                _child(asked["environment"], asked["log"], main.main, asked["moments"])
        print(answer, flush=True)


def _hurry() -> None:
    for module, values in HURRY.items():
        for name, value in values.items():
            if module in sys.modules:
                assert hasattr(sys.modules[module], name)
                setattr(sys.modules[module], name, value)


def _child(
    environment: Mapping[str, str], log: str, main: Callable[[], int], moments: tuple[int, str, str] | None
) -> None:
    """Become a runner, and never return."""
    code = 70
    counted = None
    try:
        os.environ.update(environment)
        for number, target, flags in ((0, os.devnull, os.O_RDONLY), (1, log, os.O_WRONLY | os.O_APPEND)):
            opened = os.open(target, flags)
            os.dup2(opened, number)
            os.close(opened)
        os.dup2(1, 2)
        if moments is not None:
            at, end, report = moments
            counted = Moments(at, End(end), Path(report))
            counted.arm()
        code = main()
        sys.stdout.flush()
        if counted is not None:
            counted.told()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    _mother(sys.argv[1:])
