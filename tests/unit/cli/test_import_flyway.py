"""Flyway's folders: locations with folders in them, and baselines beside the versions that they stand for."""

from pathlib import Path

import pytest
import yaml

from lockstep.cli import documents
from lockstep.planning.adoption import ForeignRow, adopt
from lockstep.planning.plan import Refusal
from lockstep.planning.version import Version
from support.importing import DOWN, UP, fill, imported, run


def of(folder: Path) -> dict[str, tuple[str, str | None]]:
    """Return both texts by version."""
    return {spec["version"]: (spec["up"], spec.get("down")) for spec in imported(folder).values()}


def versions(folder: Path) -> list[str]:
    return [spec["version"] for spec in imported(folder).values() if "version" in spec]


def said(folder: Path) -> str:
    return run(folder).stderr


def sql(*names: str) -> dict[str, str]:
    """Return files whose text is their name."""
    return {name: f"SELECT '{name}';\n" for name in names}


def test_a_location_holds_folders(folder: Path) -> None:
    fill(folder, sql("V1__a.sql", "2026/q1/V3__c.sql", "basics/V2__b.sql", "2026/q1/U3__c.sql", "views/R__all.sql"))
    fill(folder, {"2026/q1/V3__c.sql.conf": "executeInTransaction=false"})
    specs = imported(folder)
    assert [(name, spec["up"]) for name, spec in specs.items()] == [
        ("orders-1-a", "SELECT 'V1__a.sql';\n"),
        ("orders-2-b", "SELECT 'basics/V2__b.sql';\n"),
        ("orders-3-c", "SELECT '2026/q1/V3__c.sql';\n"),
        ("orders-all", "SELECT 'views/R__all.sql';\n"),
    ]
    assert specs["orders-3-c"]["down"] == "SELECT '2026/q1/U3__c.sql';\n"
    assert specs["orders-3-c"]["transaction"] == "Never"
    # It goes by versions, whatever the folders are called.
    assert "its tool takes it" not in said(folder)


@pytest.mark.parametrize(
    "files",
    [("pg/V1__a.sql", "my/V01.0__a.sql"), ("V1__a.sql", "V1_0__b.sql"), ("B1__a.sql", "old/B1__b.sql", "V2__c.sql")],
)
def test_one_version_twice_is_refused_as_by_flyway(files: tuple[str, ...], folder: Path) -> None:
    fill(folder, sql(*files, "V9__z.sql"))
    done = run(folder)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "Flyway takes no two files of one version" in done.stderr
    assert f"{min(files[:2])} and {max(files[:2])}" in done.stderr
    assert "V9" not in done.stderr


def test_of_folders_for_each_database_one_is_to_be_chosen(folder: Path) -> None:
    fill(folder, sql(*(f"{where}/V{n}__a.sql" for where in ("mysql", "postgresql") for n in range(1, 40))))
    (line,) = run(folder).stderr.splitlines()
    assert "mysql/V1__a.sql and postgresql/V1__a.sql, " in line
    assert len(line) < 500
    assert len(imported(folder / "mysql")) == 39


def test_other_tools_do_not_look_into_folders(folder: Path) -> None:
    fill(folder, sql("1_a.up.sql", "V2__b.sql", "old/V1__x.sql", "old/R__y.sql"))
    assert versions(folder) == ["1", "2"]
    assert "left out, in a folder below, where only Flyway looks: old/R__y.sql, old/V1__x.sql\n" in said(folder)


def test_versions_are_right_on_every_database_and_a_baseline_is_not(folder: Path) -> None:
    fill(folder, sql("V1__a.sql", "V2__b.sql", "B2__all.sql", "V3__c.sql", "U3__c.sql", "B2.5__more.sql"))
    assert [up for up, _ in of(folder).values()] == [
        f"SELECT '{name}';\n" for name in ("V1__a.sql", "V2__b.sql", "V3__c.sql")
    ]
    assert "left out, a baseline: B2__all.sql, B2.5__more.sql: versioned scripts" in said(folder)
    assert "from V1__a.sql on" in said(folder)


def test_a_baseline_is_the_first_version_where_what_it_stands_for_is_gone(folder: Path) -> None:
    fill(
        folder,
        sql("B1__old.sql", "B2.0__all.sql", "V2.1__c.sql", "U2.1__c.sql", "U2__b.sql", "U1__a.sql", "V10__d.sql"),
    )
    fill(folder, {"B2.0__all.sql.conf": "executeInTransaction=false"})
    assert of(folder) == {
        # What undoes version 2 undoes a part of it.
        "2.0": ("SELECT 'B2.0__all.sql';\n", None),
        "2.1": ("SELECT 'V2.1__c.sql';\n", "SELECT 'U2.1__c.sql';\n"),
        "10": ("SELECT 'V10__d.sql';\n", None),
    }
    assert imported(folder)["orders-2.0-all"]["transaction"] == "Never"
    remarks = said(folder)
    assert "left out, a baseline that B2.0__all.sql stands for: B1__old.sql\n" in remarks
    assert "left out, ways back of a part that B2.0__all.sql stands for: U1__a.sql, U2__b.sql\n" in remarks
    assert "B2.0__all.sql is version 2.0, and stands for all before it" in remarks


def test_the_first_baseline_of_several_is_what_the_versions_behind_it_begin_with(folder: Path) -> None:
    fill(folder, sql("B20__a.sql", "V21__b.sql", "V30__c.sql", "B30__all.sql", "V31__d.sql", "R__v.sql"))
    assert versions(folder) == ["20", "21", "30", "31"]
    assert "left out, a baseline: B30__all.sql" in said(folder)


def test_a_baseline_alone_is_enough(folder: Path) -> None:
    fill(folder, sql("B20__all.sql"))
    assert versions(folder) == ["20"]
    (folder / "B20__all.sql").unlink()
    fill(folder, {"U20__x.sql": DOWN, "README.sql": UP})
    assert run(folder).exit_code == 2


def taken_over(folder: Path, *rows: ForeignRow) -> list[str]:
    """Return the versions that a database with these rows has, once it is taken over."""
    _, found = documents.candidates(list(yaml.safe_load_all(run(folder).stdout)), None)
    made = adopt("orders", "flyway", rows, found, cumulative=False)
    assert not isinstance(made, Refusal)
    return [str(each.version) for each in made]


def row(version: str, *, covers: bool = False) -> ForeignRow:
    return ForeignRow(version, Version.parse(version), covers=covers)


def test_databases_that_are_there_have_the_versions_that_their_history_says(folder: Path) -> None:
    fill(folder, sql("V1__a.sql", "V2__b.sql", "B2__all.sql", "V3__c.sql"))
    # One that has run all, one that is behind its baseline, and one that began with it.
    assert taken_over(folder, row("1"), row("2"), row("3")) == ["1", "2", "3"]
    assert taken_over(folder, row("1")) == ["1"]
    assert taken_over(folder, row("2", covers=True)) == ["1", "2"]
    for gone in ("V1__a.sql", "V2__b.sql"):
        (folder / gone).unlink()
    assert taken_over(folder, row("1"), row("2"), row("3")) == ["1", "2", "3"]
    assert taken_over(folder, row("2", covers=True)) == ["2"]
    # Here the baseline would be run: the remark says that Flyway is to be let first.
    assert taken_over(folder, row("1")) == ["1"]
    assert "let Flyway take each database there first" in said(folder)
