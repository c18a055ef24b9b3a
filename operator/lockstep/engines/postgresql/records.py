"""What is written to the ledger for each step: its entry of the history, and what else changes with it."""

import gzip
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lockstep.engines.base import Action, Identity
from lockstep.engines.postgresql import record_sql
from lockstep.engines.postgresql.channel import Channel, Command, Param
from lockstep.engines.postgresql.ledger import Claim
from lockstep.engines.postgresql.ledger_rows import step_key
from lockstep.engines.postgresql.ledger_tables import on
from lockstep.planning.checksum import ABSENT
from lockstep.planning.plan import Direction
from lockstep.planning.result import LedgerMark
from lockstep.planning.version import Version
from lockstep.planning.wire import OrderedMigration, RepairOrder

_PREPARED = {
    "lockstep_begin": record_sql.BEGIN,
    "lockstep_version": record_sql.RECORD_VERSION,
    "lockstep_down": record_sql.RECORD_DOWN,
    "lockstep_repeatable": record_sql.RECORD_REPEATABLE,
}
"""What comes again and again, and is planned once."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the history to be."""

    mark: LedgerMark
    """With the sequence and the hash of the new row."""
    previous: str
    direction: Direction
    canonical: str | None


def next_entry(before: LedgerMark, claim: Claim, direction: Direction, migration: OrderedMigration) -> Entry:
    """Number the next row and hash it with the one before. Pure; the ledger's SQL checks the same hash."""
    canonical = None if migration.version is None else Version.parse(migration.version).canonical
    sequence = before.sequence + 1
    fields = (
        before.hash,
        claim.line,
        sequence,
        direction.value,
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


def requirements(migration: OrderedMigration) -> str | None:
    """Return what a migration requires of other lines, as the ledger keeps it."""
    if not migration.requires:
        return None
    return json.dumps([[line, Version.parse(version).canonical] for line, version in migration.requires])


class Recorder:
    """Makes the statements that record steps of one run."""

    def __init__(self, channel: Channel, schema: str, claim: Claim, identity: Identity) -> None:
        self._schema = schema
        self._claim = claim
        self._identity = identity
        self._prepared = True
        for name, sql in _PREPARED.items():
            channel.prepare(name, on(schema, sql))

    def unprepare(self) -> bool:
        """Do without plans from now on, since a migration has thrown them away; False: it was so already."""
        was, self._prepared = self._prepared, False
        return was

    def begin(self) -> Command:
        """Return what marks the transaction that was just begun as this run's."""
        claim = self._claim
        return self._command("lockstep_begin", record_sql.BEGIN, (claim.line, claim.epoch, claim.holder))

    def _command(self, name: str, sql: str, params: Sequence[Param]) -> Command:
        return Command(on(self._schema, sql), params, prepared=name.encode() if self._prepared and name else b"")

    def step(self, action: Action, entry: Entry) -> Command:
        """Return the statement that records a step."""
        migration = action.migration
        params = self._history(migration, entry)
        match action.step.direction:
            case Direction.CORRECT:
                return self._command("", record_sql.RECORD_CORRECTION, (*params, migration.irreversible))
            case Direction.DOWN if migration.version is not None:
                return self._command("lockstep_down", record_sql.RECORD_DOWN, params)
            case direction if migration.version is None:
                now = ABSENT if direction is Direction.DOWN else migration.up_checksum
                more = (now, action.step.undone)
                return self._command("lockstep_repeatable", record_sql.RECORD_REPEATABLE, (*params, *more))
        return self._applied(params, migration)

    def _applied(self, params: Sequence[Param], migration: OrderedMigration) -> Command:
        more = (migration.irreversible, requirements(migration))
        return self._command("lockstep_version", record_sql.RECORD_VERSION, (*params, *more))

    def repair(self, repair: RepairOrder, migration: OrderedMigration, entry: Entry) -> list[Command]:
        """Return the statements that do and record a person's act."""
        note = f"{repair.action}: {repair.note}".removesuffix(": ")
        params = self._history(replace(migration, description=note), entry, repair.token)
        if repair.action == "MarkApplied":
            record = self._applied(params, migration)
        elif repair.action == "MarkNotApplied" and entry.canonical is not None:
            record = self._command("", record_sql.RECORD_UNMARK, params)
        else:
            return [self._command("", record_sql.RECORD_ONLY, params)]
        key = step_key(migration.name, entry.canonical)
        return [self._command("", record_sql.FORGET_JOURNAL, (self._claim.line, key)), record]

    def _history(self, migration: OrderedMigration, entry: Entry, repair: str | None = None) -> tuple[Param, ...]:
        claim, who = self._claim, self._identity
        # What Data and Seed put in may be anybody's data: their text is not kept.
        up = _pack(migration.up) if migration.kind == "Schema" else None
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
            _pack(migration.down),
            repair,
        )
