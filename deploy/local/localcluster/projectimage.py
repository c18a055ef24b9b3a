"""The project's image: named by the content that it is made of, built if that changed, loaded into the cluster."""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
import tomllib
from pathlib import Path

from localcluster import baseimage, images, packages, record
from localcluster import binaries as programs
from localcluster.buildah import Buildah
from localcluster.console import LocalClusterError, console, long_step, note, say
from localcluster.processes import running
from localcluster.settings import REPOSITORY, Settings

REPOSITORY_NAME = "lockstep"
DEV_TAG = "dev"
INPUTS = (
    "Dockerfile",
    ".dockerignore",
    "LICENSE",
    "deploy/image/check.py",
    "README.md",
    "pyproject.toml",
    "requirements/runtime.lock",
    "requirements/dev.lock",
)
SOURCES = Path("operator/lockstep")
KEPT_ARCHIVES = 3
COLD_SECONDS = 120
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
CA_BUNDLE_IN_BUILD = "/run/build-ca.crt"


def version(repository: Path) -> str:
    """Read the project's version."""
    return str(tomllib.loads((repository / "pyproject.toml").read_text())["project"]["version"])


def inputs(repository: Path) -> list[Path]:
    """List the files that the image is made of."""
    files = [repository / name for name in INPUTS if (repository / name).exists()]
    sources = (path for path in (repository / SOURCES).rglob("*") if path.is_file())
    return files + sorted(path for path in sources if "__pycache__" not in path.parts)


def snapshot(repository: Path, context: Path) -> None:
    """Copy the inputs: a file that is edited during the build must not end up under the name of its older content."""
    for path in inputs(repository):
        place = context / path.relative_to(repository)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, place)


def content_tag(repository: Path) -> str:
    """Name the image by its content: a changed one has another name, so Helm rolls it out and no cache hides it."""
    digest = hashlib.sha256()
    for path in inputs(repository):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(repository)}\0{len(content)}\0".encode())
        digest.update(content)
    return f"{version(repository)}-{digest.hexdigest()[:10]}"


def ensure(settings: Settings) -> str:
    """Build and load the image unless that is done already; return its name."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lockstep-image-") as directory:
        context = Path(directory)
        snapshot(REPOSITORY, context)
        name = f"{REPOSITORY_NAME}:{content_tag(context)}"
        archive = settings.cache / "images" / f"{name.replace(':', '-')}.tar"
        with record.locked(settings.cache / "image.lock", "build of the image"):
            if not archive.exists():
                _build(settings, context, name, archive)
    os.utime(archive)
    _forget_old(archive.parent)
    loaded = _load(settings, name, archive)
    _remember(settings, name, archive)
    say(f"Image {name} is {'loaded' if loaded else 'built'} ({time.monotonic() - started:.1f} s)")
    if not loaded:
        note("no cluster runs: `make cluster`, then `make image` again, loads it")
    return name


def _docker_works() -> bool:
    return shutil.which("docker") is not None and (
        subprocess.run(["docker", "info"], capture_output=True, check=False, timeout=20).returncode == 0
    )


def _build(settings: Settings, context: Path, name: str, archive: Path) -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    if _docker_works():
        _docker_build(context, name, archive)
        return
    packages.ensure(packages.IMAGE)
    buildah = Buildah(settings)
    baseimage.ensure(settings, buildah)
    # pip must trust what this machine trusts; the bundle is mounted for the build and stays out of the image.
    bundle = Path(os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE") or CA_BUNDLE)
    volumes = []
    arguments = {"VERSION": version(context)}
    if bundle.exists():
        volumes.append(f"{bundle}:{CA_BUNDLE_IN_BUILD}:ro")
        arguments["PIP_CERT"] = CA_BUNDLE_IN_BUILD
    with long_step(f"building {name}", COLD_SECONDS):
        buildah.build(name, context, arguments, volumes, settings.home / "image-build.log")
        buildah.save(name, archive)
        buildah.tidy()


def _docker_build(context: Path, name: str, archive: Path) -> None:
    say(f"Building {name} with Docker")
    for command in (
        ["docker", "build", "--build-arg", f"VERSION={version(context)}", "--tag", name, str(context)],
        ["docker", "save", "--output", str(archive), name],
    ):
        if subprocess.run(command, check=False).returncode != 0:
            archive.unlink(missing_ok=True)
            raise LocalClusterError(f"{' '.join(command)} failed")


def _load(settings: Settings, name: str, archive: Path) -> bool:
    if running(settings, "containerd") is None:
        return False
    binaries = programs.ensure(settings)
    if name not in images.present(settings, binaries):
        images.import_archive(settings, binaries, archive)
    images.tag(settings, binaries, name, f"{REPOSITORY_NAME}:{DEV_TAG}")
    return True


def _remember(settings: Settings, name: str, archive: Path) -> None:
    repository, _, tag = name.partition(":")
    settings.home.mkdir(parents=True, exist_ok=True)
    (settings.home / "image-tag").write_text(f"{tag}\n")
    document = {"repository": repository, "tag": tag, "archive": str(archive), "bytes": archive.stat().st_size}
    (settings.home / "image.json").write_text(json.dumps(document, indent=1))


def _forget_old(directory: Path) -> None:
    archives = sorted(directory.glob(f"{REPOSITORY_NAME}-*.tar"), key=lambda path: path.stat().st_mtime, reverse=True)
    for archive in archives[KEPT_ARCHIVES:]:
        archive.unlink(missing_ok=True)


def show(name: str) -> None:
    """Print how a pod names the image."""
    console.print(f"    image: {name}  (also {REPOSITORY_NAME}:{DEV_TAG})", highlight=False)
