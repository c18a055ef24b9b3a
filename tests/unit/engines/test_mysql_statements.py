"""What statements are, what is refused, and what a definition is about."""

from typing import Any

import pytest

from lockstep.api.reasons import Reason
from lockstep.engines.base import Action, RunError
from lockstep.engines.mysql.apply import admit
from lockstep.engines.mysql.channel import SqlError
from lockstep.engines.mysql.one_by_one import Meaning
from lockstep.engines.mysql.statements import Kind, SqlScript, kind_of, read_script
from lockstep.engines.mysql.subjects import Settling, Subject, effect_of, judge, temporary_tables
from lockstep.planning.plan import Candidate, Direction, Step
from servers.runner import migration


def action(text: str, **more: Any) -> Action:
    made = migration("7", text, **more)
    return Action(Step(Direction.UP, Candidate(made.name, None, made.up_checksum)), made)


def script(text: str, **more: Any) -> SqlScript:
    return read_script(action(text, **more))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("INSERT INTO t VALUES (1)", Kind.PLAIN),
        ("WITH x AS (SELECT 1) SELECT * FROM x", Kind.PLAIN),
        ("(SELECT 1) UNION (SELECT 2)", Kind.PLAIN),
        ("ROLLBACK TO SAVEPOINT s", Kind.PLAIN),
        ("ANALYZE SELECT 1", Kind.PLAIN),
        ("LOAD DATA INFILE 'x' INTO TABLE t", Kind.PLAIN),
        ("CREATE TABLE t (x int)", Kind.COMMITS),
        ("/*!40000 ALTER TABLE t DISABLE KEYS */", Kind.COMMITS),
        ("CREATE OR REPLACE VIEW v AS SELECT 1", Kind.COMMITS),
        ("TRUNCATE t", Kind.COMMITS),
        ("ANALYZE TABLE t", Kind.COMMITS),
        ("LOAD INDEX INTO CACHE t", Kind.COMMITS),
        ("SET PASSWORD = 'x'", Kind.COMMITS),
        ("START REPLICA", Kind.COMMITS),
        ("SET STATEMENT max_statement_time = 1 FOR ALTER TABLE t ADD x int", Kind.COMMITS),
        ("SET STATEMENT max_statement_time = 1 FOR SELECT 1", Kind.PLAIN),
        ("SET @x = 1", Kind.SESSION),
        ("SET NAMES latin1", Kind.SESSION),
        ("CREATE TEMPORARY TABLE t (x int)", Kind.SESSION),
        ("CREATE OR REPLACE TEMPORARY TABLE t (x int)", Kind.SESSION),
        ("DROP TEMPORARY TABLE t", Kind.SESSION),
        ("PREPARE p FROM 'SELECT 1'", Kind.SESSION),
        ("DROP PREPARE p", Kind.SESSION),
        ("CALL p()", Kind.OPAQUE),
        ("EXECUTE p", Kind.OPAQUE),
        ("BEGIN NOT ATOMIC SELECT 1; END", Kind.OPAQUE),
        ("IF 1 THEN SELECT 1; END IF", Kind.OPAQUE),
        ("SOMETHING NEW", Kind.OPAQUE),
    ],
)
def test_what_a_statement_is(text: str, kind: Kind) -> None:
    [part] = script(text).parts
    assert kind_of(part.words) is kind


@pytest.mark.parametrize(
    "text",
    [
        "BEGIN",
        "BEGIN WORK",
        "START TRANSACTION",
        "COMMIT",
        "ROLLBACK",
        "XA START 'x'",
        "LOCK TABLES t WRITE",
        "UNLOCK TABLES",
        "LOCK INSTANCE FOR BACKUP",
        "FLUSH TABLES t WITH READ LOCK",
        "FLUSH TABLES t /* x */ FOR EXPORT",
        "BACKUP LOCK t",
        "SELECT release_all_locks()",
        "DO RELEASE_ALL_LOCKS()",
        "KILL 7",
        "SHUTDOWN",
        "USE other",
        "SET autocommit = 0",
        "SET @@session.`autocommit` = 0",
        "SET sql_log_bin = 0",
        "SET completion_type = 'CHAIN'",
        "SET TRANSACTION READ ONLY",
        "/*!40000 SET TRANSACTION ISOLATION LEVEL SERIALIZABLE */",
        "SET @x = 1, @@transaction_read_only = 1",
        "SET @@`tx_read_only` := 1",
        "/*!40101 SET SQL_LOG_BIN = 0 */",
        "SET GLOBAL max_connections = 7",
        "SET @x = 1, GLOBAL max_connections = 7",
        "SET @@global.max_connections = 7",
        "SET PERSIST max_connections = 7",
        "SET sql_mode = 'ANSI_QUOTES'",
        "SET SESSION sql_mode = CONCAT(@@sql_mode, ',NO_BACKSLASH_ESCAPES')",
        "SET sql_mode = oracle",
        "SET @@sql_mode = 1048576",
        "SET time_zone = '+00:00', `sql_mode` := 0x4",
        "LOAD DATA LOCAL INFILE 'x' INTO TABLE t",
        "DELETE FROM lockstep_history",
        "DROP TABLE x, `db`.`Lockstep_Run`",
        "CREATE TABLE lockstep_runs (x int)",
        "CREATE TEMPORARY TABLE IF NOT EXISTS `Lockstep_x` LIKE t",
        "/*!50001 CREATE VIEW d.lockstep_v AS SELECT 1 */",
        "CREATE SEQUENCE lockstep_s",
        "ALTER TABLE t ADD COLUMN a int, RENAME TO lockstep_t",
        "RENAME TABLE a TO b, c TO lockstep_c",
        "PREPARE p FROM 'DROP TABLE lockstep_run'",
        "EXECUTE IMMEDIATE 'DROP TABLE lockstep_run'",
        "DELIMITER $$\nSELECT 1$$\nsource x.sql",
        "SELECT 1 \\G",
        "SELECT '",
    ],
)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(RunError) as caught:
        script(f"SELECT 1;\n  {text}" if not text.startswith("DELIMITER") else text)
    assert caught.value.reason is Reason.STATEMENT_REFUSED
    assert "line " in caught.value.message
    assert "column " in caught.value.message


def test_all_that_a_dump_has_around_its_sql_is_named_at_once() -> None:
    lines = ["CREATE TABLE t (a int);", "USE x;", "LOCK TABLES t WRITE;", "SET autocommit = 0;", "SELECT 1;", "COMMIT;"]
    with pytest.raises(RunError) as caught:
        script("\n".join(lines))
    assert "line 2, column 1: USE is refused" in caught.value.message
    assert caught.value.message.endswith("; more is refused in line 3, 4, 6")
    with pytest.raises(RunError) as caught:
        script("\n".join(["BEGIN;", *lines, "SET sql_mode = 'ANSI';", "COMMIT;", "USE y;"]))
    assert caught.value.message.endswith(
        "remove it, and those in line 7, 9 too; more is refused in line 3, 4, 5, 8, 10"
    )


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO t VALUES ('BEGIN; COMMIT; USE x; lockstep_run')",
        "SELECT 1 -- lockstep_run",
        "SELECT 1 /* RELEASE_ALL_LOCKS() */",
        "CREATE TABLE my_lockstep_run (x int)",
        "CREATE TABLE t (lockstep_x int)",
        "CREATE TABLE t LIKE lockstep_x",
        "ALTER TABLE t ADD COLUMN lockstep_x int",
        # Those that are there may be taken away.
        "RENAME TABLE lockstep_x TO x",
        "ALTER TABLE lockstep_x RENAME TO x",
        "DROP TABLE lockstep_x",
        "CREATE INDEX lockstep_i ON lockstep_x (a)",
        "CREATE PROCEDURE lockstep_p() SELECT 1",
        "SELECT * FROM t AS lockstep_t",
        "SET @global_x = 1, @y = 'GLOBAL'",
        "SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO'",
        "/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */",
        "SELECT GET_LOCK('mine', 1), RELEASE_LOCK('mine')",
        "SAVEPOINT s",
        "RELEASE SAVEPOINT s",
        "CREATE PROCEDURE p() BEGIN START TRANSACTION; COMMIT; END",
        "FLUSH TABLES",
    ],
)
def test_what_is_let_through(text: str) -> None:
    assert script(text).statements == 1


def test_all_of_a_texts_transaction_control_is_named_at_once() -> None:
    with pytest.raises(
        RunError, match=r"line 1, column 1: START TRANSACTION is .*; remove it, and those in line 3 too$"
    ):
        script("START TRANSACTION;\nINSERT INTO t VALUES (1);\nCOMMIT;")


def test_always_refuses_what_commits() -> None:
    assert script("INSERT INTO t VALUES (1)", transaction="Always").transactional
    with pytest.raises(RunError, match="statement 2, line 2, column 1: CREATE TABLE commits by itself"):
        script("SELECT 1;\nCREATE TABLE t (x int)", transaction="Always")


def test_what_is_looked_for_in_the_session() -> None:
    found = script("SET @a = 1, @`b c` = 2; SELECT @@x, 'p@q', @D.e INTO @f; PREPARE `p` FROM 'SELECT 1'; EXECUTE p")
    assert found.variables == ("a", "b c", "d.e", "f")
    assert found.prepared == ("p",)
    assert found.touches_session
    assert not script("INSERT INTO t VALUES (1)").touches_session
    heads = script(
        "CREATE TEMPORARY TABLE IF NOT EXISTS `a``b` (x int); CREATE OR REPLACE TEMPORARY TABLE d.t (x int)"
    ).heads
    assert temporary_tables(heads) == (Subject("table", None, "a`b"), Subject("table", "d", "t"))


def test_the_names_of_locks_are_read_as_they_stand_there() -> None:
    found = script(
        "DO GET_LOCK('a', 1), get_lock ( N'b''\\'c' \"d\", 1); SELECT GET_LOCK(_utf8mb4 'e', 1), GET_LOCK('a', 2);"
        "SELECT GET_LOCK(@f, 1), GET_LOCK(CONCAT('g', 'h'), 1), 'GET_LOCK(''i'', 1)'; SELECT RELEASE_LOCK('j')"
    )
    assert found.locks == ("'a'", "N'b''\\'c' \"d\"", "_utf8mb4 'e'")


T, U = Subject("table", None, "t"), Subject("table", None, "u")


@pytest.mark.parametrize(
    ("sql", "subjects"),
    [
        ("CREATE TABLE IF NOT EXISTS `a`.`b c` (x int)", [Subject("table", "a", "b c")]),
        ("create unique index i using btree on t (x)", [T]),
        ("ALTER TABLE t ADD COLUMN x int, RENAME TO u", [T, U]),
        ("ALTER IGNORE TABLE t RENAME u", [T, U]),
        ("ALTER TABLE t RENAME COLUMN a TO b, RENAME INDEX i TO j", [T]),
        ("DROP TABLE IF EXISTS t, d.u CASCADE", [T, Subject("table", "d", "u")]),
        ("RENAME TABLE t TO u, d.x TO d.y", [T, U, Subject("table", "d", "x"), Subject("table", "d", "y")]),
        ("CREATE DEFINER=`a`@`b` SQL SECURITY INVOKER VIEW v AS SELECT 1", [Subject("view", None, "v")]),
        ("CREATE DEFINER=root@localhost PROCEDURE p() SELECT 1", [Subject("procedure", None, "p")]),
        ("DROP FUNCTION IF EXISTS f", [Subject("function", None, "f")]),
        ("CREATE TRIGGER x AFTER INSERT ON t FOR EACH ROW SET @a = 1", [Subject("trigger", None, "x")]),
        ("CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1", [Subject("event", None, "e")]),
        ("DROP INDEX i ON t", [T]),
        ("CREATE SCHEMA s", [Subject("database", None, "s")]),
        ("/*!50001 CREATE VIEW v AS SELECT 1 */", [Subject("view", None, "v")]),
        ("-- hint\nDROP /* all */ TABLE t", [T]),
        (
            "CREATE LIBRARY IF NOT EXISTS l LANGUAGE JAVASCRIPT AS $$ export function f() {} $$",
            [Subject("library", None, "l")],
        ),
        ("ALTER LIBRARY d.l COMMENT 'x'", [Subject("library", "d", "l")]),
    ],
)
def test_what_a_definition_is_about(sql: str, subjects: list[Subject]) -> None:
    found = effect_of(sql)
    assert (found.settling, list(found.subjects)) == (Settling.IMAGE, subjects)


@pytest.mark.parametrize(
    ("sql", "fills"),
    [
        ("CREATE TABLE t (x int) ENGINE = MyISAM", False),
        ("CREATE TABLE t LIKE u", False),
        ("CREATE INDEX i ON t (x)", False),
        ("CREATE VIEW t AS SELECT 1", False),
        ("CREATE TABLE t (x int) ENGINE = MyISAM AS SELECT 1 AS x", True),
        ("CREATE TABLE t (SELECT 1 AS x)", True),
        ("CREATE OR REPLACE TABLE t AS WITH a AS (SELECT 1) TABLE a", True),
        ("CREATE TABLE t TABLE u", True),
        (f"CREATE TABLE t (x varchar(9) COMMENT '{'x' * 4000}')", True),
    ],
)
def test_what_puts_rows_into_what_it_makes(sql: str, fills: bool) -> None:
    assert effect_of(sql).fills is fills


@pytest.mark.parametrize(
    ("renamed", "turns"),
    [
        ("t TO u", False),
        ("t TO old, new TO t", False),
        ("t TO u, u TO v", False),
        ("t TO x, u TO t, x TO u", True),
        ("t TO x, u TO t, v TO u, x TO v", True),
        # One that is named with its database may be the same one as without.
        ("t TO d.x, u TO t, x TO u", True),
    ],
)
def test_tables_that_change_places(renamed: str, turns: bool) -> None:
    assert effect_of(f"RENAME TABLE {renamed}").turns is turns


@pytest.mark.parametrize(
    ("sql", "settling"),
    [
        ("GRANT ALL ON x.* TO y", Settling.AGAIN),
        ("OPTIMIZE TABLE t", Settling.AGAIN),
        ("TRUNCATE TABLE t", Settling.EMPTY),
        ("REVOKE ALL ON x.* FROM y", Settling.NEVER),
        ("CREATE USER x", Settling.NEVER),
        ("CREATE USER event IDENTIFIED BY 'x'", Settling.NEVER),
        ("CREATE ROLE view", Settling.NEVER),
        ("RENAME USER x TO y", Settling.NEVER),
        ("ALTER TABLE t TRUNCATE PARTITION p", Settling.NEVER),
        ("ALTER TABLE t EXCHANGE PARTITION p WITH TABLE u", Settling.NEVER),
        ("INSTALL PLUGIN x SONAME 'y'", Settling.NEVER),
        ("CALL p()", Settling.NEVER),
        ("", Settling.NEVER),
    ],
)
def test_how_the_rest_is_told(sql: str, settling: Settling) -> None:
    assert effect_of(sql).settling is settling


@pytest.mark.parametrize(
    ("before", "now", "drops", "happened"),
    [
        (["a"], ["a"], False, False),
        (["a"], ["b"], False, True),
        ([None], ["a"], False, True),
        ([None], [None], False, False),
        (["a"], [None], True, True),
        (["a", None], [None, None], True, True),
        (["a", "b"], [None, "b"], True, None),
        ([None, "b"], [None, "b"], True, False),
        (["a", None], [None, "a"], False, True),
        # t -> tmp, u -> t, tmp -> u
        (["a", None, "b"], ["b", None, "a"], False, True),
        (["a", None, "b"], [None, "a", "b"], False, None),
    ],
)
def test_what_objects_say(before: list[str | None], now: list[str | None], drops: bool, happened: bool | None) -> None:
    assert judge(before, now, drops=drops) is happened


def test_what_is_gone_has_not_been_made() -> None:
    """MariaDB's OR REPLACE drops the table first, and may never come to make the other."""
    assert effect_of("CREATE OR REPLACE TABLE t AS SELECT 1").makes
    assert not effect_of("ALTER TABLE t RENAME TO u").makes
    assert judge(["a"], [None], drops=False, makes=True) is None
    assert judge(["a"], ["b"], drops=False, makes=True) is True
    assert judge([None], [None], drops=False, makes=True) is False


def test_what_only_the_server_can_tell() -> None:
    letters = "ü" * 600
    text = f"SELECT 1;\nSELECT '{letters}'"
    admit(action(text), script(text), 1300, "db")
    with pytest.raises(RunError, match="statement 2, line 2: it has 1210 bytes, and the server takes 1209"):
        admit(action(text), script(text), 1209, "db")
    for drop in ("DROP DATABASE db", "drop schema if exists `DB`"):
        with pytest.raises(RunError, match="the ledger is in it"):
            admit(action(drop), script(drop), 1300, "db")
    admit(action("DROP DATABASE other"), script("DROP DATABASE other"), 1300, "db")


@pytest.mark.parametrize(
    ("sql", "number", "text", "expected"),
    [
        ("CALL p()", 1305, "PROCEDURE db.p does not exist", True),
        ("CALL P", 1305, "PROCEDURE db.p does not exist", True),
        ("CALL `other`.`a b`(1)", 1305, "PROCEDURE other.a b does not exist", True),
        ("CALL p()", 1370, "execute command denied to user 'a'@'%' for routine 'db.p'", True),
        ("CALL p()", 1305, "PROCEDURE db.pp does not exist", False),
        ("CALL p()", 1305, "PROCEDURE other.p does not exist", False),
        ("CALL p()", 1305, "FUNCTION db.p does not exist", False),
        ("CALL p()", 1370, "execute command denied to user 'a'@'%' for routine 'db.q'", False),
        ("CALL p()", 1318, "Incorrect number of arguments for PROCEDURE db.p; expected 1, got 0", False),
        ("BEGIN NOT ATOMIC CALL p(); END", 1305, "PROCEDURE db.p does not exist", False),
    ],
)
def test_a_call_that_has_not_reached_its_procedure(sql: str, number: int, text: str, expected: bool) -> None:
    words = tuple(sql.split("(", maxsplit=1)[0].split()[:3])
    assert Meaning(Kind.OPAQUE, sql, words).never_began(SqlError(number, text), "db") is expected


@pytest.mark.parametrize(
    ("sql", "number", "expected"),
    [
        ("BEGIN NOT ATOMIC DROP TABLE t; SELECT 1 INTO x; END", 1327, True),
        ("IF 1 THEN LEAVE x; END IF", 1308, True),
        ("IF 1 THEN SELECT 'call x'; LEAVE x; END IF", 1308, True),
        # These may be what something else is that it runs.
        ("CALL p()", 1327, False),
        ("BEGIN NOT ATOMIC DROP TABLE t; EXECUTE IMMEDIATE 'SELECT 1 INTO x'; END", 1327, False),
        ("IF 1 THEN CALL p(); END IF", 1308, False),
        ("IF 1 THEN DROP TABLE t; END IF", 1051, False),
    ],
)
def test_blocks_that_could_not_be_read(sql: str, number: int, expected: bool) -> None:
    words = tuple(sql.split()[:3])
    assert Meaning(Kind.OPAQUE, sql, words).never_began(SqlError(number, "x"), "db") is expected


@pytest.mark.parametrize(
    ("sql", "number", "expected"),
    [
        ("ALTER TABLE t TRUNCATE PARTITION p", 1300, True),
        ("ALTER TABLE t TRUNCATE PARTITION p", 1735, True),
        ("ALTER TABLE t TRUNCATE PARTITION p", 1205, False),
        ("REVOKE SELECT ON t FROM x", 1103, True),
        ("DROP USER x", 1470, True),
        ("DROP USER x", 1146, False),
        ("CREATE USER x, y", 1300, True),
        ("CREATE OR REPLACE USER x, y", 1300, False),
        # What its objects tell is asked of them.
        ("CREATE TABLE t (x int)", 1059, False),
        # These may be the rows'.
        ("INSERT INTO kept SELECT f(x) FROM t", 1300, False),
        ("CALL p()", 1300, False),
        ("BEGIN NOT ATOMIC ALTER TABLE t TRUNCATE PARTITION p; END", 1300, False),
    ],
)
def test_names_that_are_none(sql: str, number: int, expected: bool) -> None:
    [part] = script(sql).parts
    kind = kind_of(part.words)
    # As where rows go to a table without transactions.
    found = Meaning(Kind.OPAQUE if kind is Kind.PLAIN else kind, sql, part.words, part.keywords)
    assert found.never_began(SqlError(number, "x"), "db") is expected
