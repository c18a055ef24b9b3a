"""The lock of a run: session-level advisory locks, tried and never waited for.

A blocked pg_advisory_lock() would hold a snapshot, and a CREATE INDEX CONCURRENTLY of another session would wait
for it. Both locks end with the session, whatever becomes of the pod.
"""

import hashlib
from typing import Final

from msgspec import Struct

from lockstep.api.reasons import Reason
from lockstep.engines.base import RunError
from lockstep.engines.postgresql.channel import Channel
from lockstep.engines.postgresql.messages import SqlError
from lockstep.planning.wire import Owner

_HOLDER: Final = """
SELECT l.pid, a.application_name,
       pg_catalog.to_char(pg_catalog.timezone('UTC'::pg_catalog.text, a.backend_start),
                          'YYYY-MM-DD"T"HH24:MI:SS"Z"'::pg_catalog.text)
FROM pg_catalog.pg_locks AS l LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.pid <> pg_catalog.pg_backend_pid()
  AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())
  AND l.classid = $1::pg_catalog.int8::pg_catalog.oid AND l.objid = $2::pg_catalog.int8::pg_catalog.oid
LIMIT 1
"""

_OF_OTHERS: Final = """
WITH held AS MATERIALIZED (
    SELECT l.mode = 'ExclusiveLock' AS alone, l.objsubid = 1 AS is_one, l.classid::pg_catalog.int8 << 32 AS high,
           l.objid::pg_catalog.int8 AS low
    FROM pg_catalog.pg_locks AS l
    WHERE l.locktype = 'advisory' AND l.granted AND l.pid = pg_catalog.pg_backend_pid()
), other AS MATERIALIZED (
    SELECT h.alone, h.is_one, h.high | h.low AS key, (h.high >> 32)::pg_catalog.int4 AS first,
           (h.low << 32 >> 32)::pg_catalog.int4 AS second
    FROM held AS h
    WHERE NOT (h.is_one AND h.high | h.low IN ($1::pg_catalog.int8, $2::pg_catalog.int8))
)
SELECT CASE WHEN o.is_one AND o.alone THEN pg_catalog.pg_advisory_unlock(o.key)
            WHEN o.is_one THEN pg_catalog.pg_advisory_unlock_shared(o.key)
            WHEN o.alone THEN pg_catalog.pg_advisory_unlock(o.first, o.second)
            ELSE pg_catalog.pg_advisory_unlock_shared(o.first, o.second) END
FROM other AS o
"""


def lock_key(schema: str, line: str | None) -> int:
    """Return the key of a line's lock, or of the whole ledger's: 64 bits of a hash, as PostgreSQL's bigint."""
    words = f"lockstep\n{schema}\n{'database' if line is None else f'line {line}'}"
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:8], "big", signed=True)


def release_others(channel: Channel, schema: str, line: str) -> None:
    """Let go of the session's advisory locks that are not this run's own."""
    # Each as often as it was taken: a round unlocks it once.
    while any(unlocked == "t" for (unlocked,) in channel.query(_OF_OTHERS, *_keys(schema, line))):
        pass


def _keys(schema: str, line: str) -> tuple[int, int]:
    return lock_key(schema, None), lock_key(schema, line)


def pod_of(application_name: str | None, pid: str) -> str:
    """Return the name by which people know a holder."""
    if application_name and application_name.startswith("lockstep "):
        return application_name.removeprefix("lockstep ")
    return application_name or f"process {pid}"


class LastRun(Struct, frozen=True):
    """The run that entered the line last, as the ledger has it."""

    owner: tuple[str, str, str]
    """Cluster, namespace and name."""
    pod: str
    pid: int


class Locks:
    """The two locks of one run."""

    def __init__(self, channel: Channel, schema: str, line: str) -> None:
        self._channel = channel
        self.line = line
        self.database_key, self.line_key = _keys(schema, line)

    def _call(self, function: str, key: int) -> bool:
        return self._channel.query(f"SELECT pg_catalog.{function}($1::pg_catalog.int8)", key) == (("t",),)

    def try_exclusive(self) -> bool:
        """Try for the whole ledger alone: to make it, or to bring it up to date."""
        return self._call("pg_try_advisory_lock", self.database_key)

    def release_exclusive(self) -> None:
        """Let go of the ledger."""
        self._call("pg_advisory_unlock", self.database_key)

    def try_line(self) -> bool:
        """Try for a share of the ledger and the line alone: both or none."""
        if not self._call("pg_try_advisory_lock_shared", self.database_key):
            return False
        if self._call("pg_try_advisory_lock", self.line_key):
            return True
        self._call("pg_advisory_unlock_shared", self.database_key)
        return False

    def prove(self, beside: Channel) -> None:
        """See that another session does not get the line's lock.

        Raises:
            RunError: PoolerDetected.
        """
        if beside.query("SELECT pg_catalog.pg_try_advisory_lock($1::pg_catalog.int8)", self.line_key) == (("t",),):
            # Not to leave it behind in a session that somebody else gets next.
            beside.query("SELECT pg_catalog.pg_advisory_unlock($1::pg_catalog.int8)", self.line_key)
            raise RunError(
                Reason.POOLER_DETECTED,
                "a second connection got the lock that this run holds: something in between shares sessions among "
                "clients; name the server itself in the Secret",
            )

    def held(self) -> RunError:
        """Return the error that names who holds the lock."""
        found = self._holder(self.line_key)
        what = f"line {self.line!r}"
        if found is None:
            found, what = self._holder(self.database_key), "the ledger"
        if found is None:
            return RunError(Reason.LOCK_HELD, f"the lock of line {self.line!r} was held by a run that has just ended")
        holder, pid, since = found
        return RunError(
            Reason.LOCK_HELD,
            f"the lock of {what} is held by {holder} (backend {pid}, connected since {since or 'an unknown time'})",
            holder=holder,
        )

    def end_holder(self, pod: str, last: LastRun | None, owner: Owner) -> None:
        """End the session that holds the line's lock: only that pod's, and only if the pod is this owner's.

        Raises:
            RunError: RepairRefused, if it is held by anybody else, or cannot be ended.
        """
        found = self._holder(self.line_key)
        if found is None:
            return
        holder, pid, _ = found
        if holder != pod:
            raise RunError(
                Reason.REPAIR_REFUSED,
                f"the lock of line {self.line!r} is held by {holder}, not by {pod}: nothing was ended",
                holder=holder,
            )
        mine = last is not None and last.owner == owner.key and (last.pod, str(last.pid)) == (holder, pid)
        if not mine:
            raise RunError(
                Reason.REPAIR_REFUSED,
                f"the session of {holder} (backend {pid}) is not one of this SchemaVersion's runs: nothing was ended",
                holder=holder,
            )
        try:
            ended = self._channel.query("SELECT pg_catalog.pg_terminate_backend($1::pg_catalog.int4)", pid)
        except SqlError as error:
            raise RunError(
                Reason.REPAIR_REFUSED,
                f"backend {pid} of {holder} could not be ended (SQLSTATE {error.sqlstate}: {error.primary})",
                holder=holder,
            ) from error
        if ended != (("t",),):
            raise RunError(Reason.REPAIR_REFUSED, f"backend {pid} of {holder} could not be ended", holder=holder)

    def _holder(self, key: int) -> tuple[str, str, str | None] | None:
        unsigned = key & (2**64 - 1)
        try:
            rows = self._channel.query(_HOLDER, unsigned >> 32, unsigned & (2**32 - 1))
        except SqlError:
            return None
        return None if not rows else (pod_of(rows[0][1], rows[0][0] or "?"), rows[0][0] or "?", rows[0][2])
