"""The operator as a process of this machine, so that it can be killed, frozen and cut off."""

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from servers.controlplane import ControlPlane, RefusedError, clean_environment
from servers.process import free_port
from support.waiting import eventually

FAST = {
    "LOCKSTEP_RETRY_SECONDS": "0.5",
    "LOCKSTEP_SETTLE_MILLISECONDS": "200",
    "LOCKSTEP_BACKOFF_SECONDS": "0.5",
    "LOCKSTEP_BACKOFF_MAX_SECONDS": "2",
}
"""Settings under which tests need not wait long. The Lease is as long as elsewhere: on a busy machine a second or two
without an answer are no reason to lose it."""


class Operator:
    """One replica that works on one namespace."""

    def __init__(
        self, plane: ControlPlane, namespace: str, name: str = "one", kubeconfig: Path | None = None, **environment: str
    ) -> None:
        self.name = name
        self._plane = plane
        self._namespace = namespace
        self.http_port = free_port()
        self._log = plane.folder / f"operator-{namespace}-{name}-{time.monotonic_ns()}.log"
        self._environment = {
            **clean_environment(),
            "KUBECONFIG": str(kubeconfig or plane.kubeconfig),
            "POD_NAME": name,
            "POD_NAMESPACE": namespace,
            "LOCKSTEP_IMAGE": "lockstep:test",
            "LOCKSTEP_WATCH_NAMESPACES": namespace,
            "LOCKSTEP_HTTP_PORT": str(self.http_port),
            **FAST,
            **environment,
        }

    def __enter__(self) -> "Operator":
        with self._log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "lockstep.controller"],
                env=self._environment,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.send(signal.SIGCONT)
            self.kill()
        if error is not None:
            print(f"--- operator {self.name}\n{self.text()[-6000:]}")

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def kill(self, *, frees_lease: bool = True) -> None:
        """Kill it with -9.

        Args:
            frees_lease: take its Lease away, so that the next one need not wait for the end of it.
        """
        self.process.kill()
        self.process.wait()
        if frees_lease:
            with suppress(RefusedError):
                self._plane.delete("leases", self._namespace, "lockstep-controller")

    def ended(self, seconds: float = 20) -> int:
        """Wait for its end and return the exit code."""
        return self.process.wait(seconds)

    def stop(self) -> int:
        """Ask it to end and return the exit code."""
        self.process.terminate()
        return self.ended()

    def text(self) -> str:
        """Return its log."""
        return self._log.read_text()

    def lines(self, event: str = "") -> list[dict[str, Any]]:
        """Return the lines of its log, those of one event if it is named."""
        found = [json.loads(line) for line in self.text().splitlines() if line.startswith("{")]
        return [line for line in found if not event or line.get("event") == event]

    def wait_for(self, event: str, seconds: float = 20) -> dict[str, Any]:
        """Wait until it has logged an event."""

        def look() -> dict[str, Any] | None:
            if found := self.lines(event):
                return found[0]
            assert self.process.poll() is None, self.text()
            return None

        return eventually(look, f"{self.name} logs {event!r}", seconds, every=0.05)

    def http(self, path: str) -> tuple[int, str]:
        """Return the status and the text of a page; 0 if nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except urllib.error.URLError:
            return 0, ""

    def writes(self) -> dict[str, int]:
        """Return how many successful writes it has made, by verb and resource."""
        found: dict[str, int] = {}
        for line in self.http("/metrics")[1].splitlines():
            if line.startswith("lockstep_api_requests_total{"):
                labels, value = line.removeprefix("lockstep_api_requests_total{").split("} ")
                words = dict(part.split("=") for part in labels.replace('"', "").split(","))
                if words["method"] != "GET" and words["status"].startswith("2"):
                    found[f"{words['method']} {words['resource']}"] = int(float(value))
        return found
