"""kopf's part: it watches, its handlers put facts into the cache and keys into the queue, and nothing else.

No handler of ours can make kopf write: `on.event` knows no finalizers, annotations or timers.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import kopf

from lockstep.api import names
from lockstep.controller import facts
from lockstep.controller.cache import Cache, Fact, Name
from lockstep.controller.keys import Key, affected
from lockstep.controller.kube import JOBS, MIGRATIONS, PODS, SCHEMA_VERSIONS, Resource
from lockstep.controller.queue import WorkQueue

CHUNK: Final = 200
"""Objects of one page of kopf's first list: bounds its memory."""
KINDS: Final[tuple[tuple[Resource, type[Fact], Callable[[Any], Fact]], ...]] = (
    (SCHEMA_VERSIONS, facts.SchemaVersionFact, facts.schema_version_fact),
    (MIGRATIONS, facts.MigrationFact, facts.migration_fact),
    (JOBS, facts.JobFact, facts.job_fact),
    (PODS, facts.PodFact, facts.pod_fact),
)
"""What is watched, and how a fact is made of it."""
RUNS_ONLY: Final = f"{names.LABEL_WATCH}={names.WATCH_RUN}"


def selector_of(resource: Resource) -> str:
    """Return the label selector with which a kind is watched and listed."""
    return RUNS_ONLY if resource in (JOBS, PODS) else ""


@dataclass
class Intake:
    """Takes in what the watches and the resync say."""

    cache: Cache
    queue: WorkQueue[Key]

    def present(self, fact: Fact) -> bool:
        """Take in an object; return whether it was news."""
        old = self.cache.put(fact)
        if old is fact:
            return False
        for key in affected(self.cache, old, fact):
            self.queue.add(key)
        return True

    def absent(self, kind: type[Fact], key: Name, uid: str | None = None) -> bool:
        """Take in that an object is gone; return whether it was news."""
        old = self.cache.drop(kind, key, uid)
        if old is None:
            return False
        for each in affected(self.cache, old, None):
            self.queue.add(each)
        return True


@dataclass
class Streams:
    """The open watch streams and when each last said anything: bookmarks come about once a minute."""

    started: float = field(default_factory=time.monotonic)
    _open: dict[str, tuple["_WatchResponse", int, float]] = field(default_factory=dict)

    def opened(self, path: str, response: "_WatchResponse") -> None:
        """Note a new stream."""
        self._open[path] = response, 0, time.monotonic()

    def age(self) -> float:
        """Return the seconds since the most silent stream last said anything."""
        now = time.monotonic()
        oldest = self.started if len(self._open) < len(KINDS) else now
        for path, (response, seen, at) in list(self._open.items()):
            heard = response.content.total_bytes
            if heard != seen:
                self._open[path] = response, heard, now
            else:
                oldest = min(oldest, at)
        return now - oldest


class _WatchResponse(aiohttp.ClientResponse):
    """A response that tells the streams when a watch has begun."""

    streams: Streams | None = None

    async def start(self, connection: Any) -> "_WatchResponse":
        """Begin to receive."""
        await super().start(connection)
        if self.url.query.get("watch") == "true" and self.streams is not None and self.status == 200:
            self.streams.opened(self.url.path, self)
        return self


def _session(client: Any, streams: Streams) -> aiohttp.ClientSession:
    """Return a session for kopf with our credentials; tokens that rotate are read anew for each request."""

    class Response(_WatchResponse):
        pass

    Response.streams = streams

    async def authorize(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        settings = await client.configuration.auth_settings()
        if (auth := settings.get("BearerToken")) is not None and auth["value"]:
            request.headers["Authorization"] = auth["value"]
        return await handler(request)

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=client.rest_client.ssl_context),
        response_class=Response,
        middlewares=(authorize,),
        trust_env=True,
    )


def kopf_settings() -> kopf.OperatorSettings:
    """Return kopf's settings."""
    settings = kopf.OperatorSettings()
    # Events are ours, and posted on change only.
    settings.posting.enabled = False
    settings.peering.standalone = True
    # Namespaces and kinds are given: no rights to list CRDs or namespaces are needed.
    settings.scanning.disabled = True
    # A slot would be held for the idle timeout: 20 of them make 4 objects a second.
    settings.queueing.worker_limit = None
    settings.queueing.idle_timeout = 0.05
    settings.queueing.exit_timeout = 0.5
    settings.watching.chunk_size = CHUNK
    settings.watching.connect_timeout = 10.0
    settings.networking.request_timeout = 30.0
    # The end of the process is ours to see to.
    settings.process.ultimate_exiting_timeout = None
    for resource in (JOBS, PODS):
        settings.watching.label_selectors[resource.group, resource.version, resource.plural] = RUNS_ONLY
    return settings


def kopf_registry(intake: Intake, client: Any, streams: Streams) -> kopf.OperatorRegistry:
    """Return the handlers: one a kind, and the login."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:
        return kopf.AiohttpSession(
            server=client.configuration.host, aiohttp_session=_session(client, streams), default_namespace="default"
        )

    for resource, kind, parse in KINDS:
        kopf.on.event(
            resource.group, resource.version, resource.plural, registry=registry, id=f"watch-{resource.plural}"
        )(_handler(intake, kind, parse))
    return registry


def _handler(intake: Intake, kind: type[Fact], parse: Callable[[Any], Fact]) -> Any:
    async def handle(event: Any, **_: Any) -> None:
        raw = event["object"]
        if event["type"] == "DELETED":
            metadata = raw["metadata"]
            intake.absent(kind, Name(metadata["namespace"], metadata["name"]), metadata["uid"])
        else:
            intake.present(parse(raw))

    return handle
