"""Changes made by hand, whatever they are made on."""

import pytest

from engines.mysql.words import done, keys
from lockstep.planning.wire import Mode
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
}


@pytest.mark.parametrize(("change", "said"), CHANGES.values(), ids=CHANGES.keys())
def test_a_change_is_seen(change: str, said: str, database: MariaDatabase, pod: Pod) -> None:
    done(pod.run(order(SCHEMA), keys(database)))
    again = done(pod.run(order(SCHEMA, mode=Mode.CHECK), keys(database))).result.drift
    assert again is not None
    assert again.drifted is False
    database.query(change)
    found = done(pod.run(order(SCHEMA, mode=Mode.CHECK), keys(database))).result.drift
    assert found is not None
    assert found.drifted
    assert found.message == f"changed by hand: {said.format(database.name)}"


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
