"""The hash that `lockstep plan` reckons from files is the one that a run computes under the lock."""

from pathlib import Path

import pytest
import yaml
from msgspec.structs import replace

from lockstep.cli import preview
from lockstep.planning.wire import OrderedMigration, Policy
from servers.postgres import Database
from servers.runner import Ended, Pod, keys_of, migration, order

FREE = Policy(rollback="Allow", out_of_order="Allow")
TABLE = migration("1", "CREATE TABLE a (id int)", "DROP TABLE a")
COLUMN = migration("2", "ALTER TABLE a ADD COLUMN b int", "ALTER TABLE a DROP COLUMN b")
MORE = migration("10", "CREATE TABLE c ()", "DROP TABLE c")


def view(columns: str) -> OrderedMigration:
    return migration(None, f"CREATE OR REPLACE VIEW v AS SELECT {columns} FROM a", "DROP VIEW v", name="orders-v")


def write(folder: Path, *migrations: OrderedMigration) -> str:
    """Write the migrations as resources."""
    folder.mkdir(exist_ok=True)
    documents = [
        {
            "apiVersion": "lockstep.dev/v1alpha1",
            "kind": "Migration",
            "metadata": {"name": each.name},
            "spec": {
                "schema": "orders",
                "up": each.up,
                "down": each.down,
                **({"repeatable": True} if each.version is None else {"version": each.version}),
            },
        }
        for each in migrations
    ]
    (folder / "all.yaml").write_text(yaml.safe_dump_all(documents))
    return str(folder)


def planned(ended: Ended) -> object:
    (event,) = ended.events("planned")
    return event["plan"]


def test_every_plan_of_a_life_is_known_from_files(database: Database, pod: Pod, tmp_path: Path) -> None:
    releases = [
        (TABLE, view("id")),
        (TABLE, COLUMN, view("id, b")),
        (TABLE, COLUMN, MORE, view("id, b")),
    ]
    places = [write(tmp_path / f"r{number}", *each) for number, each in enumerate(releases)]
    for number, release in enumerate(releases):
        ended = pod.run(order(*release, policy=FREE), keys_of(database))
        assert ended.code == 0, ended.text
        made = preview.make([places[number]], preview.Asked(after=tuple(places[:number])))
        assert planned(ended) == made.hash
    # Back to the first release, as `helm rollback` would: its files, its target.
    back = preview.make([places[0]], preview.Asked(target="1", after=tuple(places)))
    ended = pod.run(
        order(*releases[0], target="1", policy=replace(FREE, approved_plans=(back.hash,))), keys_of(database)
    )
    assert (ended.code, ended.result.version) == (0, "1"), ended.text
    assert planned(ended) == back.hash
    assert [step.label for step in back.steps] == [
        "down orders-v",
        "down 10 (orders-10)",
        "down 2 (orders-2)",
        "repeat orders-v",
    ]


@pytest.mark.parametrize("target", ["1", "base"])
def test_the_same_files_both_ways(target: str, database: Database, pod: Pod, tmp_path: Path) -> None:
    place = write(tmp_path / "all", TABLE, COLUMN, MORE)
    assert pod.run(order(TABLE, COLUMN, MORE), keys_of(database)).code == 0
    made = preview.make([place], preview.Asked(target=target, start="10"))
    ended = pod.run(
        order(TABLE, COLUMN, MORE, target=target, policy=Policy(approved_plans=(made.hash,))), keys_of(database)
    )
    assert (ended.code, planned(ended)) == (0, made.hash), ended.text
