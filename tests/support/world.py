"""An operator's parts over an API server in memory, which says exactly what a test has it say.

The real API server is in tests/cluster; this one is for orders of events that a real one cannot be made to keep.
"""

import base64
from collections.abc import Callable
from typing import Any, cast

from lockstep.api import names
from lockstep.controller.cache import Cache, Fact, Name
from lockstep.controller.clock import rfc3339
from lockstep.controller.decide.schemaversion import decide
from lockstep.controller.decide.state import Start
from lockstep.controller.events import Announcer
from lockstep.controller.facts import (
    JobFact,
    MigrationFact,
    PodFact,
    SchemaVersionFact,
    job_fact,
    migration_fact,
    pod_fact,
    schema_version_fact,
)
from lockstep.controller.gather import Gatherer, Memory
from lockstep.controller.keys import Key, is_urgent, migration_key, schema_version_key
from lockstep.controller.kube import AlreadyExistsError, Kube, NotFoundError, Object, Resource
from lockstep.controller.queue import WorkQueue
from lockstep.controller.reconcile import Reconciler
from lockstep.controller.settings import load
from lockstep.controller.snapshot import Limits
from lockstep.controller.sources import Sources
from lockstep.controller.start import Starter
from lockstep.planning import wire
from lockstep.planning.bundle import unpack
from lockstep.planning.result import EXIT_CODES, Result
from support.controller import FakeClock, apply_merge_patch, ended, pod
from support.ledger import Ledger

KEY = schema_version_key("ns", "orders")
SETTINGS = load({"POD_NAMESPACE": "ns", "LOCKSTEP_IMAGE": "lockstep:1"})


class Api:
    """The objects of an API server, and what was asked of it."""

    def __init__(self, *objects: tuple[str, Object]) -> None:
        self.objects: dict[tuple[str, str], Object] = {
            (plural, raw["metadata"]["name"]): raw for plural, raw in objects
        }
        self.clock = FakeClock()
        self.asked: list[tuple[str, str, str]] = []
        self.bodies: list[Object] = []
        self.refuse: Exception | None = None
        """What every write is refused with."""
        self.refuse_creation: Exception | None = None
        """What every creation is refused with."""

    def _ask(self, verb: str, resource: Resource, name: str) -> None:
        self.asked.append((verb, resource.plural, name))

    def writes(self) -> list[tuple[str, str]]:
        """Return the writes: verb and kind."""
        return [(verb, plural) for verb, plural, _ in self.asked if verb not in ("get", "list")]

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """Return an object."""
        self._ask("get", resource, name)
        if (resource.plural, name) not in self.objects:
            raise NotFoundError(404, "NotFound", name)
        return self.objects[resource.plural, name]

    async def pages(self, resource: Resource, namespace: str, **selectors: str) -> Any:
        """Yield the objects of a kind; selectors are not heeded."""
        self._ask("list", resource, "")
        yield [raw for (plural, _), raw in self.objects.items() if plural == resource.plural]

    async def list_all(self, resource: Resource, namespace: str, **selectors: str) -> list[Object]:
        """Return them; of events there are none."""
        if resource.plural == "events":
            return []
        return [each async for page in self.pages(resource, namespace) for each in page]

    async def log_tail(self, namespace: str, pod: str, lines: int) -> list[str]:
        """Return no log: there is no node."""
        return []

    async def create(self, resource: Resource, namespace: str, body: Object) -> Object:
        """Create an object."""
        name = body["metadata"]["name"]
        self._ask("create", resource, name)
        if (refusal := self.refuse or self.refuse_creation) is not None:
            raise refusal
        if (resource.plural, name) in self.objects:
            raise AlreadyExistsError(409, "AlreadyExists", name)
        self.bodies.append(body)
        metadata = {
            **body["metadata"],
            "uid": f"uid-{name}",
            "resourceVersion": "1",
            "namespace": namespace,
            "creationTimestamp": rfc3339(self.clock.now()),
        }
        made = self.objects[resource.plural, name] = {**body, "metadata": metadata}
        return made

    async def patch(
        self, resource: Resource, namespace: str, name: str, body: Object, subresource: str | None = None
    ) -> Object:
        """Merge a patch into an object."""
        self._ask("patch", resource, name)
        self.bodies.append(body)
        if self.refuse is not None:
            raise self.refuse
        raw = self.objects[resource.plural, name]
        for part in ("spec", "status"):
            raw = {**raw, part: apply_merge_patch(raw.get(part, {}), body.get(part, {}))}
        version = str(int(raw["metadata"]["resourceVersion"]) + 1)
        made = {**raw, "metadata": {**raw["metadata"], "resourceVersion": version}}
        self.objects[resource.plural, name] = made
        return made

    async def delete(self, resource: Resource, namespace: str, name: str, **preconditions: Any) -> None:
        """Delete an object, and a Job's pods with it."""
        self._ask("delete", resource, name)
        self.bodies.append(preconditions)
        self.objects.pop((resource.plural, name), None)


class World:
    """An operator's parts over an API, its cache filled from it."""

    def __init__(self, *objects: tuple[str, Object]) -> None:
        self.api = Api(*objects)
        self.clock = self.api.clock
        kube = cast(Kube, self.api)
        self.cache = Cache(self.clock)
        for (plural, _), raw in self.api.objects.items():
            if plural == "migrations":
                self.cache.put(migration_fact(raw))
            elif plural == "schemaversions":
                self.cache.put(schema_version_fact(raw))
        self.clock.seconds += 60
        memory = Memory(self.clock)
        sources = Sources(kube, self.clock)
        self.gatherer = Gatherer(self.cache, kube, sources, self.clock, memory, Limits())
        self.starter = Starter(self.cache, kube, sources, self.gatherer, SETTINGS, "cluster-uid")
        self.queue: WorkQueue[Key] = WorkQueue(self.clock, urgent=is_urgent)
        self.reconciler = Reconciler(
            self.cache,
            kube,
            self.gatherer,
            self.starter,
            Announcer(kube, self.clock),
            memory,
            self.queue,
            self.clock,
            SETTINGS,
        )

    async def wanted(self) -> Start:
        """Return what would be started now."""
        s = await self.gatherer.schema_version(KEY)
        assert s is not None
        start = decide(s).start
        assert start is not None
        return start

    def order(self, job: str = "") -> wire.Order:
        """Return the order in the bundle of a Job (of the only one)."""
        shards = [
            base64.b64decode(raw["binaryData"]["shard"])
            for (plural, name), raw in sorted(self.api.objects.items())
            if plural == "configmaps" and "binaryData" in raw and name.startswith(job)
        ]
        return unpack(shards)

    def change(self, plural: str, name: str, **parts: Any) -> None:
        """Change an object on the API server only."""
        raw = self.api.objects[plural, name]
        version, generation = int(raw["metadata"]["resourceVersion"]) + 8, raw["metadata"].get("generation", 0)
        changed = {"resourceVersion": str(version), "generation": generation + 1}
        metadata = {**raw["metadata"], **changed, **parts.pop("metadata", {})}
        self.api.objects[plural, name] = {**raw, **parts, "metadata": metadata}

    def set(self, **spec: Any) -> None:
        """Change fields of the SchemaVersion's spec; None takes one away."""
        old = self.api.objects["schemaversions", "orders"]["spec"]
        self.change("schemaversions", "orders", spec=apply_merge_patch(old, spec))

    def status(self) -> Object:
        """Return the SchemaVersion's status."""
        found: Object = self.api.objects["schemaversions", "orders"]["status"]
        return found

    def condition(self, kind: str) -> Object:
        """Return a condition of the SchemaVersion; empty if it has none."""
        return next((each for each in self.status().get("conditions", ()) if each["type"] == kind), {})

    def jobs(self, mode: str = "") -> list[str]:
        """Return the names of the Jobs (of one mode)."""
        return [
            name
            for (plural, name), raw in self.api.objects.items()
            if plural == "jobs" and mode in ("", raw["metadata"]["labels"][names.LABEL_MODE])
        ]

    def watch(self) -> None:
        """Let the watches catch up: the cache has what the API server has."""
        for plural, parse, kind in _WATCHED:
            live = {Name("ns", name): raw for (found, name), raw in self.api.objects.items() if found == plural}
            for raw in live.values():
                self.cache.put(parse(raw))
            for gone in set(self.cache.store_for(kind)) - set(live):
                self.cache.drop(kind, gone)

    async def look(self, seconds: float = 60.0) -> None:
        """Let some time pass, and the operator look at everything once."""
        self.watch()
        self.clock.seconds += seconds
        for plural, name in list(self.api.objects):
            if plural == "schemaversions":
                await self.reconciler.work(schema_version_key("ns", name))
        self.watch()
        for plural, name in list(self.api.objects):
            if plural == "migrations":
                await self.reconciler.work(migration_key("ns", name))

    async def rest(self, ledger: Ledger, most: int = 16, seconds: float = 60.0) -> list[Result]:
        """Let operator and runs work until nothing happens any more; return the results of the runs.

        Raises:
            AssertionError: if they do not come to rest.
        """
        results: list[Result] = []
        quiet = 0
        for _ in range(most):
            before = len(self.api.writes())
            await self.look(seconds)
            played = self.play(ledger)
            results += played
            # Twice: a pause before another attempt counts from the look after the failure.
            quiet = 0 if played or len(self.api.writes()) > before else quiet + 1
            if quiet == 2:
                return results
        raise AssertionError(f"no rest: {[each.reason.value for each in results]}")

    def play(self, ledger: Ledger) -> list[Result]:
        """Let the pods of all Jobs that were let go run to their end; return their results."""
        results = []
        for name in self.jobs():
            job = job_fact(self.api.objects["jobs", name])
            if job.suspended or ("pods", f"{name}-pod") in self.api.objects:
                continue
            result = ledger.run(self.order(name), f"{name}-pod")
            raw = pod(f"{name}-pod", job, ended(result, EXIT_CODES[result.outcome]), phase="Succeeded")
            self.api.objects["pods", f"{name}-pod"] = raw
            results.append(result)
        return results

    def collect(self) -> None:
        """Let Jobs go whose TTL is set, with their pods and bundles."""
        for name in self.jobs():
            if "ttlSecondsAfterFinished" in self.api.objects["jobs", name]["spec"]:
                for key in [key for key in self.api.objects if key[1].startswith(name)]:
                    del self.api.objects[key]


_WATCHED: tuple[tuple[str, Callable[[Any], Fact], type[Fact]], ...] = (
    ("schemaversions", schema_version_fact, SchemaVersionFact),
    ("migrations", migration_fact, MigrationFact),
    ("jobs", job_fact, JobFact),
    ("pods", pod_fact, PodFact),
)
