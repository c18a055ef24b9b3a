"""What an entry of the history is made of, and what proves that nobody has changed one. Pure.

The chain of hashes is the same in every database: what PostgreSQL checks in SQL is checked here.
"""

import gzip
import hashlib
import json
import zlib
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from lockstep.api.reasons import Reason
from lockstep.engines.base import RunError
from lockstep.planning.checksum import checksum
from lockstep.planning.plan import Direction
from lockstep.planning.result import LedgerMark
from lockstep.planning.version import InvalidVersionError, Version
from lockstep.planning.wire import OrderedMigration

GENESIS: Final = ""
"""What the first row of a line's history is hashed with."""


class Claim(Struct, frozen=True):
    """What the fence checks: the run that holds the line."""

    line: str
    epoch: int
    holder: str


class Entry(Struct, frozen=True):
    """One row of the history to be."""

    mark: LedgerMark
    """With the sequence and the hash of the new row."""
    previous: str
    direction: Direction
    canonical: str | None

    @property
    def before(self) -> LedgerMark:
        """The entry that it comes behind; number 0: none."""
        return LedgerMark(self.mark.uuid, self.mark.sequence - 1, self.previous)


def next_entry(before: LedgerMark, claim: Claim, direction: Direction, migration: OrderedMigration) -> Entry:
    """Number the next row and hash it with the one before."""
    canonical = canonical_of(migration)
    sequence = before.sequence + 1
    digest = chained(
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
    return Entry(LedgerMark(before.uuid, sequence, digest), before.hash, direction, canonical)


def chained(*fields: str | int | None) -> str:
    """Return the hash of a row's fields, the hash of the row before it first; None counts as `-`."""
    words = "\n".join("-" if field is None else str(field) for field in fields)
    return hashlib.sha256(words.encode()).hexdigest()


class Past(Struct, frozen=True):
    """One row of a line's history, as far as its hash is taken of it."""

    sequence: int
    direction: str
    canonical: str | None
    name: str
    up_checksum: str
    down_checksum: str | None
    epoch: int
    holder: str
    previous: str
    hash: str


def has_begun(direction: str, canonical: str | None) -> bool:
    """Tell whether an entry is of a line's own: what persons did to a line before its first step does not count."""
    return direction != Direction.REPAIR.value or canonical is not None


def version_of(text: str) -> Version:
    """Read a version of the ledger.

    Raises:
        RunError: LedgerInvalid.
    """
    try:
        return Version.parse(text)
    except InvalidVersionError as error:
        raise RunError(Reason.LEDGER_INVALID, f"the ledger holds what is no version: {error}") from error


def broken_at(line: str, rows: Sequence[Past]) -> int | None:
    """Return the number of the first row that is missing, was changed, or does not follow from the one before."""
    before = GENESIS
    for expected, row in enumerate(rows, start=1):
        digest = chained(
            row.previous,
            line,
            row.sequence,
            row.direction,
            row.canonical,
            row.name,
            row.up_checksum,
            row.down_checksum,
            row.epoch,
            row.holder,
        )
        if (row.sequence, row.previous, row.hash) != (expected, before, digest):
            return row.sequence
        before = row.hash
    return None


def canonical_of(migration: OrderedMigration) -> str | None:
    """Return a migration's canonical version; None for a repeatable one."""
    return None if migration.version is None else Version.parse(migration.version).canonical


def requirements(migration: OrderedMigration) -> str | None:
    """Return what a migration requires of other lines, as the ledger keeps it."""
    if not migration.requires:
        return None
    return json.dumps([[line, Version.parse(version).canonical] for line, version in migration.requires])


def packed(text: str | None) -> bytes | None:
    """Return a text as the ledger keeps it: gzipped, with tables no larger than it asks for.

    Those for 32 KiB, which zlib makes and clears first, take ten times as long as a short text itself.
    """
    if text is None:
        return None
    body = text.encode()
    bits = min(15, max(10, len(body).bit_length() + 1))
    packer = zlib.compressobj(6, zlib.DEFLATED, 16 + bits, bits - 7)
    return packer.compress(body) + packer.flush()


def unpacked(name: str, body: bytes) -> str:
    """Return a text that the ledger has kept.

    Raises:
        RunError: LedgerInvalid, if it is not what its checksum says.
    """
    try:
        text = gzip.decompress(body).decode()
    except (OSError, EOFError, ValueError):
        text = None
    if text is None or checksum(text) != name:
        raise RunError(Reason.LEDGER_INVALID, f"the ledger's text {name[:12]} was changed")
    return text
