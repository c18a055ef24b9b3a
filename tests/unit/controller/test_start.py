"""Before a run is made everything is read live: against an API server that says other things than the cache."""

import base64
from dataclasses import replace
from typing import Any, cast

import pytest

from lockstep.api import names
from lockstep.api.reasons import Reason
from lockstep.controller.cache import Cache, Name
from lockstep.controller.decide.schemaversion import Start, decide
from lockstep.controller.events import Announcer
from lockstep.controller.facts import migration_fact, schema_version_fact
from lockstep.controller.gather import Gatherer, Memory
from lockstep.controller.inputs import pack_tags, tag
from lockstep.controller.keys import Key, is_urgent, schema_version_key
from lockstep.controller.kube import (
    AlreadyExistsError,
    ConflictError,
    ForbiddenError,
    Kube,
    NotFoundError,
    Object,
    Resource,
    ServerBusyError,
)
from lockstep.controller.queue import WorkQueue
from lockstep.controller.reconcile import Reconciler
from lockstep.controller.settings import load
from lockstep.controller.snapshot import Limits
from lockstep.controller.sources import Sources
from lockstep.controller.start import FOREIGN_SECONDS, OutdatedError, RejectedError, Starter
from lockstep.planning import wire
from lockstep.planning.result import Result
from support.controller import FakeClock, a_member, a_pod, apply_merge_patch, ended, migration, schema_version

KEY = schema_version_key("ns", "orders")
SETTINGS = load({"POD_NAMESPACE": "ns", "LOCKSTEP_IMAGE": "lockstep:1"})


class Api:
    """The objects of an API server, and what was asked of it."""

    def __init__(self, *objects: tuple[str, Object]) -> None:
        self.objects: dict[tuple[str, str], Object] = {
            (plural, raw["metadata"]["name"]): raw for plural, raw in objects
        }
        self.asked: list[tuple[str, str, str]] = []
        self.bodies: list[Object] = []
        self.refuse: Exception | None = None

    def _ask(self, verb: str, resource: Resource, name: str) -> None:
        self.asked.append((verb, resource.plural, name))

    def writes(self) -> list[tuple[str, str]]:
        return [(verb, plural) for verb, plural, _ in self.asked if verb not in ("get", "list")]

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        self._ask("get", resource, name)
        if (resource.plural, name) not in self.objects:
            raise NotFoundError(404, "NotFound", name)
        return self.objects[resource.plural, name]

    async def pages(self, resource: Resource, namespace: str, **selectors: str) -> Any:
        self._ask("list", resource, "")
        yield [raw for (plural, _), raw in self.objects.items() if plural == resource.plural]

    async def list_all(self, resource: Resource, namespace: str, **selectors: str) -> list[Object]:
        return [each async for page in self.pages(resource, namespace) for each in page]

    async def create(self, resource: Resource, namespace: str, body: Object) -> Object:
        name = body["metadata"]["name"]
        self._ask("create", resource, name)
        if self.refuse is not None:
            raise self.refuse
        if (resource.plural, name) in self.objects:
            raise AlreadyExistsError(409, "AlreadyExists", name)
        self.bodies.append(body)
        metadata = {**body["metadata"], "uid": f"uid-{name}", "resourceVersion": "1", "namespace": namespace}
        made = self.objects[resource.plural, name] = {**body, "metadata": metadata}
        return made

    async def patch(
        self, resource: Resource, namespace: str, name: str, body: Object, subresource: str | None = None
    ) -> Object:
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
        self._ask("delete", resource, name)
        self.bodies.append(preconditions)
        self.objects.pop((resource.plural, name), None)


class World:
    """An operator's parts over an API, its cache filled from it."""

    def __init__(self, *objects: tuple[str, Object]) -> None:
        self.api = Api(*objects)
        self.clock = FakeClock()
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
        s = await self.gatherer.schema_version(KEY)
        assert s is not None
        start = decide(s).start
        assert start is not None
        return start

    def order(self) -> wire.Order:
        """Return the order in the bundle that was made."""
        shards = [
            base64.b64decode(raw["binaryData"]["shard"])
            for (plural, _), raw in sorted(self.api.objects.items())
            if plural == "configmaps" and "binaryData" in raw
        ]
        return wire.unpack(shards)

    def change(self, plural: str, name: str, **parts: Any) -> None:
        """Change an object on the API server only."""
        raw = self.api.objects[plural, name]
        metadata = {**raw["metadata"], "resourceVersion": "9", "generation": 2, **parts.pop("metadata", {})}
        self.api.objects[plural, name] = {**raw, **parts, "metadata": metadata}


def a_world(**spec: Any) -> World:
    return World(
        ("schemaversions", schema_version(**spec)),
        ("migrations", migration("m1", "1")),
        ("migrations", migration("m2", "2")),
    )


async def test_job_then_bundle_then_release() -> None:
    world = a_world()
    await world.starter.start(KEY, await world.wanted())
    assert world.api.writes() == [("create", "jobs"), ("create", "configmaps"), ("patch", "jobs")]
    order = world.order()
    assert (order.line, order.target, order.attempt) == ("orders", "2", 1)
    assert [(each.name, each.up is not None) for each in order.migrations] == [("m1", True), ("m2", True)]
    assert order.owner == wire.Owner("cluster-uid", "ns", "orders", "uid-orders")


@pytest.mark.parametrize(
    "change",
    [
        lambda world: world.change("migrations", "m2", spec={**migration("m2", "2")["spec"], "up": "SELECT 'other'"}),
        lambda world: world.api.objects.pop(("migrations", "m2")),
        lambda world: world.api.objects.update({("migrations", "m3"): migration("m3", "3")}),
        lambda world: world.api.objects.pop(("schemaversions", "orders")),
        lambda world: world.change("schemaversions", "orders", metadata={"deletionTimestamp": "now"}),
        lambda world: world.change("schemaversions", "orders", metadata={"uid": "another"}),
        lambda world: world.change("schemaversions", "orders", spec={**schema_version()["spec"], "suspend": True}),
        lambda world: world.change("schemaversions", "orders", spec={**schema_version()["spec"], "version": "1"}),
    ],
    ids=["text", "gone", "new", "sv gone", "sv deleting", "sv recreated", "suspended", "target"],
)
async def test_a_stale_cache_makes_no_job(change: Any) -> None:
    world = a_world()
    wanted = await world.wanted()
    change(world)
    with pytest.raises(OutdatedError):
        await world.starter.start(KEY, wanted)
    assert world.api.writes() == []


async def test_a_config_map_that_changed_since_it_was_decided_about() -> None:
    source = {"configMapKeyRef": {"name": "texts", "key": "1.sql"}}
    texts: Object = {"metadata": {"name": "texts"}, "data": {"1.sql": "SELECT 1"}}
    world = World(
        ("schemaversions", schema_version()),
        ("migrations", migration("m1", "1", up=None, upFrom=source)),
        ("configmaps", texts),
    )
    wanted = await world.wanted()
    texts["data"]["1.sql"] = "DROP TABLE users"
    with pytest.raises(OutdatedError):
        await world.starter.start(KEY, wanted)
    assert world.api.writes() == []
    # The next decision is about the new text.
    again = await world.wanted()
    assert again.input.members != wanted.input.members
    await world.starter.start(KEY, again)
    assert world.order().migrations[0].up == "DROP TABLE users"


async def test_texts_that_the_database_has_stay_behind_but_those_of_late_versions_go_along() -> None:
    settled = pack_tags([tag(a_member(f"m{number}", str(number)).as_set_member()) for number in (1, 2)])
    status = {"observedGeneration": 1, "version": "2", "settled": settled}
    world = World(
        ("schemaversions", schema_version(status=status)),
        *[("migrations", migration(f"m{number}", str(number))) for number in (1, 2, 3)],
        ("migrations", migration("late", "1.5")),
    )
    await world.starter.start(KEY, await world.wanted())
    texts = {each.name: each.up is not None for each in world.order().migrations}
    assert texts == {"m1": False, "m2": False, "m3": True, "late": True}


async def test_a_job_of_ours_that_exists_is_success() -> None:
    world = a_world()
    wanted = await world.wanted()
    await world.starter.start(KEY, wanted)
    second = a_world()
    second.api.objects.update(world.api.objects)
    await second.starter.start(KEY, wanted)
    assert [write for write in second.api.writes() if write[0] != "create"] == []
    assert len([1 for plural, _ in second.api.objects if plural == "jobs"]) == 1


async def test_a_suspended_job_of_ours_is_finished() -> None:
    world = a_world()
    wanted = await world.wanted()
    await world.starter.start(KEY, wanted)
    ((_, name),) = [key for key in world.api.objects if key[0] == "jobs"]
    job = world.api.objects["jobs", name]
    second = a_world()
    second.api.objects["jobs", name] = {**job, "spec": {**job["spec"], "suspend": True}}
    await second.starter.start(KEY, wanted)
    assert second.api.writes() == [("create", "jobs"), ("create", "configmaps"), ("patch", "jobs")]
    assert second.api.objects["jobs", name]["spec"]["suspend"] is False


async def test_a_suspended_job_of_another_build_is_left_to_its_maker_for_a_while() -> None:
    world = a_world()
    wanted = await world.wanted()
    await world.starter.start(KEY, wanted)
    ((_, name),) = [key for key in world.api.objects if key[0] == "jobs"]
    job = world.api.objects["jobs", name]
    annotations = {**job["metadata"]["annotations"], "lockstep.dev/bundle": "other bytes"}
    second = a_world()
    second.api.objects["jobs", name] = {
        **job,
        "spec": {**job["spec"], "suspend": True},
        "metadata": {**job["metadata"], "annotations": annotations},
    }
    with pytest.raises(ServerBusyError):
        await second.starter.start(KEY, wanted)
    assert ("delete", "jobs") not in second.api.writes()
    second.clock.seconds += FOREIGN_SECONDS + 1
    with pytest.raises(ServerBusyError):
        await second.starter.start(KEY, wanted)
    # Only as it was seen: its maker may let it go at this moment.
    assert second.api.bodies[-1]["resource_version"] is not None
    await second.starter.start(KEY, wanted)


async def test_a_bundle_of_an_earlier_job_is_not_used() -> None:
    world = a_world()
    wanted = await world.wanted()
    await world.starter.start(KEY, wanted)
    ((_, name),) = [key for key in world.api.objects if key[0] == "jobs"]
    second = a_world()
    stale = world.api.objects["configmaps", f"{name}-000"]
    owners = [{**stale["metadata"]["ownerReferences"][0], "uid": "an earlier one"}]
    second.api.objects["configmaps", f"{name}-000"] = {
        **stale,
        "metadata": {**stale["metadata"], "ownerReferences": owners},
    }
    with pytest.raises(ServerBusyError):
        await second.starter.start(KEY, wanted)
    assert second.api.objects["jobs", name]["spec"]["suspend"] is True


async def test_somebody_elses_job_of_that_name() -> None:
    world = a_world()
    wanted = await world.wanted()
    await world.starter.start(KEY, wanted)
    ((_, name),) = [key for key in world.api.objects if key[0] == "jobs"]
    job = world.api.objects["jobs", name]
    second = a_world()
    metadata = {key: value for key, value in job["metadata"].items() if key != "ownerReferences"}
    second.api.objects["jobs", name] = {**job, "metadata": metadata}
    with pytest.raises(RejectedError):
        await second.starter.start(KEY, wanted)


async def test_a_quota_is_a_reason() -> None:
    world = a_world()
    wanted = await world.wanted()
    world.api.refuse = ForbiddenError(403, "Forbidden", "jobs.batch is forbidden: exceeded quota: q")
    with pytest.raises(RejectedError) as caught:
        await world.starter.start(KEY, wanted)
    assert caught.value.reason is Reason.QUOTA_EXCEEDED


async def test_a_status_is_written_onto_the_version_that_was_decided_about() -> None:
    world = a_world(version="7")
    await world.reconciler.work(KEY)
    body = next(body for body in world.api.bodies if "status" in body)
    assert body["metadata"] == {"resourceVersion": "1"}
    assert body["status"]["state"] == "TargetNotFound"
    count = len(world.api.asked)
    await world.reconciler.work(KEY)
    # Nothing new: nothing written, nothing asked.
    assert len(world.api.asked) == count


async def test_a_conflict_is_decided_about_again() -> None:
    world = a_world(version="7")
    real = world.api.patch
    tries = 0

    async def patch(
        resource: Resource, namespace: str, name: str, body: Object, subresource: str | None = None
    ) -> Object:
        nonlocal tries
        tries += 1
        if tries == 1:
            world.change("schemaversions", "orders", spec={**schema_version()["spec"], "version": "8"})
            raise ConflictError(409, "Conflict", "")
        return await real(resource, namespace, name, body, subresource)

    world.api.patch = patch  # type: ignore[method-assign]
    await world.reconciler.work(KEY)
    # What is wanted has just changed: it settles first.
    world.clock.seconds += 60
    await world.reconciler.work(KEY)
    status = world.api.objects["schemaversions", "orders"]["status"]
    assert (status["target"], status["observedGeneration"]) == ("8", 2)


async def test_what_is_gone_is_forgotten() -> None:
    world = a_world()
    world.cache.drop(type(world.cache.schema_versions[Name("ns", "orders")]), Name("ns", "orders"))
    await world.reconciler.work(KEY)
    assert world.api.asked == []


async def test_a_run_from_start_to_its_result() -> None:
    world = a_world()
    await world.reconciler.work(KEY)
    status = world.api.objects["schemaversions", "orders"]["status"]
    assert status["run"]["outcome"] == "Running"
    name = status["run"]["job"]
    assert world.api.objects["jobs", name]["metadata"]["annotations"][names.ANNOTATION_ATTEMPT] == "1"
    job = world.cache.jobs[Name("ns", name)]
    done = Result(Reason.UP_TO_DATE, "there", "2", applied=2)
    world.cache.put(replace(a_pod("p", job, ended(done)), job_uid=job.uid))
    await world.reconciler.work(KEY)
    status = world.api.objects["schemaversions", "orders"]["status"]
    assert (status["state"], status["version"]) == ("UpToDate", "2")
    assert world.api.objects["jobs", name]["spec"]["ttlSecondsAfterFinished"] == SETTINGS.job_ttl_seconds
    verbs = [(verb, plural) for verb, plural in world.api.writes()]
    assert verbs.index(("patch", "schemaversions")) < len(verbs) - verbs[::-1].index(("patch", "jobs")) - 1
    assert verbs.count(("create", "events")) == 1
    # Its Migrations are asked for: they are applied now.
    assert len(world.queue) == 2
