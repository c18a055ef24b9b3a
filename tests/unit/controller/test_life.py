"""The life of a line, operator and runner together: ways back, approval, drift, acts by a person, lost statuses.

The operator's parts and the runner's flow are the real ones; API server and database are in memory.
"""

import itertools
from typing import Any

import pytest

from lockstep.api import names
from lockstep.api.reasons import Reason
from lockstep.controller.decide.absorb import TAKEN
from lockstep.controller.kube import ForbiddenError, Object
from lockstep.controller.start import OutdatedError
from lockstep.engines.base import Action, RunError
from lockstep.planning.plan import Direction
from lockstep.planning.version import Version
from lockstep.planning.wire import Mode
from support.controller import migration, pod, schema_version
from support.ledger import Ledger
from support.world import KEY, World

CONFIRM = {"confirm": "orders-x-1-abcde"}


def number(version: int, **spec: Any) -> Object:
    return migration(f"m{version}", str(version), down=f"DROP TABLE m{version}", **spec)


def view(text: str = "CREATE VIEW v AS SELECT 1", **spec: Any) -> Object:
    return migration("view", None, repeatable=True, up=text, **spec)


async def a_line(*more: Object, upto: int = 3, **spec: Any) -> tuple[World, Ledger]:
    """Return an operator and a database that has reached the target."""
    objects = [*(number(each) for each in range(1, upto + 1)), *more]
    world = World(
        ("schemaversions", schema_version(**{"version": str(upto), **spec})),
        *(("migrations", each) for each in objects),
    )
    ledger = Ledger()
    for _ in range(3):
        await world.rest(ledger)
        if (plan := world.status().get("plan")) is None or world.status()["state"] == "UpToDate":
            break
        approve(world, plan["hash"])
    assert world.status()["state"] == "UpToDate"
    ledger.sql.clear()
    ledger.orders.clear()
    world.api.asked.clear()
    return world, ledger


def approve(world: World, *hashes: str) -> None:
    world.set(approvedPlans=list(hashes))


def prune(world: World, name: str) -> None:
    del world.api.objects["migrations", name]


def edit(world: World, name: str, **spec: Any) -> None:
    old = world.api.objects["migrations", name]["spec"]
    world.change("migrations", name, spec={**old, **spec})


def modes(ledger: Ledger) -> list[Mode]:
    return [order.mode for order in ledger.orders]


def applied(world: World) -> dict[str, bool]:
    return {
        name: raw["status"].get("applied", False)
        for (plural, name), raw in world.api.objects.items()
        if plural == "migrations"
    }


# Going down.


async def test_a_lower_target_undoes_and_frees_the_texts() -> None:
    world, ledger = await a_line(rollback="Allow")
    assert all(applied(world).values())
    world.set(version="1")
    (result,) = await world.rest(ledger)
    assert ledger.sql == ["DROP TABLE m3", "DROP TABLE m2"]
    assert (result.reason, result.version) == (Reason.UP_TO_DATE, "1")
    status = world.status()
    assert (status["state"], status["version"], status["target"]) == ("UpToDate", "1", "1")
    assert [each["direction"] for each in status["history"]] == ["up"] * 3 + ["down"] * 2
    assert applied(world) == {"m1": True, "m2": False, "m3": False}
    # And up again, with the texts.
    world.set(version="3")
    await world.rest(ledger)
    assert ledger.version == "3"
    assert all(applied(world).values())


async def test_base_is_an_empty_line() -> None:
    world, ledger = await a_line(rollback="Allow")
    world.set(version="base")
    await world.rest(ledger)
    assert ledger.applied == {}
    assert world.status()["version"] == "base"
    assert not any(applied(world).values())


async def test_latest_never_goes_down() -> None:
    world, ledger = await a_line(rollback="Allow", version="latest")
    prune(world, "m3")
    assert await world.rest(ledger) == []
    assert world.status()["state"] == "UpToDate"


async def test_forbid_stops_it_before_there_is_a_job() -> None:
    world, ledger = await a_line(rollback="Forbid")
    world.set(version="1")
    assert await world.rest(ledger) == []
    assert world.status()["state"] == "RollbackForbidden"
    assert world.condition("Stalled")["status"] == "True"
    world.set(version="3")
    assert await world.rest(ledger) == []
    assert world.status()["state"] == "UpToDate"


async def test_a_correction_is_used_and_pruned_ones_come_from_the_ledger() -> None:
    world, ledger = await a_line(rollback="Allow")
    edit(world, "m3", down="DROP TABLE m3 CASCADE")
    prune(world, "m2")
    world.set(version="1")
    await world.rest(ledger)
    assert ledger.sql == ["DROP TABLE m3 CASCADE", "DROP TABLE m2"]
    (order,) = ledger.orders
    assert [(each.name, each.up, each.down) for each in order.migrations] == [
        ("m1", None, None),
        ("m3", None, "DROP TABLE m3 CASCADE"),
    ]


async def test_a_correction_is_taken_into_the_ledger_at_once() -> None:
    world, ledger = await a_line(rollback="Allow")
    edit(world, "m3", down="DROP TABLE m3 CASCADE")
    (result,) = await world.rest(ledger)
    assert [step.direction for step in result.steps] == ["correct"]
    prune(world, "m3")
    world.set(version="2")
    await world.rest(ledger)
    assert ledger.sql == ["DROP TABLE m3 CASCADE"]


async def test_of_twins_above_the_target_neither_counts() -> None:
    world, ledger = await a_line(rollback="Allow")
    world.api.objects["migrations", "trois"] = migration("trois", "3.0", down="DROP DATABASE")
    world.set(version="2")
    await world.rest(ledger)
    assert ledger.sql == ["DROP TABLE m3"]
    assert world.status()["state"] == "UpToDate"


async def test_what_another_line_requires_is_not_undone_until_it_goes_down() -> None:
    world, ledger = await a_line(rollback="Allow")
    needy = migration("b1", "1", "billing", requires=[{"schema": "orders", "version": "3"}])
    world.api.objects["migrations", "b1"] = needy
    at_one = {"observedGeneration": 1, "version": "1"}
    world.api.objects["schemaversions", "billing"] = schema_version("billing", at_one, suspend=True)
    world.watch()
    world.set(version="2")
    assert await world.rest(ledger, seconds=5) == []
    assert world.status()["state"] == "RequiredByOthers"
    assert "billing 1 (b1) requires orders 3" in world.condition("Ready")["message"]
    assert world.condition("Reconciling")["status"] == "True"
    world.change("schemaversions", "billing", status={**at_one, "version": "base"})
    await world.rest(ledger)
    assert world.status()["version"] == "2"


async def test_a_way_down_that_fails_half_way_leaves_a_true_status() -> None:
    world, ledger = await a_line(rollback="Allow")

    def fault(action: Action) -> None:
        if action.step.candidate.name == "m2":
            raise RunError(Reason.STATEMENT_FAILED, "m2 is in use")

    ledger.fault = fault
    world.set(version="1")
    results = await world.rest(ledger)
    # Once: what failed for good is not tried again by itself.
    assert [each.reason for each in results] == [Reason.STATEMENT_FAILED]
    status = world.status()
    assert (status["state"], status["version"]) == ("StatementFailed", "2")
    assert applied(world) == {"m1": True, "m2": True, "m3": False}
    ledger.fault = lambda action: None
    edit(world, "m2", down="DROP TABLE m2 CASCADE")
    await world.rest(ledger)
    assert ledger.sql == ["DROP TABLE m3", "DROP TABLE m2 CASCADE"]
    assert world.status()["state"] == "UpToDate"


async def test_going_up_again_after_half_a_way_down() -> None:
    world, ledger = await a_line(rollback="Allow", outOfOrder="Allow")

    def fault(action: Action) -> None:
        if action.step.candidate.name == "m1":
            raise RunError(Reason.LOCK_TIMEOUT, "in use")

    ledger.fault = fault
    world.set(version="base")
    await world.look()
    world.play(ledger)
    await world.look(0.1)
    assert ledger.version == "1"
    world.set(version="3")
    await world.rest(ledger)
    # With their texts, although the status once said that the database has them.
    assert ledger.version == "3"
    assert world.status()["state"] == "UpToDate"


# Every order of events of `helm rollback` and `git revert`.

EVENTS = ("target", "prune m3 m2", "view", "prune extra")


def happens(world: World, event: str) -> None:
    match event.split():
        case ["target"]:
            world.set(version="1")
        case ["prune", *pruned]:
            for name in pruned:
                prune(world, name)
        case ["view"]:
            edit(world, "view", up="CREATE VIEW v AS SELECT 1")


@pytest.mark.parametrize("rollback", ["Allow", "Approve"])
@pytest.mark.parametrize("apart", ["all at once", "one by one", "in mid-run"])
async def test_a_rollback_in_every_order_of_events(rollback: str, apart: str) -> None:
    for events in itertools.permutations(EVENTS):
        extra = migration("extra", None, repeatable=True, up="CREATE VIEW extra AS SELECT 1")
        world, ledger = await a_line(view("CREATE VIEW v AS SELECT 2"), extra, rollback=rollback)
        for event in events:
            happens(world, event)
            if apart == "one by one":
                results = await world.rest(ledger)
                if event.startswith("prune"):
                    assert results == [], f"{event} of {events} started something"
            elif apart == "in mid-run":
                await world.look()
        await world.rest(ledger)
        if rollback == "Approve":
            assert world.status()["state"] == "ApprovalRequired", events
            approve(world, world.status()["plan"]["hash"])
            await world.rest(ledger)
        assert (ledger.version, world.status()["state"]) == ("1", "UpToDate"), events
        downs = [sql for sql in ledger.sql if sql.startswith("DROP")]
        assert downs == ["DROP TABLE m3", "DROP TABLE m2"], events
        # The view's own text, and never one that was not asked for.
        assert set(ledger.sql) - set(downs) <= {"CREATE VIEW v AS SELECT 1"}, events
        assert world.status()["version"] == "1"


async def test_pruning_in_mid_run_does_not_stop_the_run() -> None:
    world, ledger = await a_line(rollback="Allow")
    world.set(version="1")
    await world.look()
    prune(world, "m3")
    prune(world, "m2")
    await world.look(10)
    assert not [write for write in world.api.writes() if write == ("delete", "jobs")]
    assert len(await world.rest(ledger)) == 1
    assert world.status()["version"] == "1"


@pytest.mark.parametrize(("then", "stops"), [("1", False), ("2", True), ("3", True), ("base", True)])
async def test_another_target_in_the_middle_of_a_way_down(then: str, stops: bool) -> None:
    world, ledger = await a_line(rollback="Allow")
    world.set(version="1")
    await world.look()
    (job,) = world.jobs("run")[-1:]
    world.set(version=then)
    await world.look(10)
    assert (("delete", "jobs", job) in world.api.asked) is stops
    await world.rest(ledger)
    assert world.status()["version"] == then


async def test_a_way_down_stops_where_it_is_forbidden_in_mid_run() -> None:
    world, _ = await a_line(rollback="Allow")
    world.set(version="1")
    await world.look()
    world.set(rollback="Forbid")
    await world.look(10)
    assert ("delete", "jobs") in world.api.writes()


async def test_a_missing_higher_target_stops_a_way_down() -> None:
    world, _ = await a_line(rollback="Allow")
    world.set(version="1")
    await world.look()
    world.set(version="9")
    await world.look(10)
    assert ("delete", "jobs") in world.api.writes()
    assert world.status()["target"] == "9"


# Approval.


async def test_a_plan_waits_and_runs_once_its_hash_is_there() -> None:
    world, ledger = await a_line()
    world.set(version="1")
    (planned,) = await world.rest(ledger)
    assert planned.reason is Reason.PLANNED
    status = world.status()
    assert (status["state"], status["version"]) == ("ApprovalRequired", "3")
    (job,) = world.jobs("plan")
    assert status["plan"] == {
        "hash": planned.plan.hash if planned.plan else "",
        "job": job,
        "input": status["plan"]["input"],
        "count": 2,
        "direction": "Down",
        "steps": ["down 3 (m3)", "down 2 (m2)"],
    }
    assert not {"Reconciling", "Stalled"} & {each["type"] for each in status["conditions"]}
    said = world.condition("ApprovalRequired")
    assert said["status"] == "True"
    for word in (status["plan"]["hash"], "Down, 2 step(s)", f"kubectl logs -n ns job/{job}"):
        assert word in said["message"]
    assert "ttlSecondsAfterFinished" not in world.api.objects["jobs", job]["spec"]
    # Another hash is none.
    approve(world, "sha256:" + "0" * 64)
    assert await world.rest(ledger) == []
    approve(world, status["plan"]["hash"])
    (done,) = await world.rest(ledger)
    assert (done.reason, ledger.version) == (Reason.UP_TO_DATE, "1")
    assert modes(ledger) == [Mode.PLAN, Mode.RUN]
    assert world.status()["state"] == "UpToDate"
    assert world.condition("ApprovalRequired")["reason"] == "Approved"
    # It has run: its log may go.
    assert world.api.objects["jobs", job]["spec"]["ttlSecondsAfterFinished"] == 600


async def test_manual_holds_for_going_up_and_not_for_an_allowed_way_down() -> None:
    world, ledger = await a_line(approval="Manual", rollback="Allow", version="2")
    world.set(version="3")
    await world.rest(ledger)
    assert (world.status()["state"], world.status()["plan"]["direction"]) == ("ApprovalRequired", "Up")
    world.set(version="1")
    await world.rest(ledger)
    assert (world.status()["state"], world.status()["version"]) == ("UpToDate", "1")
    assert world.status().get("plan") is None


async def test_a_hash_that_came_with_the_version_goes_on_by_itself() -> None:
    """As CI commits it: the hash is a function of the texts alone."""
    world, ledger = await a_line()
    world.set(version="1")
    await world.rest(ledger)
    expected = world.status()["plan"]["hash"]
    world, ledger = await a_line()
    world.set(version="1", approvedPlans=[expected])
    results = await world.rest(ledger)
    assert [each.reason for each in results] == [Reason.PLANNED, Reason.UP_TO_DATE]
    events = [body["reason"] for body in world.api.bodies if body.get("kind") == "Event"]
    assert "ApprovalRequired" not in events


async def test_a_plan_that_the_database_has_outrun_is_replaced() -> None:
    world, ledger = await a_line()
    world.set(version="1")
    await world.rest(ledger)
    first = world.status()["plan"]
    # Somebody else goes down by one.
    del ledger.applied[Version.parse("3")]
    approve(world, first["hash"])
    results = await world.rest(ledger)
    assert [each.reason for each in results] == [Reason.APPROVAL_REQUIRED]
    status = world.status()
    assert (status["state"], status["version"]) == ("ApprovalRequired", "2")
    assert status["plan"]["hash"] != first["hash"]
    assert status["plan"]["job"] in world.jobs("run")
    assert "ttlSecondsAfterFinished" not in world.api.objects["jobs", status["plan"]["job"]]["spec"]
    approve(world, first["hash"], status["plan"]["hash"])
    await world.rest(ledger)
    assert (world.status()["state"], ledger.version) == ("UpToDate", "1")


async def test_a_runner_that_refuses_what_is_approved_is_not_asked_all_the_time() -> None:
    world, ledger = await a_line()
    world.set(version="1")
    await world.rest(ledger)
    approve(world, world.status()["plan"]["hash"])

    def fault(action: Action) -> None:
        raise RunError(Reason.APPROVAL_REQUIRED, "no")

    ledger.fault = fault
    for _ in range(20):
        await world.look(0.5)
        world.play(ledger)
    assert len([mode for mode in modes(ledger) if mode is Mode.RUN]) <= 3


@pytest.mark.parametrize(
    "change",
    [
        lambda world: world.set(version="2"),
        lambda world: world.set(approval="Manual"),
        lambda world: edit(world, "m3", down="DROP TABLE m3 CASCADE"),
    ],
    ids=["target", "policy", "set"],
)
async def test_a_change_makes_the_old_plan_void(change: Any) -> None:
    world, ledger = await a_line()
    world.set(version="1")
    await world.rest(ledger)
    old = world.status()["plan"]
    change(world)
    await world.rest(ledger)
    assert modes(ledger) == [Mode.PLAN, Mode.PLAN]
    new = world.status()["plan"]
    assert (new["input"] != old["input"], new["job"] != old["job"]) == (True, True)
    assert "ttlSecondsAfterFinished" in world.api.objects["jobs", old["job"]]["spec"]
    assert "ttlSecondsAfterFinished" not in world.api.objects["jobs", new["job"]]["spec"]


async def test_taking_the_wish_back_needs_no_run() -> None:
    world, ledger = await a_line()
    world.set(version="1")
    await world.rest(ledger)
    world.set(version="3")
    assert await world.rest(ledger) == []
    status = world.status()
    assert (status["state"], status.get("plan")) == ("UpToDate", None)
    assert world.condition("ApprovalRequired")["reason"] == "NotRequired"
    # So the plan's Job may go, too.
    assert all("ttlSecondsAfterFinished" in world.api.objects["jobs", name]["spec"] for name in world.jobs())


async def test_what_needs_no_step_needs_no_approval() -> None:
    """The run follows at once: it takes a corrected down into the ledger."""
    world, ledger = await a_line(approval="Manual")
    edit(world, "m3", down="DROP TABLE m3 CASCADE")
    results = await world.rest(ledger)
    assert [each.reason for each in results] == [Reason.PLANNED, Reason.UP_TO_DATE]
    assert world.status()["state"] == "UpToDate"
    assert await world.rest(ledger) == []


async def test_a_plan_that_cannot_be_made_is_reported_and_tried_again() -> None:
    world, ledger = await a_line()
    prune(world, "m3")
    world.set(version="1")
    ledger.uuid = "another"
    (result,) = await world.rest(ledger)
    assert result.reason is Reason.LEDGER_BEHIND
    status = world.status()
    assert (status["state"], status["run"]["mode"], status["run"]["outcome"]) == ("LedgerBehind", "Plan", "Person")
    assert world.condition("Stalled")["status"] == "True"
    ledger.uuid = "u1"
    world.change("schemaversions", "orders", metadata={"annotations": {names.ANNOTATION_RETRY: "1"}})
    await world.rest(ledger)
    assert world.status()["state"] == "ApprovalRequired"
    assert world.status()["lastHandledRetry"] == "1"


async def test_an_unknown_database_that_must_go_down_is_asked_for_approval_by_the_runner() -> None:
    world, ledger = await a_line()
    world.change("schemaversions", "orders", status={"observedGeneration": -1})
    world.collect()
    world.set(version="1")
    results = await world.rest(ledger)
    assert [each.reason for each in results] == [Reason.APPROVAL_REQUIRED, Reason.PLANNED]
    assert world.status()["state"] == "ApprovalRequired"
    assert world.status()["version"] == "3"
    approve(world, world.status()["plan"]["hash"])
    await world.rest(ledger)
    assert ledger.version == "1"


async def test_while_a_plan_is_made_it_says_so() -> None:
    world, _ = await a_line()
    world.set(version="1")
    await world.look()
    assert world.status()["state"] == "Planning"
    assert world.condition("Reconciling")["status"] == "True"
    assert world.condition("ApprovalRequired")["status"] == "Unknown"
    assert world.status()["run"]["mode"] == "Plan"


# Suspend.


async def test_suspend_starts_nothing_and_says_so() -> None:
    world, ledger = await watched("1m")
    world.set(suspend=True)
    assert await world.rest(ledger) == []
    assert world.status()["state"] == "UpToDate"
    assert "spec.suspend" in world.condition("Ready")["message"]
    world.set(version="1")
    assert await world.rest(ledger) == []
    assert world.status()["state"] == "Suspended"
    assert not {"Reconciling", "Stalled"} & {each["type"] for each in world.status()["conditions"]}
    world.set(suspend=None)
    await world.look()
    assert world.status()["state"] == "Planning"


async def test_suspend_leaves_a_run_under_way_alone() -> None:
    world, ledger = await a_line(rollback="Allow")
    world.set(version="1")
    await world.look()
    world.set(suspend=True)
    await world.look(10)
    assert world.status()["state"] == "Running"
    await world.rest(ledger)
    assert (world.status()["state"], world.status()["version"]) == ("UpToDate", "1")


# Drift.


async def test_what_a_run_has_seen_is_kept() -> None:
    world, ledger = await a_line()
    assert world.condition("Drifted")["reason"] == "NoDrift"
    ledger.drift = "table public.by_hand"
    world.api.objects["migrations", "m4"] = number(4)
    world.set(version="4")
    await world.rest(ledger)
    said = world.condition("Drifted")
    assert (said["status"], said["reason"]) == ("True", "Drifted")
    assert "table public.by_hand" in said["message"]
    assert world.status()["drift"]["hash"] == "sha256:table public.by_hand"
    assert world.status()["state"] == "UpToDate"
    # Its log names every object: its Job stays.
    assert "ttlSecondsAfterFinished" not in world.api.objects["jobs", world.status()["drift"]["job"]]["spec"]
    world.set(drift="Ignore")
    await world.rest(ledger)
    assert world.condition("Drifted") == {}


async def watched(every: str, **spec: Any) -> tuple[World, Ledger]:
    """Return a line that is looked at by the clock from now on."""
    world, ledger = await a_line(**spec)
    world.set(driftCheck=every)
    return world, ledger


async def pass_time(world: World, ledger: Ledger, seconds: float, step: float) -> None:
    for _ in range(int(seconds / step)):
        await world.look(step)
        world.play(ledger)


async def test_looks_by_the_clock_do_not_disturb() -> None:
    world, ledger = await watched("1h")
    ledger.drift = "table public.by_hand"
    before = world.condition("Ready")
    for hours in range(1, 4):
        # A moment of its own in the first hour; then one an hour, from the end of the last.
        await pass_time(world, ledger, 3900, 60)
        assert modes(ledger) == [Mode.CHECK] * hours
    await world.look(1)
    now = world.condition("Ready")
    assert {**now, "observedGeneration": 0} == {**before, "observedGeneration": 0}
    assert world.condition("Drifted")["status"] == "True"
    assert (world.status()["drift"]["checks"], world.status()["run"]["mode"]) == (3, "Run")
    assert not any(order.migrations for order in ledger.orders)
    # The log of the last one is kept, since it names every object.
    jobs = {name: world.api.objects["jobs", name]["spec"] for name in world.jobs("check")}
    kept = [name for name, spec in jobs.items() if "ttlSecondsAfterFinished" not in spec]
    assert kept == [world.status()["drift"]["job"]]


async def test_a_restart_is_no_storm_and_no_look_is_lost_for_ever() -> None:
    world, ledger = await watched("24h")
    await pass_time(world, ledger, 120, 60)
    assert ledger.orders == []
    world.gatherer.memory.forget("check")
    # Within an hour, at a moment of its own.
    await pass_time(world, ledger, 3600, 60)
    assert modes(ledger) == [Mode.CHECK]
    await pass_time(world, ledger, 22 * 3600, 1800)
    assert len(ledger.orders) == 1
    await pass_time(world, ledger, 3 * 3600, 1800)
    assert len(ledger.orders) == 2


async def looking(**spec: Any) -> tuple[World, Ledger, str]:
    """Return a line with a look under way."""
    world, ledger = await watched("1m", **spec)
    await world.look(61)
    await world.look(61)
    (check,) = world.jobs("check")
    return world, ledger, check


async def test_real_work_comes_before_a_look() -> None:
    world, ledger, check = await looking(rollback="Allow")
    world.set(version="1", driftCheck="1h")
    await world.look(10)
    assert ("delete", "jobs", check) in world.api.asked
    (result,) = await world.rest(ledger, seconds=10)
    assert (result.reason, world.status()["version"]) == (Reason.UP_TO_DATE, "1")
    # What was broken off told nothing, and its failure is none.
    assert "error" not in world.status()["drift"]


async def test_a_look_never_starts_beside_a_run() -> None:
    world, ledger = await watched("1m", rollback="Allow")
    world.set(version="1")
    await world.look(61)
    for _ in range(5):
        await world.look(61)
    assert world.jobs("check") == []
    assert world.status()["state"] == "Running"
    world.play(ledger)
    await world.look(1)
    assert world.status()["state"] == "UpToDate"


async def test_a_run_waits_until_the_pod_of_a_look_has_ended() -> None:
    world, _, check = await looking(rollback="Allow")
    world.watch()
    job = next(job for name, job in world.cache.jobs.items() if name.name == check)
    world.api.objects["pods", "p"] = pod("p", job, {"running": {}}, phase="Running")
    world.set(version="1")
    runs = len(world.jobs("run"))
    for _ in range(3):
        await world.look(10)
    assert check not in world.jobs()
    assert len(world.jobs("run")) == runs
    del world.api.objects["pods", "p"]
    await world.look(10)
    await world.look(10)
    assert len(world.jobs("run")) == runs + 1


async def test_a_look_whose_maker_died_is_finished() -> None:
    world, ledger, check = await looking()
    raw = world.api.objects["jobs", check]
    world.change("jobs", check, spec={**raw["spec"], "suspend": True})
    del world.api.objects["configmaps", f"{check}-000"]
    await world.look(10)
    assert world.api.objects["jobs", check]["spec"]["suspend"] is False
    world.play(ledger)
    assert modes(ledger) == [Mode.CHECK]


async def test_a_look_that_is_not_asked_for_any_more_ends() -> None:
    world, _, check = await looking()
    world.set(driftCheck=None)
    await world.look(10)
    assert ("delete", "jobs", check) in world.api.asked
    assert world.status()["state"] == "UpToDate"


async def test_a_look_that_fails_is_said_and_changes_nothing_else() -> None:
    world, ledger = await watched("1m")
    ledger.uuid = "another"
    await pass_time(world, ledger, 300, 61)
    assert world.status()["state"] == "UpToDate"
    said = world.condition("Drifted")
    assert (said["reason"], "LedgerBehind" in said["message"]) == ("NoDrift", True)
    assert world.status()["drift"]["checks"] >= 1
    ledger.uuid = "u1"
    await pass_time(world, ledger, 300, 61)
    assert "LedgerBehind" not in world.condition("Drifted")["message"]


async def test_a_look_that_no_quota_lets_in_does_not_spin() -> None:
    world, ledger = await watched("1m")
    await world.look(1)
    world.api.asked.clear()
    world.api.refuse_creation = ForbiddenError(403, "Forbidden", "exceeded quota: q")
    await pass_time(world, ledger, 1000, 61)
    assert "QuotaExceeded" in world.condition("Drifted")["message"]
    assert world.status()["state"] == "UpToDate"
    # One try a look, and one write.
    assert len([write for write in world.api.writes() if write == ("create", "jobs")]) <= 16
    assert len([write for write in world.api.writes() if write == ("patch", "schemaversions")]) == 1


async def test_with_block_a_drifted_look_blocks_nothing_until_there_is_something_to_run() -> None:
    world, ledger = await watched("1m", drift="Block")
    ledger.drift = "table public.by_hand"
    await pass_time(world, ledger, 300, 61)
    assert (world.condition("Drifted")["status"], world.status()["state"]) == ("True", "UpToDate")
    world.api.objects["migrations", "m4"] = number(4)
    world.set(version="4")
    await world.rest(ledger)
    assert world.status()["state"] == "Drifted"
    assert world.condition("Stalled")["status"] == "True"
    act = {"token": "ok", "action": "AcceptDrift", "confirm": world.status()["drift"]["hash"]}
    world.set(repair=act, driftCheck=None)
    await world.rest(ledger)
    assert (world.status()["state"], world.condition("Drifted")["reason"]) == ("UpToDate", "NoDrift")


async def test_what_could_not_be_told_leaves_the_last_verdict() -> None:
    world, ledger = await watched("1m")
    ledger.drift = "table public.by_hand"
    await pass_time(world, ledger, 300, 61)
    seen = world.status()["drift"]
    ledger.inconclusive = "another line is under way"
    await pass_time(world, ledger, 300, 61)
    now = world.status()["drift"]
    assert now["checks"] > seen["checks"]
    assert {**now, "checks": 0} == {**seen, "checks": 0}
    assert world.condition("Drifted")["status"] == "True"


async def test_nothing_to_compare_with_is_no_verdict() -> None:
    world = World(("schemaversions", schema_version()), ("migrations", number(1)))
    ledger = Ledger(inconclusive="this is the first look")
    await world.rest(ledger)
    said = world.condition("Drifted")
    assert (said["status"], said["reason"], said["message"]) == ("Unknown", "NotChecked", "this is the first look")


# Acts by a person.


async def test_an_act_is_done_once() -> None:
    world, ledger = await a_line()
    world.set(repair={"token": "t1", "action": "AcceptLedger", "confirm": "u1", "note": "restored"})
    (result,) = await world.rest(ledger)
    assert (result.repaired, ledger.acts) == ("t1", ["t1"])
    assert ledger.orders[-1].known_ledger == "u1"
    assert world.status()["lastHandledRepair"] == "t1"
    assert world.status()["state"] == "UpToDate"
    # Taking it away is no work, nor is having it there.
    world.set(repair=None)
    assert await world.rest(ledger) == []
    # Neither is it done again from a status that was lost.
    world.set(repair={"token": "t1", "action": "AcceptLedger", "confirm": "u1"})
    assert await world.rest(ledger) == []
    world.change("schemaversions", "orders", status={"observedGeneration": -1})
    world.collect()
    await world.rest(ledger)
    assert ledger.acts == ["t1"]
    assert world.status()["lastHandledRepair"] == "t1"


async def test_an_act_that_was_refused_is_not_tried_again_before_something_changes() -> None:
    world, ledger = await a_line()
    act = {"token": "t1", "action": "MarkApplied", "version": "3"}
    world.set(repair=act)
    results = await world.rest(ledger)
    assert [each.reason for each in results] == [Reason.REPAIR_REFUSED]
    assert world.condition("Stalled")["reason"] == "RepairRefused"
    assert await world.rest(ledger) == []
    world.set(repair={**act, "token": "t2", "action": "MarkNotApplied"}, version="2")
    await world.rest(ledger)
    assert (ledger.acts, ledger.version) == (["t2"], "2")
    assert world.status()["state"] == "UpToDate"


async def test_after_an_act_the_texts_go_along_again() -> None:
    """What is marked as not applied is run: its text must be there, although the status said that it had run."""
    world, ledger = await a_line()
    world.set(repair={"token": "t1", "action": "MarkNotApplied", "version": "3"})
    await world.rest(ledger)
    assert ledger.sql == ["CREATE TABLE m3 ()"]
    assert world.status()["state"] == "UpToDate"
    # The act is done, what follows it fails: the next attempt has the text all the same.
    failures = iter([RunError(Reason.LOCK_TIMEOUT, "in use")])

    def fault(action: Action) -> None:
        for error in failures:
            raise error

    ledger.fault = fault
    world.set(repair={"token": "t2", "action": "MarkNotApplied", "version": "2"}, outOfOrder="Allow")
    results = await world.rest(ledger)
    assert [each.reason for each in results] == [Reason.LOCK_TIMEOUT, Reason.UP_TO_DATE]
    assert ledger.acts == ["t1", "t2"]


async def test_an_act_needs_no_approval_but_what_follows_it_does() -> None:
    world, ledger = await a_line(approval="Manual")
    world.set(repair={"token": "t1", "action": "MarkNotApplied", "version": "3"})
    results = await world.rest(ledger)
    assert results[0].reason is Reason.APPROVAL_REQUIRED
    assert (ledger.acts, world.status()["lastHandledRepair"]) == (["t1"], "t1")
    assert world.status()["state"] == "ApprovalRequired"
    assert world.status()["version"] == "2"
    approve(world, world.status()["plan"]["hash"])
    await world.rest(ledger)
    assert (world.status()["state"], ledger.version) == ("UpToDate", "3")


async def test_an_act_comes_before_forbid() -> None:
    """The act may be what puts the version right."""
    world, ledger = await a_line(rollback="Forbid")
    world.set(version="2", repair={"token": "t1", "action": "MarkNotApplied", "version": "3"})
    await world.rest(ledger)
    assert (world.status()["state"], ledger.version, ledger.sql) == ("UpToDate", "2", [])


async def test_a_restored_database_is_accepted_and_goes_up_again() -> None:
    world, ledger = await a_line()
    del ledger.steps[2:]
    del ledger.applied[Version.parse("3")]
    world.change("schemaversions", "orders", metadata={"annotations": {names.ANNOTATION_RETRY: "1"}})
    await world.rest(ledger)
    assert world.status()["state"] == "LedgerBehind"
    world.set(repair={"token": "t1", "action": "AcceptLedger", "confirm": "u1"})
    await world.rest(ledger)
    assert (world.status()["state"], ledger.version) == ("UpToDate", "3")


@pytest.mark.parametrize("left", ["running", "terminating"])
async def test_no_session_is_ended_while_its_pod_is_there(left: str) -> None:
    world, ledger = await a_line()
    holder = pod(CONFIRM["confirm"], world.cache.jobs[next(iter(world.cache.jobs))], {"running": {}}, phase="Running")
    if left == "terminating":
        holder["metadata"]["deletionTimestamp"] = "2026-07-01T12:00:00Z"
    # Of another Job, and not known to the cache.
    holder["metadata"]["annotations"] = {}
    world.api.objects["pods", CONFIRM["confirm"]] = holder
    world.set(repair={"token": "t1", "action": "EndSession", **CONFIRM})
    assert await world.rest(ledger) == []
    assert world.status()["state"] == "RepairRefused"
    assert "is still there" in world.condition("Ready")["message"]
    assert ("get", "pods", CONFIRM["confirm"]) in world.api.asked
    # It goes on once that pod has ended, or is gone.
    holder["status"]["phase"] = "Failed"
    await world.rest(ledger)
    assert ledger.acts == ["t1"]
    assert world.status()["state"] == "UpToDate"


async def test_the_pod_is_looked_for_live_before_each_run() -> None:
    world, ledger = await a_line()
    world.set(repair={"token": "t1", "action": "EndSession", **CONFIRM})
    world.watch()
    world.clock.seconds += 60
    wanted = await world.wanted()
    holder = pod(CONFIRM["confirm"], world.cache.jobs[next(iter(world.cache.jobs))], {"running": {}}, phase="Running")
    world.api.objects["pods", CONFIRM["confirm"]] = holder
    jobs = len(world.jobs())
    with pytest.raises(OutdatedError):
        await world.starter.start(KEY, wanted)
    assert len(world.jobs()) == jobs
    assert ledger.acts == []


async def test_a_session_of_what_can_be_no_pod_is_not_ended() -> None:
    world, ledger = await a_line()
    world.set(repair={"token": "t1", "action": "EndSession", "confirm": "../secrets/db"})
    assert await world.rest(ledger) == []
    assert "no name of a pod" in world.condition("Ready")["message"]
    assert not [asked for asked in world.api.asked if asked[:2] == ("get", "pods")]


# Lost statuses.


@pytest.mark.parametrize("pruned", [False, True], ids=["all there", "all pruned"])
@pytest.mark.parametrize("jobs", [False, True], ids=["Jobs gone", "Jobs there"])
async def test_a_wiped_status_is_rebuilt_from_the_ledger(pruned: bool, jobs: bool) -> None:
    world, ledger = await a_line(rollback="Allow")
    world.collect()
    world.set(version="2")
    await world.rest(ledger)
    before = world.status()
    if pruned:
        for name in ("m1", "m2", "m3"):
            prune(world, name)
    if not jobs:
        world.collect()
    world.change("schemaversions", "orders", status={"observedGeneration": -1})
    ledger.sql.clear()
    await world.rest(ledger)
    after = world.status()
    for each in (*before["history"], *after["history"]):
        each.pop("milliseconds")
    for field in ("version", "ledger", "history", "state", "target"):
        assert after[field] == before[field], field
    assert after.get("settled") == (None if pruned else before["settled"])
    assert ledger.sql == []
    assert await world.rest(ledger) == []
    # The status was lost, not the way back.
    world.set(version="1")
    await world.rest(ledger)
    assert ledger.sql == ["DROP TABLE m2"]


async def test_a_target_that_nobody_knows_is_asked_for_once() -> None:
    world = World(("schemaversions", schema_version(version="7")), ("migrations", number(1)))
    ledger = Ledger()
    results = await world.rest(ledger)
    assert [each.reason for each in results] == [Reason.TARGET_NOT_FOUND]
    assert modes(ledger) == [Mode.PLAN]
    assert world.status()["state"] == "TargetNotFound"
    for _ in range(5):
        assert await world.rest(ledger) == []
    world.api.objects["migrations", "m7"] = number(7)
    await world.rest(ledger)
    assert ledger.version == "7"


async def test_a_lost_status_frees_no_text() -> None:
    world, _ = await a_line()
    world.change("schemaversions", "orders", status={"observedGeneration": -1})
    world.set(suspend=True)
    await world.look()
    assert all(applied(world).values())
    del world.api.objects["schemaversions", "orders"]
    await world.look()
    assert all(applied(world).values())


async def test_a_deleted_schema_version_keeps_what_it_has_applied() -> None:
    world, _ = await a_line()
    other = schema_version("other", {"observedGeneration": 1, "version": "1"}, schema="orders", suspend=True)
    world.api.objects["schemaversions", "other"] = other
    del world.api.objects["schemaversions", "orders"]
    await world.look()
    # It is not known what its database has.
    assert all(applied(world).values())


def test_directions_that_settle_are_the_planners() -> None:
    assert {each.value for each in Direction} - TAKEN == {"down", "repair"}
