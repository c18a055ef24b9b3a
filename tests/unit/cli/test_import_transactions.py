"""`lockstep import --strip-transactions`: what is around a whole text goes, all else stays where it is or is named."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.cli.importing.changes import Change, Text
from lockstep.cli.importing.stripping import strip
from lockstep.engines import ENGINES, lexer
from support import pieces_mysql, pieces_postgresql, pieces_sqlite
from support.examples import examples
from support.importing import DOWN, UP, fill, imported, only, run
from support.splitting import Texts, joined, scripts

STRIP = ("--strip-transactions", "--engine")


def stripped(text: str, engine: str) -> str | None:
    """Return a text without what is around it; None: it is as it was."""
    (change,), taken = (found := strip([Change("1", "a", Text("1_a.sql", text))], engine)).changes, found.taken
    assert bool(taken) == (change.up.text != text)
    return change.up.text if taken else None


def left(text: str, engine: str) -> str:
    """Return why a text is left as it is."""
    found = strip([Change("1", "a", Text("1_a.sql", text))], engine)
    assert found.changes[0].up.text == text
    assert not found.taken
    (why,) = found.left
    assert why.startswith("1_a.sql, line ")
    return why.removeprefix("1_a.sql, ")


TAKEN: dict[str, tuple[str, str, str]] = {
    "Sqitch's template": (
        "postgresql",
        "-- Deploy shop:users to pg\n\nBEGIN;\n\nCREATE TABLE u (a int);\n\nCOMMIT;\n",
        "-- Deploy shop:users to pg\n\n\n\nCREATE TABLE u (a int);\n\n\n",
    ),
    "in one line": ("postgresql", "BEGIN; SELECT 1; COMMIT;", "       SELECT 1; "),
    "a comment behind": (
        "postgresql",
        "BEGIN; -- all\nSELECT 1;\nCOMMIT; /* it\nwas */",
        "       -- all\nSELECT 1;\n        /* it\nwas */",
    ),
    "in small letters": ("postgresql", "begin work ;\nSELECT 1;\nend transaction", "\nSELECT 1;\n"),
    "over lines": (
        "postgresql",
        "START\r\n TRANSACTION\r\n;\r\nSELECT 1;\r\nCOMMIT;\r\n",
        "     \r\n            \r\n\r\nSELECT 1;\r\n\r\n",
    ),
    "a byte order mark": ("postgresql", "\ufeffBEGIN;\nSELECT 1;\nCOMMIT;", "\ufeff\nSELECT 1;\n"),
    "a comment before the semicolon": ("postgresql", "BEGIN/**/;\nSELECT 1;\nCOMMIT", "     /**/;\nSELECT 1;\n"),
    "words in strings and bodies": (
        "postgresql",
        "BEGIN;\nDO $$BEGIN COMMIT; END$$;\nINSERT INTO t VALUES ('\nBEGIN;\nCOMMIT;');\nCOMMIT;",
        "\nDO $$BEGIN COMMIT; END$$;\nINSERT INTO t VALUES ('\nBEGIN;\nCOMMIT;');\n",
    ),
    "data of a COPY": (
        "postgresql",
        "BEGIN;\nCOPY t FROM stdin;\nCOMMIT;\nBEGIN;\n\\.\nCOMMIT;",
        "\nCOPY t FROM stdin;\nCOMMIT;\nBEGIN;\n\\.\n",
    ),
    "nothing within": ("postgresql", "BEGIN;\n-- XXX\nCOMMIT;\n", "\n-- XXX\n\n"),
    "MySQL": (
        "mysql",
        "START TRANSACTION;\nSELECT 'COMMIT;' # it's\n;\nCOMMIT WORK;",
        "\nSELECT 'COMMIT;' # it's\n;\n",
    ),
    "MySQL's delimiter": (
        "mysql",
        "DELIMITER $$\nBEGIN$$\nCREATE PROCEDURE p() BEGIN COMMIT; END$$\nCOMMIT$$\nDELIMITER ;",
        "DELIMITER $$\n     $$\nCREATE PROCEDURE p() BEGIN COMMIT; END$$\n      $$\nDELIMITER ;",
    ),
    "MariaDB's blocks": (
        "mariadb",
        "BEGIN;\nBEGIN NOT ATOMIC SELECT 1; END;\nCOMMIT;",
        "\nBEGIN NOT ATOMIC SELECT 1; END;\n",
    ),
    "SQLite": (
        "sqlite",
        "BEGIN EXCLUSIVE TRANSACTION;\nCREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; END;\nEND;\n",
        "\nCREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; END;\n\n",
    ),
    "SQLite, a table made anew": (
        "sqlite",
        "PRAGMA foreign_keys=OFF;\nBEGIN;\nDROP TABLE t;\nSELECT 1;\nCOMMIT;\nPRAGMA `foreign_keys` = ON;",
        "PRAGMA foreign_keys=OFF;\n\nDROP TABLE t;\nSELECT 1;\n\nPRAGMA `foreign_keys` = ON;",
    ),
    "SQLite, at once": ("sqlite", "BEGIN IMMEDIATE;\nSELECT 1;\nCOMMIT TRANSACTION;", "\nSELECT 1;\n"),
}


@pytest.mark.parametrize(("engine", "text", "expected"), TAKEN.values(), ids=TAKEN.keys())
def test_what_is_around_everything_is_taken_out(engine: str, text: str, expected: str) -> None:
    assert stripped(text, engine) == expected


NOTHING = {
    "none": ("postgresql", UP),
    "a body": ("postgresql", "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END;"),
    "a savepoint": ("postgresql", "SAVEPOINT a; SELECT 1; ROLLBACK TO a;"),
    "a block": ("mariadb", "BEGIN NOT ATOMIC SELECT 1; END;"),
    # A run says why.
    "no end": ("postgresql", "BEGIN;\nSELECT '1;\nCOMMIT;"),
    "psql": ("postgresql", "\\set ON_ERROR_STOP on\nBEGIN;\nSELECT 1;\nCOMMIT;"),
    "in another's eyes": ("mysql", "BEGIN;\nSELECT '\\';\nCOMMIT;"),
}


@pytest.mark.parametrize(("engine", "text"), NOTHING.values(), ids=NOTHING.keys())
def test_where_there_is_nothing_to_say(engine: str, text: str) -> None:
    change = Change("1", "a", Text("1_a.sql", text))
    found = strip([change], engine)
    assert (found.changes, found.taken, found.left, found.remarks) == ((change,), (), (), ())


LEFT = {
    "several": ("postgresql", "BEGIN;\nSELECT 1;\nCOMMIT;\nBEGIN;\nSELECT 2;\nCOMMIT;", "line 4: BEGIN makes a second"),
    "several ends": ("postgresql", "BEGIN;\nCOMMIT;\nCOMMIT;", "line 3: COMMIT makes a second"),
    "a level": (
        "postgresql",
        "BEGIN ISOLATION LEVEL SERIALIZABLE;\nSELECT 1;\nCOMMIT;",
        "line 1: BEGIN ISOLATION LEVEL",
    ),
    "a mode": (
        "postgresql",
        "START TRANSACTION READ ONLY;\nSELECT 1;\nCOMMIT;",
        "line 1: START TRANSACTION READ ONLY is",
    ),
    "a level of its own": (
        "postgresql",
        "BEGIN;\nSET TRANSACTION ISOLATION LEVEL SERIALIZABLE;\nCOMMIT;",
        "line 2: SET TRANSACTION ISOLATION LEVEL SERIALIZABLE is more",
    ),
    "a savepoint": (
        "postgresql",
        "BEGIN;\nSELECT 1;\nSAVEPOINT a;\nRELEASE a;\nCOMMIT;",
        "line 3: SAVEPOINT A is more",
    ),
    "back to it": ("sqlite", "BEGIN;\nSELECT 1;\nROLLBACK TO a;\nCOMMIT;", "line 3: ROLLBACK TO A is more"),
    "a rollback": ("postgresql", "BEGIN;\nSELECT 1;\nROLLBACK;", "line 3: ROLLBACK is more"),
    "a chain": ("mysql", "BEGIN;\nSELECT 1;\nCOMMIT AND CHAIN;", "line 3: COMMIT AND CHAIN is more"),
    "a snapshot": ("mysql", "START TRANSACTION WITH CONSISTENT SNAPSHOT;\nCOMMIT;", "line 1: START TRANSACTION WITH"),
    "two phases": ("postgresql", "BEGIN;\nPREPARE TRANSACTION 'x';\nCOMMIT;", "line 2: PREPARE TRANSACTION is more"),
    "autocommit": ("mysql", "BEGIN;\nSET autocommit = 0;\nCOMMIT;", "line 2: SET AUTOCOMMIT is more"),
    "no end": ("postgresql", "BEGIN;\nSELECT 1;", "line 1: BEGIN is left as it is: no COMMIT"),
    "no beginning": ("mysql", "INSERT INTO t VALUES (1);\nCOMMIT;", "line 2: COMMIT is left as it is: no BEGIN"),
    "what is before": (
        "sqlite",
        "\nPRAGMA user_version = 3;\nBEGIN;\nSELECT 1;\nCOMMIT;",
        "line 2: PRAGMA USER_VERSION stands before BEGIN",
    ),
    "what is behind": (
        "postgresql",
        "BEGIN;\nSELECT 1;\nCOMMIT;\nANALYZE t;",
        "line 4: ANALYZE T stands behind COMMIT",
    ),
    "the other way round": ("postgresql", "COMMIT;\nSELECT 1;\nBEGIN;", "line 1: COMMIT stands before BEGIN"),
    # END is SQLite's and PostgreSQL's.
    "another's words": ("mysql", "BEGIN;\nSELECT 1;\nEND;", "line 3: END is more"),
    "another's modes": ("postgresql", "BEGIN IMMEDIATE;\nSELECT 1;\nCOMMIT;", "line 1: BEGIN IMMEDIATE is more"),
}


@pytest.mark.parametrize(("engine", "text", "expected"), LEFT.values(), ids=LEFT.keys())
def test_all_else_is_left_and_named(engine: str, text: str, expected: str) -> None:
    assert left(text, engine).startswith(expected)


@pytest.mark.parametrize("engine", ENGINES)
def test_several_transactions_are_several_versions(engine: str) -> None:
    why = left("BEGIN;\nSELECT 1;\nCOMMIT;\nBEGIN;\nSELECT 2;\nCOMMIT;", engine)
    assert "make a version of each" in why
    # A run on SQLite refuses it.
    assert ("spec.transaction: Never" in why) == (engine != "sqlite")


PIECES: dict[str, Callable[[], tuple[Texts, Texts]]] = {
    "postgresql": lambda: (joined(pieces_postgresql.STATEMENT, pieces_postgresql.GAP), pieces_postgresql.GAP),
    "mysql": lambda: (joined(pieces_mysql.PROGRAM, pieces_mysql.GAP), pieces_mysql.GAP),
    "sqlite": lambda: (joined(pieces_sqlite.STATEMENT, pieces_sqlite.GAP), pieces_sqlite.GAP),
}


@pytest.mark.parametrize("engine", PIECES)
@examples(100)
@given(data=st.data())
def test_every_other_statement_keeps_its_place(engine: str, data: st.DataObject) -> None:
    statements, between = PIECES[engine]()
    text, wanted = data.draw(scripts(statements, between, size=3))
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    begin = data.draw(between) + data.draw(st.sampled_from(["BEGIN", "begin"])) + data.draw(between) + ";"
    end = ";" + data.draw(between) + "COMMIT" + data.draw(st.sampled_from([";", "", " ;\n"])) + data.draw(between)
    whole = mark + begin + text.removeprefix(mark) + end
    found = stripped(whole, engine)
    assert found is not None
    before, after = list(lexer(engine)(whole))[1:-1], list(lexer(engine)(found))
    assert [found[part.start : part.end] for part in after] == wanted
    assert [(part.line, part.column) for part in after] == [(part.line, part.column) for part in before]


def test_a_refusal_names_the_line_of_the_file(folder: Path) -> None:
    text = f"-- +goose Up\nBEGIN;\n{UP}COMMIT;\n-- +goose Down\nBEGIN;\n\n{DOWN}COPY t TO stdout;\nCOMMIT;\n"
    fill(folder, {"1_a.sql": text, "2_b.sql": f"-- +goose Up\n{UP}-- +goose Down\nBEGIN;\n{DOWN}COMMIT;\nCOMMIT;"})
    done = run(folder, *STRIP, "postgresql")
    assert (done.exit_code, done.stdout) == (1, "")
    assert [each.removeprefix("lockstep: ").partition(":")[0] for each in done.stderr.splitlines()[:-1]] == [
        "2_b.sql, line 7",
        "1_a.sql",
        "2_b.sql",
    ]
    assert "1_a.sql: statement 2, line 9, column 1: COPY ... TO stdout" in done.stderr


def test_both_ways_of_each_change(folder: Path) -> None:
    fill(folder, {"1_a.up.sql": f"BEGIN;\n{UP}COMMIT;\n", "1_a.down.sql": f"BEGIN;\n{DOWN}COMMIT;\n"})
    fill(folder, {"2_b.up.sql": UP, "R__v.sql": f"BEGIN;\n{UP}END;"})
    specs = imported(folder, *STRIP, "postgresql")
    assert [(spec["up"], spec.get("down")) for spec in specs.values()] == [
        (f"\n{UP}\n", f"\n{DOWN}\n"),
        (UP, None),
        (f"\n{UP}", None),
    ]
    said = "lockstep: BEGIN and COMMIT around 3 of the texts are taken out (1_a.up.sql, 1_a.down.sql, R__v.sql)\n"
    assert said in run(folder, *STRIP, "postgresql").stderr


def test_without_the_option_a_refusal_says_that_there_is_one(folder: Path) -> None:
    fill(folder, {"1_a.up.sql": f"BEGIN;\n{UP}COMMIT;\n", "2_b.up.sql": "COMMIT;"})
    done = run(folder, "--engine", "postgresql")
    assert done.exit_code == 1
    assert done.stderr.endswith("--strip-transactions takes BEGIN and COMMIT out that are around 1 of them\n")
    assert "2_b.up.sql, line 1" not in done.stderr
    (folder / "1_a.up.sql").unlink()
    assert "--strip" not in run(folder, "--engine", "postgresql").stderr


def test_the_option_asks_for_the_engine(folder: Path) -> None:
    fill(folder, {"1_a.up.sql": f"BEGIN;\n{UP}COMMIT;\n"})
    done = run(folder, "--strip-transactions")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--strip-transactions needs --engine" in done.stderr


def test_a_transaction_of_its_own_is_kept_where_the_tool_would_use_none(folder: Path) -> None:
    whole, part = f"BEGIN;\n{UP}COMMIT;\n", "VACUUM t;\n"
    never = "-- +goose NO TRANSACTION\n-- +goose Up\n"
    fill(folder, {"1_a.sql": f"{never}{whole}-- +goose Down\n-- nothing\n"})
    assert only(folder, *STRIP, "postgresql").get("transaction") is None
    fill(folder, {"1_a.sql": f"{never}{part}-- +goose Down\n{part}"})
    assert only(folder, *STRIP, "postgresql")["transaction"] == "Never"
    # Never holds for both ways: there what was one transaction would be many.
    fill(folder, {"1_a.sql": f"{never}{part}-- +goose Down\n{whole}"})
    done = run(folder, *STRIP, "postgresql")
    assert done.exit_code == 1
    assert "1_a.sql, line 5: BEGIN and COMMIT are left as they are: the change is marked" in done.stderr
