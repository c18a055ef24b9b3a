"""SQL of MySQL and MariaDB, as tokens, with semicolons wherever one ends nothing."""

from hypothesis import strategies as st

from support.splitting import Tokens, flat, one, quoted

GAP = st.one_of(
    st.sampled_from([" ", "\n", "\r\n", "\t"]),
    quoted(" /*", "*/ ", "a;'\"-\\$\n"),
    quoted(" -- ", "\n", "a;'\"/*\\$"),
    quoted(" #", "\n", "a;'\"/*\\$"),
)
LITERAL = st.one_of(
    st.sampled_from(["1", "1.5", "NULL", "'%s :name {\"a\":true} ? {{x}} ${y} <% z %>'", "x'4f'", "0x4f", "1--1"]),
    quoted("'", "'", 'a;"$/*-\n'),
    quoted('"', '"', "a;'$/*-\n"),
    quoted("'", "'", 'ab;"').map(lambda text: text.replace("a", "\\'").replace("b", "''")),
    quoted('"', '"', "ab;'").map(lambda text: text.replace("a", '\\"').replace("b", '""')),
    quoted("N'", "'", "a;"),
    quoted("_utf8mb4'", "'", "a;"),
    quoted("/*! '", "' */", "a;*/"),
)
EXPRESSION: Tokens = st.recursive(
    one(LITERAL),
    lambda inner: st.one_of(
        flat("(", inner, ")"),
        flat("CASE WHEN", inner, "THEN", inner, "ELSE", inner, "END"),
        flat("IF (", inner, ",", inner, ",", inner, ")"),
        flat("REPEAT (", inner, ", 1 )"),
    ),
    max_leaves=4,
)
INSERT = flat("INSERT INTO log ( s ) VALUES ( CONCAT (", EXPRESSION, ") )")
SIMPLE = st.one_of(
    INSERT,
    INSERT,
    flat("SET @begin =", EXPRESSION),
    flat("/*! INSERT INTO log ( s ) VALUES ( CONCAT (", EXPRESSION, ") ) */"),
    flat("/*M!100100 INSERT */ INTO log ( s ) VALUES ( 1 )"),
)
BODY: Tokens = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        flat("BEGIN", inner, ";", inner, "; END"),
        flat("BEGIN END"),
        flat("IF", EXPRESSION, "THEN", inner, "; ELSEIF", EXPRESSION, "THEN", inner, "; ELSE", inner, "; END IF"),
        flat("CASE", EXPRESSION, "WHEN", EXPRESSION, "THEN", inner, "; ELSE", inner, "; END CASE"),
        flat("REPEAT", inner, "; UNTIL 1 END REPEAT"),
        flat("WHILE 0 AND", EXPRESSION, "DO", inner, "; END WHILE"),
        flat("BEGIN DECLARE EXIT HANDLER FOR SQLEXCEPTION", inner, ";", inner, "; END"),
        flat("BEGIN DECLARE CONTINUE HANDLER FOR NOT FOUND , 1062 BEGIN END ;", inner, "; END"),
        flat("BEGIN DECLARE end INT ; SET end = CASE WHEN end THEN end END ; END"),
    ),
    max_leaves=4,
)
PROGRAM = st.one_of(
    flat("CREATE OR REPLACE PROCEDURE p ( IN a INT )", BODY),
    flat("CREATE OR REPLACE DEFINER = CURRENT_USER ( ) PROCEDURE q ( ) MODIFIES SQL DATA COMMENT 'begin;'", BODY),
    flat("CREATE OR REPLACE FUNCTION f ( ) RETURNS CHAR CHARACTER SET utf8mb4 RETURN", EXPRESSION),
    flat("CREATE OR REPLACE FUNCTION f ( ) RETURNS SET('a','b') DETERMINISTIC BEGIN", BODY, "; RETURN 1 ; END"),
    flat("CREATE OR REPLACE TRIGGER r BEFORE INSERT ON other FOR EACH ROW", BODY),
    flat("/*!50003 CREATE */ /*!50020 OR REPLACE TRIGGER r AFTER INSERT ON other FOR EACH ROW", BODY, "*/"),
    flat("CREATE OR REPLACE EVENT e ON SCHEDULE EVERY IF ( 1 , 2 , 3 ) DAY DISABLE DO", BODY),
    flat("BEGIN NOT ATOMIC", BODY, "; END"),
)
