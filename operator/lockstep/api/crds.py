"""Renders the CustomResourceDefinitions from the models."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel

from lockstep.api import migration, schemaversion
from lockstep.api.names import GROUP, VERSION

CATEGORY: Final = "lockstep"
_HEADER: Final = "# Rendered from operator/lockstep/api: change it there, then `make crds`.\n"
_DROPPED: Final = frozenset({"title", "$defs", "additionalProperties"})


def _structural(node: Any, definitions: Mapping[str, Any]) -> Any:
    """Return a JSON schema as a structural schema: no references, no unions with null, no titles.

    See https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
    """
    if isinstance(node, list):
        return [_structural(each, definitions) for each in node]
    if not isinstance(node, dict):
        return node
    node = dict(node)
    if (reference := node.pop("$ref", None)) is not None:
        node = {**definitions[reference.rsplit("/", 1)[1]], **node}
    if (union := node.pop("anyOf", None)) is not None:
        (only,) = [each for each in union if each.get("type") != "null"]
        # What is said of the field goes before what is said of its type.
        return _structural({**only, **node}, definitions)
    kept: dict[str, Any] = {}
    for key, value in node.items():
        if key == "properties":
            kept[key] = {name: _structural(each, definitions) for name, each in value.items()}
        elif key == "default" and (value in (None, []) or (value == {} and "properties" not in node)):
            # An empty list or map that nobody wrote is only noise in `kubectl get -o yaml`.
            continue
        elif key == "const":
            kept["enum"] = [value]
        elif key == "additionalProperties" and isinstance(value, dict):
            kept[key] = _structural(value, definitions)
        elif key not in _DROPPED:
            kept[key] = _structural(value, definitions) if key == "items" else value
    if "description" in kept:
        kept["description"] = " ".join(kept["description"].split())
    return kept


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    # `validation` mode: fields with a default are not required.
    schema = model.model_json_schema(by_alias=True)
    rendered: dict[str, Any] = _structural(schema, schema.get("$defs", {}))
    return rendered


def _crd(
    kind: str,
    short: str,
    *,
    description: str,
    spec: type[BaseModel],
    status: type[BaseModel],
    columns: list[dict[str, Any]],
    root_rules: list[dict[str, str]] | None = None,
) -> dict[str, Any]:
    plural = f"{kind.lower()}s"
    root: dict[str, Any] = {
        "description": description,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": _schema(spec),
            "status": {**_schema(status), "default": {"observedGeneration": -1}},
        },
    }
    if root_rules:
        root["x-kubernetes-validations"] = root_rules
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short],
                "categories": [CATEGORY],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": columns,
                    "selectableFields": [{"jsonPath": ".spec.schema"}],
                    "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": root},
                }
            ],
        },
    }


def render() -> dict[str, str]:
    """Return the CRDs as YAML by the name of their file."""
    documents = [
        _crd(
            "Migration",
            "mig",
            description="A Migration is one change to a database: how to make it and how to undo it.",
            spec=migration.MigrationSpec,
            status=migration.MigrationStatus,
            columns=migration.COLUMNS,
            root_rules=migration.ROOT_RULES,
        ),
        _crd(
            "SchemaVersion",
            "sv",
            description="A SchemaVersion says which version a database shall have; Lockstep takes it there.",
            spec=schemaversion.SchemaVersionSpec,
            status=schemaversion.SchemaVersionStatus,
            columns=schemaversion.COLUMNS,
        ),
    ]
    return {
        f"{document['metadata']['name']}.yaml": _HEADER
        + yaml.safe_dump(document, sort_keys=False, width=120, allow_unicode=True)
        for document in documents
    }


def main(*folders: str) -> None:
    """Write the CRDs into each folder."""
    for folder in folders:
        for name, text in render().items():
            Path(folder, name).write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
