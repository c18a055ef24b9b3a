"""Statements committed one by one: what is done stays, what is not goes on, and what nobody can tell waits."""

import signal
from collections.abc import Callable

import pytest

from lockstep.api.reasons import Reason
from lockstep.planning.wire import DatabaseOrder, OrderedMigration, Policy, RepairOrder
from servers.faults import Fault, FaultyProxy
from servers.pgbouncer import Pgbouncer
from servers.postgres import APP, Database
from servers.process import wait_until
from servers.runner import Ended, Pod, keys_of, limits, migration, order

Pods = Callable[..., Pod]

TABLE = migration("1", "CREATE TABLE t (x int)", "DROP TABLE t")
JOURNAL = "SELECT statement, state FROM lockstep.journal ORDER BY 1"
RUNNING = """SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'lockstep%' AND datname = current_database()
             AND state = 'active' AND query LIKE '{}%'"""


def never(up: str, version: str = "2", down: str | None = None) -> OrderedMigration:
    return migration(version, up, down, transaction="Never")


def rows(database: Database, table: str = "t") -> list[object]:
    return [row[0] for row in database.query(f"SELECT x FROM {table} ORDER BY 1")]


def backend(database: Database, head: str) -> int:
    """Wait until a statement runs; return its backend."""
    found: list[int] = []

    def look() -> bool:
        found[:] = [int(str(row[0])) for row in database.query(RUNNING.format(head))]
        return bool(found)

    wait_until(look, 30, head)
    return found[0]


def kill_in(database: Database, pod: Pod, head: str) -> None:
    """Kill the runner in a statement, and wait until the server has noticed."""
    pid = backend(database, head)
    pod.kill()
    wait_until(lambda: database.query(f"SELECT pid FROM pg_stat_activity WHERE pid = {pid}") == [], 30, "the server")


def is_there_once(database: Database, ended: Ended) -> None:
    assert (ended.code, ended.result.version) == (0, "2"), ended.text
    assert database.query("TABLE lockstep.journal") == []
    assert database.query("SELECT count(*) FROM lockstep.history WHERE version = '2' AND direction = 'up'") == [(1,)]


FAILS = "INSERT INTO t VALUES (1);\nINSERT INTO t VALUES (2);\nINSERT INTO t VALUES (1/0);\nINSERT INTO t VALUES (4);"


def test_what_is_done_stays_and_a_corrected_text_goes_on(any_database: Database, pod: Pod) -> None:
    ended = pod.run(order(TABLE, never(FAILS)), keys_of(any_database))
    assert (ended.code, ended.result.reason, ended.result.version) == (20, Reason.STATEMENT_FAILED, "1")
    detail = ended.result.error
    assert detail is not None
    assert (detail.statement, detail.line, detail.sqlstate) == (3, 3, "22012")
    assert "2 of its 4 statements are done and stay, so the line is Partial" in ended.result.message
    assert rows(any_database) == [1, 2]
    assert any_database.query(JOURNAL) == [(1, "finished"), (2, "finished")]
    # As it is, it fails at the same place, and nothing is run twice.
    again = pod.run(order(TABLE, never(FAILS)), keys_of(any_database))
    assert again.result.error == detail
    assert rows(any_database) == [1, 2]
    # The journal's way goes on whatever the new text would allow.
    corrected = FAILS.replace("1/0", "3") + "INSERT INTO t VALUES (5);"
    is_there_once(any_database, pod.run(order(TABLE, migration("2", corrected)), keys_of(any_database)))
    assert rows(any_database) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("text", [FAILS.replace("(2)", "(22)"), "INSERT INTO t VALUES (1);"], ids=["other", "gone"])
def test_what_is_done_does_not_change(text: str, database: Database, pod: Pod) -> None:
    pod.run(order(TABLE, never(FAILS)), keys_of(database))
    ended = pod.run(order(TABLE, never(text)), keys_of(database))
    assert (ended.code, ended.result.reason) == (30, Reason.PARTIAL), ended.text
    assert "statement 2 is committed already and its text has changed" in ended.result.message
    assert rows(database) == [1, 2]
    assert database.query(JOURNAL) == [(1, "finished"), (2, "finished")]


def test_a_target_that_leaves_it_by_half_is_refused_until_a_person_settles_it(database: Database, pod: Pod) -> None:
    pod.run(order(TABLE, never(FAILS)), keys_of(database))
    ended = pod.run(order(TABLE, never(FAILS), target="1"), keys_of(database))
    assert (ended.code, ended.result.reason) == (30, Reason.PARTIAL), ended.text
    assert "statement 3" in ended.result.message
    repair = RepairOrder("token", "MarkNotApplied", "2")
    ended = pod.run(order(TABLE, never(FAILS), target="1", repair=repair), keys_of(database))
    assert (ended.code, ended.result.version) == (0, "1"), ended.text
    assert database.query("TABLE lockstep.journal") == []


def test_a_down_is_journaled_too(any_database: Database, pod: Pod) -> None:
    down = "DELETE FROM t WHERE x = 2;\nSELECT 1/0;\nVACUUM t;"
    both = never("INSERT INTO t VALUES (1), (2)", down=down)
    policy = Policy(rollback="Allow")
    assert pod.run(order(TABLE, both), keys_of(any_database)).code == 0
    ended = pod.run(order(TABLE, both, target="1", policy=policy), keys_of(any_database))
    assert (ended.result.reason, ended.result.version) == (Reason.STATEMENT_FAILED, "2"), ended.text
    assert "1 of its 3 statements are done" in ended.result.message
    # Up again is no way out: it does not finish what was begun.
    assert pod.run(order(TABLE, both, policy=policy), keys_of(any_database)).result.reason is Reason.PARTIAL
    corrected = never("INSERT INTO t VALUES (1), (2)", down=down.replace("1/0", "1"))
    ended = pod.run(order(TABLE, corrected, target="1", policy=policy), keys_of(any_database))
    assert (ended.code, ended.result.version) == (0, "1"), ended.text
    assert rows(any_database) == [1]
    assert any_database.query("TABLE lockstep.journal") == []


PROCEDURE = migration(
    "1",
    """CREATE TABLE t (x int);
    CREATE PROCEDURE fill() LANGUAGE plpgsql AS $$BEGIN
        INSERT INTO t VALUES (1); COMMIT; PERFORM pg_sleep(60); INSERT INTO t VALUES (2);
    END$$;
    CREATE FUNCTION sleep() RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(0)'""",
)
SLEEPING = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
CALLS = never("INSERT INTO t VALUES (0); CALL fill(); INSERT INTO t VALUES (3)")


def in_doubt(database: Database, pod: Pod) -> None:
    """Leave a CALL that commits in its middle."""
    pod.start(order(PROCEDURE, CALLS), keys_of(database))
    # It is tried in a transaction first, where it does not come that far.
    wait_until(lambda: database.query(SLEEPING) != [], 30, "the middle of the procedure")
    kill_in(database, pod, "CALL fill")
    assert database.query(JOURNAL) == [(1, "finished"), (2, "started")]


def test_what_the_catalog_cannot_settle_waits_for_a_person(any_database: Database, pods: Pods) -> None:
    in_doubt(any_database, pods("killed"))
    for name in ("next", "once-more"):
        ended = pods(name).run(order(PROCEDURE, CALLS), keys_of(any_database))
        assert (ended.code, ended.result.reason) == (30, Reason.PARTIAL), ended.text
        assert "statement 2 took effect" in ended.result.message
        assert "CALL" in ended.result.message
        assert any_database.query(JOURNAL) == [(1, "finished"), (2, "unknown")]
    # They say that it has.
    repair = RepairOrder("token", "StatementApplied", "2")
    is_there_once(any_database, pods("last").run(order(PROCEDURE, CALLS, repair=repair), keys_of(any_database)))
    assert rows(any_database) == [0, 1, 3]
    settled = any_database.query("SELECT repair, description FROM lockstep.history WHERE direction = 'repair'")
    assert settled == [("token", "StatementApplied")]


def test_a_person_says_that_it_has_not(database: Database, pods: Pods) -> None:
    in_doubt(database, pods("killed"))
    refused = order(PROCEDURE, CALLS, repair=RepairOrder("early", "StatementApplied", "2"))
    ended = pods("early").run(refused, keys_of(database))
    # Nobody has looked yet: the statement is not in doubt before it could not be settled.
    assert (ended.code, ended.result.reason) == (20, Reason.REPAIR_REFUSED), ended.text
    assert database.query(JOURNAL) == [(1, "finished"), (2, "started")]
    assert pods("next").run(order(PROCEDURE, CALLS), keys_of(database)).result.reason is Reason.PARTIAL
    database.query("CREATE OR REPLACE PROCEDURE fill() LANGUAGE sql AS 'INSERT INTO t VALUES (7)'", admin=True)
    repair = RepairOrder("token", "StatementNotApplied", "2")
    is_there_once(database, pods("last").run(order(PROCEDURE, CALLS, repair=repair), keys_of(database)))
    assert rows(database) == [0, 1, 3, 7]


def test_an_error_behind_a_commit_is_in_doubt_too(any_database: Database, pod: Pod) -> None:
    calls = never("DO $$BEGIN INSERT INTO t VALUES (1); COMMIT; PERFORM 1/0; END$$; SELECT 1")
    ended = pod.run(order(TABLE, calls), keys_of(any_database))
    assert (ended.code, ended.result.reason) == (30, Reason.PARTIAL), ended.text
    assert "22012" in ended.result.message
    assert any_database.query(JOURNAL) == [(1, "unknown")]
    assert rows(any_database) == [1]


def test_what_commits_runs_in_never_and_is_advised_in_auto(any_database: Database, pod: Pod) -> None:
    text = "DO $$BEGIN FOR i IN 1..3 LOOP INSERT INTO t VALUES (i); COMMIT; END LOOP; END$$"
    ended = pod.run(order(TABLE, migration("2", text)), keys_of(any_database))
    assert ended.result.reason is Reason.STATEMENT_FAILED
    assert "2D000" in ended.result.message
    assert "set spec.transaction: Never" in ended.result.message
    is_there_once(any_database, pod.run(order(TABLE, never(text)), keys_of(any_database)))
    assert rows(any_database) == [1, 2, 3]


@pytest.mark.parametrize("fault", [Fault.CUT_BEFORE, Fault.CUT_AFTER])
@pytest.mark.parametrize("word", [b"VALUES (2)", b"VALUES (3)", b"VACUUM t"])
def test_cut_off_before_and_after_a_commit(word: bytes, fault: Fault, any_database: Database, pod: Pod) -> None:
    # The last statement is committed together with the record.
    doing = never("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2); VACUUM t; INSERT INTO t VALUES (3)")
    with FaultyProxy(any_database.server.port) as proxy:
        proxy.on(word, fault)
        ended = pod.run(order(TABLE, doing), keys_of(any_database) | {"port": str(proxy.port)})
        assert proxy.struck.is_set()
    assert len(ended.events("connection_lost")) == 1
    is_there_once(any_database, ended)
    assert rows(any_database) == [1, 2, 3]


def test_a_lock_is_waited_for_again_and_again_and_its_holder_named(
    any_database: Database, hurried: Pod, pod: Pod
) -> None:
    doing = never("INSERT INTO t VALUES (1); ALTER TABLE t ADD COLUMN y int; VACUUM t")
    assert pod.run(order(TABLE), keys_of(any_database)).code == 0
    with any_database.connect(admin=True) as holder:
        holder.execute("BEGIN")
        holder.execute("LOCK TABLE t IN SHARE MODE")
        ended = hurried.run(
            order(TABLE, never("SELECT 1; ALTER TABLE t ADD COLUMN y int"), limits=limits(lock_timeout=100)),
            keys_of(any_database),
        )
        assert ended.result.reason is Reason.LOCK_TIMEOUT, ended.text
        assert len(ended.events("retry")) == 5
        assert "blocked by backend" in ended.result.message
        assert "1 of its 2 statements are done" in ended.result.message
        pod.start(
            order(TABLE, never("SELECT 1; ALTER TABLE t ADD COLUMN y int"), limits=limits(lock_timeout=100)),
            keys_of(any_database),
        )
        pod.wait_for("retry")
        holder.execute("ROLLBACK")
    is_there_once(any_database, pod.end())
    assert doing.up is not None


@pytest.mark.parametrize("sql", ["INSERT INTO t SELECT 2 FROM pg_sleep(60)", "VACUUM t"])
def test_a_stop_leaves_what_is_done_to_the_next_run(sql: str, any_database: Database, pod: Pod) -> None:
    assert pod.run(order(TABLE), keys_of(any_database)).code == 0
    doing = never(f"INSERT INTO t VALUES (1); {sql}; INSERT INTO t VALUES (3)")
    with any_database.connect(admin=True) as holder:
        holder.execute("BEGIN")
        if sql.startswith("VACUUM"):
            holder.execute("LOCK TABLE t IN SHARE UPDATE EXCLUSIVE MODE")
        pod.start(order(TABLE, doing), keys_of(any_database))
        backend(any_database, sql[:6])
        wait_until(lambda: any_database.query(JOURNAL)[:1] == [(1, "finished")], 20)
        backend(any_database, sql)
        pod.signal(signal.SIGTERM)
        ended = pod.end(20)
        holder.execute("ROLLBACK")
    assert (ended.code, ended.result.reason) == (10, Reason.INTERRUPTED), ended.text
    assert "1 of its 3 statements are done; the next run goes on behind them" in ended.result.message
    assert rows(any_database) == [1]


SETTINGS = """SET search_path = s, public;
SET ROLE other;
SET my.setting = 'mine';
SET lock_timeout = '3s';
VACUUM;
CREATE TABLE probe AS SELECT current_user::text AS who, current_setting('search_path') AS path,
    current_setting('my.setting') AS mine, current_setting('lock_timeout') AS lock_timeout;
SELECT {};
RESET ROLE;
"""


@pytest.mark.parametrize("resumed", [False, True])
def test_what_a_statement_sets_holds_for_those_behind_it(resumed: bool, any_database: Database, pods: Pods) -> None:
    any_database.query("DO $$BEGIN CREATE ROLE other; EXCEPTION WHEN duplicate_object THEN NULL; END$$")
    any_database.query(f"GRANT other TO {APP}; CREATE SCHEMA s AUTHORIZATION other")
    if resumed:
        # Stop before the probe: in a new session all of it is set again.
        broken = never(SETTINGS.replace("CREATE TABLE probe", "SELECT 1/0; CREATE TABLE probe"))
        ended = pods("first").run(order(TABLE, broken), keys_of(any_database))
        assert ended.result.reason is Reason.STATEMENT_FAILED
    after = migration("3", "CREATE TABLE after AS SELECT current_user::text, current_setting('search_path') AS path")
    ended = pods("next").run(order(TABLE, never(SETTINGS.format(1)), after), keys_of(any_database))
    assert (ended.code, ended.result.version) == (0, "3"), ended.text
    assert any_database.query("TABLE s.probe") == [("other", "s, public", "mine", "3s")]
    assert any_database.query("TABLE public.after") == [(APP, '"$user", public')]


def test_a_session_authorization_and_a_role_hold_together(any_database: Database, pod: Pod) -> None:
    any_database.query("DO $$BEGIN CREATE ROLE other; EXCEPTION WHEN duplicate_object THEN NULL; END$$")
    any_database.query(f"GRANT other TO {APP}; CREATE SCHEMA s AUTHORIZATION other")
    text = f"""SET SESSION AUTHORIZATION {APP}; SET ROLE other; SELECT 1;
    CREATE TABLE s.probe AS SELECT session_user::text, current_user::text AS who"""
    ended = pod.run(order(never(text, "1"), never("SELECT 1")), keys_of(any_database) | {"user": "postgres"})
    assert ended.code == 0, ended.text
    assert any_database.query("TABLE s.probe") == [(APP, "other")]


@pytest.mark.parametrize("temporary", ["TEMP TABLE t", "TABLE pg_temp.t"])
def test_a_temporary_table_that_is_gone_is_not_done_without(temporary: str, any_database: Database, pods: Pods) -> None:
    text = f"CREATE {temporary} (x int); INSERT INTO t VALUES (1); SELECT {{}}; INSERT INTO t VALUES (2)"
    whole = pods("whole").run(order(never(text.format("1"), "1")), keys_of(any_database))
    assert whole.code == 0, whole.text
    # One of the same name that stays must not be taken for it.
    any_database.query("CREATE TABLE t (x int)", admin=False)
    ended = pods("first").run(order(never(text.format("1"), "1"), never(text.format("1/0"))), keys_of(any_database))
    assert ended.result.reason is Reason.STATEMENT_FAILED
    ended = pods("next").run(order(never(text.format("1"), "1"), never(text.format("1"))), keys_of(any_database))
    assert (ended.code, ended.result.reason) == (30, Reason.PARTIAL), ended.text
    assert "statement 1 made what ends with its session" in ended.result.message
    assert rows(any_database) == []


def test_a_repeatable_one_that_has_changed_begins_anew(any_database: Database, pod: Pod) -> None:
    def fill(text: str) -> OrderedMigration:
        return migration(None, text, name="orders-fill", transaction="Never")

    ended = pod.run(order(TABLE, fill("INSERT INTO t VALUES (1); SELECT 1/0")), keys_of(any_database))
    assert ended.result.reason is Reason.STATEMENT_FAILED
    assert any_database.query(JOURNAL) == [(1, "finished")]
    ended = pod.run(order(TABLE, fill("INSERT INTO t VALUES (2); SELECT 1")), keys_of(any_database))
    assert ended.code == 0, ended.text
    assert rows(any_database) == [1, 2]
    assert any_database.query("TABLE lockstep.journal") == []


def test_hostile_settings_never_reach_the_ledger(any_database: Database, pod: Pod) -> None:
    dirt = """SET default_transaction_read_only = on; SET client_encoding = 'LATIN1'; SET statement_timeout = '1h';
    SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE; SET standard_conforming_strings = off;
    SET synchronous_commit = off; DEALLOCATE ALL; SET search_path = ''; DISCARD PLANS; LISTEN here; VACUUM"""
    ended = pod.run(order(TABLE, never(dirt), never("CREATE TABLE u ()", "3")), keys_of(any_database))
    assert (ended.code, ended.result.version) == (0, "3"), ended.text


def test_a_long_message_of_the_server_leaves_room_for_what_to_do(any_database: Database, pod: Pod) -> None:
    fails = "INSERT INTO t VALUES (1); DO $$BEGIN RAISE EXCEPTION '%', repeat('long ', 1000000); END$$"
    ended = pod.run(order(TABLE, never(fails)), keys_of(any_database))
    assert ended.result.reason is Reason.STATEMENT_FAILED
    assert "…; 1 of its 2 statements are done and stay" in ended.result.message
    assert ended.result.message.endswith("MarkApplied or MarkNotApplied")
    assert len(ended.text) < 20_000


def test_a_setting_that_cannot_be_set_back_stays_until_the_end(any_database: Database, pod: Pod) -> None:
    """Once a session has seen a temporary table, the server refuses to change its buffers."""
    ended = pod.run(
        order(TABLE, never("SET temp_buffers = '2MB'; CREATE TEMP TABLE a (); VACUUM a; INSERT INTO t VALUES (1)")),
        keys_of(any_database),
    )
    is_there_once(any_database, ended)


def test_time_limits_of_the_sql_are_none_of_the_ledger(any_database: Database, pod: Pod) -> None:
    assert pod.run(order(TABLE), keys_of(any_database)).code == 0
    waits = """SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()
               AND query LIKE '%.journal AS j%' AND clock_timestamp() - query_start > '0.3 s'"""
    with any_database.connect(admin=True) as holder:
        holder.execute("BEGIN")
        holder.execute("LOCK TABLE lockstep.journal IN SHARE MODE")
        pod.start(order(TABLE, never("SET lock_timeout = '1ms'; SELECT 1")), keys_of(any_database))
        wait_until(lambda: bool(any_database.query(waits)), 30)
        holder.execute("ROLLBACK")
    ended = pod.end()
    is_there_once(any_database, ended)
    assert ended.events("retry") == []


def test_sql_that_breaks_the_ledger_is_taken_back(any_database: Database, pod: Pod) -> None:
    for sql in (
        "DROP SCHEMA lockstep CASCADE",
        "DELETE FROM lockstep.run",
        "UPDATE lockstep.run SET epoch = epoch + 1",
    ):
        ended = pod.run(order(TABLE, never(f"INSERT INTO t VALUES (1); {sql}; SELECT 1")), keys_of(any_database))
        assert ended.result.reason in {Reason.FENCED, Reason.STATEMENT_REFUSED}, ended.text
        assert any_database.query(JOURNAL) == [(1, "finished")]
    assert rows(any_database) == [1]


@pytest.mark.parametrize(("action", "version"), [("MarkApplied", "2"), ("MarkNotApplied", "1")])
def test_a_down_by_half_is_settled_by_a_person(action: str, version: str, database: Database, pod: Pod) -> None:
    both = never("INSERT INTO t VALUES (1), (2)", down="DELETE FROM t WHERE x = 2;\nSELECT 1/0")
    assert pod.run(order(TABLE, both), keys_of(database)).code == 0
    down = order(TABLE, both, target="1", policy=Policy(rollback="Allow"))
    assert pod.run(down, keys_of(database)).result.reason is Reason.STATEMENT_FAILED
    repair = RepairOrder("token", action, "2")
    ended = pod.run(order(TABLE, both, target=version, repair=repair), keys_of(database))
    assert (ended.code, ended.result.version) == (0, version), ended.text
    assert database.query("TABLE lockstep.journal") == []


def test_a_repeatable_one_in_doubt_is_run_again(database: Database, pods: Pods) -> None:
    calls = migration(None, "SELECT 1; CALL fill()", name="orders-fill", transaction="Never")
    killed = pods("killed")
    killed.start(order(PROCEDURE, calls), keys_of(database))
    wait_until(lambda: database.query(SLEEPING) != [], 30, "the middle of the procedure")
    kill_in(database, killed, "CALL fill")
    database.query("CREATE OR REPLACE PROCEDURE fill() LANGUAGE sql AS 'INSERT INTO t VALUES (7)'")
    ended = pods("next").run(order(PROCEDURE, calls), keys_of(database))
    assert ended.code == 0, ended.text
    assert rows(database) == [1, 7]
    assert database.query("TABLE lockstep.journal") == []


@pytest.mark.parametrize("text", ["", "-- nothing"])
def test_a_text_without_statements_is_a_version_too(text: str, database: Database, pod: Pod) -> None:
    is_there_once(database, pod.run(order(TABLE, never(text)), keys_of(database)))


@pytest.mark.parametrize("pooler", ["session"], indirect=True)
def test_a_session_pooler_takes_no_settings_at_its_start(pooler: Pgbouncer, pod: Pod) -> None:
    text = (
        "SET lock_timeout = '7s'; VACUUM t; CREATE TABLE probe AS SELECT current_setting('lock_timeout') AS x; SELECT 1"
    )
    wanted = order(TABLE, never(text), database=DatabaseOrder("orders-db", pooler="Session"))
    is_there_once(pooler.database, pod.run(wanted, pooler.params))
    assert rows(pooler.database, "probe") == ["7s"]
