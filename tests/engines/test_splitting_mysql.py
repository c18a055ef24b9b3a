"""MySQL's splitter against a real MariaDB: each statement alone does what the client does with the whole file."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from lockstep.engines.mysql.lexer import split
from servers.mariadb import APP, MariaDatabase, Mariadb, program
from support.examples import examples
from support.pieces_mysql import GAP, PROGRAM, SIMPLE
from support.splitting import cut, joined

CORPUS = Path(__file__).parents[3] / "shared" / "corpora" / "authelia" / "mysql"

EMPTY_QUERY = 1065
"""What the server says to a statement that is nothing but a comment of another version."""


def by_client(database: MariaDatabase, text: str, *options: str) -> list[int]:
    """Run a text with the client, past errors; return their codes."""
    client = program("mariadb")
    assert client is not None
    params = database.params
    done = subprocess.run(
        [
            client,
            "--no-defaults",
            "--force",
            *options,
            "--default-character-set=utf8mb4",
            f"--host={params['host']}",
            f"--port={params['port']}",
            f"--user={params['user']}",
            params["database"],
        ],
        input=text.encode(),
        env={"MYSQL_PWD": params["password"]},
        capture_output=True,
        check=False,
        timeout=60,
    )
    return [int(code) for code in re.findall(r"^ERROR (\d+)", done.stderr.decode(), re.MULTILINE)]


def one_by_one(database: MariaDatabase, text: str, *, past_errors: bool = True) -> list[int]:
    """Send each statement alone; return the codes of errors."""
    codes = []
    with database.connect() as connection, connection.cursor() as cursor:
        for sql in cut(split, text):
            try:
                cursor.execute(sql)
            except pymysql.MySQLError as error:
                codes += [code for code in error.args[:1] if code != EMPTY_QUERY]
                if codes and not past_errors:
                    break
    return codes


def contents(database: MariaDatabase) -> list[object]:
    """Return everything that the texts can have made, without the database's own name."""
    queries = [
        f"SELECT {columns} FROM information_schema.{table} WHERE {schema} = DATABASE() ORDER BY 1, 2, 3"
        for table, columns, schema in [
            ("routines", "routine_name, routine_type, routine_definition, dtd_identifier", "routine_schema"),
            ("triggers", "trigger_name, event_object_table, action_statement", "trigger_schema"),
            ("events", "event_name, event_definition, status", "event_schema"),
            ("columns", "table_name, column_name, column_type, column_default, is_nullable", "table_schema"),
            ("statistics", "table_name, index_name, seq_in_index, column_name, non_unique", "table_schema"),
        ]
    ]
    found: list[object] = []
    with database.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SHOW TABLES LIKE 'log'")
        queries += ["SELECT id, HEX(s) FROM log ORDER BY id"] if cursor.fetchall() else []
        for sql in queries:
            cursor.execute(sql)
            found.append(cursor.fetchall())
    return found


LOG = "CREATE OR REPLACE TABLE log (id INT AUTO_INCREMENT PRIMARY KEY, s TEXT)"
OTHER = "CREATE OR REPLACE TABLE other (id INT, end INT)"


def empty(database: MariaDatabase) -> None:
    """Begin anew."""
    kinds = [("PROCEDURE", "p"), ("PROCEDURE", "q"), ("FUNCTION", "f"), ("EVENT", "e")]
    with database.connect() as connection, connection.cursor() as cursor:
        for sql in [*(f"DROP {kind} IF EXISTS {name}" for kind, name in kinds), LOG, OTHER]:
            cursor.execute(sql)


@pytest.fixture(scope="module")
def pair(mariadb: Mariadb) -> Iterator[tuple[MariaDatabase, MariaDatabase]]:
    made = mariadb.database(), mariadb.database()
    yield made
    for database in made:
        mariadb.drop(database)


# The client takes the carriage return out of line ends, even within strings.
PLAIN_GAP = GAP.map(lambda gap: gap.replace("\r\n", "\n"))


@st.composite
def texts(draw: st.DrawFn) -> tuple[list[str], str, str]:
    """Statements; a text of them without DELIMITER; one with it, as the client needs it around programs."""
    statements, ours, theirs = [], "", ""
    for _ in range(draw(st.integers(1, 4))):
        gap = draw(PLAIN_GAP)
        if draw(st.booleans()):
            sql = draw(joined(PROGRAM, PLAIN_GAP))
            sign = draw(st.sampled_from(["$$", "//", ";;", "|", "END_OF_IT"]))
            command = draw(st.sampled_from(["DELIMITER", "delimiter", " \tDelimiter"]))
            # The client would take the slash of `*/` and the next one for `//`.
            behind = "\n" if sql.endswith("/") else ""
            theirs += f"\n{command} {sign}\n{gap}{sql}{behind}{sign}\n{command} ;\n"
        else:
            sql = draw(joined(SIMPLE, PLAIN_GAP))
            theirs += f"{gap}{sql};"
        ours += f"{gap}{sql}{draw(PLAIN_GAP)};"
        statements.append(sql)
    return statements, ours, theirs


# Shrinking asks the servers for minutes; the failure that was found says enough.
@settings(examples(15), phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(texts())
def test_the_client_does_the_same(pair: tuple[MariaDatabase, MariaDatabase], made: tuple[list[str], str, str]) -> None:
    statements, ours, theirs = made
    assert cut(split, ours) == cut(split, theirs) == statements
    left, right = pair
    for text in (ours, theirs):
        empty(left)
        empty(right)
        assert one_by_one(left, text) == by_client(right, theirs, "--comments")
        assert contents(left) == contents(right)


# What the client has of its own: the delimiter within a word and behind a comment, several statements before it,
# dashes without a blank where a statement begins, quotes around the delimiter.
BY_HAND = """\
--no blank behind the dashes
DELIMITER $$
INSERT INTO log (s) VALUES ('a;$$b'); INSERT INTO log (s) VALUES (1--1)$$ -- $$ ;
CREATE PROCEDURE p() BEGIN
  INSERT INTO log (s) VALUES (';');
  INSERT INTO log (s) VALUES ("$$");
END$$
CALL p()$$
delimiter ;
CREATE TABLE `a;b` (`c``;` INT, d VARCHAR(9) DEFAULT 'it''s;\\';') # ;
; /*!40101 SET @a = 1 */;
/*!99999 INSERT INTO log (s) VALUES ('newer than any') */;
/*M! INSERT INTO log (s) VALUES ('MariaDB') */;
DELIMITER '//'
INSERT INTO log (s) SELECT /*+ a hint; */ \\N // INSERT INTO log (s) VALUES ('no delimiter behind it')
"""


def test_what_the_client_has_of_its_own(pair: tuple[MariaDatabase, MariaDatabase]) -> None:
    left, right = pair
    for database in pair:
        empty(database)
    assert one_by_one(left, BY_HAND) == by_client(right, BY_HAND) == []
    assert contents(left) == contents(right)
    assert [value for (value,) in left.query("SELECT s FROM log ORDER BY id")] == [
        "a;$$b", "2", ";", "$$", "MariaDB", None, "no delimiter behind it"
    ]  # fmt: skip


def by_server(database: MariaDatabase, text: str) -> list[int]:
    """Send the whole text, which the server cuts itself, up to an error; return its code."""
    flags = pymysql.constants.CLIENT.MULTI_STATEMENTS
    with database.server.connect(APP, database.name, flags) as connection, connection.cursor() as cursor:
        try:
            cursor.execute(text)
            while cursor.nextset():
                pass
        except pymysql.MySQLError as error:
            # A comment behind the last semicolon is a statement to it.
            return [code for code in error.args[:1] if code != EMPTY_QUERY]
    return []


@pytest.mark.skipif(not CORPUS.is_dir(), reason=f"no corpus in {CORPUS}")
def test_a_real_project_runs_as_with_the_server_alone(mariadb: Mariadb) -> None:
    left, right = mariadb.database(), mariadb.database()
    ups = sorted(CORPUS.glob("*.up.sql"))
    assert len(ups) > 20
    for path in ups + sorted(CORPUS.glob("*.down.sql"), reverse=True):
        text = path.read_text()
        errors = one_by_one(left, text, past_errors=False)
        assert errors == by_server(right, text), path.name
        # Some of the downs fail, with the server too.
        assert errors == [] or path not in ups
        assert contents(left) == contents(right), path.name
    for database in (left, right):
        mariadb.drop(database)
