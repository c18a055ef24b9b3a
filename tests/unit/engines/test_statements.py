"""What is run in a transaction, run alone, and refused."""

import pytest

from lockstep.api.reasons import Reason
from lockstep.engines.base import Action, RunError
from lockstep.engines.postgresql.statements import SqlScript, read_script
from lockstep.engines.postgresql.subjects import Kind, is_setting, is_temporary
from lockstep.planning.plan import Candidate, Direction, Step
from lockstep.planning.version import Version
from lockstep.planning.wire import OrderedMigration


def script(sql: str, transaction: str = "Auto") -> SqlScript:
    step = Step(Direction.UP, Candidate("orders-1", Version.parse("1"), ""))
    return read_script(Action(step, OrderedMigration("orders-1", "1", "", transaction=transaction, up=sql)))


def read(sql: str, transaction: str = "Auto") -> int:
    return script(sql, transaction).statements


def reason(sql: str, transaction: str = "Auto") -> tuple[Reason, str]:
    with pytest.raises(RunError) as caught:
        read(f"SELECT 1;\n{sql};", transaction)
    assert caught.value.error is not None
    assert caught.value.error.line == 2
    return caught.value.reason, caught.value.message


@pytest.mark.parametrize(
    "sql",
    [
        "BEGIN",
        "begin work",
        "START TRANSACTION",
        "COMMIT",
        "COMMIT PREPARED 'x'",
        "END",
        "ROLLBACK",
        "ROLLBACK PREPARED 'x'",
        "ABORT",
        "PREPARE TRANSACTION 'x'",
        "DISCARD ALL",
        "SELECT pg_advisory_unlock_all()",
        "DO $$BEGIN PERFORM PG_Advisory_Unlock_All(); END$$",
        "\\i other.sql",
        "SELECT 'open",
    ],
)
def test_is_refused(sql: str) -> None:
    assert reason(sql)[0] is Reason.STATEMENT_REFUSED


ISOLATION = {
    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE": True,
    "SET LOCAL TRANSACTION READ WRITE, ISOLATION LEVEL REPEATABLE READ": True,
    "SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED": True,
    "SET TRANSACTION ISOLATION LEVEL READ COMMITTED": False,
    "SET TRANSACTION READ WRITE": False,
    "SET TRANSACTION NOT DEFERRABLE": True,
    "SET LOCAL TRANSACTION SNAPSHOT '00000003-0000001B-1'": True,
    "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE": False,
    "SET transaction_isolation = 'read committed'": False,
}


@pytest.mark.parametrize(("sql", "refused"), ISOLATION.items(), ids=ISOLATION)
def test_another_level_of_isolation_is_refused(sql: str, refused: bool) -> None:
    if not refused:
        assert read(sql) == 1
        return
    found, message = reason(sql)
    assert found is Reason.STATEMENT_REFUSED
    assert "remove it" in message


def test_all_of_a_texts_transaction_control_is_named_at_once() -> None:
    with pytest.raises(RunError, match=r"line 1, column 1: BEGIN is .*; remove it, and those in line 3, 5 too$"):
        read("BEGIN;\nCREATE TABLE t ();\nCOMMIT; begin;\nROLLBACK TO s;\nEND")
    with pytest.raises(RunError, match=r"in line 2, 3, 4, 5, 6, \.\.\. too$"):
        read("BEGIN;\n" * 9)


ALONE = [
    ("CREATE INDEX CONCURRENTLY i ON t (x)", Kind.CREATE_INDEX, ("t",), ("i",)),
    ('CREATE UNIQUE INDEX concurrently IF NOT EXISTS "I" ON ONLY s."T" (x)', Kind.CREATE_INDEX, ("s", "T"), ("I",)),
    ("CREATE INDEX CONCURRENTLY ON Tab USING gin (x)", Kind.CREATE_INDEX, ("tab",), ()),
    (
        'CREATE INDEX /* why /* nested */ */ CONCURRENTLY -- ON\n u&"d\\0061t" ON ÄB (x)',
        Kind.CREATE_INDEX,
        ("Äb",),
        ("dat",),
    ),
    ("DROP INDEX CONCURRENTLY s.i", Kind.DROP_INDEX, ("s", "i"), ()),
    ("DROP INDEX CONCURRENTLY IF EXISTS i CASCADE", Kind.DROP_INDEX, ("i",), ()),
    ("REINDEX INDEX CONCURRENTLY i", Kind.REINDEX, ("i",), ()),
    ("REINDEX (VERBOSE, CONCURRENTLY) TABLE t", Kind.REINDEX, ("t",), ()),
    ("REINDEX SCHEMA CONCURRENTLY s", Kind.REINDEX, ("s",), ()),
    ("REINDEX DATABASE d", Kind.AGAIN, (), ()),
    ("REINDEX (VERBOSE) SCHEMA s", Kind.AGAIN, (), ()),
    ("REINDEX SYSTEM d", Kind.AGAIN, (), ()),
    ("VACUUM t", Kind.AGAIN, (), ()),
    ("vacuum (analyze)", Kind.AGAIN, (), ()),
    ("CLUSTER", Kind.AGAIN, (), ()),
    ("CLUSTER (VERBOSE)", Kind.AGAIN, (), ()),
    ("CLUSTER VERBOSE", Kind.AGAIN, (), ()),
    ("ALTER SYSTEM SET work_mem = 1", Kind.AGAIN, (), ()),
    ("ALTER DATABASE d SET TABLESPACE s", Kind.AGAIN, (), ()),
    ("CREATE DATABASE d", Kind.CREATE, ("d",), ()),
    ("DROP DATABASE IF EXISTS d", Kind.DROP, ("d",), ()),
    ("CREATE TABLESPACE s LOCATION '/x'", Kind.CREATE, ("s",), ()),
    ("DROP TABLESPACE s", Kind.DROP, ("s",), ()),
    ("CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p", Kind.CREATE, ("s",), ()),
    ("DROP SUBSCRIPTION s", Kind.DROP, ("s",), ()),
    ("ALTER SUBSCRIPTION s REFRESH PUBLICATION", Kind.AGAIN, (), ()),
    ("ALTER SUBSCRIPTION s ADD PUBLICATION p", Kind.OPAQUE, (), ()),
    ("ALTER TABLE IF EXISTS ONLY s.t DETACH PARTITION p CONCURRENTLY", Kind.DETACH, ("s", "t"), ("p",)),
]


@pytest.mark.parametrize(("sql", "kind", "name", "part"), ALONE, ids=[each[0] for each in ALONE])
def test_runs_alone(sql: str, kind: Kind, name: tuple[str, ...], part: tuple[str, ...]) -> None:
    made = script(f"SELECT 1;\n{sql};")
    found = made.subject(made.parts[1])
    assert found is not None
    assert (found.kind, found.name, found.part) == (kind, name, part)
    assert made.journaled
    assert made.subject(made.parts[0]) is None
    assert found.what.split()[0] in sql.upper()
    with pytest.raises(RunError, match=r"spec\.transaction is Always") as caught:
        read(f"SELECT 1;\n  {sql};", transaction="Always")
    detail = caught.value.error
    assert detail is not None
    assert (caught.value.reason, detail.statement, detail.line) == (Reason.STATEMENT_REFUSED, 2, 2)
    assert "statement 2, line 2, column 3" in caught.value.message


def test_only_if_not_exists_is_lenient() -> None:
    for words, lenient in (("IF NOT EXISTS i", True), ("i", False), ('"if"', False)):
        made = script(f"CREATE INDEX CONCURRENTLY {words} ON t (x)")
        found = made.subject(made.parts[0])
        assert found is not None
        assert found.lenient is lenient


def test_a_copy_to_the_client_is_refused() -> None:
    for sql in ("COPY t TO STDOUT", "COPY (SELECT 1) TO stdout WITH CSV", "COPY t TO stdin"):
        found, message = reason(sql)
        assert found is Reason.STATEMENT_REFUSED
        assert "nobody is there to take the rows" in message


def test_the_data_of_a_copy_is_no_sql() -> None:
    made = script("COPY t FROM stdin;\n1\tCOMMIT;\n\\.\nSELECT 1;")
    assert made.statements == 2
    data = made.data(made.parts[0])
    assert data is not None
    assert b"".join(data.chunks()) == b"1\tCOMMIT;\n"
    # Another line of data is another statement.
    other = script("COPY t FROM stdin;\n2\tCOMMIT;\n\\.\nSELECT 1;")
    assert made.digest(made.parts[0]) != other.digest(other.parts[0])
    assert made.digest(made.parts[1]) == other.digest(other.parts[1])


def test_the_digest_does_not_see_how_lines_end() -> None:
    one, other = script("SELECT\n1"), script("SELECT\r\n1")
    assert one.digest(one.parts[0]) == other.digest(other.parts[0])


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "REFRESH MATERIALIZED VIEW CONCURRENTLY v",
        "SAVEPOINT s; ROLLBACK TO SAVEPOINT s; ROLLBACK WORK TO s; RELEASE s",
        "CLUSTER t USING i",
        'CLUSTER "T"',
        "REINDEX TABLE t",
        "REINDEX (CONCURRENTLY false) TABLE t",
        "COPY t FROM '/tmp/x'",
        "COPY t FROM stdin",
        "PREPARE p AS SELECT 1",
        "DISCARD TEMP",
        "COMMENT ON TABLE t IS 'COMMIT'",
        "-- COMMIT; pg_advisory_unlock_all\nSELECT 1",
        "ALTER TABLE t DETACH PARTITION p",
        "ALTER TABLE t DETACH PARTITION p FINALIZE",
        "ALTER TABLE t ALTER COLUMN x SET DEFAULT 'CONCURRENTLY'",
        "ALTER DATABASE d SET work_mem = 1",
        "ALTER TYPE e ADD VALUE 'x'",
        "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p WITH (create_slot = false)",
        "CREATE INDEX database ON t (x)",
        'CREATE TABLE "begin" (x int)',
        "CALL p(); DO $$BEGIN END$$",
    ],
)
def test_runs_in_a_transaction(sql: str) -> None:
    for transaction in ("Auto", "Always"):
        assert not script(sql, transaction=transaction).journaled


def test_never_journals_everything() -> None:
    assert script("SELECT 1", transaction="Never").journaled


@pytest.mark.parametrize(
    ("sql", "setting", "temporary"),
    [
        ("SET search_path = s", True, False),
        ("SET SESSION AUTHORIZATION x", True, False),
        ("set role other", True, False),
        ("RESET ALL", True, False),
        ("SELECT pg_catalog.set_config('search_path', '', false)", True, False),
        ("SELECT set_config('a.b', x, false) FROM t", False, False),
        ("SELECT set_config('a.b', 'c', true)", False, False),
        ("SET LOCAL work_mem = 1", False, False),
        ("SET CONSTRAINTS ALL DEFERRED", False, False),
        ("SET TRANSACTION READ ONLY", False, False),
        ("CREATE TEMP TABLE t (x int)", False, True),
        ("CREATE LOCAL TEMPORARY TABLE t (x int)", False, True),
        ("CREATE OR REPLACE TEMP VIEW v AS SELECT 1", False, True),
        ("SELECT 1 INTO TEMP t", False, True),
        ("SELECT 1 INTO pg_temp.t", False, True),
        ("CREATE TABLE IF NOT EXISTS PG_temp.t (x int)", False, True),
        ('create unlogged table "pg_temp" . t (x int)', False, True),
        ("CREATE OR REPLACE FUNCTION pg_temp.f() RETURNS int AS 'SELECT 1' LANGUAGE sql", False, True),
        ("CREATE FUNCTION f(x pg_temp.t) RETURNS int AS 'SELECT 1' LANGUAGE sql", False, False),
        ("CREATE FUNCTION f() RETURNS int AS 'SELECT 1' LANGUAGE sql SET search_path = pg_temp", False, False),
        ("PREPARE p AS SELECT 1", False, True),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", False, True),
        ("CREATE TABLE temp (x int)", False, False),
        ("SELECT 1", False, False),
    ],
)
def test_what_ends_with_its_session(sql: str, setting: bool, temporary: bool) -> None:
    assert (is_setting(sql), is_temporary(sql)) == (setting, temporary)


def test_a_zero_byte_is_refused() -> None:
    # libpq takes it for the end of the text: what follows would be left out without a word.
    assert reason("SELECT 'a\x00b'")[0] is Reason.STATEMENT_REFUSED
