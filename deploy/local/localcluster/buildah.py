"""buildah, with a storage of its own in the cache: no daemon, no container runtime, no registry."""

import os
import subprocess
from pathlib import Path

from localcluster.console import LocalClusterError
from localcluster.settings import Settings

BUILDS_KEPT = 60
# How much of a failed build's log is shown: a step's whole command is one line of it.
LINES = 20
LINE = 240


class Buildah:
    """Run buildah's commands."""

    def __init__(self, settings: Settings) -> None:
        self._root = settings.cache / "buildah"
        self._environment = {
            **os.environ,
            "BUILDAH_ISOLATION": "chroot",
            "STORAGE_DRIVER": os.environ.get("STORAGE_DRIVER", "overlay"),
        }

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        return ["buildah", "--root", str(self._root / "storage"), "--runroot", str(self._root / "run"), *arguments]

    def __call__(self, *arguments: str) -> str:
        """Run a command quietly and return what it prints."""
        done = subprocess.run(
            self._command(arguments), env=self._environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise LocalClusterError(f"buildah {' '.join(arguments)} failed:\n{done.stderr[-3000:]}")
        return done.stdout

    def has(self, image: str) -> bool:
        """Tell whether an image of that name is there."""
        command = self._command(("inspect", "--type", "image", image))
        return subprocess.run(command, env=self._environment, capture_output=True, check=False).returncode == 0

    def build(self, image: str, context: Path, arguments: dict[str, str], volumes: list[str], log: Path) -> None:
        """Build a Dockerfile; its long output goes to a log, whose end is shown if it fails."""
        command = [
            "bud",
            "--layers",
            "--force-rm",
            "--pull-never",
            "--network",
            "host",
            "--format",
            "oci",
            "--tag",
            image,
        ]
        for name, value in arguments.items():
            command += ["--build-arg", f"{name}={value}"]
        for volume in volumes:
            command += ["--volume", volume]
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as output:
            done = subprocess.run(
                self._command((*command, str(context))),
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode != 0:
            lines = [line[:LINE] for line in log.read_text(errors="replace").splitlines()[-LINES:]]
            raise LocalClusterError("\n".join([f"the build failed; the end of {log}:", *lines]))

    def save(self, image: str, archive: Path) -> None:
        """Write an image in the form of `docker save`."""
        partial = archive.with_name(f".{archive.name}.{os.getpid()}")
        try:
            self("push", "--quiet", image, f"docker-archive:{partial}:{image}")
            partial.rename(archive)
        finally:
            partial.unlink(missing_ok=True)

    def tidy(self) -> None:
        """Start the layers' cache anew now and then: old layers are told from useful ones by nobody."""
        counter = self._root / "builds"
        builds = int(counter.read_text()) + 1 if counter.exists() else 1
        if builds > BUILDS_KEPT:
            self("rm", "--all")
            self("rmi", "--all", "--force")
            builds = 0
        counter.write_text(str(builds))
