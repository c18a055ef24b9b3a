"""What a run knows of itself: what it has done, what is sure of it, and what a lost session has left open."""

from collections import deque
from collections.abc import Sequence

from msgspec import Struct, field

from lockstep.engines.base import Action, Recorded
from lockstep.planning.checksum import ABSENT
from lockstep.planning.plan import Direction, History, Step
from lockstep.planning.result import LAST_STEPS, LedgerMark, StepDone
from lockstep.planning.version import BASE, Version


class State(Struct):
    """What is known of the run so far, kept across lost sessions."""

    total: int = 0
    applied: set[Version] | None = None
    """The line's versions in the database; None: not learnt yet."""
    last: LedgerMark | None = None
    """The ledger's last entry."""
    mark: LedgerMark | None = None
    """The ledger's last entry that is sure to outlive a crash of the server."""
    loose: list[Step] = field(default_factory=list)
    """The steps behind it, oldest first: committed, but a crash may take them back."""
    entered: bool = False
    doing: tuple[Action, ...] = ()
    """The steps whose ends are not known, if the session is lost now."""
    touched: bool = False
    """Whether this run may have changed the database: by a part of a step, too."""
    taken: int = 0
    """How many steps this run took."""
    lost: int = 0
    """How many of its steps a crash of the server has taken back."""
    steps: deque[StepDone] = field(default_factory=lambda: deque(maxlen=LAST_STEPS))
    """The last of them."""
    recent: tuple[StepDone, ...] = ()
    """Steps of earlier runs, where the status knows none."""
    repaired: str | None = None

    @property
    def version(self) -> Version | None:
        """The line's version."""
        return None if self.applied is None else max(self.applied, default=BASE)

    def add(self, step: StepDone) -> None:
        """Count a step that this run took."""
        self.taken += 1
        self.steps.append(step)

    def took(self, action: Action, recorded: Recorded, step: StepDone) -> None:
        """Note a step that was committed."""
        self.add(step)
        self._count(action.step, is_there=action.step.direction is not Direction.DOWN)
        self.loose.append(action.step)
        self.last = recorded.mark
        if recorded.is_durable:
            self.hardened(recorded.mark)

    def hardened(self, mark: LedgerMark | None) -> None:
        """Note that all up to this entry outlives a crash."""
        self.mark = self.last = mark
        self.loose.clear()

    def reconcile(self, history: History) -> int:
        """Hold what a lost session has left open against the ledger, read under the lock; return the steps lost."""
        there = _first_missing(history, self.loose)
        lost = len(self.loose) - there
        self.lost += lost
        self._forget(there)
        under_way = [action.step for action in self.doing]
        for action in self.doing[: 0 if lost else _first_missing(history, under_way)]:
            self.add(done(action, 0, ""))
        self.doing = ()
        return lost

    def give_up(self) -> None:
        """Count nothing that is not sure, where nobody asks the ledger any more."""
        self._forget(0)

    def _forget(self, first: int) -> None:
        """Take back the loose steps from the one in this place on."""
        for step in reversed(self.loose[first:]):
            self.taken -= 1
            if self.steps:
                self.steps.pop()
            self._count(step, is_there=step.direction is Direction.DOWN)
        del self.loose[first:]

    def _count(self, step: Step, *, is_there: bool) -> None:
        version = step.candidate.version
        if version is not None and self.applied is not None:
            (self.applied.add if is_there else self.applied.discard)(version)


def done(action: Action, ms: int, at: str) -> StepDone:
    """Return a step as the result has it."""
    migration = action.migration
    return StepDone(migration.name, migration.version, action.step.direction.value, ms, at, migration.kind)


def _first_missing(history: History, steps: Sequence[Step]) -> int:
    """Return the place of the first that the ledger does not hold: those behind it were never committed."""
    return next((place for place, step in enumerate(steps) if not _holds(history, step)), len(steps))


def _holds(history: History, step: Step) -> bool:
    """Tell whether a step has been committed."""
    candidate, direction = step.candidate, step.direction
    if candidate.version is None:
        now = ABSENT if direction is Direction.DOWN else candidate.up_checksum
        return any(each.name == candidate.name and each.up_checksum == now for each in history.repeated)
    there = [each for each in history.applied if each.version == candidate.version]
    if direction is Direction.DOWN:
        # Under whatever name it was applied.
        return not there
    return any(each.name == candidate.name for each in there)
