"""What a SQLite migration may say, and what its statements mean for its foreign keys."""

import sqlite3
from contextlib import closing

import pytest

from lockstep.api.reasons import Reason
from lockstep.engines.base import Action, RunError
from lockstep.engines.sqlite.functions import register
from lockstep.engines.sqlite.guard import Guard, judge
from lockstep.engines.sqlite.statements import PRAGMAS, SqliteScript, read_script
from lockstep.planning.plan import Candidate, Direction, Step
from servers.runner import migration


def script(text: str, transaction: str = "Auto") -> SqliteScript:
    made = migration("1", text, transaction=transaction)
    return read_script(Action(Step(Direction.UP, Candidate(made.name, None, made.up_checksum)), made))


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("BEGIN", "BEGIN"),
        ("begin immediate", "BEGIN"),
        ("COMMIT", "COMMIT"),
        ("END TRANSACTION", "END"),
        ("ROLLBACK", "ROLLBACK"),
        ("ROLLBACK TRANSACTION", "ROLLBACK"),
        ("VACUUM", "VACUUM"),
        ("VACUUM INTO '/tmp/x'", "VACUUM"),
        ("ATTACH 'x' AS y", "ATTACH"),
        ("DETACH y", "DETACH"),
        ("PRAGMA journal_mode = WAL", "journal_mode"),
        ("PRAGMA main.journal_mode(wal)", "journal_mode"),
        ("PRAGMA writable_schema = 1", "writable_schema"),
        ("PRAGMA locking_mode = NORMAL", "locking_mode"),
        ("PRAGMA synchronous = OFF", "synchronous"),
        ("PRAGMA query_only = OFF", "query_only"),
        ("PRAGMA page_size(512)", "page_size"),
        ("PRAGMA wal_checkpoint", "wal_checkpoint"),
        ("ALTER TABLE t RENAME TO lockstep_t", "lockstep_"),
        ('ALTER TABLE "a b" rename  to\n[Lockstep_t]', "lockstep_"),
    ],
)
def test_what_would_end_or_leave_the_transaction_is_refused(sql: str, word: str) -> None:
    with pytest.raises(RunError) as caught:
        script(f"SELECT 1;\n  {sql};")
    assert caught.value.reason is Reason.STATEMENT_REFUSED
    assert word in caught.value.message
    assert "statement 2, line 2, column 3" in caught.value.message


def test_all_of_a_texts_transaction_control_is_named_at_once() -> None:
    with pytest.raises(RunError, match=r"line 1, column 1: BEGIN is .*; remove it, and those in line 3 too$"):
        script("BEGIN TRANSACTION;\nCREATE TABLE t (x);\nCOMMIT;")
    with pytest.raises(RunError, match=r"VACUUM is refused: .*; run it by hand; more is refused in line 2, 4$"):
        script("VACUUM;\nCOMMIT;\nSELECT 1;\nPRAGMA journal_mode = WAL;")
    with pytest.raises(RunError, match=r"and those in line 3 too; more is refused in line 2$"):
        script("BEGIN;\nPRAGMA synchronous = OFF;\nCOMMIT;")


@pytest.mark.parametrize(
    "sql",
    [
        "SAVEPOINT a; ROLLBACK TO a; ROLLBACK TRANSACTION TO SAVEPOINT a; RELEASE a",
        "CREATE TABLE t (commit_at text); INSERT INTO t VALUES ('COMMIT; VACUUM')",
        "PRAGMA user_version = 7; PRAGMA page_size; PRAGMA foreign_key_check; PRAGMA main.table_info(t)",
        "CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT CASE WHEN 1 THEN 2 END; END; SELECT 1",
    ],
)
def test_what_stays_inside_is_let_through(sql: str) -> None:
    assert script(sql).statements


def test_never_is_for_other_databases() -> None:
    with pytest.raises(RunError) as caught:
        script("SELECT 1", transaction="Never")
    assert caught.value.reason is Reason.STATEMENT_REFUSED
    assert "Auto" in caught.value.message


@pytest.mark.parametrize(
    ("sql", "on"),
    [
        ("SELECT 1", False),
        ("PRAGMA foreign_keys", False),
        ("PRAGMA foreign_keys = ON", True),
        ("PRAGMA foreign_keys=1", True),
        ("PRAGMA foreign_keys(yes)", True),
        ("PRAGMA foreign_keys = 'true'", True),
        ('PRAGMA "foreign_keys" = ON', True),
        ("PRAGMA foreign_keys = OFF; DROP TABLE t; PRAGMA foreign_keys = ON", False),
        ("PRAGMA foreign_keys; PRAGMA foreign_keys = ON", True),
        ("PRAGMA user_version = 1; PRAGMA foreign_keys = ON; DROP TABLE t", True),
        ("DROP TABLE t; PRAGMA foreign_keys = ON", False),
        ("SELECT 'PRAGMA foreign_keys = ON'", False),
    ],
)
def test_a_pragma_before_all_else_decides_on_foreign_keys(sql: str, on: bool) -> None:
    assert script(sql).foreign_keys is on


@pytest.mark.parametrize(
    ("sql", "may"),
    [
        ("CREATE UNIQUE INDEX i ON t (x); CREATE VIEW v AS SELECT 1; PRAGMA user_version = 1", False),
        ("CREATE TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM u; END", False),
        ("CREATE TABLE t AS SELECT 1", True),
        ("ALTER TABLE t ADD COLUMN x", True),
        ("DROP TABLE t", True),
        ("WITH a AS (SELECT 1) DELETE FROM t", True),
        ("REPLACE INTO t VALUES (1)", True),
    ],
)
def test_rows_without_parents_are_looked_for_where_there_may_be_some(sql: str, may: bool) -> None:
    assert script(sql).may_orphan is may


@pytest.mark.parametrize(
    ("action", "first", "second"),
    [
        (sqlite3.SQLITE_TRANSACTION, "COMMIT", None),
        (sqlite3.SQLITE_ATTACH, "x", None),
        (sqlite3.SQLITE_PRAGMA, "Writable_Schema", "1"),
        (sqlite3.SQLITE_PRAGMA, "page_size", "512"),
        (sqlite3.SQLITE_PRAGMA, "wal_checkpoint", None),
        (sqlite3.SQLITE_DELETE, "LOCKSTEP_run", None),
        (sqlite3.SQLITE_CREATE_TRIGGER, "x", "lockstep_run"),
        (sqlite3.SQLITE_ALTER_TABLE, "main", "lockstep_run"),
        (sqlite3.SQLITE_FUNCTION, None, "load_extension"),
    ],
)
def test_the_guard_denies(action: int, first: str, second: str | None) -> None:
    assert judge(action, first, second) is not None


@pytest.mark.parametrize(
    ("action", "first", "second"),
    [
        (sqlite3.SQLITE_READ, "lockstep_run", "line"),
        (sqlite3.SQLITE_DELETE, "locksteps", None),
        (sqlite3.SQLITE_SAVEPOINT, "BEGIN", "a"),
        (sqlite3.SQLITE_FUNCTION, None, "count"),
        (sqlite3.SQLITE_PRAGMA, "DATA_version", None),
        *((sqlite3.SQLITE_PRAGMA, name, None) for name in sorted(PRAGMAS)),
    ],
)
def test_the_guard_lets_through(action: int, first: str | None, second: str | None) -> None:
    assert judge(action, first, second) is None


def test_the_guard_sees_what_was_prepared_before() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as raw:
        raw.execute("BEGIN")
        raw.execute("COMMIT")
        raw.execute("BEGIN")
        with Guard(raw) as guard, pytest.raises(sqlite3.DatabaseError):
            raw.execute("COMMIT")
        assert guard.denied is not None
        assert raw.in_transaction
        raw.execute("COMMIT")


def test_functions_of_applications_go_both_ways() -> None:
    with closing(sqlite3.connect(":memory:")) as raw:
        register(raw)
        asked = "SELECT BIN2B64(x'00ff10'), B642BIN('AP8Q'), BIN2B64(NULL), B642BIN(NULL)"
        assert raw.execute(asked).fetchone() == ("AP8Q", b"\x00\xff\x10", None, None)
        with pytest.raises(sqlite3.OperationalError):
            raw.execute("SELECT B642BIN('not base64!')").fetchone()


DDL = (
    "CREATE VIRTUAL TABLE f USING fts5(a, b)",
    "INSERT INTO f VALUES ('x', 'y')",
    "INSERT INTO f(f) VALUES ('rebuild')",
    "ALTER TABLE f RENAME TO g",
    "DROP TABLE g",
    "CREATE VIRTUAL TABLE f4 USING fts4(a, b)",
    "INSERT INTO f4(f4) VALUES ('optimize')",
    "CREATE VIRTUAL TABLE r USING rtree(id, a, b)",
    "INSERT INTO r VALUES (1, 1, 2)",
    "CREATE TABLE t (a int PRIMARY KEY, b int AS (a + 1) STORED) STRICT, WITHOUT ROWID",
    "ALTER TABLE t ADD COLUMN c text",
    "ALTER TABLE t RENAME COLUMN c TO d",
    "ALTER TABLE t DROP COLUMN d",
    "CREATE INDEX i ON t (b) WHERE b > 1",
    "REINDEX",
    "ANALYZE",
    "CREATE TABLE u AS WITH RECURSIVE c (x) AS (SELECT 1) SELECT x FROM c",
    "SELECT * FROM pragma_table_info('u')",
    "CREATE TEMP TABLE q (x)",
    "DROP TABLE t",
)


def test_the_guard_lets_all_other_ddl_through() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as raw:
        raw.execute("BEGIN")
        modules = {str(row[0]) for row in raw.execute("SELECT name FROM pragma_module_list")}
        for sql in DDL:
            if (module := next((m for m in ("fts5", "fts4", "rtree") if f"USING {m}" in sql), None)) is not None:
                assert module in modules
            with Guard(raw) as guard:
                raw.execute(sql).fetchall()
            assert guard.denied is None, sql
