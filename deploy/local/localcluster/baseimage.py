"""A stand-in for the base image, for machines that cannot pull one: Debian itself, by debootstrap."""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from localcluster.buildah import Buildah
from localcluster.console import LocalClusterError, long_step, say
from localcluster.settings import REPOSITORY, Settings

SECONDS = 60
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
OPTIONS = ("--variant=minbase",)


def base_name() -> str:
    """Read the name of the base image from the Dockerfile."""
    found = re.search(r"^ARG BASE=(\S+)$", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)
    if not found:
        raise LocalClusterError("the Dockerfile has no line `ARG BASE=...`")
    return found[1]


def ensure(settings: Settings, buildah: Buildah) -> None:
    """Make sure that buildah has an image of the base's name."""
    name = base_name()
    tarball = _tarball(settings, name)
    if buildah.has(name):
        return
    container = buildah("from", "scratch").strip()
    try:
        buildah("add", "--quiet", container, str(tarball), "/")
        buildah("config", "--cmd", "/bin/bash", "--env", PATH, container)
        buildah("commit", "--quiet", container, name)
    finally:
        buildah("rm", container)


def _tarball(settings: Settings, name: str) -> Path:
    suite = name.rpartition(":")[2].removesuffix("-slim")
    key = hashlib.sha256(repr((suite, OPTIONS)).encode()).hexdigest()[:12]
    place = settings.cache / "base" / f"{suite}-{key}.tar"
    if place.exists():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    say(f"No registry here serves {name}: making a stand-in from Debian's packages, once")
    work = Path(tempfile.mkdtemp(prefix=".debootstrap-", dir=place.parent))
    partial = place.with_suffix(f".{os.getpid()}")
    try:
        with long_step(f"debootstrap {suite}", SECONDS):
            _run("debootstrap", *OPTIONS, suite, str(work))
            for path in (work / "var/cache/apt/archives", work / "var/lib/apt/lists"):
                shutil.rmtree(path, ignore_errors=True)
                (path / "partial").mkdir(parents=True)
            _run("tar", "--numeric-owner", "--exclude=./dev/*", "-C", str(work), "-cf", str(partial), ".")
        partial.rename(place)
    finally:
        partial.unlink(missing_ok=True)
        shutil.rmtree(work, ignore_errors=True)
    return place


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LocalClusterError(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-3000:]}")
