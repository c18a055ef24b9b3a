"""The record of a step, which is sent as one text: all of it or nothing, fenced, and no text else may be several."""

import base64
import random
import signal
from collections.abc import Iterator
from contextlib import closing

import pymysql
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
from lockstep.engines import load
from lockstep.engines.base import Action, ConnectionLostError, Files, Identity, RunError, SecretWords, Task
from lockstep.engines.control import Control
from lockstep.engines.mysql import channel as channels
from lockstep.engines.mysql.channel import SqlError
from lockstep.engines.mysql.engine import MysqlSession
from lockstep.planning.plan import Direction, Step
from lockstep.planning.wire import OrderedMigration, Policy
from lockstep.runner.judge import candidate
from lockstep.runner.secret import read_secret
from servers.counting import CountingProxy, MysqlFraming, Strike
from servers.mariadb import MariaDatabase
from servers.process import wait_until
from servers.runner import Pod, migration, order

ONE = migration("1", "CREATE TABLE t (x int)")
TWO = {
    "definitions": migration("2", "ALTER TABLE t ADD COLUMN y int", "ALTER TABLE t DROP COLUMN y"),
    # Sees the database as of its first look at it.
    "rows": migration("2", "SELECT count(*) FROM t; INSERT INTO t VALUES (1)", "DELETE FROM t"),
}
RECORD = "INSERT INTO %lockstep_applied"
CLASH = "INSERT INTO lockstep_applied SELECT line, '2', '2', 'x', kind, 'x', NULL, NULL, NULL, 9 FROM lockstep_applied"
"""Stands where the record of the second version would."""


@pytest.fixture(params=list(TWO))
def two(request: pytest.FixtureRequest) -> OrderedMigration:
    """A second version, with and without what commits by itself."""
    return TWO[str(request.param)]


@pytest.fixture
def session(database: MariaDatabase) -> Iterator[MysqlSession]:
    """A run that holds the line, without a process of its own."""
    wanted = order(ONE)
    _, words = read_secret(keys(database), wanted.database)
    engine = load("mysql")
    target = engine.target(SecretWords(words.url, words.parts), "s")
    with closing(Control(60)) as control:
        task = Task(wanted, target, Files(), Identity("pod", "job", 1, wanted.owner))
        with closing(engine.connect(task, control, lambda *_, **__: None)) as made:
            assert isinstance(made, MysqlSession)
            made.lock(5)
            made.enter()
            yield made


def apply(session: MysqlSession, made: OrderedMigration) -> None:
    """Run one step up."""
    action = Action(Step(Direction.UP, candidate(made)), made)
    session.apply(action, load("mysql").script(action), lambda _: None)


def history(database: MariaDatabase) -> list[tuple[object, ...]]:
    """Return what was done, in its order."""
    return database.query("SELECT direction, version FROM lockstep_history ORDER BY sequence")


def takes_only_one(session: MysqlSession) -> bool:
    """Tell whether the server refuses a text of two statements."""
    try:
        session._channel.query("SELECT 1; SELECT 2")
    except SqlError as error:
        return error.number == 1064
    return False


def test_the_runs_row_stays_locked_until_the_record_is_committed(
    two: OrderedMigration, database: MariaDatabase, pods: Pods
) -> None:
    done(pods("zero").run(order(ONE), keys(database)))
    first = pods("first")
    with holding(database, CLASH):
        first.start(order(ONE, two), keys(database))
        wait_until(is_running(database, RECORD), what="the record that waits")
        with pytest.raises(pymysql.err.MySQLError):
            database.query("SELECT epoch FROM lockstep_run FOR UPDATE NOWAIT")
    done(first.end())
    assert (applied(database), journal(database)) == (["1", "2"], [])


def test_a_record_that_fails_in_its_middle_leaves_nothing(
    two: OrderedMigration, database: MariaDatabase, pod: Pod
) -> None:
    done(pod.run(order(ONE), keys(database)))
    with holding(database, "SELECT * FROM t FOR UPDATE", "INSERT INTO t VALUES (9)"):
        pod.start(order(ONE, two), keys(database))
        last = str(two.up).rpartition("; ")[2]
        wait_until(is_running(database, last), what="the waiting statement")
        database.query(CLASH)
    ended = pod.end()
    assert "error 1062" in ended.result.message, ended.text
    assert history(database) == [("up", "1")]
    assert database.query("SELECT * FROM t") == []


def test_a_down_that_the_ledger_no_longer_has_is_not_recorded(
    two: OrderedMigration, session: MysqlSession, database: MariaDatabase
) -> None:
    apply(session, ONE)
    apply(session, two)
    database.query("DELETE FROM lockstep_applied WHERE version = '2'")
    action = Action(Step(Direction.DOWN, candidate(two)), two)
    with pytest.raises(RunError, match="no longer has it") as caught:
        session.apply(action, load("mysql").script(action), lambda _: None)
    assert caught.value.reason is Reason.LEDGER_INVALID
    assert history(database) == [("up", "1"), ("up", "2")]
    assert takes_only_one(session)


def test_an_overtaken_run_records_nothing_whatever_its_transaction_has_seen(
    two: OrderedMigration, session: MysqlSession, database: MariaDatabase
) -> None:
    apply(session, ONE)
    real = session._channel.together

    def overtaken(*args: object) -> object:
        database.query("UPDATE lockstep_run SET epoch = epoch + 1")
        return real(*args)  # type: ignore[arg-type]  # passed on as they came

    session._channel.together = overtaken  # type: ignore[method-assign, assignment]  # for this test
    with pytest.raises(RunError) as caught:
        apply(session, two)
    assert caught.value.reason is Reason.FENCED
    assert history(database) == [("up", "1")]
    assert applied(database) == ["1"]


def test_a_run_is_marked_with_its_first_record(session: MysqlSession, database: MariaDatabase) -> None:
    """So that a look for drift knows that its changes may not be known yet."""
    apply(session, migration("1", "SELECT 1"))
    assert database.query("SELECT dirty FROM lockstep_run") == [(1,)]
    assert applied(database) == ["1"]


def test_no_text_but_the_record_may_be_several_statements(session: MysqlSession, database: MariaDatabase) -> None:
    assert takes_only_one(session)
    apply(session, ONE)
    assert takes_only_one(session)
    database.query(CLASH)
    with pytest.raises(RunError):
        apply(session, TWO["definitions"])
    assert takes_only_one(session)


def test_where_the_server_is_not_told_it_is_one_after_the_other(
    session: MysqlSession, database: MariaDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a proxy may refuse to pass it on."""

    def refuse(*_: object) -> None:
        raise pymysql.err.InternalError(1047, "Unknown command")

    monkeypatch.setattr(channels, "_tell", refuse)
    apply(session, ONE)
    apply(session, TWO["rows"])
    assert (applied(database), journal(database)) == (["1", "2"], [])
    assert tables(database) == {"t"}


def test_a_session_that_might_cut_statements_is_given_up(
    session: MysqlSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = channels._tell

    def refuse(raw: object, word: bytes) -> None:
        if word == channels._SINGLE:
            raise pymysql.err.InternalError(1047, "Unknown command")
        real(raw, word)

    monkeypatch.setattr(channels, "_tell", refuse)
    with pytest.raises(ConnectionLostError):
        apply(session, ONE)
    assert not session._channel.raw.open


@pytest.mark.parametrize("word", [rb"\x1b\x00\x00", rb"\x1b\x01\x00", rb";\nCOMMIT\Z"], ids=["on", "off", "record"])
@pytest.mark.parametrize("strike", [Strike.CUT, Strike.KILL_SENT])
def test_lost_at_a_message_of_the_record(
    word: bytes, strike: Strike, two: OrderedMigration, database: MariaDatabase, pods: Pods
) -> None:
    first, second = pods("first"), pods("second")
    done(second.run(order(ONE), keys(database)))
    with CountingProxy(database.server.port, MysqlFraming) as proxy:
        proxy.arm(1, strike, word=word, kill=lambda: first.signal(signal.SIGKILL))
        first.start(order(ONE, two), keys(database, port=proxy.port))
        assert proxy.struck.wait(30)
        if strike is Strike.CUT:
            done(first.end())
        else:
            first.kill()
    wait_until_free(database)
    done(second.run(order(ONE, two), keys(database)))
    assert history(database) == [("up", "1"), ("up", "2")]
    assert (applied(database), journal(database)) == (["1", "2"], [])
    assert ("y" in columns(database, "t")) or database.query("SELECT x FROM t") == [(1,)]


def test_a_record_larger_than_a_packet(maria_database: MariaDatabase, pod: Pod) -> None:
    """Each of its two texts goes into one, both do not."""
    database = maria_database
    [(packet,)] = database.query("SELECT @@max_allowed_packet")
    noise = [base64.b64encode(random.Random(seed).randbytes(400_000)).decode() for seed in (1, 2)]
    long = migration(
        "2", f"ALTER TABLE t ADD COLUMN y int; -- {noise[0]}", f"ALTER TABLE t DROP COLUMN y; -- {noise[1]}"
    )
    database.server.admin("SET GLOBAL max_allowed_packet = 1048576")
    try:
        done(pod.run(order(ONE, long), keys(database)))
    finally:
        database.server.admin(f"SET GLOBAL max_allowed_packet = {packet}")
    assert (applied(database), journal(database)) == (["1", "2"], [])
    back = order(ONE, target="1", policy=Policy(rollback="Allow"))
    done(pod.run(back, keys(database)))
    assert columns(database, "t") == ["x"]
