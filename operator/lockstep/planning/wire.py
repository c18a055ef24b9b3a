"""What the operator tells a run: the order that the pod mounts. What a run says is in result.py.

Structs and JSON: the runner starts in a fraction of a second, so it imports no larger model library.
The order names no credentials: they come to the pod from its Secret alone.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from msgspec import Struct

ORDER_FORMAT: Final = 1

BUNDLE_DIR: Final = "/lockstep/bundle"
"""Where the pod finds the shards of its order, named 000, 001, ..."""
SECRET_DIR: Final = "/lockstep/database"  # noqa: S105 - a folder
"""Where the pod finds the keys of database.secretRef, a file each; empty when there is no such Secret."""
CA_DIR: Final = "/lockstep/ca"
"""Where the pod finds the keys of database.tls.caSecretRef."""
CLIENT_CERTIFICATE_DIR: Final = "/lockstep/client"
"""Where the pod finds the keys of database.tls.clientCertificateSecretRef."""
TERMINATION_LOG: Final = "/dev/termination-log"


class Part(Struct, frozen=True, forbid_unknown_fields=True):
    """A part of an order: what it asks and the runner does not know is never left out of account."""


FORGOTTEN: Final = "Forgotten"
"""Auto; and Never, where the server does not run the text in one transaction."""


class OrderedMigration(Part, frozen=True):
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
    """As in the spec; FORGOTTEN where only the ledger knows the migration, which does not keep it."""
    irreversible: str | None = None
    lock_timeout_ms: int | None = None
    requires: tuple[tuple[str, str], ...] = ()
    """Line and version of what other lines must have: kept in the ledger, so that they do not go below it."""
    adopts: tuple[str, ...] = ()
    """Names under which another tool has recorded it."""
    up: str | None = None
    """The text; None where the status says that the database already has it."""
    down: str | None = None


class Tls(Part, frozen=True):
    """How the connection is protected; modes are libpq's words (disable ... verify-full), None: as the URL says."""

    mode: str | None = None
    ca_secret: str | None = None
    """Name of the Secret, for messages only: its keys are mounted."""
    ca_key: str = "ca.crt"
    client_certificate_secret: str | None = None


class DatabaseOrder(Part, frozen=True):
    """What the run must know of the database beside its Secret."""

    secret: str
    """Name of the Secret, for messages only."""
    key: str | None = None
    """The key that holds the URL, where the resource names one."""
    engine: str | None = None
    ledger_schema: str = "lockstep"
    pooler: str = "None"
    tls: Tls = Tls()


class Owner(Part, frozen=True):
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


class Limits(Part, frozen=True):
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


class Policy(Part, frozen=True):
    """What may be done to the database without asking."""

    out_of_order: str = "Reject"
    rollback: str = "Approve"
    approval: str = "Automatic"
    approved_plans: tuple[str, ...] = ()


class AdoptOrder(Part, frozen=True):
    """Another tool's history to read once."""

    history: str
    table: str | None = None


class DriftOrder(Part, frozen=True):
    """What to do about changes made by hand."""

    policy: str = "Report"
    include: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()


class RepairOrder(Part, frozen=True):
    """One act by a person; done once for each token."""

    token: str
    action: str
    version: str | None = None
    confirm: str | None = None
    note: str = ""


class Order(Part, frozen=True, tag_field="format", tag=ORDER_FORMAT):
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
    policy: Policy = Policy()
    baseline: str | None = None
    """Versions up to this one are recorded, not run, where the database is not empty and the line has no history."""
    adopt: AdoptOrder | None = None
    drift: DriftOrder = DriftOrder()
    repair: RepairOrder | None = None
    limits: Limits = Limits()
    migrations: Sequence[OrderedMigration] = ()
