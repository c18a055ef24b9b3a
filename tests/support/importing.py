"""`lockstep import` asked as a user does, of folders that are written for it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from typer.testing import CliRunner, Result

from lockstep.cli import documents
from lockstep.cli.main import app
from lockstep.planning.checksum import ABSENT, checksum

UP: Final = "CREATE TABLE t (a int);\n"
DOWN: Final = "DROP TABLE t;\n"
Spec = dict[str, Any]


def fill(folder: Path, files: Mapping[str, str | bytes]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())


def run(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["import", str(folder), "--schema", "orders", *words])


def imported(folder: Path, *words: str) -> dict[str, Spec]:
    """Return the specs of what is printed, by name; all of it is what `lockstep digest` reads too."""
    done = run(folder, *words)
    assert done.exit_code == 0, done.stderr
    found = list(yaml.safe_load_all(done.stdout))
    line, candidates = documents.candidates(found, None)
    assert line == "orders"
    specs = {each["metadata"]["name"]: each["spec"] for each in found}
    for each in candidates:
        spec = specs[each.name]
        assert each.up_checksum == checksum(spec["up"])
        assert each.down_checksum == (checksum(spec["down"]) if "down" in spec else ABSENT)
    return specs


def only(folder: Path, *words: str) -> Spec:
    (spec,) = imported(folder, *words).values()
    assert spec.pop("schema") == "orders"
    return spec
