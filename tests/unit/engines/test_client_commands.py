"""Commands to a client program in a text: refused with what to do instead."""

from collections.abc import Callable, Iterator

import pytest

from lockstep.engines.lexing import LexError, Statement
from lockstep.engines.mysql import lexer as mysql
from lockstep.engines.postgresql import lexer as postgresql
from lockstep.engines.sqlite import lexer as sqlite

FILE = "put that file's SQL in its place"


@pytest.mark.parametrize(
    ("split", "command", "says"),
    [
        (postgresql.split, "\\i x.sql", FILE),
        (postgresql.split, "\\ir x.sql", FILE),
        (postgresql.split, "\\include_relative x.sql", FILE),
        (postgresql.split, "\\copy t FROM 'x.csv'", "COPY ... FROM stdin"),
        (postgresql.split, "\\set ON_ERROR_STOP on", "\\set is a command of psql, no SQL"),
        (postgresql.split, "\\echo x", "remove it"),
        (mysql.split, "source x.sql", FILE),
        (mysql.split, "\\. x.sql", FILE),
        (mysql.split, "warnings", "remove it"),
        (mysql.split, "\\", "only the mysql client leaves it out"),
        (sqlite.split, ".read x.sql", FILE),
        (sqlite.split, ".bail on", "remove it"),
    ],
)
def test_says_what_to_do(split: Callable[[str], Iterator[Statement]], command: str, says: str) -> None:
    with pytest.raises(LexError) as caught:
        list(split(f"SELECT 1;\n{command}\n"))
    assert (caught.value.line, caught.value.column) == (2, 1)
    assert says in caught.value.message
