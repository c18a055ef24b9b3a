"""What a run asks of a database, whatever its kind: one small protocol that each engine's package fills.

The flow (connect, lock, read the ledger, plan, apply) belongs to the runner; how a database does each of these
belongs to its engine. Errors that end a run are RunErrors and carry their reason; a connection that was lost is
told apart, since the flow then starts over and lets the ledger decide what had happened.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from lockstep.api.reasons import Reason
from lockstep.engines.control import Control
from lockstep.planning.plan import Applied
from lockstep.planning.wire import ErrorDetail, LedgerMark, Order, OrderedMigration, Owner

Log = Callable[..., None]
"""log(event, **fields): one line of the run's log."""


class RunError(Exception):
    """A run ends here, for this reason; the message is for people and holds no credentials."""

    def __init__(
        self, reason: Reason, message: str, *, error: ErrorDetail | None = None, holder: str | None = None
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.error = error
        self.holder = holder


class ConnectionLostError(Exception):
    """The session is gone, and with it the lock: start over and let the ledger decide what had happened."""


@dataclass(frozen=True, slots=True)
class SecretWords:
    """What a Secret says of the way to a database: a URL, or its parts."""

    url: str | None = field(default=None, repr=False)
    parts: Mapping[str, str] = field(default_factory=dict, repr=False)
    """host, port, dbname, user, password, sslmode: those that there are."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the database is and how to reach it, as its driver takes it; never printed."""

    engine: str
    params: Mapping[str, str] = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """What must never show in a log: a second net under the rule that nothing of it is ever written."""


@dataclass(frozen=True, slots=True)
class Files:
    """Where the files of the pod's other Secrets are; a field is None when the folder is not there."""

    ca: str | None = None
    client_certificate: str | None = None
    private: str = "/tmp"  # noqa: S108 - the pod's only writable folder
    """Where a copy of a key may be put with the mode that the driver insists on."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who works here: what the database shows as holder of the lock."""

    pod: str
    job: str
    attempt: int
    owner: Owner


@dataclass(frozen=True, slots=True)
class Task:
    """One run: what to do, where, and who does it."""

    order: Order
    target: Target
    files: Files
    identity: Identity


@dataclass(frozen=True, slots=True)
class LedgerState:
    """What the ledger says of one line, read under its lock."""

    mark: LedgerMark
    applied: tuple[Applied, ...]
    repeated: Mapping[str, str]
    """The checksum under which each repeatable migration ran last, by its name."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the ledger says of one step that was committed."""

    mark: LedgerMark
    at: str
    """When it was committed by the database's clock (RFC 3339, UTC)."""


class Script(Protocol):
    """One migration's text, read by the engine's splitter and found fit to run."""

    @property
    def statements(self) -> int:
        """How many statements it has."""


class Session(Protocol):
    """One connection that was checked, and after `lock` holds the line."""

    def lock(self, wait: float) -> None:
        """Take the database's lock and the line's, creating or upgrading the ledger where it must be.

        Raises:
            RunError: if they are still held after `wait` seconds, or if the ledger cannot be used.
        """

    def enter(self) -> LedgerState:
        """Begin this run in the ledger (a new epoch) and return what it says of the line.

        Raises:
            RunError: if the line is another's, or if the ledger is older than what the status has seen.
        """

    def apply(self, migration: OrderedMigration, script: Script, waiting: Callable[[str], None]) -> Recorded:
        """Run one migration and record it: both or neither; `waiting` is told what a repeated try waits for.

        Raises:
            RunError: if it failed; then nothing of it is left.
            ConnectionLostError: if it is not known whether it is there.
        """

    def close(self) -> None:
        """Let go of the connection, and of the locks with it; never raises."""


class Engine(Protocol):
    """One kind of database."""

    def target(self, words: SecretWords, secret: str) -> Target:
        """Read the Secret's words into what the driver takes.

        Raises:
            RunError: if they cannot be read; nothing of them is quoted.
        """

    def script(self, migration: OrderedMigration) -> Script:
        """Read a migration's text.

        Raises:
            RunError: if it says what is refused, or what is not supported yet.
        """

    def connect(self, task: Task, control: Control, log: Log) -> Session:
        """Connect and check that this is a database that can be worked on.

        Raises:
            RunError: if it is not.
        """
