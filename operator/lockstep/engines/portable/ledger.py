"""The ledger: found or made, guarded, read, and claimed for one run."""

import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from msgspec import Struct
from sqlalchemy import ColumnElement, Select, and_, case, func, insert, or_, select, update

from lockstep.api.reasons import Reason
from lockstep.engines import entries, refusals, rows
from lockstep.engines.base import Identity, LedgerState, Log, RunError
from lockstep.engines.entries import Claim, Past
from lockstep.engines.portable import rows as own_rows
from lockstep.engines.portable.store import Row, Store
from lockstep.engines.portable.tables import LEDGER_VERSION
from lockstep.planning.plan import Direction, History
from lockstep.planning.result import LedgerMark
from lockstep.planning.wire import Order, Owner

RECENT: Final = 20
"""Entries of the history that a status shows."""
LOT: Final = 100
"""Texts that are asked for at once."""


class Surroundings(Protocol):
    """What the engine says of the database around the ledger."""

    def others(self) -> Sequence[str]:
        """Return the names of a few objects that are not Lockstep's."""

    def hooks(self) -> Sequence[str]:
        """Return what would run when the ledger is used, such as `the trigger x on lockstep_run`."""


class LastRun(Struct, frozen=True):
    """The run that entered the line last, as the ledger has it."""

    owner: tuple[str, str, str]
    """Cluster, namespace and name."""
    pod: str
    session: str | None
    """What the engine knew its session by."""


class Ledger:
    """One database's ledger, seen by the run of one line."""

    def __init__(self, store: Store, order: Order, around: Surroundings, log: Log) -> None:
        self._store = store
        self._tables = store.tables
        self._order = order
        self._around = around
        self._log = log

    @property
    def adopts(self) -> bool:
        """Whether a database that is not empty is what the order expects."""
        return self._order.baseline is not None or self._order.adopt is not None

    def is_ready(self) -> bool:
        """Tell whether the ledger is there and up to date; False: it must be made or upgraded.

        Raises:
            RunError: if it is newer than this runner, or is not safe to use.
        """
        version = self._store.version()
        if not version:
            if self._order.known_ledger is not None:
                raise refusals.gone(self._order.known_ledger)
            return False
        if version > LEDGER_VERSION:
            raise refusals.too_new(version, LEDGER_VERSION)
        if hooks := self._around.hooks():
            raise RunError(Reason.LEDGER_WRITABLE, f"the ledger carries {', '.join(hooks)}: drop it")
        return version == LEDGER_VERSION

    def exists(self) -> bool:
        """Tell whether there is a ledger, of this version or an older one.

        Raises:
            RunError: as `is_ready`.
        """
        return self.is_ready() or bool(self._store.version())

    def absent(self) -> LedgerState:
        """Return what a database without a ledger says: an empty line.

        Raises:
            RunError: DatabaseNotEmpty.
        """
        if not self.adopts:
            self._check_empty()
        return LedgerState(None, History(fresh=True, occupied=bool(self._around.others())))

    def make(self) -> None:
        """Make the ledger, or upgrade it, unless another run has done so meanwhile; no other run does the same now.

        Raises:
            RunError: if the database already holds something and nobody said that it is adopted.
        """
        version = self._store.version()
        if version is not None and version >= LEDGER_VERSION:
            return
        with self._store.transaction():
            # Seen again from inside: where the transaction is the lock, the one before has made it.
            version = self._store.version()
            if version is not None and version >= LEDGER_VERSION:
                return
            if version:
                self._upgrade(version)
            else:
                self._create()

    def _create(self) -> None:
        if not self.adopts:
            self._check_empty()
        store, meta = self._store, self._tables.meta
        occupied = int(bool(self._around.others()))
        store.create()
        if store.rows(select(self._tables.history.c.sequence).limit(1)):
            raise RunError(Reason.LEDGER_INVALID, f"the ledger has a history but no row in {meta.name}")
        store.run(
            insert(meta).values(
                singleton=1,
                ledger=str(uuid.uuid4()),
                version=LEDGER_VERSION,
                created=store.clock,
                occupied=occupied,
            )
        )
        self._log("ledger_created", schema=store.schema, version=LEDGER_VERSION)

    def _upgrade(self, version: int) -> None:
        self._store.upgrade(version)
        self._store.run(update(self._tables.meta).values(version=LEDGER_VERSION))
        self._log("ledger_upgraded", schema=self._store.schema, before=version, version=LEDGER_VERSION)

    def _check_empty(self) -> None:
        """See that nobody else has been here.

        Raises:
            RunError: DatabaseNotEmpty.
        """
        if others := self._around.others():
            raise refusals.not_empty(others)

    def enter(self, identity: Identity, holder: str, session: str | None = None) -> tuple[Claim, LedgerState]:
        """Claim the line for this run, then read what the ledger says of it; the line's lock is held.

        First the claim: it waits for a transaction of a run that has lost its lock, so that what is read is final.

        Args:
            identity: who works here.
            holder: a fresh uuid.
            session: what the engine knows its session by.

        Raises:
            RunError: if the line is another's, or the ledger is behind what the status has seen, or was changed.
        """
        with self._store.transaction():
            claim = self._claim(identity, holder, session)
            state = self._state()
        return claim, state

    def _claim(self, identity: Identity, holder: str, session: str | None) -> Claim:
        line, run, who = self._order.line, self._tables.run, identity.owner
        present = self._owner(lock=True)
        if present is not None and present.key != who.key:
            self._take_over(present)
        values = {
            "owner_cluster": who.cluster,
            "owner_namespace": who.namespace,
            "owner_name": who.name,
            "owner_uid": who.uid,
            "holder": holder,
            "job": identity.job,
            "pod": identity.pod,
            "attempt": identity.attempt,
            "started": self._store.clock,
            "session": session,
        }
        if present is None:
            self._store.run(insert(run).values(line=line, epoch=1, dirty=0, **values))
        else:
            self._store.run(update(run).where(run.c.line == line).values(epoch=run.c.epoch + 1, **values))
        [(epoch,)] = self._store.rows(select(run.c.epoch).where(run.c.line == line))
        return Claim(line, int(epoch), holder)

    def _take_over(self, present: Owner) -> None:
        """See that a person has named the line's owner, from whom it is taken.

        Raises:
            RunError: ForeignOwner, or RepairRefused.
        """
        line, repair = self._order.line, self._order.repair
        if repair is None or repair.action != "TakeOver":
            raise refusals.foreign(line, present)
        if (repair.confirm or "") != str(present):
            raise refusals.misnamed(line, present, repair.confirm or "")
        self._log("taken_over", level="warning", line=line, before=str(present))

    def _owner(self, *, lock: bool = False) -> Owner | None:
        run = self._tables.run
        asked = select(run.c.owner_cluster, run.c.owner_namespace, run.c.owner_name, run.c.owner_uid).where(
            run.c.line == self._order.line
        )
        found = self._store.rows(asked.with_for_update() if lock else asked)
        return Owner(*found[0]) if found else None

    def read(self, identity: Identity) -> LedgerState:
        """Read what the ledger says of the line, as of one moment and without writing anything.

        Raises:
            RunError: as `enter`.
        """
        with self._store.reading():
            present = self._owner()
            if present is not None and present.key != identity.owner.key:
                raise refusals.foreign(self._order.line, present)
            return self._state()

    def _state(self) -> LedgerState:
        """Return what the ledger says, once it is found to be true.

        Raises:
            RunError: LedgerInvalid, LedgerBehind or DatabaseNotEmpty.
        """
        order, tables, ask = self._order, self._tables, self._store.rows
        line = order.line
        past = self._past()
        if (number := entries.broken_at(line, past)) is not None:
            raise refusals.changed(line, number)
        sequence, last_hash = (past[-1].sequence, past[-1].hash) if past else (0, entries.GENESIS)
        [(ledger, was_occupied)] = ask(select(tables.meta.c.ledger, tables.meta.c.occupied))
        mark = LedgerMark(ledger, sequence, last_hash)
        known = next((each.hash for each in past if each.sequence == order.known_sequence), None)
        repaired = self._repaired()
        refusals.check_not_behind(order, mark, known, repaired)
        fresh = not any(entries.has_begun(each.direction, each.canonical) for each in past)
        if fresh and not self.adopts and was_occupied and not self._has_begun():
            # A ledger that was made for an adoption that never was.
            self._check_empty()
        occupied = fresh and self.adopts and bool(self._around.others())
        history = self._history(past, fresh=fresh, occupied=occupied)
        for canonical, is_past in own_rows.astray(ask(self._comings()), history.applied):
            refusals.check_agrees(order, canonical, is_past=is_past, is_repaired=repaired is not None)
        recent = () if order.known_sequence else rows.recent(self._recent())
        return LedgerState(mark, history, recent, repaired is not None)

    def _repaired(self) -> int | None:
        """Return the number of the entry that records the order's repair."""
        order, h = self._order, self._tables.history.c
        if order.repair is None:
            return None
        asked = select(h.sequence).where(h.line == order.line, h.repair == order.repair.token).limit(1)
        found = self._store.rows(asked)
        return int(found[0][0]) if found else None

    def _has_begun(self) -> bool:
        """Tell whether any line of the database has begun."""
        h = self._tables.history.c
        own = or_(h.direction != Direction.REPAIR.value, h.canonical.is_not(None))
        return bool(self._store.rows(select(h.sequence).where(own).limit(1)))

    def _past(self) -> list[Past]:
        h = self._tables.history.c
        columns = (
            h.sequence,
            h.direction,
            h.canonical,
            h.name,
            h.up_checksum,
            h.down_checksum,
            h.epoch,
            h.holder,
            h.previous,
            h.hash,
        )
        found = self._store.rows(select(*columns).where(h.line == self._order.line).order_by(h.sequence))
        return [Past(*row) for row in found]

    def _history(self, past: Sequence[Past], *, fresh: bool, occupied: bool) -> History:
        ask, line, tables = self._store.rows, self._order.line, self._tables
        a, r, h, j = tables.applied.c, tables.repeatable.c, tables.history.c, tables.journal.c

        def of_line(column: ColumnElement[str]) -> ColumnElement[bool]:
            return column == line

        applied = rows.applied(
            ask(
                select(a.version, a.name, a.up_checksum, a.down_checksum, a.irreversible, a.kind, a.sequence)
                .where(of_line(a.line))
                .order_by(a.sequence)
            )
        )
        repeated = ask(
            select(r.name, r.up_checksum, r.down_checksum, r.kind, r.undone, r.sequence).where(of_line(r.line))
        )
        # What the repeatable migrations were before: to restore them on the way down.
        ran = ask(
            select(h.name, h.sequence, h.up_checksum, h.down_checksum, h.kind)
            .where(of_line(h.line), h.canonical.is_(None), h.direction == Direction.REPEAT.value)
            .order_by(h.sequence)
        )
        needing = ask(
            select(a.line, a.version, a.requires)
            .where(a.line != line, a.requires.is_not(None))
            .order_by(a.line, a.version)
        )
        # A migration whose statements are journaled has rows here until all of it is done and recorded.
        journal = ask(
            select(j.step, j.direction, j.statement, j.state, j.note)
            .where(of_line(j.line))
            .order_by(j.started, j.statement)
        )
        return History(
            applied=applied,
            repeated=rows.repeated(repeated),
            ran=rows.ran(ran),
            undone=rows.undone(ask(self._comings_and_goings())),
            dependents=own_rows.dependents(needing, line),
            partial=rows.partial(journal, applied),
            trail=own_rows.trail(past) if self._order.policy.approved_plans else (),
            fresh=fresh,
            occupied=occupied,
        )

    def _comings(self) -> Select[Any]:
        """Ask when each version was applied and undone last; 0: never."""
        h = self._tables.history.c
        marked = and_(h.direction == Direction.REPAIR.value, h.description.like("MarkApplied%"))
        unmarked = and_(h.direction == Direction.REPAIR.value, h.description.like(f"{rows.UNMARKED}%"))
        comes = or_(h.direction.in_([Direction.UP.value, Direction.BASELINE.value, Direction.ADOPT.value]), marked)
        goes = or_(h.direction == Direction.DOWN.value, unmarked)
        lasts = (func.max(case((which, h.sequence), else_=0)) for which in (comes, goes))
        of_line = and_(h.line == self._order.line, h.canonical.is_not(None))
        return select(h.canonical, *lasts).where(of_line).group_by(h.canonical)

    def _comings_and_goings(self) -> Select[Any]:
        """Ask what was applied and undone, of every version that was ever undone."""
        line, repair = self._order.line, Direction.REPAIR.value
        h, g = self._tables.history.c, self._tables.history.alias().c
        unmarked = and_(g.direction == repair, g.description.like(f"{rows.UNMARKED}%"))
        undone = select(g.canonical).where(g.line == line, or_(g.direction == Direction.DOWN.value, unmarked))
        counts = or_(
            h.direction.not_in([repair, Direction.CORRECT.value]),
            and_(h.direction == repair, h.description.like("Mark%")),
        )
        return (
            select(h.canonical, h.sequence, h.direction, h.description)
            .where(h.line == line, counts, h.canonical.in_(undone))
            .order_by(h.sequence)
        )

    def _recent(self) -> Sequence[Row]:
        h = self._tables.history.c
        return self._store.rows(
            select(h.name, h.version, h.direction, h.kind, h.at)
            .where(h.line == self._order.line)
            .order_by(h.sequence.desc())
            .limit(RECENT)
        )

    def texts(self, checksums: Sequence[str]) -> dict[str, str]:
        """Return those of these texts that are kept.

        Raises:
            RunError: LedgerInvalid, if one of them is not what its checksum says.
        """
        t = self._tables.texts.c
        found = {}
        for first in range(0, len(checksums), LOT):
            asked = select(t.checksum, t.body).where(t.checksum.in_(checksums[first : first + LOT]))
            for name, body in self._store.rows(asked):
                found[str(name)] = entries.unpacked(name, body)
        return found

    def last_run(self) -> LastRun | None:
        """Return which run entered the line last."""
        r = self._tables.run.c
        columns = (r.owner_cluster, r.owner_namespace, r.owner_name, r.pod, r.session)
        found = self._store.rows(select(*columns).where(r.line == self._order.line))
        if not found:
            return None
        cluster, namespace, name, pod, session = found[0]
        return LastRun((cluster, namespace, name), pod, session)

    def unsettled(self, held: Callable[[str], bool]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the other lines whose run has committed and is under way, and those whose run has died since."""
        r = self._tables.run.c
        dirty = [str(line) for (line,) in self._store.rows(select(r.line).where(r.dirty == 1).order_by(r.line))]
        others = tuple(line for line in dirty if line != self._order.line and held(line))
        return others, tuple(line for line in dirty if line not in others)
