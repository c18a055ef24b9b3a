"""PostgreSQL's splitter against PostgreSQL's own parser and scanner (pglast, in tests only)."""

from pathlib import Path

import pglast
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.engines.postgresql.lexer import LexError, split
from servers.postgres import Database, Postgres
from servers.process import run
from support.examples import examples
from support.pieces_postgresql import GAP, STATEMENT
from support.splitting import cut, joined, scripts

CORPORA = Path(__file__).parents[3] / "shared" / "corpora"
FOLDERS = ("concourse", "authelia/postgres", "harbor")


def tokens(text: str) -> list[tuple[str, int, int]]:
    """Return what the scanner finds, without comments: name, first offset, offset behind."""
    return [
        (token.name, token.start, token.end + 1)
        for token in pglast.parser.scan(text)
        if token.name not in {"SQL_COMMENT", "C_COMMENT"}
    ]


def parsed(text: str) -> list[str]:
    """Return the statements as the parser cuts them, without comments before and behind them."""
    places = [(start, end) for name, start, end in tokens(text) if name != "ASCII_59"]
    found = []
    for part in pglast.parser.split(text, only_slices=True):
        inside = [place for place in places if part.start <= place[0] < part.stop]
        found.append(text[inside[0][0] : inside[-1][1]])
    return found


@examples(300)
@given(scripts(joined(STATEMENT, GAP), GAP))
def test_the_parser_cuts_valid_texts_as_we_do(made: tuple[str, list[str]]) -> None:
    text = made[0].removeprefix("\ufeff")
    assert cut(split, text) == parsed(text)


def scanned(text: str) -> list[tuple[int, int]]:
    """Return where statements are by the scanner's tokens: up to a semicolon outside of parentheses."""
    found: list[tuple[int, int]] = []
    depth, begun = 0, -1
    last = 0
    for name, start, end in tokens(text):
        depth += {"ASCII_40": 1, "ASCII_41": -1}.get(name, 0)
        if name == "ASCII_59" and depth <= 0:
            found += [(begun, last)] if begun >= 0 else []
            depth, begun = 0, -1
        else:
            begun = start if begun < 0 else begun
            last = end
    return found + ([(begun, last)] if begun >= 0 else [])


@examples(1_000)
@given(st.text(alphabet="aeE'\"$();/*-+ \n1", max_size=40))
def test_the_scanner_finds_the_same_in_any_text(text: str) -> None:
    try:
        theirs = scanned(text)
    except pglast.parser.ParseError:
        # It knows more errors than we do, such as numbers with letters behind them. All of ours are its own, see below.
        return
    assert [(part.start, part.end) for part in split(text)] == theirs


@examples(500)
@given(st.text(alphabet="aE'\"$;/* \n", max_size=30))
def test_the_scanner_refuses_what_we_refuse(text: str) -> None:
    try:
        list(split(text))
    except LexError:
        with pytest.raises(pglast.parser.ParseError):
            pglast.parser.scan(text)


@pytest.mark.skipif(not CORPORA.is_dir(), reason=f"no corpora in {CORPORA}")
@pytest.mark.parametrize("folder", FOLDERS)
def test_real_projects_are_cut_as_the_parser_does(folder: str) -> None:
    total = 0
    for path in sorted((CORPORA / folder).glob("*.sql")):
        text = path.read_text()
        ours = cut(split, text)
        assert ours == parsed(text), path.name
        total += len(ours)
    assert total > 100


COPIES = """\
CREATE TABLE t (a text, b text);
COPY t FROM stdin; -- no data;
1\t;
\\\\.\t'
\\.
COPY t (b, a) FROM STDIN WITH (FORMAT csv, HEADER);
b,a
"x;
y","\\. is no end here"
\\.
COPY t FROM stdin;
\\.
INSERT INTO t SELECT 'stdin', 'FROM';
COPY t FROM stdin WITH DELIMITER ';';
to the end;of the text
"""


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_psql_reads_the_same_data(database: Database, server: Postgres, newline: str) -> None:
    text = COPIES.replace("\n", newline)
    with database.connect() as connection:
        for part in split(text):
            if part.data is None:
                connection.execute(text[part.start : part.end].encode())
                continue
            with connection.cursor() as cursor, cursor.copy(text[part.start : part.end].encode()) as copy:
                copy.write(text[slice(*part.data)].encode())
    other = server.database()
    run(
        [
            str(server.bin / "psql"),
            "-qX",
            "-vON_ERROR_STOP=1",
            f"--dbname=host=127.0.0.1 port={server.port} dbname={other.name} user=app",
        ],
        env={"PGPASSWORD": other.params["password"]},
        input=text,
    )
    rows = database.query("SELECT a, b FROM t ORDER BY ctid")
    assert rows == other.query("SELECT a, b FROM t ORDER BY ctid")
    assert len(rows) == 5
    server.drop(other)
