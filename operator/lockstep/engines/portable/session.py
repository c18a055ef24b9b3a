"""What a session does with the portable ledger, whichever database it is of."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import ClassVar, Generic, TypeVar

from lockstep.engines.base import Action, DriftFinding, LedgerState, Log, Recorded, Task
from lockstep.engines.drift_watch import DriftWatch
from lockstep.engines.histories.dialects import Dialect
from lockstep.engines.portable.foreign import read_foreign
from lockstep.engines.portable.ledger import LastRun, Ledger, Surroundings
from lockstep.engines.portable.objects import Catalog, PortableDriftStore
from lockstep.engines.portable.records import Recorder
from lockstep.engines.portable.store import Store
from lockstep.planning.adoption import ForeignRow
from lockstep.planning.wire import RepairOrder

Made = TypeVar("Made")
Mine = TypeVar("Mine", bound=Store)


class PortableSession(ABC, Generic[Mine]):
    """One checked connection; an engine says in a subclass how it locks, begins its run, and runs SQL."""

    DIALECT: ClassVar[Dialect]
    """The words in which other tools' histories are read."""

    def __init__(self, store: Mine, around: Surroundings, catalog: Catalog, task: Task, log: Log) -> None:
        self._store = store
        self._task = task
        self._log = log
        self._ledger = Ledger(store, task.order, around, log)
        self._drift = DriftWatch(PortableDriftStore(store, self._ledger, catalog), task.order, log)
        self._recorder: Recorder | None = None

    @abstractmethod
    def _own(self) -> AbstractContextManager[None]:
        """Turn errors of Lockstep's own statements into what they mean."""

    def _patient(self, act: Callable[[], Made]) -> Made:
        """Do what is one transaction of the ledger's, again where the engine knows that it helps."""
        return act()

    @property
    def _records(self) -> Recorder:
        assert self._recorder is not None  # noqa: S101 - `enter` comes first
        return self._recorder

    def _last_run(self) -> LastRun | None:
        """Return which run entered the line last, where there is a ledger."""
        return self._ledger.last_run() if self._store.version() else None

    def read(self) -> LedgerState:
        """Return what the ledger says, without a lock and without writing."""
        with self._own():
            if self._ledger.exists():
                return self._ledger.read(self._task.identity)
            return self._ledger.absent()

    def texts(self, checksums: Sequence[str]) -> Mapping[str, str]:
        """Return the texts that the ledger keeps."""
        with self._own():
            return self._ledger.texts(checksums) if checksums and self._store.version() else {}

    def foreign(self) -> tuple[tuple[ForeignRow, ...], bool]:
        """Return the other tool's history."""
        order = self._task.order
        assert order.adopt is not None  # noqa: S101 - asked for only then
        with self._own():
            return read_foreign(self._store, self.DIALECT, order.adopt, order.line, self._log)

    def repair(self, repair: RepairOrder, action: Action) -> Recorded:
        """Do a person's act and record it."""
        with self._own():
            return self._patient(lambda: self._records.repair(repair, action.migration))

    def record(self, actions: Sequence[Action]) -> tuple[Recorded, ...]:
        """Record steps that run nothing."""
        with self._own():
            return self._patient(lambda: self._records.record(actions))

    def harden(self) -> None:
        """Every commit has waited for the disk already, if the server or the file is set so."""

    def drift(self) -> DriftFinding:
        """Look for changes made by hand."""
        with self._own():
            return self._patient(self._drift.look)

    def accept_drift(self) -> None:
        """Take what was found for what shall be."""
        with self._own():
            self._patient(self._drift.accept)

    def settle_drift(self) -> None:
        """Take this run's changes into what shall be."""
        with self._own():
            self._patient(self._drift.settle)
