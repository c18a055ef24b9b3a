"""The Lease: at most one replica works.

`kubernetes.aio.leaderelection` is not used: it cannot create a Lease, keeps two leaders while the API server hangs, and
does not end the work when the Lease is lost. Correctness never rests on this: names are deterministic and the lock that
counts is the database's.
"""

import asyncio
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from lockstep.controller.clock import Clock
from lockstep.controller.kube import (
    LEASES,
    AlreadyExistsError,
    ApiError,
    ConflictError,
    ForbiddenError,
    Kube,
    NotFoundError,
    Object,
)

log = structlog.get_logger("lockstep.leader")

EXIT_LOST: Final = 70
"""Exit code of a process that lost the Lease."""


class LeadershipLostError(Exception):
    """The Lease could not be renewed in time, or somebody else has it: no more writes."""

    fatal = True
    """The work queue must not try again: the process ends."""


def _micro_time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass
class Leader:
    """Acquires, renews and releases a Lease.

    Only its own monotonic clock decides: another holder's Lease is dead once it has not changed for `lease_seconds`
    of ours, whatever times it carries.
    """

    kube: Kube
    clock: Clock
    namespace: str
    name: str
    identity: str
    lease_seconds: float
    renew_seconds: float
    retry_seconds: float
    renewed_at: float | None = field(default=None, init=False)
    """When the last successful renewal was sent (monotonic); None while this replica does not lead."""
    tried_at: float | None = field(default=None, init=False)
    """When the Lease was last tried, with or without success: a sign of life."""
    _lease: Object | None = field(default=None, init=False)
    _seen: tuple[str, str] | None = field(default=None, init=False)
    _seen_at: float = field(default=0.0, init=False)

    @property
    def leads(self) -> bool:
        """Whether this replica may write now."""
        return self.renewed_at is not None and self.clock.monotonic() - self.renewed_at < self.renew_seconds

    def check(self) -> None:
        """Raise unless this replica may write.

        Raises:
            LeadershipLostError: if it must not.
        """
        if not self.leads:
            raise LeadershipLostError("the Lease has not been renewed in time")

    @property
    def _request_seconds(self) -> float:
        # Several tries must fit before the renewal's deadline.
        return max(0.5, min(self.renew_seconds / 2, self.retry_seconds * 2))

    async def acquire(self) -> None:
        """Wait until this replica holds the Lease; outages are waited for."""
        while True:
            try:
                if await self._try():
                    log.info("lease acquired", lease=self.name, identity=self.identity)
                    return
            except ApiError as error:
                level = log.error if isinstance(error, ForbiddenError) else log.warning
                level("lease not reachable", lease=self.name, error=str(error))
            await asyncio.sleep(self.retry_seconds * random.uniform(0.9, 1.1))  # noqa: S311 - jitter

    async def renew_forever(self) -> None:
        """Renew the Lease again and again.

        Raises:
            LeadershipLostError: if it was lost, or could not be renewed in time.
        """
        while True:
            await asyncio.sleep(self.retry_seconds)
            try:
                held = await self._try()
            except ApiError as error:
                log.warning("lease not renewed", lease=self.name, error=str(error))
                held = True
            if not held:
                self.renewed_at = None
                raise LeadershipLostError(f"another replica holds the Lease {self.name}")
            self.check()

    async def release(self) -> None:
        """Give the Lease back, so that another replica need not wait; only after the work has ended."""
        if not self.leads:
            return
        self.renewed_at = None
        try:
            lease = await self.kube.get(LEASES, self.namespace, self.name, self._request_seconds)
            if lease["spec"].get("holderIdentity") != self.identity:
                return
            lease["spec"] = {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
            await self.kube.replace(LEASES, self.namespace, self.name, lease, self._request_seconds)
            log.info("lease released", lease=self.name)
        except ApiError as error:
            log.warning("lease not released", lease=self.name, error=str(error))

    def _spec(self, old: dict[str, Any]) -> dict[str, Any]:
        now = _micro_time(self.clock.now())
        kept = old.get("holderIdentity") == self.identity and self.renewed_at is not None
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": max(1, round(self.lease_seconds)),
            "acquireTime": old.get("acquireTime", now) if kept else now,
            "renewTime": now,
            "leaseTransitions": int(old.get("leaseTransitions") or 0) + (0 if kept or not old else 1),
        }

    async def _try(self) -> bool:
        """Take or renew the Lease once; False if another replica holds it."""
        # Before the request: what counts for others is when the server took it, which is not earlier.
        sent = self.tried_at = self.clock.monotonic()
        # As we wrote it last: if it has changed since, the replacement fails.
        lease, self._lease = self._lease, None
        try:
            if lease is None:
                lease = await self._read()
            if lease is None:
                body: Object = {
                    "apiVersion": LEASES.api_version,
                    "kind": "Lease",
                    "metadata": {"name": self.name, "namespace": self.namespace},
                    "spec": self._spec({}),
                }
                made = await self.kube.create(LEASES, self.namespace, body)
            elif self._may_take(lease):
                body = {**lease, "spec": self._spec(lease.get("spec") or {})}
                made = await self.kube.replace(LEASES, self.namespace, self.name, body, self._request_seconds)
            else:
                return False
        except (ConflictError, AlreadyExistsError):
            # Somebody was faster; if that was us (an answer that got lost), the next try shows it.
            return self.leads
        self.renewed_at, self._lease = sent, made
        return True

    async def _read(self) -> Object | None:
        try:
            return await self.kube.get(LEASES, self.namespace, self.name, self._request_seconds)
        except NotFoundError:
            return None

    def _may_take(self, lease: Object) -> bool:
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder in ("", self.identity):
            return True
        if self.renewed_at is not None:
            return False
        seen = (holder, lease["metadata"]["resourceVersion"])
        now = self.clock.monotonic()
        if seen != self._seen:
            self._seen, self._seen_at = seen, now
        # The holder's own duration: replicas of two versions may differ in theirs.
        waits = max(self.lease_seconds, float(spec.get("leaseDurationSeconds") or 0))
        return now - self._seen_at >= waits


class Watchdog:
    """Ends the process from a thread of its own when the Lease is overdue, even if the event loop is stuck.

    Args:
        deadline: returns whether the process may go on.
        seconds: how often to look.
        end: ends the process at once.
    """

    def __init__(
        self, may_go_on: Callable[[], bool], seconds: float = 0.5, end: Callable[[int], object] = os._exit
    ) -> None:
        self._may_go_on = may_go_on
        self._seconds = seconds
        self._end = end
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease-watchdog", daemon=True)

    def start(self) -> None:
        """Start to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Stop to watch: the work has ended."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._seconds):
            if not self._may_go_on():
                # Not logging: its locks may be what is stuck.
                line = b'{"event":"lease lost, ending at once","level":"critical","logger":"lockstep.leader"}\n'
                os.write(2, line)
                self._end(EXIT_LOST)
                return


def new_identity(pod_name: str) -> str:
    """Return who we are: the pod, and this process of it, since a restarted container is another leader."""
    return f"{pod_name}_{os.getpid()}_{time.time_ns():x}"
