"""COPY ... FROM stdin with its data in the text: in the transaction, in bounded memory, and out of every message."""

import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Unpack

import pytest

from lockstep.api.reasons import Reason
from lockstep.planning.wire import OrderedMigration
from servers.faults import Fault, FaultyProxy, all_synced
from servers.postgres import Database
from servers.process import wait_until
from servers.runner import Ended, MigrationWords, Pod, keys_of, limits, migration, order

Pods = Callable[..., Pod]

TABLE = "CREATE TABLE t (id int PRIMARY KEY, name text);\n"
COPY = "COPY t (id, name) FROM stdin;\n1\tone\n2\ttwo; --\n3\t\\N\n\\.\n"


BLOCKED = """SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'COPY%'
             AND datname = current_database()"""


def copied(database: Database) -> list[tuple[object, ...]]:
    return database.query("SELECT id, name FROM t ORDER BY id")


ROWS = [(1, "one"), (2, "two; --"), (3, None)]


@pytest.mark.parametrize("transaction", ["Auto", "Always", "Never"])
def test_data_is_copied_with_what_is_around_it(transaction: str, any_database: Database, pod: Pod) -> None:
    text = (
        TABLE
        + COPY
        + "UPDATE t SET name = 'TWO' WHERE id = 2;\nCOPY t FROM stdin CSV;\n4,\"fo\nur\"\n\\.\n"
        + "SELECT 1;"
    )
    ended = pod.run(
        order(migration("1", text, transaction=transaction), migration("2", "SELECT 1")), keys_of(any_database)
    )
    assert (ended.code, ended.result.version) == (0, "2"), ended.text
    assert copied(any_database) == [(1, "one"), (2, "TWO"), (3, None), (4, "fo\nur")]


@pytest.mark.parametrize(
    "text",
    [
        TABLE + COPY.replace("\n", "\r\n"),
        "\ufeff" + TABLE + COPY + "COPY t FROM stdin;\n\\.\n",
        TABLE + COPY.removesuffix("\\.\n"),
    ],
    ids=["crlf", "bom-and-empty", "open-end"],
)
def test_the_data_is_what_psql_makes_of_it(text: str, database: Database, pod: Pod) -> None:
    ended = pod.run(order(migration("1", text)), keys_of(database))
    assert ended.code == 0, ended.text
    assert copied(database) == ROWS


def fails(database: Database, pod: Pod, text: str, **more: Unpack[MigrationWords]) -> Ended:
    ended = pod.run(order(migration("1", TABLE), migration("2", text, **more)), keys_of(database))
    assert ended.result.reason is Reason.STATEMENT_FAILED, ended.text
    return ended


BAD = {
    "type": ("1\tone\nsecret-value\ttwo\n", 5, "invalid input syntax for type integer: ?"),
    "range": ("1\tone\n99999999999999\ttwo\n", 5, "value ? is out of range for type integer"),
    "columns": ("1\tone\n2\tsecret-value\tmore\n", 5, "extra data after last expected column"),
    "missing": ("1\tone\n2\n", 5, 'missing data for column "name"'),
    "unique": ("1\tsecret-value\n1\ttwo\n", 5, 'duplicate key value violates unique constraint "t_pkey"'),
    "null": ("\\N\tsecret-value\n", 4, 'null value in column "id"'),
}


@pytest.mark.parametrize(("data", "line", "words"), BAD.values(), ids=BAD.keys())
def test_an_error_names_the_line_and_never_the_data(
    data: str, line: int, words: str, any_database: Database, pod: Pod
) -> None:
    ended = fails(any_database, pod, f"SELECT 1;\n\nCOPY t FROM stdin;\n{data}\\.\nSELECT 2;")
    detail = ended.result.error
    assert detail is not None
    assert (detail.statement, detail.line) == (2, line)
    assert words in ended.result.message
    assert "secret-value" not in ended.text
    assert "99999" not in ended.text
    # In one transaction with what was before it, and the session is as good as before.
    assert copied(any_database) == []
    good = pod.run(order(migration("1", TABLE), migration("2", COPY)), keys_of(any_database))
    assert good.code == 0, good.text


def test_an_error_before_and_behind_the_data(database: Database, pod: Pod) -> None:
    ended = fails(database, pod, "COPY nothing FROM stdin;\n1\n\\.\nSELECT 2;")
    assert ended.result.error is not None
    assert (ended.result.error.statement, ended.result.error.sqlstate) == (1, "42P01")
    ended = fails(database, pod, COPY + "SELECT 1;\nSELECT 1/0;")
    assert ended.result.error is not None
    assert (ended.result.error.statement, ended.result.error.line) == (3, 7)
    assert copied(database) == []


def test_it_is_as_fenced_as_anything_else(database: Database, pod: Pod) -> None:
    bad = migration("2", COPY + "UPDATE lockstep.run SET epoch = epoch + 1;")
    ended = pod.run(order(migration("1", TABLE), bad), keys_of(database))
    assert ended.result.reason is Reason.FENCED, ended.text
    assert copied(database) == []


def large(rows: int) -> OrderedMigration:
    data = "".join(f"{n}\t{'x' * 190}\n" for n in range(rows))
    return migration("2", f"COPY t FROM stdin;\n{data}\\.\n")


def peak(pod: Pod) -> int:
    status = Path(f"/proc/{pod.pid}/status").read_text()
    (found,) = re.findall(r"^VmHWM:\s+(\d+) kB", status, re.M)
    return int(found)


def test_twenty_megabytes_take_no_memory_of_their_own(any_database: Database, pod: Pod) -> None:
    assert pod.run(order(migration("1", TABLE)), keys_of(any_database)).code == 0
    many = order(migration("1", TABLE), large(100_000), migration("3", "SELECT pg_sleep(60)"))
    with any_database.connect(admin=True) as holder:
        holder.execute("BEGIN")
        holder.execute("LOCK TABLE t IN SHARE MODE")
        pod.start(many, keys_of(any_database))
        wait_until(lambda: bool(any_database.query(BLOCKED)), 30)
        before = peak(pod)
    pod.wait_for("applied", 120)
    after = peak(pod)
    pod.kill()
    assert any_database.query("SELECT count(*) FROM t") == [(100_000,)]
    # What is sent is never more than a few chunks ahead of the server.
    assert after - before < 5_000, (before, after)


def test_a_lock_is_waited_for_and_named(database: Database, hurried: Pod, pod: Pod) -> None:
    assert pod.run(order(migration("1", TABLE)), keys_of(database)).code == 0
    with database.connect(admin=True) as holder:
        holder.execute("BEGIN")
        holder.execute("LOCK TABLE t IN SHARE MODE")
        wanted = order(migration("1", TABLE), migration("2", COPY), limits=limits(lock_timeout=100))
        ended = hurried.run(wanted, keys_of(database))
        assert ended.result.reason is Reason.LOCK_TIMEOUT, ended.text
        assert "blocked by backend" in ended.result.message
        pod.start(order(migration("1", TABLE), migration("2", COPY)), keys_of(database))
        wait_until(lambda: bool(database.query(BLOCKED)), 20)
        pod.signal(signal.SIGTERM)
        ended = pod.end(20)
        assert ended.result.reason is Reason.INTERRUPTED, ended.text
    assert pod.run(order(migration("1", TABLE), migration("2", COPY)), keys_of(database)).code == 0
    assert copied(database) == ROWS


def test_a_stop_in_the_middle_of_the_data(database: Database, pod: Pod) -> None:
    slow = TABLE + (
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(0.01); RETURN new; END$$;"
        "CREATE TRIGGER slow BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION slow();"
    )
    pod.start(order(migration("1", slow), large(100_000)), keys_of(database))
    sleeping = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'COPY t%' AND datname = current_database()"
    wait_until(lambda: bool(database.query(sleeping)), 30)
    pod.signal(signal.SIGTERM)
    ended = pod.end(20)
    assert (ended.code, ended.result.reason, ended.result.version) == (10, Reason.INTERRUPTED, "1"), ended.text
    assert copied(database) == []


@pytest.mark.parametrize("fault", [Fault.CUT_BEFORE, Fault.CUT_AFTER])
@pytest.mark.parametrize("transaction", ["Auto", "Never"])
def test_cut_off_in_the_data(transaction: str, fault: Fault, database: Database, pod: Pod) -> None:
    text = "SELECT 1;\n" + COPY + "SELECT 2;"
    # What is sent of the data, and is not its end, has no answer.
    with FaultyProxy(database.server.port, answered=all_synced) as proxy:
        proxy.on(b"two; --", fault)
        wanted = order(migration("1", TABLE), migration("2", text, transaction=transaction))
        ended = pod.run(wanted, keys_of(database) | {"port": str(proxy.port)})
        assert proxy.struck.is_set()
    assert (ended.code, ended.result.version) == (0, "2"), ended.text
    assert copied(database) == ROWS
