"""SQL of SQLite, as tokens, with semicolons wherever one ends nothing."""

from hypothesis import strategies as st

from support.splitting import Tokens, flat, one, quoted

GAP = st.one_of(
    st.sampled_from([" ", "\n", "\r\n", "\t"]),
    quoted(" /*", "*/ ", "a;'\"-\\$\n"),
    quoted(" --", "\n", "a;'\"/*\\$"),
)
LITERAL = st.one_of(
    st.sampled_from(["1", "1.5", "NULL", "'%s :name {\"a\":true} ? {{x}} ${y} <% z %>'", "x'4f'"]),
    quoted("'", "'", 'a;"$/*-\\\n'),
    quoted("'it''s", "'", "a;\\"),
)
EXPRESSION: Tokens = st.recursive(
    one(LITERAL),
    lambda inner: st.one_of(
        flat("(", inner, ")"),
        flat("CASE WHEN", inner, "THEN", inner, "ELSE", inner, "END"),
        flat(inner, one(st.sampled_from(["+", "-", "||", "%", "*", "/"])), inner),
    ),
    max_leaves=4,
)
INSERT = flat("INSERT INTO log ( s ) VALUES (", EXPRESSION, ")")
SIMPLE = st.one_of(
    INSERT, flat("INSERT INTO log SELECT", EXPRESSION, "AS", one(st.sampled_from(["[a;b]", "`a;b`", '"a;""b"'])))
)
BODIES = st.lists(st.one_of(INSERT, flat("SELECT", EXPRESSION)), min_size=1, max_size=3).map(
    lambda found: [token for tokens in found for token in [*tokens, ";"]]
)
TRIGGER = st.one_of(
    flat("CREATE TRIGGER IF NOT EXISTS [t;1] AFTER INSERT ON other BEGIN", BODIES, "END"),
    flat("create temp trigger if not exists t2 after delete on other when CASE 1 WHEN 1 THEN 1 END begin").flatmap(
        lambda head: BODIES.map(lambda body: [*head, *body, "end"])
    ),
)
STATEMENT = st.one_of(SIMPLE, SIMPLE, TRIGGER)
