"""What servers have in common: free ports, an unprivileged user, and waiting for a condition."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from support.waiting import eventually


def free_port() -> int:
    """Return a port that nothing listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], bool], seconds: float = 20, what: str = "the condition") -> None:
    """Wait for a condition, looking often; what the condition raises comes through."""
    eventually(condition, what, seconds, every=0.02)


def unprivileged() -> dict[str, Any]:
    """Return arguments for Popen that drop root's rights: PostgreSQL and pgbouncer refuse to run as root."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _room() -> str:
    """Return where servers keep their files: in memory where there is plenty of it.

    Databases come and go by the hundred, and ext4 looks ever longer for the number of a new file the more files were
    deleted a moment ago.
    """
    memory = Path("/dev/shm")
    plenty = 8 * 2**30
    try:
        free = shutil.disk_usage(memory).free
        available = psutil.virtual_memory().available
    except OSError:
        return "/tmp"
    return str(memory) if min(free, available) > plenty else "/tmp"


def private_folder(name: str) -> Path:
    """Make a folder that the servers' user owns."""
    folder = Path(tempfile.mkdtemp(prefix=f"lockstep-{name}-", dir=_room()))
    give(folder)
    return folder


def give(path: Path) -> None:
    """Give a file or folder to the servers' user."""
    if os.geteuid() == 0:
        user = pwd.getpwnam("nobody")
        os.chown(path, user.pw_uid, user.pw_gid)


def remove(folder: Path) -> None:
    """Remove a folder and all in it."""
    shutil.rmtree(folder, ignore_errors=True)


def run(command: list[str], rights: dict[str, Any] | None = None, **kwargs: Any) -> "subprocess.CompletedProcess[str]":
    """Run a tool as the servers' user, or with other rights; what it said is in the error."""
    kwargs |= unprivileged() if rights is None else rights
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", **kwargs)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stdout}\n{done.stderr}")
    return done
