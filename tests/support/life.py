"""A line, operator and runner together: what the tests of its life begin with, and what people do to it.

The operator's parts and the runner's flow are the real ones; API server and database are in memory.
"""

from typing import Any

from lockstep.controller.kube import Object
from lockstep.planning.wire import Mode
from support.controller import migration, schema_version
from support.ledger import Ledger
from support.world import World

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


async def watched(every: str, **spec: Any) -> tuple[World, Ledger]:
    """Return a line that is looked at by the clock from now on."""
    world, ledger = await a_line(**spec)
    world.set(driftCheck=every)
    return world, ledger
