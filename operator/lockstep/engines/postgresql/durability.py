"""When the commit of a step waits for the disk.

All commits are one stream, the server's log: a crash takes the last steps with their records, or nothing, and whoever
commits on top of them takes them to the disk first. So a short step need not wait. Waiting are long ones and one each
second; and before a run says what it has done, all of it is made sure. Source: "Asynchronous Commit" in PostgreSQL's
documentation.
"""

import time
from typing import Final

from lockstep.engines.entries import Claim
from lockstep.engines.postgresql.channel import Channel
from lockstep.engines.postgresql.ledger_tables import on
from lockstep.engines.postgresql.messages import Reply
from lockstep.engines.postgresql.record_sql import HARDEN

SECONDS: Final = 1.0
"""Of this much work at most a crash of the server may take the end, before it is done once more."""


class Durability:
    """What one run has committed without waiting for the disk."""

    def __init__(self, channel: Channel, schema: str, claim: Claim) -> None:
        self._channel = channel
        self._sql = on(schema, HARDEN)
        self._claim = claim
        # The claim's own commit has waited.
        self._safe_at = time.monotonic()
        self._is_loose = False

    @property
    def waits(self) -> bool:
        """Whether the next step waits for the disk: long steps always do, as the server sees."""
        return time.monotonic() - self._safe_at >= SECONDS

    def committed(self, record: Reply) -> bool:
        """Note a commit by what its record has answered; tell whether it, and all before it, is on the disk."""
        [(_, loosened)] = record.rows
        self._is_loose = loosened is not None
        if not self._is_loose:
            self._safe_at = time.monotonic()
        return not self._is_loose

    def harden(self) -> None:
        """Wait until all that was committed is on the disk.

        A run that was overtaken has nothing to wait for: the other's claim has waited.

        Raises:
            SqlError: if the server refused.
            StoppedError: if the run must stop.
            ConnectionLostError: if the connection is gone: the ledger says what is there.
        """
        if self._is_loose:
            self._channel.query(self._sql, self._claim.line, self._claim.epoch, self._claim.holder)
            self._is_loose, self._safe_at = False, time.monotonic()
