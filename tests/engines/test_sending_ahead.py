"""Small steps go out one behind the other: what was sent behind a step that fails never begins."""

import signal
from contextlib import closing

import pytest

from lockstep.api.reasons import Reason
from lockstep.planning.wire import OrderedMigration
from servers.counting import CountingProxy, Strike
from servers.inprocess import take
from servers.postgres import Database
from servers.process import wait_until
from servers.runner import Pod, keys_of, limits, migration, order

FIRST = migration("1", "CREATE TABLE log (version text)")
BEHIND = migration("3", "INSERT INTO log VALUES ('3'); SELECT nextval('begun')")
SLEEPS = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"


@pytest.fixture
def watched(any_database: Database) -> Database:
    """At version 1, with a sequence: what no rollback takes back tells whether the step behind has begun."""
    assert take(any_database, order(FIRST)).result.reason is Reason.UP_TO_DATE
    any_database.query("CREATE SEQUENCE begun; GRANT ALL ON SEQUENCE begun TO PUBLIC")
    return any_database


def has_begun(database: Database) -> bool:
    return database.query("SELECT is_called FROM begun") == [(True,)]


def log(database: Database) -> list[object]:
    return [version for (version,) in database.query("SELECT version FROM log")]


def second(sql: str) -> OrderedMigration:
    return migration("2", f"INSERT INTO log VALUES ('2');\n{sql}")


FAILS = {
    "in-a-statement": ("SELECT 1 / 0", Reason.STATEMENT_FAILED, "22012"),
    "by-what-is-deferred": (
        "ALTER TABLE log ADD UNIQUE (version) DEFERRABLE INITIALLY DEFERRED; INSERT INTO log VALUES ('2')",
        Reason.STATEMENT_FAILED,
        "23505",
    ),
    # Nothing but the commit runs the cursor's query: the transaction is over then, and another one could begin.
    "in-its-commit": (
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1 / (random() * 0)::int",
        Reason.STATEMENT_REFUSED,
        "22012",
    ),
}


@pytest.mark.parametrize(("sql", "reason", "state"), FAILS.values(), ids=FAILS.keys())
def test_nothing_begins_behind_what_fails(sql: str, reason: Reason, state: str, watched: Database) -> None:
    done = take(watched, order(FIRST, second(sql), BEHIND))
    assert (done.result.reason, done.result.version, done.result.applied) == (reason, "1", 0), done.text
    assert done.result.error is not None
    assert (done.result.error.version, done.result.error.sqlstate) == ("2", state)
    assert (log(watched), has_begun(watched)) == ([], False)


def test_nothing_begins_behind_what_was_stopped(watched: Database, pod: Pod) -> None:
    pod.start(order(FIRST, second("SELECT pg_sleep(60)"), BEHIND), keys_of(watched))
    wait_until(lambda: watched.query(SLEEPS) == [(1,)], what="the slow statement")
    pod.signal(signal.SIGTERM)
    ended = pod.end()
    assert (ended.result.reason, ended.result.version) == (Reason.INTERRUPTED, "1"), ended.text
    assert "asked to stop at version 2" in ended.result.message
    assert (log(watched), has_begun(watched)) == ([], False)


def test_what_meets_a_lock_is_sent_again_with_the_one_behind_it(watched: Database, pod: Pod) -> None:
    wanted = order(FIRST, second("ALTER TABLE log ADD COLUMN more text"), BEHIND, limits=limits(lock_timeout=300))
    with closing(watched.connect(admin=True)) as other, other.transaction():
        other.execute("LOCK TABLE log IN ACCESS SHARE MODE")
        pod.start(wanted, keys_of(watched))
        pod.wait_for("retry")
        assert not has_begun(watched)
    ended = pod.end()
    assert (ended.result.reason, ended.result.applied) == (Reason.UP_TO_DATE, 2), ended.text
    assert log(watched) == ["2", "3"]


def test_what_has_thrown_the_plans_away_is_sent_again_with_the_one_behind_it(watched: Database) -> None:
    done = take(watched, order(FIRST, second("DEALLOCATE ALL"), BEHIND))
    assert (done.result.reason, done.result.applied) == (Reason.UP_TO_DATE, 2), done.text
    assert log(watched) == ["2", "3"]


def test_both_are_counted_when_their_answers_are_lost(any_database: Database, pod: Pod) -> None:
    text = "CREATE TABLE log (version text); INSERT INTO log VALUES ('1'); COMMENT ON TABLE log IS 'x'"
    slow = migration("1", f"{text}; SELECT pg_sleep(0.3)")
    with CountingProxy(any_database.server.port) as proxy:
        secret = keys_of(any_database) | {"port": str(proxy.port), "sslmode": "disable"}
        # The server answers in the middle of the first step, and has the second one by then.
        proxy.arm(1, Strike.CUT, client=False, word=b"COMMENT\0")
        ended = pod.run(order(slow, second("SELECT 2"), migration("3", "INSERT INTO log VALUES ('3')")), secret)
        assert proxy.struck.is_set()
    assert (ended.result.reason, ended.result.applied) == (Reason.UP_TO_DATE, 3), ended.text
    assert [step.version for step in ended.result.steps] == ["1", "2", "3"]
    assert len(ended.events("connection_lost")) == 1
    assert log(any_database) == ["1", "2", "3"]
