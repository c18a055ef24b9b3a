"""Drift as a run sees it: what differs when it comes, and what it has changed when it goes.

A line's run marks itself dirty with its first commit and is settled in the transaction that takes its differences in.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, insert, select, update

from lockstep.api.reasons import Reason
from lockstep.engines.base import DriftFinding, Log, RunError
from lockstep.engines.portable.ledger import Ledger
from lockstep.engines.portable.store import Store
from lockstep.planning import drift
from lockstep.planning.drift import Change, Expected, Judgement, Objects, Options
from lockstep.planning.wire import Mode, Order

_OTHERS = "another line's run is under way in this database ({}): what differs may be its work"


@dataclass(frozen=True, slots=True)
class Catalog:
    """How an engine reads the objects of its database."""

    read: Callable[[], Objects]
    """The hash of every object that is not Lockstep's, by its name for people; inside of a transaction."""
    major: int
    """The server's major version."""
    options: Options
    """What is read, and in which format."""
    held: Callable[[str], bool]
    """Tells whether another session holds a line's lock."""


class DriftWatch:
    """Watches the catalog for one run of one line."""

    def __init__(self, store: Store, ledger: Ledger, catalog: Catalog, order: Order, log: Log) -> None:
        self._store = store
        self._ledger = ledger
        self._catalog = catalog
        self._order = order
        self._log = log
        self._before: Objects | None = None
        self._seen: str | None = None
        """Hash of the drift that `look` has found."""

    def look(self) -> DriftFinding:
        """Return what was changed by hand; what could not be compared is taken for what shall be, if this is a run."""
        order, writes = self._order, self._order.mode is Mode.RUN
        if not self._store.version():
            return DriftFinding(inconclusive="there is no ledger yet")
        if order.drift.policy == "Ignore" and not self._is_watched():
            return DriftFinding(inconclusive="spec.drift is Ignore")
        with self._store.reading():
            expected, found = self._expected(), self._catalog.read()
        judgement = self._judge(expected, found)
        if writes and judgement.change is not None:
            # Once more, with nobody else writing in between.
            with self._store.transaction():
                expected, found = self._expected(), self._catalog.read()
                judgement = self._judge(expected, found)
                if judgement.change is not None:
                    self._write(judgement.change)
        self._before = found
        return self._finding(judgement, expected, found)

    def _finding(self, judgement: Judgement, expected: Expected, found: Objects) -> DriftFinding:
        match judgement.outcome:
            case "Inconclusive":
                return DriftFinding(inconclusive=_OTHERS.format(", ".join(expected.others)))
            case "Baseline" if self._order.mode is not Mode.RUN:
                return DriftFinding(inconclusive="nothing to compare with yet: the next run takes the schema as it is")
            case "Baseline":
                self._log("drift_baseline", objects=len(found), server=self._catalog.major)
                return DriftFinding()
            case "Unattributed":
                lines = ", ".join(expected.unsettled)
                self._log("drift_unattributed", level="warning", lines=lines, drift=judgement.drift.describe())
                return DriftFinding()
        made = judgement.drift
        self._seen = made.hash(found) if made else None
        return DriftFinding(made, hash=self._seen)

    def accept(self) -> None:
        """Take the drift that `look` has found for what shall be; that very drift and nothing that came after.

        Raises:
            RunError: RepairRefused, if it has changed meanwhile.
        """
        if self._seen is None:
            return
        with self._store.transaction():
            expected, found = self._expected(), self._catalog.read()
            change = drift.accept(self._judge(expected, found).drift, found, self._seen)
            if change is None:
                raise RunError(
                    Reason.REPAIR_REFUSED, "somebody has changed the schema once more just now: look at the drift again"
                )
            self._write(change)

    def settle(self) -> None:
        """Take what this run has changed for what shall be."""
        line = self._order.line
        with self._store.transaction():
            if self._before is None:
                self._write(Change(lines=(line,)))
            else:
                self._write(drift.settle(self._expected(), self._before, self._catalog.read(), line))

    def _is_watched(self) -> bool:
        """Tell whether some line of the database looks for drift: this one's changes must not accuse anybody then."""
        found = self._store.rows(select(self._store.tables.meta.c.objects_major))
        return bool(found) and found[0][0] is not None

    def _judge(self, expected: Expected, found: Objects) -> Judgement:
        catalog = self._catalog
        return drift.judge(
            expected, found, major=catalog.major, options=catalog.options, ignore=self._order.drift.ignore
        )

    def _expected(self) -> Expected:
        tables, ask = self._store.tables, self._store.rows
        [(major, options)] = ask(select(tables.meta.c.objects_major, tables.meta.c.objects_options))
        others, unsettled = self._ledger.unsettled(self._catalog.held)
        return Expected(
            {str(name): str(hashed) for name, hashed in ask(select(tables.objects.c.name, tables.objects.c.hash))},
            major,
            None if options is None else Options.parse(options),
            others,
            unsettled,
        )

    def _write(self, change: Change) -> None:
        store, tables = self._store, self._store.tables
        objects = tables.objects
        gone = [{"gone": name} for name in (*change.removed, *change.upserts)]
        if gone:
            store.run(delete(objects).where(objects.c.name == bindparam("gone")), gone)
        if change.upserts:
            store.run(insert(objects), [{"name": name, "hash": hashed} for name, hashed in change.upserts.items()])
        if change.options is not None:
            store.run(update(tables.meta).values(objects_major=change.major, objects_options=change.options.text))
        if change.lines:
            store.run(update(tables.run).where(tables.run.c.line.in_(change.lines)).values(dirty=0))
