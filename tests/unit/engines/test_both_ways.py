"""Files of tools that keep the way up and the way back in one: run as one text, both would run."""

from collections.abc import Callable, Iterator

import pytest

from lockstep.engines.lexing import LexError, Statement
from lockstep.engines.mysql import lexer as mysql
from lockstep.engines.postgresql import lexer as postgresql
from lockstep.engines.sqlite import lexer as sqlite

Split = Callable[[str], Iterator[Statement]]

MARKERS = {
    "goose": ("-- +goose Up", "-- +goose Down"),
    "sql-migrate": ("-- +migrate Up notransaction", "-- +migrate Down"),
    "dbmate": ("-- migrate:up transaction:false", "-- migrate:down transaction:false"),
    "tern": ("-- pen and paper", "---- create above / drop below ----"),
    "node-pg-migrate": ("-- Up Migration", "-- Down Migration"),
    "play": ("-- !Ups", "-- !Downs"),
    "mybatis": ("-- // create the table", "-- //@UNDO"),
    "rambler": ("-- rambler up", "-- rambler down"),
    "closely": ("--+GOOSE UP", "--+goose   down\r"),
}


@pytest.fixture(params=[postgresql.split, mysql.split, sqlite.split], ids=["postgresql", "mysql", "sqlite"])
def split(request: pytest.FixtureRequest) -> Split:
    found: Split = request.param
    return found


def count(split: Split, text: str) -> int:
    return len(list(split(text)))


@pytest.mark.parametrize(("up", "down"), MARKERS.values(), ids=MARKERS.keys())
def test_both_in_one_text_are_refused_where_the_second_begins(split: Split, up: str, down: str) -> None:
    # Within a statement MySQL takes dashes for a comment only before a blank.
    unended = ["CREATE TABLE t (a int) ", "SELECT 1; SELECT 2\n"] if down.startswith("-- ") else []
    for middle in ("CREATE TABLE t (a int);\n\n  ", *unended):
        text = f"{up}\n{middle}{down}\nDROP TABLE t; SELECT 2;"
        with pytest.raises(LexError) as caught:
            count(split, text)
        before = text[: text.index(down)]
        place = before.count("\n") + 1, len(before) - before.rfind("\n")
        assert (caught.value.line, caught.value.column) == place
        assert repr(down.strip()) in caught.value.message
        assert "spec.down" in caught.value.message


@pytest.mark.parametrize(("up", "down"), MARKERS.values(), ids=MARKERS.keys())
def test_one_of_them_is_a_text_like_any_other(split: Split, up: str, down: str) -> None:
    assert count(split, f"{up}\nCREATE TABLE t (a int);\nSELECT 1;") == 2
    assert count(split, f"{down}\nDROP TABLE t;\nSELECT 1;") == 2
    # Nothing runs behind it.
    assert count(split, f"{up}\nCREATE TABLE t (a int);\n{down}\n-- DROP TABLE t;\n") == 1


def test_the_way_back_first(split: Split) -> None:
    with pytest.raises(LexError) as caught:
        count(split, "-- +migrate Down\nDROP TABLE t;\n-- +migrate Up\nCREATE TABLE t (a int);")
    assert (caught.value.line, caught.value.column) == (3, 1)


def test_a_way_up_without_statements(split: Split) -> None:
    with pytest.raises(LexError):
        count(split, "-- migrate:up\n\n-- migrate:down\nDROP TABLE t;")


@pytest.mark.parametrize(
    "comment",
    [
        "-- the down migration is in another file",
        "-- down migration: none",
        "-- +goose StatementBegin",
        "-- +goose NO TRANSACTION",
        "-- migrate:downgrade",
        "-- goose Down",
        "/* +goose Down */",
        "-- see -- +goose Down",
    ],
)
def test_what_only_looks_like_it(split: Split, comment: str) -> None:
    assert count(split, f"SELECT 1;\n{comment}\nSELECT 2;") == 2
    assert count(split, "SELECT '\n-- +goose Down\n';\nSELECT 2;") == 2
