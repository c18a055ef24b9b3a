"""Runs that die while a statement that commits by itself is under way: before it, in it, after it."""

import pytest

from engines.mysql.words import (
    Pods,
    applied,
    columns,
    done,
    holding,
    is_running,
    journal,
    keys,
    tables,
    wait_until_free,
)
from lockstep.api.reasons import Reason
from lockstep.planning.wire import Order, RepairOrder
from servers.counting import CountingProxy, MysqlFraming, Strike
from servers.faults import Fault, FaultyProxy, by_mysql
from servers.mariadb import MariaDatabase
from servers.process import wait_until
from servers.runner import Pod, migration, order

BASE = migration(
    "1",
    "CREATE TABLE t (id int PRIMARY KEY, name varchar(20)); CREATE TABLE gone (x int); "
    "CREATE VIEW old AS SELECT 1 AS x; CREATE PROCEDURE q() SELECT 1; "
    "CREATE TRIGGER trg BEFORE INSERT ON t FOR EACH ROW SET NEW.name = 'x'",
)
STATEMENTS = {
    "create table": "CREATE TABLE u (x int)",
    "create table as": "CREATE TABLE u AS SELECT 1 AS x",
    "create index": "CREATE INDEX i ON t (name)",
    "create view": "CREATE VIEW v AS SELECT id FROM t",
    "create procedure": "CREATE PROCEDURE p() SELECT 2",
    "create trigger": "CREATE TRIGGER trh AFTER INSERT ON t FOR EACH ROW SET @x = 1",
    "add column": "ALTER TABLE t ADD COLUMN y int",
    "drop column": "ALTER TABLE t DROP COLUMN name",
    "add constraint": "ALTER TABLE t ADD CONSTRAINT c CHECK (id > 0)",
    "rename": "RENAME TABLE t TO tmp, gone TO t, tmp TO gone",
    "alter rename": "ALTER TABLE gone RENAME TO left_over",
    "drop table": "DROP TABLE gone",
    "drop view": "DROP VIEW old",
    "drop procedure": "DROP PROCEDURE q",
    "drop trigger": "DROP TRIGGER trg",
}
QUERY = b"\x03"
"""Before each statement on the wire; the journal holds its text too."""


def kill_at(word: bytes, pod: Pod, wanted: Order, database: MariaDatabase, seconds: float = 20) -> None:
    """Kill a run where it says a word that the server never gets; return once the lock is free."""
    with FaultyProxy(database.server.port) as proxy:
        proxy.on(word, Fault.FREEZE)
        pod.start(wanted, keys(database, port=proxy.port))
        assert proxy.struck.wait(30)
        pod.kill()
    wait_until_free(database, seconds)


def settled(database: MariaDatabase, pods: Pods, text: str, word: bytes) -> list[dict[str, object]]:
    """Kill a run where it says a word that the server never gets; return what the next run found of its statement."""
    first, second = pods("first"), pods("second")
    two = migration("2", f"{text}; CREATE TABLE last (x int)")
    done(second.run(order(BASE), keys(database)))
    kill_at(word, first, order(BASE, two), database)
    ended = done(second.run(order(BASE, two), keys(database)))
    assert (applied(database), journal(database)) == (["1", "2"], [])
    assert "last" in tables(database)
    return ended.events("settled")


@pytest.mark.parametrize("text", STATEMENTS.values(), ids=STATEMENTS.keys())
def test_killed_before_the_statement(text: str, database: MariaDatabase, pods: Pods) -> None:
    found = settled(database, pods, text, QUERY + text[:20].encode())
    assert [(each["statement"], each["found"]) for each in found] == [(1, "it did not take effect")]


@pytest.mark.parametrize("text", STATEMENTS.values(), ids=STATEMENTS.keys())
def test_killed_after_the_statement(text: str, database: MariaDatabase, pods: Pods) -> None:
    found = settled(database, pods, text, b"'finished'")
    assert [(each["statement"], each["found"]) for each in found] == [(1, "it took effect")]


OF_MYSQL = {
    "create function": "CREATE FUNCTION f() RETURNS INT LANGUAGE JAVASCRIPT AS $$ return ';'; $$",
    "create library": "CREATE LIBRARY l LANGUAGE JAVASCRIPT AS $$ export function f() { return ';'; } $$",
}


@pytest.mark.parametrize("text", OF_MYSQL.values(), ids=OF_MYSQL.keys())
def test_killed_after_a_statement_of_mysql(text: str, mysql_database: MariaDatabase, pods: Pods) -> None:
    found = settled(mysql_database, pods, text, b"'finished'")
    assert [(each["statement"], each["found"]) for each in found] == [(1, "it took effect")]


def test_tables_that_are_alike_and_have_changed_places_do_not_do_so_twice(database: MariaDatabase, pods: Pods) -> None:
    """Nothing shows it: it is a person who says whether they have."""
    first, second = pods("first"), pods("second")
    twins = migration("1", "CREATE TABLE t (x int); CREATE TABLE u LIKE t; INSERT INTO t VALUES (1)")
    swap = migration("2", "RENAME TABLE t TO tmp, u TO t, tmp TO u; CREATE TABLE last (x int)")
    done(second.run(order(twins), keys(database)))
    kill_at(b"'finished'", first, order(twins, swap), database)
    ended = second.run(order(twins, swap), keys(database))
    assert [event["found"] for event in ended.events("settled")] == ["nobody can tell"]
    assert ended.result.reason is Reason.PARTIAL, ended.text
    assert database.query("SELECT * FROM u") == [(1,)]
    said = RepairOrder("token", "StatementApplied", "2")
    done(second.run(order(twins, swap, repair=said), keys(database)))
    assert (applied(database), journal(database)) == (["1", "2"], [])
    assert database.query("SELECT * FROM u") == [(1,)]


@pytest.mark.parametrize("fault", [Fault.CUT_BEFORE, Fault.CUT_AFTER])
def test_cut_at_the_statement(fault: Fault, database: MariaDatabase, pod: Pod) -> None:
    """The run itself goes on in a new session."""
    done(pod.run(order(BASE), keys(database)))
    two = migration("2", "ALTER TABLE t ADD COLUMN y int; INSERT INTO t (id, y) VALUES (1, 1)")
    with FaultyProxy(database.server.port, answered=by_mysql) as proxy:
        proxy.on(QUERY + b"ALTER TABLE t", fault)
        ended = done(pod.run(order(BASE, two), keys(database, port=proxy.port)))
    assert len(ended.events("connection_lost")) == 1
    found = "it took effect" if fault is Fault.CUT_AFTER else "it did not take effect"
    assert [event["found"] for event in ended.events("settled")] == [found]
    assert columns(database, "t") == ["id", "name", "y"]
    assert database.query("SELECT id, y FROM t") == [(1, 1)]


@pytest.mark.parametrize("fault", [Fault.CUT_BEFORE, Fault.CUT_AFTER])
def test_cut_at_the_commit_of_rows(fault: Fault, database: MariaDatabase, pod: Pod) -> None:
    done(pod.run(order(BASE), keys(database)))
    rows = migration("2", "INSERT INTO t (id) VALUES (1)", lock_timeout_ms=60_000)
    with FaultyProxy(database.server.port, answered=by_mysql) as proxy:
        with holding(database, "INSERT INTO t (id) VALUES (1)"):
            pod.start(order(BASE, rows), keys(database, port=proxy.port))
            wait_until(is_running(database, "INSERT INTO t"), what="the waiting statement")
            proxy.on(b";\nCOMMIT", fault)
        ended = done(pod.end())
    assert len(ended.events("connection_lost")) == 1
    assert database.query("SELECT count(*) FROM t") == [(1,)]
    assert applied(database) == ["1", "2"]


@pytest.mark.parametrize("number", [1, 2])
def test_cut_at_the_end_of_what_only_reads(number: int, database: MariaDatabase, pod: Pod) -> None:
    """It is rolled back, and whether that fails says nothing: what comes next finds that the connection is lost."""
    with CountingProxy(database.server.port, MysqlFraming) as proxy:
        # When it is opened, and when drift has been looked for and is written down.
        proxy.arm(number, Strike.CUT, word=QUERY + b"ROLLBACK")
        ended = done(pod.run(order(BASE), keys(database, port=proxy.port)))
        assert proxy.struck.is_set()
    assert len(ended.events("connection_lost")) == 1
    assert applied(database) == ["1"]


def test_killed_in_a_statement_that_goes_on(database: MariaDatabase, pods: Pods, hurried: Pod) -> None:
    """The server does not notice, and finishes it: the lock is held until then, so that it is settled after it."""
    first, second = pods("first"), pods("second")
    two = migration("2", "CREATE TABLE u AS SELECT id AS x FROM t; INSERT INTO u VALUES (1)", lock_timeout_ms=120_000)
    done(second.run(order(BASE), keys(database)))
    database.query("INSERT INTO t (id) VALUES (0)")
    with holding(database, "UPDATE t SET name = 'y'"):
        first.start(order(BASE, two), keys(database))
        wait_until(is_running(database, "CREATE TABLE u"), 60, what="the statement that waits for a row")
        first.kill()
        ended = hurried.run(order(BASE, two), keys(database))
        assert (ended.code, ended.result.reason) == (10, Reason.LOCK_HELD), ended.text
        assert ended.result.holder == "first"
    wait_until_free(database, 60)
    ended = done(second.run(order(BASE, two), keys(database)))
    assert [event["found"] for event in ended.events("settled")] == ["it took effect"]
    assert database.query("SELECT x FROM u ORDER BY x") == [(0,), (1,)]


def test_a_table_that_was_dropped_and_not_made_again_is_not_taken_for_done(
    maria_database: MariaDatabase, pod: Pod
) -> None:
    """What OR REPLACE replaces goes first, and what is to come takes as long as its query."""
    database = maria_database
    two = migration("2", "CREATE OR REPLACE TABLE gone AS SELECT SLEEP(60) AS x; CREATE TABLE u (x int)")
    done(pod.run(order(BASE), keys(database)))
    pod.start(order(BASE, two), keys(database))
    asleep = f"SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '{database.name}' AND STATE = 'User sleep'"
    wait_until(lambda: bool(database.query(asleep)), 30, "the query")
    database.query(f"KILL {database.query(asleep)[0][0]}")
    ended = pod.end()
    assert "gone" not in tables(database)
    assert (ended.code, ended.result.reason) == (30, Reason.PARTIAL), ended.text
    assert (applied(database), journal(database)) == (["1"], [("2", 1, "unknown")])


def test_rows_of_a_new_table_without_transactions(database: MariaDatabase, pods: Pods) -> None:
    """Where the server crashed in it, MySQL leaves the table, with some of them or none: nobody can tell."""
    first, second = pods("first"), pods("second")
    two = migration("2", "CREATE TABLE u ENGINE = MyISAM AS SELECT id FROM t; CREATE TABLE last (x int)")
    done(second.run(order(BASE), keys(database)))
    kill_at(b"'finished'", first, order(BASE, two), database)
    ended = second.run(order(BASE, two), keys(database))
    assert [event["found"] for event in ended.events("settled")] == ["nobody can tell"]
    assert ended.result.reason is Reason.PARTIAL, ended.text


SHOWN_OTHERWISE = {
    "letters": "SET NAMES latin1",
    "letters of answers": "SET character_set_results = latin2",
    "time zone": "SET time_zone = '+02:00'",
    "quotes": "SET sql_quote_show_create = 0",
    "rows": "SET sql_select_limit = 0",
}


@pytest.mark.parametrize("setting", SHOWN_OTHERWISE.values(), ids=SHOWN_OTHERWISE.keys())
def test_settings_of_the_sql_do_not_change_what_is_found(setting: str, database: MariaDatabase, pod: Pod) -> None:
    """Its session shows a definition in other words than that of the run that goes on: nothing has run all the same."""
    made = "CREATE TABLE t (id int COMMENT 'größe', at timestamp NOT NULL DEFAULT '2020-01-01 00:00:00')"
    two = migration("2", f"{setting}; ALTER TABLE t ADD COLUMN y int; INSERT INTO t (id, y) VALUES (1, 2)")
    done(pod.run(order(migration("1", made)), keys(database)))
    with FaultyProxy(database.server.port, answered=by_mysql) as proxy:
        proxy.on(QUERY + b"ALTER TABLE t", Fault.CUT_BEFORE)
        ended = done(pod.run(order(migration("1", made), two), keys(database, port=proxy.port)))
    assert [event["found"] for event in ended.events("settled")] == ["it did not take effect"]
    assert database.query("SELECT y FROM t") == [(2,)]


def test_what_nobody_can_tell_waits_for_a_person(database: MariaDatabase, pods: Pods) -> None:
    first, second = pods("first"), pods("second")
    one = migration("1", "CREATE TABLE t (x int); CREATE PROCEDURE p() INSERT INTO t VALUES (1)")
    two = migration("2", "CALL p(); INSERT INTO t VALUES (2)")
    done(second.run(order(one), keys(database)))
    kill_at(b"'finished'", first, order(one, two), database)
    ended = second.run(order(one, two), keys(database))
    assert (ended.code, ended.result.reason) == (30, Reason.PARTIAL), ended.text
    assert "StatementApplied" in ended.result.message
    assert journal(database) == [("2", 1, "unknown")]
    said = RepairOrder("token", "StatementApplied", version="2")
    done(second.run(order(one, two, repair=said), keys(database)))
    assert database.query("SELECT x FROM t ORDER BY x") == [(1,), (2,)]
    assert (applied(database), journal(database)) == (["1", "2"], [])


def test_a_truncate_is_told_by_its_empty_table(database: MariaDatabase, pods: Pods) -> None:
    done(pods("zero").run(order(BASE), keys(database)))
    database.query("INSERT INTO t (id) VALUES (7)")
    found = settled(database, pods, "TRUNCATE TABLE t", b"'finished'")
    assert [each["found"] for each in found] == ["it took effect"]


def test_the_session_of_a_run_that_goes_on_is_what_the_text_has_made_it(database: MariaDatabase, pods: Pods) -> None:
    """SETs, PREPAREs and temporary tables before the place are done again: the session is another."""
    text = (
        "SET @x = 7; CREATE TEMPORARY TABLE tmp (x int); CREATE TABLE a (x int); "
        "INSERT INTO a SELECT @x; INSERT INTO a SELECT x + 1 FROM tmp"
    )
    database.query("SELECT 1")
    first, second = pods("first"), pods("second")
    kill_at(QUERY + b"INSERT INTO a SELECT", first, order(migration("1", text)), database, 40)
    done(second.run(order(migration("1", text)), keys(database)))
    assert database.query("SELECT x FROM a") == [(7,)]


def test_what_has_ended_is_noted_before_rows_are_changed(database: MariaDatabase, pod: Pod) -> None:
    """They may take long."""
    done(pod.run(order(BASE), keys(database)))
    two = migration("2", "CREATE TABLE u (x int); INSERT INTO t (id) VALUES (1)", lock_timeout_ms=60_000)
    with holding(database, "INSERT INTO t (id) VALUES (1)"):
        pod.start(order(BASE, two), keys(database))
        wait_until(is_running(database, "INSERT INTO t"), what="the waiting statement")
        assert journal(database) == [("2", 1, "finished")]
    done(pod.end())


def test_what_a_run_has_made_that_died_is_not_taken_for_anothers(database: MariaDatabase, pods: Pods) -> None:
    """It was marked as one that has committed with its first note; nothing is left that the next one would settle."""
    first, second = pods("first"), pods("second")
    done(second.run(order(BASE), keys(database)))
    two = migration("2", "CREATE TABLE u (x int); INSERT INTO t (id) VALUES (1)")
    kill_at(QUERY + b"INSERT INTO t", first, order(BASE, two), database, 40)
    ended = done(second.run(order(BASE, two), keys(database)))
    assert ended.result.drift is not None
    assert not ended.result.drift.drifted, ended.text


@pytest.mark.parametrize("text", ["CALL q()", "TRUNCATE TABLE gone"])
def test_the_end_of_what_nobody_can_tell_is_noted_at_once(text: str, database: MariaDatabase, pods: Pods) -> None:
    """Before it is looked what the next statement is about."""
    first, second = pods("first"), pods("second")
    done(second.run(order(BASE), keys(database)))
    two = migration("2", f"{text}; ALTER TABLE t ADD COLUMN y int")
    kill_at(QUERY + b"SHOW CREATE TABLE", first, order(BASE, two), database)
    assert journal(database) == [("2", 1, "finished")]
    done(second.run(order(BASE, two), keys(database)))
    assert columns(database, "t") == ["id", "name", "y"]


def test_what_has_ended_is_noted_where_the_next_is_refused(maria_database: MariaDatabase, pod: Pod) -> None:
    two = migration("2", "CREATE TABLE u (x int); EXECUTE IMMEDIATE 'COMMIT'")
    ended = pod.run(order(BASE, two), keys(maria_database))
    assert ended.result.reason is Reason.STATEMENT_REFUSED, ended.text
    assert journal(maria_database) == [("2", 1, "finished")]


def test_what_a_run_notes_is_fenced(database: MariaDatabase, pod: Pod) -> None:
    """One that was overtaken ends what it is at, and begins nothing more."""
    two = migration("2", "ALTER TABLE t ADD COLUMN y int; CREATE TABLE u (x int)", lock_timeout_ms=60_000)
    done(pod.run(order(BASE), keys(database)))
    with holding(database, "SELECT * FROM t"):
        pod.start(order(BASE, two), keys(database))
        wait_until(is_running(database, "ALTER TABLE"), what="the waiting statement")
        database.query("UPDATE lockstep_run SET epoch = epoch + 1, holder = 'another'")
    ended = pod.end()
    assert ended.result.reason is Reason.FENCED, ended.text
    assert columns(database, "t") == ["id", "name", "y"]
    assert "u" not in tables(database)
    assert journal(database) == [("2", 1, "started")]
