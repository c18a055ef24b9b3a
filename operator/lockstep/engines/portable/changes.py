"""What a step changes in the ledger's tables: statements, each with its values. Pure.

The statements are built once: most of a short migration's time would go into building them.
"""

from collections.abc import Iterator

from sqlalchemy import ColumnElement, Table, bindparam, delete, insert, select, update

from lockstep.engines import entries
from lockstep.engines.base import Action, Identity
from lockstep.engines.entries import Claim, Entry
from lockstep.engines.portable.store import Change, Store
from lockstep.planning.checksum import ABSENT
from lockstep.planning.plan import Direction
from lockstep.planning.wire import OrderedMigration


def held(run: Table, claim: Claim) -> tuple[ColumnElement[bool], ...]:
    """Return what the line's row says as long as nobody has claimed the line after this run."""
    return run.c.line == claim.line, run.c.epoch == claim.epoch, run.c.holder == claim.holder


class Changes:
    """The changes of one run's steps."""

    def __init__(self, store: Store, claim: Claim, identity: Identity) -> None:
        tables = store.tables
        self._claim = claim
        self._identity = identity
        run, history, texts = tables.run, tables.history, tables.texts
        applied, repeatable = tables.applied, tables.repeatable
        self._insert_history = insert(history)
        # Where the run is not marked as one that has committed, or another holds the line, there is no epoch, and
        # the table refuses the entry: the fence, in the statement itself.
        fenced = select(run.c.epoch).where(*held(run, claim), run.c.dirty == 1).with_for_update().scalar_subquery()
        self._insert_fenced = insert(history).values(epoch=fenced, at=store.clock)
        self._time = select(history.c.at).where(
            history.c.line == claim.line, history.c.sequence == bindparam("of_sequence")
        )
        self._insert_applied = insert(applied)
        # Another line, or another version, may have brought the same text.
        self._insert_text = (
            insert(texts)
            .prefix_with("OR IGNORE", dialect="sqlite")
            .prefix_with("IGNORE", dialect="mysql")
            .prefix_with("IGNORE", dialect="mariadb")
        )
        version = (applied.c.line == claim.line, applied.c.canonical == bindparam("of_version"))
        self._delete_applied = delete(applied).where(*version)
        self._correct_applied = (
            update(applied)
            .where(*version)
            .values(down_checksum=bindparam("now_down"), irreversible=bindparam("now_irreversible"))
        )
        named = (repeatable.c.line == claim.line, repeatable.c.name == bindparam("of_name"))
        self._insert_repeatable = insert(repeatable)
        self._delete_repeatable = delete(repeatable).where(*named)
        self._correct_repeatable = update(repeatable).where(*named).values(down_checksum=bindparam("now_down"))

    def of(self, action: Action, entry: Entry, at: str | None) -> Iterator[Change]:
        """Give what a step changes.

        Args:
            action: the step.
            entry: its entry of the history.
            at: its time; None: the entry takes the database's, and has the fence in it.
        """
        migration = action.migration
        yield from self.history(migration, entry, at)
        match action.step.direction:
            case Direction.CORRECT:
                yield self._correct(migration, entry)
            case Direction.DOWN if migration.version is not None:
                yield self.unapply(entry)
            case direction if migration.version is None:
                now = ABSENT if direction is Direction.DOWN else migration.up_checksum
                yield from self._repeatable(migration, entry, now, action.step.undone)
            case _:
                yield self.apply(migration, entry)

    def history(
        self, migration: OrderedMigration, entry: Entry, at: str | None, repair: str | None = None
    ) -> Iterator[Change]:
        """Give the entry of the history, and the texts that are kept."""
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
            "holder": claim.holder,
            "job": who.job,
            "pod": who.pod,
            "previous": entry.previous,
            "hash": entry.mark.hash,
            "repair": repair,
        }
        if at is None:
            yield Change(self._insert_fenced, row)
        else:
            yield Change(self._insert_history, row | {"epoch": claim.epoch, "at": at})
        # What Data and Seed put in may be anybody's data: their text is not kept.
        up = migration.up if migration.kind == "Schema" else None
        for name, text in {migration.up_checksum: up, migration.down_checksum: migration.down}.items():
            if text is not None:
                yield Change(self._insert_text, {"checksum": name, "body": entries.packed(text)})

    def time(self, entry: Entry) -> Change:
        """Ask for the time of an entry."""
        return Change(self._time, {"of_sequence": entry.mark.sequence})

    def apply(self, migration: OrderedMigration, entry: Entry) -> Change:
        """Put a version into what is applied."""
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
        return Change(self._insert_applied, row)

    def unapply(self, entry: Entry) -> Change:
        """Take a version out of what is applied."""
        return Change(self._delete_applied, {"of_version": entry.canonical}, must_meet=True)

    def _correct(self, migration: OrderedMigration, entry: Entry) -> Change:
        down = migration.down_checksum
        if entry.canonical is None:
            return Change(self._correct_repeatable, {"of_name": migration.name, "now_down": down})
        values = {"of_version": entry.canonical, "now_down": down, "now_irreversible": migration.irreversible}
        return Change(self._correct_applied, values)

    def _repeatable(self, migration: OrderedMigration, entry: Entry, now: str, undone: str | None) -> Iterator[Change]:
        row = {
            "line": self._claim.line,
            "name": migration.name,
            "up_checksum": now,
            "down_checksum": migration.down_checksum,
            "kind": migration.kind,
            "undone": undone,
            "sequence": entry.mark.sequence,
        }
        yield Change(self._delete_repeatable, {"of_name": migration.name})
        yield Change(self._insert_repeatable, row)
