"""SQLite's splitter against SQLite: what it takes for complete, and what it does with the whole text."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.engines.sqlite.lexer import LexError, split
from support.examples import examples
from support.pieces_sqlite import GAP, STATEMENT
from support.splitting import cut, joined, scripts

CORPUS = Path(__file__).parents[3] / "shared" / "corpora" / "authelia" / "sqlite"
TABLES = "CREATE TABLE log (s); CREATE TABLE other (a);"


def contents(connection: sqlite3.Connection) -> list[object]:
    """Return everything that a text can have made."""
    made = connection.execute(
        "SELECT type, name, sql FROM sqlite_master UNION ALL SELECT * FROM temp_trigger"
    ).fetchall()
    return [made, list(connection.iterdump())]


def one_by_one(connection: sqlite3.Connection, text: str) -> list[object]:
    """Run each statement alone, up to an error, and return what is there then."""
    connection.isolation_level = None
    try:
        for sql in cut(split, text):
            connection.execute(sql)
    except sqlite3.Error as error:
        return [str(error)]
    return []


def at_once(connection: sqlite3.Connection, text: str) -> list[object]:
    """Run the whole text, up to an error."""
    try:
        connection.executescript(text)
    except sqlite3.Error as error:
        return [str(error)]
    return []


def check_same(text: str, before: str = TABLES) -> None:
    """Running each statement alone does what running the whole text does."""
    with closing(sqlite3.connect(":memory:")) as ours, closing(sqlite3.connect(":memory:")) as theirs:
        for connection in (ours, theirs):
            connection.executescript(before)
            # The triggers of the temporary schema beside the others.
            connection.execute("CREATE TEMP VIEW temp_trigger AS SELECT type, name, sql FROM sqlite_temp_master")
        assert one_by_one(ours, text) == at_once(theirs, text)
        assert contents(ours) == contents(theirs)


@examples(300)
@given(scripts(joined(STATEMENT, GAP), GAP))
def test_sqlite_does_the_same_with_the_whole_text(made: tuple[str, list[str]]) -> None:
    check_same(made[0].removeprefix("\ufeff"))


@examples(300)
@given(joined(STATEMENT, GAP))
def test_sqlite_takes_for_complete_what_we_cut(sql: str) -> None:
    assert sqlite3.complete_statement(f"{sql};")
    # And none of the semicolons inside of it completes it.
    for place in (place for place, character in enumerate(sql) if character == ";"):
        assert not sqlite3.complete_statement(sql[: place + 1])


@examples(1_000)
@given(
    st.text(alphabet="ae'\"[]`;/*- \n", max_size=30), st.sampled_from(["", "CREATE TRIGGER t ", "create temp trigger "])
)
def test_the_first_end_of_any_text_is_where_sqlite_has_it(text: str, before: str) -> None:
    text = f"{before}{text};END;x;"
    try:
        first = next(iter(split(text)), None)
    except LexError:
        return
    if first is None:
        # Comments and semicolons, in which SQLite finds no statement either: END would be an error.
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.executescript(text)
        return
    ends = (place for place, character in enumerate(text) if character == ";" and place >= first.start)
    complete = next((place for place in ends if sqlite3.complete_statement(text[first.start : place + 1])), len(text))
    assert cut(split, text[: complete + 1])[:1] == [text[first.start : first.end]]
    assert first.end <= complete
    assert cut(split, text[first.end : complete + 1]) == []


@pytest.mark.skipif(not CORPUS.is_dir(), reason=f"no corpus in {CORPUS}")
def test_a_real_project_runs_as_the_whole_files_do() -> None:
    ups = sorted(CORPUS.glob("*.up.sql"))
    downs = sorted(CORPUS.glob("*.down.sql"), reverse=True)
    assert len(ups) > 20
    with closing(sqlite3.connect(":memory:")) as ours, closing(sqlite3.connect(":memory:")) as theirs:
        for connection in (ours, theirs):
            # The application brings these functions along.
            connection.create_function("BIN2B64", 1, lambda value: value)
            connection.create_function("B642BIN", 1, lambda value: value)
        for path in ups + downs:
            text = path.read_text()
            assert one_by_one(ours, text) == at_once(theirs, text) == [], path.name
            assert list(ours.iterdump()) == list(theirs.iterdump()), path.name
