"""Which keys of a Secret are read, and what is said when they are not there."""

import pytest

from lockstep.api.reasons import Reason
from lockstep.engines.base import RunError, Target
from lockstep.planning.wire import DatabaseOrder
from lockstep.runner.secret import read_secret

PLAIN = DatabaseOrder("orders-db")


@pytest.mark.parametrize("key", ["uri", "url", "DATABASE_URL"])
def test_a_url_wins_over_parts(key: str) -> None:
    name, words = read_secret({key: " postgres://h/d ", "host": "x", "user": "y"}, PLAIN)
    assert (name, words.url, dict(words.parts)) == ("postgresql", "postgres://h/d", {})


def test_parts_by_either_name() -> None:
    _, words = read_secret(
        {"host": "h", "username": "u", "database": "d", "password": "p", "type": "postgresql"}, PLAIN
    )
    assert words.parts == {"host": "h", "user": "u", "dbname": "d", "password": "p"}


@pytest.mark.parametrize(
    ("values", "database"),
    [
        ({"url": "sqlite:////data/app.db"}, PLAIN),
        ({"uri": "file:/data/app.db"}, PLAIN),
        ({"url": " jdbc:sqlite:/data/app.db "}, PLAIN),
        ({"path": "/data/app.db", "type": "sqlite"}, PLAIN),
        ({"path": "/data/app.db"}, DatabaseOrder("orders-db", engine="sqlite")),
        ({"database": "/data/app.db"}, DatabaseOrder("orders-db", engine="sqlite")),
        ({"url": "/data/app.db"}, DatabaseOrder("orders-db", engine="sqlite")),
    ],
)
def test_a_file_needs_neither_host_nor_user(values: dict[str, str], database: DatabaseOrder) -> None:
    name, words = read_secret(values, database)
    assert name == "sqlite"
    assert "/data/app.db" in (words.url or words.parts.get("path") or words.parts["dbname"])


def test_an_engine_takes_no_url_of_another() -> None:
    with pytest.raises(RunError) as caught:
        read_secret({"url": "sqlite:////data/hunter2.db"}, DatabaseOrder("orders-db", engine="postgresql"))
    assert caught.value.reason is Reason.INVALID_URL
    assert "postgresql" in caught.value.message
    assert "sqlite" in caught.value.message
    assert "hunter2" not in caught.value.message
    # These two are of one kind.
    assert read_secret({"url": "mysql://h/d"}, DatabaseOrder("orders-db", engine="mariadb"))[0] == "mariadb"


def test_an_empty_key_is_no_key() -> None:
    _, words = read_secret({"uri": "", "host": "h", "user": "", "username": "u"}, PLAIN)
    assert words.parts == {"host": "h", "user": "u"}


def test_nothing_of_it_shows_in_a_repr() -> None:
    _, words = read_secret({"uri": "postgres://u:hunter2@h/d"}, PLAIN)
    assert "hunter2" not in repr(words)
    _, words = read_secret({"host": "h", "user": "u", "password": "hunter2"}, PLAIN)
    assert "hunter2" not in repr(words)
    assert "hunter2" not in repr(Target("postgresql", {"password": "hunter2"}, ("hunter2",)))


@pytest.mark.parametrize(
    ("values", "database", "reason", "word"),
    [
        ({}, PLAIN, Reason.SECRET_NOT_FOUND, "orders-db"),
        ({"foo": "hunter2", "bar": ""}, PLAIN, Reason.SECRET_KEY_NOT_FOUND, "it has: bar, foo"),
        ({"uri": "x"}, DatabaseOrder("orders-db", key="dsn"), Reason.SECRET_KEY_NOT_FOUND, "'dsn'; it has: uri"),
        ({"host": "h"}, DatabaseOrder("orders-db", engine="sqlite"), Reason.SECRET_KEY_NOT_FOUND, "path or file or"),
        ({"uri": "x"}, DatabaseOrder("orders-db", engine="oracle"), Reason.ENGINE_NOT_SUPPORTED, "postgresql"),
        ({"type": "oracle", "host": "h", "user": "u"}, PLAIN, Reason.ENGINE_NOT_SUPPORTED, "'oracle'"),
        ({"type": "mysql", "host": "h", "user": "u"}, PLAIN, Reason.SECRET_KEY_NOT_FOUND, "dbname or database"),
    ],
)
def test_what_is_missing_is_named(values: dict[str, str], database: DatabaseOrder, reason: Reason, word: str) -> None:
    with pytest.raises(RunError) as caught:
        read_secret(values, database)
    assert caught.value.reason is reason
    assert word in caught.value.message
    assert "hunter2" not in caught.value.message
