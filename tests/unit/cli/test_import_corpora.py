"""Real projects' folders: nothing of them is lost or changed on the way into resources."""

import pytest
import yaml
from typer.testing import CliRunner

from lockstep.cli import documents
from lockstep.cli.main import app
from lockstep.planning.checksum import ABSENT, checksum
from servers.corpora import CORPORA, NEEDED

pytestmark = NEEDED
FOLDERS = ["concourse", "harbor", "authelia/postgres", "authelia/mysql", "authelia/sqlite"]
TWICE = "1626194317"
"""Two of concourse's files have it."""
MISSPELT = {"1554469235_add_new_inputs_to_jobs": "1554469235_add_new_inputs_to_job"}
"""Its way up and its way back have two titles: their version makes them one change, as it does for golang-migrate."""


def imported(folder: str, *words: str) -> list[dict[str, dict[str, str]]]:
    done = CliRunner().invoke(app, ["import", str(CORPORA / folder), "--schema", "line", *words])
    assert done.exit_code == 0, done.stderr
    return list(yaml.load_all(done.stdout, yaml.CSafeLoader))


def theirs(folder: str) -> dict[str, tuple[str, str]]:
    """Return the checksums of both ways by version, as the names of the files are at a glance."""
    found: dict[str, tuple[str, str]] = {}
    for path in sorted((CORPORA / folder).glob("*.up.sql")):
        version = path.name.replace(".", "_").split("_")[0].removeprefix("V")
        version = f"{version}.1" if version in found else version
        title = path.name.removesuffix(".up.sql")
        down = path.with_name(f"{MISSPELT.get(title, title)}.down.sql")
        found[version] = checksum(path.read_text()), checksum(down.read_text()) if down.exists() else ABSENT
    return found


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_text_is_the_file_s(folder: str) -> None:
    found = imported(folder)
    _, candidates = documents.candidates(list(found), "line")
    assert {str(each.version): (each.up_checksum, each.down_checksum) for each in candidates} == theirs(folder)
    versions = [each.version for each in candidates if each.version is not None]
    assert versions == sorted(versions)
    # Byte for byte, line ends too.
    contents = {path.read_bytes() for path in (CORPORA / folder).iterdir()}
    texts = [each["spec"][way].encode() for each in found for way in ("up", "down") if way in each["spec"]]
    assert set(texts) <= contents
    assert any(b"\r\n" in text for text in texts) == (folder == "concourse")


def test_two_of_concourse_s_files_share_a_version() -> None:
    names = [each["metadata"]["name"] for each in imported("concourse") if each["spec"]["version"].startswith(TWICE)]
    assert names == [f"line-{TWICE}-add-job-pauses-table", f"line-{TWICE}.1-add-pipeline-pauses-table"]


@pytest.mark.parametrize(("folder", "engine"), [("concourse", "postgresql"), ("authelia/sqlite", "sqlite")])
def test_a_run_would_take_them(folder: str, engine: str) -> None:
    assert imported(folder, "--engine", engine) == imported(folder)
