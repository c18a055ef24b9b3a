"""What is written to the ledger for each step: its entry of the history, and what else changes with it."""

from collections.abc import Sequence

from msgspec.structs import replace

from lockstep.engines.base import Action, Identity
from lockstep.engines.entries import Claim, Entry, packed, requirements
from lockstep.engines.postgresql import journal_sql, record_sql
from lockstep.engines.postgresql.channel import Channel
from lockstep.engines.postgresql.ledger_tables import on
from lockstep.engines.postgresql.messages import Command, Param
from lockstep.engines.rows import step_key
from lockstep.planning.checksum import ABSENT
from lockstep.planning.plan import Direction
from lockstep.planning.result import LedgerMark
from lockstep.planning.wire import OrderedMigration, RepairOrder

_PREPARED = {
    "lockstep_begin": record_sql.BEGIN,
    "lockstep_version": record_sql.RECORD_VERSION,
    "lockstep_down": record_sql.RECORD_DOWN,
    "lockstep_repeatable": record_sql.RECORD_REPEATABLE,
}
"""What comes again and again, and is planned once."""


_SETTLED = {
    "StatementApplied": journal_sql.STATEMENT_APPLIED,
    "StatementNotApplied": journal_sql.STATEMENT_NOT_APPLIED,
}
"""What a person's look does to the statement that was in doubt."""


def journal_key(action: Action) -> str:
    """Return by what the journal knows a step's migration."""
    version = action.step.candidate.version
    return step_key(action.migration.name, None if version is None else version.canonical)


class Recorder:
    """Makes the statements that record steps of one run."""

    def __init__(self, channel: Channel, schema: str, claim: Claim, identity: Identity) -> None:
        self._schema = schema
        self._claim = claim
        self._identity = identity
        self._prepared = True
        for name, sql in _PREPARED.items():
            channel.prepare(name, on(schema, sql))

    @property
    def line(self) -> str:
        """The line that the run has claimed."""
        return self._claim.line

    def unprepare(self) -> bool:
        """Do without plans from now on, since a migration has thrown them away; False: it was so already."""
        was, self._prepared = self._prepared, False
        return was

    def begin(self, before: LedgerMark) -> Command:
        """Return what marks the transaction that was just begun as this run's.

        It fails if the line is another's, or the history does not have the entry that this one comes behind.
        """
        claim = self._claim
        params = (claim.line, claim.epoch, claim.holder, before.sequence, before.hash)
        return self._command("lockstep_begin", record_sql.BEGIN, params)

    def _command(self, name: str, sql: str, params: Sequence[Param]) -> Command:
        return Command(on(self._schema, sql), params, prepared=name.encode() if self._prepared and name else b"")

    def begin_unplanned(self, before: LedgerMark) -> Command:
        """Return the same where the session's plans may have been thrown away."""
        return replace(self.begin(before), prepared=b"")

    def journal_rows(self) -> Command:
        """Return the question for all that the journal has of the line."""
        return self._command("", journal_sql.ROWS, (self._claim.line,))

    def journal(self, action: Action, number: int, digest: str, state: str, note: str | None) -> Command:
        """Return the statement that writes what became of one statement of a migration, numbered from 1."""
        claim, migration = self._claim, action.migration
        is_down = action.step.direction is Direction.DOWN
        text = migration.down_checksum if is_down else migration.up_checksum
        row = (journal_key(action), action.step.direction.value, number, text or ABSENT, digest, state, note)
        return self._command("", journal_sql.WRITE, (claim.line, claim.epoch, claim.holder, *row))

    def forget(self, action: Action) -> Command:
        """Return the statement that takes a migration's rows out of the journal, whichever way they led."""
        return self._command("", record_sql.FORGET_JOURNAL, (self._claim.line, journal_key(action)))

    def unplanned(self, action: Action, entry: Entry) -> Command:
        """Return what `step` returns where the session's plans may have been thrown away."""
        return replace(self.step(action, entry), prepared=b"")

    def step(self, action: Action, entry: Entry, *, waits: bool = True) -> Command:
        """Return the statement that records a step.

        Args:
            action: the step.
            entry: of the history.
            waits: whether the COMMIT behind it waits for the disk however short the step was.
        """
        migration = action.migration
        params = self._history(migration, entry, waits=waits)
        match action.step.direction:
            case Direction.CORRECT:
                return self._command("", record_sql.RECORD_CORRECTION, (*params, migration.irreversible))
            case Direction.DOWN if migration.version is not None:
                return self._command("lockstep_down", record_sql.RECORD_DOWN, params)
            case direction if migration.version is None:
                now = ABSENT if direction is Direction.DOWN else migration.up_checksum
                more = (now, action.step.undone)
                return self._command("lockstep_repeatable", record_sql.RECORD_REPEATABLE, (*params, *more))
        applied = (*params, migration.irreversible, requirements(migration))
        return self._command("lockstep_version", record_sql.RECORD_VERSION, applied)

    def repair(self, repair: RepairOrder, migration: OrderedMigration, entry: Entry) -> list[Command]:
        """Return the statements that do and record a person's act."""
        note = f"{repair.action}: {repair.note}".removesuffix(": ")
        params = self._history(replace(migration, description=note), entry, repair.token)
        if repair.action == "MarkApplied":
            marked = (*params, migration.irreversible, requirements(migration))
            record = self._command("", record_sql.RECORD_MARK, marked)
        elif repair.action == "MarkNotApplied" and entry.canonical is not None:
            record = self._command("", record_sql.RECORD_UNMARK, params)
        else:
            record = self._command("", record_sql.RECORD_ONLY, params)
            settle = _SETTLED.get(repair.action)
            key = step_key(migration.name, entry.canonical)
            return [record] if settle is None else [self._command("", settle, (self._claim.line, key)), record]
        key = step_key(migration.name, entry.canonical)
        return [self._command("", record_sql.FORGET_JOURNAL, (self._claim.line, key)), record]

    def _history(
        self, migration: OrderedMigration, entry: Entry, repair: str | None = None, *, waits: bool = True
    ) -> tuple[Param, ...]:
        claim, who = self._claim, self._identity
        # What Data and Seed put in may be anybody's data: their text is not kept.
        up = packed(migration.up) if migration.kind == "Schema" else None
        return (
            claim.line,
            claim.epoch,
            claim.holder,
            entry.mark.sequence,
            entry.direction.value,
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
            packed(migration.down),
            repair,
            waits,
        )
