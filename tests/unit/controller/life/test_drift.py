"""The life of a line: looks for drift, by runs and by the clock."""

from typing import Any

from lockstep.api.reasons import Reason
from lockstep.controller.kube import ForbiddenError
from lockstep.planning.wire import Mode
from support.controller import pod, schema_version
from support.ledger import Ledger
from support.life import a_line, modes, number, watched
from support.world import World


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
