"""The lock of a run: GET_LOCK on the session that runs the SQL, tried and never waited for.

A server knows its locks by name, whatever the database: the name is a hash of database and line. There is no shared
mode, so the lock of the ledger as a whole is held only while a line's lock is taken, or while the ledger is made.
"""

import hashlib
from contextlib import suppress
from typing import Final

from lockstep.api.reasons import Reason
from lockstep.engines.base import ConnectionLostError, RunError
from lockstep.engines.mysql.channel import Channel, SqlError
from lockstep.engines.mysql.lease import session_of
from lockstep.engines.mysql.session import OWN_LOCKS
from lockstep.engines.portable.ledger import LastRun
from lockstep.planning.wire import Owner

_SESSION: Final = "SELECT USER, HOST, COMMAND, TIME FROM information_schema.PROCESSLIST WHERE ID = %s"


def lock_name(database: str, line: str | None) -> str:
    """Return the name of a line's lock, or of the whole ledger's: at most 64 characters. Pure."""
    words = f"lockstep\n{database}\n{'database' if line is None else f'line {line}'}"
    return f"{OWN_LOCKS}{hashlib.sha256(words.encode()).hexdigest()[:48]}"


class Locks:
    """The locks of one run."""

    def __init__(self, channel: Channel, database: str, line: str, *, cluster: bool = False) -> None:
        self._channel = channel
        self._database = database
        self.line = line
        self._cluster = cluster
        """Whether there are other nodes, which have locks of their own."""
        self._ledger_name = lock_name(database, None)
        self._line_name = lock_name(database, line)

    def _try(self, name: str) -> bool:
        try:
            return self._channel.query("SELECT GET_LOCK(%s, 0)", name) == ((1,),)
        except SqlError:
            if not self._cluster:
                raise
            # Some clusters refuse such locks altogether: the lease is the lock then.
            return True

    def _release(self, name: str) -> None:
        with suppress(SqlError):
            self._channel.query("SELECT RELEASE_LOCK(%s)", name)

    def try_ledger(self) -> bool:
        """Try for the whole ledger alone."""
        return self._try(self._ledger_name)

    def release_ledger(self) -> None:
        """Let go of the ledger."""
        self._release(self._ledger_name)

    def try_line(self) -> bool:
        """Try for the line, while nobody makes or upgrades the ledger."""
        if not self.try_ledger():
            return False
        try:
            return self._try(self._line_name)
        finally:
            self.release_ledger()

    def holder_of(self, line: str) -> int | None:
        """Return the id of another session that holds a line's lock."""
        return self._holder(lock_name(self._database, line))

    def _holder(self, name: str) -> int | None:
        try:
            [(found,)] = self._channel.query("SELECT IS_USED_LOCK(%s)", name)
        except SqlError:
            if not self._cluster:
                raise
            return None
        return None if found is None or int(found) == self._channel.id else int(found)

    def is_mine(self) -> bool:
        """Tell whether this session still holds the line's lock; on a cluster the lease says so."""
        return self._cluster or self._channel.query("SELECT IS_USED_LOCK(%s)", self._line_name) == (
            (self._channel.id,),
        )

    def prove(self, beside: Channel) -> None:
        """See that another session does not get the line's lock; one on another node of a cluster may.

        Raises:
            RunError: PoolerDetected.
        """
        if self._cluster:
            return
        if beside.query("SELECT GET_LOCK(%s, 0)", self._line_name) == ((1,),):
            beside.query("SELECT RELEASE_LOCK(%s)", self._line_name)
            raise RunError(
                Reason.POOLER_DETECTED,
                "a second connection got the lock that this run holds: something in between shares sessions among "
                "clients, or leads them to several servers; name the server itself in the Secret",
            )

    def held(self, last: LastRun | None) -> RunError:
        """Return the error that names who holds the lock."""
        found = self._holder(self._line_name)
        what = f"line {self.line!r}"
        if found is None:
            found, what, last = self._holder(self._ledger_name), "the ledger", None
        if found is None:
            return RunError(Reason.LOCK_HELD, f"the lock of line {self.line!r} was held by a run that has just ended")
        holder = _pod(last, found) or f"connection {found}"
        return RunError(
            Reason.LOCK_HELD,
            f"the lock of {what} is held by {holder} (connection {found}{self._doing(found)})",
            holder=holder,
        )

    def _doing(self, connection: int) -> str:
        try:
            rows = self._channel.query(_SESSION, connection)
        except SqlError:
            return ""
        return f", {rows[0][2]} for {rows[0][3]} s" if rows else ""

    def end_holder(self, pod: str, last: LastRun | None, owner: Owner) -> None:
        """End the session that holds the line's lock: only that pod's, and only if the pod is this owner's.

        Raises:
            RunError: RepairRefused, if it is held by anybody else, or cannot be ended.
        """
        found = self._holder(self._line_name)
        if found is None:
            return
        holder = _pod(last, found)
        if last is None or holder is None or last.owner != owner.key:
            raise RunError(
                Reason.REPAIR_REFUSED,
                f"connection {found}, which holds the lock of line {self.line!r}, is not of one of this "
                "SchemaVersion's runs: nothing was ended",
                holder=holder,
            )
        if holder != pod:
            raise RunError(
                Reason.REPAIR_REFUSED,
                f"the lock of line {self.line!r} is held by {holder}, not by {pod}: nothing was ended",
                holder=holder,
            )
        try:
            self._channel.query(f"KILL CONNECTION {found:d}")
        except (SqlError, ConnectionLostError) as error:
            words = f" ({error.text})" if isinstance(error, SqlError) else ""
            raise RunError(
                Reason.REPAIR_REFUSED, f"connection {found} of {holder} could not be ended{words}", holder=holder
            ) from error


def _pod(last: LastRun | None, connection: int) -> str | None:
    """Return the pod of a connection, if the run that entered the line last is its."""
    return last.pod if last is not None and session_of(last.session) == str(connection) else None
