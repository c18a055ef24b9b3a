"""The Migration resource: one change to a database."""

from typing import Annotated, Any, Literal

from pydantic import Field

from lockstep.api.fields import Duration, Key, Line, Model, Name, VersionText, atomic_list, cel, rule
from lockstep.api.status import Conditions

MAX_TEXT_BYTES = 1_000_000
"""Bytes of up and down together: the API server takes requests of up to 1.5 MiB."""


class ConfigMapKeyRef(Model):
    """A key of a ConfigMap in the same namespace."""

    name: Name
    """Name of the ConfigMap."""
    key: Key
    """Key that holds the text."""


class TextSource(Model):
    """Where a text comes from."""

    config_map_key_ref: ConfigMapKeyRef
    """A key of a ConfigMap in the same namespace."""


class Requirement(Model):
    """A version that another line must have reached."""

    # `schema` would hide a method of pydantic's models.
    line: Annotated[Line, Field(alias="schema")]
    """The other line."""
    version: VersionText
    """The version that it must have, or a higher one."""


class Framework(Model):
    """The app's own migration tool, run from the app's own image."""

    name: Literal["rails", "django", "entityframework", "flyway", "liquibase", "knex", "alembic"]
    """Which tool it is."""
    image: Annotated[str, Field(min_length=1, max_length=1024)]
    """The image that has the tool and the migrations, best by digest."""
    command: Annotated[list[Annotated[str, Field(max_length=4096)]], atomic_list(64)] = []
    """Command that takes the database up; the framework's own by default."""
    down_command: Annotated[list[Annotated[str, Field(max_length=4096)]], atomic_list(64)] = []
    """Command that takes it back."""
    target: Annotated[str, Field(max_length=253)] | None = None
    """The tool's own name of the version to reach."""


class MigrationSpec(Model):
    """What the change is."""

    line: Annotated[Line, Field(alias="schema")]
    """The line of versions that this change belongs to."""
    version: VersionText | None = None
    """Its version, unique in its line: numbers separated by dots, compared as numbers (1 = 01 = 1.0, 2 < 10)."""
    description: Annotated[str, Field(max_length=1024)] = ""
    """What it does, for people."""
    up: Annotated[str, Field(max_length=MAX_TEXT_BYTES)] | None = None
    """The SQL that makes the change."""
    up_from: TextSource | None = None
    """Where that SQL is, instead of `up`."""
    down: Annotated[str, Field(max_length=MAX_TEXT_BYTES)] | None = None
    """The SQL that undoes it."""
    down_from: TextSource | None = None
    """Where that SQL is, instead of `down`."""
    irreversible: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """Why it cannot be undone, instead of `down`."""
    transaction: Literal["Auto", "Always", "Never"] = "Auto"
    """Auto: in a transaction wherever the statements allow it; Always: refused if they do not; Never: one by one."""
    kind: Literal["Schema", "Data", "Seed"] = "Schema"
    """What it changes: the schema, existing data, or the data to start with."""
    repeatable: bool = False
    """True: has no version and runs after the versioned ones whenever its text changed (views, functions, seeds)."""
    requires: Annotated[list[Requirement], atomic_list(16)] = []
    """Versions that other lines must have reached before."""
    lock_timeout: Duration | None = None
    """How long one statement may wait for a lock before it is tried again; the SchemaVersion's by default."""
    adopts: Annotated[list[Annotated[str, Field(min_length=1, max_length=512)]], atomic_list(16)] = []
    """Names under which another tool has recorded this change, for spec.adopt: a revision, a changeset's id."""
    framework: Framework | None = None
    """The app's own migration tool, instead of up and down."""


class MigrationStatus(Model):
    """What Lockstep knows of the change."""

    observed_generation: int = -1
    """The generation that this status speaks of; -1 until somebody has looked."""
    checksum: Annotated[str, Field(max_length=64)] | None = None
    """SHA-256 of the up text without byte order mark, with LF, without its final newline."""
    applied: bool = False
    """True once a SchemaVersion has applied it, false when none has it."""
    applied_by: Annotated[str, Field(max_length=253)] | None = None
    """A SchemaVersion that has applied it; not the only one, where there are several."""
    lint: Annotated[list[Annotated[str, Field(max_length=1024)]], atomic_list(32)] | None = None
    """What a reviewer would remark."""
    conditions: Conditions = []
    """Ready, Applied, and Reconciling or Stalled while they are true."""


def _frozen(field: str, unless: str = "") -> dict[str, str]:
    """Return the rule that holds a field of an applied Migration as it is."""
    new, old = f"self.spec.{field}", f"oldSelf.spec.{field}"
    unapplied = "!has(oldSelf.status) || !has(oldSelf.status.applied) || !oldSelf.status.applied"
    return rule(
        f"{unapplied} || {unless}(has({new}) == has({old}) && (!has({new}) || {new} == {old}))",
        f"spec.{field} cannot change since this Migration has been applied: what has run does not change; "
        "write a new version instead",
    )


ROOT_RULES: list[dict[str, str]] = [
    _frozen("schema"),
    _frozen("version"),
    # The text of a repeatable may change: that is what it is for.
    _frozen("up", "oldSelf.spec.repeatable || "),
    _frozen("upFrom", "oldSelf.spec.repeatable || "),
    _frozen("framework"),
    _frozen("repeatable"),
]

SPEC_RULES: list[dict[str, str]] = [
    rule(
        "(has(self.up) ? 1 : 0) + (has(self.upFrom) ? 1 : 0) + (has(self.framework) ? 1 : 0) == 1",
        "give exactly one of spec.up, spec.upFrom and spec.framework",
    ),
    rule(
        "(has(self.down) ? 1 : 0) + (has(self.downFrom) ? 1 : 0) + (has(self.irreversible) ? 1 : 0) <= 1",
        "give at most one of spec.down, spec.downFrom and spec.irreversible",
    ),
    rule(
        "!has(self.framework) || (!has(self.down) && !has(self.downFrom))",
        "spec.framework has its own way back (framework.downCommand): leave out spec.down and spec.downFrom",
    ),
    rule("self.repeatable || has(self.version)", "spec.version is missing; only a repeatable Migration has none"),
    rule("!self.repeatable || !has(self.version)", "a repeatable Migration has no spec.version: leave it out"),
    rule(
        "(has(self.up) ? size(bytes(self.up)) : 0) + (has(self.down) ? size(bytes(self.down)) : 0)"
        f" <= {MAX_TEXT_BYTES}",
        f"spec.up and spec.down have more than {MAX_TEXT_BYTES} bytes together: split the migration, "
        "or put each text into a ConfigMap (upFrom, downFrom)",
    ),
]

COLUMNS: list[dict[str, Any]] = [
    {"name": "Schema", "type": "string", "jsonPath": ".spec.schema"},
    {"name": "Version", "type": "string", "jsonPath": ".spec.version"},
    {"name": "Applied", "type": "boolean", "jsonPath": ".status.applied"},
    {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
    {"name": "Reason", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].reason'},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    {"name": "Description", "type": "string", "jsonPath": ".spec.description", "priority": 1},
    {"name": "Kind", "type": "string", "jsonPath": ".spec.kind", "priority": 1},
]

MigrationSpec.model_config["json_schema_extra"] = cel(*SPEC_RULES)
