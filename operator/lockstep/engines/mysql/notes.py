"""Notes in the journal, each of one statement that is a transaction of its own and has the fence in it.

What commits by itself is noted before it runs and after it has ended. The end of one and the beginning of the next are
one statement: nothing runs in between, so that still at most one is in doubt.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from lockstep.engines.entries import Claim
from lockstep.engines.mysql.channel import Channel
from lockstep.engines.mysql.session import quote
from lockstep.engines.mysql.store import MysqlStore
from lockstep.engines.portable.journal import FINISHED, STARTED, UNKNOWN
from lockstep.engines.portable.tables import PREFIX

# The run's row stays locked until the commit, so that no other run begins in between. Only one that is marked as that
# of a run which has committed is met: the fence marks it.
_WRITE: Final = """
INSERT INTO {journal} (line, step, direction, statement, checksum, digest, state, note, epoch, started, finished)
SELECT r.line, %s, %s, n.number, %s, n.hashed, n.now, n.words, r.epoch, {clock}, n.ended
FROM {run} AS r, ({rows}) AS n
WHERE r.line = %s AND r.epoch = %s AND r.holder = %s AND r.dirty = 1 FOR UPDATE
ON DUPLICATE KEY UPDATE checksum = %s, digest = n.hashed, state = n.now, note = n.words, epoch = r.epoch,
  started = IF(n.ended IS NULL, {clock}, {journal}.started), finished = n.ended
"""
_ROW: Final = "SELECT %s AS number, %s AS hashed, %s AS now, %s AS words, {ended} AS ended"


class Note(Struct, frozen=True):
    """What is said of one statement."""

    statement: int
    """From 1."""
    digest: str
    """Of the statement's text."""
    state: str
    words: str | None = None
    """What shall be known to tell whether it took effect; of one in doubt, why nobody can tell."""


def started(statement: int, digest: str, words: str | None) -> Note:
    """Say that a statement is about to run, also where it ran before without an end. Pure."""
    return Note(statement, digest, STARTED, words)


def finished(statement: int, digest: str) -> Note:
    """Say that a statement has ended well. Pure."""
    return Note(statement, digest, FINISHED)


def doubted(statement: int, digest: str, why: str) -> Note:
    """Say that nobody can tell whether a statement took effect. Pure."""
    return Note(statement, digest, UNKNOWN, why)


class Notes:
    """Writes notes for one run."""

    def __init__(self, channel: Channel, schema: str, claim: Claim) -> None:
        self._channel = channel
        self._claim = claim
        own = f"{quote(schema)}.{PREFIX}".replace("%", "%%")
        self._clock = MysqlStore.CLOCK.replace("%", "%%")
        self._form = _WRITE.format(journal=f"{own}journal", run=f"{own}run", clock=self._clock, rows="{rows}")

    def write(self, step: str, direction: str, checksum: str, notes: Sequence[Note]) -> bool:
        """Write notes of a step's statements, all of them or none; outside of a transaction they are committed.

        False: nothing was written, since this run no longer holds the line, or is not marked as one that has committed.

        Raises:
            SqlError: if they could not be written.
            ConnectionLostError: if it is not known whether they are there.
        """
        rows = " UNION ALL ".join(
            _ROW.format(ended=self._clock if note.state == FINISHED else "NULL") for note in notes
        )
        claim = self._claim
        values = (value for note in notes for value in _values(note))
        mine = (claim.line, claim.epoch, claim.holder)
        sql = self._form.replace("{rows}", rows)
        return self._channel.change(sql, step, direction, checksum, *values, *mine, checksum) > 0


def _values(note: Note) -> Iterator[object]:
    yield from (note.statement, note.digest, note.state, note.words)
