"""Why a resource is in its state: one CamelCase word for condition, event, result and log alike.

Each reason has a section in docs/reasons.md that says what to do; a test holds the two together.
"""

from enum import StrEnum


class Severity(StrEnum):
    """What a reason means for the resource that carries it."""

    OK = "ok"
    """Nothing is wrong and nothing is to do."""
    PROGRESS = "progress"
    """Work is under way."""
    WAITING = "waiting"
    """May pass by itself: Reconciling, and Stalled only after progressDeadline; tried again for ever."""
    PERMANENT = "permanent"
    """Waits for a change of the resource or of its set, or for a new retry token: Stalled at once."""
    PERSON = "person"
    """Only a person can decide, since Lockstep cannot know what is true in the database."""
    PAUSED = "paused"
    """Waits for somebody by intent: neither under way nor wrong, so neither Reconciling nor Stalled."""


class Reason(StrEnum):
    """Every reason that Lockstep gives."""

    severity: Severity

    def __new__(cls, value: str, severity: Severity = Severity.OK) -> "Reason":
        """Make a member that is its CamelCase word and knows its severity (given for each; a look-up has none)."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.severity = severity
        return member

    # Well.
    UP_TO_DATE = "UpToDate", Severity.OK
    VALID = "Valid", Severity.OK
    APPLIED = "Applied", Severity.OK
    NOT_APPLIED = "NotApplied", Severity.OK
    PLANNED = "Planned", Severity.OK
    CHECKED = "Checked", Severity.OK
    NO_DRIFT = "NoDrift", Severity.OK
    NOT_CHECKED = "NotChecked", Severity.OK
    NOT_REQUIRED = "NotRequired", Severity.OK
    APPROVED = "Approved", Severity.OK

    # Somebody's turn.
    SUSPENDED = "Suspended", Severity.PAUSED
    APPROVAL_REQUIRED = "ApprovalRequired", Severity.PAUSED

    # Under way.
    STARTING = "Starting", Severity.PROGRESS
    PLANNING = "Planning", Severity.PROGRESS
    RUNNING = "Running", Severity.PROGRESS
    SETTLING = "Settling", Severity.PROGRESS

    # What the cluster does not hold yet, or not as asked.
    WAITING_FOR_MIGRATIONS = "WaitingForMigrations", Severity.WAITING
    TARGET_NOT_FOUND = "TargetNotFound", Severity.WAITING
    REQUIREMENT_NOT_MET = "RequirementNotMet", Severity.WAITING
    CIRCULAR_REQUIREMENT = "CircularRequirement", Severity.PERMANENT
    DUPLICATE_VERSION = "DuplicateVersion", Severity.PERMANENT
    INVALID_SPEC = "InvalidSpec", Severity.PERMANENT
    SOURCE_NOT_FOUND = "SourceNotFound", Severity.WAITING
    SOURCE_TOO_LARGE = "SourceTooLarge", Severity.PERMANENT
    INVALID_MIGRATION = "InvalidMigration", Severity.WAITING
    NOT_SUPPORTED_YET = "NotSupportedYet", Severity.PERMANENT

    # The Job and its pod.
    QUOTA_EXCEEDED = "QuotaExceeded", Severity.WAITING
    POD_REJECTED = "PodRejected", Severity.WAITING
    IMAGE_PULL_FAILED = "ImagePullFailed", Severity.WAITING
    UNSCHEDULABLE = "Unschedulable", Severity.WAITING
    VOLUME_UNAVAILABLE = "VolumeUnavailable", Severity.WAITING
    POD_LOST = "PodLost", Severity.WAITING
    OUT_OF_MEMORY = "OutOfMemory", Severity.WAITING
    DEADLINE_EXCEEDED = "DeadlineExceeded", Severity.WAITING
    RUNNER_FAILED = "RunnerFailed", Severity.WAITING
    NAMESPACE_TERMINATING = "NamespaceTerminating", Severity.WAITING

    # The way to the database.
    SECRET_NOT_FOUND = "SecretNotFound", Severity.WAITING
    SECRET_KEY_NOT_FOUND = "SecretKeyNotFound", Severity.WAITING
    INVALID_URL = "InvalidURL", Severity.WAITING
    ENGINE_NOT_SUPPORTED = "EngineNotSupported", Severity.WAITING
    UNREACHABLE = "Unreachable", Severity.WAITING
    AUTHENTICATION_FAILED = "AuthenticationFailed", Severity.WAITING
    DATABASE_NOT_FOUND = "DatabaseNotFound", Severity.WAITING
    TLS_FAILED = "TLSFailed", Severity.WAITING
    POOLER_DETECTED = "PoolerDetected", Severity.WAITING
    READ_ONLY = "ReadOnly", Severity.WAITING
    CONNECTION_LOST = "ConnectionLost", Severity.WAITING
    LOCK_HELD = "LockHeld", Severity.WAITING
    PERMISSION_DENIED = "PermissionDenied", Severity.WAITING

    # The ledger against the set.
    DATABASE_NOT_EMPTY = "DatabaseNotEmpty", Severity.PERMANENT
    LEDGER_TOO_NEW = "LedgerTooNew", Severity.PERMANENT
    LEDGER_INVALID = "LedgerInvalid", Severity.PERSON
    LEDGER_WRITABLE = "LedgerWritable", Severity.PERMANENT
    LEDGER_BEHIND = "LedgerBehind", Severity.PERSON
    FOREIGN_OWNER = "ForeignOwner", Severity.PERMANENT
    CHECKSUM_MISMATCH = "ChecksumMismatch", Severity.PERMANENT
    OUT_OF_ORDER = "OutOfOrder", Severity.PERMANENT
    ADOPTION_FAILED = "AdoptionFailed", Severity.PERMANENT
    PARTIAL = "Partial", Severity.PERSON
    DRIFTED = "Drifted", Severity.PERSON
    REPAIR_REFUSED = "RepairRefused", Severity.PERMANENT

    # The way back.
    ROLLBACK_FORBIDDEN = "RollbackForbidden", Severity.PERMANENT
    IRREVERSIBLE = "Irreversible", Severity.PERMANENT
    DOWN_MISSING = "DownMissing", Severity.PERMANENT
    REQUIRED_BY_OTHERS = "RequiredByOthers", Severity.WAITING

    BUNDLE_INVALID = "BundleInvalid", Severity.PERMANENT

    # The SQL.
    STATEMENT_REFUSED = "StatementRefused", Severity.PERMANENT
    STATEMENT_FAILED = "StatementFailed", Severity.PERMANENT
    LOCK_TIMEOUT = "LockTimeout", Severity.WAITING
    STATEMENT_TIMEOUT = "StatementTimeout", Severity.PERMANENT
    FENCED = "Fenced", Severity.WAITING
    INTERRUPTED = "Interrupted", Severity.WAITING
