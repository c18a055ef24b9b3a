"""The life of a line: statuses that were lost, and objects that were deleted."""

import pytest

from lockstep.api.reasons import Reason
from lockstep.controller.decide.absorb import TAKEN
from lockstep.planning.plan import Direction
from lockstep.planning.wire import Mode
from support.controller import schema_version
from support.ledger import Ledger
from support.life import a_line, applied, modes, number, prune
from support.world import World


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
