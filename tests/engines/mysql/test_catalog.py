"""Changes made by hand, whatever they are made on."""

import pytest

from engines.mysql.words import done, keys
from lockstep.planning.wire import Mode, OrderedMigration
from servers.mariadb import MariaDatabase
from servers.runner import Pod, migration, order

SCHEMA = migration(
    "1",
    """
    CREATE TABLE p (id int PRIMARY KEY, name varchar(20) NOT NULL DEFAULT 'x', KEY by_name (name));
    CREATE TABLE c (id int PRIMARY KEY, p int, CONSTRAINT fk FOREIGN KEY (p) REFERENCES p (id),
        CONSTRAINT positive CHECK (id > 0));
    CREATE TABLE parts (id int) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10));
    CREATE VIEW v AS SELECT id FROM p;
    CREATE PROCEDURE proc(a int) SELECT a;
    CREATE FUNCTION f(a int) RETURNS int DETERMINISTIC RETURN a;
    CREATE TRIGGER trg BEFORE INSERT ON p FOR EACH ROW SET NEW.name = 'y';
    CREATE EVENT e ON SCHEDULE EVERY 1 DAY DISABLE DO DELETE FROM p;
    CREATE EVENT e2 ON SCHEDULE AT '2037-01-01 00:00:00' ON COMPLETION PRESERVE DISABLE DO DELETE FROM p;
    CREATE TABLE subs (id int, d date) PARTITION BY RANGE (id) SUBPARTITION BY HASH (TO_DAYS(d))
        (PARTITION p0 VALUES LESS THAN (10));
    CREATE TABLE `odd "name` (`a b` int)
    """,
)
CHANGES = {
    "a table": ("CREATE TABLE n (x int)", "added table {}.n"),
    "an odd name": ("CREATE TABLE `a b` (x int)", 'added table {}."a b"'),
    "a column": ("ALTER TABLE p ADD COLUMN x int", "added column {}.p.x"),
    "a type": ("ALTER TABLE p MODIFY name varchar(30) NOT NULL DEFAULT 'x'", "changed column {}.p.name"),
    "a default": ("ALTER TABLE p ALTER name SET DEFAULT 'z'", "changed column {}.p.name"),
    "a collation": (
        "ALTER TABLE p MODIFY name varchar(20) COLLATE utf8mb4_bin NOT NULL DEFAULT 'x'",
        "changed column {}.p.name",
    ),
    "an index": ("CREATE INDEX n ON p (name, id)", "added index {0}.n of {0}.p"),
    "an index that is gone": ("DROP INDEX by_name ON p", "removed index {0}.by_name of {0}.p"),
    "a foreign key": ("ALTER TABLE c DROP FOREIGN KEY fk", "removed constraint {}.c.fk"),
    "a check": ("ALTER TABLE c DROP CONSTRAINT positive", "removed constraint {}.c.positive"),
    "a partition": ("ALTER TABLE parts ADD PARTITION (PARTITION p1 VALUES LESS THAN (20))", "changed table {}.parts"),
    "a comment": ("ALTER TABLE parts COMMENT 'by hand'", "changed table {}.parts"),
    "a view": ("CREATE OR REPLACE VIEW v AS SELECT name FROM p", "changed view {}.v"),
    "a procedure": ("DROP PROCEDURE proc", "removed procedure {}.proc"),
    "a function": ("ALTER FUNCTION f COMMENT 'by hand'", "changed function {}.f"),
    "a trigger": ("DROP TRIGGER trg", "removed trigger {}.p.trg"),
    "an event": ("ALTER EVENT e ON SCHEDULE EVERY 2 DAY", "changed event {}.e"),
    "what is sub-partitioned by": (
        "ALTER TABLE subs PARTITION BY RANGE (id) SUBPARTITION BY HASH (YEAR(d)) (PARTITION p0 VALUES LESS THAN (10))",
        "changed table {}.subs",
    ),
    "an event's comment": ("ALTER EVENT e COMMENT 'by hand'", "changed event {}.e"),
    "an event that ends": ("ALTER EVENT e2 COMMENT 'by hand'", "changed event {}.e2"),
}
OF_MARIADB = {
    "a sequence": ("ALTER SEQUENCE s INCREMENT 5", "changed sequence {}.s"),
    "an index that is ignored": ("ALTER TABLE p ALTER INDEX by_name IGNORED", "changed index {0}.by_name of {0}.p"),
    "a table that keeps versions": ("ALTER TABLE c ADD SYSTEM VERSIONING", "changed table {}.c"),
    "a view's algorithm": ("ALTER ALGORITHM = TEMPTABLE VIEW v AS SELECT id FROM p", "changed view {}.v"),
}
OF_MYSQL = {
    "an index that is not used": ("ALTER TABLE p ALTER INDEX by_name INVISIBLE", "changed index {0}.by_name of {0}.p"),
    "a library": ("CREATE LIBRARY l LANGUAGE JAVASCRIPT AS $$ export function f() {} $$", "added library {}.l"),
}


def is_seen(change: str, said: str, database: MariaDatabase, pod: Pod, schema: OrderedMigration = SCHEMA) -> None:
    done(pod.run(order(schema), keys(database)))
    again = done(pod.run(order(schema, mode=Mode.CHECK), keys(database))).result.drift
    assert again is not None
    assert again.drifted is False
    database.query(change)
    found = done(pod.run(order(schema, mode=Mode.CHECK), keys(database))).result.drift
    assert found is not None
    assert found.drifted
    assert found.message == f"changed by hand: {said.format(database.name)}"


@pytest.mark.parametrize(("change", "said"), CHANGES.values(), ids=CHANGES.keys())
def test_a_change_is_seen(change: str, said: str, database: MariaDatabase, pod: Pod) -> None:
    is_seen(change, said, database, pod)


@pytest.mark.parametrize(("change", "said"), OF_MARIADB.values(), ids=OF_MARIADB.keys())
def test_a_change_is_seen_on_mariadb(change: str, said: str, maria_database: MariaDatabase, pod: Pod) -> None:
    is_seen(change, said, maria_database, pod, migration("1", f"{SCHEMA.up}; CREATE SEQUENCE s"))


@pytest.mark.parametrize(("change", "said"), OF_MYSQL.values(), ids=OF_MYSQL.keys())
def test_a_change_is_seen_on_mysql(change: str, said: str, mysql_database: MariaDatabase, pod: Pod) -> None:
    is_seen(change, said, mysql_database, pod)


def test_packages_are_seen(maria_database: MariaDatabase, pod: Pod) -> None:
    done(pod.run(order(SCHEMA), keys(maria_database)))
    with maria_database.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET sql_mode = ORACLE")
        cursor.execute("CREATE PACKAGE pk AS FUNCTION f RETURN INT; END")
        cursor.execute("CREATE PACKAGE BODY pk AS FUNCTION f RETURN INT AS BEGIN RETURN 1; END; END")
    found = done(pod.run(order(SCHEMA, mode=Mode.CHECK), keys(maria_database))).result.drift
    assert found is not None
    name = f"{maria_database.name}.pk"
    assert found.message == f"changed by hand: added package body {name}, package {name}"


def test_what_goes_by_itself_is_no_change(database: MariaDatabase, pod: Pod) -> None:
    """Events that have come to their end, and the values of a sequence."""
    ends = "ON SCHEDULE AT CURRENT_TIMESTAMP + INTERVAL 1 DAY"
    text = f"CREATE EVENT e {ends} DO SELECT 1; CREATE EVENT kept {ends} ON COMPLETION PRESERVE DO SELECT 1"
    maria = "MariaDB" in str(database.query("SELECT VERSION()"))
    made = migration("1", f"{text}; CREATE SEQUENCE s" if maria else text)
    done(pod.run(order(made), keys(database)))
    # As the server does it.
    for sql in ("DROP EVENT e", "ALTER EVENT kept DISABLE", *(["SELECT NEXTVAL(s)"] if maria else [])):
        database.query(sql, admin=False)
    found = done(pod.run(order(made, mode=Mode.CHECK), keys(database))).result.drift
    assert found is not None
    assert found.drifted is False, found.message


def test_rows_and_counters_are_no_change(database: MariaDatabase, pod: Pod) -> None:
    table = migration("1", "CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY, x int)")
    done(pod.run(order(table), keys(database)))
    database.query("INSERT INTO t (x) VALUES (1), (2), (3)")
    database.query("ANALYZE TABLE t")
    found = done(pod.run(order(table, mode=Mode.CHECK), keys(database))).result.drift
    assert found is not None
    assert found.drifted is False


def test_many_tables(maria_database: MariaDatabase, pod: Pod) -> None:
    with maria_database.connect() as connection, connection.cursor() as cursor:
        for number in range(1000):
            cursor.execute(f"CREATE TABLE t{number} (id int PRIMARY KEY, a int, b varchar(20), KEY (a, b))")
    done(pod.run(order(migration("1", "SELECT 1"), baseline="1"), keys(maria_database)))
    ended = done(pod.run(order(migration("1", "SELECT 1"), baseline="1", mode=Mode.CHECK), keys(maria_database)))
    assert ended.result.drift is not None
    assert ended.result.drift.drifted is False
    assert maria_database.query("SELECT count(*) FROM lockstep_objects") == [(1000 * 6,)]
