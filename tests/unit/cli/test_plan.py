"""`lockstep plan` on files."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lockstep.cli.main import app

USERS = Path(__file__).parents[3] / "examples" / "users"


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["plan", *words])
    return result.exit_code, result.output.strip()


def steps(*words: str) -> list[str]:
    code, text = run(*words, "-o", "json")
    assert code == 0, text
    found: list[str] = json.loads(text)["steps"]
    return found


def write(folder: Path, *documents: str) -> str:
    folder.mkdir()
    (folder / "all.yaml").write_text("---\n".join(documents))
    return str(folder)


def versioned(version: str, down: str = "SELECT 2") -> str:
    return (
        f"apiVersion: lockstep.dev/v1alpha1\nkind: Migration\nmetadata: {{name: m-{version}}}\n"
        f'spec: {{schema: orders, version: "{version}", up: "SELECT {version}", down: "{down}"}}\n'
    )


def view(text: str) -> str:
    return (
        "apiVersion: lockstep.dev/v1alpha1\nkind: Migration\nmetadata: {name: m-view}\n"
        f'spec: {{schema: orders, repeatable: true, up: "{text}", down: "DROP VIEW v"}}\n'
    )


def test_up_and_down_from_the_same_files() -> None:
    assert steps(str(USERS)) == ["up 0001 (users-0001-create-users)", "up 0002 (users-0002-add-last-seen)"]
    assert steps(str(USERS), "--from", "1") == ["up 0002 (users-0002-add-last-seen)"]
    down = ["down 0002 (users-0002-add-last-seen)", "down 0001 (users-0001-create-users)"]
    assert steps(str(USERS), "--from", "0002", "--target", "base") == down


def test_the_hash_alone_is_that_of_the_other_outputs() -> None:
    _, text = run(str(USERS))
    _, alone = run(str(USERS), "-o", "hash")
    _, document = run(str(USERS), "-o", "json")
    assert text.splitlines()[-1] == f"hash {alone}"
    assert json.loads(document)["hash"] == alone


def test_releases_before_tell_what_a_way_back_does(tmp_path: Path) -> None:
    first = write(tmp_path / "first", versioned("1"), view("A"))
    second = write(tmp_path / "second", versioned("1"), versioned("2"), view("B"))
    assert steps(second, "--after", first) == ["up 2 (m-2)", "repeat m-view"]
    back = ["down m-view", "down 2 (m-2)", "repeat m-view"]
    assert steps(first, "--after", first, "--after", second, "--target", "1") == back
    # The view that came with the first version only is not in the way of the second.
    assert steps(second, "--from", "1") == ["up 2 (m-2)"]


def test_a_baseline_is_recorded(tmp_path: Path) -> None:
    place = write(tmp_path / "all", versioned("1"), versioned("2"))
    assert steps(place, "--baseline", "1") == ["baseline 1 (m-1)", "up 2 (m-2)"]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--target", "9"], 1, "TargetNotFound: no Migration of schema 'users' has version 9"),
        (["--target", "x"], 2, "'x' is no version"),
        (["--schema", "other", "--target", "1"], 1, "TargetNotFound"),
        (["--after", "missing"], 2, "missing: no such file"),
    ],
)
def test_what_cannot_be_planned_says_why(words: list[str], code: int, says: str) -> None:
    found, text = run(str(USERS), *words)
    assert found == code
    assert says in text
