"""What one migration does to its session reaches neither the ledger nor the next one."""

import pytest

from engines.mysql.words import applied, done, journal, keys, tables
from lockstep.api.reasons import Reason
from lockstep.engines.mysql.lock import lock_name
from lockstep.engines.mysql.session import SQL_MODES
from servers.mariadb import MariaDatabase
from servers.runner import Pod, migration, order

LOG = "CREATE TABLE log (name varchar(64) PRIMARY KEY, value text)"
NAMES = (
    "@@sql_mode",
    "@@time_zone",
    "@@foreign_key_checks",
    "@@unique_checks",
    "@@autocommit",
    "@@character_set_client",
    "@@collation_connection",
    "@@group_concat_max_len",
    "@@sql_select_limit",
    "@@max_sort_length",
    "@@div_precision_increment",
    "@@optimizer_switch",
    "@@lc_time_names",
    "@@default_storage_engine",
    "@@sort_buffer_size",
    "@x",
    "@`y z`",
    "DATABASE()",
)
LOOK = "".join(f"REPLACE INTO log VALUES ({name!r}, {name});" for name in NAMES)
DIRTY = """
SET NAMES latin1;
SET sql_mode = '', time_zone = '-07:00', foreign_key_checks = 0, unique_checks = 0, group_concat_max_len = 7;
SET SESSION sql_select_limit = 3, max_sort_length = 64, div_precision_increment = 9, lc_time_names = 'de_DE';
SET optimizer_switch = 'index_merge=off', sort_buffer_size = 40000;
SET default_storage_engine = MyISAM;
SET @x = 7, @`y z` = 8;
CREATE TEMPORARY TABLE tmp (x int);
CREATE TEMPORARY TABLE log2 LIKE log;
PREPARE p FROM 'SELECT 1';
SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED, READ WRITE;
SET timestamp = 1000000000, lock_wait_timeout = 3, innodb_lock_wait_timeout = 3;
"""


def seen(database: MariaDatabase) -> dict[object, object]:
    return {row[0]: row[1] for row in database.query("SELECT name, value FROM log")}


def test_the_session_of_every_migration_is_the_same(database: MariaDatabase, pod: Pod) -> None:
    wanted = [migration("1", LOG), migration("2", LOOK), migration("3", DIRTY), migration("4", LOOK)]
    done(pod.run(order(*wanted[:2]), keys(database)))
    clean = seen(database)
    kind = "MariaDB" if "MariaDB" in str(database.query("SELECT VERSION()")) else "MySQL"
    assert sorted(str(clean["@@sql_mode"]).split(",")) == sorted(SQL_MODES[kind].split(","))
    assert (clean["@@time_zone"], clean["@@character_set_client"], clean["@x"]) == ("+00:00", "utf8mb4", None)
    ended = done(pod.run(order(*wanted), keys(database)))
    assert seen(database) == clean
    assert not ended.events("session_not_reset")


def test_what_is_left_in_the_session_is_gone(database: MariaDatabase, pod: Pod) -> None:
    wanted = [migration("1", LOG), migration("2", DIRTY)]
    done(pod.run(order(*wanted), keys(database)))
    for number, text in enumerate(("INSERT INTO tmp VALUES (1)", "INSERT INTO log2 VALUES ('a', 'b')", "EXECUTE p")):
        ended = pod.run(order(*wanted, migration("3", text, name=f"orders-3-{number}")), keys(database))
        assert ended.result.reason in {Reason.STATEMENT_FAILED, Reason.PARTIAL}, text
        database.query("DELETE FROM lockstep_journal")


def test_locks_that_are_named_end_with_their_migration(database: MariaDatabase, pod: Pod) -> None:
    """Lockstep's own stays, however often a migration takes it; of a name that is computed nothing is known."""
    own = lock_name(database.name, "orders")
    taken = [
        migration("2", "DO GET_LOCK('mine', 0); SELECT GET_LOCK ('mine', 0), `GET_LOCK`(\"it's\" ' mine' , 0)"),
        migration("3", f"SET @x = GET_LOCK(N'third', 0), @y = 'other'; DO GET_LOCK(@y, 0), GET_LOCK('{own}', 0)"),
    ]
    names = ("mine", "it''s mine", "third", "other", own)
    look = "".join(f"INSERT INTO log VALUES ('{name}', IS_USED_LOCK('{name}') = CONNECTION_ID());" for name in names)
    done(pod.run(order(migration("1", LOG), *taken, migration("4", look)), keys(database)))
    assert seen(database) == {"mine": None, "it's mine": None, "third": None, "other": "1", own: "1"}


def test_one_run_that_goes_on_after_what_is_dirty(database: MariaDatabase, pod: Pod) -> None:
    """In the same session: the time and the letters of the ledger are right, and rows are checked again."""
    wanted = [
        migration("1", "CREATE TABLE p (x int PRIMARY KEY); CREATE TABLE c (x int, FOREIGN KEY (x) REFERENCES p (x))"),
        migration("2", DIRTY.replace("CREATE TEMPORARY TABLE log2 LIKE log;", "")),
        migration("3", "INSERT INTO c VALUES (1)", description="ünïcode 🐘"),
    ]
    ended = pod.run(order(*wanted), keys(database))
    assert ended.result.error is not None
    assert (ended.result.reason, ended.result.error.version) == (Reason.STATEMENT_FAILED, "3"), ended.text
    assert "1452" in ended.result.message
    [(at,)] = database.query("SELECT at FROM lockstep_history WHERE version = '2'")
    assert str(at) > "2026"


def test_each_migration_waits_for_locks_as_it_says(database: MariaDatabase, pod: Pod) -> None:
    look = "INSERT INTO waits VALUES ({}, @@lock_wait_timeout, @@innodb_lock_wait_timeout)"
    own = "SET lock_wait_timeout = 50; "
    wanted = [
        migration("1", "CREATE TABLE waits (version int, tables int, rows_ int)"),
        migration("2", look.format(2), lock_timeout_ms=2000),
        migration("3", look.format(3), lock_timeout_ms=2000),
        migration("4", look.format(4)),
        migration("5", own + look.format(5), lock_timeout_ms=3000),
        migration("6", look.format(6), lock_timeout_ms=3000),
    ]
    done(pod.run(order(*wanted), keys(database)))
    assert database.query("SELECT * FROM waits ORDER BY version") == [
        (2, 2, 2),
        (3, 2, 2),
        (4, 5, 5),
        (5, 50, 3),
        (6, 3, 3),
    ]


def test_a_migration_of_its_own_letters(database: MariaDatabase, pod: Pod) -> None:
    """What is recorded is written in the ledger's letters, whatever the SQL has set."""
    named = migration("1", "SET NAMES latin1; CREATE TABLE t (x int)", description="ünïcode 🐘", name="orders-ü")
    done(pod.run(order(named), keys(database)))
    assert database.query("SELECT name, description FROM lockstep_history") == [("orders-ü", "ünïcode 🐘")]


@pytest.mark.parametrize(
    "names",
    ["latin1", "latin1 COLLATE latin1_german2_ci", "gbk", "sjis", "utf8mb4 COLLATE utf8mb4_unicode_ci", "binary"],
)
def test_what_is_noted_under_other_letters(names: str, database: MariaDatabase, pod: Pod) -> None:
    made = f"SET NAMES {names}; SET sql_mode = ''; CREATE TABLE a (x int); CREATE TABLE `b\\` (y int)"
    half = f"{made}; INSERT INTO a VALUES (1); CREATE TABLE c (x int); CREATE TABLE a (z int)"
    ended = pod.run(order(migration("1", half)), keys(database))
    assert ended.result.error is not None, ended.text
    assert (ended.result.reason, ended.result.error.statement) == (Reason.STATEMENT_FAILED, 7), ended.text
    assert journal(database) == [("1", number, "finished") for number in (3, 4, 5, 6)]
    done(pod.run(order(migration("1", half.replace("a (z", "d (z"))), keys(database)))
    assert tables(database) == {"a", "b\\", "c", "d"}


def test_what_is_answered_in_other_letters(database: MariaDatabase, pod: Pod) -> None:
    """Names of columns that are no UTF-8 then, and definitions and warnings with such names."""
    made = migration("1", "CREATE TABLE t (`größe` varchar(3) NOT NULL COMMENT 'ü'); INSERT INTO t VALUES ('a')")
    changes = (
        "SET NAMES latin1; SET sql_mode = ''; SELECT * FROM t; INSERT INTO t () VALUES (); SET character_set_client = "
        "utf8mb4; UPDATE t SET `größe` = 'abcd'; ALTER TABLE t ADD COLUMN x int; DELETE FROM t"
    )
    done(pod.run(order(made, migration("2", changes), migration("3", "DROP TABLE t")), keys(database)))
    assert tables(database) == set()


def test_what_a_query_puts_into_variables_ends_with_it(database: MariaDatabase, pod: Pod) -> None:
    taken = migration("2", "SELECT 7 INTO @x; SELECT @`y z` := 8")
    done(pod.run(order(migration("1", LOG), taken, migration("3", LOOK)), keys(database)))
    assert [seen(database)[name] for name in ("@x", "@`y z`")] == [None, None]


@pytest.mark.parametrize("text", ["SET ROLE NONE; SELECT 1", "SET ROLE NONE; CREATE TABLE t (x int)"])
def test_the_ledger_is_written_as_who_the_session_began_as(text: str, database: MariaDatabase, pod: Pod) -> None:
    user, admin = f"u_{database.name}", database.server.admin
    maria = "MariaDB" in str(database.query("SELECT VERSION()"))
    for sql in (
        f"CREATE ROLE r_{database.name}",
        f"GRANT ALL ON {database.name}.* TO r_{database.name}",
        f"CREATE USER {user} IDENTIFIED BY 'x'",
        f"GRANT r_{database.name} TO {user}",
        f"GRANT CREATE, SELECT ON {database.name}.* TO {user}",
        f"SET DEFAULT ROLE r_{database.name} {'FOR' if maria else 'TO'} {user}",
    ):
        admin(sql)
    three = migration("3", "CREATE TABLE seen AS SELECT CURRENT_ROLE() AS role")
    secret = {**keys(database), "user": user, "password": "x"}
    done(pod.run(order(migration("1", "SELECT 1"), migration("2", text), three), secret))
    assert applied(database) == ["1", "2", "3"]
    assert f"r_{database.name}" in str(database.query("SELECT role FROM seen"))


def test_a_session_that_reads_only_is_noted(database: MariaDatabase, pod: Pod) -> None:
    """What it forbids is the SQL's own error, and no word about the database."""
    text = "CREATE TABLE t (x int); SET SESSION TRANSACTION READ ONLY; SELECT 1; CREATE TABLE u (x int)"
    ended = pod.run(order(migration("1", text)), keys(database))
    assert ended.result.error is not None, ended.text
    assert (ended.result.reason, ended.result.error.statement) == (Reason.STATEMENT_FAILED, 4), ended.text
    assert journal(database) == [("1", 1, "finished"), ("1", 3, "finished")]


def test_names_are_compared_letter_by_letter(database: MariaDatabase, pod: Pod) -> None:
    one = migration(None, "SELECT 1", name="orders-a")
    other = migration(None, "SELECT 1", name="orders-A")
    done(pod.run(order(one, other), keys(database)))
    assert database.query("SELECT count(*) FROM lockstep_repeatable") == [(2,)]
    assert done(pod.run(order(one, other), keys(database))).result.applied == 0


SERVERS_OWN = {
    "rows": ("sql_select_limit", "1"),
    "joins": ("max_join_size", "1"),
    "row format": ("innodb_default_row_format", "compact"),
    "transactions": ("init_connect", "'SET autocommit = 0, completion_type = 1'"),
}


@pytest.mark.parametrize(("name", "value"), SERVERS_OWN.values(), ids=SERVERS_OWN.keys())
def test_what_the_server_sets_for_everybody(name: str, value: str, database: MariaDatabase, pod: Pod) -> None:
    [(before,)] = database.query(f"SELECT @@global.{name}")
    database.server.admin(f"SET GLOBAL {name} = {value}")
    try:
        text = "CREATE TABLE t (x int); INSERT INTO t VALUES (1), (2); CREATE TABLE u AS SELECT a.x FROM t a JOIN t b"
        done(pod.run(order(migration("1", text)), keys(database)))
        done(pod.run(order(migration("1", text), migration("2", "INSERT INTO u SELECT x FROM t")), keys(database)))
    finally:
        with database.connect(admin=True) as connection, connection.cursor() as cursor:
            cursor.execute(f"SET GLOBAL {name} = %s", (before,))
    assert applied(database) == ["1", "2"]
    assert database.query("SELECT count(*) FROM u") == [(6,)]


@pytest.mark.parametrize("mode", ["ANSI_QUOTES", "NO_BACKSLASH_ESCAPES"])
def test_the_servers_own_mode_does_not_count(mode: str, maria_database: MariaDatabase, pod: Pod) -> None:
    database = maria_database
    [(before,)] = database.query("SELECT @@global.sql_mode")
    database.server.admin(f"SET GLOBAL sql_mode = '{mode}'")
    try:
        text = "CREATE TABLE t (x varchar(20)); INSERT INTO t VALUES (\"a;b\"), ('c\\';d')"
        done(pod.run(order(migration("1", text)), keys(database)))
    finally:
        database.server.admin(f"SET GLOBAL sql_mode = '{before}'")
    assert database.query("SELECT x FROM t ORDER BY x") == [("a;b",), ("c';d",)]
    assert applied(database) == ["1"]


@pytest.mark.parametrize("limit", ["sql_select_limit = 1", "sql_select_limit = 10", "max_join_size = 2"])
def test_the_servers_own_limit_of_rows_does_not_count(limit: str, maria_database: MariaDatabase, pod: Pod) -> None:
    """Some set one for people who ask; the ledger would be read by half, and what it does not show run again."""
    database = maria_database
    twelve = [migration(str(n), f"INSERT INTO t VALUES ({n})") for n in range(2, 14)]
    some = (migration("1", "CREATE TABLE t (x int PRIMARY KEY)"), *twelve)
    database.server.admin(f"SET GLOBAL {limit}")
    try:
        done(pod.run(order(*some[:12]), keys(database)))
        ended = done(pod.run(order(*some), keys(database)))
    finally:
        database.server.admin(f"SET GLOBAL {limit.partition(' ')[0]} = DEFAULT")
    assert (ended.result.applied, ended.result.version) == (1, "13")
    assert len(applied(database)) == 13
