"""SQLite's splitter: what is cut, where, and that nothing is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.engines.sqlite.lexer import LexError, split
from support.pieces_sqlite import GAP, STATEMENT
from support.splitting import check_alone, check_apart, cut, joined, scripts, take_hostile


def texts(sql: str) -> list[str]:
    return cut(split, sql)


WHOLE = {
    "string": r"SELECT 'a\', 'it''s;'",
    "names": 'SELECT "a"";b", `a``;b`, [a;"b]',
    "line": "SELECT 1 -- ; '\n + 2",
    "block": "SELECT /* ; ' */ 1",
    "block-does-not-nest": "SELECT /* /* ; */ 1",
    "block-in-an-operator": "SELECT 2*/* ; */3",
    "just-text": """SELECT '{{ a }}', "${b}", [<% c %>{% d %}], '{"a":true}', :name, $name, @x, ?, ?1, 5 % 2, '%s'""",
    "trigger": "CREATE TRIGGER t AFTER INSERT ON x BEGIN SELECT 1; SELECT CASE WHEN 1 THEN 2 END; END",
    "temporary": "create temporary trigger if not exists t after insert on x begin select 1; end",
    "explain": "EXPLAIN QUERY PLAN CREATE TEMP TRIGGER t AFTER INSERT ON x BEGIN SELECT 1; /* ; */ END",
    "end-as-a-name": 'CREATE TRIGGER t AFTER INSERT ON x BEGIN SELECT "END"; SELECT 1; END',
}


@pytest.mark.parametrize("sql", WHOLE.values(), ids=WHOLE.keys())
def test_is_one_statement(sql: str) -> None:
    assert texts(sql) == [sql]
    assert texts(f"\n{sql}\n ;\n/* x */ {sql}\n;;") == [sql, sql]


def test_a_transaction_and_a_table_are_no_trigger() -> None:
    sql = "BEGIN; CREATE TABLE trigger_log (a); DROP TRIGGER t; SELECT 1; END"
    assert texts(sql) == sql.split("; ")


def test_a_comment_without_an_end_goes_to_the_end() -> None:
    assert texts("SELECT 1; /* SELECT 2;") == ["SELECT 1"]
    assert texts("SELECT 1 /* SELECT 2;") == ["SELECT 1"]


def test_a_line_between_statements_may_be_the_shell_s_comment() -> None:
    assert texts("# a; '\nSELECT 1;\n#\n-- b\n# c\nSELECT 2;\n# d") == ["SELECT 1", "SELECT 2"]
    # Elsewhere the shell has it for SQL, which it is not.
    assert texts("SELECT 1; # a\nSELECT 2") == ["SELECT 1", "# a\nSELECT 2"]
    assert texts("SELECT\n# a;\n 1") == ["SELECT\n# a", "1"]
    assert texts(" # a;") == ["# a"]


def test_every_statement_knows_its_place_and_words() -> None:
    first, second = split("\ufeff-- one\r\nPRAGMA\nmain.\"foreign_keys\"(1);\n  ATTACH DATABASE 'x' AS y")
    assert (first.number, first.line, first.column, first.words) == (1, 2, 1, ("PRAGMA", "MAIN"))
    assert first.keywords == {"FOREIGN_KEYS"}
    assert (second.number, second.line, second.column, second.words) == (2, 4, 3, ("ATTACH", "DATABASE", "AS", "Y"))


@pytest.mark.parametrize(
    ("sql", "line", "column", "says"),
    [
        ("SELECT 1;\n  'a''", 2, 3, "a string (')"),
        ('SELECT "', 1, 8, "a quoted name"),
        ("SELECT `", 1, 8, "a quoted name"),
        ("SELECT [a", 1, 8, "a quoted name"),
        ("SELECT 1;\nCREATE TRIGGER t AFTER INSERT ON x BEGIN SELECT 1;", 2, 1, "no END"),
        ("CREATE TRIGGER t AFTER INSERT ON x BEGIN SELECT CASE 1 WHEN 1 THEN 2 END;", 1, 1, "no END"),
        (".read x.sql", 1, 1, ".read"),
        ("SELECT 1;\n .tables", 2, 2, ".tables"),
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


@given(scripts(joined(STATEMENT, GAP), GAP))
def test_what_is_put_together_comes_apart(made: tuple[str, list[str]]) -> None:
    check_apart(split, made)


@given(st.text(alphabet="a'\"`[]$();/*-.{%<é \r\n", max_size=60))
def test_any_text_is_split_or_refused(sql: str) -> None:
    check_alone(split, sql)


HOSTILE = {
    "opened comments": "/*",
    "dollars": "$",
    "quotes": "'",
    "names": "`",
    "brackets": "[",
    "parens": "(",
    "semicolons": ";",
    "ends": "END;",
    "triggers": "CREATE TRIGGER ",
    "dashes": "-",
    "letters": "a",
    "blanks": " \n",
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("repeated", HOSTILE.values(), ids=HOSTILE.keys())
def test_time_is_linear_on_hostile_texts(repeated: str) -> None:
    take_hostile(split, repeated, "SELECT 1;", "SELECT '", "/*", "CREATE TRIGGER t BEGIN ")
