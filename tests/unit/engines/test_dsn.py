"""URLs and keywords of every kind, and what is said of those that cannot be read."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.api.reasons import Reason
from lockstep.engines.base import RunError, SecretWords
from lockstep.engines.postgresql.dsn import parse


def read(url: str) -> dict[str, str]:
    return parse(SecretWords(url=url), "orders-db")


FULL = {"user": "u", "password": "p", "host": "h", "port": "1", "dbname": "d"}

GOOD: dict[str, tuple[str, dict[str, str]]] = {
    "postgres": ("postgres://u:p@h:1/d", FULL),
    "postgresql": ("postgresql://u:p@h:1/d", FULL),
    "driver": ("postgresql+psycopg://u:p@h:1/d", FULL),
    "upper-case": ("PostgreSQL://u:p@h:1/d", FULL),
    "bare": ("postgres://", {}),
    "no-user": ("postgres://h/d", {"host": "h", "dbname": "d"}),
    "no-database": ("postgres://u@h", {"user": "u", "host": "h"}),
    "several": ("postgres://u:p@h:1,i:2,j/d", FULL | {"host": "h,i,j", "port": "1,2,"}),
    "ipv6": ("postgres://u:p@[::1]:1/d", FULL | {"host": "::1"}),
    "socket": ("postgres://u:p@%2Fvar%2Frun:1/d", FULL | {"host": "/var/run"}),
    "socket-in-the-query": ("postgres://u:p@/d?host=/var/run&port=1", FULL | {"host": "/var/run"}),
    "query": (
        "postgres://u:p@h:1/d?sslmode=verify-full&options=-c%20a%3Db&connect_timeout=3",
        FULL | {"sslmode": "verify-full", "options": "-c a=b", "connect_timeout": "3"},
    ),
    "user-in-the-query": ("postgres://h:1/d?user=u&password=p", FULL),
    "at-in-the-query": ("postgres://h:1/d?user=u@x&password=p", FULL | {"user": "u@x"}),
    "ssl": ("postgres://u:p@h:1/d?ssl=true", FULL | {"sslmode": "require"}),
    "encoded": ("postgres://u%40:p%2F%3A%25@h:1/d%20e", FULL | {"user": "u@", "password": "p/:%", "dbname": "d e"}),
    "raw-at": ("postgres://u:p@ss@h:1/d", FULL | {"password": "p@ss"}),
    "raw-slash": ("postgres://u:p/ss@h:1/d", FULL | {"password": "p/ss"}),
    "raw-question": ("postgres://u:p?s=s@h:1/d", FULL | {"password": "p?s=s"}),
    "raw-hash": ("postgres://u:p#ss@h:1/d", FULL | {"password": "p#ss"}),
    "raw-percent": ("postgres://u:100%@h:1/d", FULL | {"password": "100%"}),
    "raw-colon": ("postgres://u:p:q@h:1/d", FULL | {"password": "p:q"}),
    "raw-plus": ("postgres://u:p+q@h:1/d", FULL | {"password": "p+q"}),
    "raw-brackets": ("postgres://u:p[q]@h:1/d", FULL | {"password": "p[q]"}),
    "raw-port-like": ("postgres://u:12/3@h:1/d", FULL | {"password": "12/3"}),
    "raw-all": (
        "postgres://u:a/b?c=d#e@f:g@h:1/d?sslmode=disable",
        FULL | {"password": "a/b?c=d#e@f:g", "sslmode": "disable"},
    ),
    "jdbc": ("jdbc:postgresql://h:1/d?user=u&password=p", FULL),
    "jdbc-options": (
        "jdbc:postgresql://h:1,i:2/d?user=u&password=p&ssl=true&ApplicationName=x&targetServerType=primary&tcpKeepAlive=true",
        FULL
        | {
            "host": "h,i",
            "port": "1,2",
            "sslmode": "verify-full",
            "application_name": "x",
            "target_session_attrs": "primary",
            "keepalives": "1",
        },
    ),
    "jdbc-local": ("jdbc:postgresql:d?user=u", {"dbname": "d", "user": "u"}),
    "keywords": ("host=h port=1 dbname=d user=u password=p", FULL),
    "keywords-quoted": ("host = h port=1 dbname=d user=u password='p \\'q\\\\ '", FULL | {"password": "p 'q\\ "}),
}


@pytest.mark.parametrize(("url", "expected"), GOOD.values(), ids=GOOD.keys())
def test_is_read(url: str, expected: dict[str, str]) -> None:
    assert read(url) == expected


BAD = {
    "empty": "",
    "word": "hunter2",
    "port-word": "postgres://u:hunter2@h:port/d",
    "port-high": "postgres://u:hunter2@h:99999/d",
    "host-space": "postgres://u:hunter2@h h/d",
    "no-value": "postgres://u:hunter2@h/d?sslmode",
    "zero": "postgres://u:hunter2%00@h/d",
    "not-utf-8": "postgres://u:hunter2%ff@h/d",
    "keyword": "host=h hunter2=1",
    "keyword-open": "host=h password='hunter2",
    "password-with-space": "host=h password=hun ter2=x",
    "jdbc": "jdbc:hunter2",
    "unknown-key-with-at": "postgres://h/d?hunter2=@",
}


@pytest.mark.parametrize("url", BAD.values(), ids=BAD.keys())
def test_what_cannot_be_read_is_not_repeated(url: str) -> None:
    with pytest.raises(RunError) as caught:
        read(url)
    assert caught.value.reason is Reason.INVALID_URL
    assert "ter2" not in caught.value.message
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(RunError, match="unknown key 'pgbouncer'"):
        read("postgres://u:p@h/d?pgbouncer=true")


@pytest.mark.parametrize(
    "url",
    ["mysql://u:s3cret@h/d", "mysql+pymysql://h/d", "sqlite:///x", "sqlite:x.db", "jdbc:mysql://h/d", "s3cret://x"],
)
def test_another_engine_is_named_only_if_it_is_a_known_word(url: str) -> None:
    with pytest.raises(RunError) as caught:
        read(url)
    assert caught.value.reason is Reason.ENGINE_NOT_SUPPORTED
    assert "postgresql" in caught.value.message
    assert "s3cret" not in caught.value.message


WORDS = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=20)


@given(WORDS, WORDS, WORDS)
def test_whatever_is_encoded_is_read(user: str, password: str, dbname: str) -> None:
    url = f"postgresql://{quote(user, safe='')}:{quote(password, safe='')}@h:1/{quote(dbname, safe='')}"
    assert read(url) == {"user": user, "password": password, "host": "h", "port": "1", "dbname": dbname}


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="%"), min_size=1))
def test_a_raw_password_is_read_right_or_refused(password: str) -> None:
    try:
        found = read(f"postgresql://user:{password}@db.example:5432/orders")
    except RunError as error:
        assert error.reason is Reason.INVALID_URL  # noqa: PT017 - either end is right
        return
    assert found["host"] == "db.example"
    assert found["password"] == password


@given(st.text(max_size=80))
def test_nothing_else_than_a_run_error_comes_out(text: str) -> None:
    try:
        read(text)
    except RunError as error:
        assert error.reason in {Reason.INVALID_URL, Reason.ENGINE_NOT_SUPPORTED}  # noqa: PT017 - either end is right
