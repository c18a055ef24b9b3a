"""What statements say and do shows in the log, and is never too much."""

import re
from pathlib import Path

import pytest

from servers.postgres import Database
from servers.runner import Pod, keys_of, migration, order

SAYS = """CREATE TABLE t (x int);

DO $$BEGIN RAISE NOTICE 'said % times', 2; RAISE WARNING 'a warning' USING DETAIL = 'of a row'; END$$;
DROP TABLE IF EXISTS nothing;
DO $$BEGIN RAISE INFO '%', repeat('x', 5000); RAISE LOG 'not for the client'; END$$"""


@pytest.mark.parametrize("transaction", ["Auto", "Never"])
def test_what_is_said_is_logged_with_its_statement(transaction: str, any_database: Database, pod: Pod) -> None:
    ended = pod.run(order(migration("1", SAYS, transaction=transaction)), keys_of(any_database))
    assert ended.code == 0, ended.text
    said = [(n["version"], n["statement"], n["severity"], n["message"]) for n in ended.events("notice")]
    assert said[:3] == [
        ("1", 2, "notice", "said 2 times"),
        ("1", 2, "warning", "a warning"),
        ("1", 3, "notice", 'table "nothing" does not exist, skipping'),
    ]
    assert said[3][:3] == ("1", 4, "info")
    assert len(str(said[3][3])) == 500
    assert len(said) == 4
    assert "of a row" not in ended.text
    assert ended.events("notices_left_out") == []


def test_a_notice_is_told_from_one_in_another_group_or_another_migration(database: Database, pod: Pod) -> None:
    filler = f"SELECT '{'x' * 900}';\n" * 200
    say = "DO $$BEGIN RAISE NOTICE 'here'; END$$;\n"
    copy = "COPY t FROM stdin;\n1\n\\.\n"
    trigger = """CREATE TABLE t (x int); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN RAISE NOTICE 'copied'; RETURN new; END$$; CREATE TRIGGER f BEFORE INSERT ON t FOR EACH ROW
    EXECUTE FUNCTION f()"""
    ended = pod.run(order(migration("1", trigger), migration("2", filler + say + copy + say)), keys_of(database))
    assert ended.code == 0, ended.text
    said = [(n["version"], n["statement"], n["message"]) for n in ended.events("notice")]
    assert said == [("2", 201, "here"), ("2", 202, "copied"), ("2", 203, "here")]


@pytest.mark.parametrize("transaction", ["Auto", "Never"])
def test_a_million_notices_take_no_memory(transaction: str, database: Database, pod: Pod) -> None:
    many = (
        "DO $$BEGIN FOR i IN 1..1000000 LOOP RAISE NOTICE 'number % of a million, quite long words', i; END LOOP; END$$"
    )
    pod.start(
        order(migration("1", many, transaction=transaction), migration("2", "SELECT pg_sleep(60)")), keys_of(database)
    )
    said = 0
    assert pod.process is not None
    assert pod.process.stdout is not None
    for line in pod.process.stdout:
        said += '"event":"notice"' in line
        if '"notices_left_out"' in line:
            assert '"notices":999800' in line
            break
    assert said == 200
    status = Path(f"/proc/{pod.pid}/status").read_text()
    (peak,) = re.findall(r"^VmHWM:\s+(\d+) kB", status, re.M)
    pod.kill()
    # They are 100 MB.
    assert int(peak) < 150_000


def test_slow_statements_are_logged_and_quick_ones_are_not(any_database: Database, pod: Pod) -> None:
    text = "CREATE TABLE t (x int); INSERT INTO t SELECT 1 FROM generate_series(1, 7), pg_sleep(1.2); DELETE FROM t"
    alone = "INSERT INTO t SELECT 2 FROM generate_series(1, 3), pg_sleep(1.2)"
    ended = pod.run(order(migration("1", text), migration("2", alone)), keys_of(any_database))
    assert ended.code == 0, ended.text
    said = [(s["version"], s["statement"], s["of"], s["tag"], s["rows"]) for s in ended.events("statement")]
    # On a slow machine any statement may be slow.
    assert ("1", 2, 3, "INSERT 0 7", 7) in said
    assert ("2", 1, 1, "INSERT 0 3", 3) in said
    assert {s["version"] for s in ended.events("statement")} == {"1", "2"}


def test_rows_that_are_thrown_away_are_counted(any_database: Database, pod: Pod) -> None:
    lots = ("SELECT generate_series(1, 3)", "SELECT generate_series(1, 512)", "SELECT generate_series(1, 600)")
    texts = ("CREATE TABLE t (x int)", *lots, "INSERT INTO t SELECT generate_series(1, 5) RETURNING x")
    ended = pod.run(order(migration("1", ";\n".join(texts), transaction="Never")), keys_of(any_database))
    assert ended.code == 0, ended.text
    said = [(s["tag"], s["rows"]) for s in ended.events("statement")]
    assert said == [
        ("CREATE TABLE", 0),
        ("SELECT 3", 3),
        ("SELECT 512", 512),
        ("SELECT 600", 600),
        ("INSERT 0 5", 5),
    ]


def test_many_statements_do_not_flood_the_log(database: Database, pod: Pod) -> None:
    text = "CREATE TABLE t (x int);\n" + "INSERT INTO t VALUES (1);\n" * 10_000
    ended = pod.run(order(migration("1", text)), keys_of(database))
    assert ended.code == 0, ended.text
    assert len(ended.lines) < 100
