"""What the docs show works: their YAML is valid, their template renders the digest that Lockstep computes."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from lockstep.api.migration import MigrationSpec
from lockstep.api.schemaversion import SchemaVersionSpec
from lockstep.cli import documents
from lockstep.planning.digest import SetMember, set_digest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "examples").rglob("*.md"))]
HELM = ROOT / ".local" / "bin" / "helm"


def blocks(page: Path, language: str) -> list[str]:
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```", page.read_text(), re.M | re.S)
    return [str(each) for each in found]


def valid(document: dict[str, Any]) -> bool:
    spec = dict(document["spec"])
    if (migrations := spec.get("migrations")) is not None:
        # Written as `sha256:…` where the reader puts in their own.
        spec["migrations"] = {"digest": migrations["digest"].replace("…", "0" * 64)}
    if document["kind"] == "Migration":
        MigrationSpec.model_validate(spec)
    else:
        SchemaVersionSpec.model_validate(spec)
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_yaml_of_a_page_is_valid(page: Path) -> None:
    for block in blocks(page, "yaml"):
        if "{{" in block:
            continue
        for document in yaml.safe_load_all(block):
            if isinstance(document, dict) and document.get("kind") in {"Migration", "SchemaVersion"}:
                assert valid(document)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / link).exists(), f"{page.name} links to {link}"


@pytest.mark.parametrize("path", sorted((ROOT / "examples").rglob("*.yaml")), ids=lambda path: path.name)
def test_the_examples_are_valid(path: Path) -> None:
    kinds = [d for d in yaml.safe_load_all(path.read_text()) if d["kind"] in {"Migration", "SchemaVersion"}]
    assert kinds
    assert all(valid(document) for document in kinds)


@pytest.mark.skipif(not HELM.exists(), reason="`make cluster` builds Helm")
def test_the_template_of_the_digest_page_renders_the_digest(tmp_path: Path) -> None:
    (template,) = [block for block in blocks(ROOT / "docs" / "digest.md", "yaml") if "{{" in block]
    for name, text in {
        "Chart.yaml": "apiVersion: v2\nname: app\nversion: 1.0.0\n",
        "values.yaml": "databaseSecret: db\n",
        "templates/migrations.yaml": template,
        "migrations/0002_second.up.sql": "ALTER TABLE a ADD COLUMN b text;\r\n",
        "migrations/0001_first.up.sql": "CREATE TABLE a ();\n\n",
        "migrations/0001_first.down.sql": 'DROP TABLE "a"; -- ü\n',
        "migrations/0010_third.up.sql": "SELECT 1",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(text.encode())
    rendered = subprocess.run([HELM, "template", "shop", tmp_path], check=True, capture_output=True, text=True).stdout
    (tmp_path / "rendered.yaml").write_text(rendered)
    objects = documents.read([str(tmp_path / "rendered.yaml")])
    line, found = documents.candidates(objects, None)
    members = [SetMember(each.name, each.version, each.up_checksum, each.down_checksum) for each in found]
    (wanted,) = [each for each in objects if each["kind"] == "SchemaVersion"]
    assert line == "shop"
    assert len(members) == 3
    assert wanted["spec"]["migrations"]["digest"] == set_digest(members, None)
    assert all(valid(each) for each in objects)
