"""The place of a SQLite file, read from what a Secret may say."""

import pytest

from lockstep.api.reasons import Reason
from lockstep.engines import engine_of
from lockstep.engines.base import RunError, SecretWords
from lockstep.engines.sqlite.dsn import parse

URLS = {
    "sqlite:////data/app.db": ("/data/app.db", "rw"),
    "sqlite:///data/app.db": ("/data/app.db", "rw"),
    "sqlite:/data/app.db": ("/data/app.db", "rw"),
    "sqlite3:///data/app.db?mode=rwc": ("/data/app.db", "rwc"),
    "sqlite+pysqlite:////data/app.db": ("/data/app.db", "rw"),
    "jdbc:sqlite:/data/app.db": ("/data/app.db", "rw"),
    "file:/data/app.db?mode=ro&cache=shared": ("/data/app.db", "ro"),
    "file:///data/app.db": ("/data/app.db", "rw"),
    "SQLITE:///data/a%20b%3F%C3%BC.db": ("/data/a b?ü.db", "rw"),
    "sqlite:///data/app.db?_fk=1&_pragma=busy_timeout(5000)&timeout=5#x": ("/data/app.db", "rw"),
    "/data/app.db": ("/data/app.db", "rw"),
}


@pytest.mark.parametrize(("url", "found"), URLS.items())
def test_a_url_names_an_absolute_path(url: str, found: tuple[str, str]) -> None:
    params = parse(SecretWords(url=url), "s")
    assert (params["path"], params["mode"]) == found
    assert engine_of(url) == ("sqlite" if ":" in url else None)


def test_parts_name_it_too() -> None:
    assert parse(SecretWords(parts={"path": "/data/app.db"}), "s")["path"] == "/data/app.db"
    assert parse(SecretWords(parts={"dbname": "/data/app.db"}), "s")["path"] == "/data/app.db"


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("sqlite:app.db", "not absolute"),
        ("sqlite://host/app.db?mode=rw", "not absolute"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite::memory:", "names no file"),
        ("sqlite:///x.db?mode=memory", "rw, rwc, ro"),
        ("sqlite:///x.db?key=hunter2", "'key'"),
        ("sqlite:///x.db?hunter2@=1", "do not know"),
        ("sqlite:///x%00.db", "zero byte"),
        ("sqlite:///x%ff.db", "UTF-8"),
        ("postgres://u:hunter2@h/d", "begins neither"),
        ("hunter2", "begins neither"),
    ],
)
def test_what_makes_no_sense_is_told_without_being_repeated(url: str, word: str) -> None:
    with pytest.raises(RunError) as caught:
        parse(SecretWords(url=url), "orders-db")
    assert caught.value.reason is Reason.INVALID_URL
    assert word in caught.value.message
    assert "'orders-db'" in caught.value.message
    assert "hunter2" not in caught.value.message
