"""`lockstep digest` on files."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from lockstep.cli.main import app
from lockstep.planning.checksum import checksum
from lockstep.planning.digest import SetMember, set_digest
from lockstep.planning.version import Version

USERS = Path(__file__).parents[3] / "examples" / "users"
FIRST = """\
apiVersion: lockstep.dev/v1alpha1
kind: Migration
metadata: {name: first}
spec: {schema: orders, version: "1", up: "SELECT 1", down: "SELECT 2"}
"""


def run(*words: str, stdin: str | None = None) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["digest", *words], input=stdin)
    return result.exit_code, result.output.strip()


def test_it_is_the_digest_of_the_texts() -> None:
    expected = set_digest([SetMember("x", Version.parse("1"), checksum("SELECT 1"), checksum("SELECT 2"))], None)
    assert run("-", stdin=FIRST) == (0, expected)


def test_texts_in_config_maps_count_like_texts_in_place(tmp_path: Path) -> None:
    place = 'up: "SELECT 1"'
    source = "upFrom: {configMapKeyRef: {name: texts, key: first.sql}}"
    config_map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: texts}\ndata: {first.sql: SELECT 1}\n"
    (tmp_path / "all.yaml").write_text(f"{FIRST.replace(place, source)}---\n{config_map}")
    assert run(str(tmp_path)) == run("-", stdin=FIRST)


def test_the_target_chooses_and_the_second_version_changes_it() -> None:
    both = [str(USERS / "migrations.yaml"), str(USERS / "second.yaml")]
    assert run(*both, "--target", "1") == run(both[0])
    assert run(*both)[1] != run(both[0])[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (FIRST + "---\n" + FIRST.replace("name: first", "name: other"), "first and other have the same version 1"),
        (FIRST + "---\n" + FIRST.replace("orders", "auth"), "name one line with --schema: the files have auth, orders"),
        (FIRST.replace('"1"', "one"), "Migration first: spec.version"),
        ("{", "no YAML"),
        ("a string", "something else than Kubernetes objects"),
        ("", "no Migration"),
        (FIRST.replace('up: "SELECT 1"', "upFrom: {configMapKeyRef: {name: a, key: b}}"), "is not in the files"),
    ],
)
def test_bad_files_are_named(text: str, message: str) -> None:
    code, output = run("-", stdin=text)
    assert code == 2
    assert message in output


def test_a_missing_file_is_named() -> None:
    code, output = run("nowhere.yaml")
    assert code == 2
    assert "nowhere.yaml: no such file" in output
