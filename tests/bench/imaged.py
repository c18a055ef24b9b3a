"""The project's image unpacked: the runner is measured with the interpreter and the libraries that its pod has."""

import atexit
import json
import os
import shutil
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2] / "deploy/local"))

from localcluster.projectimage import content_tag
from localcluster.settings import REPOSITORY


def missing() -> str:
    """Return why it cannot be had; empty where it can."""
    if os.geteuid() != 0:
        return "chroot needs root"
    return "" if _archive() is not None else "no image of this code: `make image` builds it"


def _archive() -> Path | None:
    """Return what `make image` has left, if it is of the code as it is now."""
    said = REPOSITORY / ".local/image.json"
    if not said.exists():
        return None
    image = json.loads(said.read_text())
    archive = Path(image["archive"])
    return archive if archive.exists() and image["tag"] == content_tag(REPOSITORY) else None


@dataclass(frozen=True)
class Image:
    """What a container has of it."""

    root: Path
    """Its file system; gone with this process."""
    environment: dict[str, str]


@cache
def unpacked() -> Image:
    """Unpack it, once."""
    archive = _archive()
    assert archive is not None
    root = Path(tempfile.mkdtemp(prefix="lockstep-image-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    with tarfile.open(archive) as image:
        [manifest] = _json(image, "manifest.json")
        for name in manifest["Layers"]:
            with tarfile.open(fileobj=image.extractfile(name)) as layer:
                layer.extractall(root, filter="fully_trusted")
        config = _json(image, manifest["Config"])["config"]
    return Image(root, dict(each.split("=", 1) for each in config["Env"]))


def _json(image: tarfile.TarFile, name: str) -> Any:
    file = image.extractfile(name)
    assert file is not None
    return json.load(file)
