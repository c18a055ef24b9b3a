"""What passes between the operator and a run: the order that the pod mounts, and the result it ends with.

Plain dataclasses and JSON: the runner starts in a fraction of a second, so it imports no model library.
The order names no credentials: they come to the pod from its Secret alone.
"""

import gzip
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final

from lockstep.api.reasons import Reason, Severity

ORDER_FORMAT: Final = 1
RESULT_FORMAT: Final = 1
RESULT_BYTES: Final = 2000
"""Bytes of a result: the kubelet cuts what several containers of a pod say beyond 12 KiB in all, at its head."""
MESSAGE_CHARACTERS: Final = 800
"""Characters of a result's message: more belongs in the log."""
SHARD_BYTES: Final = 900_000
"""Bytes of one shard of a packed order: a ConfigMap holds at most 1 MiB, its metadata included."""

BUNDLE_DIR: Final = "/lockstep/bundle"
"""Where the pod finds the shards of its order, named 000, 001, ..."""
SECRET_DIR: Final = "/lockstep/database"  # noqa: S105 - a folder
"""Where the pod finds the keys of database.secretRef, a file each; empty when there is no such Secret."""
CA_DIR: Final = "/lockstep/ca"
"""Where the pod finds the keys of database.tls.caSecretRef."""
CLIENT_CERTIFICATE_DIR: Final = "/lockstep/client"
"""Where the pod finds the keys of database.tls.clientCertificateSecretRef."""
TERMINATION_LOG: Final = "/dev/termination-log"


class InvalidOrderError(ValueError):
    """The shards hold no order that this version understands."""


@dataclass(frozen=True, slots=True)
class OrderedMigration:
    """One Migration of the set as the run sees it."""

    name: str
    """metadata.name, for messages and the history."""
    version: str | None
    """As written; None for a repeatable one."""
    up_checksum: str
    down_checksum: str | None = None
    description: str = ""
    kind: str = "Schema"
    transaction: str = "Auto"
    irreversible: str | None = None
    lock_timeout_ms: int | None = None
    up: str | None = None
    """The text; None where the status says that the database already has it."""
    down: str | None = None


@dataclass(frozen=True, slots=True)
class Tls:
    """How the connection is protected; modes are libpq's words (disable ... verify-full), None: as the URL says."""

    mode: str | None = None
    ca_secret: str | None = None
    """Name of the Secret, for messages only: its keys are mounted."""
    ca_key: str = "ca.crt"
    client_certificate_secret: str | None = None


@dataclass(frozen=True, slots=True)
class DatabaseOrder:
    """What the run must know of the database beside its Secret."""

    secret: str
    """Name of the Secret, for messages only."""
    key: str | None = None
    """The key that holds the URL, where the resource names one."""
    engine: str | None = None
    ledger_schema: str = "lockstep"
    pooler: str = "None"
    tls: Tls = field(default_factory=Tls)


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose line it is: a second owner of one line of one database is refused."""

    cluster: str
    """UID of the namespace kube-system, the usual identity of a cluster."""
    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name} of cluster {self.cluster}"


@dataclass(frozen=True, slots=True)
class Limits:
    """The time limits of a run, in milliseconds."""

    lock_timeout_ms: int = 5_000
    """How long one statement may wait for a lock of the database before it is tried again."""
    statement_timeout_ms: int | None = None
    """How long one statement may take; None: what is left of the deadline."""
    deadline_ms: int = 3_600_000
    """How long the whole run may take."""


@dataclass(frozen=True, slots=True)
class Order:
    """One run: take this line of this database to this target."""

    line: str
    target: str
    """A version, or `base`, or `latest`."""
    job: str
    attempt: int
    owner: Owner
    database: DatabaseOrder
    known_version: str | None = None
    """The version that the status believes in: texts up to it may be missing below."""
    known_ledger: str | None = None
    """The ledger's uuid that the status has seen."""
    known_sequence: int = 0
    """The ledger's last number that the status has seen: a lower one now means a rewound ledger."""
    known_hash: str | None = None
    out_of_order: str = "Reject"
    limits: Limits = field(default_factory=Limits)
    migrations: tuple[OrderedMigration, ...] = ()


def pack(order: Order) -> list[bytes]:
    """Return the order as gzipped shards, each small enough for one ConfigMap."""
    document = {"format": ORDER_FORMAT, **asdict(order)}
    # mtime 0: the same order gives the same bytes.
    packed = gzip.compress(json.dumps(document, separators=(",", ":")).encode(), compresslevel=6, mtime=0)
    return [packed[i : i + SHARD_BYTES] for i in range(0, len(packed), SHARD_BYTES)]


def unpack(shards: Iterable[bytes]) -> Order:
    """Read an order from its shards, in their order.

    Raises:
        InvalidOrderError: if they are damaged, incomplete, or of another format.
    """
    try:
        document: dict[str, Any] = json.loads(gzip.decompress(b"".join(shards)))
        found = document.pop("format", None)
        if found != ORDER_FORMAT:
            raise InvalidOrderError(
                f"the bundle has format {found}, this runner reads {ORDER_FORMAT}: "
                "the operator and the runner must be of one version"
            )
        document["owner"] = Owner(**document["owner"])
        database = document["database"]
        document["database"] = DatabaseOrder(**{**database, "tls": Tls(**database["tls"])})
        document["limits"] = Limits(**document["limits"])
        document["migrations"] = tuple(OrderedMigration(**each) for each in document["migrations"])
        return Order(**document)
    except InvalidOrderError:
        raise
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidOrderError(f"the bundle cannot be read ({type(error).__name__})") from error


class Outcome(StrEnum):
    """How a run ended; each has an exit code of its own."""

    DONE = "done"
    RETRYABLE = "retryable"
    PERMANENT = "permanent"
    PERSON = "person"


EXIT_CODES: Final = {Outcome.DONE: 0, Outcome.RETRYABLE: 10, Outcome.PERMANENT: 20, Outcome.PERSON: 30}
"""Exit codes of the runner; any other means that it ended without deciding (killed, out of memory, a defect)."""

_OUTCOMES: Final = {
    Severity.OK: Outcome.DONE,
    Severity.PROGRESS: Outcome.RETRYABLE,
    Severity.WAITING: Outcome.RETRYABLE,
    Severity.PERMANENT: Outcome.PERMANENT,
    Severity.PERSON: Outcome.PERSON,
}


def outcome_of(reason: Reason) -> Outcome:
    """Return how a run with this reason ends."""
    return _OUTCOMES[reason.severity]


@dataclass(frozen=True, slots=True)
class StepDone:
    """One step that this run took."""

    name: str
    version: str | None
    direction: str
    ms: int
    """Milliseconds that it took."""
    at: str
    """When it was committed by the database's clock (RFC 3339, UTC): shown, never compared."""


@dataclass(frozen=True, slots=True)
class ErrorDetail:
    """Where SQL failed; never a row's data."""

    version: str | None
    statement: int | None = None
    """Number of the statement in its text, from 1."""
    line: int | None = None
    """Line of the text, from 1."""
    sqlstate: str | None = None


@dataclass(frozen=True, slots=True)
class LedgerMark:
    """What the ledger was when the run ended: it shows against the status when a database was rewound."""

    uuid: str
    sequence: int
    hash: str


@dataclass(frozen=True, slots=True)
class Result:
    """What a run says at its end, in its termination message and as the last line of its log."""

    reason: Reason
    message: str
    version: str | None = None
    """The line's version in the database, `base` for an empty line; None: it was not learnt."""
    applied: int = 0
    """Steps that this run took."""
    pending: int = 0
    holder: str | None = None
    """The run that holds or held the lock, as people know it: its pod."""
    error: ErrorDetail | None = None
    ledger: LedgerMark | None = None
    steps: tuple[StepDone, ...] = ()
    """The last steps, as many as have room."""

    @property
    def outcome(self) -> Outcome:
        """How the run ended."""
        return outcome_of(self.reason)


def encode_result(result: Result, limit: int = RESULT_BYTES) -> str:
    """Return the result as one line of JSON of at most `limit` bytes: old steps go first, then the message's end."""

    def render(message: str, steps: Sequence[StepDone]) -> str:
        document = {"format": RESULT_FORMAT, **asdict(result), "message": message, "steps": [asdict(s) for s in steps]}
        slim = {key: value for key, value in document.items() if value not in (None, [], ())}
        return json.dumps(slim, separators=(",", ":"), ensure_ascii=False)

    steps = list(result.steps)
    message = " ".join(result.message.split())
    if len(message) > MESSAGE_CHARACTERS:
        message = message[: MESSAGE_CHARACTERS - 1].rstrip() + "…"
    text = render(message, steps)
    while steps and len(text.encode()) > limit:
        # In bites, so that ten thousand steps are not rendered ten thousand times.
        steps = steps[max(1, len(steps) // 4) :]
        text = render(message, steps)
    while len(message) > 1 and (over := len(text.encode()) - limit) > 0:
        message = message[: max(0, len(message) - max(1, over // 4) - 1)].rstrip() + "…"
        text = render(message, steps)
    return text


def decode_result(text: str) -> Result | None:
    """Read a result; None if the text is none (a foreign image, a kubelet's own message)."""
    try:
        document = json.loads(text.strip())
        if not isinstance(document, dict) or document.pop("format", None) != RESULT_FORMAT:
            return None
        document["reason"] = Reason(document["reason"])
        if (error := document.get("error")) is not None:
            document["error"] = ErrorDetail(**error)
        if (ledger := document.get("ledger")) is not None:
            document["ledger"] = LedgerMark(**ledger)
        document["steps"] = tuple(StepDone(**step) for step in document.get("steps", ()))
        return Result(**document)
    except (ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: a JSON line of its log (event `progress`), read back by the operator for the status."""

    done: int
    total: int
    """Steps of the plan."""
    version: str | None = None
    """The version being applied."""
    state: str = "Running"
    """Connecting | WaitingForLock | Planning | Running | WaitingForRetry."""
    message: str = ""

    def encode(self) -> str:
        """Return the line."""
        return json.dumps({"event": "progress", **asdict(self)}, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def decode(cls, line: str) -> "Progress | None":
        """Read a line of a log; None if it is no progress line."""
        try:
            document = json.loads(line)
            if not isinstance(document, dict) or document.pop("event", None) != "progress":
                return None
            # Log lines carry a time and a level too.
            names = cls.__dataclass_fields__
            return cls(**{key: value for key, value in document.items() if key in names})
        except (ValueError, TypeError):
            return None
