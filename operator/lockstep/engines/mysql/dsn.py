"""A Secret's words turned into the driver's parameters by our own parser. Pure.

As for PostgreSQL, no library's parser is asked, since its error would show parts of the password, and no message
repeats any part of what was read, except the name of a query key that can be nothing else.
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from lockstep.api.reasons import Reason
from lockstep.engines import ENGINES, FOREIGN
from lockstep.engines.base import RunError, SecretWords

SCHEMES: Final = frozenset({"mysql", "mariadb", "mysql2"})
"""Schemes before any `+driver`; mysql2 is how Rails writes it."""
PARAMS: Final = frozenset({"host", "port", "database", "user", "password", "socket", "sslmode", "connect_timeout"})
"""What the parser returns; sslmode has libpq's words, as in the order, and connect_timeout is in seconds."""

MODES: Final = {
    "disable": "disable",
    "disabled": "disable",
    "false": "disable",
    "off": "disable",
    "prefer": "prefer",
    "preferred": "prefer",
    "require": "require",
    "required": "require",
    "trust": "require",
    "true": "require",
    "skip-verify": "require",
    "verify-ca": "verify-ca",
    "verify-full": "verify-full",
    "verify-identity": "verify-full",
}
"""The words that clients have for how TLS is used, in lower case and with dashes, and libpq's."""

_KEYS: Final = {
    "user": "user",
    "username": "user",
    "password": "password",
    "socket": "socket",
    "unix-socket": "socket",
    "host": "host",
    "port": "port",
    "database": "database",
    "dbname": "database",
    "connect-timeout": "connect_timeout",
}
_TLS_KEYS: Final = frozenset({"sslmode", "ssl-mode", "tls"})
_FILES: Final = re.compile(r"(?:ssl|tls)-?(?:ca|cert|key|capath|crl|crlpath)|(?:trust|client)-?(?:certificate)?-?key.*")
# What only tells a client how to present values, or how to work with its pool: nothing of it concerns a migration.
_IGNORED: Final = frozenset(
    """
    charset collation use-unicode character-encoding characterencoding useunicode parsetime loc multistatements
    interpolateparams allownativepasswords allowcleartextpasswords clientfoundrows columnswithalias
    allowpublickeyretrieval servertimezone connectiontimezone forceconnectiontimezonetosession uselegacydatetimecode
    usejdbccomplianttimezoneshift zerodatetimebehavior rewritebatchedstatements autoreconnect failoverreadonly
    maxreconnects allowmultiqueries nullcatalogmeanscurrent usecursorfetch defaultfetchsize cacheprepstmts
    prepstmtcachesize prepstmtcachesqllimit useserverprepstmts useserverpreparedstatements tinyint1isbit
    sockettimeout tcpkeepalive usecompression pool pool-size reconnect encoding adapter timeout read-timeout
    write-timeout readtimeout writetimeout maxallowedpacket local-infile allowloadlocalinfile
    """.split()  # noqa: SIM905 - a list of 50 quoted words reads worse
)
_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,40}")
_HOST: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\s:/?#\[\]@,\\'\"()]*)(?::(?P<port>[0-9]{0,5}))?")
_BAD_PERCENT: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_FORM: Final = "mysql://user:password@host:port/database"


class _UnreadableError(Exception):
    """One way to read a URL makes no sense; the message names nothing of it."""


def parse(words: SecretWords, secret: str) -> dict[str, str]:
    """Return the parameters, by the names in PARAMS.

    Raises:
        RunError: InvalidURL or EngineNotSupported.
    """
    try:
        if words.url is None:
            return _checked(_of_parts(words.parts))
        if "\x00" in words.url:
            raise _UnreadableError("it holds a zero byte")
        return _checked(_parse(words.url))
    except _UnreadableError as error:
        what = "URL" if words.url is not None else "description of the database"
        raise RunError(
            Reason.INVALID_URL,
            f"the {what} in Secret {secret!r} cannot be read: {error}; write {_FORM} with odd characters "
            "percent-encoded",
        ) from None


def _of_parts(parts: Mapping[str, str]) -> dict[str, str]:
    found = {_KEYS.get(key, key): value for key, value in parts.items()}
    if "sslmode" in found:
        found["sslmode"] = _mode(found["sslmode"])
    return found


def _checked(found: dict[str, str]) -> dict[str, str]:
    if not found.get("database"):
        raise _UnreadableError("it names no database")
    if not found.get("host") and not found.get("socket"):
        raise _UnreadableError("it names no host")
    if not found.get("user"):
        # The driver would take the name of the process's own user.
        raise _UnreadableError("it names no user")
    for key, largest in (("port", 65535), ("connect_timeout", 3600)):
        value = found.get(key, "1")
        if not value.isascii() or not value.isdecimal() or not 0 < int(value[:9]) <= largest:
            raise _UnreadableError(f"its {key} is no number between 1 and {largest}")
    return found


def _parse(text: str) -> dict[str, str]:
    jdbc = text[:5].lower() == "jdbc:"
    scheme, colon, rest = (text[5:] if jdbc else text).partition(":")
    if not colon or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.\-]*", scheme):
        raise _UnreadableError("it is no URL")
    if not rest.startswith("//"):
        raise _UnreadableError("after the scheme there is no //")
    _check_scheme(scheme)
    # MariaDB's JDBC driver takes `//host/db`, MySQL's `//user:password@host/db` too.
    return _parse_url(rest[2:])


def _check_scheme(scheme: str) -> None:
    base = scheme.lower().partition("+")[0]
    if base in SCHEMES:
        return
    known = ", ".join(ENGINES)
    if base in ENGINES or base == "postgres":
        text = f"the URL is one of {base}, and database.engine says another engine"
    elif base in FOREIGN:
        text = f"{base} is no engine that Lockstep supports yet; it supports: {known}"
    else:
        text = f"what the URL names is no engine that Lockstep supports yet; it supports: {known}"
    raise RunError(Reason.ENGINE_NOT_SUPPORTED, text)


def _parse_url(rest: str) -> dict[str, str]:
    """Read what comes after `://`; the `@` that ends user and password is the one that lets the rest make sense."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    plain = rest[: len(authority)].rfind("@")
    try:
        return _parse_from(rest, plain)
    except _UnreadableError as error:
        # Its password may hold a raw `/`, `?` or `#`, which would have to be encoded.
        last = rest.rfind("@")
        if last == plain or not re.match(r"[^/?#:@]*:", rest[:last]) or not rest[last + 1 :]:
            raise
        try:
            return _parse_from(rest, last)
        except _UnreadableError:
            raise error from None


def _parse_from(rest: str, at: int) -> dict[str, str]:
    found = _parse_location(rest[at + 1 :])
    return _parse_user(rest[:at]) | found if at >= 0 else found


def _parse_user(text: str) -> dict[str, str]:
    user, colon, password = text.partition(":")
    found = {"user": _decode(user)} if user else {}
    return found | ({"password": _decode(password)} if colon else {})


def _parse_location(text: str) -> dict[str, str]:
    """Read host, database and query."""
    body, _, query = text.partition("?")
    host, _, database = body.partition("/")
    if "#" in body or "@" in database or "/" in database:
        raise _UnreadableError("what stands between host and query is neither a port nor a database")
    found = _parse_host(host)
    if database:
        found["database"] = _decode(database)
    return found | _parse_query(query)


def _parse_host(text: str) -> dict[str, str]:
    if not text:
        return {}
    if "," in text:
        raise _UnreadableError("it names several hosts: name the one that takes writes")
    found = _HOST.fullmatch(text)
    if found is None:
        raise _UnreadableError("the host or its port is malformed")
    host = _decode(found["host"].strip("[]"))
    return ({"host": host} if host else {}) | ({"port": found["port"]} if found["port"] else {})


def _parse_query(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in filter(None, query.split("&")):
        raw, equals, value = pair.partition("=")
        if not equals:
            raise _UnreadableError("a part of its query has no value")
        key = _dashed(raw)
        if key in _TLS_KEYS:
            found["sslmode"] = _mode(_decode(value))
        elif key in {"usessl", "requiressl", "ssl", "verifyservercertificate", "ssl-verify-cert"}:
            _note_ssl(found, key, _decode(value).lower())
        elif key == "connecttimeout":
            # Milliseconds, as JDBC has it.
            found["connect_timeout"] = _seconds(value)
        elif key in _KEYS:
            found[_KEYS[key]] = _decode(value)
        elif _FILES.fullmatch(key):
            raise _UnreadableError("its query names a certificate's file: give certificates in spec.database.tls")
        elif key not in _IGNORED:
            raise _unknown(raw, query)
    return found


def _note_ssl(found: dict[str, str], key: str, value: str) -> None:
    """Take one of the switches of older drivers; a mode that verifies is never lowered by another switch."""
    on = value in {"true", "1", "yes", ""}
    if key in {"verifyservercertificate", "ssl-verify-cert"}:
        if on:
            found["sslmode"] = "verify-ca"
    elif on:
        found.setdefault("sslmode", "require")
    elif key != "requiressl":
        found.setdefault("sslmode", "disable")


def _seconds(milliseconds: str) -> str:
    if not milliseconds.isascii() or not milliseconds.isdecimal():
        raise _UnreadableError("its connectTimeout is no number of milliseconds")
    return str(max(1, int(milliseconds[:9]) // 1000))


def _dashed(key: str) -> str:
    """Return a key as all clients might have written it: in lower case, with dashes."""
    return key.lower().replace("_", "-")


def _mode(word: str) -> str:
    found = MODES.get(_dashed(word.strip()))
    if found is None:
        raise _UnreadableError("its word for how TLS is used is none of DISABLED ... VERIFY_IDENTITY")
    return found


def _unknown(key: str, query: str) -> _UnreadableError:
    # With an @ behind it, what looks like a query may be a password.
    if "@" in query or not _KEY.fullmatch(key):
        return _UnreadableError("its query has a key that MySQL's clients do not know")
    return _UnreadableError(f"its query has the unknown key {key!r}")


def _decode(text: str) -> str:
    """Decode percent signs; one that begins no pair of hexadecimal digits is meant as it is."""
    try:
        decoded = unquote_to_bytes(_BAD_PERCENT.sub(b"%25", text.encode())).decode()
    except UnicodeError:
        raise _UnreadableError("a part of it is not UTF-8") from None
    if "\x00" in decoded:
        raise _UnreadableError("it holds a zero byte")
    return decoded


def secrets_of(params: Mapping[str, str], url: str | None) -> tuple[str, ...]:
    """Return what must never show: the password, and the URL as a whole."""
    return tuple(each for each in (params.get("password", ""), url or "") if each)
