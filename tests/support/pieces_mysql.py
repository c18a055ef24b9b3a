"""SQL of MySQL and MariaDB, as tokens, with semicolons wherever one ends nothing."""

from hypothesis import strategies as st

from support.splitting import Texts, Tokens, flat, one, quoted

GAP = st.one_of(
    st.sampled_from([" ", "\n", "\r\n", "\t"]),
    quoted(" /*", "*/ ", "a;'\"-\\$\n"),
    quoted(" -- ", "\n", "a;'\"/*\\$"),
    quoted(" #", "\n", "a;'\"/*\\$"),
)
PLAIN = st.one_of(
    st.sampled_from(["1", "1.5", "NULL", "'%s :name {\"a\":true} ? {{x}} ${y} <% z %>'", "x'4f'", "0x4f", "1--1"]),
    quoted("'", "'", 'a;"$/*-\n'),
    quoted('"', '"', "a;'$/*-\n"),
    quoted("'", "'", 'ab;"').map(lambda text: text.replace("a", "\\'").replace("b", "''")),
    quoted('"', '"', "ab;'").map(lambda text: text.replace("a", '\\"').replace("b", '""')),
    quoted("N'", "'", "a;"),
    quoted("_utf8mb4'", "'", "a;"),
)
# Conditional comments do not nest: the first `*/` ends them all.
CONDITIONAL = quoted("/*! '", "' */", "a;*/")


def expressions(literal: Texts) -> Tokens:
    """Return expressions over literals."""
    return st.recursive(
        one(literal),
        lambda inner: st.one_of(
            flat("(", inner, ")"),
            flat("CASE WHEN", inner, "THEN", inner, "ELSE", inner, "END"),
            flat("IF (", inner, ",", inner, ",", inner, ")"),
            flat("REPEAT (", inner, ", 1 )"),
        ),
        max_leaves=4,
    )


def whole(tokens: Tokens) -> Tokens:
    """Return one token of them: the client errs about comments in conditional comments, the server does not."""
    return tokens.map(lambda found: [" ".join(found)])


def inserts(expression: Tokens) -> Tokens:
    """Return statements that leave an expression's value in the table."""
    return flat("INSERT INTO log ( s ) VALUES ( CONCAT (", expression, ") )")


def bodies(simple: Tokens, expression: Tokens) -> Tokens:
    """Return what may stand in a stored program."""
    return st.recursive(
        simple,
        lambda inner: st.one_of(
            flat("BEGIN", inner, ";", inner, "; END"),
            flat("BEGIN END"),
            flat("IF", expression, "THEN", inner, "; ELSEIF", expression, "THEN", inner, "; ELSE", inner, "; END IF"),
            flat("CASE", expression, "WHEN", expression, "THEN", inner, "; ELSE", inner, "; END CASE"),
            flat("REPEAT", inner, "; UNTIL 1 END REPEAT"),
            flat("WHILE 0 AND", expression, "DO", inner, "; END WHILE"),
            flat("FOR i IN 1 .. 2 DO", inner, "; END FOR"),
            flat("x : LOOP", inner, "; LEAVE x ; END LOOP x"),
            flat("BEGIN DECLARE EXIT HANDLER FOR SQLEXCEPTION", inner, ";", inner, "; END"),
            flat("BEGIN DECLARE CONTINUE HANDLER FOR NOT FOUND , 1062 BEGIN END ;", inner, "; END"),
            flat("SET @x = ( SELECT CASE WHEN end THEN end END FROM other LIMIT 1 )"),
        ),
        max_leaves=4,
    )


EXPRESSION = expressions(st.one_of(PLAIN, CONDITIONAL))
PLAIN_EXPRESSION = expressions(PLAIN)
PLAIN_BODY = bodies(inserts(PLAIN_EXPRESSION), PLAIN_EXPRESSION)
SIMPLE = st.one_of(
    inserts(EXPRESSION),
    inserts(EXPRESSION),
    flat("SET @begin =", EXPRESSION),
    whole(flat("/*!", inserts(PLAIN_EXPRESSION), "*/")),
    whole(flat("/*M!100100 INSERT */ INTO log ( s ) VALUES ( 1 )")),
)
BODY = bodies(SIMPLE, EXPRESSION)
PROGRAM = st.one_of(
    flat("CREATE OR REPLACE PROCEDURE p ( IN a INT )", BODY),
    flat("CREATE OR REPLACE DEFINER = CURRENT_USER ( ) PROCEDURE q ( ) MODIFIES SQL DATA COMMENT 'begin;'", BODY),
    flat("CREATE OR REPLACE FUNCTION f ( ) RETURNS CHAR CHARACTER SET utf8mb4 RETURN", EXPRESSION),
    flat("CREATE OR REPLACE FUNCTION f ( ) RETURNS SET('a','b') DETERMINISTIC BEGIN", BODY, "; RETURN 1 ; END"),
    flat("CREATE OR REPLACE TRIGGER r BEFORE INSERT ON other FOR EACH ROW", BODY),
    whole(
        flat("/*!50003 CREATE */ /*!50020 OR REPLACE TRIGGER r AFTER INSERT ON other FOR EACH ROW", PLAIN_BODY, "*/")
    ),
    flat("CREATE OR REPLACE EVENT e ON SCHEDULE EVERY IF ( 1 , 2 , 3 ) DAY DISABLE DO", BODY),
    flat("BEGIN NOT ATOMIC", BODY, "; END"),
)
