"""Find everything on this machine that belongs to the cluster."""

import contextlib
import os
import re
import time
from pathlib import Path

import psutil

from localcluster import network, processes
from localcluster.settings import BRIDGE, CNI_NETWORK, Settings

CRI_NAMESPACE = "k8s.io"
ORPHAN_PATIENCE = 2.0
CNI_RESULTS = Path("/var/lib/cni/results")
CONTAINER_LOGS = Path("/var/log/containers")
OUR_PROGRAMS = frozenset(
    {
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kubelet",
        "kube-proxy",
        "coredns",
        "containerd",
        "containerd-shim-runc-v2",
        "ctr",
        "runc",
    }
)


def _unescape(field: str) -> str:
    return re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), field)


def mounts(settings: Settings) -> list[str]:
    """List the mounts below the cluster's root, the latest first."""
    points = [_unescape(line.split()[4]) for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [point for point in reversed(points) if point.startswith(f"{settings.root}/")]


def container_ids(settings: Settings) -> set[str]:
    """Name the containers of this cluster, running or not."""
    run = settings.run
    places = (run / "containerd" / "io.containerd.runtime.v2.task" / CRI_NAMESPACE, run / "runc" / CRI_NAMESPACE)
    return {entry.name for place in places if place.is_dir() for entry in place.iterdir()}


def _cgroup_parents() -> list[Path]:
    """List the control groups that containerd puts pods into, one a hierarchy."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.split()[0] in ("cgroup", "cgroup2"):
            found.append(Path(_unescape(before.split()[4])) / CRI_NAMESPACE)
    return [parent for parent in found if parent.is_dir()]


def cgroups(ids: set[str]) -> list[Path]:
    """List the control groups of containers, the innermost first."""
    found: list[Path] = []
    for parent in _cgroup_parents():
        for name in ids:
            found += [Path(directory) for directory, _, _ in os.walk(parent / name, topdown=False)]
    return found


def empty_cgroup_parents() -> list[Path]:
    """List the parents that have no container any more."""
    return [parent for parent in _cgroup_parents() if not any(entry.is_dir() for entry in parent.iterdir())]


def container_processes(ids: set[str]) -> list[tuple[int, int]]:
    """List the processes of containers: pid and start."""
    return _with_start({pid for group in cgroups(ids) for pid in _members(group)})


def _members(group: Path) -> list[int]:
    try:
        return [int(pid) for pid in (group / "cgroup.procs").read_text().split()]
    except OSError:  # gone meanwhile
        return []


def orphaned_ids() -> set[str]:
    """Name the containers whose control group is empty, or whose process has lost its shim."""
    names = {entry.name for parent in _cgroup_parents() for entry in parent.iterdir() if entry.is_dir()}
    return {name for name in names if not _has_shim([pid for group in cgroups({name}) for pid in _members(group)])}


def _has_shim(members: list[int]) -> bool:
    with contextlib.suppress(psutil.Error):
        return any(psutil.Process(pid).parents()[0].name().startswith("containerd-shim") for pid in members)
    return False


def programs(settings: Settings) -> list[tuple[int, int]]:
    """List the processes of our programs that name the cluster's root: components, shims, helpers."""
    root = f"{settings.root}/".encode()
    pids: set[int] = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            arguments = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        name = os.path.basename(arguments.split(b"\0", 1)[0]).decode(errors="replace")
        if name in OUR_PROGRAMS and root in arguments:
            pids.add(int(entry.name))
    return _with_start(pids)


def _with_start(pids: set[int]) -> list[tuple[int, int]]:
    return [(pid, ticks) for pid in sorted(pids) if (ticks := processes.start_ticks(pid)) is not None]


def foreign_files(settings: Settings) -> list[Path]:
    """List files of the cluster outside its root."""
    found = list(CNI_RESULTS.glob(f"{CNI_NETWORK}-*"))
    for link in CONTAINER_LOGS.glob("*.log"):
        if link.is_symlink() and str(link.readlink()).startswith(f"{settings.root}/"):
            found.append(link)
    return found


def describe(settings: Settings) -> list[str]:
    """Name everything that is there, one line each; nothing after `cluster-down`."""
    ids = container_ids(settings)
    found = [f"process {pid}: {_command(pid)}" for pid, _ in programs(settings) + container_processes(ids)]
    found += [f"mount {point}" for point in mounts(settings)]
    if network.bridge_exists():
        found += [f"interface {name}" for name in (BRIDGE, *network.pod_links())]
    found += [f"nftables table {family} {name}" for family, name in network.nft_tables()]
    found += [f"iptables rule {rule}" for rule in network.forward_rules()]
    found += [f"control group {group}" for group in cgroups(ids | _orphaned_for_good())]
    found += [f"file {path}" for path in foreign_files(settings)]
    if settings.root.exists():
        found.append(f"directory {settings.root}")
    return found


def _orphaned_for_good() -> set[str]:
    orphaned = orphaned_ids()
    if orphaned:  # a container of another cluster may be between two states
        time.sleep(ORPHAN_PATIENCE)
        orphaned &= orphaned_ids()
    return orphaned


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return "(gone)"
