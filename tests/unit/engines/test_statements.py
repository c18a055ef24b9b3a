"""What is run, refused, and not supported yet."""

import pytest

from lockstep.api.reasons import Reason
from lockstep.engines.base import RunError
from lockstep.engines.postgresql.statements import read_script
from lockstep.planning.wire import OrderedMigration


def read(sql: str, **more: str) -> int:
    return read_script(OrderedMigration("orders-1", "1", "", up=sql, **more)).statements  # type: ignore[arg-type]


def reason(sql: str, **more: str) -> tuple[Reason, str]:
    with pytest.raises(RunError) as caught:
        read(f"SELECT 1;\n{sql};", **more)
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


@pytest.mark.parametrize(
    ("sql", "name"),
    [
        ("CREATE INDEX CONCURRENTLY i ON t (x)", "CREATE INDEX CONCURRENTLY"),
        ("CREATE UNIQUE INDEX concurrently i ON t (x)", "CREATE UNIQUE INDEX CONCURRENTLY"),
        ("DROP INDEX CONCURRENTLY i", "DROP INDEX CONCURRENTLY"),
        ("REINDEX INDEX CONCURRENTLY i", "REINDEX CONCURRENTLY"),
        ("REINDEX (CONCURRENTLY) TABLE t", "REINDEX CONCURRENTLY"),
        ("REINDEX DATABASE d", "REINDEX DATABASE"),
        ("VACUUM t", "VACUUM"),
        ("CLUSTER", "CLUSTER"),
        ("CREATE DATABASE d", "CREATE DATABASE"),
        ("DROP DATABASE d", "DROP DATABASE"),
        ("ALTER SYSTEM SET x = 1", "ALTER SYSTEM"),
        ("CREATE TABLESPACE s LOCATION '/x'", "CREATE TABLESPACE"),
        ("DROP TABLESPACE s", "DROP TABLESPACE"),
        ("CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p", "CREATE SUBSCRIPTION"),
        ("ALTER TABLE t DETACH PARTITION p CONCURRENTLY", "DETACH PARTITION CONCURRENTLY"),
        ("COPY t FROM stdin", "COPY FROM stdin"),
        ("COPY t TO STDOUT", "COPY TO stdout"),
    ],
)
def test_is_not_supported_yet_and_named(sql: str, name: str) -> None:
    text = f"{sql};\n1\n\\.\n" if "stdin" in sql else sql
    found, message = reason(text)
    assert found is Reason.NOT_SUPPORTED_YET
    assert name in message
    assert "statement 2, line 2" in message


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "REFRESH MATERIALIZED VIEW CONCURRENTLY v",
        "SAVEPOINT s; ROLLBACK TO SAVEPOINT s; ROLLBACK WORK TO s; RELEASE s",
        "CLUSTER t USING i",
        "COPY t FROM '/tmp/x'",
        "PREPARE p AS SELECT 1",
        "DISCARD TEMP",
        "COMMENT ON TABLE t IS 'COMMIT'",
        "-- COMMIT; pg_advisory_unlock_all\nSELECT 1",
        "ALTER TABLE t DETACH PARTITION p",
        'CREATE TABLE "begin" (x int)',
    ],
)
def test_runs(sql: str) -> None:
    read(sql)


def test_outside_of_a_transaction_is_not_supported_yet() -> None:
    with pytest.raises(RunError, match="transaction: Never"):
        read("SELECT 1", transaction="Never")


def test_a_zero_byte_is_refused() -> None:
    # libpq takes it for the end of the text: what follows would be left out without a word.
    assert reason("SELECT 'a\x00b'")[0] is Reason.STATEMENT_REFUSED
