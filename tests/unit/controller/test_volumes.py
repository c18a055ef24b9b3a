"""A database that is a file on a volume: the pod of its runs, their input, and what is said where it is not there."""

from typing import Any

import pytest

from lockstep.api.reasons import Reason
from lockstep.api.schemaversion import SchemaVersionSpec
from lockstep.controller import jobs
from lockstep.controller.facts import pod_fact
from lockstep.controller.inputs import RunInput, run_input
from lockstep.controller.kube import Object, Resource
from lockstep.controller.pods import Phase, verdict
from lockstep.controller.settings import load
from lockstep.planning.version import Version
from lockstep.planning.wire import Mode
from support.controller import a_job, a_pod, a_schema_version, migration, pod, schema_version
from support.world import World

SETTINGS = load({"POD_NAMESPACE": "ns", "LOCKSTEP_IMAGE": "lockstep:1"})
JOB = a_job("orders-x-1", "i")
CLAIM: Object = {"volumes": [{"name": "tmp", "emptyDir": {}}, {"persistentVolumeClaim": {"claimName": "app-data"}}]}


def database(**volume: Any) -> Object:
    return {"secretRef": {"name": "db"}, "engine": "sqlite", "volume": {"claimName": "app-data", **volume}}


def rendered(mode: Mode = Mode.RUN, **spec: Any) -> Object:
    fact = a_schema_version(**spec)
    assert fact.spec is not None
    made = jobs.render_job(
        fact,
        fact.spec,
        SETTINGS,
        run_input=RunInput("b", "m", "p", "e"),
        attempt=1,
        target=Version.parse("1"),
        shards=1,
        mode=mode,
    )
    found: Object = made["spec"]["template"]["spec"]
    return found


def claims(made: Object) -> list[Object]:
    """Return how a pod mounts its claims."""
    names = {each["name"]: each["persistentVolumeClaim"] for each in made["volumes"] if "persistentVolumeClaim" in each}
    (container,) = made["containers"]
    return [{**names[each["name"]], **each} for each in container["volumeMounts"] if each["name"] in names]


@pytest.mark.parametrize("mode", list(Mode))
def test_every_job_mounts_the_claim_for_writing(mode: Mode) -> None:
    made = rendered(mode, database=database())
    assert claims(made) == [{"claimName": "app-data", "name": "volume", "mountPath": "/database"}]


def test_where_it_is_mounted_and_which_part_of_it() -> None:
    (mount,) = claims(rendered(database=database(subPath="shop/data", mountPath="/data")))
    assert (mount["subPath"], mount["mountPath"]) == ("shop/data", "/data")


def test_no_volume_no_claim() -> None:
    made = rendered()
    assert claims(made) == []
    assert "affinity" not in made


def test_names_and_places_in_a_pod_are_used_once() -> None:
    tls = {"caSecretRef": {"name": "ca"}, "clientCertificateSecretRef": {"name": "client"}}
    made = rendered(database={**database(), "tls": tls})
    volumes = [each["name"] for each in made["volumes"]]
    places = [each["mountPath"] for each in made["containers"][0]["volumeMounts"]]
    assert len(volumes) == len(set(volumes)) == len(places) == len(set(places))


STRICT: Object = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


@pytest.mark.parametrize(
    ("execution", "more", "group"),
    [
        ({}, {}, None),
        # The group of a user that the image does not know would be root's.
        ({"runAsUser": 1000}, {"runAsUser": 1000}, 1000),
        # A pod's context with a group and without a user starts nowhere (tried).
        ({"fsGroup": 2000}, {"fsGroup": 2000}, 2000),
        (
            {"runAsUser": 1000, "fsGroup": 2000},
            {"runAsUser": 1000, "fsGroup": 2000, "fsGroupChangePolicy": "OnRootMismatch"},
            2000,
        ),
    ],
)
def test_whom_the_pod_runs_as(execution: Object, more: Object, group: int | None) -> None:
    made = rendered(execution=execution)
    assert made["securityContext"] == {**STRICT, **more}
    # `restricted` asks for all of this, whoever it is.
    (container,) = made["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        **({} if group is None else {"runAsGroup": group}),
    }


def test_the_pod_may_be_sent_where_the_app_is() -> None:
    affinity = {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100}]}}
    assert rendered(execution={"affinity": affinity})["affinity"] == affinity


def inputs(**spec: Any) -> RunInput:
    made = SchemaVersionSpec.model_validate({"database": {"secretRef": {"name": "db"}}, **spec})
    return run_input("orders", Version.parse("2"), made, [])


def test_another_volume_is_another_database() -> None:
    plain, base = inputs(database={**database(), "volume": None}), inputs(database=database())
    others = [
        inputs(database=database(claimName="other")),
        inputs(database=database(subPath="shop")),
        inputs(database=database(mountPath="/data")),
    ]
    made = [plain, base, *others]
    assert len({each.base for each in made}) == len(made)
    assert not any(base.same_work(other) for other in (plain, *others))
    # Said or not, the default is the same.
    assert inputs(database=database(mountPath="/database")) == base


@pytest.mark.parametrize(
    "execution", [{"runAsUser": 1000}, {"fsGroup": 1000}, {"affinity": {"podAffinity": {}}}], ids=str
)
def test_whom_the_pod_runs_as_is_no_other_work(execution: Object) -> None:
    assert inputs(execution=execution) != inputs()
    assert inputs(execution=execution).same_work(inputs())


def test_an_operator_that_knows_volumes_starts_nothing_where_none_is_asked_for() -> None:
    """What the version before wrote into the status of a line that was at rest."""
    assert str(inputs()) == "e57f5e91e97f021800db-4f53cda18c2baa0c0354-150d902f-c295fe75"


def waiting(message: str, spec: Object = CLAIM) -> Object:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return {**pod("p", JOB, conditions=[condition]), "spec": spec}


@pytest.mark.parametrize(
    ("message", "pieces"),
    [
        (
            '0/1 nodes are available: persistentvolumeclaim "app-data" not found. not found',
            ["there is no PersistentVolumeClaim app-data in this namespace", "spec.database.volume.claimName"],
        ),
        (
            "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found",
            ["PersistentVolumeClaim app-data is not bound to a volume", "kubectl describe pvc app-data"],
        ),
        (
            '0/1 nodes are available: persistentvolumeclaim "app-data" is being deleted.',
            ["with PersistentVolumeClaim app-data", "is being deleted"],
        ),
        (
            "0/3 nodes are available: 3 node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access "
            "mode already in-use by another pod.",
            ["with PersistentVolumeClaim app-data", "ReadWriteOncePod", "who else uses it"],
        ),
        ("0/1 nodes are available: 1 node(s) didn't match PersistentVolume's node affinity.", ["node affinity"]),
        (
            "0/1 nodes are available: 1 node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s).",
            ["non-existent"],
        ),
    ],
)
def test_a_claim_that_keeps_the_pod_waiting_is_named(message: str, pieces: list[str]) -> None:
    said = verdict(JOB, [pod_fact(waiting(message))])
    assert (said.phase, said.reason) == (Phase.PENDING, Reason.VOLUME_UNAVAILABLE)
    assert all(piece in said.message for piece in pieces), said.message


@pytest.mark.parametrize(
    ("message", "spec"),
    [
        ("0/1 nodes are available: 1 Insufficient memory.", CLAIM),
        ('0/1 nodes are available: persistentvolumeclaim "x" not found.', {"volumes": [{"emptyDir": {}}]}),
    ],
    ids=["another cause", "a claim that is not ours"],
)
def test_a_node_that_is_missing_is_no_missing_volume(message: str, spec: Object) -> None:
    assert verdict(JOB, [pod_fact(waiting(message, spec))]).reason is Reason.UNSCHEDULABLE


def event(reason: str, message: str, at: str | None) -> Object:
    return {"reason": reason, "message": message, "lastTimestamp": at}


async def a_pod_with_these_events(world: World, events: list[Object], spec: Object) -> list[str]:
    """Let a run's pod have its node and its events; return the selectors with which events were asked for."""
    asked: list[str] = []
    list_all = world.api.list_all

    async def listed(resource: Resource, namespace: str, **selectors: str) -> list[Object]:
        if resource.plural != "events":
            return await list_all(resource, namespace, **selectors)
        asked.append(selectors["field_selector"])
        return events

    world.api.list_all = listed  # type: ignore[method-assign]  # the API of other tests has no events
    await world.look()
    (name,) = world.jobs()
    job = a_job(name, "i")
    creating = {"waiting": {"reason": "ContainerCreating"}}
    world.api.objects["pods", "p"] = {**pod("p", job, creating), "spec": spec}
    await world.look()
    await world.look()
    return asked


EVENTS = [
    event("FailedAttachVolume", "Multi-Attach error for volume pvc-1", "2026-07-01T12:00:05Z"),
    event("FailedMount", "an older one", "2026-07-01T12:00:04Z"),
    event("FailedMount", "of no known time", None),
    event("Scheduled", "Successfully assigned", "2026-07-01T12:00:09Z"),
]


async def test_a_volume_that_another_node_has() -> None:
    world = World(("schemaversions", schema_version(database=database())), ("migrations", migration("m1", "1")))
    asked = await a_pod_with_these_events(world, EVENTS, CLAIM)
    ready = world.condition("Ready")
    assert ready["reason"] == "VolumeUnavailable"
    assert "PersistentVolumeClaim app-data" in ready["message"]
    assert "Multi-Attach error" in ready["message"]
    assert "spec.execution.affinity" in ready["message"]
    assert set(asked) == {"involvedObject.uid=uid-p"}


@pytest.mark.parametrize(("events", "spec"), [(EVENTS, {}), (EVENTS[3:], CLAIM)], ids=["no claim", "nothing failed"])
async def test_a_pod_that_is_only_slow(events: list[Object], spec: Object) -> None:
    world = World(("schemaversions", schema_version(database=database())), ("migrations", migration("m1", "1")))
    asked = await a_pod_with_these_events(world, events, spec)
    assert world.condition("Ready")["reason"] == "Running"
    # Nobody else's events are of interest.
    assert bool(asked) is bool(spec)


def test_a_pod_says_which_claim_it_has() -> None:
    assert pod_fact({**pod("p", JOB), "spec": CLAIM}).claim == "app-data"
    assert a_pod("p", JOB).claim == ""
