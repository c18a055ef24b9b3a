"""The life of a line: ways back, and every order of events of `helm rollback` and `git revert`."""

import itertools

import pytest

from lockstep.api.reasons import Reason
from lockstep.engines.base import Action, RunError
from support.controller import migration, schema_version
from support.life import a_line, applied, approve, edit, prune, view
from support.world import World


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
