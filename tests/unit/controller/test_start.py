"""Before a run is made everything is read live: against an API server that says other things than the cache."""

from typing import Any

import pytest
from msgspec.structs import replace

from lockstep.api import names
from lockstep.api.reasons import Reason
from lockstep.controller.cache import Name
from lockstep.controller.inputs import pack_tags, tag
from lockstep.controller.kube import ConflictError, ForbiddenError, Object, Resource, ServerBusyError
from lockstep.controller.start import FOREIGN_SECONDS, OutdatedError, RejectedError
from lockstep.planning import wire
from lockstep.planning.result import Result
from support.controller import a_member, a_pod, ended, migration, schema_version
from support.world import KEY, SETTINGS, World


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


async def test_a_conflict_is_decided_about_again(monkeypatch: pytest.MonkeyPatch) -> None:
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

    monkeypatch.setattr(world.api, "patch", patch)
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
