"""What a decision is made of: facts only, so that the same snapshot always leads to the same decision."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct, field

from lockstep.api.reasons import Reason
from lockstep.api.schemaversion import SchemaVersionStatus
from lockstep.controller.facts import JobFact, MigrationFact, SchemaVersionFact, Source
from lockstep.controller.pods import Verdict
from lockstep.planning.digest import SetMember
from lockstep.planning.result import Progress


class SourceState(Struct, frozen=True):
    """What is known of a text in a ConfigMap."""

    checksum: str | None = None
    problem: Reason | None = None
    message: str = ""


class Member(Struct, frozen=True):
    """One Migration of the line, with the checksums of its texts wherever they are."""

    fact: MigrationFact
    up: str | None
    """None: its text cannot be read, see `problem`."""
    down: str
    problem: Reason | None = None
    message: str = ""

    @property
    def readable(self) -> bool:
        """Whether all its texts are known."""
        return self.up is not None and self.problem is None

    def as_set_member(self) -> SetMember:
        """Return what the digest needs; the up text must have been read."""
        how = "" if self.fact.transaction == "Auto" else self.fact.transaction
        return SetMember(self.fact.name, self.fact.version, self.up or "", self.down, how)


def member_of(fact: MigrationFact, sources: Mapping[Source, SourceState]) -> Member:
    """Return the member of a Migration, its ConfigMaps' texts looked up."""
    up, down = fact.up, fact.down
    if fact.problem:
        message = f"Migration {fact.name} is invalid: {fact.problem}"
        return Member(fact, up, down, Reason.INVALID_MIGRATION, message)
    for source, is_up in ((fact.up_from, True), (fact.down_from, False)):
        if source is None:
            continue
        state = sources.get(source, SourceState(problem=Reason.SOURCE_NOT_FOUND, message=f"{source} was not read yet"))
        if state.checksum is None:
            reason = state.problem or Reason.SOURCE_NOT_FOUND
            return Member(fact, None if is_up else up, down, reason, f"Migration {fact.name}: {state.message}")
        if is_up:
            up = state.checksum
        else:
            down = state.checksum
    return Member(fact, up, down)


class RunView(Struct, frozen=True):
    """One Job of this SchemaVersion and what its pods say."""

    job: JobFact
    verdict: Verdict
    progress: Progress | None = None
    """The last progress line of its log, where it was read."""
    seconds: float = 0.0
    """For how long this process has seen its container run."""


class LineView(Struct, frozen=True):
    """Another line of the namespace, as far as requirements ask."""

    migrations: tuple[MigrationFact, ...] = ()
    schema_versions: tuple[SchemaVersionFact, ...] = ()


class Limits(Struct, frozen=True):
    """The operator's settings that decisions depend on; times in seconds."""

    settle: float = 1.0
    backoff: float = 5.0
    backoff_max: float = 300.0
    drift_floor: float = 60.0
    """The shortest pause between two looks for drift."""
    image: str = ""
    """The image of the runs' pods."""


class SchemaVersionSnapshot(Struct, frozen=True):
    """Everything that the decision about one SchemaVersion depends on."""

    fact: SchemaVersionFact
    now: datetime
    """For what people read; durations come as durations."""
    members: tuple[Member, ...] = ()
    lines: Mapping[str, LineView] = field(default_factory=dict)
    """All lines of the namespace that requirements may lead to, by name; this one too."""
    runs: tuple[RunView, ...] = ()
    """Its Jobs that still exist, oldest first."""
    pods_left: tuple[str, ...] = ()
    """Pods of runs that may still work, whatever became of their Jobs."""
    run_is_gone: bool = False
    """Whether the Job that the status speaks of is proven (by a live read) not to exist."""
    quiet: float = float("inf")
    """Seconds since the line last changed."""
    waited: float = 0.0
    """Seconds for which this process has seen it wait for what may pass by itself."""
    since_failure: float | None = None
    """Seconds since this process recorded the last failure; None: another process did."""
    written: SchemaVersionStatus | None = None
    """The status on the API server, once `fact` holds one that goes further."""
    rejected: tuple[Reason, str] | None = None
    """Why the API server has just refused the Job of a run."""
    holder_left: bool = False
    """Whether the pod whose session spec.repair shall end is (by a live read) still there."""
    since_check: float = 0.0
    """Seconds since this process knows of the last look for drift."""
    checked_here: bool = False
    """Whether that look ended under the eyes of this process."""
    limits: Limits = Limits()

    @property
    def before(self) -> SchemaVersionStatus:
        """The status as it is on the API server."""
        return self.written if self.written is not None else self.fact.status


class MigrationSnapshot(Struct, frozen=True):
    """Everything that the decision about one Migration depends on."""

    member: Member
    now: datetime
    twins: tuple[str, ...] = ()
    """Names of the other Migrations of its line with the same canonical version."""
    cycle: tuple[str, ...] = ()
    """The requirements that lead back to it, if they do."""
    consumers: tuple[SchemaVersionFact, ...] = ()
    waited: float = 0.0
