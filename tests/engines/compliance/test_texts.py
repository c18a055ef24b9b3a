"""Texts as people and editors leave them."""

import pytest

from engines.compliance.target import Place
from lockstep.api.reasons import Reason
from lockstep.planning.wire import OrderedMigration
from servers.runner import Pod, migration, order

PLAIN = "CREATE TABLE t (x varchar(200)); INSERT INTO t VALUES ("


@pytest.mark.parametrize(
    "text",
    ["", "\n", " \t\r\n", "-- nothing\n", "-- no end of line", "/* nothing at all */ ;;", "\ufeff", "\ufeff-- x"],
)
def test_a_text_without_statements_is_a_version_too(text: str, place: Place, pod: Pod) -> None:
    ended = pod.run(order(migration("1", text)), place.secret)
    assert (ended.code, ended.result.version) == (0, "1"), ended.text


TEXTS = {
    "unicode": (PLAIN + "'日本 ünïcode 🐘'); -- ß", "日本 ünïcode 🐘"),
    "crlf": ("CREATE TABLE t (x varchar(200));\r\n-- two\r\nINSERT INTO t VALUES ('a;b')\r\n;\r\n", "a;b"),
    "bom": ("\ufeff" + PLAIN + "'x')", "x"),
    "quotes": (PLAIN + "'it''s; \"--\" /* no comment */')", 'it\'s; "--" /* no comment */'),
    "placeholders": (PLAIN + "'50% :name {{x}} $1 %s ? @p')", "50% :name {{x}} $1 %s ? @p"),
    "json": (PLAIN + """'{"a":true,"b":[1,2]}')""", '{"a":true,"b":[1,2]}'),
    "lines": (PLAIN + "'one\ntwo')", "one\ntwo"),
}


@pytest.mark.parametrize(("text", "value"), TEXTS.values(), ids=TEXTS.keys())
def test_text_is_run_as_it_is(text: str, value: str, place: Place, pod: Pod) -> None:
    ended = pod.run(order(migration("1", text, "DROP TABLE t")), place.secret)
    assert ended.code == 0, ended.text
    assert place.query("SELECT x FROM t") == [(value,)]


@pytest.mark.parametrize("mark", ["-- +goose Down", "-- migrate:down", "  -- +migrate Down"])
def test_a_file_of_both_ways_is_refused(mark: str, place: Place, pod: Pod) -> None:
    """To the server the mark is a comment, and what stands behind it undoes all at once."""
    ended = pod.run(order(migration("1", f"CREATE TABLE t (x int);\n\n{mark}\nDROP TABLE t;\n")), place.secret)
    assert (ended.code, ended.result.reason) == (20, Reason.STATEMENT_REFUSED), ended.text
    assert "line 3, column" in ended.result.message
    assert "spec.down" in ended.result.message
    assert place.tables() == set()


def test_twenty_megabytes(place: Place, pod: Pod) -> None:
    row = f"INSERT INTO t VALUES ('{'x' * 960}');\n"
    many: list[OrderedMigration] = [migration("1", "CREATE TABLE t (x varchar(1000))", "DROP TABLE t")]
    many += [migration(f"{n}", f"-- {n}\n" + row * 1000) for n in range(2, 22)]
    assert sum(len(each.up or "") for each in many) > 19_000_000
    ended = pod.run(order(*many), place.secret)
    assert (ended.code, ended.result.version) == (0, "21"), ended.text
    assert place.query("SELECT count(*) FROM t") == [(20_000,)]


def test_names_of_any_kind(place: Place, pod: Pod) -> None:
    named = migration("1", "CREATE TABLE t (x int)", name="orders-0001-" + "x" * 200, description="ü'\"\\;--")
    assert pod.run(order(named), place.secret).code == 0
    assert place.query(f"SELECT name, description FROM {place.ledger('history')}") == [(named.name, named.description)]
