"""Valid SQL of PostgreSQL, as tokens, with semicolons wherever one ends nothing."""

from hypothesis import strategies as st

from support.splitting import Tokens, flat, one, quoted

GAP = st.one_of(
    st.sampled_from([" ", "\n", "\r\n", "\t", " \f "]),
    quoted(" /*", "*/ ", "a;'\"-\\$\n"),
    quoted(" /* /*", "*/;*/", "a;'\"-\\$\n"),
    quoted(" --", "\n", "a;'\"/*\\$"),
)
LITERAL = st.one_of(
    st.sampled_from(["1", "1.5", "NULL", "$1", "'%s :name {\"a\":true} ? {{x}} ${y} <% z %>'", "B'01'", "X'0f'"]),
    quoted("'", "'", 'a;"$/*-\\\n'),
    quoted("E'", "'", "a;$/*-\n").map(lambda text: text.replace("a", "\\'")),
    quoted("'it''s", "'", "a;\\"),
    quoted("$t$", "$t$", "a;'\"/*-\\\n$"),
    quoted("$$", "$$", "a;'\"/*-\\\n"),
    quoted("U&'", "'", "a;"),
)
NAME = st.one_of(st.sampled_from(["a", "b$c", "é", "t.end", "t.case"]), quoted('"x', '"', "a;'$/*-\\"))
EXPRESSION: Tokens = st.recursive(
    one(st.one_of(LITERAL, NAME)),
    lambda inner: st.one_of(
        flat("(", inner, ")"),
        flat(inner, one(st.sampled_from(["+", "-", "||", "<%", "%", "*"])), inner),
        flat("CASE WHEN", inner, "THEN", inner, "ELSE", inner, "END"),
        flat("case", inner, "when", inner, "then", inner, "end"),
    ),
    max_leaves=4,
)
COLUMN = st.one_of(
    EXPRESSION, flat(EXPRESSION, "AS", one(st.sampled_from(["x", "end", "case", '"a;b"']))), flat("1 end")
)
QUERY = st.one_of(
    flat("SELECT", COLUMN),
    flat("SELECT", COLUMN, ",", COLUMN, "FROM t"),
    flat("DELETE FROM t WHERE", EXPRESSION),
    flat("INSERT INTO t VALUES (", EXPRESSION, ")"),
)
QUERIES = st.lists(QUERY, max_size=3).map(lambda found: [token for tokens in found for token in [*tokens, ";"]])
STATEMENT = st.one_of(
    QUERY,
    flat("CREATE FUNCTION f ( ) RETURNS int BEGIN ATOMIC", QUERIES, "END"),
    flat("create or replace procedure p ( ) begin atomic", QUERIES, "end"),
    flat("CREATE RULE r AS ON INSERT TO t DO ALSO (", QUERY, ";", QUERY, ")"),
    flat("DO", one(quoted("$b$", "$b$", "a;'\"\n"))),
    flat("CREATE FUNCTION g ( ) RETURNS int LANGUAGE sql AS", one(quoted("'", "'", "a;"))),
)
