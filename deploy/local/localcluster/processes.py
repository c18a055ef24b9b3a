"""Start components in sessions of their own, know them again, and end them and nothing else."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from localcluster.console import LocalClusterError
from localcluster.settings import Settings

POLL = 0.05
LOG_LINES = 15


@dataclass(frozen=True)
class Component:
    """A program of the cluster: how it is started and how one sees that it works."""

    name: str
    argv: list[str]
    healthy: Callable[[], bool]
    environment: dict[str, str] = field(default_factory=dict)
    timeout: float = 60.0


def start_ticks(pid: int) -> int | None:
    """Tell when a process was started, in ticks since boot; None if it is gone or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def alive(pid: int, ticks: int) -> bool:
    """Tell whether this very process still runs: a pid alone may have gone to another one."""
    return start_ticks(pid) == ticks


def recorded(settings: Settings) -> dict[str, tuple[int, int]]:
    """List the components that were started, running or not: name, pid, start."""
    records = {}
    for path in sorted(settings.pids.glob("*.json")):
        try:
            record = json.loads(path.read_text())
            records[path.stem] = (int(record["pid"]), int(record["ticks"]))
        except (ValueError, KeyError):  # cut off by a crash of the machine
            continue
    return records


def running(settings: Settings, name: str) -> int | None:
    """Tell the pid of a component if it runs."""
    record = recorded(settings).get(name)
    return record[0] if record and alive(*record) else None


def start(settings: Settings, component: Component) -> None:
    """Start a component, its output going to its log."""
    settings.logs.mkdir(parents=True, exist_ok=True)
    settings.pids.mkdir(parents=True, exist_ok=True)
    with (settings.logs / f"{component.name}.log").open("ab") as log:
        process = subprocess.Popen(
            component.argv,
            cwd=settings.root,
            env={**os.environ, **component.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    record = {"pid": process.pid, "ticks": start_ticks(process.pid) or 0, "argv": component.argv}
    place = settings.pids / f"{component.name}.json"
    fresh = place.with_suffix(".new")
    fresh.write_text(json.dumps(record, indent=1))
    fresh.rename(place)
    _children[process.pid] = process


# Processes that this one started: they must be reaped, or they look like they run.
_children: dict[int, "subprocess.Popen[bytes]"] = {}


def _reap(pid: int) -> None:
    child = _children.get(pid)
    if child is not None:
        child.poll()


def wait_healthy(settings: Settings, component: Component) -> None:
    """Wait until a component works; say why if it does not."""
    deadline = time.monotonic() + component.timeout
    while True:
        if component.healthy():
            return
        pid, ticks = recorded(settings).get(component.name, (0, 0))
        _reap(pid)
        if not alive(pid, ticks):
            raise LocalClusterError(f"{component.name} ended while starting. {tail(settings, component.name)}")
        if time.monotonic() > deadline:
            raise LocalClusterError(
                f"{component.name} does not work after {component.timeout:.0f} s. {tail(settings, component.name)}"
            )
        time.sleep(POLL)


def ensure(settings: Settings, components: Iterable[Component]) -> list[str]:
    """Start the components that do not run; those that run but do not answer are ended first. Returns their names."""
    started = []
    for component in components:
        if running(settings, component.name) is not None:
            if _answers(settings, component):
                continue
            stop(settings, [component.name])
        start(settings, component)
        started.append(component.name)
    return started


def _answers(settings: Settings, component: Component) -> bool:
    healthy = False

    def settled() -> bool:
        nonlocal healthy
        healthy = component.healthy()
        return healthy or running(settings, component.name) is None

    return wait_for(settled, 10.0) and healthy


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll a condition; tell whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL)
    return True


def stop(settings: Settings, names: Iterable[str], patience: float = 5.0) -> None:
    """End components: ask, wait a little, insist."""
    records = recorded(settings)
    targets = [(pid, ticks) for name in names if name in records for pid, ticks in [records[name]]]
    end(targets, patience)
    for name in names:
        (settings.pids / f"{name}.json").unlink(missing_ok=True)


def end(targets: list[tuple[int, int]], patience: float) -> None:
    """End processes given by pid and start."""
    for signum, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 10.0)):
        left = [(pid, ticks) for pid, ticks in targets if alive(pid, ticks)]
        for pid, ticks in left:
            send(pid, ticks, signum)
            if signum == signal.SIGTERM:
                send(pid, ticks, signal.SIGCONT)  # a stopped process does not hear

        def gone() -> bool:
            for pid, _ in targets:
                _reap(pid)
            return not any(alive(pid, ticks) for pid, ticks in targets)

        if wait_for(gone, seconds if left else 0):
            return
    raise LocalClusterError(f"processes that do not end: {[pid for pid, ticks in targets if alive(pid, ticks)]}")


def send(pid: int, ticks: int, signum: signal.Signals) -> None:
    """Signal a process if it still is the one meant."""
    if alive(pid, ticks):
        try:
            os.kill(pid, signum)
        except ProcessLookupError:
            return


def tail(settings: Settings, name: str) -> str:
    """Quote the end of a component's log."""
    path = settings.logs / f"{name}.log"
    if not path.exists():
        return f"It left no log at {path}."
    lines = path.read_text(errors="replace").splitlines()[-LOG_LINES:]
    return f"The end of {path}:\n" + "\n".join(lines)
