"""The ledger: found or made, guarded, read, and claimed for one run."""

from dataclasses import dataclass
from typing import Final

from lockstep.api.reasons import Reason
from lockstep.engines.base import Identity, LedgerState, Log, RunError
from lockstep.engines.postgresql import ledger_sql
from lockstep.engines.postgresql.channel import Channel, Command, Reply, SqlError
from lockstep.engines.postgresql.ledger_sql import LEDGER_VERSION, on, quote
from lockstep.planning.plan import Applied
from lockstep.planning.version import InvalidVersionError, Version
from lockstep.planning.wire import LedgerMark, Order, Owner

GENESIS: Final = ""
"""What the first row of a line's history is hashed with."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What the fence checks: the run that holds the line."""

    line: str
    epoch: int
    holder: str


def own_error(error: SqlError, schema: str) -> RunError:
    """Return what it means that one of Lockstep's own statements failed."""
    words = f"SQLSTATE {error.sqlstate}: {error.text}"
    match error.sqlstate:
        case "42501":
            return RunError(
                Reason.PERMISSION_DENIED,
                f"the role lacks a right that the ledger needs ({words}): it must be able to create schema {schema!r} "
                "(GRANT CREATE ON DATABASE), or own it",
            )
        case "25006":
            return RunError(Reason.READ_ONLY, f"the database takes no writes ({words})")
        case "55P03" | "40P01":
            return RunError(Reason.LOCK_HELD, f"another session holds a lock on the ledger's tables ({words})")
        case state if state.startswith(("53", "57", "58")):
            return RunError(Reason.UNREACHABLE, f"the server cannot serve now ({words})")
        case state if state.startswith(("42", "22", "23")):
            return RunError(Reason.LEDGER_INVALID, f"schema {schema!r} is not as Lockstep has made it ({words})")
    return RunError(Reason.RUNNER_FAILED, f"the ledger could not be used ({words})")


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
            raise RunError(
                Reason.LEDGER_TOO_NEW,
                f"the ledger has version {version}, this Lockstep knows {LEDGER_VERSION}: a newer Lockstep has been "
                "here; upgrade the operator",
            )
        return int(version) == LEDGER_VERSION

    def _check_not_gone(self) -> None:
        if self._order.known_ledger is not None:
            raise RunError(
                Reason.LEDGER_BEHIND,
                f"the database holds no ledger, but the status has seen one ({self._order.known_ledger}): it was "
                "restored or made anew; restore it, or delete and create the SchemaVersion to begin again",
            )

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
            RunError: if the database already holds something.
        """
        foreign = self._channel.query(ledger_sql.FOREIGN_OBJECTS, self.schema)
        if foreign:
            names = ", ".join(str(row[0]) for row in foreign[:3]) + (", ..." if len(foreign) > 3 else "")
            raise RunError(
                Reason.DATABASE_NOT_EMPTY,
                f"the database holds no ledger but already {names}: Lockstep does not know which migrations it has "
                "seen; use an empty database (adopting one with spec.baseline is not supported yet)",
            )
        for (name,) in self._channel.query(ledger_sql.PUBLISHED):
            self._log("ledger_published", level="warning", publication=name)
        schema = quote(self.schema)
        missing = not self._channel.query(ledger_sql.FIND, self.schema)
        begin = [Command("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")]
        begin += [Command(f"CREATE SCHEMA {schema}")] if missing else []
        begin += [Command(self._on(statement)) for statement in ledger_sql.CREATE]
        begin.append(Command(self._on(ledger_sql.INSERT_META), (LEDGER_VERSION,)))
        try:
            self._channel.run(begin)
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
        self._log("ledger_created", schema=self.schema, version=LEDGER_VERSION)

    def enter(self, identity: Identity, holder: str) -> tuple[Claim, LedgerState]:
        """Claim the line for this run, then read what the ledger says of it.

        First the claim: it waits for a transaction of a run that has lost its lock, so that what is read is final.

        Raises:
            RunError: if the line is another's, or the ledger is behind what the status has seen, or was changed.
        """
        order, owner, line = self._order, identity.owner, self._order.line
        claim = Command(
            self._on(ledger_sql.CLAIM),
            (
                line,
                owner.cluster,
                owner.namespace,
                owner.name,
                owner.uid,
                holder,
                identity.job,
                identity.pod,
                identity.attempt,
            ),
        )
        reads = (ledger_sql.OWNER, ledger_sql.APPLIED, ledger_sql.REPEATED, ledger_sql.TAIL, ledger_sql.BROKEN)
        claimed, owned, applied, repeated, tail, broken, at_known, meta = self._channel.run(
            [
                claim,
                *(Command(self._on(sql), (line,)) for sql in reads),
                Command(self._on(ledger_sql.HASH_AT), (line, order.known_sequence)),
                Command(self._on(ledger_sql.META)),
            ]
        )
        if not claimed.rows:
            raise _foreign(order.line, owned)
        if broken.rows:
            raise RunError(
                Reason.LEDGER_INVALID,
                f"the history of line {order.line!r} was changed at its number {broken.rows[0][0]}: "
                "the chain of its hashes is broken",
            )
        sequence, last_hash = (int(tail.rows[0][0] or 0), tail.rows[0][1] or "") if tail.rows else (0, GENESIS)
        mark = LedgerMark(meta.rows[0][0] or "", sequence, last_hash)
        check_not_behind(order, mark, at_known.rows[0][0] if at_known.rows else None)
        return (
            Claim(line, int(claimed.rows[0][0] or 0), holder),
            LedgerState(mark, _read_applied(applied), {row[0] or "": row[1] or "" for row in repeated.rows}),
        )


def _foreign(line: str, owned: Reply) -> RunError:
    cluster, namespace, name, uid = (value or "" for value in owned.rows[0])
    owner = Owner(cluster, namespace, name, uid)
    return RunError(
        Reason.FOREIGN_OWNER,
        f"line {line!r} of this database belongs to SchemaVersion {owner}: one line has one owner; "
        "give this one another spec.schema or another database",
    )


def _read_applied(reply: Reply) -> tuple[Applied, ...]:
    try:
        return tuple(
            Applied(Version.parse(version or ""), name or "", checksum or "") for version, name, checksum in reply.rows
        )
    except InvalidVersionError as error:
        raise RunError(Reason.LEDGER_INVALID, f"the ledger holds what is no version: {error}") from error


def check_not_behind(order: Order, mark: LedgerMark, hash_at_known: str | None) -> None:
    """See that the ledger still has all that the status has seen of it. Pure.

    Raises:
        RunError: LedgerBehind, for a person to decide: what ran may be gone, and may not.
    """
    what = None
    if order.known_ledger is not None and order.known_ledger != mark.uuid:
        what = f"this is ledger {mark.uuid}, the status has seen {order.known_ledger}: it is another database"
    elif order.known_sequence > mark.sequence:
        what = f"the ledger ends at its number {mark.sequence}, the status has seen {order.known_sequence}"
    elif order.known_sequence and order.known_hash is not None and hash_at_known != order.known_hash:
        what = f"number {order.known_sequence} of the ledger is not the one that the status has seen"
    if what is not None:
        raise RunError(
            Reason.LEDGER_BEHIND,
            f"{what}, or it was restored from an older backup; nothing is run again: restore what is missing, or "
            "delete and create the SchemaVersion to go on from what the database has",
        )
