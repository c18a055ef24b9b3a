"""The programs that come from the machine's own distribution."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from localcluster.console import LocalClusterError, console, say

BUSYBOX = (Path("/bin/busybox"), Path("/usr/bin/busybox"))
CNI_PLUGINS = Path("/usr/lib/cni")


def static_busybox() -> Path | None:
    """Find a busybox that runs in an empty image: one that names no dynamic loader."""
    for path in BUSYBOX:
        if path.exists() and b"/ld-" not in path.read_bytes()[:4096]:
            return path
    return None


def _program(name: str) -> Callable[[], bool]:
    search = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return lambda: shutil.which(name, path=search) is not None


CLUSTER: dict[str, Callable[[], bool]] = {
    "runc": _program("runc"),
    "containernetworking-plugins": (CNI_PLUGINS / "bridge").exists,
    "iproute2": _program("ip"),
    "nftables": _program("nft"),
    "busybox-static": lambda: static_busybox() is not None,
}
IMAGE: dict[str, Callable[[], bool]] = {
    "buildah": _program("buildah"),
    "debootstrap": _program("debootstrap"),
}
TESTS: dict[str, Callable[[], bool]] = {
    "postgresql-15": Path("/usr/lib/postgresql/15/bin/postgres").exists,
    "pgbouncer": _program("pgbouncer"),
    # The programs alone: no service of the machine's own.
    "mariadb-server-core": _program("mariadbd"),
    "mariadb-client-core": _program("mariadb"),
    "iptables": _program("iptables"),
}


def ensure(wanted: dict[str, Callable[[], bool]]) -> None:
    """Install the packages whose programs are missing, and say so."""
    missing = [package for package, present in wanted.items() if not present()]
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise LocalClusterError(
            f"missing: {', '.join(missing)} (names of Debian's packages). Install them: there is no apt-get here."
        )
    say(f"Installing Debian packages: {', '.join(missing)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "--quiet=2"],
        ["apt-get", "install", "--yes", "--quiet=2", "--no-install-recommends", *missing],
    ):
        with console.status(" ".join(command)):
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LocalClusterError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    still = [package for package in missing if not wanted[package]()]
    if still:
        raise LocalClusterError(f"installed, but its program is still not found: {', '.join(still)}")
