"""MySQL's splitter: what is cut, where, and that nothing is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.engines.mysql.lexer import LexError, split
from support.examples import examples
from support.pieces_mysql import GAP, PROGRAM, SIMPLE
from support.splitting import check_alone, check_apart, cut, joined, scripts, take_hostile


def texts(sql: str) -> list[str]:
    return cut(split, sql)


WHOLE = {
    "string": r"SELECT 'a\';b''c;'",
    "double": r'SELECT "a\";b"";c;"',
    "name": "SELECT `a``;\\` FROM `b;`",
    "introducer": "SELECT N';', _utf8mb4';', x'3b', b'1'",
    "null": "SELECT \\N",
    "two-minuses": "SELECT 1--1",
    "dashes": "SELECT 1 -- ; '\n + 2",
    "dashes-alone": "SELECT 1 --\n + 2",
    "hash": "SELECT 1 # ; '\n + 2",
    "block": "SELECT /* ; ' */ 1",
    "block-does-not-nest": "SELECT /* /* ; */ 1",
    "block-in-an-operator": "SELECT 2*/* ; */3",
    "hint": "SELECT /*+ MAX_EXECUTION_TIME(1); */ 1",
    "conditional": "/*!50110 SET @a = ';' */",
    "conditional-semicolon": "/*! SELECT 1; */",
    "conditional-mariadb": "/*M!100100 SELECT */ 1",
    "conditional-with-a-comment": "/*! SELECT /* ; */ 1 */",
    "conditional-in-an-expression": "CREATE FUNCTION f() RETURNS INT RETURN CASE WHEN 1 THEN 1 ELSE /*! '' */ END",
    "sandbox": r"SELECT /*M!999999\- enable; the sandbox */ 1",
    "conditional-end": "CREATE FUNCTION f() RETURNS INT RETURN CASE WHEN 1 THEN 1 /*!50000 END */",
    "just-text": """SELECT '{{ a }}', "${b}", `<% c %>{% d %}`, '{"a":true}', :name, %s, ?, 5 % 2, {d '2020-01-01'}""",
    "columns": "CREATE TABLE t (`end` INT, begin INT, `if` INT, delimiter INT)",
    "one-statement": "CREATE PROCEDURE p() SELECT IF(1, 2, 3), REPEAT('x', 2)",
    "return": "CREATE FUNCTION f() RETURNS CHAR RETURN CASE WHEN 1 THEN IF(1, 2, 3) END",
    "loadable": "CREATE AGGREGATE FUNCTION f RETURNS STRING SONAME 'f.so'",
    "types": "CREATE FUNCTION f() RETURNS SET('a') CHARACTER SET utf8 COLLATE x BEGIN RETURN 1; END",
    "char": "CREATE FUNCTION f() RETURNS CHAR BEGIN RETURN 1; END",
    "nested": "CREATE PROCEDURE p() BEGIN BEGIN END; IF 1 THEN BEGIN SELECT 1; END; END IF; END",
    "names": "CREATE TRIGGER t BEFORE INSERT ON x FOR EACH ROW BEGIN SET NEW.end = x.begin; SET @end = OLD.case; END",
    "end-as-a-value": "CREATE PROCEDURE p() BEGIN SET end = 1; SELECT CASE WHEN end THEN end ELSE end END; END",
    "end-in-a-condition": "CREATE PROCEDURE p() BEGIN IF CASE WHEN end THEN 1 END THEN SELECT 1; END IF; END",
    "if": "CREATE PROCEDURE p() IF a THEN SELECT 1; ELSEIF IF(1, 2, 3) THEN SELECT 2; ELSE SELECT 3; END IF",
    "case": "CREATE PROCEDURE p() CASE CASE a WHEN 1 THEN 2 END WHEN 2 THEN SELECT 1; ELSE BEGIN END; END CASE",
    "loops": "CREATE PROCEDURE p() BEGIN a: LOOP LEAVE a; END LOOP a; `b`: WHILE 1 DO DO IF(1, 2, 3); END WHILE; END",
    "until": "CREATE PROCEDURE p() REPEAT SET a = 1; UNTIL CASE a WHEN 1 THEN 2 END END REPEAT",
    "for": "CREATE PROCEDURE p() FOR i IN (SELECT 1; ) DO SELECT 1; END FOR",
    "handlers": (
        "CREATE PROCEDURE p() BEGIN DECLARE c CONDITION FOR SQLSTATE '42000'; DECLARE x CURSOR FOR SELECT IF(1, 2, 3);"
        " DECLARE EXIT HANDLER FOR SQLSTATE VALUE '23000', c, 1062 BEGIN SELECT 1; END;"
        " DECLARE CONTINUE HANDLER FOR NOT FOUND SET done = IF(1, 2, 3);"
        " DECLARE UNDO HANDLER FOR SQLEXCEPTION IF 1 THEN SELECT 1; END IF; SELECT 1; END"
    ),
    "handler-loop": "CREATE PROCEDURE p() BEGIN DECLARE EXIT HANDLER FOR SQLEXCEPTION"
    " FOR i IN 1..2 DO SELECT 1; END FOR; END",
    "definer": "CREATE DEFINER = event@`%` PROCEDURE begin.p(a INT) COMMENT 'begin' SQL SECURITY INVOKER BEGIN END",
    "follows": "CREATE TRIGGER t AFTER DELETE ON x FOR EACH ROW FOLLOWS begin BEGIN SELECT 1; END",
    "event": "CREATE EVENT e ON SCHEDULE EVERY IF(1, 2, 3) DAY ON COMPLETION PRESERVE DO BEGIN SELECT 1; END",
    "alter-event": "ALTER EVENT e RENAME TO f DO BEGIN SELECT 1; END",
    "mysqldump": "/*!50003 CREATE*/ /*!50017 DEFINER=`a`@`b`*/ /*!50003 TRIGGER t AFTER DELETE ON x FOR EACH ROW BEGIN"
    " SELECT 1; END */",
    "not-atomic": "BEGIN NOT ATOMIC SELECT 1; END",
    "not-atomic-label": "a: BEGIN NOT ATOMIC LEAVE a; END",
    "bare-if": "IF 1 THEN SELECT 1; END IF",
    "bare-for": "FOR i IN 1..3 DO SELECT i; END FOR",
    "label": "a: LOOP LEAVE a; END LOOP a",
}


@pytest.mark.parametrize("sql", WHOLE.values(), ids=WHOLE.keys())
def test_is_one_statement(sql: str) -> None:
    assert texts(sql) == [sql]
    assert texts(f"\n{sql}\n ;\n/* x */ {sql}\n;;") == [sql, sql]
    assert texts(f"DELIMITER //\n{sql}// {sql};\n//\ndelimiter ;\n{sql};SELECT 1") == [sql, sql, sql, "SELECT 1"]


def test_a_transaction_is_no_body() -> None:
    sql = "BEGIN; SELECT 1; COMMIT; START TRANSACTION; BEGIN WORK; XA BEGIN 'x'; XA END 'x'"
    assert texts(sql) == sql.split("; ")


JAVASCRIPT = "CREATE FUNCTION f(n INT) RETURNS INT LANGUAGE JAVASCRIPT"
DOLLARS = {
    "no-tag": f"{JAVASCRIPT} AS $$ let a = `${{n}}`; return 'don\\'t; */ $$",
    "tag": f"{JAVASCRIPT} AS $js$ return '$$;' + $j$s$; // it's $js$",
    "odd-tag": f"{JAVASCRIPT} AS $1_é$ $1_È$; $1_é$",
    "one-more-dollar": f"{JAVASCRIPT} AS $$$; $$",
    "comments": f"{JAVASCRIPT} AS -- $$;\n /* ; */ $$ {{{{ a }}}}; $$",
    "procedure": "CREATE PROCEDURE p() COMMENT 'as' LANGUAGE JS AS $$ begin; $$",
    "library": "CREATE LIBRARY IF NOT EXISTS l LANGUAGE JAVASCRIPT AS $$ export function f() {return 1;} $$",
    "libraries": f"{JAVASCRIPT} USING (l AS m) AS $$ m.f(); $$",
    "mysqldump": "/*!50003 CREATE*/ /*!50020 DEFINER=`a`@`b`*/ /*!50003 FUNCTION f() RETURNS int"
    " LANGUAGE JAVASCRIPT AS $$ return /* ; */ 1; $$ */",
    "wrong-language": "CREATE FUNCTION f() RETURNS INT LANGUAGE SQL AS $$ return 1; $$",
}


@pytest.mark.parametrize("sql", DOLLARS.values(), ids=DOLLARS.keys())
def test_a_body_between_dollars_is_a_text(sql: str) -> None:
    assert texts(f"{sql};SELECT 1; {sql}") == [sql, "SELECT 1", sql]
    # The client looks for its delimiter in no text.
    assert texts(f"DELIMITER ;;\n{sql};;SELECT 1;;\nDELIMITER //\n{sql}// SELECT 1//") == [
        sql,
        "SELECT 1",
        sql,
        "SELECT 1",
    ]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 AS $$; SELECT 2 AS $$",
        "SELECT 1 $a$; SELECT 2 $a$",
        "CREATE TABLE $$ AS SELECT 1; DROP TABLE $$",
        "CREATE TABLE t AS $$; SELECT $$",
        "CREATE VIEW v AS $$; SELECT $$",
        "CREATE FUNCTION $$() RETURNS INT RETURN 1; DROP FUNCTION $$",
        "CREATE PROCEDURE p() SELECT 1 AS $$; SELECT 2 AS $$",
        "CREATE FUNCTION f() RETURNS INT RETURN (SELECT 1 AS $$); SELECT 2 AS $$",
        "CREATE PROCEDURE p(a INT DEFAULT (SELECT 1 AS $$)) SELECT 1; SELECT 2 AS $$",
        "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1 AS $$; SELECT 2 AS $$",
        "CREATE FUNCTION f() RETURNS INT LANGUAGE JAVASCRIPT AS @$$; SELECT $$",
        "CREATE FUNCTION f() RETURNS INT LANGUAGE JAVASCRIPT AS $js; SELECT $js",
        "CREATE FUNCTION f() RETURNS INT LANGUAGE JAVASCRIPT AS a.$$; SELECT $$",
        "CREATE FUNCTION f() RETURNS INT LANGUAGE JAVASCRIPT AS 'return 1;'; SELECT $$",
    ],
)
def test_dollars_elsewhere_are_names(sql: str) -> None:
    assert texts(sql) == sql.split("; ")


def test_a_delimiter_of_dollars_comes_first() -> None:
    head = "CREATE FUNCTION f() RETURNS INT LANGUAGE JAVASCRIPT AS"
    script = f"DELIMITER $$\n{head} $js$ return '$$;' $js$$$ {head} $$ SELECT 1 $$\nSELECT 2 AS x$$"
    assert texts(script) == [f"{head} $js$ return '$$;' $js$", head, "SELECT 1", "SELECT 2 AS x"]
    body = "BEGIN SELECT 1; END"
    assert texts(f"DELIMITER $$\nCREATE PROCEDURE p()\n{body}$$\nSELECT 2 $$\nDELIMITER ;\nSELECT 3; SELECT 4;") == [
        f"CREATE PROCEDURE p()\n{body}",
        "SELECT 2",
        "SELECT 3",
        "SELECT 4",
    ]


@pytest.mark.parametrize("delimiter", ["$$", "//", ";;", "|", "go", "é", "'$'", "--", "@", "!*"])
def test_any_delimiter(delimiter: str) -> None:
    sign = delimiter.strip("'")
    sql = f"DeLiMiTeR\t{delimiter}  not read;\nSELECT 1{sign}SELECT `{sign}`, '{sign}' /* {sign} */ , 2{sign}\n"
    assert texts(f"{sql}  DELIMITER ;\nSELECT 3;SELECT 4") == [
        "SELECT 1",
        f"SELECT `{sign}`, '{sign}' /* {sign} */ , 2",
        "SELECT 3",
        "SELECT 4",
    ]


def test_a_delimiter_ends_what_no_end_does() -> None:
    package = "CREATE PACKAGE p AS PROCEDURE q(); END"
    assert texts(f"DELIMITER $$\n{package};$$ CREATE PROCEDURE p() BEGIN SELECT 1; $$ SELECT 1") == [
        f"{package};",
        "CREATE PROCEDURE p() BEGIN SELECT 1;",
        "SELECT 1",
    ]


def test_dashes_without_a_blank_are_a_comment_where_a_statement_begins() -> None:
    assert texts("--a;\nSELECT 1;--b;\n--\n SELECT 1\n--1;") == ["SELECT 1", "SELECT 1\n--1"]


def test_words_and_keywords() -> None:
    use, lock, commit, setting, mode = split(
        "use `a`; lock tables a read; /*!40000 COMMIT */; SET @@session.autocommit = (0); SET `sql_mode` = ''"
    )
    assert (use.words, lock.words[:2], commit.words) == (("USE",), ("LOCK", "TABLES"), ("COMMIT",))
    assert setting.words == ("SET", "SESSION", "AUTOCOMMIT")
    assert setting.keywords == {"AUTOCOMMIT"}
    assert mode.keywords == {"SQL_MODE"}


def test_every_statement_knows_its_place() -> None:
    sql = "\ufeff-- one\r\nSELECT\n1;\nDELIMITER //\n  SELECT 2// /*\n*/ SELECT 3"
    assert [(part.number, part.line, part.column) for part in split(sql)] == [(1, 2, 1), (2, 5, 3), (3, 6, 4)]


@pytest.mark.parametrize(
    ("sql", "line", "column", "says"),
    [
        ("SELECT 1;\n  'a''\\'", 2, 3, "a string (')"),
        ('SELECT "', 1, 8, 'a string (")'),
        ("SELECT `", 1, 8, "a quoted name"),
        ("SELECT 1 /* x", 1, 10, "a comment"),
        ("SELECT 1; /*! x", 1, 11, "a conditional comment"),
        ("SELECT 1;\nCREATE PROCEDURE p() BEGIN SELECT 1;", 2, 1, "no END"),
        ("CREATE PACKAGE p AS PROCEDURE q(); END;", 1, 1, "DELIMITER"),
        (f"SELECT 1;\n{'CREATE PROCEDURE p() LANGUAGE JAVASCRIPT AS'} $a$ ; $A$", 2, 45, "text ($a$) has no end"),
        ("SELECT 1\\G", 1, 9, "semicolon"),
        ("SELECT 1 \\g", 1, 10, "semicolon"),
        ("\n \\. file.sql", 2, 2, "client"),
        ("\tsource file.sql", 1, 2, "SOURCE"),
        ("SELECT 1; quit", 1, 11, "QUIT"),
        ("SELECT 1; DELIMITER //", 1, 11, "beginning of a line"),
        ("DELIMITER", 1, 1, "needs a string"),
        ("DELIMITER \\\\\n", 1, 1, "needs a string"),
        ("SELECT a\x00", 1, 9, "zero byte"),
        ("SELECT {{ x }}", 1, 8, "template"),
        ("{% if a %}", 1, 1, "template"),
        ("CREATE TABLE t_${ENV} ()", 1, 16, "template"),
        ("CREATE TABLE ${ENV}.t ()", 1, 14, "template"),
        ("SELECT a <%= b %>", 1, 10, "template"),
    ],
)
def test_is_refused_at_its_place(sql: str, line: int, column: int, says: str) -> None:
    with pytest.raises(LexError) as caught:
        list(split(sql))
    assert (caught.value.line, caught.value.column) == (line, column)
    assert says in caught.value.message


@given(scripts(st.one_of(joined(SIMPLE, GAP), joined(PROGRAM, GAP)), GAP, size=3))
def test_what_is_put_together_comes_apart(made: tuple[str, list[str]]) -> None:
    check_apart(split, made)


TOKENS = ["BEGIN", "END", "IF", "CASE", "THEN", "LOOP", "DO", "CREATE PROCEDURE p()", "x", ";", ":", ",", "'", '"', "`"]


@examples(300)
@given(
    st.one_of(
        st.text(alphabet="aN'\"`$();/*!M-#\\{%<é \r\n", max_size=60), st.lists(st.sampled_from(TOKENS)).map(" ".join)
    )
)
def test_any_text_is_split_or_refused(sql: str) -> None:
    check_alone(split, sql)


HOSTILE = {
    "opened comments": "/*",
    "conditionals": "/*!",
    "closed": "*/",
    "dollars": "$",
    "quotes": "'",
    "escapes": "\\'",
    "names": "`",
    "parens": "(",
    "semicolons": ";",
    "begins": "BEGIN ",
    "cases": "CASE ",
    "labels": "a:",
    "dashes": "-",
    "digits": "1",
    "delimiters": "DELIMITER $$\n",
    "blanks": " \n",
}
OPENINGS = (
    *("SELECT 1;", "SELECT '", "/*", "/*! ", "CREATE PROCEDURE p() BEGIN ", "DELIMITER //\n", "DELIMITER "),
    *("CREATE LIBRARY l AS ", "CREATE LIBRARY l AS $$"),
)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("repeated", HOSTILE.values(), ids=HOSTILE.keys())
def test_time_is_linear_on_hostile_texts(repeated: str) -> None:
    take_hostile(split, repeated, *OPENINGS)
