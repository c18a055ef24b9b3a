"""What the cache keeps of each object: what decisions need, never a text."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct
from pydantic import ValidationError

from lockstep.api import names
from lockstep.api.migration import MigrationSpec
from lockstep.api.schemaversion import SchemaVersionSpec, SchemaVersionStatus
from lockstep.planning.checksum import ABSENT, checksum
from lockstep.planning.version import Version
from lockstep.planning.wire import Mode

Object = Mapping[str, Any]
_NO_STATUS: Final = SchemaVersionStatus()


class Source(Struct, frozen=True):
    """A text that is in a ConfigMap."""

    name: str
    key: str

    def __str__(self) -> str:
        return f"key {self.key!r} of ConfigMap {self.name!r}"


class Required(Struct, frozen=True):
    """A version that another line must have."""

    line: str
    version: Version


class MigrationFact(Struct, frozen=True):
    """One Migration."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int
    deleting: bool
    line: str
    problem: str = ""
    """Why its spec cannot be used; the fields below are then empty."""
    version: Version | None = None
    repeatable: bool = False
    up: str | None = None
    """Checksum of the text; None: it is in a ConfigMap."""
    down: str = ABSENT
    up_from: Source | None = None
    down_from: Source | None = None
    requires: tuple[Required, ...] = ()
    transaction: str = "Auto"
    unsupported: str = ""
    """The fields that a later issue brings, in words."""
    status: Mapping[str, Any] | None = None

    @property
    def applied(self) -> bool:
        """What its status says: that a SchemaVersion has applied it."""
        return bool(self.status and self.status.get("applied"))

    @property
    def label(self) -> str:
        """Its version and name for messages."""
        return f"{self.version} ({self.name})" if self.version is not None else self.name


def _first_problem(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"spec.{where}: {first['msg']}{more}"


def _source(text_source: Any) -> Source | None:
    if text_source is None:
        return None
    return Source(text_source.config_map_key_ref.name, text_source.config_map_key_ref.key)


def migration_fact(raw: Object) -> MigrationFact:
    """Return what matters of a Migration; a spec that cannot be read is a problem, not an error."""
    metadata, raw_spec = raw["metadata"], raw.get("spec") or {}
    base: dict[str, Any] = {
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "resource_version": metadata["resourceVersion"],
        "generation": metadata.get("generation", 0),
        "deleting": metadata.get("deletionTimestamp") is not None,
        "line": str(raw_spec.get("schema", "")),
        "status": raw.get("status"),
    }
    try:
        spec = MigrationSpec.model_validate(raw_spec)
        version = Version.parse(spec.version) if spec.version is not None else None
        requires = tuple(Required(each.line, Version.parse(each.version)) for each in spec.requires)
    except ValidationError as error:
        return MigrationFact(**base, problem=_first_problem(error))
    except ValueError as error:
        return MigrationFact(**base, problem=str(error))
    if version is None and not spec.repeatable:
        return MigrationFact(**base, problem="spec.version is missing; only a repeatable Migration has none")
    return MigrationFact(
        **base,
        version=version,
        repeatable=spec.repeatable,
        up=checksum(spec.up) if spec.up is not None else (None if spec.up_from else ABSENT),
        down=checksum(spec.down) if spec.down is not None else ABSENT,
        up_from=_source(spec.up_from),
        down_from=_source(spec.down_from),
        requires=requires,
        transaction=spec.transaction,
        unsupported="spec.framework" if spec.framework is not None else "",
    )


class SchemaVersionFact(Struct, frozen=True):
    """One SchemaVersion."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int
    deleting: bool
    line: str
    spec: SchemaVersionSpec | None
    problem: str
    """Why its spec cannot be used (spec is then None)."""
    retry: str | None
    """The retry token of its annotation."""
    status: SchemaVersionStatus
    raw_status: Mapping[str, Any]

    @property
    def version(self) -> Version | None:
        """The version that its status gives the database; None: not known."""
        return read_version(self.status.version)


def read_version(text: str | None) -> Version | None:
    """Read a version that Lockstep wrote, `base` too; None for nothing, or for what is none."""
    if text is None:
        return None
    if text == names.TARGET_BASE:
        return Version(names.TARGET_BASE, ())
    try:
        return Version.parse(text)
    except ValueError:
        return None


def schema_version_fact(raw: Object) -> SchemaVersionFact:
    """Return what matters of a SchemaVersion; a spec that cannot be read is a problem, not an error."""
    metadata, raw_spec, raw_status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    spec: SchemaVersionSpec | None = None
    problem = ""
    try:
        spec = SchemaVersionSpec.model_validate(raw_spec)
    except ValidationError as error:
        problem = _first_problem(error)
    try:
        status = SchemaVersionStatus.model_validate(raw_status)
    except ValidationError:
        # Somebody's hand or another version: it is derived anyway.
        status = _NO_STATUS
    return SchemaVersionFact(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        generation=metadata.get("generation", 0),
        deleting=metadata.get("deletionTimestamp") is not None,
        line=str(raw_spec.get("schema") or metadata["name"]),
        spec=spec,
        problem=problem,
        retry=(metadata.get("annotations") or {}).get(names.ANNOTATION_RETRY),
        status=status,
        raw_status=raw_status,
    )


class JobFact(Struct, frozen=True):
    """One Job of a run."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    owner: str
    """UID of its SchemaVersion."""
    schema_version: str
    """Name of its SchemaVersion."""
    mode: Mode
    """What it is for."""
    input: str
    attempt: int
    target: str
    retry: str | None
    created: str
    """creationTimestamp (RFC 3339), by the API server's clock."""
    image: str
    """The image of its pod."""
    suspended: bool
    deleting: bool
    ended: str
    """Type of the condition that says that it has ended (Complete, Failed), or nothing."""
    ended_reason: str
    ttl: int | None


def _mode(text: str | None) -> Mode:
    try:
        return Mode(text or Mode.RUN)
    except ValueError:
        # Another version's: whatever it is for, it is not taken for less than a run.
        return Mode.RUN


def job_fact(raw: Object) -> JobFact:
    """Return what matters of a Job."""
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    annotations = metadata.get("annotations") or {}
    owner: Object = next(
        (each for each in metadata.get("ownerReferences") or () if each.get("kind") == names.SCHEMA_VERSION), {}
    )
    end: Object = {}
    for condition in status.get("conditions") or ():
        if condition.get("type") in ("Complete", "Failed") and condition.get("status") == "True":
            end = condition
    attempt = annotations.get(names.ANNOTATION_ATTEMPT, "1")
    containers: list[Object] = ((spec.get("template") or {}).get("spec") or {}).get("containers") or []
    return JobFact(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        owner=owner.get("uid", ""),
        schema_version=annotations.get(names.ANNOTATION_OWNER, ""),
        mode=_mode((metadata.get("labels") or {}).get(names.LABEL_MODE)),
        input=annotations.get(names.ANNOTATION_INPUT, ""),
        attempt=int(attempt) if attempt.isdigit() else 1,
        target=annotations.get(names.ANNOTATION_TARGET, ""),
        retry=annotations.get(names.ANNOTATION_RETRY),
        created=metadata.get("creationTimestamp", ""),
        image=next((each.get("image", "") for each in containers), ""),
        suspended=bool(spec.get("suspend")),
        deleting=metadata.get("deletionTimestamp") is not None,
        ended=end.get("type", ""),
        ended_reason=end.get("reason", ""),
        ttl=spec.get("ttlSecondsAfterFinished"),
    )


class PodFact(Struct, frozen=True):
    """One pod of a run."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    job_uid: str
    schema_version: str
    created: str
    phase: str
    reason: str
    """status.reason, such as Evicted or DeadlineExceeded."""
    message: str
    deleting: bool
    started: bool
    """Whether the runner's container has started."""
    ended: bool
    """Whether it has ended."""
    exit_code: int | None
    exit_reason: str
    """Such as Completed, Error, OOMKilled."""
    exit_message: str
    """The termination message."""
    waiting: str
    """Why the container waits, such as ImagePullBackOff."""
    waiting_message: str
    unschedulable: str
    """The scheduler's message, if no node takes it."""
    claim: str
    """The PersistentVolumeClaim that it mounts, if any."""
    disrupted: bool
    """Whether it was evicted, drained or preempted."""

    @property
    def terminal(self) -> bool:
        """Whether nothing of it runs any more."""
        return self.phase in ("Succeeded", "Failed") or self.ended


def _claim(spec: Object) -> str:
    claims = (each.get("persistentVolumeClaim") for each in spec.get("volumes") or ())
    return next((each["claimName"] for each in claims if each), "")


def pod_fact(raw: Object) -> PodFact:
    """Return what matters of a pod."""
    metadata, status = raw["metadata"], raw.get("status") or {}
    owner: Object = next((each for each in metadata.get("ownerReferences") or () if each.get("kind") == "Job"), {})
    container: Object = next(
        (each for each in status.get("containerStatuses") or () if each.get("name") == names.RUNNER_CONTAINER), {}
    )
    state = container.get("state") or {}
    ended, waiting = state.get("terminated"), state.get("waiting") or {}
    unschedulable, disrupted = "", False
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            if condition.get("reason") == "Unschedulable":
                unschedulable = condition.get("message") or "no node takes the pod"
        elif condition.get("type") == "DisruptionTarget" and condition.get("status") == "True":
            disrupted = True
    return PodFact(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        job_uid=owner.get("uid", ""),
        schema_version=(metadata.get("annotations") or {}).get(names.ANNOTATION_OWNER, ""),
        created=metadata.get("creationTimestamp", ""),
        phase=status.get("phase", ""),
        reason=status.get("reason", ""),
        message=status.get("message", ""),
        deleting=metadata.get("deletionTimestamp") is not None,
        started="running" in state or ended is not None,
        ended=ended is not None,
        exit_code=ended.get("exitCode") if ended else None,
        exit_reason=(ended.get("reason") or "") if ended else "",
        exit_message=(ended.get("message") or "") if ended else "",
        waiting=waiting.get("reason", ""),
        waiting_message=waiting.get("message", ""),
        unschedulable=unschedulable,
        claim=_claim(raw.get("spec") or {}),
        disrupted=disrupted,
    )
