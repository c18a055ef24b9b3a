"""What is written to the ledger for each step: its entry of the history, and what else changes with it.

All of it is called inside of a transaction of the Store, the fence first: it keeps the run's row until the commit, so
that no other run begins in between.
"""

from collections.abc import Sequence

from msgspec.structs import replace
from sqlalchemy import delete, insert, select, update

from lockstep.api.reasons import Reason
from lockstep.engines import entries, refusals
from lockstep.engines.base import Action, Identity, Recorded, RunError
from lockstep.engines.entries import Claim, Entry
from lockstep.engines.portable.journal import Journal
from lockstep.engines.portable.store import Store
from lockstep.engines.rows import step_key
from lockstep.planning.checksum import ABSENT
from lockstep.planning.plan import Direction
from lockstep.planning.result import LedgerMark
from lockstep.planning.wire import OrderedMigration, RepairOrder


class Recorder:
    """Records the steps of one run."""

    def __init__(self, store: Store, claim: Claim, identity: Identity, mark: LedgerMark) -> None:
        self._store = store
        self._tables = store.tables
        self._claim = claim
        self._identity = identity
        self.mark = mark
        """The last entry of the line that is committed."""
        self.journal = Journal(store, claim)
        self._at = ""
        # Built once: most of a short migration's time would go into building them.
        run, texts = self._tables.run, self._tables.texts
        self._mine = (run.c.line == claim.line, run.c.epoch == claim.epoch, run.c.holder == claim.holder)
        self._fence = select(run.c.dirty, store.clock).where(*self._mine).with_for_update()
        self._insert_history = insert(self._tables.history)
        self._insert_applied = insert(self._tables.applied)
        # Another line, or another version, may have brought the same text.
        self._insert_text = (
            insert(texts)
            .prefix_with("OR IGNORE", dialect="sqlite")
            .prefix_with("IGNORE", dialect="mysql")
            .prefix_with("IGNORE", dialect="mariadb")
        )

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
            self._store.run(update(self._tables.run).where(*self._mine).values(dirty=1))

    def entry(self, action: Action) -> Entry:
        """Return the entry that a step will have."""
        return entries.next_entry(self.mark, self._claim, action.step.direction, action.migration)

    def write(self, action: Action, entry: Entry) -> Recorded:
        """Write what a step changes in the ledger; its caller has passed the fence and commits.

        Raises:
            RunError: LedgerInvalid, if what is undone is not recorded.
        """
        migration = action.migration
        recorded = self._history(migration, entry)
        match action.step.direction:
            case Direction.CORRECT:
                self._correct(migration, entry)
            case Direction.DOWN if migration.version is not None:
                if not self._unapply(entry):
                    raise RunError(
                        Reason.LEDGER_INVALID, f"{action.label}: the ledger no longer has it: somebody changed it"
                    )
            case direction if migration.version is None:
                now = ABSENT if direction is Direction.DOWN else migration.up_checksum
                self._repeatable(migration, entry, now, action.step.undone)
            case _:
                self._apply(migration, entry)
        return recorded

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
            recorded = self._history(replace(migration, description=note), entry, repair.token)
            key = step_key(migration.name, entry.canonical)
            match repair.action:
                case "MarkApplied":
                    self.journal.forget(key)
                    # Where the ledger has it, its place in the order of application stays.
                    if not self._has(entry):
                        self._apply(migration, entry)
                case "MarkNotApplied":
                    self.journal.forget(key)
                    self._unapply(entry)
                case "StatementApplied" | "StatementNotApplied":
                    self.journal.settle(key, applied=repair.action == "StatementApplied")
        self.mark = entry.mark
        return recorded

    def _history(self, migration: OrderedMigration, entry: Entry, repair: str | None = None) -> Recorded:
        claim, who = self._claim, self._identity
        row = {
            "line": claim.line,
            "sequence": entry.mark.sequence,
            "direction": entry.direction.value,
            "version": migration.version,
            "canonical": entry.canonical,
            "name": migration.name,
            "description": migration.description,
            "kind": migration.kind,
            "up_checksum": migration.up_checksum,
            "down_checksum": migration.down_checksum,
            "epoch": claim.epoch,
            "holder": claim.holder,
            "job": who.job,
            "pod": who.pod,
            "at": self._at,
            "previous": entry.previous,
            "hash": entry.mark.hash,
            "repair": repair,
        }
        self._store.run(self._insert_history, row)
        # What Data and Seed put in may be anybody's data: their text is not kept.
        up = migration.up if migration.kind == "Schema" else None
        texts = {migration.up_checksum: up, migration.down_checksum: migration.down}
        kept = [{"checksum": name, "body": entries.packed(text)} for name, text in texts.items() if text is not None]
        if kept:
            self._store.run(self._insert_text, kept)
        return Recorded(entry.mark, self._at)

    def _apply(self, migration: OrderedMigration, entry: Entry) -> None:
        row = {
            "line": self._claim.line,
            "canonical": entry.canonical,
            "version": migration.version,
            "name": migration.name,
            "kind": migration.kind,
            "up_checksum": migration.up_checksum,
            "down_checksum": migration.down_checksum,
            "irreversible": migration.irreversible,
            "requires": entries.requirements(migration),
            "sequence": entry.mark.sequence,
        }
        self._store.run(self._insert_applied, row)

    def _has(self, entry: Entry) -> bool:
        a = self._tables.applied.c
        asked = select(a.sequence).where(a.line == self._claim.line, a.canonical == entry.canonical)
        return bool(self._store.rows(asked))

    def _unapply(self, entry: Entry) -> bool:
        """Take a version out of what is applied; tell whether it was there."""
        applied = self._tables.applied
        mine = (applied.c.line == self._claim.line, applied.c.canonical == entry.canonical)
        return self._store.run(delete(applied).where(*mine)) == 1

    def _correct(self, migration: OrderedMigration, entry: Entry) -> None:
        line, down = self._claim.line, migration.down_checksum
        if entry.canonical is None:
            repeatable = self._tables.repeatable
            mine = (repeatable.c.line == line, repeatable.c.name == migration.name)
            self._store.run(update(repeatable).where(*mine).values(down_checksum=down))
            return
        applied = self._tables.applied
        mine = (applied.c.line == line, applied.c.canonical == entry.canonical)
        self._store.run(update(applied).where(*mine).values(down_checksum=down, irreversible=migration.irreversible))

    def _repeatable(self, migration: OrderedMigration, entry: Entry, now: str, undone: str | None) -> None:
        table = self._tables.repeatable
        row = {
            "line": self._claim.line,
            "name": migration.name,
            "up_checksum": now,
            "down_checksum": migration.down_checksum,
            "kind": migration.kind,
            "undone": undone,
            "sequence": entry.mark.sequence,
        }
        self._store.run(delete(table).where(table.c.line == self._claim.line, table.c.name == migration.name))
        self._store.run(insert(table), row)
