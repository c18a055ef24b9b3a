"""The CRDs are what the models say."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from lockstep.api import crds
from lockstep.api.fields import milliseconds
from lockstep.api.migration import MigrationSpec
from lockstep.api.schemaversion import SchemaVersionSpec, SchemaVersionStatus

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("folder", ["crds", "charts/lockstep/files/crds"])
def test_the_checked_in_files_are_fresh(folder: str) -> None:
    rendered = crds.render()
    assert {path.name for path in (ROOT / folder).iterdir()} == set(rendered)
    for name, text in rendered.items():
        assert (ROOT / folder / name).read_text() == text, f"{name} is stale: run `make crds`"


def walk(node: Any, path: str = "") -> Any:
    yield path, node
    if isinstance(node, dict):
        for name, each in node.get("properties", {}).items():
            yield from walk(each, f"{path}.{name}")
        if "items" in node:
            yield from walk(node["items"], f"{path}[]")


@pytest.mark.parametrize("name", list(crds.render()))
def test_every_field_is_described_and_bounded(name: str) -> None:
    crd = yaml.safe_load(crds.render()[name])
    (version,) = crd["spec"]["versions"]
    assert version["selectableFields"] == [{"jsonPath": ".spec.schema"}]
    assert (
        version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["observedGeneration"]["default"]
        == -1
    )
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    for path, node in walk(spec, "spec"):
        if not path.endswith("[]"):
            assert node.get("description"), f"{path} says nothing of itself"
        # What a user writes has bounds, since CEL's cost is reckoned by them.
        if node.get("type") == "array":
            assert node.get("maxItems"), f"{path} has no bound"
        if node.get("type") == "string" and "enum" not in node:
            assert node.get("maxLength"), f"{path} has no bound"


@pytest.mark.parametrize(
    ("text", "expected"), [("5s", 5_000), ("1h30m", 5_400_000), ("250ms", 250), ("2m", 120_000), ("168h", 604_800_000)]
)
def test_durations(text: str, expected: int) -> None:
    assert milliseconds(text) == expected


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "-5s", "1d", "169h", "5s\n"])
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"no duration|longer than a week"):
        milliseconds(text)


def test_the_shortest_resources_are_enough() -> None:
    migration = MigrationSpec.model_validate({"schema": "orders", "version": "1", "up": "SELECT 1"})
    assert (migration.line, migration.transaction, migration.kind) == ("orders", "Auto", "Schema")
    wanted = SchemaVersionSpec.model_validate({"database": {"secretRef": {"name": "db"}}})
    assert (wanted.version, wanted.rollback, wanted.approval, wanted.drift) == (
        "latest",
        "Approve",
        "Automatic",
        "Report",
    )
    assert wanted.execution.lock_timeout == "5s"
    assert SchemaVersionStatus().observed_generation == -1
