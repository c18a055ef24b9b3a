"""MySQL for the tests: of Debian's unstable, as no other Debian has it, unpacked beside the machine's own programs.

Nothing is installed. Its programs run with the libraries that came with them.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from localcluster.console import console, note, say

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
PACKAGE = "mysql-server-core"
SUITE = "sid"
# What their scripts need, and the programs do not.
_LEFT_OUT = ("perl", "libperl", "python3", "libpython3")


class _NotHere(Exception):
    """It cannot be had on this machine; the message says why."""


def ensure_mysql(cache: Path) -> None:
    """Unpack MySQL into the cache, unless it is there; the tests that want it are skipped where it cannot be had."""
    place = cache / "mysql"
    if (place / "usr/sbin/mysqld").exists():
        return
    say(f"Unpacking MySQL ({PACKAGE} of Debian's {SUITE}) into the cache")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mysql-", dir=cache) as folder:
        try:
            made = _unpack(Path(folder))
        except _NotHere as error:
            note(f"not here, so its tests are skipped: {error}")
            return
        shutil.rmtree(place, ignore_errors=True)
        made.chmod(0o755)
        made.rename(place)


def _unpack(folder: Path) -> Path:
    if shutil.which("apt-get") is None or not KEYRING.exists():
        raise _NotHere("this is no Debian")
    sources = folder / "sources.list"
    sources.write_text(f"deb [signed-by={KEYRING}] {_archive()} {SUITE} main\n")
    state, archives, root = folder / "state", folder / "cache/archives", folder / "root"
    for each in (state / "lists/partial", archives / "partial", root):
        each.mkdir(parents=True)
    (state / "status").touch()
    # The programs' own libraries too, whatever the machine has: so its status is an empty one.
    options = {
        "Dir::State": state,
        "Dir::State::status": state / "status",
        "Dir::Cache": folder / "cache",
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "/dev/null",
        "APT::Sandbox::User": "root",
        "Debug::NoLocking": "1",
    }
    apt = ["apt-get", "--quiet=2", *(f"-o{name}={value}" for name, value in options.items())]
    _run([*apt, "update"])
    _run([*apt, "install", "--yes", "--no-install-recommends", "--download-only", PACKAGE])
    for package in sorted(archives.glob("*.deb")):
        if not package.name.startswith(_LEFT_OUT):
            _run(["dpkg-deb", "--extract", str(package), str(root)])
    return root


def _archive() -> str:
    """Return where this machine has its own Debian from."""
    targets = ["apt-get", "indextargets", "--format", "$(ORIGIN) $(COMPONENT) $(REPO_URI)", "Created-By: Packages"]
    for line in _run(targets).splitlines():
        origin, component, address = line.split(maxsplit=2)
        if (origin, component) == ("Debian", "main") and "security" not in address:
            return address
    raise _NotHere("apt-get knows no archive of Debian; has it ever been updated?")


def _run(command: list[str]) -> str:
    with console.status(" ".join(command[:1])):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise _NotHere(f"{command[0]} failed: {done.stderr.strip()[-500:]}")
    return done.stdout
