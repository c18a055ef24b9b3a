"""SQL that fails: where, why, and nothing of it left."""

import pytest

from support.kube import Kube, condition, migration, schema_version
from support.targets import Target


def test_a_failing_statement_is_named_and_leaves_nothing(kube: Kube, target: Target) -> None:
    bad = "CREATE TABLE b (n int);\n\nINSERT INTO b VALUES (1);\nINSERT INTO nowhere\n  VALUES ('secret-row');\n"
    kube.apply(
        target.secret(),
        migration("orders", "1", "CREATE TABLE a (n int)"),
        migration("orders", "2", bad),
        migration("orders", "3", "CREATE TABLE c (n int)"),
        schema_version("orders"),
    )
    found = kube.wait_reason("SchemaVersion", "orders", "StatementFailed")
    said = condition(found, "Ready")["message"]
    assert '"nowhere"' in said
    for piece in ("version 2", "statement 3", "line 4", "42P01"):
        assert piece in said, said
        assert piece in found["status"]["lastError"]
    assert "secret-row" not in said
    assert condition(found, "Stalled")["status"] == "True"
    assert found["status"]["version"] == "1"
    assert target.tables() == {"a"}
    kube.wait("Migration", "orders-1", lambda mig: mig["status"]["applied"], "the one before it stays")
    assert not kube.get("Migration", "orders-2")["status"]["applied"]

    # It waits for a change: correcting the text is one.
    kube.apply(migration("orders", "2", "CREATE TABLE b (n int)"))
    kube.wait_reason("SchemaVersion", "orders", "UpToDate")
    assert target.tables() == {"a", "b", "c"}


def test_a_retry_token_starts_one_more_attempt(kube: Kube, target: Target) -> None:
    kube.apply(
        target.secret(),
        migration("orders", "1", "CREATE TABLE a (n int); INSERT INTO waited_for VALUES (1)"),
        schema_version("orders"),
    )
    kube.wait_reason("SchemaVersion", "orders", "StatementFailed")
    # The ledger is there now, so what is made by hand beside it does not matter.
    target.execute("CREATE TABLE waited_for (n int)")
    kube.patch("SchemaVersion", "orders", {"metadata": {"annotations": {"lockstep.dev/retry": "1"}}})
    found = kube.wait_reason("SchemaVersion", "orders", "UpToDate")
    assert found["status"]["lastHandledRetry"] == "1"
    assert target.query("SELECT * FROM waited_for") == [(1,)]


@pytest.mark.parametrize(
    ("sql", "reason", "piece"),
    [
        ("CREATE TABLE b ();\nCOMMIT;\nCREATE TABLE c ()", "StatementRefused", "line 2"),
        ("CREATE TABLE b ();\n\nDISCARD ALL", "StatementRefused", "line 3"),
        ("\\connect other", "StatementRefused", "line 1"),
    ],
)
def test_statements_that_are_refused_before_anything_runs(
    kube: Kube, target: Target, sql: str, reason: str, piece: str
) -> None:
    kube.apply(
        target.secret(),
        migration("orders", "1", "CREATE TABLE a (n int)"),
        migration("orders", "2", sql),
        schema_version("orders"),
    )
    found = kube.wait_reason("SchemaVersion", "orders", reason)
    assert piece in condition(found, "Ready")["message"]
    assert "orders-2" in condition(found, "Ready")["message"]
    assert target.tables() == set()


def test_what_cannot_run_in_a_transaction_runs_by_itself_and_always_refuses_it(kube: Kube, target: Target) -> None:
    concurrently = "CREATE TABLE b (n int);\nCREATE INDEX CONCURRENTLY i ON b (n)"
    kube.apply(
        target.secret(),
        migration("orders", "1", concurrently),
        migration("orders", "2", "CREATE TABLE c ();\nVACUUM", transaction="Always"),
        schema_version("orders"),
    )
    refused = kube.wait_reason("SchemaVersion", "orders", "StatementRefused")
    assert "line 2" in condition(refused, "Ready")["message"]
    assert target.tables() == set()
    kube.apply(migration("orders", "2", "CREATE TABLE c ();\nVACUUM", transaction="Never"))
    kube.wait_reason("SchemaVersion", "orders", "UpToDate")
    assert target.tables() == {"b", "c"}
    assert target.query("SELECT indisvalid FROM pg_index WHERE indexrelid = 'public.i'::regclass") == [(True,)]


def test_a_recreated_migration_with_another_text_is_a_mismatch(kube: Kube, target: Target) -> None:
    kube.apply(target.secret(), migration("orders", "1", "CREATE TABLE a (n int)"), schema_version("orders"))
    kube.wait_reason("SchemaVersion", "orders", "UpToDate")
    kube.delete("Migration", "orders-1")
    kube.wait_gone("Migration", "orders-1")
    kube.apply(migration("orders", "1", "CREATE TABLE b (n int)"))
    found = kube.wait_reason("SchemaVersion", "orders", "ChecksumMismatch")
    assert "orders-1" in condition(found, "Ready")["message"]
    assert target.tables() == {"a"}


def test_a_blocked_statement_names_who_blocks_it(kube: Kube, target: Target) -> None:
    kube.apply(
        target.secret(), migration("orders", "1", "CREATE TABLE a (n int)"), schema_version("orders", version="1")
    )
    kube.wait_reason("SchemaVersion", "orders", "UpToDate")
    with target.holding("LOCK TABLE a IN ACCESS EXCLUSIVE MODE", application="the-report"):
        wanted = schema_version("orders", execution={"lockTimeout": "1s", "deadline": "6s"})
        kube.apply(migration("orders", "2", "ALTER TABLE a ADD COLUMN b text"), wanted)
        found = kube.wait_reason("SchemaVersion", "orders", "LockTimeout")
        assert "the-report" in condition(found, "Ready")["message"]
    kube.wait_reason("SchemaVersion", "orders", "UpToDate")
    assert target.columns("a") == ["n", "b"]
