"""Take the cluster away: processes, mounts, interfaces, rules, control groups, files."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

from localcluster import leftovers, network, processes, record
from localcluster.console import LocalClusterError
from localcluster.settings import Settings

# In this order, so that nothing starts what the next step ends.
BEFORE_PODS = ("kubelet", "kube-controller-manager", "kube-scheduler", "kube-proxy", "coredns")
DEVICE_PLUGINS = Path("/var/lib/kubelet/device-plugins")
AFTER_PODS = ("containerd", "kube-apiserver", "etcd")


def down(settings: Settings) -> None:
    """Leave the machine as it was found. Works on any state, also on that of a start that was cut off."""
    known = record.load(settings)
    processes.stop(settings, BEFORE_PODS, patience=2.0)
    processes.stop(settings, ["containerd"], patience=2.0)
    sockets, ids = _shim_sockets(settings), leftovers.container_ids(settings)
    processes.end(leftovers.container_processes(ids), patience=0.0)
    # The shims, and whatever an earlier start left without a record.
    processes.end(leftovers.programs(settings), patience=1.0)
    processes.stop(settings, AFTER_PODS, patience=1.0)
    _unmount(settings)
    network.remove()
    _remove_cgroups(ids)
    for path in (*leftovers.foreign_files(settings), *sockets):
        path.unlink(missing_ok=True)
    if known is not None:
        for name in known.absent:
            _remove_empty(Path(name))
        network.write_sysctls(known.sysctls)
    shutil.rmtree(settings.root, ignore_errors=True)
    if settings.root.exists():
        raise LocalClusterError(f"{settings.root} cannot be removed: {leftovers.describe(settings)}")
    for path in (settings.kubeconfig, settings.home / "logs"):
        path.unlink(missing_ok=True)


def _shim_sockets(settings: Settings) -> list[Path]:
    """Find the sockets of our shims, which containerd keeps in one directory for the whole machine."""
    found = []
    for place in (settings.run / "containerd").glob("io.containerd.runtime.v2.task/*/*/bootstrap.json"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            address = str(json.loads(place.read_text())["address"]).removeprefix("unix://")
            found += [Path(address), Path(f"{address}.lock")]
    return found


def _remove_empty(top: Path) -> None:
    """Remove a directory that was not there before, unless somebody else has put files into it since."""
    if top == DEVICE_PLUGINS:
        for path in DEVICE_PLUGINS.glob("*"):
            path.unlink(missing_ok=True)
    for directory, _, _ in os.walk(top, topdown=False):
        with contextlib.suppress(OSError):
            Path(directory).rmdir()


def _unmount(settings: Settings) -> None:
    for _ in range(5):
        points = leftovers.mounts(settings)
        if not points:
            return
        subprocess.run(["umount", "--lazy", *points], capture_output=True, check=False)
    raise LocalClusterError(f"cannot unmount {leftovers.mounts(settings)}")


def _remove_cgroups(ids: set[str]) -> None:
    def removed() -> bool:
        for pid, ticks in leftovers.container_processes(ids):
            processes.send(pid, ticks, signal.SIGKILL)
        for group in leftovers.cgroups(ids):
            with contextlib.suppress(OSError):  # a process of it is still on its way out
                group.rmdir()
        return not leftovers.cgroups(ids)

    if not processes.wait_for(removed, 10.0):
        raise LocalClusterError(f"cannot remove the control groups {leftovers.cgroups(ids)}")
    for parent in leftovers.empty_cgroup_parents():
        with contextlib.suppress(OSError):
            parent.rmdir()
