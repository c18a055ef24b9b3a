"""A line taken up: each migration whole or not at all, recorded or not there."""

import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from lockstep.api.reasons import Reason
from lockstep.planning.wire import OrderedMigration, Policy
from servers.postgres import Database
from servers.process import wait_until
from servers.runner import Ended, Pod, keys_of, limits, migration, numbered, order

USERS = migration(
    "0001",
    "CREATE TABLE users (id bigint PRIMARY KEY, name text);\nINSERT INTO users VALUES (1, 'one');\n",
    "DROP TABLE users;",
)
EMAIL = migration("0002", "ALTER TABLE users ADD COLUMN email text;", "ALTER TABLE users DROP COLUMN email;")


def tables(database: Database) -> set[object]:
    rows = database.query("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
    return {row[0] for row in rows}


def versions(database: Database) -> list[object]:
    return [row[0] for row in database.query("SELECT version FROM lockstep.applied ORDER BY sequence")]


def broken(up: str, version: str = "0003") -> OrderedMigration:
    return migration(version, up)


def test_takes_an_empty_database_to_the_latest_version(any_database: Database, pod: Pod) -> None:
    ended = pod.run(order(USERS, EMAIL), keys_of(any_database))
    assert (ended.code, ended.result.reason) == (0, Reason.UP_TO_DATE)
    assert (ended.result.version, ended.result.applied, ended.result.pending) == ("0002", 2, 0)
    assert [(step.name, step.direction) for step in ended.result.steps] == [
        ("orders-0001", "up"),
        ("orders-0002", "up"),
    ]
    assert ended.result.ledger is not None
    assert ended.result.ledger.sequence == 2
    assert ended.result.holder == pod.name
    assert any_database.query("SELECT name, email FROM users", admin=False) == [("one", None)]
    assert versions(any_database) == ["0001", "0002"]


def test_a_second_run_does_nothing(any_database: Database, pod: Pod) -> None:
    pod.run(order(USERS, EMAIL), keys_of(any_database))
    history = any_database.query("TABLE lockstep.history")
    ended = pod.run(order(USERS, EMAIL), keys_of(any_database))
    assert (ended.code, ended.result.applied, ended.result.version) == (0, 0, "0002")
    assert any_database.query("TABLE lockstep.history") == history


def test_goes_on_where_it_was(any_database: Database, pod: Pod) -> None:
    first = pod.run(order(USERS), keys_of(any_database)).result
    assert first.ledger is not None
    # The texts that the status knows to be applied are not sent again.
    known = replace(USERS, up=None, down=None)
    wanted = order(
        known,
        EMAIL,
        known_version="0001",
        known_ledger=first.ledger.uuid,
        known_sequence=1,
        known_hash=first.ledger.hash,
    )
    ended = pod.run(wanted, keys_of(any_database))
    assert (ended.result.version, ended.result.applied) == ("0002", 1)


def test_a_version_as_target_stops_there(database: Database, pod: Pod) -> None:
    ended = pod.run(order(USERS, EMAIL, target="1.0"), keys_of(database))
    assert (ended.result.version, ended.result.applied) == ("0001", 1)
    approval = pod.run(order(USERS, EMAIL, target="base"), keys_of(database)).result
    assert approval.reason is Reason.APPROVAL_REQUIRED
    assert pod.run(order(USERS, EMAIL, target="9"), keys_of(database)).result.reason is Reason.TARGET_NOT_FOUND


def test_base_of_an_empty_database_is_there_already(database: Database, pod: Pod) -> None:
    ended = pod.run(order(USERS, target="base"), keys_of(database))
    assert (ended.code, ended.result.version, ended.result.applied) == (0, "base", 0)


def test_what_failed_leaves_nothing_and_keeps_what_was_before(any_database: Database, pod: Pod) -> None:
    third = broken("CREATE TABLE extra (id int);\n\nINSERT INTO users\n  VALUES (1, 'again');\nCREATE TABLE more ();")
    ended = pod.run(order(USERS, EMAIL, third), keys_of(any_database))
    assert (ended.code, ended.result.reason) == (20, Reason.STATEMENT_FAILED)
    assert (ended.result.version, ended.result.applied, ended.result.pending) == ("0002", 2, 1)
    detail = ended.result.error
    assert detail is not None
    assert (detail.version, detail.statement, detail.line, detail.sqlstate) == ("0003", 2, 3, "23505")
    assert "users_pkey" in ended.result.message
    # DETAIL would carry the row.
    assert "(1)" not in ended.text
    assert tables(any_database) == {"users"}
    assert versions(any_database) == ["0001", "0002"]


@pytest.mark.parametrize("to", ["int", "date", "uuid", "int[]", "jsonb", "numeric(3)"])
def test_a_value_that_cannot_be_converted_is_not_shown(to: str, any_database: Database, pod: Pod) -> None:
    made = migration("1", "CREATE TABLE t (x text); INSERT INTO t VALUES ('private' || 1)")
    ended = pod.run(
        order(made, migration("2", f"ALTER TABLE t ALTER x TYPE {to} USING x::{to}")), keys_of(any_database)
    )
    assert ended.result.reason is Reason.STATEMENT_FAILED, ended.text
    assert "SQLSTATE 22" in ended.result.message
    assert "private" not in ended.text
    # One of the SQL itself helps whoever wrote it.
    ended = pod.run(order(made, migration("2", "SELECT 'public'::int")), keys_of(any_database))
    assert '"public"' in ended.result.message


def test_a_long_text_that_fails_at_its_end_leaves_nothing(any_database: Database, pod: Pod) -> None:
    # Several sends, and the last of them fails.
    long = broken(
        "CREATE TABLE extra (x text);\n" + f"INSERT INTO extra VALUES ('{'x' * 900}');\n" * 300 + "SELECT 1/0;"
    )
    ended = pod.run(order(USERS, long), keys_of(any_database))
    assert ended.result.error is not None, ended.text
    assert (ended.result.error.statement, ended.result.error.line) == (302, 302)
    assert tables(any_database) == {"users"}


def test_the_line_is_the_one_that_the_server_points_to(database: Database, pod: Pod) -> None:
    ended = pod.run(order(broken("-- first\nSELECT 1;\nSELECT 'é',\n  nothing\nFROM pg_class;")), keys_of(database))
    assert ended.result.error is not None
    assert (ended.result.error.statement, ended.result.error.line) == (2, 4)


def test_a_deferred_constraint_fails_before_the_commit(any_database: Database, pod: Pod) -> None:
    sql = (
        "CREATE TABLE a (id int PRIMARY KEY);"
        "CREATE TABLE b (a int REFERENCES a DEFERRABLE INITIALLY DEFERRED); INSERT INTO b VALUES (1)"
    )
    ended = pod.run(order(broken(sql)), keys_of(any_database))
    assert ended.result.reason is Reason.STATEMENT_FAILED
    assert ended.result.error is not None
    assert ended.result.error.sqlstate == "23503"
    assert "at its end" in ended.result.message
    assert tables(any_database) == set()


@pytest.mark.parametrize("text", ["", "\n", "-- nothing\n", "/* nothing /* at */ all */ ;;", "\ufeff"])
def test_a_text_without_statements_is_a_version_too(text: str, database: Database, pod: Pod) -> None:
    ended = pod.run(order(migration("1", text)), keys_of(database))
    assert (ended.code, ended.result.version) == (0, "1")


AS_IT_IS: dict[str, tuple[str, list[object]]] = {
    "placeholders": (
        "CREATE TABLE t (x text); INSERT INTO t VALUES ('50% :name {{x}} $1 %s');",
        [("50% :name {{x}} $1 %s",)],
    ),
    "crlf": ("\ufeffCREATE TABLE t (x text);\r\nINSERT INTO t VALUES ('a;b')\r\n;\r\n", [("a;b",)]),
    "quotes": (
        "CREATE TABLE t (x text); INSERT INTO t VALUES ('日本'), (E'it\\'s;'), ($q$;$$;$q$)",
        [("日本",), ("it's;",), (";$$;",)],
    ),
    "json": (
        """CREATE TABLE t (x jsonb); INSERT INTO t VALUES ('{"a":true}'); DELETE FROM t WHERE NOT x ? 'a'""",
        [({"a": True},)],
    ),
    "atomic": (
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 END; END;"
        "CREATE TABLE t AS SELECT f() AS x",
        [(2,)],
    ),
    "rule": (
        "CREATE TABLE t (x int); CREATE TABLE u (x int); CREATE RULE r AS ON INSERT TO u DO INSTEAD "
        "(INSERT INTO t VALUES (2); INSERT INTO t VALUES (3)); INSERT INTO u VALUES (1)",
        [(2,), (3,)],
    ),
    "savepoint": ("CREATE TABLE t (x int); SAVEPOINT s; INSERT INTO t VALUES (1); ROLLBACK TO s; RELEASE s;", []),
    "backslashes": ("SET standard_conforming_strings = off; CREATE TABLE t AS SELECT 'a\\'b;'::text AS x", [("a'b;",)]),
}


@pytest.mark.parametrize(("text", "rows"), AS_IT_IS.values(), ids=AS_IT_IS.keys())
def test_text_is_sent_as_it_is(text: str, rows: list[object], any_database: Database, pod: Pod) -> None:
    ended = pod.run(order(migration("1", text)), keys_of(any_database))
    assert ended.code == 0, ended.text
    assert sorted(any_database.query("TABLE t"), key=str) == sorted(rows, key=str)


def test_repeatables_run_after_the_versions_when_their_text_changed(any_database: Database, pod: Pod) -> None:
    def view(sql: str) -> OrderedMigration:
        return migration(None, f"CREATE OR REPLACE VIEW v AS {sql}", "DROP VIEW v", name="orders-v")

    first = pod.run(order(view("SELECT name FROM users"), USERS), keys_of(any_database)).result
    assert [step.direction for step in first.steps] == ["up", "repeat"]
    again = pod.run(order(view("SELECT name FROM users"), USERS), keys_of(any_database)).result
    assert again.applied == 0
    changed = pod.run(order(view("SELECT name, id FROM users"), USERS), keys_of(any_database)).result
    assert changed.applied == 1
    assert [(s.name, s.version, s.direction) for s in changed.steps[-1:]] == [("orders-v", None, "repeat")]
    assert any_database.query("SELECT direction, sequence FROM lockstep.history ORDER BY sequence") == [
        ("up", 1),
        ("repeat", 2),
        ("repeat", 3),
    ]


def test_a_changed_text_is_refused(database: Database, pod: Pod) -> None:
    pod.run(order(USERS), keys_of(database))
    changed = migration("0001", "CREATE TABLE other ();")
    ended = pod.run(order(changed, EMAIL), keys_of(database))
    assert (ended.code, ended.result.reason) == (20, Reason.CHECKSUM_MISMATCH)
    assert versions(database) == ["0001"]


def test_a_late_version_is_refused_or_allowed(database: Database, pod: Pod) -> None:
    late = migration("0001.5", "CREATE TABLE late ();")
    pod.run(order(USERS, EMAIL), keys_of(database))
    ended = pod.run(order(USERS, late, EMAIL), keys_of(database))
    assert (ended.code, ended.result.reason) == (20, Reason.OUT_OF_ORDER)
    ended = pod.run(order(USERS, late, EMAIL, policy=Policy(out_of_order="Allow")), keys_of(database))
    assert (ended.code, ended.result.version) == (0, "0002")
    assert versions(database) == ["0001", "0002", "0001.5"]


def test_a_text_that_is_missing_is_never_guessed(database: Database, pod: Pod) -> None:
    ended = pod.run(order(replace(USERS, up=None, down=None), EMAIL), keys_of(database))
    assert (ended.code, ended.result.reason) == (30, Reason.LEDGER_BEHIND)
    assert tables(database) == set()


def test_a_text_that_was_changed_on_its_way_is_refused(database: Database, pod: Pod) -> None:
    ended = pod.run(order(replace(USERS, up="CREATE TABLE other ();")), keys_of(database))
    assert (ended.code, ended.result.reason) == (20, Reason.BUNDLE_INVALID)
    assert tables(database) == set()


def test_refusals_come_before_anything_runs(database: Database, pod: Pod) -> None:
    text = "CREATE TABLE x ();\nCREATE INDEX CONCURRENTLY i ON users (name);"
    last = migration("0003", text, transaction="Always")
    ended = pod.run(order(USERS, EMAIL, last), keys_of(database))
    assert ended.result.reason is Reason.STATEMENT_REFUSED
    assert ended.result.error is not None
    assert (ended.result.error.statement, ended.result.error.line) == (2, 2)
    assert "CREATE INDEX CONCURRENTLY" in ended.result.message
    assert tables(database) == set()


def test_down_texts_travel_and_the_texts_of_data_stay_away(database: Database, pod: Pod) -> None:
    data = migration("0002", "INSERT INTO users VALUES (2, 'two')", "DELETE FROM users WHERE id = 2", kind="Data")
    pod.run(order(USERS, data), keys_of(database))
    kept = {row[0] for row in database.query("SELECT checksum FROM lockstep.texts")}
    assert kept == {USERS.up_checksum, USERS.down_checksum, data.down_checksum}


def test_a_million_rows_take_no_memory(database: Database, pod: Pod) -> None:
    rows = broken("SELECT repeat('x', 200) FROM generate_series(1, 1000000)")
    pod.start(order(rows, migration("0004", "SELECT pg_sleep(60)")), keys_of(database))
    pod.wait_for("applied", 60)
    status = Path(f"/proc/{pod.pid}/status").read_text()
    (peak,) = re.findall(r"^VmHWM:\s+(\d+) kB", status, re.M)
    pod.kill()
    # The rows alone are 200 MB.
    assert int(peak) < 150_000


def test_a_line_of_five_megabytes(database: Database, pod: Pod) -> None:
    row = f"INSERT INTO t VALUES ('{'x' * 480}');\n"
    many = [migration("1", "CREATE TABLE t (x text)")]
    many += [migration(f"{n}", f"-- {n}\n" + row * 2000) for n in range(2, 7)]
    assert sum(len(each.up or "") for each in many) > 5_000_000
    ended = pod.run(order(*many), keys_of(database))
    assert (ended.code, ended.result.version) == (0, "6")
    assert database.query("SELECT count(*) FROM t") == [(10_000,)]


def test_progress_shows_the_first_and_the_last_step(database: Database, pod: Pod) -> None:
    ended = pod.run(order(*numbered(30)), keys_of(database))
    seen = ended.events("progress")
    assert seen[0]["state"] == "Connecting"
    assert (seen[-1]["done"], seen[-1]["total"]) == (30, 30)
    assert len(seen) < 15


def ended_with(ended: Ended, reason: Reason) -> None:
    assert ended.result.reason is reason, ended.text


def test_a_statement_that_takes_too_long(any_database: Database, pod: Pod) -> None:
    ended = pod.run(
        order(broken("SELECT 1; SELECT pg_sleep(60)"), limits=limits(statement_timeout=300)), keys_of(any_database)
    )
    ended_with(ended, Reason.STATEMENT_TIMEOUT)
    assert "statement 2" in ended.result.message


@pytest.mark.parametrize("transaction", ["Auto", "Never"])
def test_a_limit_that_the_sql_sets_itself_is_no_cancellation(transaction: str, database: Database, pod: Pod) -> None:
    slow = migration("1", "SET statement_timeout = 300;\nSELECT pg_sleep(60)", transaction=transaction)
    ended = pod.run(order(slow), keys_of(database))
    assert (ended.code, ended.result.reason) == (20, Reason.STATEMENT_TIMEOUT), ended.text
    assert "statement 2, line 2: it took longer than the statement_timeout that its SQL sets" in ended.result.message


def test_who_is_cancelled_has_not_taken_too_long(database: Database, pod: Pod) -> None:
    wanted = order(
        migration("1", "SELECT pg_cancel_backend(pg_backend_pid())"), limits=limits(statement_timeout=60_000)
    )
    ended = pod.run(wanted, keys_of(database))
    assert (ended.code, ended.result.reason) == (10, Reason.INTERRUPTED), ended.text


def test_a_run_that_takes_too_long(any_database: Database, pod: Pod) -> None:
    # The SQL has taken its own limit away, as the head of a pg_dump does.
    slow = broken("SET statement_timeout = 0; SELECT pg_sleep(60)")
    ended = pod.run(order(slow, limits=limits(deadline=8000)), keys_of(any_database))
    ended_with(ended, Reason.DEADLINE_EXCEEDED)
    assert versions(any_database) == []
    left = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'lockstep%' AND datname = current_database()"
    )
    wait_until(lambda: any_database.query(left) == [(0,)], 30, "the session's end")


def test_sql_that_does_not_let_itself_be_cancelled(database: Database, pod: Pod) -> None:
    deaf = "LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP"
    wanted = order(migration("1", f"CREATE TABLE t (); DO $$BEGIN {deaf}; END$$"), limits=limits(deadline=2000))
    ended = pod.run(wanted, keys_of(database))
    assert ended.result.reason is Reason.DEADLINE_EXCEEDED, ended.text
    assert "deadline came in version 1 (orders-1), and the connection is gone" in ended.result.message
    # The server notices that nobody listens any more.
    left = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'lockstep%' AND state = 'active'"
    wait_until(lambda: database.query(left) == [(0,)], 30, "the session's end")
    assert database.query("SELECT to_regclass('t')") == [(None,)]
