"""A Secret's words as the driver's parameters; nothing of them in any message."""

from contextlib import suppress
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.api.reasons import Reason
from lockstep.engines.base import RunError, SecretWords
from lockstep.engines.mysql.dsn import parse
from lockstep.engines.urls import secrets_of


def read(url: str) -> dict[str, str]:
    return parse(SecretWords(url), "orders-db")


PLAIN = {"user": "u", "password": "p", "host": "h", "database": "d"}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mysql://u:p@h/d", PLAIN),
        ("mariadb://u:p@h:3307/d", {**PLAIN, "port": "3307"}),
        ("mysql2://u:p@h/d?encoding=utf8mb4&pool=5&timeout=5000", PLAIN),
        ("mysql+pymysql://u:p@h/d?charset=utf8mb4", PLAIN),
        ("MySQL://u:p@[::1]:3306/d", {**PLAIN, "host": "::1", "port": "3306"}),
        ("mysql://h/d?user=u&password=p%26", {**PLAIN, "password": "p&"}),
        (
            "jdbc:mysql://h:1/d?user=u&password=p&serverTimezone=UTC&rewriteBatchedStatements=true",
            {**PLAIN, "port": "1"},
        ),
        ("jdbc:mariadb://h/d?user=u&password=p&sslMode=verify-full", {**PLAIN, "sslmode": "verify-full"}),
        ("jdbc:mysql://h/d?user=u&password=p&connectTimeout=2500", {**PLAIN, "connect_timeout": "2"}),
        ("mysql://u:p@h/d?ssl-mode=VERIFY_IDENTITY", {**PLAIN, "sslmode": "verify-full"}),
        ("mysql://u:p@h/d?ssl_mode=REQUIRED", {**PLAIN, "sslmode": "require"}),
        ("mysql://u:p@h/d?sslmode=disable", {**PLAIN, "sslmode": "disable"}),
        ("jdbc:mysql://u:p@h/d?useSSL=false", {**PLAIN, "sslmode": "disable"}),
        ("jdbc:mysql://u:p@h/d?useSSL=true&requireSSL=true", {**PLAIN, "sslmode": "require"}),
        ("jdbc:mysql://u:p@h/d?verifyServerCertificate=true&useSSL=true", {**PLAIN, "sslmode": "verify-ca"}),
        ("jdbc:mysql://u:p@h/d?useSSL=true&verifyServerCertificate=true", {**PLAIN, "sslmode": "verify-ca"}),
        ("mysql://u:p@h/d?tls=skip-verify", {**PLAIN, "sslmode": "require"}),
        ("mysql://u:p@/d?socket=/run/s.sock", {"user": "u", "password": "p", "database": "d", "socket": "/run/s.sock"}),
        ("mysql://u:p%40%2F@h/d%20x", {**PLAIN, "password": "p@/", "database": "d x"}),
    ],
)
def test_urls_are_read(url: str, expected: dict[str, str]) -> None:
    assert read(url) == expected


@pytest.mark.parametrize("password", ["p@ss", "p/ss", "p?ss=1", "p#ss", "p%ss", "p:ss", "p%zz@/?#", "ünï 🐘"])
def test_odd_passwords_may_stand_as_they_are(password: str) -> None:
    assert read(f"mysql://u:{password}@h:3306/d") == {**PLAIN, "password": password, "port": "3306"}


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:hunter2@h",
        "mysql://u:hunter2@h/",
        "mysql://u:hunter2@/d",
        "mysql://:hunter2@h/d",
        "mysql://h/d?password=hunter2",
        "mysql://u:hunter2@h:99999/d",
        "mysql://u:hunter2@h:x/d",
        "mysql://u:hunter2@h1,h2/d",
        "mysql://u:hunter2@h/d/e",
        "mysql://u:hunter2@h/d?sslmode=hunter2",
        "mysql://u:hunter2@h/d?ssl-ca=/hunter2",
        "mysql://u:hunter2@h/d?connectTimeout=hunter2",
        "mysql://u:hunter2@h/d?hunter2",
        "mysql://u:hunter2@h/d?hunter2!=@",
        "mysql://u:hunter2%ff@h/d",
        "mysql://u:hunter2\x00@h/d",
        "mysql:u:hunter2@h/d",
        "u:hunter2@tcp(h:3306)/d",
        "hunter2",
    ],
)
def test_what_cannot_be_read_is_not_quoted(url: str) -> None:
    with pytest.raises(RunError) as caught:
        read(url)
    assert caught.value.reason is Reason.INVALID_URL
    assert "orders-db" in caught.value.message
    assert "hunter2" not in caught.value.message
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(RunError, match="unknown key 'max_execution'"):
        read("mysql://u:p@h/d?max_execution=1")


@pytest.mark.parametrize("url", ["postgres://u:s3cret@h/d", "oracle://h/d", "jdbc:sqlserver://h/d", "s3cret://x"])
def test_another_engine_is_named_only_if_it_is_a_known_word(url: str) -> None:
    with pytest.raises(RunError) as caught:
        read(url)
    assert caught.value.reason is Reason.ENGINE_NOT_SUPPORTED
    assert "s3cret" not in caught.value.message


def test_parts_are_read() -> None:
    parts = {"host": "h", "port": "3306", "dbname": "d", "user": "u", "password": "p", "sslmode": "VERIFY_CA"}
    assert parse(SecretWords(parts=parts), "s") == {**PLAIN, "port": "3306", "sslmode": "verify-ca"}


@pytest.mark.parametrize("wrong", [{"port": "hunter2"}, {"port": "0"}, {"sslmode": "hunter2"}, {"dbname": ""}])
def test_parts_that_cannot_be_read(wrong: dict[str, str]) -> None:
    with pytest.raises(RunError) as caught:
        parse(SecretWords(parts={"host": "h", "dbname": "d", "user": "u", **wrong}), "orders-db")
    assert caught.value.reason is Reason.INVALID_URL
    assert "hunter2" not in caught.value.message


WORDS = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=20)


@given(WORDS, WORDS, WORDS)
def test_whatever_is_encoded_is_read(user: str, password: str, database: str) -> None:
    url = f"mysql://{quote(user, safe='')}:{quote(password, safe='')}@h:3306/{quote(database, safe='')}"
    assert read(url) == {"user": user, "password": password, "host": "h", "port": "3306", "database": database}


@given(st.text(max_size=60))
def test_no_text_makes_it_fall_over(text: str) -> None:
    for url in (text, f"mysql://{text}", f"mysql://u:{text}@h/d", f"jdbc:mysql://h/d?{text}"):
        with suppress(RunError):
            assert read(url)["database"]


def test_the_secrets_are_password_and_url() -> None:
    assert secrets_of({"password": "p"}, "mysql://u:p@h/d") == ("p", "mysql://u:p@h/d")
    assert secrets_of({}, None) == ()
