"""A process is known by its pid and its start: nobody else's is ever ended."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcluster import processes
from localcluster.console import LocalClusterError
from localcluster.processes import Component
from localcluster.settings import Settings

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    root = tmp_path / "root"
    root.mkdir()
    return Settings(root=root, home=tmp_path / "home", cache=tmp_path / "cache")


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def component(script: str, healthy: bool = True) -> Component:
    return Component("part", ["sh", "-c", script], lambda: healthy, timeout=0.3)


def test_a_started_component_is_known_and_ended(settings: Settings) -> None:
    assert processes.ensure(settings, [component("exec sleep 60")]) == ["part"]
    pid = processes.running(settings, "part")
    assert pid is not None
    assert os.getsid(pid) == pid, "it must outlive the terminal that it was started from"
    assert processes.ensure(settings, [component("exec sleep 60")]) == [], "it runs already"
    processes.stop(settings, ["part"])
    assert processes.running(settings, "part") is None
    assert processes.start_ticks(pid) is None


def test_a_pid_that_went_to_another_process_is_left_alone(
    settings: Settings, bystander: subprocess.Popen[bytes]
) -> None:
    settings.pids.mkdir()
    (settings.pids / "part.json").write_text(json.dumps({"pid": bystander.pid, "ticks": 1}))
    assert processes.running(settings, "part") is None
    processes.stop(settings, ["part"])
    assert bystander.poll() is None


def test_a_record_cut_off_by_a_crash_counts_as_not_running(settings: Settings) -> None:
    settings.pids.mkdir()
    (settings.pids / "part.json").write_text('{"pid": 1')
    assert processes.running(settings, "part") is None


def test_what_ignores_sigterm_or_is_stopped_is_ended_all_the_same(settings: Settings) -> None:
    processes.start(settings, component("trap '' TERM; echo ready; while :; do sleep 0.1; done"))
    assert processes.wait_for(lambda: "ready" in processes.tail(settings, "part"), 5)
    processes.stop(settings, ["part"], patience=0.2)
    assert processes.running(settings, "part") is None
    processes.start(settings, component("exec sleep 60"))
    pid = processes.running(settings, "part")
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    processes.stop(settings, ["part"])
    assert processes.start_ticks(pid) is None


def test_a_component_that_ends_while_starting_is_reported_with_its_log(settings: Settings) -> None:
    broken = component("echo the disk is full; exit 1", healthy=False)
    processes.start(settings, broken)
    with pytest.raises(LocalClusterError, match="the disk is full"):
        processes.wait_healthy(settings, broken)


def test_a_component_that_never_answers_is_reported(settings: Settings) -> None:
    silent = component("exec sleep 60", healthy=False)
    processes.start(settings, silent)
    with pytest.raises(LocalClusterError, match="does not work after"):
        processes.wait_healthy(settings, silent)
    processes.stop(settings, ["part"])
