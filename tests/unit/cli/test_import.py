"""`lockstep import`: folders as other tools have them, and the Migrations that they become."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from lockstep.api.migration import MAX_TEXT_BYTES
from lockstep.cli import documents
from lockstep.cli.importing import layouts
from lockstep.cli.main import Engine, app
from lockstep.engines import ENGINES
from lockstep.planning.adoption import ForeignRow, adopt
from lockstep.planning.plan import Refusal
from lockstep.planning.version import Version
from support.importing import DOWN, UP, Spec, fill, imported, only, run

TWO = {"version": "0003", "description": "add email", "up": UP, "down": DOWN}
FILES: dict[str, tuple[dict[str, str], Spec]] = {
    "golang-migrate": ({"0003_add_email.up.sql": UP, "0003_add_email.down.sql": DOWN}, TWO),
    "titles that differ": ({"0003_add_email.up.sql": UP, "0003_drop_email.down.sql": DOWN}, TWO),
    "a version that is dotted": ({"1.10_x.up.sql": UP}, {"version": "1.10", "description": "x", "up": UP}),
    "authelia": ({"V0003.Add_Email.up.sql": UP}, {"version": "0003", "description": "Add Email", "up": UP}),
    "Flyway": (
        {"V2.1__add_email.sql": UP, "U2.1__forget_it.sql": DOWN},
        {"version": "2.1", "description": "add email", "up": UP, "down": DOWN},
    ),
    "Flyway's underscores": ({"V2_1__add.sql": UP}, {"version": "2.1", "description": "add", "up": UP}),
    "repeatable": ({"R__all_views.sql": UP}, {"repeatable": True, "description": "all views", "up": UP}),
    "Diesel": (
        {"2026-08-01-120000_add_email/up.sql": UP, "2026-08-01-120000_add_email/down.sql": DOWN},
        {**TWO, "version": "20260801120000"},
    ),
    "Diesel of now": ({"2026-08-01-120000-0000_x/up.sql": UP}, {"version": "202608011200000000", "up": UP}),
    "Diesel's first": ({"00000000000000_diesel_initial_setup/up.sql": UP}, {"version": "00000000000000", "up": UP}),
    "Prisma": ({"20260801120000_add/migration.sql": UP, "migration_lock.toml": ""}, {"version": "20260801120000"}),
    "Prisma's down": (
        {"20260801120000_add_email/migration.sql": UP, "20260801120000_add_email/down.sql": DOWN},
        {**TWO, "version": "20260801120000"},
    ),
    "plain": ({"0003_add_email.sql": UP}, {"version": "0003", "description": "add email", "up": UP}),
    "a number alone": ({"3.sql": UP}, {"version": "3", "up": UP}),
    "a dash": ({"1414549381268-add-email.sql": UP}, {"version": "1414549381268", "description": "add email"}),
    "plain, and a way back": ({"0003_add_email.sql": UP, "0003_add_email.down.sql": DOWN}, TWO),
    "a digit in a title": ({"0003.2fa.sql": UP}, {"version": "0003", "description": "2fa"}),
}


@pytest.mark.parametrize(("files", "expected"), FILES.values(), ids=FILES.keys())
def test_names_of_each_layout(files: dict[str, str], expected: Spec, folder: Path) -> None:
    fill(folder, files)
    spec = only(folder)
    assert {key: spec.get(key) for key in expected} == expected
    assert ("down" in spec) == (DOWN in files.values())


BOTH = {
    "goose": ("-- +goose Up", "-- +goose Down"),
    "sql-migrate": ("-- a header\n\n-- +migrate Up", "-- +migrate Down"),
    "dbmate": ("-- migrate:up", "-- migrate:down"),
    "tern": ("", "---- create above / drop below ----"),
    "node-pg-migrate": ("-- Up Migration", "-- Down Migration"),
    "Play": ("# Users schema\n\n# --- !Ups", "# --- !Downs"),
    "Play of now": ("-- !Ups", "-- !Downs"),
    "rambler": ("\ufeff-- rambler up", "-- rambler down"),
}


@pytest.mark.parametrize(("above", "between"), BOTH.values(), ids=BOTH.keys())
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_both_ways_in_one_file(above: str, between: str, end: str, folder: Path) -> None:
    up, down = f"{UP}\n  SELECT 1;\n\n".replace("\n", end), f"  {DOWN}-- that was it".replace("\n", end)
    head = f"{above}\n".replace("\n", end) if above else ""
    fill(folder, {"0003_add_email.sql": f"{head}{up}{between}{end}{down}"})
    assert only(folder) == {"version": "0003", "description": "add email", "up": up, "down": down}


def test_mybatis_begins_with_a_comment_of_its_own(folder: Path) -> None:
    up = f"-- // add email\n-- Migration SQL that makes the change goes here.\n{UP}"
    fill(folder, {"20260801120000_add_email.sql": f"{up}-- //@UNDO\n-- SQL to undo it.\n{DOWN}"})
    fill(folder, {"bootstrap.sql": "SELECT 1", "onabort.sql": "SELECT 1"})
    spec = only(folder)
    assert (spec["up"], spec["down"]) == (up, f"-- SQL to undo it.\n{DOWN}")


def test_a_template_that_nobody_has_filled_in_is_no_way_back(folder: Path) -> None:
    fill(folder, {"1_a.sql": f"-- migrate:up\n{UP}\n-- migrate:down\n\n", "2_b.sql": f"-- migrate:up\n{UP}"})
    # A file of its own says that there is nothing to undo.
    fill(folder, {"3_c.up.sql": UP, "3_c.down.sql": ""})
    specs = imported(folder)
    assert [spec.get("down") for spec in specs.values()] == [None, None, ""]
    remarks = run(folder).stderr
    assert "2 of 3 Migrations have no way back (1_a.sql, 2_b.sql): write spec.down, or spec.irreversible" in remarks


NEVER = {
    "goose": {"1_a.sql": f"-- +goose NO TRANSACTION\r\n-- +goose Up\r\n{UP}"},
    "sql-migrate": {"1_a.sql": f"-- +migrate Up notransaction\n{UP}"},
    "sql-migrate's way back": {"1_a.sql": f"-- +migrate Up\n{UP}-- +migrate Down notransaction\n{DOWN}"},
    "dbmate": {"1_a.sql": f"-- migrate:up transaction:false\n{UP}"},
    "sqlx": {"1_a.up.sql": f"-- no-transaction\n{UP}"},
    "sqlx's way back": {"1_a.up.sql": UP, "1_a.down.sql": f"-- no-transaction\n{DOWN}"},
    "tern": {"1_a.sql": f"---- tern: disable-tx ----\n{UP}"},
    "Atlas": {"1_a.sql": f"-- atlas:txmode none\n\n{UP}"},
    "Diesel": {"1_a/up.sql": UP, "1_a/metadata.toml": "# slow\nrun_in_transaction = false\n"},
    "Flyway": {"V1__a.sql": UP, "V1__a.sql.conf": "executeInTransaction=false"},
}
AUTO = {
    "goose": {"1_a.sql": f"-- +goose Up\n-- +goose NO TRANSACTIONS here\n{UP}"},
    "sql-migrate": {"1_a.sql": f"-- +migrate Up\n-- notransaction\n{UP}"},
    "dbmate": {"1_a.sql": f"-- migrate:up transaction:true\n{UP}"},
    "Atlas": {"1_a.sql": f"-- atlas:txmode file\n{UP}"},
    "sqlx": {"1_a.up.sql": f"{UP}-- no-transaction\n"},
    "Diesel": {"1_a/up.sql": UP, "1_a/metadata.toml": "run_in_transaction = true\n"},
    "Diesel's others": {"1_a/up.sql": UP, "2_b/metadata.toml": "run_in_transaction = false\n"},
}


@pytest.mark.parametrize("files", NEVER.values(), ids=NEVER.keys())
def test_no_transaction(files: dict[str, str], folder: Path) -> None:
    fill(folder, files)
    assert only(folder)["transaction"] == "Never"


def test_in_sqlite_everything_can_be_in_a_transaction(folder: Path) -> None:
    fill(folder, {"1_a.sql": f"-- +goose NO TRANSACTION\n-- +goose Up\n{UP}"})
    assert only(folder, "--engine", "postgresql")["transaction"] == "Never"
    assert "transaction" not in only(folder, "--engine", "sqlite")


@pytest.mark.parametrize("files", AUTO.values(), ids=AUTO.keys())
def test_else_lockstep_sees_for_itself(files: dict[str, str], folder: Path) -> None:
    fill(folder, files)
    assert "transaction" not in only(folder)


def test_layouts_may_be_mixed_and_come_in_the_order_of_their_versions(folder: Path) -> None:
    fill(folder, {"10_c.sql": f"-- +goose Up\n{UP}", "R__v.sql": UP, "V9__b.sql": UP, "2_a.up.sql": UP})
    fill(folder, {"00011_d/migration.sql": UP})
    assert list(imported(folder)) == ["orders-2-a", "orders-9-b", "orders-10-c", "orders-00011-d", "orders-v"]
    assert run(folder).stderr.splitlines()[-1] == (
        "lockstep: 5 Migrations of orders, versions 2 to 00011, 1 of them repeatable; next: lockstep digest FILE, or "
        "kubectl apply -f FILE"
    )


def test_statements_without_a_semicolon_are_said(folder: Path) -> None:
    begin, end = "-- +goose StatementBegin\n", "\n\n-- +goose StatementEnd\n"
    many = f"-- +goose Up\n{begin}SELECT 1{end}-- and\n{begin}SELECT 2;{end}{begin}SELECT 3{end}"
    fill(
        folder, {"1_a.sql": f"{many}-- +goose Down\n{begin}SELECT 4{end}SELECT 5;{begin}SELECT 6{end}\n-- that was it"}
    )
    drizzle = (
        "SELECT 1;--> statement-breakpoint\nSELECT 2\n--> statement-breakpoint\nSELECT 3;\n--> statement-breakpoint\n"
    )
    fill(folder, {"2_b.sql": f"{drizzle}SELECT 4 --> statement-breakpoint\n"})
    said = [each for each in run(folder).stderr.splitlines() if "semicolon" in each]
    assert [each.split(": ")[1] for each in said] == ["1_a.sql, line 5", "1_a.sql, line 19", "2_b.sql, line 3"]


def test_what_is_left_out_is_said(folder: Path) -> None:
    fill(folder, {"1_a.up.sql": UP, "0_z.down.sql": DOWN, "seed.sql": UP, "old/1_a.up.sql": UP, "X.SQL": UP})
    fill(folder, {"2026-08-01_dump.sql": UP, f"{'9' * 21}_far.sql": UP, "2_b.go": "", "V3__c.java": ""})
    fill(folder, {"README.md": "", "lib/helper.rb": "", ".git/1_b.sql": UP, ".1_c.sql": UP})
    assert len(imported(folder)) == 1
    assert run(folder).stderr.splitlines()[:-2] == [
        f"lockstep: left out, not named as a migration is: 2026-08-01_dump.sql, {'9' * 21}_far.sql, X.SQL, "
        "old/1_a.up.sql, seed.sql",
        "lockstep: left out, named so, but no SQL: Lockstep runs SQL alone: 2_b.go, V3__c.java",
        "lockstep: left out, a way back without a way up of its own: 0_z.down.sql",
        "lockstep: left out, 2 more that are no SQL",
    ]


def test_a_folder_without_any_says_what_is_known(folder: Path) -> None:
    fill(folder, {"mysql/1_a.sql": UP, "mysql/2_b.sql": UP, "pg/deep/1_a.sql": UP, "seed.sql": UP})
    done = run(folder)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "these folders in it have some, import one of them: mysql, pg/deep" in done.stderr
    assert all(layout.example in done.stderr for layout in layouts.LAYOUTS)
    assert "no such folder" in run(folder / "missing").stderr
    # A way back alone is nothing to begin with.
    (folder / "1_a.down.sql").write_text(DOWN)
    assert run(folder).exit_code == 2


def test_two_files_of_one_version(folder: Path) -> None:
    fill(folder, {f"7_{name}.up.sql": f"SELECT '{name}'" for name in "abc"} | {"8_d.up.sql": UP})
    fill(folder, {"7_b.down.sql": DOWN})
    specs = imported(folder)
    assert list(specs) == ["orders-7-a", "orders-7.1-b", "orders-7.2-c", "orders-8-d"]
    assert [spec["version"] for spec in specs.values()] == ["7", "7.1", "7.2", "8"]
    assert [spec.get("down") for spec in specs.values()] == [None, DOWN, None, None]
    remarks = run(folder).stderr.splitlines()
    assert remarks[0].startswith("lockstep: 7_b.up.sql: version 7 is that of 7_a.up.sql too: this one is 7.1. ")
    assert remarks[1].endswith("with spec.baseline: 7.2 or above")


def test_a_way_back_is_given_to_none_where_it_may_be_of_several(folder: Path) -> None:
    fill(folder, {"7_a.up.sql": UP, "7_b.up.sql": UP, "7_c.down.sql": DOWN})
    fill(folder, {"8_d.sql": f"{UP}-- !Downs\n{DOWN}", "8_d.down.sql": "SELECT 1"})
    fill(folder, {"9_e.up.sql": UP, "9_f.down.sql": DOWN, "9_g.down.sql": DOWN})
    assert [spec.get("down") for spec in imported(folder).values()] == [None, None, DOWN, None]
    left = "7_c.down.sql, 8_d.down.sql, 9_f.down.sql, 9_g.down.sql"
    assert f"left out, a way back without a way up of its own: {left}\n" in run(folder).stderr


def test_a_dotted_version_finds_its_place(folder: Path) -> None:
    fill(folder, {f"{name}.up.sql": UP for name in ("2_a", "02_b", "2.0_c", "2.1_d", "2.0.1_e")})
    versions = [(spec["description"], spec["version"]) for spec in imported(folder).values()]
    # The first by its file's name keeps it.
    assert versions == [("b", "02"), ("c", "2.0.0.1"), ("a", "2.0.0.2"), ("e", "2.0.1"), ("d", "2.1")]


def test_what_the_remark_says_of_adopting_two_files_of_one_version(folder: Path) -> None:
    fill(folder, {"7_a.up.sql": UP, "7_b.up.sql": UP, "8_c.up.sql": UP})
    _, found = documents.candidates(list(yaml.safe_load_all(run(folder).stdout)), None)

    def names(row: str, *, cumulative: bool) -> list[str | None]:
        made = adopt("orders", "tool", [ForeignRow(row, Version.parse(row))], found, cumulative=cumulative)
        assert not isinstance(made, Refusal)
        return [each.name for each in made]

    assert names("7", cumulative=False) == names("7", cumulative=True) == ["orders-7-a"]
    assert names("8", cumulative=True) == ["orders-7-a", "orders-7.1-b", "orders-8-c"]


def test_one_change_in_two_layouts_is_refused(folder: Path) -> None:
    fill(folder, {"7_a.up.sql": UP, "07_a.sql": UP})
    done = run(folder)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "07_a.sql and 7_a.up.sql are one version with one title" in done.stderr


UNFIT: dict[str, tuple[dict[str, str | bytes], str]] = {
    "Latin-1": ({"1_a.up.sql": "SELECT 1;\n-- für".encode("latin-1")}, "1_a.up.sql, line 2: it is no UTF-8"),
    "UTF-16": ({"1_a.up.sql": "SELECT".encode("utf-16")}, "1_a.up.sql, line 1: a zero byte"),
    "zero": ({"1_a/up.sql": b"SELECT\n\n'\0'"}, "1_a/up.sql, line 3: a zero byte"),
    "size": (
        {"1_a.up.sql": "ü" * (MAX_TEXT_BYTES // 2), "1_a.down.sql": "x"},
        "1_a.up.sql and 1_a.down.sql: 1,000,001 bytes are more than the 1,000,000 that a Migration takes",
    ),
    "much more": ({"1_a.sql": "x" * (MAX_TEXT_BYTES + 1)}, "1_a.sql: 1,000,001 bytes"),
    "SQL in no way": ({"1_a.sql": f"-- x\n/* y\n*/\n{UP}-- +goose Up\n{UP}"}, "1_a.sql, line 4: there is SQL before"),
    "twice up": ({"1_a.sql": f"-- rambler up\n{UP}\n-- rambler up\n{UP}"}, "1_a.sql, line 4: '-- rambler up' comes"),
    "twice down": ({"1_a.sql": "-- !Downs\n-- !Ups\n-- !Downs x\n"}, "1_a.sql, line 3: '-- !Downs x' comes"),
}


@pytest.mark.parametrize(("files", "why"), UNFIT.values(), ids=UNFIT.keys())
def test_what_no_resource_can_take_is_named(files: dict[str, str | bytes], why: str, folder: Path) -> None:
    fill(folder, {**files, "2_fine.up.sql": UP})
    done = run(folder)
    assert (done.exit_code, done.stdout) == (2, "")
    assert why in done.stderr
    assert "2_fine" not in done.stderr


def test_all_of_what_is_wrong_is_said_at_once(folder: Path) -> None:
    fill(folder, {"1_a.sql": b"\0", "2_b.sql": b"\xff", "3_c.sql": UP})
    assert len(run(folder).stderr.splitlines()) == 2


def test_as_much_as_a_resource_takes(folder: Path) -> None:
    fill(folder, {"1_a.up.sql": "ü" * (MAX_TEXT_BYTES // 2)})
    assert len(only(folder)["up"]) == MAX_TEXT_BYTES // 2


def test_words_of_the_command_are_looked_at(folder: Path) -> None:
    fill(folder, {"1_a.up.sql": UP})
    done = CliRunner().invoke(app, ["import", str(folder), "--schema", "Orders!", "--namespace", "a.b"])
    assert done.exit_code == 2
    assert done.stderr.startswith("lockstep: --schema 'Orders!': ")
    assert "--namespace 'a.b'" in done.stderr
    assert "namespace: shop\n" in run(folder, "--namespace", "shop").stdout


def test_it_prints_bytes_whatever_the_terminal_takes(folder: Path) -> None:
    fill(folder, {"1_a.up.sql": "SELECT '😀'\n\n", "2_b.up.sql": "SELECT 'ü'"})
    words = [
        sys.executable,
        "-c",
        "from lockstep.cli.main import app; app()",
        "import",
        str(folder),
        "--schema",
        "orders",
    ]
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(words, check=True, capture_output=True, env=environment)
    assert [each["spec"]["up"] for each in yaml.safe_load_all(done.stdout)] == ["SELECT '😀'\n\n", "SELECT 'ü'"]


def test_no_other_command_waits_for_the_engines() -> None:
    look = "import sys, lockstep.cli.main; assert not any(name.startswith('lockstep.engines') for name in sys.modules)"
    subprocess.run(
        [sys.executable, "-c", look], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )


def test_a_file_for_each(folder: Path, tmp_path: Path) -> None:
    fill(folder, {"1_a.up.sql": UP, "2_b.up.sql": UP})
    ours = tmp_path / "ours" / "migrations"
    done = run(folder, "-o", str(ours))
    assert (done.exit_code, done.stdout) == (0, ""), done.stderr
    assert done.stderr.endswith(f"next: lockstep digest {ours}, or kubectl apply -f {ours}\n")
    assert sorted(path.name for path in ours.iterdir()) == ["orders-1-a.yaml", "orders-2-b.yaml"]
    assert list(yaml.safe_load_all(run(folder).stdout)) == documents.read([str(ours)])
    assert CliRunner().invoke(app, ["digest", str(ours)]).exit_code == 0

    # Once more is fine; what is not ours to overwrite stays, and nothing is written beside it.
    assert run(folder, "-o", str(ours)).exit_code == 0
    (ours / "orders-2-b.yaml").write_text("by hand\n")
    fill(folder, {"1_a.up.sql": "SELECT 1", "3_c.up.sql": UP})
    done = run(folder, "-o", str(ours))
    assert done.exit_code == 2
    assert f"{ours / 'orders-1-a.yaml'}, {ours / 'orders-2-b.yaml'}: remove them" in done.stderr
    assert (ours / "orders-2-b.yaml").read_text() == "by hand\n"
    assert not (ours / "orders-3-c.yaml").exists()


def test_what_a_run_would_refuse_is_named_with_its_place_in_the_file(folder: Path, tmp_path: Path) -> None:
    fill(folder, {"1_a.sql": f"-- +goose Up\n{UP}-- +goose Down\r\n\r\n{DOWN}COMMIT;\nCOMMIT;", "2_b.sql": UP})
    fill(folder, {"3_c.up.sql": "BEGIN;", "R__v.sql": "\\i x", "4_d.up.sql": UP, "4_d.down.sql": "\nSELECT '"})
    assert run(folder).exit_code == 0
    done = run(folder, "--engine", "postgresql", "-o", str(tmp_path / "ours"))
    assert (done.exit_code, done.stdout) == (1, "")
    assert not (tmp_path / "ours").exists()
    *refused, last = done.stderr.splitlines()
    assert [each.partition(": ")[2].split(":")[0] for each in refused] == [
        "1_a.sql",
        "3_c.up.sql",
        "4_d.down.sql",
        "R__v.sql",
    ]
    assert "1_a.sql: statement 2, line 6, column 1: COMMIT is refused" in refused[0]
    assert "those in line 7 too" in refused[0]
    assert "4_d.down.sql: line 2, column 8" in refused[2]
    assert "R__v.sql: line 1, column 1" in refused[3]
    assert last.startswith("lockstep: nothing is written, since a run would refuse what is in 4 of the texts: ")


@pytest.mark.parametrize("engine", ENGINES)
def test_each_engine_reads_in_its_own_way(engine: str, folder: Path) -> None:
    # A string that has ended, except where a backslash takes its end away.
    fill(folder, {"1_a.up.sql": "SELECT '\\';\n"})
    assert run(folder, "--engine", engine).exit_code == (1 if engine in {"mysql", "mariadb"} else 0)


def test_engines_are_those_that_there_are() -> None:
    assert {each.value for each in Engine} == set(ENGINES)
