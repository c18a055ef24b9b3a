"""The life of a line: acts by a person, `spec.repair`."""

import pytest

from lockstep.api import names
from lockstep.api.reasons import Reason
from lockstep.controller.start import OutdatedError
from lockstep.engines.base import Action, RunError
from lockstep.planning.version import Version
from support.controller import pod
from support.life import CONFIRM, a_line, approve
from support.world import KEY


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
