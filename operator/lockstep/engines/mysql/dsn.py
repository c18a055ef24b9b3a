"""A Secret's words turned into the driver's parameters. Pure."""

import re
from collections.abc import Mapping
from typing import Final

from lockstep.engines.base import SecretWords
from lockstep.engines.urls import (
    UnreadableError,
    check_scheme,
    decode,
    host_and_port,
    is_scheme,
    no_zero,
    pairs_of,
    read_url,
    reading,
    split_location,
    unknown_key,
)

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
_FORM: Final = "mysql://user:password@host:port/database with odd characters percent-encoded"


def parse(words: SecretWords, secret: str) -> dict[str, str]:
    """Return the parameters, by the names in PARAMS.

    Raises:
        RunError: InvalidURL or EngineNotSupported.
    """
    if words.url is None:
        with reading("description of the database", secret, _FORM):
            return _checked(_of_parts(words.parts))
    with reading("URL", secret, _FORM):
        return _checked(_parse(no_zero(words.url)))


def _of_parts(parts: Mapping[str, str]) -> dict[str, str]:
    found = {_KEYS.get(key, key): value for key, value in parts.items()}
    if "sslmode" in found:
        found["sslmode"] = _mode(found["sslmode"])
    return found


def _checked(found: dict[str, str]) -> dict[str, str]:
    if not found.get("database"):
        raise UnreadableError("it names no database")
    if not found.get("host") and not found.get("socket"):
        raise UnreadableError("it names no host")
    if not found.get("user"):
        # The driver would take the name of the process's own user.
        raise UnreadableError("it names no user")
    for key, largest in (("port", 65535), ("connect_timeout", 3600)):
        value = found.get(key, "1")
        if not value.isascii() or not value.isdecimal() or not 0 < int(value[:9]) <= largest:
            raise UnreadableError(f"its {key} is no number between 1 and {largest}")
    return found


def _parse(text: str) -> dict[str, str]:
    jdbc = text[:5].lower() == "jdbc:"
    scheme, colon, rest = (text[5:] if jdbc else text).partition(":")
    if not colon or not is_scheme(scheme):
        raise UnreadableError("it is no URL")
    if not rest.startswith("//"):
        raise UnreadableError("after the scheme there is no //")
    check_scheme(scheme, "mysql", "mariadb")
    # MariaDB's JDBC driver takes `//host/db`, MySQL's `//user:password@host/db` too.
    return read_url(rest[2:], _parse_location)


def _parse_location(text: str) -> dict[str, str]:
    """Read host, database and query."""
    host, database, query = split_location(text)
    if "/" in database:
        raise UnreadableError("what stands between host and query is neither a port nor a database")
    found = _parse_host(host)
    if database:
        found["database"] = decode(database)
    return found | _parse_query(query)


def _parse_host(text: str) -> dict[str, str]:
    if not text:
        return {}
    if "," in text:
        raise UnreadableError("it names several hosts: name the one that takes writes")
    host, port = host_and_port(text)
    return ({"host": host} if host else {}) | ({"port": port} if port else {})


def _parse_query(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for raw, value in pairs_of(query):
        key = _dashed(raw)
        if key in _TLS_KEYS:
            found["sslmode"] = _mode(decode(value))
        elif key in {"usessl", "requiressl", "ssl", "verifyservercertificate", "ssl-verify-cert"}:
            _note_ssl(found, key, decode(value).lower())
        elif key == "connecttimeout":
            # Milliseconds, as JDBC has it.
            found["connect_timeout"] = _seconds(value)
        elif key in _KEYS:
            found[_KEYS[key]] = decode(value)
        elif _FILES.fullmatch(key):
            raise UnreadableError("its query names a certificate's file: give certificates in spec.database.tls")
        elif key not in _IGNORED:
            raise unknown_key(raw, query, "MySQL's")
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
        raise UnreadableError("its connectTimeout is no number of milliseconds")
    return str(max(1, int(milliseconds[:9]) // 1000))


def _dashed(key: str) -> str:
    """Return a key as all clients might have written it: in lower case, with dashes."""
    return key.lower().replace("_", "-")


def _mode(word: str) -> str:
    found = MODES.get(_dashed(word.strip()))
    if found is None:
        raise UnreadableError("its word for how TLS is used is none of DISABLED ... VERIFY_IDENTITY")
    return found
