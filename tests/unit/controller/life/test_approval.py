"""The life of a line: plans, their approval, and what makes one void; suspension."""

from typing import Any

import pytest

from lockstep.api import names
from lockstep.api.reasons import Reason
from lockstep.engines.base import Action, RunError
from lockstep.planning.version import Version
from lockstep.planning.wire import Mode
from support.life import a_line, approve, edit, modes, prune, watched


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
