"""The splitter: what is cut, where, and that nothing is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.engines.postgresql.lexer import LexError, split


def texts(sql: str) -> list[str]:
    return [sql[part.start : part.end] for part in split(sql)]


WHOLE = {
    "string": "SELECT ';'",
    "doubled": "SELECT 'it''s;'",
    "standard-backslash": r"SELECT 'a\', 'b;'",
    "escape": r"SELECT E'a\';b'",
    "escape-continued": "SELECT E'a\\'b' -- c;\n  'd\\';e'",
    "unicode-string": r"SELECT U&'\0041;' UESCAPE '!'",
    "unicode-name": 'SELECT U&"a;b"',
    "bits": "SELECT B'01', X'1F', N';'",
    "name": 'SELECT ";" AS "a"";b"',
    "dollar": "SELECT $$;$$",
    "tagged": "SELECT $a$; $b$ ; $$ $a$",
    "tagged-unicode": "SELECT $é$;$é$",
    "dollar-in-a-name": "SELECT a$b, c$$d FROM t$1 WHERE x = $1",
    "line-comment": "SELECT 1 -- ; '\n + 2",
    "comment-in-an-operator": "SELECT 1 +-- ;\n 2",
    "block": "SELECT /* ; ' */ 1",
    "nested": "SELECT /* /* ; */ ; */ 1",
    "rule": "CREATE RULE r AS ON INSERT TO t DO (INSERT INTO a VALUES (1); DELETE FROM b)",
    "atomic": "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 END; END",
    "atomic-in-parens": "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT (CASE WHEN true THEN 2 END); END",
    "procedure": "create or replace procedure p() begin atomic insert into t values (1); end",
    "e-as-a-name": "SELECT e 'x', type 'y;'",
}


@pytest.mark.parametrize("sql", WHOLE.values(), ids=WHOLE.keys())
def test_is_one_statement(sql: str) -> None:
    assert texts(sql) == [sql]
    assert texts(f"\n{sql} ;\n/* x */ {sql};;") == [sql, sql]


def test_a_backslash_escapes_only_where_it_is_said() -> None:
    on = "set standard_conforming_strings to 'on'"
    off = f"SET standard_conforming_strings = off;\nSELECT 'a\\';b';\n{on};SELECT '\\';x"
    assert texts(off)[1:] == ["SELECT 'a\\';b'", on, "SELECT '\\'", "x"]


def test_every_statement_knows_its_line() -> None:
    sql = "-- one\r\nSELECT\n1;\r\rSELECT 2; SELECT 3;\n/*\n*/ SELECT 4"
    assert [(part.number, part.line) for part in split(sql)] == [(1, 2), (2, 5), (3, 5), (4, 7)]


def test_a_byte_order_mark_is_no_word() -> None:
    assert texts("\ufeffSELECT 1") == ["SELECT 1"]


def test_copy_takes_its_data_along() -> None:
    sql = "COPY t FROM stdin WITH (FORMAT text);\n1;\t'\n2\n\\.\nSELECT 1;"
    copy, select = split(sql)
    assert copy.data is not None
    assert sql[slice(*copy.data)] == "1;\t'\n2\n"
    assert (select.line, sql[select.start : select.end]) == (5, "SELECT 1")


@pytest.mark.parametrize(
    ("sql", "line"),
    [
        ("SELECT 1;\n'", 2),
        ("\n\nSELECT E'\\'", 3),
        ('"', 1),
        ("SELECT $x$ $$", 1),
        ("/* /* */", 1),
        ("SELECT 1\n\\gexec", 2),
        ("CREATE FUNCTION f() RETURNS int\nBEGIN ATOMIC SELECT 1;", 1),
    ],
)
def test_what_has_no_end_is_named(sql: str, line: int) -> None:
    with pytest.raises(LexError) as caught:
        list(split(sql))
    assert caught.value.line == line


# What can stand in a statement, quoted ones with all that may be in them.
def quoted(opening: str, closing: str, inside: str) -> st.SearchStrategy[str]:
    return st.text(alphabet=inside, max_size=8).map(lambda text: f"{opening}{text}{closing}")


ATOMS = st.one_of(
    st.sampled_from(
        ["SELECT", "a", "1.5", ",", "+", "-", "/", "*", "<>", "::int", ":name", "%s", "$1", "?", "{}", "[1]"]
    ),
    quoted("'", "'", 'a;"$/*-\\\n'),
    quoted("E'", "'", "a;$/*-\n").map(lambda text: text.replace("a", "\\'")),
    quoted('"', '"', "a;'$/*-\\\n"),
    quoted("$t$", "$t$", "a;'\"/*-\\\n"),
    quoted("/*", "*/", "a;'\"-\\\n$"),
    quoted("--", "\n", "a;'\"/*\\$"),
    st.text(alphabet="a;", max_size=4).map(lambda text: f"(x {text})"),
)
STATEMENTS = st.lists(ATOMS, min_size=1, max_size=6).map(lambda atoms: "X " + " ".join(atoms) + " Y")


@given(st.lists(STATEMENTS, max_size=5))
def test_statements_that_are_joined_come_apart(statements: list[str]) -> None:
    assert texts(";\n".join(statements)) == statements


@given(st.text(alphabet="aE'\"$();/*-\\ \n", max_size=60))
def test_nothing_is_lost_and_nothing_overlaps(sql: str) -> None:
    try:
        parts = list(split(sql))
    except LexError:
        return
    last = 0
    for number, part in enumerate(parts, 1):
        assert part.number == number
        assert last <= part.start < part.end <= len(sql)
        assert part.line == 1 + sql.count("\n", 0, part.start)
        last = part.end


@given(st.text(max_size=60))
def test_any_text_is_split_or_refused(sql: str) -> None:
    try:
        list(split(sql))
    except LexError as error:
        assert error.line >= 1  # noqa: PT017 - either end is right
