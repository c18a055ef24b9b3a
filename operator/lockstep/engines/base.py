"""What a run asks of a database, whatever its kind: one small protocol that each engine's package fills.

The flow (connect, lock, read the ledger, plan, apply) belongs to the runner; how a database does each of these
belongs to its engine. Errors that end a run are RunErrors and carry their reason; a connection that was lost is
told apart, since the flow then starts over and lets the ledger decide what had happened.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct, field

from lockstep.api.reasons import Reason
from lockstep.engines.control import Control
from lockstep.planning.adoption import ForeignRow
from lockstep.planning.drift import Drift
from lockstep.planning.plan import RECORDED_ONLY, Direction, History, Step
from lockstep.planning.result import ErrorDetail, LedgerMark, StepDone
from lockstep.planning.wire import Order, OrderedMigration, Owner, RepairOrder

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


class SecretWords(Struct, frozen=True):
    """What a Secret says of the way to a database: a URL, or its parts."""

    url: str | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    """host, port, dbname, user, password, sslmode: those that there are."""

    def __repr__(self) -> str:
        return "SecretWords(...)"


class Target(Struct, frozen=True):
    """Where the database is and how to reach it, as its driver takes it; never printed."""

    engine: str
    params: Mapping[str, str]
    secrets: tuple[str, ...] = ()
    """What must never show in a log: a second net under the rule that nothing of it is ever written."""

    def __repr__(self) -> str:
        return f"Target(engine={self.engine!r}, ...)"


class Files(Struct, frozen=True):
    """Where the files of the pod's other Secrets are; a field is None when the folder is not there."""

    ca: str | None = None
    client_certificate: str | None = None
    private: str = "/tmp"  # noqa: S108 - the pod's only writable folder
    """Where a copy of a key may be put with the mode that the driver insists on."""


class Identity(Struct, frozen=True):
    """Who works here: what the database shows as holder of the lock."""

    pod: str
    job: str
    attempt: int
    owner: Owner


class Task(Struct, frozen=True):
    """One run: what to do, where, and who does it."""

    order: Order
    target: Target
    files: Files
    identity: Identity


class LedgerState(Struct, frozen=True):
    """What the ledger says of one line: read under its lock, or beside it where a run only plans."""

    mark: LedgerMark | None
    """None: there is no ledger yet."""
    history: History
    recent: tuple[StepDone, ...] = ()
    """The last entries of the history, oldest first; read only where the status knows none."""
    repaired: bool = False
    """Whether the order's repair is in the history already."""


class Action(Struct, frozen=True):
    """One step of a plan with what it takes: what is run, and what is recorded."""

    step: Step
    migration: OrderedMigration
    """Names, checksums and texts; for a step back they may come from the ledger."""

    @property
    def text(self) -> str:
        """The SQL that is run; nothing for what is only recorded."""
        if self.step.direction in RECORDED_ONLY:
            return ""
        found = self.migration.down if self.step.direction is Direction.DOWN else self.migration.up
        return found or ""

    @property
    def label(self) -> str:
        """How messages call it."""
        migration = self.migration
        name = migration.name if migration.version is None else f"version {migration.version} ({migration.name})"
        return f"down of {name}" if self.step.direction is Direction.DOWN else name


class Recorded(Struct, frozen=True):
    """What the ledger says of one step that was committed."""

    mark: LedgerMark
    at: str
    """When it was committed by the database's clock (RFC 3339, UTC)."""
    rows: int | None = None
    """Rows that its SQL has touched, where the engine counts them."""
    is_durable: bool = True
    """Whether it outlives a crash of the server for sure, with all before it; if not, `harden` makes it so."""
    next_is_sent: bool = False
    """Whether the step behind it is on its way already: to be applied next, whatever has come up."""


class DriftFinding(Struct, frozen=True):
    """What a look at the catalog has shown."""

    drift: Drift = field(default_factory=Drift)
    inconclusive: str = ""
    """Why nothing can be said now; empty: the drift above is what there is."""
    hash: str | None = None
    """What a person accepts."""


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

    def read(self) -> LedgerState:
        """Return what the ledger says of the line, without a lock and without writing anything.

        Raises:
            RunError: as `enter`.
        """

    def texts(self, checksums: Sequence[str]) -> Mapping[str, str]:
        """Return those of these texts that the ledger keeps, by their checksums."""

    def foreign(self) -> tuple[tuple[ForeignRow, ...], bool]:
        """Return the other tool's history that the order names, and whether its last row stands for all before it.

        Raises:
            RunError: AdoptionFailed, if there is none.
        """

    def end_holder(self, pod: str) -> None:
        """End the session that holds this line's lock, if it is this pod's and the line is this owner's.

        Raises:
            RunError: RepairRefused, if another holds it.
        """

    def repair(self, repair: RepairOrder, action: Action) -> Recorded:
        """Do a person's act and record it, both in one commit; `action` says what is marked.

        Raises:
            RunError: RepairRefused, if what it is about is not so.
        """

    def apply(
        self,
        action: Action,
        script: Script,
        waiting: Callable[[str], None],
        following: tuple[Action, Script] | None = None,
    ) -> Recorded:
        """Run one step and record it: both or neither.

        Args:
            action: the step.
            script: its SQL.
            waiting: told what a repeated try waits for.
            following: the step behind it; it may be sent before the end of this one is known, and runs only if this
                one is committed.

        Raises:
            RunError: if it failed; then nothing of it is left, or the line is Partial. Nothing of the following one is.
            ConnectionLostError: if it is not known whether it is there, or the following one.
        """

    def record(self, actions: Sequence[Action]) -> tuple[Recorded, ...]:
        """Record steps that run nothing: all of them or none.

        Raises:
            RunError: if they could not be recorded.
            ConnectionLostError: if it is not known whether they are there.
        """

    def harden(self) -> None:
        """See that all that was recorded outlives a crash of the server; called before it is reported as done.

        Raises:
            RunError: if the server does not say so.
            ConnectionLostError: if it is not known what is there.
        """

    def drift(self) -> DriftFinding:
        """Look for changes made by hand since the ledger last looked; writes nothing."""

    def accept_drift(self) -> None:
        """Take what `drift` has found for what shall be, so that it is not reported again."""

    def settle_drift(self) -> None:
        """Take the changes that this run has made into what shall be; called once its last step is committed."""

    def close(self) -> None:
        """Let go of the connection, and of the locks with it; never raises."""


class Engine(Protocol):
    """One kind of database."""

    def target(self, words: SecretWords, secret: str) -> Target:
        """Read the Secret's words into what the driver takes.

        Raises:
            RunError: if they cannot be read; nothing of them is quoted.
        """

    def script(self, action: Action) -> Script:
        """Read a step's text.

        Raises:
            RunError: if it says what is refused, or what is not supported yet.
        """

    def connect(self, task: Task, control: Control, log: Log) -> Session:
        """Connect and check that this is a database that can be worked on.

        Raises:
            RunError: if it is not.
        """
