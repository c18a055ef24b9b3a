"""The lease of a line, on a cluster whose nodes have locks of their own: Galera grants one GET_LOCK on each node.

The run's row carries until when it holds, by the database's clock; a thread renews it from a second connection. It
lasts longer than the server keeps a session that says nothing: a run that is frozen loses its session first, and only
then may another begin. What commits is fenced by the epoch all the same.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from lockstep.api.reasons import Reason
from lockstep.engines.base import ConnectionLostError, RunError
from lockstep.engines.entries import Claim
from lockstep.engines.mysql.channel import Channel, SqlError
from lockstep.engines.mysql.session import IDLE_SECONDS, quote
from lockstep.engines.portable.ledger import LastRun
from lockstep.engines.portable.tables import PREFIX

LEASE_SECONDS: Final = 2 * IDLE_SECONDS
RENEW_SECONDS: Final = LEASE_SECONDS / 6
_UNTIL: Final = " until "
_CLOCK: Final = (
    "CONCAT(LEFT(DATE_FORMAT(UTC_TIMESTAMP(3) + INTERVAL {} SECOND, '%%Y-%%m-%%dT%%H:%%i:%%s.%%f'), 23), 'Z')"
)


def session_of(text: str | None) -> str:
    """Return the connection that a run's row names. Pure."""
    return (text or "").partition(_UNTIL)[0]


def until_of(text: str | None) -> str:
    """Return until when a run's row holds its line; empty: it names no lease. Pure."""
    return (text or "").partition(_UNTIL)[2]


class Lease:
    """The lease of one run, from its claim to its end."""

    def __init__(self, database: str, connection: int, beside: Callable[[], Channel], lost: Callable[[], None]) -> None:
        self._run = f"{quote(database)}.{quote(PREFIX + 'run')}"
        self._connection = connection
        self._beside = beside
        self._lost = lost
        self._claim: Claim | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    def words(self, channel: Channel) -> str:
        """Return what the run's row shall say: its connection, and until when it holds."""
        [(until,)] = channel.query(f"SELECT {_CLOCK.format('%s')}", LEASE_SECONDS)
        return f"{self._connection}{_UNTIL}{until}"

    def check(self, channel: Channel, last: LastRun | None, line: str) -> None:
        """See that no run holds the line on another node.

        Raises:
            RunError: LockHeld.
        """
        if last is None or not (until := until_of(last.session)):
            return
        [(now,)] = channel.query(f"SELECT {_CLOCK.format('%s')}", 0)
        if str(now) < until:
            raise RunError(
                Reason.LOCK_HELD,
                f"the lock of line {line!r} is held by {last.pod} (connection {session_of(last.session)} of another "
                f"node, by a lease until {until}, unless it is renewed)",
                holder=last.pod,
            )

    def hold(self, claim: Claim) -> None:
        """Begin to renew."""
        self._claim = claim
        self._thread.start()

    def close(self) -> None:
        """End the lease, so that the next run need not wait for it."""
        if self._claim is None:
            return
        self._ended.set()
        self._thread.join()
        with suppress(RunError, SqlError, ConnectionLostError):
            self._set(str(self._connection))

    def _renew(self) -> None:
        renewed = time.monotonic()
        while not self._ended.wait(RENEW_SECONDS):
            with suppress(RunError, SqlError, ConnectionLostError):
                if not self._set(None):
                    break
                renewed = time.monotonic()
            if time.monotonic() - renewed > LEASE_SECONDS - IDLE_SECONDS:
                break
        if not self._ended.is_set():
            # It is another's, or may soon be.
            self._lost()

    def _set(self, session: str | None) -> bool:
        """Write the row, if it is still this run's; return whether it is."""
        claim = self._claim
        assert claim is not None  # noqa: S101 - `hold` comes first
        channel = self._beside()
        try:
            words = self.words(channel) if session is None else session
            mine = (claim.line, claim.epoch, claim.holder)
            where = "line = %s AND epoch = %s AND holder = %s"
            channel.query(f"UPDATE {self._run} SET session = %s WHERE {where}", words, *mine)  # noqa: S608 - a quoted name
            return bool(channel.query(f"SELECT 1 FROM {self._run} WHERE {where}", *mine))  # noqa: S608 - a quoted name
        finally:
            channel.close()
