"""Reads Migrations, and the ConfigMaps that hold their texts, from YAML files."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from lockstep.api.migration import MigrationSpec, TextSource
from lockstep.api.names import API_VERSION, MIGRATION
from lockstep.planning.checksum import ABSENT, checksum
from lockstep.planning.plan import Candidate
from lockstep.planning.version import Version

STDIN: Final = "-"


class DocumentError(ValueError):
    """A file cannot be used; the message says which and what to do."""


def _texts(places: Iterable[str]) -> Iterator[tuple[str, str]]:
    for place in places:
        if place == STDIN:
            yield "standard input", sys.stdin.read()
            continue
        path = Path(place)
        files = [path] if path.is_file() else sorted([*path.rglob("*.yaml"), *path.rglob("*.yml")])
        if not files:
            raise DocumentError(f"{place}: no such file, or a folder without .yaml files")
        for each in files:
            yield str(each), each.read_text(encoding="utf-8")


def read(places: Iterable[str]) -> list[dict[str, Any]]:
    """Return the Kubernetes objects of files, of the YAML files in folders, and of standard input (`-`).

    Raises:
        DocumentError: if a place is missing or is no YAML.
    """
    found: list[dict[str, Any]] = []
    for place, text in _texts(places):
        try:
            documents = [each for each in yaml.safe_load_all(text) if each]
        except yaml.YAMLError as error:
            raise DocumentError(f"{place}: no YAML: {' '.join(str(error).split())}") from None
        for each in documents:
            if not isinstance(each, dict):
                raise DocumentError(f"{place}: holds something else than Kubernetes objects")
            found += each.get("items", []) if each.get("kind") == "List" else [each]
    return found


def candidates(documents: list[dict[str, Any]], line: str | None) -> tuple[str, list[Candidate]]:
    """Return the line and its Migrations; the only line of the files, if none is named.

    Raises:
        DocumentError: if there are several lines and none is named, or a Migration is not valid, lacks its text, or
            shares its version with another.
    """
    config_maps = {d["metadata"]["name"]: d.get("data") or {} for d in documents if d.get("kind") == "ConfigMap"}
    specs: list[tuple[str, MigrationSpec]] = []
    for each in documents:
        if each.get("kind") != MIGRATION or each.get("apiVersion") != API_VERSION:
            continue
        name = str(each.get("metadata", {}).get("name", "(no name)"))
        try:
            specs.append((name, MigrationSpec.model_validate(each.get("spec", {}))))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise DocumentError(f"Migration {name}: spec.{where}: {first['msg']}") from None
    lines = sorted({spec.line for _, spec in specs})
    if line is None:
        if len(lines) != 1:
            raise DocumentError(f"name one line with --schema: the files have {', '.join(lines) or 'no Migration'}")
        line = lines[0]

    def digested(name: str, text: str | None, source: TextSource | None) -> str:
        if text is None and source is not None:
            reference = source.config_map_key_ref
            text = config_maps.get(reference.name, {}).get(reference.key)
            if text is None:
                raise DocumentError(
                    f"Migration {name}: ConfigMap {reference.name} with key {reference.key} is not in the files"
                )
        return ABSENT if text is None else checksum(text)

    chosen: list[Candidate] = []
    taken: dict[Version, str] = {}
    for name, spec in specs:
        if spec.line != line:
            continue
        if spec.framework is not None:
            raise DocumentError(f"Migration {name}: spec.framework is not supported yet")
        version = None if spec.version is None else Version.parse(spec.version)
        if version is not None and taken.setdefault(version, name) != name:
            raise DocumentError(f"Migrations {taken[version]} and {name} have the same version {version}")
        up, down = digested(name, spec.up, spec.up_from), digested(name, spec.down, spec.down_from)
        adopts = tuple(spec.adopts)
        chosen.append(Candidate(name, version, up, down, spec.irreversible, spec.kind, adopts))
    return line, chosen
