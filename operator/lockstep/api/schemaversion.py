"""The SchemaVersion resource: which version a database shall have, and what is known of it."""

from typing import Annotated, Any, Literal

from pydantic import Field

from lockstep.api.database import DATABASE_RULES, Database
from lockstep.api.fields import Duration, Line, Model, Name, Sha256, VersionText, atomic_list, cel, rule
from lockstep.api.names import VERSION_PATTERN
from lockstep.api.status import Conditions

TARGET_PATTERN = rf"^(latest|base|{VERSION_PATTERN.removeprefix('^').removesuffix('$')})$"
UserId = Annotated[int, Field(ge=1, le=2**31 - 1)]
"""A number of a user or a group; never root's."""
FreeObject = Annotated[dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]
StringMap = Annotated[dict[str, Annotated[str, Field(max_length=4096)]], Field(json_schema_extra={"maxProperties": 64})]


class MigrationSet(Model):
    """Which set of Migrations is meant."""

    digest: Sha256 | None = None
    """Its digest, as `lockstep digest` or a chart renders it: no run until the cluster holds exactly that set."""


class Adopt(Model):
    """Another tool's history to read once."""

    history: Literal[
        "flyway", "liquibase", "alembic", "django", "rails", "efcore", "knex", "golang-migrate", "goose", "dbmate"
    ]
    """The tool that managed the database until now."""
    table: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """Its history table, where it is not the tool's usual one."""


class DriftOptions(Model):
    """What counts as drift."""

    include: Annotated[
        list[Literal["Grants", "Policies"]], Field(max_length=2, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = []
    """What is looked at beside the schema itself: rights, and row level security policies."""
    ignore: Annotated[list[Annotated[str, Field(min_length=1, max_length=256)]], atomic_list(64)] = []
    """Objects to leave out, by patterns such as `public.tmp_*`; what belongs to them is left out too."""


class Repair(Model):
    """One act by a person, done once and written to the history of the database."""

    token: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[-._a-zA-Z0-9]+$")]
    """Names this act: the same token is never done twice, a new one is a new act."""
    action: Literal[
        "MarkApplied",
        "MarkNotApplied",
        "StatementApplied",
        "StatementNotApplied",
        "AcceptDrift",
        "AcceptLedger",
        "TakeOver",
        "EndSession",
    ]
    """What to do; docs/repair.md describes each."""
    version: VersionText | None = None
    """The version that is meant (MarkApplied, MarkNotApplied, StatementApplied, StatementNotApplied)."""
    confirm: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """What the status says, so that nothing else is meant: hash of the drift (AcceptDrift), the ledger and its last
    number (AcceptLedger), present owner (TakeOver), pod that holds the lock (EndSession)."""
    note: Annotated[str, Field(max_length=512)] = ""
    """Why; kept in the history."""


class LocalObjectReference(Model):
    """A resource of the same namespace."""

    name: Name
    """Its name."""


class Execution(Model):
    """How a run is carried out."""

    lock_timeout: Duration = "5s"
    """How long one statement may wait for a lock of the database before it is tried again."""
    statement_timeout: Duration | None = None
    """How long one statement may take; what is left of the deadline by default."""
    deadline: Duration = "1h"
    """How long a run may take."""
    service_account_name: Name | None = None
    """Service account of the Job's pod, for its image pull secrets and policies; no token is mounted."""
    resources: FreeObject | None = None
    """Resources of the runner's container (core/v1 ResourceRequirements)."""
    node_selector: StringMap = {}
    """Node selector of the pod."""
    tolerations: Annotated[list[FreeObject], atomic_list(32)] = []
    """Tolerations of the pod (core/v1 Toleration)."""
    affinity: FreeObject | None = None
    """Affinity of the pod (core/v1 Affinity), such as the wish to be on the node of an app whose volume it mounts."""
    run_as_user: UserId | None = None
    """User that the pod runs as, such as the one that owns the file on a volume; the image's (65532) by default."""
    fs_group: UserId | None = None
    """Group that owns what the volume holds, as in the app's own pod; the pod is of that group."""
    image_pull_secrets: Annotated[list[LocalObjectReference], atomic_list(16)] = []
    """Image pull secrets of the pod."""
    pod_labels: StringMap = {}
    """More labels of the pod."""
    pod_annotations: StringMap = {}
    """More annotations of the pod, such as `sidecar.istio.io/inject: "false"`."""


class SchemaVersionSpec(Model):
    """What the database shall have, and what may be done to it."""

    # `schema` would hide a method of pydantic's models.
    line: Annotated[Line | None, Field(alias="schema")] = None
    """The line of versions; metadata.name by default. Cannot change."""
    version: Annotated[str, Field(min_length=1, max_length=128, pattern=TARGET_PATTERN)] = "latest"
    """The version to reach: one of the line; `latest`, which never goes down by itself; or `base`, an empty line."""
    migrations: MigrationSet | None = None
    """Which set of Migrations is meant."""
    database: Database
    """Which database, and how to reach it."""
    rollback: Literal["Allow", "Approve", "Forbid"] = "Approve"
    """What a lower version may do: run the downs, run them once the plan is approved, or nothing."""
    approval: Literal["Automatic", "Manual"] = "Automatic"
    """Whether a plan that goes up must be approved."""
    approved_plans: Annotated[
        list[Sha256], Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = []
    """Hashes of the plans that may run."""
    out_of_order: Literal["Reject", "Allow"] = "Reject"
    """Whether a version below the highest applied one may still be applied."""
    drift: Literal["Report", "Block", "Ignore"] = "Report"
    """What changes made by hand lead to."""
    drift_check: Duration | None = None
    """How often to look for such changes beside the runs; never by default."""
    drift_options: DriftOptions = DriftOptions()
    """What counts as such a change."""
    baseline: VersionText | None = None
    """Adopts an existing database: versions up to this one are recorded, not run."""
    adopt: Adopt | None = None
    """Adopts an existing database from another tool's history."""
    progress_deadline: Duration = "120s"
    """How long waiting for the set or for the database counts as progress; then it counts as Stalled, and goes on."""
    suspend: bool = False
    """True: no new run."""
    repair: Repair | None = None
    """An act by a person, such as marking a version as applied; done once for each token."""
    execution: Annotated[Execution, Field(json_schema_extra={"default": {}})] = Execution()
    """How a run is carried out."""


class Pending(Model):
    """What is still to be applied."""

    count: int = 0
    """How many versions."""
    names: Annotated[list[str], Field(max_length=10)] = []
    """The first of them."""


class Plan(Model):
    """A plan that somebody shall read or approve."""

    hash: Annotated[str, Field(max_length=71)] | None = None
    """Its hash, for approvedPlans."""
    job: Annotated[str, Field(max_length=253)] | None = None
    """The Job that made it: its log has the SQL of every step."""
    input: Annotated[str, Field(max_length=64)] | None = None
    """Hash of what it is a plan for: with another set or target it is made anew."""
    count: int = 0
    """How many steps it has."""
    direction: Literal["Up", "Down"] | None = None
    """Which way it goes."""
    steps: Annotated[list[Annotated[str, Field(max_length=512)]], Field(max_length=100)] = []
    """Its first steps in order."""


class DriftStatus(Model):
    """What was last seen of changes made by hand."""

    hash: Annotated[str, Field(max_length=71)] | None = None
    """Hash of the drift, for a repair with AcceptDrift; none where there is no drift."""
    drifted: bool | None = None
    """Whether there is any; none: it could not be told yet."""
    message: Annotated[str, Field(max_length=1024)] = ""
    """What was found."""
    checked_at: str | None = None
    """When it was last looked for (RFC 3339)."""
    job: Annotated[str, Field(max_length=253)] | None = None
    """The Job that looked: its log names every object."""
    checks: int = 0
    """Number of the last look by driftCheck."""
    error: Annotated[str, Field(max_length=1024)] | None = None
    """Why the last look by driftCheck told nothing."""


class Lock(Model):
    """Who holds the line's lock in the database."""

    holder: Annotated[str, Field(max_length=253)]
    """The pod."""
    since: str | None = None
    """Since when (RFC 3339)."""


class RunProgress(Model):
    """How far a run is."""

    done: int = 0
    """Steps done."""
    total: int = 0
    """Steps of the plan."""
    version: str | None = None
    """Version in work."""
    message: Annotated[str, Field(max_length=1024)] | None = None
    """What it does at the moment."""


class Run(Model):
    """The run under way, or the last one."""

    job: Annotated[str, Field(max_length=253)]
    """Its Job."""
    mode: Literal["Run", "Plan"] = "Run"
    """Plan: it only says what a run would do."""
    attempt: int = 1
    """Which attempt at the same input it is."""
    failures: int = 0
    """How many of them failed; evictions and lost pods do not count."""
    input: Annotated[str, Field(max_length=64)] | None = None
    """Hash of what it was to do: set, target, policy, database reference, retry token."""
    started_at: str | None = None
    """When its Job was made (RFC 3339)."""
    finished_at: str | None = None
    """When its result was read (RFC 3339)."""
    outcome: Literal["Running", "Done", "Retryable", "Permanent", "Person"] = "Running"
    """How it ended."""
    reason: Annotated[str, Field(max_length=64)] | None = None
    """The reason of its end."""
    retry_at: str | None = None
    """When the next attempt starts (RFC 3339)."""
    progress: RunProgress | None = None
    """How far it is."""


class HistoryEntry(Model):
    """One step that was applied."""

    version: str | None = None
    """Its version; none for a repeatable one."""
    name: Annotated[str, Field(max_length=253)]
    """Its Migration."""
    kind: Annotated[str, Field(max_length=16)] = "Schema"
    """Schema, Data or Seed."""
    direction: Annotated[str, Field(max_length=16)]
    """up, down, repeat, baseline, adopt, correct or repair."""
    at: str
    """When it was committed, by the database's clock (RFC 3339)."""
    milliseconds: int = 0
    """How long it took."""


class Ledger(Model):
    """What the ledger was when it was last seen."""

    uuid: Annotated[str, Field(max_length=64)]
    """The ledger's identity."""
    sequence: int
    """Number of its last entry."""
    hash: Annotated[str, Field(max_length=64)]
    """Hash of that entry, which covers all before it."""


class SchemaVersionStatus(Model):
    """What Lockstep knows of the database."""

    observed_generation: int = -1
    """The generation that this status speaks of; -1 until somebody has looked."""
    version: str | None = None
    """The version that the database has."""
    target: str | None = None
    """The version that it shall have: spec.version, with `latest` resolved."""
    state: Annotated[str, Field(max_length=64)] | None = None
    """The reason of the Ready condition, for the table that kubectl prints."""
    pending: Pending | None = None
    """What is still to be applied."""
    reached: Annotated[str, Field(max_length=64)] | None = None
    """Input of the last run that ended well, while `run` speaks of a plan made since."""
    settled: Annotated[str, Field(max_length=32768)] | None = None
    """Short hashes of the Migrations that are known to be applied as they are: taking one away starts no run."""
    plan: Plan | None = None
    """A plan that waits for approval, or the last that was approved."""
    drift: DriftStatus | None = None
    """What was last seen of changes made by hand."""
    lock: Lock | None = None
    """Who holds the line's lock in the database."""
    run: Run | None = None
    """The run under way, or the last one; the making of a plan too."""
    history: Annotated[list[HistoryEntry], Field(max_length=20)] = []
    """The last steps, newest last."""
    ledger: Ledger | None = None
    """What the ledger was when it was last seen."""
    last_error: Annotated[str, Field(max_length=1024)] | None = None
    """The last error on one line: SQLSTATE, version, statement, line."""
    last_handled_retry: Annotated[str, Field(max_length=253)] | None = None
    """The retry token that was handled last."""
    last_handled_repair: Annotated[str, Field(max_length=64)] | None = None
    """The token of the repair that was handled last."""
    waiting_since: str | None = None
    """Since when it has been waiting for what may pass by itself (RFC 3339)."""
    conditions: Conditions = []
    """Ready, Drifted, ApprovalRequired, and Reconciling or Stalled while they are true."""


SPEC_RULES: list[dict[str, str]] = [
    rule(
        "has(self.schema) == has(oldSelf.schema) && (!has(self.schema) || self.schema == oldSelf.schema)",
        "spec.schema cannot change: create another SchemaVersion for another line",
    ),
    *DATABASE_RULES,
    rule("!has(self.baseline) || !has(self.adopt)", "give at most one of spec.baseline and spec.adopt"),
    rule(
        "!has(self.repair) || !(self.repair.action in ['MarkApplied', 'MarkNotApplied', 'StatementApplied', "
        "'StatementNotApplied']) || has(self.repair.version)",
        "spec.repair needs the version that this action is about",
    ),
    rule(
        "!has(self.repair) || !(self.repair.action in ['AcceptDrift', 'AcceptLedger', 'TakeOver', 'EndSession'])"
        " || has(self.repair.confirm)",
        "spec.repair.confirm must say what the status shows: the drift's hash, the ledger, the owner or the holder",
    ),
]

COLUMNS: list[dict[str, Any]] = [
    {"name": "Version", "type": "string", "jsonPath": ".status.version"},
    {"name": "Target", "type": "string", "jsonPath": ".status.target"},
    {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
    {"name": "State", "type": "string", "jsonPath": ".status.state"},
    {"name": "Holder", "type": "string", "jsonPath": ".status.lock.holder"},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    {"name": "Schema", "type": "string", "jsonPath": ".spec.schema", "priority": 1},
    {"name": "Pending", "type": "integer", "jsonPath": ".status.pending.count", "priority": 1},
    {"name": "Message", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].message', "priority": 1},
]

SchemaVersionSpec.model_config["json_schema_extra"] = cel(*SPEC_RULES)
