"""Which of a folder's files are meant, and in which order: as the tools have it whose files they are."""

import json
from pathlib import Path

import pytest

from support.importing import DOWN, UP, fill, imported, only, run


def versions(folder: Path, *words: str) -> list[tuple[str, str]]:
    return [(spec["description"], spec["version"]) for spec in imported(folder, *words).values()]


def test_diesel_s_versions_are_what_stands_before_the_first_underscore(folder: Path) -> None:
    fill(folder, {"2026-08-01_a/up.sql": UP, "2026-8-2-070000_b/up.sql": UP, f"{10**20}_far/up.sql": UP})
    assert [version for _, version in versions(folder)] == ["20260801", "202682070000"]


def test_diesel_compares_them_as_words_without_dashes(folder: Path) -> None:
    fill(folder, {f"{name}/up.sql": UP for name in ("20260820180453_a", "2026-08-31-230457_b")})
    assert versions(folder) == [("a", "20260820180453"), ("b", "20260831230457")]
    fill(folder, {f"{name}/up.sql": UP for name in ("2026-09-01-120000-0000_c", "2026-09-02-120000_d")})
    fill(folder, {f"{name}/up.sql": UP for name in ("2026-09-03-120000_e", "2026-09-04-120000-0000_f")})
    assert versions(folder)[2:] == [
        ("c", "202609011200000000"),
        ("d", "202609011200000000.1"),
        ("e", "202609011200000000.2"),
        ("f", "202609041200000000"),
    ]
    said = (
        "lockstep: 2026-09-02-120000_d/up.sql: version 20260902120000 is below 202609011200000000 of "
        "2026-09-01-120000-0000_c/up.sql, behind which its tool takes it, by its name or journal: this one is "
        "202609011200000000.1"
    )
    assert said in run(folder).stderr.splitlines()


def test_prisma_goes_by_the_names_of_folders(folder: Path) -> None:
    names = ("20260518191501_init", "20260625_by_hand", "20260625_more", "20260626100000_next", "9_last", "9_later")
    fill(folder, {f"{name}/migration.sql": UP for name in names})
    assert versions(folder) == [
        ("init", "20260518191501"),
        ("by hand", "20260518191501.1"),
        ("more", "20260518191501.2"),
        ("next", "20260626100000"),
        ("last", "20260626100000.1"),
        ("later", "20260626100000.2"),
    ]


def test_other_tools_compare_numbers(folder: Path) -> None:
    fill(folder, {"9_a.up.sql": UP, "10_b.up.sql": UP, "11_c/migration.sql": UP})
    assert versions(folder) == [("a", "9"), ("b", "10"), ("c", "11")]


def journal(*tags: str) -> str:
    return json.dumps(
        {"version": "7", "dialect": "sqlite", "entries": [{"idx": n, "tag": tag} for n, tag in enumerate(tags)]}
    )


def test_drizzle_s_journal_says_which_files_there_are_and_their_order(folder: Path) -> None:
    fill(folder, {f"{name}.sql": UP for name in ("0000_a", "0001_b", "0001_c", "0001_dead", "0002_d", "0003_e")})
    fill(folder, {"meta/_journal.json": journal("0000_a", "0001_c", "0001_b", "0003_e", "0002_d", "0004_gone")})
    assert versions(folder) == [("a", "0000"), ("c", "0001"), ("b", "0001.1"), ("e", "0003"), ("d", "0003.1")]
    said = run(folder).stderr
    assert "left out, since Drizzle's journal does not name them, so that they never run: 0001_dead.sql\n" in said
    assert "Drizzle's journal names them, and they are not here: 0004_gone.sql\n" in said


def test_a_journal_that_is_another_tool_s_is_not_followed(folder: Path) -> None:
    fill(folder, {"1_a.sql": UP, "meta/_journal.json": "[1]"})
    assert versions(folder) == [("a", "1")]
    assert "meta/_journal.json is not read" in run(folder).stderr


POP = {
    "1_a.mysql.up.sql": "SELECT 'mysql'",
    "1_a.sqlite3.up.sql": "SELECT 'sqlite'",
    "1_a.cockroach.up.sql": "SELECT 'cockroach'",
    "1_a.up.sql": "SELECT 'any'",
    "1_a.down.sql": DOWN,
    "1_a.mysql.down.sql": "SELECT 'mysql, back'",
}


@pytest.mark.parametrize(
    ("engine", "up", "down"),
    [
        ("mysql", "SELECT 'mysql'", "SELECT 'mysql, back'"),
        ("mariadb", "SELECT 'mysql'", "SELECT 'mysql, back'"),
        ("sqlite", "SELECT 'sqlite'", DOWN),
        ("postgresql", "SELECT 'any'", DOWN),
    ],
)
def test_a_file_for_one_database_stands_in_for_that_for_all(engine: str, up: str, down: str, folder: Path) -> None:
    fill(folder, POP)
    assert only(folder, "--engine", engine) == {"version": "1", "description": "a", "up": up, "down": down}
    assert "left out, for another database, or for all where there is one for" in run(folder, "--engine", engine).stderr


def test_mariadb_s_own_file_comes_before_mysql_s(folder: Path) -> None:
    fill(folder, {**POP, "1_a.mariadb.up.sql": "SELECT 'mariadb'"})
    assert only(folder, "--engine", "mariadb")["up"] == "SELECT 'mariadb'"
    assert only(folder, "--engine", "mysql")["up"] == "SELECT 'mysql'"


@pytest.mark.parametrize(
    "files", [{"1_a.mysql.sql": UP, "2_b.postgres.sql": UP}, {"1_a.sqlite.sql": UP, "1_a.sql": UP}]
)
def test_nobody_guesses_which_database_is_meant(files: dict[str, str], folder: Path) -> None:
    fill(folder, files)
    done = run(folder)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "say with --engine which is meant" in done.stderr
    assert run(folder, "--engine", "sqlite").exit_code == (0 if "1_a.sql" in files else 2)


def test_files_that_are_all_for_one_database_need_no_word(folder: Path) -> None:
    fill(folder, {"1_a.mysql.up.sql": UP, "1_a.mysql.down.sql": DOWN, "2_b.up.sql": UP})
    assert versions(folder) == [("a", "1"), ("b", "2")]
    done = run(folder, "--engine", "sqlite")
    assert done.exit_code == 0
    assert "1_a.mysql.up.sql" in done.stderr


def test_pop_s_autocommit(folder: Path) -> None:
    fill(folder, {"1_a.postgres.autocommit.up.sql": UP, "1_a.autocommit.down.sql": DOWN})
    assert only(folder) == {"version": "1", "description": "a", "transaction": "Never", "up": UP, "down": DOWN}


PAIRS = {
    "Postgrator": ("3.do.add_email.sql", "3.undo.add_email.sql"),
    "Postgrator without a title": ("003.do.sql", "003.undo.sql"),
    "db-migrate": ("20260801120000-add-email-up.sql", "20260801120000-add-email-down.sql"),
    "yoyo": ("0003.add-email.sql", "0003.add-email.rollback.sql"),
    "people": ("0003_add_email_up.sql", "0003_add_email_down.sql"),
    "others": ("0003_add_email.sql", "0003_add_email_Revert.sql"),
}


@pytest.mark.parametrize(("up", "down"), PAIRS.values(), ids=PAIRS.keys())
def test_two_files_of_a_version_may_be_its_two_ways(up: str, down: str, folder: Path) -> None:
    fill(folder, {up: UP, down: DOWN})
    spec = only(folder)
    assert (spec["up"], spec["down"]) == (UP, DOWN)
    assert spec.get("description", "add email") in {"add email"}


def test_a_word_alone_is_a_title(folder: Path) -> None:
    fill(folder, {"1_scale_down.sql": UP, "2_power-up.sql": UP, "3_do.sql": UP, "4_a_down.sql": UP, "4_b_up.sql": UP})
    fill(folder, {"5_a.sql": UP, "5_a_down.sql": UP, "5_a_undo.sql": UP})
    assert [title for title, _ in versions(folder)] == [
        *("scale down", "power up", "do", "a down", "b up", "a", "a down", "a undo")
    ]
    assert all("down" not in spec for spec in imported(folder).values())


def test_hasura_s_folders_have_numbers(folder: Path) -> None:
    fill(folder, {f"{n}_{title}/up.sql": UP for n, title in ((9, "a"), (10, "b"), (1754000000000, "c"))})
    assert versions(folder) == [("a", "9"), ("b", "10"), ("c", "1754000000000")]
    # Those of Diesel have dates.
    fill(folder, {"2026-08-01-120000_d/up.sql": UP})
    assert [title for title, _ in versions(folder)] == ["b", "c", "d", "a"]
