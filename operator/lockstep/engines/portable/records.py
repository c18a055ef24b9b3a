"""What is written to the ledger for each step: its entry of the history, and what else changes with it.

All of it is called inside of a transaction of the Store, the fence first: it keeps the run's row until the commit, so
that no other run begins in between.
"""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace
from sqlalchemy import select, update

from lockstep.api.reasons import Reason
from lockstep.engines import entries, refusals
from lockstep.engines.base import Action, Identity, Recorded, RunError
from lockstep.engines.entries import Claim, Entry
from lockstep.engines.portable.changes import Changes, held
from lockstep.engines.portable.journal import Journal
from lockstep.engines.portable.store import Change, Store
from lockstep.engines.rows import step_key
from lockstep.planning.plan import Direction
from lockstep.planning.result import LedgerMark
from lockstep.planning.wire import OrderedMigration, RepairOrder


def missing(action: Action) -> RunError:
    """Return how a run ends that undoes what the ledger does not have. Pure."""
    return RunError(Reason.LEDGER_INVALID, f"{action.label}: the ledger no longer has it: somebody changed it")


class Recorder:
    """Records the steps of one run."""

    def __init__(self, store: Store, claim: Claim, identity: Identity, mark: LedgerMark) -> None:
        self._store = store
        self._tables = store.tables
        self._claim = claim
        self.mark = mark
        """The last entry of the line that is committed."""
        self.journal = Journal(store, claim)
        self._at = ""
        self.changes = Changes(store, claim, identity)
        run = self._tables.run
        self._held = held(run, claim)
        self._fence = select(run.c.dirty, store.clock).where(*self._held).with_for_update()

    def fence(self, label: str) -> None:
        """See that this run still holds the line, and mark it as one that has committed.

        What is written after it has the time of this moment, by the database's clock.

        Raises:
            RunError: Fenced.
        """
        found = self._store.rows(self._fence)
        if not found:
            raise refusals.fenced(self._claim.line, label)
        dirty, self._at = found[0]
        if not dirty:
            self._store.run(update(self._tables.run).where(*self._held).values(dirty=1))

    def entry(self, action: Action) -> Entry:
        """Return the entry that a step will have."""
        return entries.next_entry(self.mark, self._claim, action.step.direction, action.migration)

    def write(self, action: Action, entry: Entry) -> Recorded:
        """Write what a step changes in the ledger; its caller has passed the fence and commits.

        Raises:
            RunError: LedgerInvalid, if what is undone is not recorded.
        """
        if not self._do(self.changes.of(action, entry, self._at)):
            raise missing(action)
        return Recorded(entry.mark, self._at)

    def record(self, actions: Sequence[Action]) -> tuple[Recorded, ...]:
        """Record steps that run nothing, in one transaction: what is adopted by half would be run by half.

        Raises:
            RunError: if they could not be recorded.
        """
        before, made = self.mark, []
        try:
            with self._store.transaction():
                self.fence(actions[0].label if actions else "the record")
                for action in actions:
                    entry = self.entry(action)
                    made.append(self.write(action, entry))
                    self.mark = entry.mark
        except BaseException:
            self.mark = before
            raise
        return tuple(made)

    def repair(self, repair: RepairOrder, migration: OrderedMigration) -> Recorded:
        """Do a person's act and record it, both in one transaction.

        Raises:
            RunError: RepairRefused, if what it is about is not so.
        """
        entry = entries.next_entry(self.mark, self._claim, Direction.REPAIR, migration)
        note = f"{repair.action}: {repair.note}".removesuffix(": ")
        with self._store.transaction():
            self.fence(repair.action)
            self._do(self.changes.history(replace(migration, description=note), entry, self._at, repair.token))
            key = step_key(migration.name, entry.canonical)
            match repair.action:
                case "MarkApplied":
                    self.journal.forget(key)
                    # Where the ledger has it, its place in the order of application stays.
                    if not self._has(entry):
                        self._do([self.changes.apply(migration, entry)])
                case "MarkNotApplied":
                    self.journal.forget(key)
                    self._do([self.changes.unapply(entry)])
                case "StatementApplied" | "StatementNotApplied":
                    self.journal.settle(key, applied=repair.action == "StatementApplied")
        self.mark = entry.mark
        return Recorded(entry.mark, self._at)

    def _has(self, entry: Entry) -> bool:
        a = self._tables.applied.c
        asked = select(a.sequence).where(a.line == self._claim.line, a.canonical == entry.canonical)
        return bool(self._store.rows(asked))

    def _do(self, changes: Iterable[Change]) -> bool:
        """Make changes, up to one that meets no row and must; tell whether there is none."""
        return all(self._store.run(each.statement, each.values) > 0 or not each.must_meet for each in changes)
