"""One migration in one transaction: begin, its SQL, then the fence and the record as the last words before COMMIT.

All of it goes out in one send where it is small. What its SQL does to the session (SET, SET ROLE, search_path,
temporary tables) ends with it: the record is written with everything reset, and the next migration starts clean.
"""

import gzip
import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from lockstep.api.reasons import Reason
from lockstep.engines.base import Log, Recorded, RunError, Task
from lockstep.engines.control import Control
from lockstep.engines.postgresql.blockers import Blockers
from lockstep.engines.postgresql.channel import Channel, Command, Reply, SqlError, StoppedError
from lockstep.engines.postgresql.failures import CANCELLED, PASSING, Failure, label
from lockstep.engines.postgresql.ledger import Claim
from lockstep.engines.postgresql.ledger_sql import BEGIN, RECORD_REPEATABLE, RECORD_VERSION, on
from lockstep.engines.postgresql.statements import SqlScript
from lockstep.planning.version import Version
from lockstep.planning.wire import ErrorDetail, LedgerMark, OrderedMigration

TRIES: Final = 6
"""How often one migration is tried when it meets a lock, before the run gives way; a later run tries again."""
FIRST_PAUSE: Final = 0.3
LONGEST_PAUSE: Final = 5.0
GROUP_BYTES: Final = 64 * 1024
"""How much SQL goes out at once: less than a socket takes, so that a frozen runner leaves the server waiting for a
statement, where idle_in_transaction_session_timeout ends it, and not in the middle of one."""
GROUP_STATEMENTS: Final = 500


_NO_SUCH_PLAN: Final = "26000"


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the history to be."""

    mark: LedgerMark
    """With the sequence and the hash of the new row."""
    previous: str
    direction: str
    canonical: str | None


def next_entry(before: LedgerMark, claim: Claim, migration: OrderedMigration) -> Entry:
    """Number the next row and hash it with the one before. Pure; the ledger's SQL checks the same hash."""
    canonical = None if migration.version is None else Version.parse(migration.version).canonical
    direction = "repeat" if canonical is None else "up"
    sequence = before.sequence + 1
    fields = (
        before.hash,
        claim.line,
        sequence,
        direction,
        canonical,
        migration.name,
        migration.up_checksum,
        migration.down_checksum,
        claim.epoch,
        claim.holder,
    )
    words = "\n".join("-" if field is None else str(field) for field in fields)
    digest = hashlib.sha256(words.encode()).hexdigest()
    return Entry(LedgerMark(before.uuid, sequence, digest), before.hash, direction, canonical)


def _pack(text: str | None) -> bytes | None:
    return None if text is None else gzip.compress(text.encode(), compresslevel=6, mtime=0)


class Applier:
    """Applies migrations on one session."""

    def __init__(
        self,
        channel: Channel,
        claim: Claim,
        mark: LedgerMark,
        *,
        task: Task,
        settings: Sequence[Command],
        control: Control,
        blockers: Blockers,
        log: Log,
    ) -> None:
        self._channel = channel
        self._claim = claim
        self.mark = mark
        self._identity = task.identity
        self._limits = task.order.limits
        schema = task.order.database.ledger_schema
        self._record_version = on(schema, RECORD_VERSION)
        self._record_repeatable = on(schema, RECORD_REPEATABLE)
        self._control = control
        self._blockers = blockers
        self._log = log
        self._begin = (
            # Our settings are as the epilogue of the one before has left them: names are safe here.
            Command("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"),
            Command(on(schema, BEGIN), (claim.line, claim.epoch, claim.holder), prepared=b"lockstep_begin"),
            Command("RESET search_path"),
            Command("DISCARD TEMP"),
        )
        self._reset = (
            # What is deferred fails here, with the migration's own rights, and not in the commit.
            Command("SET CONSTRAINTS ALL IMMEDIATE"),
            Command("RESET SESSION AUTHORIZATION"),
            Command("RESET ROLE"),
            Command("RESET ALL"),
            *settings,
        )

        self._prepared = True
        channel.prepare("lockstep_begin", on(schema, BEGIN))
        channel.prepare("lockstep_version", self._record_version)
        channel.prepare("lockstep_repeatable", self._record_repeatable)

    def apply(self, migration: OrderedMigration, script: SqlScript, waiting: Callable[[str], None]) -> Recorded:
        """Run one migration and record it, trying again for a while when it meets a lock.

        Raises:
            RunError: if it failed; nothing of it is left.
            ConnectionLostError: if it is not known whether it is there.
        """
        pause = FIRST_PAUSE
        gave_up: RunError | None = None
        blockers = ""
        for attempt in range(1, TRIES + 1):
            try:
                return self._try(migration, script)
            except _PassingError as passing:
                # A look at them may have come too late this time.
                blockers = self._blockers.words() or blockers
                gave_up = _gave_up(passing.failure, attempt, blockers)
                if attempt == TRIES:
                    raise gave_up from passing
                self._log("retry", version=migration.version, attempt=attempt, sqlstate=passing.failure.error.sqlstate)
                waiting(f"{passing.failure.error.primary}{blockers}")
                self._control.pause(pause * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
                pause = min(LONGEST_PAUSE, pause * 2)
            except RunError as stopped:
                # What it waited for until its deadline says more than the deadline.
                if gave_up is not None and stopped.reason is Reason.DEADLINE_EXCEEDED:
                    raise gave_up from stopped
                raise
        raise AssertionError  # pragma: no cover - the last try has raised

    def _try(self, migration: OrderedMigration, script: SqlScript) -> Recorded:
        entry = next_entry(self.mark, self._claim, migration)
        lock_timeout = migration.lock_timeout_ms or self._limits.lock_timeout_ms
        statement_timeout = self._statement_timeout()
        begin = [*self._plain(self._begin), *self._time_limits(lock_timeout, statement_timeout)]
        end = [*self._reset, *self._plain([self._record(migration, entry)]), Command("COMMIT")]
        done = -len(begin)
        self._blockers.forget()
        try:
            for group in _groups(script, begin, end):
                replies = self._run(group, lock_timeout)
                done += len(group)
        except SqlError as error:
            self._channel.run([Command("ROLLBACK")], stoppable=False)
            if error.sqlstate == _NO_SUCH_PLAN and self._prepared:
                # Its SQL has thrown all plans away (DEALLOCATE ALL): from now on do without.
                self._prepared = False
                return self._try(migration, script)
            # An error in the frame counts from the migration's own first statement.
            raise self._explain(Failure(error, migration, script, done + error.index), statement_timeout) from error
        except StoppedError:
            self._channel.run([Command("ROLLBACK")], stoppable=False)
            raise self.stopped(migration) from None
        if replies[-1].tag != "COMMIT":
            raise RunError(
                Reason.STATEMENT_REFUSED,
                f"{label(migration)}: the server rolled back instead of committing: its SQL has ended the transaction",
                error=ErrorDetail(migration.version),
            )
        self.mark = entry.mark
        return Recorded(entry.mark, replies[-2].rows[0][0] or "")

    def _plain(self, commands: Sequence[Command]) -> Sequence[Command]:
        return commands if self._prepared else [replace(command, prepared=b"") for command in commands]

    def _run(self, group: list[Command], lock_timeout: int) -> list[Reply]:
        # A look at who blocks is only possible while it blocks.
        tick = min(1.0, lock_timeout / 2000) if lock_timeout else 1.0
        return self._channel.run(group, tick=tick, on_tick=self._blockers.look)

    def _statement_timeout(self) -> int:
        left = max(1, int(self._control.remaining() * 1000))
        wanted = self._limits.statement_timeout_ms
        return left if not wanted else min(wanted, left)

    def _time_limits(self, lock_timeout: int, statement_timeout: int) -> list[Command]:
        limits = {"lock_timeout": lock_timeout, "statement_timeout": statement_timeout}
        if self._channel.server_version >= 170000:
            # For a runner that is frozen in the middle of a send.
            limits["transaction_timeout"] = int(self._control.remaining() * 1000) + 2000
        return [Command(f"SET {name} = {value}") for name, value in limits.items()]

    def _record(self, migration: OrderedMigration, entry: Entry) -> Command:
        claim, who = self._claim, self._identity
        # What Data and Seed put in may be anybody's data: their text is not kept.
        up = _pack(migration.up) if migration.kind == "Schema" else None
        params = (
            claim.line,
            claim.epoch,
            claim.holder,
            entry.mark.sequence,
            entry.direction,
            migration.version,
            entry.canonical,
            migration.name,
            migration.description,
            migration.kind,
            migration.up_checksum,
            migration.down_checksum,
            who.job,
            who.pod,
            entry.previous,
            entry.mark.hash,
            up,
            _pack(migration.down),
        )
        if entry.canonical is None:
            return Command(self._record_repeatable, params, prepared=b"lockstep_repeatable")
        return Command(self._record_version, (*params, migration.irreversible), prepared=b"lockstep_version")

    def _explain(self, failure: Failure, statement_timeout: int) -> Exception:
        state = failure.error.sqlstate
        if state in PASSING:
            return _PassingError(failure)
        if state == CANCELLED and self._control.remaining() <= 0.05:
            return self.stopped(failure.migration)
        timed_out = statement_timeout if statement_timeout == self._limits.statement_timeout_ms else None
        return failure.explain(self._claim.line, timed_out)

    def stopped(self, migration: OrderedMigration) -> RunError:
        """Return why the run ends before its plan does."""
        reason = self._control.stop or Reason.DEADLINE_EXCEEDED
        if reason is Reason.INTERRUPTED:
            text = f"the run was asked to stop at {label(migration)}; nothing of that migration is left"
        else:
            text = (
                f"the run's deadline ({self._limits.deadline_ms} ms) came in {label(migration)}; "
                "nothing of that migration is left"
            )
        return RunError(reason, text, error=ErrorDetail(migration.version))


def _gave_up(failure: Failure, attempts: int, blockers: str) -> RunError:
    return RunError(
        Reason.LOCK_TIMEOUT,
        f"{failure.place}: tried {attempts} time(s), SQLSTATE {failure.error.sqlstate}: {failure.error.primary}"
        f"{blockers}",
        error=failure.detail,
    )


class _PassingError(Exception):
    """A lock, a deadlock or a serialization failure: the next try may pass."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.error.sqlstate)
        self.failure = failure


def _groups(script: SqlScript, begin: list[Command], end: list[Command]) -> Iterator[list[Command]]:
    """Cut a migration into what goes out at once."""
    group = list(begin)
    size = 0
    for part in script.parts:
        sql = script.sql(part)
        if size and (size + len(sql) > GROUP_BYTES or len(group) >= GROUP_STATEMENTS):
            yield group
            group, size = [], 0
        group.append(Command(sql, keep=False))
        size += len(sql)
    yield [*group, *end]
