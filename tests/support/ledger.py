"""A database in memory under the real runner: its flow and the planner are Lockstep's own, its SQL is nobody's.

For the orders of events between operator and runs, of which there are too many for real databases; what a real one
does with them is in tests/engines and tests/cluster.
"""

import io
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from lockstep.api.reasons import Reason
from lockstep.engines.base import Action, DriftFinding, Files, Identity, LedgerState, Recorded, RunError, Target, Task
from lockstep.engines.control import Control
from lockstep.planning.adoption import ForeignRow
from lockstep.planning.checksum import ABSENT, checksum
from lockstep.planning.drift import Drift
from lockstep.planning.plan import Applied, Direction, History, Ran, Repeated, Undone
from lockstep.planning.result import LedgerMark, Result, StepDone
from lockstep.planning.version import Version
from lockstep.planning.wire import Order, RepairOrder
from lockstep.runner.flow import Run
from lockstep.runner.report import Report

AT = "2026-07-01T12:00:00Z"


@dataclass
class Ledger:
    """One line of one database, and what was done to it."""

    uuid: str = "u1"
    applied: dict[Version, Applied] = field(default_factory=dict)
    repeated: dict[str, Repeated] = field(default_factory=dict)
    ran: list[Ran] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    steps: list[StepDone] = field(default_factory=list)
    """The history."""
    acts: list[str] = field(default_factory=list)
    """Tokens of the acts that were done."""
    sql: list[str] = field(default_factory=list)
    """Every text that was run, in order."""
    read: list[str] = field(default_factory=list)
    """Every text that was read as a script, in order."""
    drift: str | None = None
    """What somebody has changed by hand."""
    inconclusive: str = ""
    """Why a look can tell nothing."""
    orders: list[Order] = field(default_factory=list)
    fault: Callable[[Action], None] = lambda action: None
    """Raises what a step shall fail with."""

    @property
    def sequence(self) -> int:
        """Number of the last entry."""
        return len(self.steps)

    @property
    def version(self) -> str:
        """The line's version."""
        return str(max(self.applied)) if self.applied else "base"

    def run(self, order: Order, pod: str) -> Result:
        """Play a pod: carry out an order."""
        self.orders.append(order)
        identity = Identity(pod, order.job, order.attempt, order.owner)
        task = Task(order, Target("postgresql", {}), Files(), identity)
        control = Control(60)
        try:
            return Run(task, _Engine(self), control, Report(os.devnull, io.StringIO())).run()
        finally:
            control.close()

    def history(self) -> History:
        """Return what a plan needs to know."""
        fresh = not self.steps
        undone, before = [], dict[Version, int]()
        for position, step in enumerate(self.steps, start=1):
            if step.version is None or step.direction == "correct":
                continue
            version = Version.parse(step.version)
            if step.direction == "down":
                undone.append(Undone(version, before[version], position))
            before[version] = position
        return History(
            tuple(self.applied.values()), tuple(self.repeated.values()), tuple(self.ran), tuple(undone), fresh=fresh
        )

    def mark(self) -> LedgerMark:
        """Return what the status shall know of it."""
        return LedgerMark(self.uuid, self.sequence, f"h{self.sequence}")

    def take(self, action: Action) -> Recorded:
        """Do and record one step."""
        step, migration = action.step, action.migration
        candidate = step.candidate
        if action.text:
            self.sql.append(action.text)
        if migration.down is not None:
            self.texts[checksum(migration.down)] = migration.down
        number = self.sequence + 1
        if candidate.version is None:
            self._repeat(action, number)
        elif step.direction is Direction.DOWN:
            del self.applied[candidate.version]
        elif step.direction is Direction.CORRECT:
            old = self.applied[candidate.version]
            self.applied[candidate.version] = replace(old, down_checksum=candidate.down_checksum)
        else:
            assert candidate.version not in self.applied, "applied twice"
            self.applied[candidate.version] = Applied(
                candidate.version,
                candidate.name,
                candidate.up_checksum,
                candidate.down_checksum,
                candidate.irreversible,
                candidate.kind,
                number,
            )
        self.note(StepDone(candidate.name, migration.version, step.direction.value, 1, AT, candidate.kind))
        return Recorded(self.mark(), AT)

    def _repeat(self, action: Action, number: int) -> None:
        step, candidate = action.step, action.step.candidate
        if step.direction is Direction.CORRECT:
            old = self.repeated[candidate.name]
            self.repeated[candidate.name] = replace(old, down_checksum=candidate.down_checksum)
            return
        if action.migration.up is not None:
            self.texts[candidate.up_checksum] = action.migration.up
        down = step.direction is Direction.DOWN
        self.repeated[candidate.name] = Repeated(
            candidate.name,
            ABSENT if down else candidate.up_checksum,
            candidate.down_checksum,
            candidate.kind,
            step.undone,
            number,
        )
        if not down:
            self.ran.append(Ran(candidate.name, number, candidate.up_checksum, candidate.down_checksum))

    def note(self, step: StepDone) -> None:
        """Add an entry to the history."""
        self.steps.append(step)


@dataclass
class _Script:
    text: str
    statements: int = 1


@dataclass
class _Engine:
    ledger: Ledger

    def target(self, words: Any, secret: str) -> Target:
        """Return nowhere."""
        return Target("postgresql", {})

    def script(self, action: Action) -> _Script:
        """Read a text."""
        self.ledger.read.append(action.text)
        return _Script(action.text)

    def connect(self, task: Task, control: Control, log: Any) -> "_Session":
        """Connect."""
        return _Session(self.ledger, task)


@dataclass
class _Session:
    ledger: Ledger
    task: Task

    def lock(self, wait: float) -> None:
        """Take the lock."""

    def enter(self) -> LedgerState:
        """Begin a run."""
        return self.read()

    def read(self) -> LedgerState:
        """Read the ledger, and hold it against what the status has seen."""
        order, ledger = self.task.order, self.ledger
        accepted = order.repair is not None and order.repair.action == "AcceptLedger"
        known = order.known_ledger
        if known is not None and not accepted and (known != ledger.uuid or order.known_sequence > ledger.sequence):
            raise RunError(Reason.LEDGER_BEHIND, "the ledger is older than what the status has seen")
        recent = tuple(ledger.steps[-20:]) if order.known_sequence == 0 else ()
        done = order.repair is not None and order.repair.token in ledger.acts
        return LedgerState(ledger.mark() if ledger.steps else None, ledger.history(), recent, done)

    def texts(self, checksums: Sequence[str]) -> Mapping[str, str]:
        """Return what the ledger keeps."""
        return {each: self.ledger.texts[each] for each in checksums if each in self.ledger.texts}

    def foreign(self) -> tuple[tuple[ForeignRow, ...], bool]:
        """Return another tool's history: there is none."""
        return (), False

    def end_holder(self, pod: str) -> None:
        """End a session: there is none."""

    def repair(self, repair: RepairOrder, action: Action) -> Recorded:
        """Do a person's act."""
        ledger, candidate = self.ledger, action.step.candidate
        ledger.acts.append(repair.token)
        if repair.action == "MarkNotApplied" and candidate.version is not None:
            del ledger.applied[candidate.version]
        elif repair.action == "MarkApplied" and candidate.version is not None:
            ledger.applied[candidate.version] = Applied(
                candidate.version,
                candidate.name,
                candidate.up_checksum,
                candidate.down_checksum,
                sequence=ledger.sequence + 1,
            )
        ledger.note(StepDone(candidate.name, action.migration.version, "repair", 0, AT))
        return Recorded(ledger.mark(), AT)

    def apply(self, action: Action, script: Any, waiting: Any, following: Any = None) -> Recorded:
        """Run one step."""
        assert script.text == action.text
        self.ledger.fault(action)
        return self.ledger.take(action)

    def record(self, actions: Sequence[Action]) -> tuple[Recorded, ...]:
        """Record what is not run."""
        return tuple(self.ledger.take(action) for action in actions)

    def drift(self) -> DriftFinding:
        """Look for changes."""
        if self.ledger.inconclusive or self.ledger.drift is None:
            return DriftFinding(inconclusive=self.ledger.inconclusive)
        return DriftFinding(Drift(added=(self.ledger.drift,)), hash=f"sha256:{self.ledger.drift}")

    def accept_drift(self) -> None:
        """Take them for what shall be."""
        self.ledger.drift = None

    def harden(self) -> None:
        """Nothing crashes here."""

    def settle_drift(self) -> None:
        """Take this run's changes in."""

    def close(self) -> None:
        """Let go."""
