"""/healthz, /readyz and /metrics: alive means that work makes progress, not that a task exists."""

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from lockstep.controller import metrics
from lockstep.controller.cache import Cache
from lockstep.controller.clock import Clock
from lockstep.controller.keys import Key
from lockstep.controller.leader import Leader
from lockstep.controller.queue import WorkQueue
from lockstep.controller.watch import Streams

STUCK_SECONDS = 120.0
"""One look takes seconds at most: every request in it has a time limit."""
SILENT_SECONDS = 200.0
"""A watch says something about once a minute, and kopf opens it anew after 70 silent seconds."""


@dataclass
class Health:
    """What is looked at."""

    clock: Clock
    leader: Leader
    queue: WorkQueue[Key] | None = None
    """None until this replica leads."""
    cache: Cache | None = None
    streams: Streams | None = None
    synced: bool = False

    def problems(self) -> list[str]:
        """Return what is wrong; nothing if the process makes progress."""
        found = []
        now = self.clock.monotonic()
        beat = self.leader.tried_at
        if beat is not None and now - beat > STUCK_SECONDS:
            found.append(f"the Lease has not been tried for {now - beat:.0f} s")
        if self.queue is not None:
            if (seconds := self.queue.oldest_work()) > STUCK_SECONDS:
                found.append(f"a worker has been at one key for {seconds:.0f} s")
            idle = now - self.queue.finished_at
            if len(self.queue) and self.queue.finished_at and idle > STUCK_SECONDS:
                found.append(f"keys wait, and none was finished for {idle:.0f} s")
        if self.streams is not None and self.synced and (age := self.streams.age()) > SILENT_SECONDS:
            found.append(f"a watch has been silent for {age:.0f} s")
        return found

    @property
    def ready(self) -> bool:
        """Whether this replica does its part: leads with a filled cache, or stands by."""
        return self.synced or (self.leader.tried_at is not None and self.leader.renewed_at is None)


def make_app(health: Health, collect: Callable[[], None]) -> web.Application:
    """Return the HTTP application."""

    async def healthz(_: web.Request) -> web.Response:
        problems = health.problems()
        return web.Response(text="; ".join(problems) or "ok", status=503 if problems else 200)

    async def readyz(_: web.Request) -> web.Response:
        return web.Response(text="ok" if health.ready else "not ready", status=200 if health.ready else 503)

    async def measure(_: web.Request) -> web.Response:
        collect()
        return web.Response(body=generate_latest(metrics.REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", measure)])
    return app
