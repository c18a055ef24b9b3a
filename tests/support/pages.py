"""The project's pages and the examples in them: each is run, or it says here why it is not."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any, Final

import yaml

ROOT = Path(__file__).parents[2]
NAMES: Final = tuple(
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "deploy/**/*.md", "requirements/*.md")
    for path in sorted(ROOT.glob(pattern))
)
"""Every page, by its path from the root."""

RUN: Final = (
    "README.md",
    "docs/adopting.md",
    "docs/approval.md",
    "docs/concepts.md",
    "docs/digest.md",
    "docs/local-cluster.md",
    "docs/operations.md",
    "docs/reasons.md",
    "docs/repair.md",
    "docs/rollback.md",
    "examples/approval/README.md",
    "examples/baseline/README.md",
    "examples/rollback/README.md",
    "examples/users/README.md",
)
"""Pages whose shell blocks tests/cluster/test_docs.py runs, as they stand there."""

NOT_RUN: Final[Mapping[str, str]] = {
    "README.md: make demo": "it takes the cluster and the operator that the tests run with",
    "README.md: make test": "it would run this test",
    "CONTRIBUTING.md: make check": "hours of tests, benchmarks and kills",
    "docs/benchmarks.md: make bench": "minutes to hours, on a machine that does nothing else",
    "docs/benchmarks.md: make bench-peers": "the same, and it fetches other tools",
}
"""Shell blocks that are not run, by their names, and why; tests/unit/test_docs.py asks their programs about them."""


@dataclass(frozen=True)
class Block:
    """What stands between two fences of a page."""

    page: str
    language: str
    text: str
    section: int = 0
    """How many headings stand before it."""

    @property
    def name(self) -> str:
        """The page, and the first two words."""
        return f"{self.page}: {' '.join(self.text.split()[:2])}"


def read(page: str) -> str:
    """Return a page's text."""
    return (ROOT / page).read_text()


def blocks(page: str, language: str | None = None) -> tuple[Block, ...]:
    """Return the blocks of a page, or those in one language; some stand in a list, and are indented."""
    made, section, end = list[Block](), 0, 0
    for found in re.finditer(r"^ *```([^\n]*)\n(.*?)^ *```", read(page), re.M | re.S):
        section += len(re.findall(r"^#", found.string[end : found.start()], re.M))
        end = found.end()
        made.append(Block(page, found[1], dedent(found[2]), section))
    return tuple(each for each in made if language in {None, each.language})


def is_printed(block: Block, following: Block) -> bool:
    """Tell whether the block behind another says what that one prints: as text, in the same section."""
    return (following.language, following.section) == ("text", block.section)


def manifest(page: str) -> str:
    """Return the resources of a page as they stand there; what is only a part of a spec is made a SchemaVersion."""
    # A digest is written as `sha256:…` where the reader puts in their own.
    texts = [block.text.replace("sha256:…", f"sha256:{'0' * 64}") for block in blocks(page, "yaml")]
    return "\n---\n".join(
        json.dumps(_completed(yaml.safe_load(text))) if text.startswith("spec:") else text
        for text in texts
        if "{{" not in text
    )


def resources(page: str) -> tuple[dict[str, Any], ...]:
    """Return the resources of a page's YAML blocks."""
    return tuple(yaml.safe_load_all(manifest(page)))


def _completed(part: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "lockstep.dev/v1alpha1",
        "kind": "SchemaVersion",
        "metadata": {"name": "orders"},
        "spec": {"database": {"secretRef": {"name": "orders-db"}}, **part["spec"]},
    }


def chart_template() -> str:
    """Return the template of docs/digest.md."""
    (found,) = [block.text for block in blocks("docs/digest.md", "yaml") if "{{" in block.text]
    return found
