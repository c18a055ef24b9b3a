"""What runs outside of a transaction, killed, cancelled, cut off and blocked: nothing of it is left by half."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from lockstep.api.reasons import Reason
from lockstep.planning.wire import OrderedMigration
from servers.faults import Fault, FaultyProxy
from servers.postgres import Database
from servers.process import wait_until
from servers.runner import Ended, Pod, keys_of, limits, migration, order

Pods = Callable[..., Pod]

TABLE = migration("1", "CREATE TABLE t (x int); INSERT INTO t SELECT generate_series(1, 1000); CREATE TABLE other ()")
INDEX = "CREATE INDEX CONCURRENTLY i ON t (x)"
INVALID = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT (indisvalid AND indisready AND indislive)"
BLOCKED = """SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'lockstep%' AND datname = current_database()
             AND wait_event_type = 'Lock' AND query LIKE '{}%'"""
JOURNAL = "SELECT statement, state FROM lockstep.journal ORDER BY 1"


def concurrent(sql: str, version: str = "2") -> OrderedMigration:
    return migration(version, sql)


def valid(database: Database, table: str = "t") -> list[object]:
    rows = database.query(
        f"SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
        f"WHERE i.indrelid = '{table}'::regclass AND i.indisvalid ORDER BY 1"
    )
    return [row[0] for row in rows]


@contextmanager
def snapshot(database: Database, touched: str = "other") -> Iterator[None]:
    """An old snapshot, for which CONCURRENTLY waits; and a lock on what it has touched."""
    with database.connect(admin=True) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        connection.execute(f"SELECT count(*) FROM {touched}".encode())
        yield
        connection.execute("ROLLBACK")


def prepare(database: Database, pod: Pod, *more: OrderedMigration) -> None:
    assert pod.run(order(TABLE, *more), keys_of(database)).code == 0


def wait_blocked(database: Database, head: str) -> int:
    """Wait until the statement waits for the snapshot; return its backend."""
    found: list[int] = []

    def look() -> bool:
        found[:] = [int(str(row[0])) for row in database.query(BLOCKED.format(head))]
        return bool(found)

    wait_until(look, 30, head)
    return found[0]


def kill_blocked(database: Database, pod: Pod, head: str) -> None:
    """Kill the runner while its statement waits, and wait until the server has noticed."""
    pid = wait_blocked(database, head)
    pod.kill()
    wait_until(lambda: database.query(f"SELECT pid FROM pg_stat_activity WHERE pid = {pid}") == [], 30, "the server")


def nothing_is_left(database: Database) -> None:
    assert database.query(INVALID) == []
    assert database.query("TABLE lockstep.journal") == []


def is_complete(database: Database, ended: Ended, version: str) -> None:
    assert (ended.code, ended.result.version) == (0, version), ended.text
    nothing_is_left(database)
    applied = database.query("SELECT count(*) FROM lockstep.history WHERE version = '2'")
    assert applied == [(1,)]


def test_an_index_is_built_beside_the_application(any_database: Database, pod: Pod) -> None:
    many = f"{INDEX};\nCREATE TABLE after ();\nCREATE UNIQUE INDEX CONCURRENTLY ON t (x);\nVACUUM t;\nANALYZE t"
    ended = pod.run(order(TABLE, concurrent(many)), keys_of(any_database))
    is_complete(any_database, ended, "2")
    assert valid(any_database) == ["i", "t_x_idx"]
    said = ended.events("statement")
    assert [(line["statement"], line["of"], line["tag"]) for line in said] == [
        (1, 5, "CREATE INDEX"),
        (2, 5, "CREATE TABLE"),
        (3, 5, "CREATE INDEX"),
        (4, 5, "VACUUM"),
        (5, 5, "ANALYZE"),
    ]


def test_a_unique_violation_leaves_no_index(any_database: Database, pod: Pod) -> None:
    prepare(any_database, pod)
    any_database.query("INSERT INTO t VALUES (1)")
    unique = "CREATE TABLE before ();\n\nCREATE UNIQUE INDEX CONCURRENTLY u ON t (x)"
    ended = pod.run(order(TABLE, concurrent(unique)), keys_of(any_database))
    assert (ended.code, ended.result.reason) == (20, Reason.STATEMENT_FAILED), ended.text
    assert ended.result.error is not None
    assert (ended.result.error.statement, ended.result.error.line, ended.result.error.sqlstate) == (2, 3, "23505")
    assert "1 of its 2 statements are done" in ended.result.message
    assert "Partial" in ended.result.message
    # DETAIL would carry the row.
    assert "(1)" not in ended.text
    assert any_database.query(INVALID) == []
    assert any_database.query(JOURNAL) == [(1, "finished"), (2, "started")]
    # The row is corrected, and the same text goes on behind what is done.
    any_database.query("DELETE FROM t WHERE ctid = (SELECT min(ctid) FROM t WHERE x = 1)")
    is_complete(any_database, pod.run(order(TABLE, concurrent(unique)), keys_of(any_database)), "2")
    assert valid(any_database) == ["u"]


def test_what_has_done_nothing_is_not_by_half(database: Database, pod: Pod) -> None:
    prepare(database, pod)
    database.query("INSERT INTO t VALUES (1)")
    unique = concurrent("CREATE UNIQUE INDEX CONCURRENTLY u ON t (x); CREATE TABLE after ()")
    ended = pod.run(order(TABLE, unique), keys_of(database))
    assert ended.result.reason is Reason.STATEMENT_FAILED
    assert "none of its 2 statements is done" in ended.result.message
    nothing_is_left(database)
    # So the target may be set back.
    assert pod.run(order(TABLE, unique, target="1"), keys_of(database)).code == 0


NAMED = {
    "named": INDEX,
    "unnamed": "CREATE INDEX CONCURRENTLY ON t (x)",
    "lenient": INDEX.replace(" i ", " IF NOT EXISTS i "),
}


@pytest.mark.parametrize("sql", NAMED.values(), ids=NAMED.keys())
def test_killed_while_an_old_snapshot_is_waited_for(sql: str, any_database: Database, pods: Pods) -> None:
    prepare(any_database, pods("first"))
    # Somebody else's, which is nobody's business.
    any_database.query("INSERT INTO t VALUES (1)")
    with pytest.raises(Exception, match="duplicate"):
        any_database.query("CREATE UNIQUE INDEX CONCURRENTLY theirs ON t (x)")
    doing = f"SET search_path = public; {sql}; CREATE TABLE after ()"
    with snapshot(any_database):
        killed = pods("killed")
        killed.start(order(TABLE, concurrent(doing)), keys_of(any_database))
        kill_blocked(any_database, killed, "CREATE INDEX")
        assert len(any_database.query(INVALID)) == 2
        assert any_database.query(JOURNAL) == [(1, "finished"), (2, "started")]
    ended = pods("next").run(order(TABLE, concurrent(doing)), keys_of(any_database))
    assert (ended.code, ended.result.version) == (0, "2"), ended.text
    assert any_database.query(INVALID) == [("theirs",)]
    assert len(valid(any_database)) == 1
    (settled,) = ended.events("settled")
    assert settled["verdict"] == "again"
    assert settled["dropped"] == valid(any_database)


HOW: dict[str, tuple[Callable[[Database, Pod, int], object], Reason]] = {
    "cancelled": (lambda db, _, pid: db.query(f"SELECT pg_cancel_backend({pid})"), Reason.INTERRUPTED),
    "told-to-stop": (lambda _, pod, __: pod.signal(signal.SIGTERM), Reason.INTERRUPTED),
    "deadline": (lambda *_: None, Reason.DEADLINE_EXCEEDED),
}


@pytest.mark.parametrize(("act", "reason"), HOW.values(), ids=HOW.keys())
def test_cancelled_while_an_old_snapshot_is_waited_for(
    act: Callable[[Database, Pod, int], object], reason: Reason, any_database: Database, pod: Pod
) -> None:
    prepare(any_database, pod)
    seconds = 12_000 if reason is Reason.DEADLINE_EXCEEDED else 600_000
    doing = order(
        TABLE, concurrent(f"CREATE TABLE before (); {INDEX}"), limits=limits(deadline=seconds, lock_timeout=200)
    )
    with snapshot(any_database):
        pod.start(doing, keys_of(any_database))
        pid = wait_blocked(any_database, "CREATE INDEX")
        act(any_database, pod, pid)
        ended = pod.end()
    assert ended.result.reason is reason, ended.text
    assert "1 of its 2 statements are done" in ended.result.message
    # Cleaned up by the very run that failed, although the snapshot was still there.
    assert any_database.query(INVALID) == []
    is_complete(any_database, pod.run(doing, keys_of(any_database)), "2")


def test_what_waits_says_for_whom_and_is_not_bound_by_the_lock_timeout(database: Database, pod: Pod) -> None:
    prepare(database, pod)
    with snapshot(database):
        doing = order(TABLE, concurrent(INDEX), limits=limits(lock_timeout=100))
        pod.start(doing, keys_of(database))
        found = pod.wait_for("progress", 40)
        while found["state"] != "WaitingForRetry":
            found = pod.wait_for("progress", 40)
        assert "statement 1 waits; blocked by backend" in str(found["message"])
        # One and the same statement waits for many times what the others may wait.
        long = f"{BLOCKED.format('CREATE INDEX')} AND clock_timestamp() - query_start > '1 s'"
        wait_until(lambda: bool(database.query(long)), 20, "a long wait")
    is_complete(database, pod.end(), "2")


def test_a_leftover_is_not_taken_for_what_is_asked_for(any_database: Database, pod: Pod) -> None:
    prepare(any_database, pod)
    any_database.query("ALTER TABLE t OWNER TO app; INSERT INTO t VALUES (1)")
    with pytest.raises(Exception, match="duplicate"):
        any_database.query("CREATE UNIQUE INDEX CONCURRENTLY i ON t (x)")
    any_database.query("DELETE FROM t")
    unique = concurrent("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON t (x)")
    is_complete(any_database, pod.run(order(TABLE, unique), keys_of(any_database)), "2")
    assert valid(any_database) == ["i"]


def test_a_name_that_another_tables_index_has_is_not_taken_for_it(any_database: Database, pod: Pod) -> None:
    prepare(any_database, pod, migration("1.1", "CREATE INDEX i ON other ((1))"))
    more = (TABLE, migration("1.1", "CREATE INDEX i ON other ((1))"))
    ended = pod.run(
        order(*more, concurrent("CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (x)")), keys_of(any_database)
    )
    assert ended.result.reason is Reason.STATEMENT_FAILED, ended.text
    assert "a name that something else has; choose another; nothing of it is left" in ended.result.message
    nothing_is_left(any_database)


def test_an_interrupted_drop_is_ended_and_not_taken_back(any_database: Database, pods: Pods) -> None:
    prepare(any_database, pods("first"))
    any_database.query("CREATE INDEX i ON t (x)", admin=False)
    drop = concurrent("DROP INDEX CONCURRENTLY i")
    with snapshot(any_database, "t"):
        killed = pods("killed")
        killed.start(order(TABLE, drop), keys_of(any_database))
        kill_blocked(any_database, killed, "DROP INDEX")
        assert any_database.query(INVALID) == [("i",)]
    is_complete(any_database, pods("next").run(order(TABLE, drop), keys_of(any_database)), "2")
    assert valid(any_database) == []


PARTITIONED = migration(
    "1.5",
    "CREATE TABLE p (x int) PARTITION BY RANGE (x); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)",
)


def test_an_interrupted_detach_is_finalized(any_database: Database, pods: Pods) -> None:
    prepare(any_database, pods("first"), PARTITIONED)
    detach = concurrent("ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY; CREATE TABLE after ()")
    with snapshot(any_database, "p"):
        killed = pods("killed")
        killed.start(order(TABLE, PARTITIONED, detach), keys_of(any_database))
        kill_blocked(any_database, killed, "ALTER TABLE p DETACH")
        assert any_database.query("SELECT inhdetachpending FROM pg_inherits") == [(True,)]
    ended = pods("next").run(order(TABLE, PARTITIONED, detach), keys_of(any_database))
    is_complete(any_database, ended, "2")
    assert any_database.query("SELECT count(*) FROM pg_inherits") == [(0,)]
    assert ended.events("settled")[0]["verdict"] == "done"


@pytest.mark.parametrize("what", ["INDEX CONCURRENTLY i", "TABLE CONCURRENTLY t", "(CONCURRENTLY) SCHEMA public"])
def test_an_interrupted_reindex_leaves_nothing(what: str, any_database: Database, pods: Pods) -> None:
    prepare(any_database, pods("first"))
    any_database.query("CREATE INDEX i ON t (x)", admin=False)
    any_database.query("ALTER SCHEMA public OWNER TO app")
    reindex = concurrent(f"REINDEX {what}")
    with snapshot(any_database):
        killed = pods("killed")
        killed.start(order(TABLE, reindex), keys_of(any_database))
        kill_blocked(any_database, killed, "REINDEX")
        assert any_database.query(INVALID) != []
    is_complete(any_database, pods("next").run(order(TABLE, reindex), keys_of(any_database)), "2")
    assert valid(any_database) == ["i"]


@pytest.mark.parametrize("what", ["TABLE CONCURRENTLY t", "(CONCURRENTLY) SCHEMA public"])
def test_a_leftover_that_the_role_may_not_drop_is_named_and_holds_nothing_up(
    what: str, any_database: Database, pods: Pods
) -> None:
    """The indexes of TOAST tables: the owner of the table may rebuild them, and has no right on their schema."""
    prepare(any_database, pods("first"), migration("1.1", "CREATE INDEX i ON t (x); ALTER TABLE t ADD y text"))
    any_database.query("ALTER SCHEMA public OWNER TO app")
    more = (TABLE, migration("1.1", "CREATE INDEX i ON t (x); ALTER TABLE t ADD y text"), concurrent(f"REINDEX {what}"))
    with snapshot(any_database):
        killed = pods("killed")
        killed.start(order(*more), keys_of(any_database))
        kill_blocked(any_database, killed, "REINDEX")
    left = any_database.query(f"{INVALID} AND indexrelid::regclass::text LIKE 'pg_toast.%'")
    assert len(left) == 1
    ended = pods("next").run(order(*more), keys_of(any_database))
    assert (ended.code, ended.result.version) == (0, "2"), ended.text
    assert any_database.query(INVALID) == left
    assert any_database.query("TABLE lockstep.journal") == []
    [said] = ended.events("left_behind")
    assert (said["indexes"], said["sqlstate"]) == ([left[0][0]], "42501")


def test_a_message_says_what_a_cancelled_statement_has_left(any_database: Database, pod: Pod) -> None:
    table = migration("1", "CREATE TABLE t (x int, y text); CREATE INDEX i ON t (x); CREATE TABLE other ()")
    assert pod.run(order(table), keys_of(any_database)).code == 0
    with snapshot(any_database):
        pod.start(order(table, concurrent("REINDEX TABLE CONCURRENTLY t")), keys_of(any_database))
        any_database.query(f"SELECT pg_cancel_backend({wait_blocked(any_database, 'REINDEX')})")
        ended = pod.end()
    [left] = any_database.query(f"{INVALID} AND indexrelid::regclass::text LIKE 'pg_toast.%'")
    assert ended.result.reason is Reason.INTERRUPTED, ended.text
    assert f"; {left[0]} is left, which the role may not drop" in ended.result.message
    assert any_database.query("TABLE lockstep.journal") == []


@pytest.mark.parametrize("fault", [Fault.CUT_BEFORE, Fault.CUT_AFTER])
@pytest.mark.parametrize("word", [INDEX.encode(), b"finished"])
def test_cut_off_before_and_after_the_server_has_done_it(
    word: bytes, fault: Fault, any_database: Database, pod: Pod
) -> None:
    prepare(any_database, pod)
    doing = f"{INDEX}; CREATE TABLE after ()"
    with FaultyProxy(any_database.server.port) as proxy:
        proxy.on(word, fault)
        ended = pod.run(order(TABLE, concurrent(doing)), keys_of(any_database) | {"port": str(proxy.port)})
        assert proxy.struck.is_set()
    # The same run has gone on in a new session.
    assert len(ended.events("connection_lost")) == 1
    is_complete(any_database, ended, "2")
    assert valid(any_database) == ["i"]
    if fault is Fault.CUT_AFTER and word != b"finished":
        assert ended.events("settled")[0]["verdict"] == "done"


def test_databases_are_settled_by_their_existence(database: Database, pod: Pod) -> None:
    superuser = keys_of(database) | {"user": "postgres"}
    made = f"{database.name}_made"
    create = f"CREATE DATABASE {made} TEMPLATE template0; CREATE TABLE after ()"
    with FaultyProxy(database.server.port) as proxy:
        proxy.on(f"CREATE DATABASE {made}".encode(), Fault.CUT_AFTER)
        ended = pod.run(order(TABLE, concurrent(create)), superuser | {"port": str(proxy.port)})
        is_complete(database, ended, "2")
        assert ended.events("settled")[0]["verdict"] == "done"
        proxy.on(f"DROP DATABASE {made}".encode(), Fault.CUT_AFTER)
        drop = concurrent(f"DROP DATABASE {made}; SELECT 1", "3")
        ended = pod.run(order(TABLE, concurrent(create), drop), superuser | {"port": str(proxy.port)})
    assert (ended.code, ended.result.version) == (0, "3"), ended.text
    assert ended.events("settled")[0]["verdict"] == "done"
    assert database.query(f"SELECT count(*) FROM pg_database WHERE datname = '{made}'") == [(0,)]


def test_what_only_the_server_knows_runs_alone_in_never(any_database: Database, pod: Pod) -> None:
    prepare(any_database, pod, PARTITIONED)
    reindex = "CREATE INDEX pi ON p (x); REINDEX TABLE p"
    ended = pod.run(order(TABLE, PARTITIONED, concurrent(reindex)), keys_of(any_database))
    assert ended.result.reason is Reason.STATEMENT_FAILED
    assert "spec.transaction: Never" in ended.result.message
    never = migration("2", reindex, transaction="Never")
    is_complete(any_database, pod.run(order(TABLE, PARTITIONED, never), keys_of(any_database)), "2")


def test_a_new_value_of_an_enum(any_database: Database, pod: Pod) -> None:
    base = migration("1", "CREATE TYPE e AS ENUM ('a'); CREATE TABLE t (e e)")
    text = "ALTER TYPE e ADD VALUE 'b'; INSERT INTO t VALUES ('b')"
    ended = pod.run(order(base, concurrent(text)), keys_of(any_database))
    assert ended.result.error is not None
    assert ended.result.error.sqlstate == "55P04"
    assert "a version of its own before this one, or set spec.transaction: Never" in ended.result.message
    ended = pod.run(order(base, migration("2", text, transaction="Never")), keys_of(any_database))
    is_complete(any_database, ended, "2")
