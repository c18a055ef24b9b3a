"""What the operator tells a run: the order that the pod mounts. What a run says is in result.py.

Plain dataclasses and JSON: the runner starts in a fraction of a second, so it imports no model library.
The order names no credentials: they come to the pod from its Secret alone.
"""

import gzip
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final

ORDER_FORMAT: Final = 1
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
    requires: tuple[tuple[str, str], ...] = ()
    """Line and version of what other lines must have: kept in the ledger, so that they do not go below it."""
    adopts: tuple[str, ...] = ()
    """Names under which another tool has recorded it."""
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

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it the same owner, also once its SchemaVersion was made anew."""
        return self.cluster, self.namespace, self.name

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


class Mode(StrEnum):
    """What a run is for."""

    RUN = "run"
    PLAN = "plan"
    """Say what a run would do; writes nothing to the database, not even to the ledger."""
    CHECK = "check"
    """Look for drift; writes nothing either."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What may be done to the database without asking."""

    out_of_order: str = "Reject"
    rollback: str = "Approve"
    approval: str = "Automatic"
    approved_plans: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AdoptOrder:
    """Another tool's history to read once."""

    history: str
    table: str | None = None


@dataclass(frozen=True, slots=True)
class DriftOrder:
    """What to do about changes made by hand."""

    policy: str = "Report"
    include: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RepairOrder:
    """One act by a person; done once for each token."""

    token: str
    action: str
    version: str | None = None
    confirm: str | None = None
    note: str = ""


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
    mode: Mode = Mode.RUN
    policy: Policy = field(default_factory=Policy)
    baseline: str | None = None
    """Versions up to this one are recorded, not run, where the database is not empty and the line has no history."""
    adopt: AdoptOrder | None = None
    drift: DriftOrder = field(default_factory=DriftOrder)
    repair: RepairOrder | None = None
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
        document["mode"] = Mode(document["mode"])
        policy, drift = document["policy"], document["drift"]
        document["policy"] = Policy(**{**policy, "approved_plans": tuple(policy["approved_plans"])})
        document["drift"] = DriftOrder(drift["policy"], tuple(drift["include"]), tuple(drift["ignore"]))
        document["adopt"] = AdoptOrder(**document["adopt"]) if document["adopt"] else None
        document["repair"] = RepairOrder(**document["repair"]) if document["repair"] else None
        document["migrations"] = tuple(_migration(each) for each in document["migrations"])
        return Order(**document)
    except InvalidOrderError:
        raise
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidOrderError(f"the bundle cannot be read ({type(error).__name__})") from error


def _migration(document: dict[str, Any]) -> OrderedMigration:
    requires = tuple((line, version) for line, version in document["requires"])
    return OrderedMigration(**{**document, "requires": requires, "adopts": tuple(document["adopts"])})
