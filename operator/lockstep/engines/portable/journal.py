"""The journal: statements that commit by themselves, each noted before it runs and after it has ended.

Its rows are there until all of the migration is done and recorded; what is left of them makes the line Partial.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from sqlalchemy import ColumnElement, bindparam, delete, insert, select, update

from lockstep.api.reasons import Reason
from lockstep.engines.base import RunError
from lockstep.engines.entries import Claim
from lockstep.engines.portable.store import Change, Store

STARTED: Final = "started"
"""It was begun; that it has no end means that it failed, or that nobody knows yet."""
FINISHED: Final = "finished"
UNKNOWN: Final = "unknown"
"""Nobody can tell whether it took effect: a person says so."""


class Noted(Struct, frozen=True):
    """One statement as the journal has it."""

    statement: int
    """From 1."""
    digest: str
    """Of the statement's text."""
    state: str
    note: str | None
    epoch: int


class Journal:
    """The journal of one line; called inside of transactions that have passed the fence."""

    def __init__(self, store: Store, claim: Claim) -> None:
        self._store = store
        self._table = store.tables.journal
        self._claim = claim
        j = self._table.c
        self._forget = delete(self._table).where(j.line == claim.line, j.step == bindparam("of_step"))

    def _of(self, step: str, direction: str | None = None, statement: int | None = None) -> list[ColumnElement[bool]]:
        j = self._table.c
        found = [j.line == self._claim.line, j.step == step]
        found += [] if direction is None else [j.direction == direction]
        return found if statement is None else [*found, j.statement == statement]

    def noted(self, step: str, direction: str) -> Sequence[Noted]:
        """Return what is noted of a step, in the order of its statements."""
        j = self._table.c
        asked = select(j.statement, j.digest, j.state, j.note, j.epoch).where(*self._of(step, direction))
        return [Noted(*row) for row in self._store.rows(asked.order_by(j.statement))]

    def start(
        self, step: str, direction: str, statement: int, *, checksum: str, digest: str, note: str | None = None
    ) -> None:
        """Note that a statement is about to run, also where it ran before without an end.

        Args:
            step: see rows.step_key.
            direction: of the step.
            statement: its number, from 1.
            checksum: of the whole text.
            digest: of the statement.
            note: what shall be known to tell whether it took effect.
        """
        self._store.run(delete(self._table).where(*self._of(step, direction, statement)))
        self._store.run(
            insert(self._table).values(
                line=self._claim.line,
                step=step,
                direction=direction,
                statement=statement,
                checksum=checksum,
                digest=digest,
                state=STARTED,
                note=note,
                epoch=self._claim.epoch,
                started=self._store.clock,
            )
        )

    def finish(self, step: str, direction: str, statement: int) -> None:
        """Note that a statement has ended well."""
        self._store.run(
            update(self._table)
            .where(*self._of(step, direction, statement))
            .values(state=FINISHED, finished=self._store.clock)
        )

    def doubt(self, step: str, direction: str, statement: int, note: str) -> None:
        """Note that nobody can tell whether a statement took effect."""
        self._store.run(
            update(self._table).where(*self._of(step, direction, statement)).values(state=UNKNOWN, note=note)
        )

    def drop(self, step: str, direction: str, statement: int) -> None:
        """Note that a statement has not taken effect: it is as if it had never begun."""
        self._store.run(delete(self._table).where(*self._of(step, direction, statement)))

    def forget(self, step: str) -> None:
        """Take a step out of the journal: it is recorded as a whole now."""
        change = self.forgotten(step)
        self._store.run(change.statement, change.values)

    def forgotten(self, step: str) -> Change:
        """Return what takes a step out of the journal. Pure."""
        return Change(self._forget, {"of_step": step})

    def settle(self, step: str, *, applied: bool) -> None:
        """Take a person's word for the statement that is in doubt.

        Raises:
            RunError: RepairRefused, if none is.
        """
        j = self._table.c
        asked = select(j.direction, j.statement).where(*self._of(step), j.state != FINISHED).order_by(j.statement)
        found = self._store.rows(asked.limit(1))
        if not found:
            raise RunError(Reason.REPAIR_REFUSED, "no statement of this version is in doubt")
        direction, statement = found[0]
        if applied:
            self.finish(step, direction, statement)
            return
        # Begun and without effect: the next run begins with it.
        again = update(self._table).where(*self._of(step, direction, statement))
        self._store.run(again.values(state=STARTED, note=None))
