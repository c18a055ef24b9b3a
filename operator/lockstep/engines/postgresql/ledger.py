"""The ledger: found or made, guarded, read, and claimed for one run."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from lockstep.api.reasons import Reason
from lockstep.engines import entries, refusals, rows
from lockstep.engines.base import ConnectionLostError, Identity, LedgerState, Log, RunError
from lockstep.engines.entries import GENESIS, Claim
from lockstep.engines.postgresql import ledger_rows, ledger_sql, ledger_tables
from lockstep.engines.postgresql.channel import Channel
from lockstep.engines.postgresql.ledger_tables import LEDGER_VERSION, UPGRADES, on, quote
from lockstep.engines.postgresql.lock import LastRun
from lockstep.engines.postgresql.messages import Command, Reply, Row, SqlError
from lockstep.planning.plan import History
from lockstep.planning.result import LedgerMark
from lockstep.planning.wire import Order, Owner

_BEGIN: Final = Command("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")


class Ledger:
    """One database's ledger, seen by the run of one line."""

    def __init__(self, channel: Channel, order: Order, log: Log) -> None:
        self._channel = channel
        self._order = order
        self._log = log
        self.schema = order.database.ledger_schema

    def _on(self, sql: str) -> str:
        return on(self.schema, sql)

    def is_ready(self) -> bool:
        """Tell whether the ledger is there and up to date; False: it must be made or upgraded.

        Raises:
            RunError: if it is newer than this runner, or is not safe to use.
        """
        found = self._channel.query(ledger_sql.FIND, self.schema)
        if not found or found[0][3] == "0":
            if found and found[0][2] != "0":
                raise RunError(
                    Reason.LEDGER_INVALID,
                    f"schema {self.schema!r} is there and holds something else than a ledger; "
                    "name another one in database.ledgerSchema",
                )
            self._check_not_gone()
            return False
        self._guard()
        [(_, version)] = self._channel.query(self._on(ledger_sql.META)) or [(None, None)]
        if version is None:
            raise RunError(Reason.LEDGER_INVALID, f"the ledger in schema {self.schema!r} has no row in meta")
        if int(version) > LEDGER_VERSION:
            raise refusals.too_new(int(version), LEDGER_VERSION)
        return int(version) == LEDGER_VERSION

    def exists(self) -> bool:
        """Tell whether there is a ledger, of this version or an older one.

        Raises:
            RunError: as `is_ready`.
        """
        if self.is_ready():
            return True
        found = self._channel.query(ledger_sql.FIND, self.schema)
        return bool(found and found[0][3] != "0")

    def absent(self) -> LedgerState:
        """Return what a database without a ledger says: an empty line.

        Raises:
            RunError: DatabaseNotEmpty.
        """
        if not self.adopts:
            self._check_empty()
        return LedgerState(None, History(fresh=True, occupied=bool(self._others())))

    def _check_not_gone(self) -> None:
        if self._order.known_ledger is not None:
            raise refusals.gone(self._order.known_ledger)

    def _guard(self) -> None:
        """See that nobody else can write to the ledger, and that nothing of others runs when it is used."""
        writers, hooks = self._channel.run(
            [Command(ledger_sql.WRITERS, (self.schema,)), Command(ledger_sql.HOOKS, (self.schema,))]
        )
        if writers.rows:
            who = "; ".join(f"{name} {how}" for name, how in writers.rows)
            raise RunError(
                Reason.LEDGER_WRITABLE,
                f"others can write to the ledger in schema {self.schema!r}: {who}; revoke it, "
                "and look whether the ledger is still true",
            )
        if hooks.rows:
            what = ", ".join(str(row[0]) for row in hooks.rows)
            raise RunError(Reason.LEDGER_WRITABLE, f"the ledger in schema {self.schema!r} carries {what}: drop it")

    def make(self) -> None:
        """Make the ledger, or upgrade it; the exclusive lock is held.

        Raises:
            RunError: if the database already holds something and nobody said that it is adopted.
        """
        found = self._channel.query(ledger_sql.FIND, self.schema)
        if found and found[0][3] != "0":
            [(_, version)] = self._channel.query(self._on(ledger_sql.META))
            self._upgrade(int(version or 0))
            return
        if not self.adopts:
            self._check_empty()
        occupied = "true" if self._others() else "false"
        for (name,) in self._channel.query(ledger_sql.PUBLISHED):
            self._log("ledger_published", level="warning", publication=name)
        schema = quote(self.schema)
        begin = [_BEGIN]
        begin += [] if found else [Command(f"CREATE SCHEMA {schema}")]
        begin += [Command(self._on(statement)) for statement in ledger_tables.CREATE]
        begin += self._upgrades(1)
        begin.append(Command(self._on(ledger_sql.INSERT_META), (LEDGER_VERSION, occupied)))
        self._change_tables(begin)
        self._log("ledger_created", schema=self.schema, version=LEDGER_VERSION)

    @property
    def adopts(self) -> bool:
        """Whether a database that is not empty is what the order expects."""
        return self._order.baseline is not None or self._order.adopt is not None

    def _upgrade(self, version: int) -> None:
        self._change_tables(
            [_BEGIN, *self._upgrades(version), Command(self._on(ledger_sql.SET_VERSION), (LEDGER_VERSION,))]
        )
        self._log("ledger_upgraded", schema=self.schema, before=version, version=LEDGER_VERSION)

    def _upgrades(self, version: int) -> list[Command]:
        return [Command(self._on(sql)) for v in sorted(UPGRADES) if v > version for sql in UPGRADES[v]]

    def _change_tables(self, commands: list[Command]) -> None:
        """Change the ledger's tables in one transaction, and let nobody else have rights on what is new."""
        schema = quote(self.schema)
        try:
            self._channel.run(commands)
            grantees = self._channel.query(ledger_sql.GRANTEES, self.schema)
            revoked = ", ".join(dict.fromkeys(["PUBLIC", *(str(row[0]) for row in grantees)]))
            self._channel.run(
                [
                    Command(f"REVOKE ALL ON SCHEMA {schema} FROM {revoked}"),
                    Command(f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {revoked}"),
                    Command("COMMIT"),
                ]
            )
        except SqlError:
            self._channel.run([Command("ROLLBACK")], stoppable=False)
            raise

    def _check_empty(self) -> None:
        """See that nobody else has been here.

        Raises:
            RunError: DatabaseNotEmpty.
        """
        if others := self._others():
            raise refusals.not_empty(others)

    def _others(self) -> list[str]:
        """Return the names of a few objects that are not Lockstep's, other tools' histories first."""
        return [str(row[0]) for row in self._channel.query(ledger_sql.FOREIGN_OBJECTS, self.schema)]

    def enter(self, identity: Identity, holder: str) -> tuple[Claim, LedgerState]:
        """Claim the line for this run, then read what the ledger says of it.

        First the claim: it waits for a transaction of a run that has lost its lock, so that what is read is final.

        Raises:
            RunError: if the line is another's, or the ledger is behind what the status has seen, or was changed.
        """
        line = self._order.line
        who = identity.owner
        owner = (who.cluster, who.namespace, who.name, who.uid)
        claim = Command(
            self._on(ledger_sql.CLAIM),
            (line, *owner, holder, identity.job, identity.pod, identity.attempt),
        )
        repair = self._order.repair
        if repair is not None and repair.action == "TakeOver":
            self._take_over(owner, repair.confirm or "")
        claimed, *replies = self._channel.run([claim, *self._reads()])
        if not claimed.rows:
            raise refusals.foreign(line, _owner(replies[0].rows[0]))
        return Claim(line, int(claimed.rows[0][0] or 0), holder), self._state(replies)

    def read(self, identity: Identity) -> LedgerState:
        """Read what the ledger says of the line, in one snapshot and without writing anything.

        Raises:
            RunError: as `enter`.
        """
        [(_, version)] = self._channel.query(self._on(ledger_sql.META))
        upgrade = self._upgrades(int(version or 0))
        # An older ledger is read as if it had been upgraded; the upgrade itself is rolled back.
        begin = _BEGIN if upgrade else Command("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            replies = self._channel.run([begin, *upgrade, *self._reads()])[1 + len(upgrade) :]
        finally:
            with suppress(ConnectionLostError):
                self._channel.run([Command("ROLLBACK")], stoppable=False)
        owned, owner = replies[0], identity.owner
        if owned.rows and owned.rows[0][:3] != (owner.cluster, owner.namespace, owner.name):
            raise refusals.foreign(self._order.line, _owner(owned.rows[0]))
        return self._state(replies)

    def _take_over(self, owner: tuple[str, str, str, str], confirm: str) -> None:
        """Make the line ours, from the owner that the person has named and from nobody else."""
        line = self._order.line
        found = self._channel.query(self._on(ledger_sql.OWNER), line)
        if not found or found[0][:3] == owner[:3]:
            return
        present = _owner(found[0])
        if confirm != str(present):
            raise refusals.misnamed(line, present, confirm)
        self._channel.query(
            self._on(ledger_sql.TAKE_OVER), line, *owner, present.cluster, present.namespace, present.name
        )
        self._log("taken_over", level="warning", line=line, before=str(present))

    def _reads(self) -> list[Command]:
        """Return what is asked of the line, in the order in which `_state` takes the answers."""
        order = self._order
        of_line = (
            ledger_sql.OWNER,
            ledger_sql.APPLIED,
            ledger_sql.REPEATED,
            ledger_sql.RAN,
            ledger_sql.UNDONE,
            ledger_sql.DEPENDENTS,
            ledger_sql.JOURNAL,
            ledger_sql.TAIL,
            ledger_sql.BROKEN,
            ledger_sql.BEGUN,
            ledger_sql.ASTRAY,
        )
        token = order.repair.token if order.repair is not None else None
        return [
            *(Command(self._on(sql), (order.line,)) for sql in of_line),
            Command(self._on(ledger_sql.HASH_AT), (order.line, order.known_sequence)),
            Command(self._on(ledger_sql.ORIGIN)),
            Command(self._on(ledger_sql.REPAIRED), (order.line, token)),
        ]

    def _state(self, replies: Sequence[Reply]) -> LedgerState:
        """Return what the answers say, once they are found to be true.

        Raises:
            RunError: LedgerInvalid, LedgerBehind or DatabaseNotEmpty.
        """
        order = self._order
        _, applied, repeated, ran, undone, dependents, journal, tail, broken, begun, astray, *replies = replies
        at_known, meta, repaired = replies
        if broken.rows:
            raise refusals.changed(order.line, broken.rows[0][0])
        sequence, last_hash = (int(tail.rows[0][0] or 0), tail.rows[0][1] or "") if tail.rows else (0, GENESIS)
        mark = LedgerMark(meta.rows[0][0] or "", sequence, last_hash)
        repair = int(repaired.rows[0][0] or 0) if repaired.rows else None
        refusals.check_not_behind(order, mark, at_known.rows[0][0] if at_known.rows else None, repair)
        for canonical, is_past in astray.rows:
            refusals.check_agrees(order, canonical or "", is_past=is_past == "t", is_repaired=repair is not None)
        mine, anybodys = begun.rows[0]
        fresh = mine != "t"
        if fresh and not self.adopts and anybodys != "t" and meta.rows[0][1] == "t":
            # A ledger that was made for an adoption that never was.
            self._check_empty()
        occupied = fresh and self.adopts and bool(self._others())
        found = rows.applied(applied.rows)
        consents = bool(order.policy.approved_plans)
        history = History(
            applied=found,
            repeated=rows.repeated(repeated.rows),
            ran=rows.ran(ran.rows),
            undone=rows.undone(undone.rows),
            dependents=ledger_rows.dependents(dependents.rows),
            partial=rows.partial(journal.rows, found),
            trail=ledger_rows.trail(self._channel.query(self._on(ledger_sql.TRAIL), order.line) if consents else ()),
            fresh=fresh,
            occupied=occupied,
        )
        recent = () if order.known_sequence else self._channel.query(self._on(ledger_sql.RECENT), order.line)
        return LedgerState(mark, history, rows.recent(recent), repair is not None)

    def last_run(self) -> LastRun | None:
        """Return which run entered the line last."""
        found = self._channel.query(self._on(ledger_sql.LAST_RUN), self._order.line)
        if not found:
            return None
        cluster, namespace, name, pod, pid = (value or "" for value in found[0])
        return LastRun((cluster, namespace, name), pod, int(pid or 0))

    def texts(self, checksums: Sequence[str]) -> dict[str, str]:
        """Return those of these texts that are kept.

        Raises:
            RunError: LedgerInvalid, if one of them is not what its checksum says.
        """
        if not checksums:
            return {}
        found = {}
        for name, body in self._channel.query(self._on(ledger_sql.TEXTS), ",".join(checksums)):
            found[str(name)] = entries.unpacked(str(name), bytes.fromhex(body or ""))
        return found


def _owner(row: Row) -> Owner:
    return Owner(*(value or "" for value in row))
