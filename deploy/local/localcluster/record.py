"""What is written down about a cluster: enough to go on with it, or to take it away without a trace."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from localcluster.console import note
from localcluster.settings import Settings

# Directories that programs of the cluster use and that cannot be moved below its root.
FOREIGN = (
    Path("/run/containerd/s"),
    Path("/run/containerd"),
    Path("/var/lib/cni/results"),
    Path("/var/lib/cni"),
    Path("/var/lib/kubelet/device-plugins"),
    Path("/var/lib/kubelet"),
    Path("/var/log/containers"),
    Path("/var/log/pods"),
)


@dataclass(frozen=True)
class Record:
    """Taken before the first change to the machine."""

    boot: str
    """Of the machine: after a restart nothing of the cluster is worth going on with."""
    key: str
    """Of the programs."""
    sysctls: dict[str, str]
    """As found."""
    absent: list[str]
    """Directories that were not there."""


def boot_id() -> str:
    """Name this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def absent_directories() -> list[str]:
    """List the foreign directories that do not exist now."""
    return [str(path) for path in FOREIGN if not path.exists()]


def load(settings: Settings) -> Record | None:
    """Read the record; a broken one counts as of another boot."""
    try:
        return Record(**json.loads(settings.record.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        return Record(boot="", key="", sysctls={}, absent=[])


def save(settings: Settings, record: Record) -> None:
    """Write the record, whole or not at all."""
    settings.root.mkdir(parents=True, exist_ok=True, mode=0o755)
    fresh = settings.record.with_suffix(".new")
    fresh.write_text(json.dumps(asdict(record), indent=1))
    fresh.rename(settings.record)


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Let one process at a time do something."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note(f"waiting for another {what} to end")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
