"""PostgreSQL's splitter: what is cut, where, and that nothing is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.engines.postgresql.lexer import LexError, split
from support.pieces_postgresql import GAP, STATEMENT
from support.splitting import check_apart, cut, joined, scripts, split_or_refused, take_hostile


def texts(sql: str) -> list[str]:
    return cut(split, sql)


WHOLE = {
    "string": "SELECT ';'",
    "doubled": "SELECT 'it''s;'",
    "standard-backslash": r"SELECT 'a\', 'b;'",
    "escape": r"SELECT E'a\';b'",
    "escape-doubled": r"SELECT e'a\''';b'''",
    "escape-continued": "SELECT E'a\\'b' -- c;\n  'd\\';e'",
    "unicode-string": r"SELECT U&'\0041;' UESCAPE '!'",
    "unicode-backslash": r"SELECT U&'\0041\', 'b;'",
    "unicode-name": 'SELECT U&"a;b"',
    "bits": "SELECT B'01', X'1F', N';'",
    "name": 'SELECT ";" AS "a"";b"',
    "dollar": "SELECT $$;$$",
    "tagged": "SELECT $a$; $b$ ; $$ $a$",
    "tagged-unicode": "SELECT $é$;$é$",
    "dollar-in-a-name": "SELECT a$b, c$$d FROM t$1 WHERE x = $1",
    "dollar-behind-a-parameter": "SELECT $1$$;$$",
    "line-comment": "SELECT 1 -- ; '\n + 2",
    "line-comment-return": "SELECT 1 -- ; '\r + 2",
    "comment-in-an-operator": "SELECT 1 +-- ;\n 2",
    "block-in-an-operator": "SELECT 2*/* ; */3",
    "block": "SELECT /* ; ' */ 1",
    "nested": "SELECT /* /* ; */ ; */ 1",
    "nested-stars": "SELECT /**/1/*/**/;/* **/*/+2/*/;*/*/+3",
    "rule": "CREATE RULE r AS ON INSERT TO t DO (INSERT INTO a VALUES (1); DELETE FROM b)",
    "atomic": "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 END; END",
    "atomic-in-parens": "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT (CASE WHEN true THEN 2 END); END",
    "atomic-empty": "CREATE PROCEDURE p() BEGIN ATOMIC END",
    "atomic-names": 'CREATE PROCEDURE p() BEGIN ATOMIC SELECT t.end, 1 AS end, t.case, 2 AS "case" FROM t; END',
    "atomic-bare-names": "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1 end; SELECT 1 case, 2 case FROM t; END",
    "procedure": "create or replace procedure p() begin atomic insert into t values (1); end",
    "e-as-a-name": "SELECT e 'x', type 'y;'",
    "just-text": """SELECT '{{ a }}', "${b}", $$<% c %>{% d %}$$, '{"a":true}', :name, %s, ?, 5 % 2, a[1:2] + $1""",
    "trigram": "SELECT a FROM t WHERE 'word' <% a AND (b) <% c OR a <<% b ORDER BY a <<<-> 'x' USING operator(x.<%)",
    "create-schema": "CREATE SCHEMA s CREATE TABLE t (a int) CREATE VIEW v AS SELECT 1",
    "copy-to": "COPY (SELECT stdin FROM t) TO stdout",
    "copy-file": "COPY t (stdin) FROM '/tmp/x' WITH (FORMAT csv)",
}


@pytest.mark.parametrize("sql", WHOLE.values(), ids=WHOLE.keys())
def test_is_one_statement(sql: str) -> None:
    assert texts(sql) == [sql]
    assert texts(f"\n{sql}\n ;\n/* x */ {sql}\n;;") == [sql, sql]


def test_a_backslash_escapes_only_where_it_is_said() -> None:
    on = "set standard_conforming_strings to 'on'"
    off = f"SET standard_conforming_strings = off;\nSELECT 'a\\';b';\n{on};SELECT '\\';x"
    assert texts(off)[1:] == ["SELECT 'a\\';b'", on, "SELECT '\\'", "x"]
    again = "SET LOCAL standard_conforming_strings TO false; SET a = 1; SELECT N'\\';'; RESET ALL; SELECT '\\'; x"
    assert texts(again)[2:] == ["SELECT N'\\';'", "RESET ALL", "SELECT '\\'", "x"]


def test_every_statement_knows_its_place() -> None:
    sql = "-- one\r\nSELECT\n1;\r\rSELECT 2; SELECT 3;\n/*\n*/ SELECT 4"
    assert [(part.number, part.line, part.column) for part in split(sql)] == [
        (1, 2, 1),
        (2, 5, 1),
        (3, 5, 11),
        (4, 7, 4),
    ]


def test_words_are_those_outside_of_parentheses_and_quotes() -> None:
    (part,) = split("create /* x */ Unique index CONCURRENTLY \"on\" on t (lower(a)) where b = 'c'")
    assert part.words == ("CREATE", "UNIQUE", "INDEX", "CONCURRENTLY", "ON", "T", "WHERE", "B")
    assert part.keywords == {"CONCURRENTLY"}


def test_a_byte_order_mark_is_no_word() -> None:
    assert texts("\ufeffSELECT 1") == ["SELECT 1"]


COPIES = {
    "lines": ("COPY t FROM stdin WITH (FORMAT text);\n1;\t'\n2\n\\.\n", "1;\t'\n2\n"),
    "empty": ("COPY t FROM stdin;\n\\.\n", ""),
    "returns": ("COPY t FROM stdin;\r\n1\r\n\\.\r\n", "1\r\n"),
    "old-mac": ("COPY t FROM stdin;\r1\r\\.\r", "1\r"),
    "escaped": ("copy t from STDIN;\n\\\\.\n\\.x\n \\.\nx\\.\n\\.\n", "\\\\.\n\\.x\n \\.\nx\\.\n"),
    "csv": ('COPY s.t (a, "b;c") FROM STDIN WITH (FORMAT csv, HEADER);\na,b\n"1;\n",2\n\\.\n', 'a,b\n"1;\n",2\n'),
    "comment": ("COPY t FROM stdin; -- 'data;\n/*\n\\.\n", "/*\n"),
    "binary-word": ("COPY BINARY t FROM stdin USING DELIMITERS ';' ;\n1\n\\.\n", "1\n"),
    "stdout-means-the-same": ("COPY t FROM stdout;\n1\n\\.\n", "1\n"),
}


@pytest.mark.parametrize(("sql", "data"), COPIES.values(), ids=COPIES.keys())
def test_copy_takes_its_data_along(sql: str, data: str) -> None:
    copy, select = split(f"{sql}SELECT 1;")
    assert copy.data is not None
    assert sql[slice(*copy.data)] == data
    assert select.data is None
    assert (select.start, select.column) == (len(sql), 1)


@pytest.mark.parametrize(
    ("sql", "data"),
    [
        ("COPY t FROM stdin;\n1\n\\.", "1\n"),
        ("COPY t FROM stdin;\n1\nSELECT 1;", "1\nSELECT 1;"),
        ("COPY t FROM stdin;\n", ""),
        ("COPY t FROM stdin;", ""),
        ("COPY t FROM stdin -- x", ""),
    ],
)
def test_data_ends_with_the_text(sql: str, data: str) -> None:
    (copy,) = split(sql)
    assert copy.data is not None
    assert sql[slice(*copy.data)] == data


@pytest.mark.parametrize(
    ("sql", "line", "column"),
    [
        ("SELECT 1;\n  '", 2, 3),
        ("\n\nSELECT E'\\'", 3, 8),
        ("SELECT 'it''s", 1, 8),
        ("SELECT E'a'\n'b", 1, 8),
        ('"a""', 1, 1),
        ("SELECT $x$ $$", 1, 8),
        ("/* /* */", 1, 1),
        ("SELECT 1\n\\gexec", 2, 1),
        ("\\connect other", 1, 1),
        ("SELECT 1;\r\n\t\\i x.sql", 2, 2),
        ("SELECT 1; \\set x 1", 1, 11),
        ("CREATE FUNCTION f() RETURNS int\nBEGIN ATOMIC SELECT 1;", 1, 1),
        ("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1 AS end;", 1, 1),
        ("COPY t FROM stdin; SELECT 1;\n\\.\n", 1, 19),
        ("SELECT 1;\nSELECT a\x00", 2, 9),
        ("SELECT {{ x }}", 1, 8),
        ("{% if a %}SELECT 1;{% endif %}", 1, 1),
        ("SELECT é, ={{x}}", 1, 12),
        ("CREATE TABLE t_${ENV} ()", 1, 16),
        ("CREATE TABLE ${ENV}.t ()", 1, 14),
        ("<% if x %>", 1, 1),
        ("SELECT 1 WHERE a = <%= x %>", 1, 20),
        ("ALTER TABLE <% t %> ADD a int", 1, 13),
    ],
)
def test_is_refused_at_its_place(sql: str, line: int, column: int) -> None:
    with pytest.raises(LexError) as caught:
        list(split(sql))
    assert (caught.value.line, caught.value.column) == (line, column)
    assert str(caught.value) == f"line {line}, column {column}: {caught.value.message}"


@pytest.mark.parametrize("word", ["restrict", "unrestrict"])
def test_what_pg_dump_writes_for_psql_is_named_with_what_to_do(word: str) -> None:
    with pytest.raises(LexError, match="delete that line and its partner"):
        list(split(f"--\n-- PostgreSQL database dump\n--\n\n\\{word} Key\n"))


@given(scripts(joined(STATEMENT, GAP), GAP))
def test_what_is_put_together_comes_apart(made: tuple[str, list[str]]) -> None:
    check_apart(split, made)


@given(st.text(alphabet="aE'\"$();/*-\\{%<é \r\n", max_size=60))
def test_any_text_is_split_or_refused(sql: str) -> None:
    parts = split_or_refused(split, sql)
    # Each offset is between two tokens: a statement behind the others alone is the same statement.
    for part, alone in zip(parts, texts(";".join(sql[part.start : part.end] + "\n" for part in parts)), strict=True):
        assert alone == sql[part.start : part.end]


HOSTILE = {
    "opened comments": "/*",
    "opened and closed": "/*/",
    "dollars": "$",
    "tags": "$a",
    "quotes": "'",
    "escapes": "E'\\'",
    "continued": "E'a'\n",
    "continued by comments": "E'a' --\n",
    "names": '"',
    "parens": "(",
    "semicolons": ";",
    "cases": "CASE ",
    "copies": "\\.",
    "dashes": "-",
    "letters": "a",
    "blanks": " \n",
}


OPENINGS = ("SELECT 1;", "SELECT '", "SELECT E'", "SELECT E'a'\n", "COPY t FROM stdin;\n", "/*", "$a$")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("repeated", HOSTILE.values(), ids=HOSTILE.keys())
def test_time_is_linear_on_hostile_texts(repeated: str) -> None:
    take_hostile(split, repeated, *OPENINGS, "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC ")
