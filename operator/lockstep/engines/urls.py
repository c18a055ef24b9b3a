"""What the URLs of all databases have in common, read by our own parser. Pure.

A library's parse error shows parts of the password, so none is ever asked; and no message here repeats any part of
what was read, except the name of a query key that can be nothing else. Passwords with odd characters are taken raw
wherever only one reading makes sense.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final
from urllib.parse import unquote_to_bytes

from lockstep.api.reasons import Reason
from lockstep.engines import ENGINES, FOREIGN, SCHEMES
from lockstep.engines.base import RunError

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*")
_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,40}")
_HOST: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\s:/?#\[\]@,\\'\"()]*)(?::(?P<port>[0-9]{0,5}))?")


class UnreadableError(Exception):
    """One way to read a URL makes no sense; the message names nothing of it."""


@contextmanager
def reading(what: str, secret: str, form: str) -> Iterator[None]:
    """Turn what is unreadable into the error of a run.

    Args:
        what: is read, such as `URL`.
        secret: name of the Secret that it is in.
        form: how it would be right.

    Raises:
        RunError: InvalidURL.
    """
    try:
        yield
    except UnreadableError as error:
        # `from None`: what lies behind it may hold parts of what was read.
        raise RunError(
            Reason.INVALID_URL, f"the {what} in Secret {secret!r} cannot be read: {error}; write {form}"
        ) from None


def is_scheme(text: str) -> bool:
    """Tell whether this may stand before `://`."""
    return _SCHEME.fullmatch(text) is not None


def check_scheme(scheme: str, *mine: str) -> None:
    """See that a scheme, with or without a driver, is one of these engines'.

    Raises:
        RunError: EngineNotSupported; it names the scheme's word only where that is a known one.
    """
    base = scheme.lower().partition("+")[0]
    named = SCHEMES.get(base)
    if named in mine:
        return
    if named is not None:
        text = f"the URL is one of {named}, and database.engine says {' or '.join(mine)}"
    else:
        what = base if base in FOREIGN else "what the URL names"
        text = f"{what} is no engine that Lockstep supports yet; it supports: {', '.join(ENGINES)}"
    raise RunError(Reason.ENGINE_NOT_SUPPORTED, text)


def read_url(rest: str, location: Callable[[str], dict[str, str]]) -> dict[str, str]:
    """Read what comes after `://`; the `@` that ends user and password is the one that lets the rest make sense.

    Args:
        rest: of the URL.
        location: reads what comes after user and password; what it finds wins.

    Raises:
        UnreadableError: as `location`.
    """

    def split_at(at: int) -> dict[str, str]:
        found = location(rest[at + 1 :])
        return _user(rest[:at]) | found if at >= 0 else found

    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    plain = rest[: len(authority)].rfind("@")
    try:
        return split_at(plain)
    except UnreadableError as error:
        # Its password may hold a raw `/`, `?` or `#`, which would have to be encoded.
        last = rest.rfind("@")
        if last == plain or not re.match(r"[^/?#:@]*:", rest[:last]) or not rest[last + 1 :]:
            raise
        try:
            return split_at(last)
        except UnreadableError:
            raise error from None


def _user(text: str) -> dict[str, str]:
    user, colon, password = text.partition(":")
    found = {"user": decode(user)} if user else {}
    return found | ({"password": decode(password)} if colon else {})


def split_location(text: str) -> tuple[str, str, str]:
    """Return hosts, database (still encoded) and query.

    Raises:
        UnreadableError: if something else is in between.
    """
    body, _, query = text.partition("?")
    hosts, _, database = body.partition("/")
    if "#" in body or "@" in database:
        raise UnreadableError("what stands between host and query is neither a port nor a database")
    return hosts, database, query


def host_and_port(text: str) -> tuple[str, str]:
    """Read one host, in brackets or percent-encoded where it must be, and its port; either may be empty.

    Raises:
        UnreadableError: if it is malformed.
    """
    found = _HOST.fullmatch(text)
    if found is None:
        raise UnreadableError("a host or its port is malformed")
    return decode(found["host"].strip("[]")), found["port"] or ""


def pairs_of(query: str) -> Iterator[tuple[str, str]]:
    """Yield a query's keys and values as they are written.

    Raises:
        UnreadableError: if a key has no value.
    """
    for pair in filter(None, query.split("&")):
        key, equals, value = pair.partition("=")
        if not equals:
            raise UnreadableError("a part of its query has no value")
        yield key, value


def unknown_key(key: str, query: str, whose: str) -> UnreadableError:
    """Return the error of a query's key that the clients of a database, such as MySQL's, do not know."""
    # With an @ behind it, what looks like a query may be a password.
    if "@" in query or not _KEY.fullmatch(key):
        return UnreadableError(f"its query has a key that {whose} clients do not know")
    return UnreadableError(f"its query has the unknown key {key!r}")


def decode(text: str) -> str:
    """Decode percent signs; one that begins no pair of hexadecimal digits is meant as it is.

    Raises:
        UnreadableError: if it is not UTF-8, or holds a zero byte.
    """
    try:
        decoded = unquote_to_bytes(text.encode()).decode()
    except UnicodeError:
        raise UnreadableError("a part of it is not UTF-8") from None
    return no_zero(decoded)


def no_zero(text: str) -> str:
    """Return a text in which no zero byte is, since a driver would take it for the end.

    Raises:
        UnreadableError: if there is one.
    """
    if "\x00" in text:
        raise UnreadableError("it holds a zero byte")
    return text


def secrets_of(params: Mapping[str, str], url: str | None) -> tuple[str, ...]:
    """Return what must never show: the passwords, and the URL as a whole."""
    return tuple(filter(None, (params.get("password"), params.get("sslpassword"), url)))
