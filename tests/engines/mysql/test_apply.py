"""Migrations on a real server: transactions where they hold, statement by statement where they do not."""

import re
import signal

import pymysql
import pytest
from msgspec.structs import replace

from engines.mysql.words import applied, columns, done, holding, is_running, journal, keys, tables, wait_until_free
from lockstep.api.reasons import Reason
from lockstep.planning.wire import Policy
from servers.mariadb import MariaDatabase
from servers.process import wait_until
from servers.runner import Pod, limits, migration, order

TABLE = migration("1", "CREATE TABLE t (id int PRIMARY KEY, name varchar(20) UNIQUE)", "DROP TABLE t")


def test_rows_that_fail_leave_nothing(database: MariaDatabase, pod: Pod) -> None:
    wrong = migration("2", "INSERT INTO t VALUES (1, 'a');\n\nINSERT INTO t VALUES\n(2, 'a');")
    ended = pod.run(order(TABLE, wrong), keys(database))
    assert (ended.code, ended.result.reason) == (20, Reason.STATEMENT_FAILED), ended.text
    error = ended.result.error
    assert error is not None
    assert (error.version, error.statement, error.line, error.sqlstate) == ("2", 2, 3, "23000")
    assert "error 1062" in ended.result.message
    # Which row it was, is the row's own business.
    assert "'a'" not in ended.text
    assert database.query("SELECT * FROM t") == []
    assert journal(database) == []


def test_a_syntax_error_shows_its_line_and_no_values(database: MariaDatabase, pod: Pod) -> None:
    wrong = migration("2", "-- one\nINSERT INTO t\nVALUES (1, 'secret') GARBAGE 'secret'")
    ended = pod.run(order(TABLE, wrong), keys(database))
    assert ended.result.error is not None
    assert (ended.result.error.statement, ended.result.error.line) == (1, 3)
    assert "GARBAGE" in ended.result.message
    assert "secret" not in ended.text


def test_what_has_committed_stays_and_the_next_run_goes_on(database: MariaDatabase, pod: Pod) -> None:
    up = (
        "CREATE TABLE a (x int); INSERT INTO a VALUES (1); ALTER TABLE a ADD COLUMN {} int; INSERT INTO a VALUES (2, 2)"
    )
    ended = pod.run(order(migration("1", up.format("x"))), keys(database))
    assert (ended.result.reason, ended.result.version) == (Reason.STATEMENT_FAILED, "base"), ended.text
    assert "Partial" in ended.result.message
    assert journal(database) == [("1", 1, "finished"), ("1", 2, "finished")]
    # The same text again: it begins where it failed, and fails there again.
    ended = pod.run(order(migration("1", up.format("x"))), keys(database))
    assert ended.result.error is not None
    assert ended.result.error.statement == 3
    assert database.query("SELECT x FROM a") == [(1,)]
    # Corrected, it goes on from there.
    done(pod.run(order(migration("1", up.format("y"))), keys(database)))
    assert database.query("SELECT x, y FROM a ORDER BY x") == [(1, None), (2, 2)]
    assert (applied(database), journal(database)) == (["1"], [])


def test_a_text_that_changed_where_it_has_run_is_partial(database: MariaDatabase, pod: Pod) -> None:
    pod.run(order(migration("1", "CREATE TABLE a (x int); ALTER TABLE a DROP COLUMN y")), keys(database))
    ended = pod.run(order(migration("1", "CREATE TABLE b (x int); ALTER TABLE b ADD COLUMN y int")), keys(database))
    assert (ended.code, ended.result.reason) == (30, Reason.PARTIAL), ended.text
    assert tables(database) == {"a"}


def test_the_first_statement_that_fails_leaves_nothing(database: MariaDatabase, pod: Pod) -> None:
    ended = pod.run(
        order(migration("1", "ALTER TABLE missing ADD COLUMN x int; CREATE TABLE a (x int)")), keys(database)
    )
    assert ended.result.reason is Reason.STATEMENT_FAILED
    assert "Partial" not in ended.result.message
    assert journal(database) == []
    assert tables(database) == set()


NOT_SQL = {
    "an index without its table": "DROP INDEX i",
    "an unknown beginning": "CRATE TABLE u (x int)",
    "a part that cannot be told": "ALTER TABLE t TRUNCATE PARTITION",
    "an account": "CREATE USER WITH",
    "a table without transactions": "INSERT INTO kept VALUES (1) GARBAGE",
    "what is not supported": "INSERT INTO kept SELECT 1 FROM kept WHERE 1 IN (SELECT x FROM kept LIMIT 1)",
    "a procedure that is not there": "CALL nowhere(1)",
    "one of another database": "CALL `of_others`.p",
    "a block without its variable": "BEGIN NOT ATOMIC DROP TABLE t; SELECT 1 INTO nowhere; END",
    "a block without its label": "BEGIN NOT ATOMIC DROP TABLE t; LEAVE nowhere; END",
    "one that is prepared": "SET @s = 'CALL nowhere()'; PREPARE p FROM @s; EXECUTE p",
    "a name that is too long": f"CREATE TABLE {'u' * 65} (x int)",
    "one that is too long among others": f"RENAME TABLE t TO u, kept TO {'k' * 65}",
    "one of a partition's table": f"ALTER TABLE {'u' * 65} TRUNCATE PARTITION p",
    "one of a database": f"CREATE PROCEDURE {'d' * 65}.p() SELECT 1",
    "one of an account": f"DROP USER {'n' * 129}",
    "a name that ends with a blank": "CREATE TABLE `u ` (x int)",
    "a table that is not there": "ALTER TABLE nowhere TRUNCATE PARTITION p",
    "a table without partitions": "ALTER TABLE t EXCHANGE PARTITION p WITH TABLE kept",
}


@pytest.mark.parametrize("text", NOT_SQL.values(), ids=NOT_SQL.keys())
def test_what_the_server_has_read_and_not_run_is_never_in_doubt(text: str, database: MariaDatabase, pod: Pod) -> None:
    before = "CREATE TABLE kept (x int) ENGINE = MyISAM; "
    ended = pod.run(order(TABLE, migration("2", f"{before}{text}")), keys(database))
    assert (ended.code, ended.result.reason) == (20, Reason.STATEMENT_FAILED), ended.text
    assert re.search(r"error (1059|1064|110[23]|1146|1235|1305|1308|1327|1370|1470|1505)", ended.result.message)
    assert journal(database) == [("2", 1, "finished")]
    done(pod.run(order(TABLE, migration("2", f"{before}INSERT INTO kept VALUES (2)")), keys(database)))
    assert database.query("SELECT x FROM kept") == [(2,)]


def test_of_partitions_one_of_which_is_not_there_none_is_emptied(database: MariaDatabase, pod: Pod) -> None:
    made = "CREATE TABLE p (x int) PARTITION BY HASH (x) PARTITIONS 2; INSERT INTO p VALUES (1), (2)"
    emptied = migration("2", "ALTER TABLE p TRUNCATE PARTITION p0, p1, p2")
    ended = pod.run(order(migration("1", made), emptied), keys(database))
    assert (ended.code, ended.result.reason) == (20, Reason.STATEMENT_FAILED), ended.text
    assert "error 1735" in ended.result.message
    assert (journal(database), database.query("SELECT count(*) FROM p")) == ([], [(2,)])


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TABLE `🐘` (x int)",
        "CREATE TABLE u (`🐘` int)",
        "DROP TABLE t, `🐘`",
        "ALTER TABLE t TRUNCATE PARTITION `🐘`",
        "CREATE ROLE a, `🐘`",
        "REVOKE SELECT ON *.* FROM app, `🐘`",
    ],
)
def test_letters_that_names_do_not_have_are_never_in_doubt(text: str, maria_database: MariaDatabase, pod: Pod) -> None:
    ended = pod.run(order(TABLE, migration("2", text)), keys(maria_database))
    assert (ended.code, ended.result.reason) == (20, Reason.STATEMENT_FAILED), ended.text
    assert "error 1300" in ended.result.message
    assert (journal(maria_database), tables(maria_database)) == ([], {"t"})


def test_a_name_that_is_too_long_of_what_is_replaced_shows_late(maria_database: MariaDatabase, pod: Pod) -> None:
    replaced = migration("2", f"CREATE OR REPLACE TABLE t (x int, KEY {'k' * 65} (x))")
    ended = pod.run(order(TABLE, replaced), keys(maria_database))
    assert (ended.code, ended.result.reason) == (30, Reason.PARTIAL), ended.text
    assert "error 1059" in ended.result.message
    assert tables(maria_database) == set()


NO_BLOCK = {
    "a word": "BEGIN NOT ATOMIC INSERT INTO t VALUES (1, 'call'); INSRT INTO t VALUES (2, 'b'); END",
    "a label": "x: LOOP INSERT INTO t VALUES (1, 'a'); LEAVE x; END LOOP",
}


@pytest.mark.parametrize("text", NO_BLOCK.values(), ids=NO_BLOCK.keys())
def test_a_block_that_cannot_be_read_is_never_in_doubt(text: str, maria_database: MariaDatabase, pod: Pod) -> None:
    ended = pod.run(order(TABLE, migration("2", text)), keys(maria_database))
    assert (ended.code, ended.result.reason) == (20, Reason.STATEMENT_FAILED), ended.text
    assert "error 1064" in ended.result.message
    assert journal(maria_database) == []


@pytest.mark.parametrize(
    "text",
    ["DROP DATABASE of_others", "DROP TABLE of_others.t", "CREATE USER nobody", "ALTER TABLE of_others.t ADD y int"],
)
def test_what_the_user_may_not_do_is_never_in_doubt(text: str, database: MariaDatabase, pod: Pod) -> None:
    """What it is about cannot be looked at either."""
    ended = pod.run(order(TABLE, migration("2", text)), keys(database))
    assert (ended.code, ended.result.reason) == (20, Reason.STATEMENT_FAILED), ended.text
    assert "denied" in ended.result.message
    assert journal(database) == []


@pytest.mark.parametrize("query", ["SELECT f() AS x", "(SELECT f() AS x)"])
def test_a_right_that_a_query_lacks_shows_late(query: str, maria_database: MariaDatabase, pod: Pod) -> None:
    """MariaDB has taken away the table that was to be replaced by then."""
    made = migration("2", "CREATE FUNCTION f() RETURNS int READS SQL DATA RETURN (SELECT x FROM of_others.t)")
    replaced = migration("3", f"CREATE OR REPLACE TABLE t AS {query}")
    ended = pod.run(order(TABLE, made, replaced), keys(maria_database))
    assert (ended.code, ended.result.reason) == (30, Reason.PARTIAL), ended.text
    assert journal(maria_database) == [("3", 1, "unknown")]
    assert tables(maria_database) == set()


INSIDE = {
    "a syntax error": "PREPARE s FROM 'GARBAGE'",
    "a right": "SELECT * FROM of_others.t",
    "another procedure that is not there": "CALL nowhere()",
    "one of a longer name": "CALL pp()",
    "another procedure that may not be called": "CALL of_others.p()",
}


@pytest.mark.parametrize("inside", INSIDE.values(), ids=INSIDE.keys())
def test_an_error_of_what_a_procedure_runs_is_in_doubt(inside: str, database: MariaDatabase, pod: Pod) -> None:
    body = f"BEGIN INSERT INTO t VALUES (1, 'a'); COMMIT; {inside}; END"
    made = migration("2", f"CREATE PROCEDURE p() {body}")
    ended = pod.run(order(TABLE, made, migration("3", "CALL p()")), keys(database))
    assert (ended.code, ended.result.reason) == (30, Reason.PARTIAL), ended.text
    assert journal(database) == [("3", 1, "unknown")]


def test_a_procedure_that_fails_behind_its_second_answer(database: MariaDatabase, pod: Pod) -> None:
    """The driver would leave what follows the first to the next statement, which is Lockstep's own."""
    body = "SELECT 1; SELECT 2; SELECT 3; INSERT INTO t VALUES (1, 'a'); SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'x'"
    made = migration("2", f"CREATE PROCEDURE p() BEGIN {body}; END")
    ended = pod.run(order(TABLE, made, migration("3", "CALL p()")), keys(database))
    assert (ended.code, ended.result.reason) == (30, Reason.PARTIAL), ended.text
    assert "statement 1, line 1: it failed (SQLSTATE 45000, error 1644: x), and may" in ended.result.message
    assert ended.result.error is not None
    assert ended.result.error.sqlstate == "45000"
    assert journal(database) == [("3", 1, "unknown")]


def test_a_procedure_of_many_answers_is_cancelled_behind_the_first(database: MariaDatabase, pod: Pod) -> None:
    # To MySQL a SLEEP that is all of a query is no error when it is cancelled.
    body = "INSERT INTO t VALUES (1, 'a'); SELECT 1; SELECT 2; SELECT id FROM t WHERE SLEEP(60) = 0"
    made = migration("2", f"CREATE PROCEDURE p() BEGIN {body}; END")
    wanted = order(TABLE, made, migration("3", "CALL p()"), limits=limits(statement_timeout=1_000))
    ended = pod.run(wanted, keys(database))
    assert (ended.code, ended.result.reason) == (30, Reason.PARTIAL), ended.text
    assert "it was cancelled when it had taken longer than statementTimeout, and may" in ended.result.message


def test_answers_are_counted(database: MariaDatabase, pod: Pod) -> None:
    made = migration("2", "CREATE PROCEDURE p() BEGIN SELECT 1 UNION SELECT 2; SELECT 2; SELECT 3; END")
    ended = done(pod.run(order(TABLE, made, migration("3", "CALL p()")), keys(database)))
    assert [each["rows"] for each in ended.events("statement") if each["version"] == "3"] == [4]


def test_a_procedure_whose_owner_may_not_call_it_has_not_run(database: MariaDatabase, pod: Pod) -> None:
    done(pod.run(order(TABLE), keys(database)))
    database.server.admin("CREATE USER IF NOT EXISTS 'poor'@'%'")
    database.server.admin(f"GRANT INSERT ON `{database.name}`.* TO 'poor'@'%'")
    body = "BEGIN INSERT INTO t VALUES (1, 'a'); COMMIT; CALL p(); END"
    database.query(f"CREATE DEFINER = 'poor'@'%' PROCEDURE p() {body}")
    ended = pod.run(order(TABLE, migration("2", "CALL p()")), keys(database))
    assert (ended.code, ended.result.reason) == (20, Reason.STATEMENT_FAILED), ended.text
    assert (journal(database), database.query("SELECT id FROM t")) == ([], [])


BLOCKS = {
    "BEGIN": "BEGIN NOT ATOMIC {} END",
    "IF": "IF 1 THEN {} END IF",
    "CASE": "CASE WHEN 1 THEN {} END CASE",
    "LOOP": "LOOP {} END LOOP",
    "WHILE": "WHILE 1 DO {} END WHILE",
    "REPEAT": "REPEAT {} UNTIL 1 END REPEAT",
    "FOR": "FOR i IN 1..2 DO {} END FOR",
    "EXECUTE": "EXECUTE IMMEDIATE CONCAT('CALL ', 'p()')",
}


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS.keys())
def test_an_error_of_what_a_block_runs_is_in_doubt(block: str, maria_database: MariaDatabase, pod: Pod) -> None:
    inside = "INSERT INTO t VALUES (1, 'a'); COMMIT; UPDATE t SET name = 'b'; DELETE FROM t WHERE id = 2;"
    inside += " EXECUTE IMMEDIATE 'GARBAGE';"
    made = migration("2", f"CREATE PROCEDURE p() BEGIN {inside} END")
    ended = pod.run(order(TABLE, made, migration("3", block.format(inside))), keys(maria_database))
    assert (ended.code, ended.result.reason) == (30, Reason.PARTIAL), ended.text
    assert journal(maria_database) == [("3", 1, "unknown")]
    assert maria_database.query("SELECT id FROM t") == [(1,)]


def test_a_drop_of_two_that_did_one_is_in_doubt(mariadb: object, maria_database: MariaDatabase, pod: Pod) -> None:
    """MariaDB drops what is there, and then says that the rest is not."""
    wanted = (TABLE, migration("2", "DROP TABLE t, missing"))
    ended = pod.run(order(*wanted), keys(maria_database))
    assert (ended.code, ended.result.reason) == (30, Reason.PARTIAL), ended.text
    assert journal(maria_database) == [("2", 1, "unknown")]
    again = pod.run(order(*wanted), keys(maria_database))
    assert again.result.reason is Reason.PARTIAL
    assert "StatementApplied" in again.result.message


def test_transaction_always_refuses_what_commits(database: MariaDatabase, pod: Pod) -> None:
    ended = pod.run(order(migration("1", "SELECT 1;\n CREATE TABLE a (x int)", transaction="Always")), keys(database))
    assert ended.result.reason is Reason.STATEMENT_REFUSED
    assert "line 2, column 2" in ended.result.message
    assert tables(database) == set()


def test_transaction_never_keeps_what_has_run(database: MariaDatabase, pod: Pod) -> None:
    rows = "INSERT INTO t VALUES (1, 'a'); INSERT INTO t VALUES (1, 'b')"
    ended = pod.run(order(TABLE, migration("2", rows, transaction="Never")), keys(database))
    assert ended.result.reason is Reason.STATEMENT_FAILED
    assert database.query("SELECT * FROM t") == [(1, "a")]
    assert journal(database) == [("2", 1, "finished")]


def test_a_procedure_that_commits_is_seen(database: MariaDatabase, pod: Pod) -> None:
    program = (
        "CREATE PROCEDURE p() BEGIN INSERT INTO t VALUES (1, 'a'); COMMIT; START TRANSACTION; END; "
        "CREATE PROCEDURE q() INSERT INTO t VALUES (2, 'b')"
    )
    down = "DROP PROCEDURE p; DROP PROCEDURE q"
    calls = migration("3", "CALL q(); CALL p(); INSERT INTO t VALUES (3, 'c')", transaction="Always")
    ended = pod.run(order(TABLE, migration("2", program, down), calls), keys(database))
    assert (ended.code, ended.result.reason) == (30, Reason.PARTIAL), ended.text
    assert ended.result.error is not None
    assert ended.result.error.statement == 2
    assert database.query("SELECT id FROM t ORDER BY id") == [(1,), (2,)]
    assert journal(database) == [("3", 1, "finished"), ("3", 2, "unknown")]


def test_what_a_procedure_leaves_open_is_committed(database: MariaDatabase, pod: Pod) -> None:
    """As by whatever commits next, where statements run one by one."""
    made = migration("2", "CREATE PROCEDURE p() BEGIN START TRANSACTION; INSERT INTO t VALUES (1, 'a'); END")
    called = migration("3", "CREATE TABLE u (x int); CALL p()")
    wanted = (TABLE, made, called, migration("4", "CALL p()", transaction="Never"))
    ended = pod.run(order(*wanted), keys(database))
    assert ended.result.error is not None, ended.text
    assert (ended.result.reason, ended.result.error.version) == (Reason.PARTIAL, "4"), ended.text
    assert database.query("SELECT id FROM t") == [(1,)]
    assert applied(database) == ["1", "2", "3"]


def test_tables_without_transactions_are_never_rolled_back_in_silence(database: MariaDatabase, pod: Pod) -> None:
    plain = migration("2", "CREATE TABLE m (x int PRIMARY KEY) ENGINE=MyISAM")
    rows = migration("3", "INSERT INTO m VALUES (1); INSERT INTO m VALUES (2), (1)")
    ended = pod.run(order(TABLE, plain, rows), keys(database))
    assert (ended.code, ended.result.reason) == (30, Reason.PARTIAL), ended.text
    assert journal(database) == [("3", 1, "finished"), ("3", 2, "unknown")]
    assert database.query("SELECT x FROM m ORDER BY x") == [(1,), (2,)]


def test_what_is_prepared_is_judged_as_if_it_stood_there(database: MariaDatabase, pod: Pod) -> None:
    text = (
        "SET @s = IF(1 = 1, 'ALTER TABLE t ADD COLUMN y int', 'SELECT 1'); PREPARE p FROM @s; EXECUTE p; "
        "DEALLOCATE PREPARE p; ALTER TABLE t ADD COLUMN {} int"
    )
    ended = pod.run(order(TABLE, migration("2", text.format("y"))), keys(database))
    assert ended.result.reason is Reason.STATEMENT_FAILED
    assert journal(database) == [("2", 3, "finished")]
    done(pod.run(order(TABLE, migration("2", text.format("z"))), keys(database)))
    assert columns(database, "t") == ["id", "name", "y", "z"]
    # One that fails is known to have done nothing.
    wrong = migration("3", "SET @s = 'ALTER TABLE t ADD COLUMN y int'; PREPARE p FROM @s; EXECUTE p")
    ended = pod.run(order(TABLE, migration("2", text.format("z")), wrong), keys(database))
    assert ended.result.reason is Reason.STATEMENT_FAILED
    assert journal(database) == []


def test_the_ledger_in_a_prepared_statement(database: MariaDatabase, pod: Pod) -> None:
    text = "SET @s = CONCAT('DROP TABLE lock', 'step_run'); PREPARE p FROM @s; EXECUTE p"
    ended = pod.run(order(TABLE, migration("2", text)), keys(database))
    assert ended.result.reason is Reason.STATEMENT_REFUSED, ended.text
    assert applied(database) == ["1"]


@pytest.mark.parametrize("reason", [Reason.INTERRUPTED, Reason.DEADLINE_EXCEEDED])
def test_a_stop_ends_the_statement_and_frees_the_lock(reason: Reason, database: MariaDatabase, pod: Pod) -> None:
    slow = migration("2", "INSERT INTO t VALUES (1, 'a'); SELECT SLEEP(60); INSERT INTO t VALUES (2, 'b')")
    pod.run(order(TABLE), keys(database))
    deadline = 12_000 if reason is Reason.DEADLINE_EXCEEDED else 3_600_000
    pod.start(order(TABLE, slow, limits=limits(deadline=deadline)), keys(database))
    wait_until(is_running(database, "SELECT SLEEP"), what="the slow statement")
    if reason is Reason.INTERRUPTED:
        pod.signal(signal.SIGTERM)
    ended = pod.end(40)
    assert (ended.code, ended.result.reason, ended.result.version) == (10, reason, "1"), ended.text
    assert "nothing of that migration is left" in ended.result.message
    assert database.query("SELECT * FROM t") == []
    wait_until_free(database)


def test_a_statement_that_takes_too_long(database: MariaDatabase, pod: Pod) -> None:
    slow = migration("2", "INSERT INTO t VALUES (1, 'a'); SELECT SLEEP(60)")
    ended = pod.run(order(TABLE, slow, limits=limits(statement_timeout=500)), keys(database))
    assert (ended.code, ended.result.reason) == (20, Reason.STATEMENT_TIMEOUT), ended.text
    assert "500 ms" in ended.result.message
    assert database.query("SELECT * FROM t") == []


def test_a_stop_in_a_definition_leaves_what_it_was(database: MariaDatabase, pod: Pod) -> None:
    pod.run(order(TABLE), keys(database))
    with holding(database, "SELECT * FROM t"):
        two = migration("2", "ALTER TABLE t ADD COLUMN y int", lock_timeout_ms=60_000)
        pod.start(order(TABLE, two), keys(database))
        wait_until(is_running(database, "ALTER TABLE"), what="the waiting statement")
        pod.signal(signal.SIGTERM)
        ended = pod.end(20)
    assert ended.result.reason is Reason.INTERRUPTED, ended.text
    assert columns(database, "t") == ["id", "name"]
    assert journal(database) == []


def test_a_lock_is_waited_for_again_and_again(database: MariaDatabase, pod: Pod) -> None:
    pod.run(order(TABLE), keys(database))
    with holding(database, "SELECT * FROM t"):
        pod.start(order(TABLE, migration("2", "ALTER TABLE t ADD COLUMN y int", lock_timeout_ms=1000)), keys(database))
        found = pod.wait_for("retry", 30)
        assert found["code"] == 1205
    ended = done(pod.end())
    assert ended.result.version == "2"


def test_who_may_not_see_who_locks_is_told_so(database: MariaDatabase, hurried: Pod) -> None:
    hurried.run(order(TABLE), keys(database))
    with holding(database, "SELECT * FROM t"):
        two = migration("2", "ALTER TABLE t ADD COLUMN y int", lock_timeout_ms=1000)
        ended = hurried.run(order(TABLE, two, limits=limits(deadline=60_000)), keys(database))
    assert (ended.code, ended.result.reason) == (10, Reason.LOCK_TIMEOUT), ended.text
    assert "it has neither PROCESS nor SELECT on performance_schema" in ended.result.message


def test_a_row_that_is_locked_names_who_locks_it(database: MariaDatabase, hurried: Pod) -> None:
    rights = "GRANT PROCESS ON *.* TO 'app'@'%'"
    database.server.admin(rights)
    database.server.admin("GRANT SELECT ON performance_schema.* TO 'app'@'%'")
    try:
        hurried.run(order(TABLE, migration("2", "INSERT INTO t VALUES (1, 'a')")), keys(database))
        with holding(database, "UPDATE t SET name = 'literal' WHERE id = 1") as connection:
            more = migration("3", "UPDATE t SET name = 'c'", lock_timeout_ms=1000)
            ended = hurried.run(
                order(TABLE, migration("2", "INSERT INTO t VALUES (1, 'a')"), more, limits=limits(deadline=60_000)),
                keys(database),
            )
        assert (ended.code, ended.result.reason) == (10, Reason.LOCK_TIMEOUT), ended.text
        assert f"blocked by connection {connection} (app" in ended.result.message
        assert "literal" not in ended.text
    finally:
        database.server.admin(rights.replace("GRANT", "REVOKE").replace("TO", "FROM"))
        database.server.admin("REVOKE SELECT ON performance_schema.* FROM 'app'@'%'")


def test_a_deadlock_is_tried_again(database: MariaDatabase, pod: Pod) -> None:
    pod.run(order(TABLE, migration("2", "INSERT INTO t VALUES (1, 'a'), (2, 'b')")), keys(database))
    three = migration(
        "3", "UPDATE t SET name = 'x' WHERE id = 1; SELECT SLEEP(1); UPDATE t SET name = 'y' WHERE id = 2"
    )
    with database.connect() as other, other.cursor() as cursor:
        cursor.execute("START TRANSACTION")
        # A heavier transaction is not the one that is given up.
        for number in range(10, 40):
            cursor.execute(f"INSERT INTO t VALUES ({number}, 'n{number}')")
        cursor.execute("UPDATE t SET name = 'z' WHERE id = 2")
        pod.start(order(TABLE, migration("2", "INSERT INTO t VALUES (1, 'a'), (2, 'b')"), three), keys(database))
        wait_until(is_running(database, "SELECT SLEEP"), what="the first row")
        cursor.execute("UPDATE t SET name = 'w' WHERE id = 1")
        other.commit()
    ended = done(pod.end())
    assert [event["code"] for event in ended.events("retry")] == [1213]
    assert database.query("SELECT name FROM t WHERE id < 3 ORDER BY id") == [("x",), ("y",)]


def test_a_statement_larger_than_the_server_takes(maria_database: MariaDatabase, pod: Pod) -> None:
    database = maria_database
    [(packet,)] = database.query("SELECT @@max_allowed_packet")
    database.server.admin("SET GLOBAL max_allowed_packet = 1048576")
    try:
        large = migration(
            "2", f"INSERT INTO t VALUES (1, 'a');\nINSERT INTO t VALUES (2, '{'x' * 1_100_000}')", kind="Data"
        )
        ended = pod.run(order(TABLE, large), keys(database))
    finally:
        database.server.admin(f"SET GLOBAL max_allowed_packet = {packet}")
    assert ended.result.reason is Reason.STATEMENT_REFUSED, ended.text
    assert "statement 2, line 2" in ended.result.message
    assert "max_allowed_packet" in ended.result.message
    assert database.query("SELECT * FROM t") == []


def test_rows_and_warnings_are_in_the_log(database: MariaDatabase, pod: Pod) -> None:
    # Not strict: the server cuts, and says so.
    rows = migration("2", "SET sql_mode = ''; INSERT INTO t VALUES (1, 'a'), (2, REPEAT('x', 30)); SELECT * FROM t")
    ended = done(pod.run(order(TABLE, rows), keys(database)))
    assert [(each["version"], each["rows"], each["warnings"]) for each in ended.events("statements")] == [("2", 4, 1)]
    [warning] = ended.events("warning")
    assert warning["number"] == 1265
    assert "xxxx" not in ended.text


def test_a_million_rows_take_no_memory(database: MariaDatabase, pod: Pod) -> None:
    ten = "(SELECT 1 FROM information_schema.COLUMNS LIMIT 100)"
    rows = migration("2", f"SELECT REPEAT('x', 200) FROM {ten} a, {ten} b, {ten} c")
    ended = done(pod.run(order(TABLE, rows), keys(database)))
    assert ended.result.version == "2"


def test_down_runs_statement_by_statement_too(database: MariaDatabase, pod: Pod) -> None:
    two = migration(
        "2", "CREATE TABLE a (x int); CREATE TABLE b (x int)", "DROP TABLE b; DROP TABLE missing; DROP TABLE a"
    )
    pod.run(order(TABLE, two), keys(database))
    back = order(TABLE, two, target="1", policy=Policy(rollback="Allow"))
    ended = pod.run(back, keys(database))
    assert ended.result.reason is Reason.STATEMENT_FAILED
    assert journal(database) == [("2", 1, "finished")]
    right = migration("2", str(two.up), "DROP TABLE b; DROP TABLE a")
    done(pod.run(replace(back, migrations=(TABLE, right)), keys(database)))
    assert tables(database) == {"t"}
    assert journal(database) == []


def test_the_database_itself_is_not_dropped(database: MariaDatabase, pod: Pod) -> None:
    ended = pod.run(order(TABLE, migration("2", f"DROP DATABASE `{database.name}`")), keys(database))
    assert ended.result.reason is Reason.STATEMENT_REFUSED
    assert applied(database) == ["1"]


def test_a_user_who_may_only_read(database: MariaDatabase, pod: Pod) -> None:
    server = database.server
    server.admin("CREATE USER IF NOT EXISTS 'reader'@'%' IDENTIFIED BY 'pw'")
    server.admin(f"GRANT SELECT ON {database.name}.* TO 'reader'@'%'")
    ended = pod.run(order(TABLE), keys(database, user="reader", password="pw"))
    assert ended.result.reason is Reason.PERMISSION_DENIED, ended.text
    assert pymysql.err.OperationalError.__name__ not in ended.text
