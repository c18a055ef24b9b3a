"""What the docs show works: each example is run, or asked of its program; links and values of the chart are there.

Shell blocks are run by tests/cluster/test_docs.py, which also asks the API server about every YAML block.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lockstep.api.migration import MigrationSpec
from lockstep.api.schemaversion import SchemaVersionSpec
from lockstep.cli import documents
from lockstep.planning.digest import SetMember, set_digest
from support import pages
from support.pages import ROOT, Block

HELM = ROOT / ".local" / "bin" / "helm"
SHELL = [block for page in pages.NAMES for block in pages.blocks(page, "sh")]


def valid(document: dict[str, Any]) -> bool:
    if document["kind"] == "Migration":
        MigrationSpec.model_validate(document["spec"])
    else:
        SchemaVersionSpec.model_validate(document["spec"])
    return True


@pytest.mark.parametrize("page", pages.NAMES)
def test_a_block_is_in_a_language_that_is_looked_at(page: str) -> None:
    assert {block.language for block in pages.blocks(page)} <= {"sh", "yaml", "text"}


@pytest.mark.parametrize("page", pages.NAMES)
def test_the_yaml_of_a_page_is_valid(page: str) -> None:
    for document in pages.resources(page):
        assert document["kind"] in {"Migration", "SchemaVersion"}
        assert valid(document)


@pytest.mark.parametrize("page", pages.NAMES)
def test_the_links_of_a_page_lead_somewhere(page: str) -> None:
    for link, heading in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", pages.read(page)):
        found = (ROOT / page).parent / link if link else ROOT / page
        assert found.exists(), f"{page} links to {link}"
        if heading:
            assert heading in headings(found.read_text()), f"{page} links to {heading} of {link}"


def headings(text: str) -> set[str]:
    """Return the headings of a page as links name them."""
    found = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in found}


def test_each_shell_block_is_run_or_says_why_not() -> None:
    forgotten = [block.name for block in SHELL if block.page not in pages.RUN and block.name not in pages.NOT_RUN]
    assert forgotten == []
    assert set(pages.NOT_RUN) <= {block.name for block in SHELL}
    assert all(pages.blocks(page, "sh") for page in pages.RUN)


def options_are_known(script: str, words: list[str]) -> bool:
    """Ask a script of the benchmarks: it says no to a wrong value, and its help has every option."""
    done = subprocess.run(
        [sys.executable, script, *words, "--help"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    options = {word for word in words if word.startswith("--")}
    return done.returncode == 0 and options <= set(re.findall(r"--[\w-]+", done.stdout))


@pytest.mark.parametrize("block", [each for each in SHELL if each.name in pages.NOT_RUN], ids=lambda each: each.name)
def test_what_is_not_run_is_known_to_its_program(block: Block) -> None:
    for line in block.text.splitlines():
        program, *words = shlex.split(line, comments=True)
        if program == ".venv/bin/python":
            assert options_are_known(words[0], words[1:]), line
            continue
        assert program == "make", line
        done = subprocess.run(
            ["make", "--dry-run", *words], cwd=ROOT, check=False, capture_output=True, text=True, env=os.environ
        )
        assert done.returncode == 0, done.stderr
        for name in (word.partition("=")[0] for word in words if "=" in word):
            assert f"\n{name} ?=" in (ROOT / "Makefile").read_text(), f"make knows no {name}: {line}"
        for script, given in re.findall(r"python (tests/bench/\S+)(.*)", done.stdout):
            assert options_are_known(script, shlex.split(given)), line


def test_the_values_that_pages_name_are_in_the_chart() -> None:
    values = yaml.safe_load((ROOT / "charts" / "lockstep" / "values.yaml").read_text())
    named = {
        name
        for page in pages.NAMES
        for name in re.findall(rf"`((?:{'|'.join(values)})\.[\w.]+)(?:=[^`]*)?`", pages.read(page))
    }
    assert len(named) > 5
    for name in named:
        at: Any = values
        for part in name.split("."):
            assert part in at, f"no {name} in values.yaml"
            at = at[part]


@pytest.mark.parametrize("path", sorted((ROOT / "examples").rglob("*.yaml")), ids=lambda path: path.name)
def test_the_examples_are_valid(path: Path) -> None:
    kinds = [d for d in yaml.safe_load_all(path.read_text()) if d["kind"] in {"Migration", "SchemaVersion"}]
    assert kinds
    assert all(valid(document) for document in kinds)


@pytest.mark.skipif(not HELM.exists(), reason="`make cluster` builds Helm")
def test_the_template_of_the_digest_page_renders_the_digest(tmp_path: Path) -> None:
    for name, text in {
        "Chart.yaml": "apiVersion: v2\nname: app\nversion: 1.0.0\n",
        "values.yaml": "databaseSecret: db\n",
        "templates/migrations.yaml": pages.chart_template(),
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
