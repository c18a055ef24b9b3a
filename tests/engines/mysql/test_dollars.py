"""Dollars: to MySQL 9 a text may stand between them, to MariaDB they are letters of a name."""

from engines.mysql.words import Pods, done, keys, tables
from lockstep.planning.wire import Policy
from servers.mariadb import MariaDatabase
from servers.runner import Pod, migration, order

JAVASCRIPT = """
CREATE LIBRARY l LANGUAGE JAVASCRIPT AS $$ export function f(n) { return n; } $$;
CREATE FUNCTION f(n INT) RETURNS INT LANGUAGE JAVASCRIPT USING (l) AS $js$
  // don't; $$ end;
  return l.f(n);
$js$;
DELIMITER $$
CREATE PROCEDURE p() BEGIN SELECT 1; END$$
DELIMITER ;
CREATE TABLE u (x int);
"""


def test_bodies_between_dollars(mysql_database: MariaDatabase, pods: Pods) -> None:
    """The server keeps them whether it has what would run them or not."""
    database = mysql_database
    wanted = migration("1", JAVASCRIPT, "DROP TABLE u; DROP PROCEDURE p; DROP FUNCTION f; DROP LIBRARY l")
    done(pods().run(order(wanted), keys(database)))
    ask = f"SELECT {{0}}_NAME, {{0}}_DEFINITION FROM information_schema.{{1}} WHERE {{0}}_SCHEMA = '{database.name}'"
    routines, libraries = ask.format("ROUTINE", "ROUTINES"), ask.format("LIBRARY", "LIBRARIES")
    assert sorted(database.query(routines)) == [
        ("f", "\n  // don't; $$ end;\n  return l.f(n);\n"),
        ("p", "BEGIN SELECT 1; END"),
    ]
    assert database.query(libraries) == [("l", " export function f(n) { return n; } ")]
    assert tables(database) == {"u"}
    done(pods().run(order(wanted, target="base", policy=Policy(rollback="Allow")), keys(database)))
    assert (database.query(routines), database.query(libraries), tables(database)) == ([], [], set())


def test_names_of_dollars(maria_database: MariaDatabase, pod: Pod) -> None:
    text = "CREATE TABLE $$ AS SELECT 1 AS $a$; CREATE TABLE $a$ AS SELECT 2 AS $$; DROP TABLE $$"
    done(pod.run(order(migration("1", text)), keys(maria_database)))
    assert maria_database.query("SELECT $$ FROM $a$") == [(2,)]
