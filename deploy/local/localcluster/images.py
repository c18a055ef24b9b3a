"""Images without a registry: a tiny one made here, and the import of archives into containerd."""

import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path

from localcluster.binaries import Binaries
from localcluster.console import LocalClusterError
from localcluster.packages import static_busybox
from localcluster.settings import Settings

BUSYBOX_IMAGE = "lockstep-busybox:dev"
# containerd looks a name without a registry up under its default one, and an import normalises it the same way.
PAUSE_IMAGE = BUSYBOX_IMAGE
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def _add(layer: tarfile.TarFile, name: str, kind: bytes, mode: int, *, content: bytes = b"", target: str = "") -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.linkname, entry.size = kind, mode, target, len(content)
    layer.addfile(entry, io.BytesIO(content))


def busybox_archive(busybox: Path, machine: str) -> bytes:
    """Make an image of a static busybox, in the form of `docker save`; by default it sleeps, so it serves as pause."""
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as layer:
        for directory, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777)):
            _add(layer, directory, tarfile.DIRTYPE, mode)
        _add(layer, "bin/busybox", tarfile.REGTYPE, 0o755, content=busybox.read_bytes())
        for applet in applets:
            if applet != "busybox":
                _add(layer, f"bin/{applet}", tarfile.SYMTYPE, 0o777, target="busybox")
        _add(layer, "etc/passwd", tarfile.REGTYPE, 0o644, content=b"root:x:0:0::/:/bin/sh\n")
    content = raw.getvalue()
    config = {
        "architecture": ARCHITECTURES.get(machine, machine),
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/busybox", "sleep", "infinity"], "User": "65532:65532"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(content).hexdigest()}"]},
        "created": "1970-01-01T00:00:00Z",
    }
    encoded = json.dumps(config, sort_keys=True).encode()
    name = f"{hashlib.sha256(encoded).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [BUSYBOX_IMAGE], "Layers": ["layer.tar"]}]
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        _add(tar, "layer.tar", tarfile.REGTYPE, 0o644, content=content)
        _add(tar, name, tarfile.REGTYPE, 0o644, content=encoded)
        _add(tar, "manifest.json", tarfile.REGTYPE, 0o644, content=json.dumps(manifest).encode())
    return archive.getvalue()


def import_busybox(settings: Settings, binaries: Binaries, machine: str) -> None:
    """Make the tiny image and load it."""
    busybox = static_busybox()
    if busybox is None:
        raise LocalClusterError("no static busybox on this machine (Debian's package is busybox-static)")
    place = settings.root / "busybox.tar"
    place.write_bytes(busybox_archive(busybox, machine))
    import_archive(settings, binaries, place)


def ctr(settings: Settings, binaries: Binaries, *arguments: str) -> str:
    """Run containerd's client against the cluster's containerd."""
    command = [binaries["ctr"], "--address", str(settings.containerd_socket), "--namespace", "k8s.io", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LocalClusterError(f"ctr {' '.join(arguments)} failed: {done.stderr.strip()}")
    return done.stdout


def import_archive(settings: Settings, binaries: Binaries, archive: Path) -> None:
    """Load an archive in the form of `docker save` into the cluster."""
    ctr(settings, binaries, "images", "import", "--local", str(archive))


def present(settings: Settings, binaries: Binaries) -> set[str]:
    """List the images that the cluster has, by their short names."""
    listed = ctr(settings, binaries, "images", "list", "--quiet").split()
    return {name.rpartition("/")[2] for name in listed}


def tag(settings: Settings, binaries: Binaries, name: str, other: str) -> None:
    """Give an image that is there a second name."""
    listed = ctr(settings, binaries, "images", "list", "--quiet").split()
    full = next(image for image in listed if image.rpartition("/")[2] == name)
    ctr(settings, binaries, "images", "tag", "--force", full, full.removesuffix(name) + other)
