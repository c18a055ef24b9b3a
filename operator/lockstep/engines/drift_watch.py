"""Drift as a run sees it: what differs when it comes, and what it has changed when it goes.

A line's run marks itself dirty with its first commit and is settled in the transaction that takes its differences in.
So one snapshot shows another line's changes, or that its run is dirty, or both its changes and what it has settled.
"""

from collections.abc import Callable
from typing import Protocol

from lockstep.api.reasons import Reason
from lockstep.engines.base import DriftFinding, Log, RunError
from lockstep.planning import drift
from lockstep.planning.drift import Change, Expected, Judgement, Left, Objects, Options
from lockstep.planning.wire import Mode, Order

_OTHERS = "another line's run is under way in this database ({}): what differs may be its work"
_NOTHING_YET = "nothing to compare with yet: the next run takes the schema as it is"

Decide = Callable[[Expected, Objects], Change | None]
"""What follows from what is expected and what is there; None: nothing. Pure: it may be asked again."""


class BlockedError(Exception):
    """The objects cannot be read now, since somebody holds a lock; the message is for people."""


class DriftStore(Protocol):
    """A database's objects: those that are there, and those that its ledger expects."""

    @property
    def major(self) -> int:
        """The server's major version."""

    @property
    def options(self) -> Options:
        """What is read, and in which format."""

    def exists(self) -> bool:
        """Tell whether there is a ledger that keeps objects."""

    def is_watched(self) -> bool:
        """Tell whether some line of the database looks for drift."""

    def observe(self) -> tuple[Expected, Objects]:
        """Return what is expected and what is there, at one moment; writes nothing.

        Without the objects where the two cannot be compared.

        Raises:
            BlockedError: if the objects cannot be read now.
        """

    def update(self, decide: Decide) -> tuple[Expected, Objects]:
        """Write what `decide` says, with no other update in between; return what it was asked about in the end."""

    def absorb(self, before: Left, line: str) -> None:
        """Write what `drift.settle` says of a line's run before which this differed."""

    def write(self, change: Change) -> None:
        """Write a change that needs no look at the database."""


class DriftWatch:
    """Watches the objects for one run of one line."""

    def __init__(self, store: DriftStore, order: Order, log: Log) -> None:
        self._store = store
        self._order = order
        self._log = log
        self._before: Left | None = None
        self._blind = False
        """Whether the objects could not be read: the run stays dirty then."""
        self._seen: str | None = None
        """Hash of the drift that `look` has found."""

    def look(self) -> DriftFinding:
        """Return what was changed by hand; what could not be compared is taken for what shall be, if this is a run."""
        order = self._order
        if (why := self._why_not()) is not None:
            return DriftFinding(inconclusive=why)
        try:
            expected, found = self._store.observe()
        except BlockedError as error:
            # What this run changes is taken in by the next.
            self._blind = True
            return DriftFinding(inconclusive=str(error))
        judgement = self._judge(expected, found)
        if order.mode is Mode.RUN and judgement.change is not None:
            # Once more, with nobody else writing in between.
            expected, found = self._store.update(lambda e, f: self._judge(e, f).change)
            judgement = self._judge(expected, found)
        self._before = drift.left(expected.objects, found, judgement.change)
        return self._finding(judgement, expected, found)

    def _finding(self, judgement: Judgement, expected: Expected, found: Objects) -> DriftFinding:
        match judgement.outcome:
            case "Inconclusive":
                return DriftFinding(inconclusive=_OTHERS.format(", ".join(expected.others)))
            case "Baseline" if self._order.mode is not Mode.RUN:
                return DriftFinding(inconclusive=_NOTHING_YET)
            case "Baseline":
                self._log("drift_baseline", objects=len(found), server=self._store.major)
                return DriftFinding()
            case "Unattributed":
                lines = ", ".join(expected.unsettled)
                self._log("drift_unattributed", level="warning", lines=lines, drift=judgement.drift.describe())
                return DriftFinding()
        made = judgement.drift
        self._seen = made.hash(found) if made else None
        return DriftFinding(made, hash=self._seen)

    def _why_not(self) -> str | None:
        """Return why there is nothing to look for."""
        order = self._order
        if order.mode is not Mode.RUN and not self._store.exists():
            return _NOTHING_YET
        # Where some line looks for drift, this one's changes must not accuse anybody.
        return "spec.drift is Ignore" if order.drift.policy == "Ignore" and not self._store.is_watched() else None

    def _judge(self, expected: Expected, found: Objects) -> Judgement:
        store = self._store
        return drift.judge(expected, found, major=store.major, options=store.options, ignore=self._order.drift.ignore)

    def accept(self) -> None:
        """Take the drift that `look` has found for what shall be; that very drift and nothing that came after.

        Raises:
            RunError: RepairRefused, if it has changed meanwhile.
        """
        seen = self._seen
        if seen is None:
            return

        def decide(expected: Expected, found: Objects) -> Change | None:
            return drift.accept(self._judge(expected, found).drift, found, seen)

        if decide(*self._store.update(decide)) is None:
            raise RunError(
                Reason.REPAIR_REFUSED, "somebody has changed the schema once more just now: look at the drift again"
            )

    def settle(self) -> None:
        """Take what this run has changed for what shall be."""
        if self._blind:
            return
        line, before = self._order.line, self._before
        if before is None:
            self._store.write(Change(lines=(line,)))
            return
        self._store.absorb(before, line)
