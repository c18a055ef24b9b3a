"""Migrations made of changes: their names, their fields, and whether the API would take them. Pure."""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct
from pydantic import TypeAdapter, ValidationError

from lockstep.api.fields import Line
from lockstep.api.migration import MAX_TEXT_BYTES, MigrationSpec
from lockstep.api.names import API_VERSION, MIGRATION
from lockstep.cli.importing.changes import Change, Text, UnfitError
from lockstep.cli.importing.literal import Sql

_NAME: Final = 63
"""Characters of a name, unless line and version alone need more: what kubectl's tables and labels have room for."""
_DESCRIPTION: Final = 1024
"""What spec.description takes: of a note, which may be a letter, its beginning."""
_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_HASH: Final = 8


class Resource(Struct, frozen=True):
    """A Migration and what it was made of."""

    name: str
    change: Change
    document: dict[str, Any]


def resources(changes: Sequence[Change], line: str, namespace: str | None = None) -> tuple[Resource, ...]:
    """Return a Migration for each change.

    Raises:
        UnfitError: if the API would refuse one.
    """
    _see_words(line, namespace)
    taken: set[str] = set()
    made, complaints = list[Resource](), list[str]()
    for change in changes:
        name = _name(line, change)
        if name in taken:
            digest = hashlib.sha256(change.up.file.encode()).hexdigest()[:_HASH]
            name = f"{name[: _NAME - _HASH - 1]}-{digest}"
        taken.add(name)
        document = _document(change, line, name, namespace)
        made.append(Resource(name, change, document))
        complaints += [why for why in (_unfit(change), _invalid(change, document)) if why is not None]
    if complaints:
        raise UnfitError(complaints)
    return tuple(made)


def _see_words(line: str, namespace: str | None) -> None:
    complaints = []
    try:
        TypeAdapter(Line).validate_python(line)
    except ValidationError as error:
        complaints.append(f"--schema {line!r}: {error.errors()[0]['msg']}")
    if namespace is not None and not _LABEL.fullmatch(namespace):
        complaints.append(f"--namespace {namespace!r}: write small letters, digits and dashes, at most 63")
    if complaints:
        raise UnfitError(complaints)


def _slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def _name(line: str, change: Change) -> str:
    """Return line, version and title as a name that Kubernetes takes; a long title is cut between words."""
    head = _slug(line) if change.version is None else f"{_slug(line)}-{change.version}"
    title = _slug(change.title)
    room = max(0, _NAME - len(head) - 1)
    if len(title) > room:
        title = (title[: room + 1].rpartition("-")[0] or title[:room]).strip("-")
    return f"{head}-{title}" if title else head


def _document(change: Change, line: str, name: str, namespace: str | None) -> dict[str, Any]:
    spec: dict[str, Any] = {"schema": line}
    spec |= {"repeatable": True} if change.version is None else {"version": change.version}
    if description := " ".join(change.note.split())[:_DESCRIPTION] or re.sub(r"[_\s-]+", " ", change.title).strip():
        spec["description"] = description
    if change.never:
        spec["transaction"] = "Never"
    spec["up"] = Sql(change.up.text)
    if change.down is not None:
        spec["down"] = Sql(change.down.text)
    metadata = {"name": name} if namespace is None else {"name": name, "namespace": namespace}
    return {"apiVersion": API_VERSION, "kind": MIGRATION, "metadata": metadata, "spec": spec}


def _files(change: Change) -> str:
    texts: list[Text] = [change.up] if change.down is None else [change.up, change.down]
    return " and ".join(dict.fromkeys(each.file for each in texts))


def _unfit(change: Change) -> str | None:
    """Return why the API server would not take the texts, by the rule that its models leave to it."""
    size = sum(len(each.text.encode()) for each in (change.up, change.down) if each is not None)
    if size <= MAX_TEXT_BYTES:
        return None
    return (
        f"{_files(change)}: {size:,} bytes are more than the {MAX_TEXT_BYTES:,} that a Migration takes: split it into "
        "several versions, or put each text into a ConfigMap (up to 1 MiB) and write the Migration by hand, with "
        "spec.upFrom and spec.downFrom"
    )


def _invalid(change: Change, document: dict[str, Any]) -> str | None:
    try:
        MigrationSpec.model_validate(document["spec"])
    except ValidationError as error:
        first = error.errors()[0]
        # What is too long is said in bytes.
        if first["type"] != "string_too_long" or first["loc"][0] not in {"up", "down"}:
            return f"{_files(change)}: spec.{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return None
