"""A Secret's words turned into libpq's parameters by our own parser. Pure.

A library's parse error shows parts of the password, so none is ever asked; and no message here repeats any part of
what was read, except the name of a query key that can be nothing else. Passwords with odd characters are taken raw
wherever only one reading makes sense.
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from lockstep.api.reasons import Reason
from lockstep.engines import ENGINES, FOREIGN, SCHEMES
from lockstep.engines.base import RunError, SecretWords

OPTIONS: Final = frozenset(
    """
    user password host hostaddr port dbname passfile require_auth channel_binding connect_timeout client_encoding
    options application_name fallback_application_name keepalives keepalives_idle keepalives_interval
    keepalives_count tcp_user_timeout replication gssencmode sslmode sslnegotiation sslcompression sslcert sslkey
    sslkeylogfile sslpassword sslcertmode sslrootcert sslcrl sslcrldir sslsni requirepeer ssl_min_protocol_version
    ssl_max_protocol_version min_protocol_version max_protocol_version krbsrvname gsslib gssdelegation
    target_session_attrs load_balance_hosts
    """.split()  # noqa: SIM905 - a list of 40 quoted words reads worse
)
"""libpq's parameters; `service` is left out, since its file is not ours."""

_ALIASES: Final = {"username": "user", "database": "dbname", "ssl_mode": "sslmode"}
_JDBC: Final = {
    "ApplicationName": "application_name",
    "connectTimeout": "connect_timeout",
    "loginTimeout": "connect_timeout",
    "targetServerType": "target_session_attrs",
    "tcpKeepAlive": "keepalives",
    "channelBinding": "channel_binding",
    "gssEncMode": "gssencmode",
}
_JDBC_SERVERS: Final = {
    "any": "any",
    "primary": "primary",
    "master": "primary",
    "secondary": "standby",
    "slave": "standby",
    "preferSlave": "prefer-standby",
    "preferSecondary": "prefer-standby",
    "preferPrimary": "any",
}
_BOOLEANS: Final = {"true": "1", "false": "0"}
_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,40}")
_HOST: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\s:/?#\[\]@,\\'\"]*)(?::(?P<port>[0-9]{0,5}))?")
_BAD_PERCENT: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_WORD: Final = re.compile(r"\s*([A-Za-z_]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)*))(?=\s|\Z)", re.DOTALL)


class _UnreadableError(Exception):
    """One way to read a URL makes no sense; the message names nothing of it."""


def parse(words: SecretWords, secret: str) -> dict[str, str]:
    """Return libpq's parameters.

    Raises:
        RunError: InvalidURL or EngineNotSupported.
    """
    if words.url is None:
        return dict(words.parts)
    text = words.url
    try:
        if "\x00" in text:
            raise _UnreadableError("it holds a zero byte")
        return _parse(text)
    except _UnreadableError as error:
        raise RunError(
            Reason.INVALID_URL,
            f"the URL in Secret {secret!r} cannot be read: {error}; write postgresql://user:password@host:port/dbname "
            "with odd characters percent-encoded",
        ) from None


def _parse(text: str) -> dict[str, str]:
    lowered = text[:40].lower()
    if lowered.startswith("jdbc:"):
        return _parse_jdbc(text[5:])
    scheme, colon, rest = text.partition("://")
    if colon and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.\-]*", scheme):
        _check_scheme(scheme)
        return _parse_url(rest)
    # A foreign URL without slashes (sqlite:file.db), or keywords.
    if (opaque := re.match(r"([A-Za-z][A-Za-z0-9+]*):", text)) is not None and opaque[1].lower() in FOREIGN:
        _check_scheme(opaque[1])
    return _parse_keywords(text)


def _check_scheme(scheme: str) -> None:
    base = scheme.lower().partition("+")[0]
    if SCHEMES.get(base) == "postgresql":
        return
    known = ", ".join(ENGINES)
    what = f"{base} is" if base in FOREIGN else "what the URL names is"
    raise RunError(Reason.ENGINE_NOT_SUPPORTED, f"{what} no engine that Lockstep supports yet; it supports: {known}")


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
    # As in libpq, what the query says wins.
    return _parse_user(rest[:at]) | found if at >= 0 else found


def _parse_user(text: str) -> dict[str, str]:
    user, colon, password = text.partition(":")
    found = {"user": _decode(user)} if user else {}
    return found | ({"password": _decode(password)} if colon else {})


def _parse_location(text: str) -> dict[str, str]:
    """Read hosts, database and query."""
    body, _, query = text.partition("?")
    hosts, _, dbname = body.partition("/")
    if "#" in body or "@" in dbname:
        raise _UnreadableError("what stands between host and query is neither a port nor a database")
    found = _parse_hosts(hosts)
    if dbname:
        found["dbname"] = _decode(dbname)
    for key, value in _parse_query(query).items():
        found[key] = value
    return found


def _parse_hosts(text: str) -> dict[str, str]:
    if not text:
        return {}
    hosts: list[str] = []
    ports: list[str] = []
    for each in text.split(","):
        found = _HOST.fullmatch(each)
        if found is None:
            raise _UnreadableError("a host or its port is malformed")
        hosts.append(_decode(found["host"].strip("[]")))
        port = found["port"] or ""
        if port and not 0 < int(port) < 65536:
            raise _UnreadableError("a port is not between 1 and 65535")
        ports.append(port)
    return {"host": ",".join(hosts)} | ({"port": ",".join(ports)} if any(ports) else {})


def _parse_query(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in filter(None, query.split("&")):
        raw, equals, value = pair.partition("=")
        key = _ALIASES.get(raw, raw)
        if not equals:
            raise _UnreadableError("a part of its query has no value")
        if key == "ssl" and value in _BOOLEANS:
            found["sslmode"] = "require" if value == "true" else "prefer"
        elif key in OPTIONS:
            found[key] = _decode(value)
        else:
            raise _unknown(raw, query)
    return found


def _unknown(key: str, query: str) -> _UnreadableError:
    # With an @ behind it, what looks like a query may be a password.
    if "@" in query or not _KEY.fullmatch(key):
        return _UnreadableError("its query has a key that PostgreSQL's clients do not know")
    return _UnreadableError(f"its query has the unknown key {key!r}")


def _decode(text: str) -> str:
    """Decode percent signs; one that begins no pair of hexadecimal digits is meant as it is."""
    data = unquote_to_bytes(_BAD_PERCENT.sub(b"%25", text.encode()))
    try:
        decoded = data.decode()
    except UnicodeDecodeError:
        raise _UnreadableError("a percent-encoded part is not UTF-8") from None
    if "\x00" in decoded:
        raise _UnreadableError("it holds a zero byte")
    return decoded


def _parse_jdbc(text: str) -> dict[str, str]:
    scheme, colon, rest = text.partition(":")
    if not colon:
        raise _UnreadableError("after jdbc: there is no engine")
    _check_scheme(scheme)
    if not rest.startswith("//"):
        body, question, query = rest.partition("?")
        rest = f"///{body.lstrip('/')}{question}{query}"
    body, question, query = rest[2:].partition("?")
    pairs: list[str] = []
    for pair in filter(None, query.split("&")):
        key, _, value = pair.partition("=")
        if key == "ssl":
            # pgjdbc's ssl=true verifies the server.
            pairs.append(f"sslmode={'verify-full' if value in {'', 'true'} else 'prefer'}")
            continue
        if key == "targetServerType":
            value = _JDBC_SERVERS.get(value, "any")
        pairs.append(f"{_JDBC.get(key, key)}={_BOOLEANS.get(value, value)}")
    return _parse_location(f"{body}{question}{'&'.join(pairs)}")


def _parse_keywords(text: str) -> dict[str, str]:
    """Read libpq's `host=... user='...'`."""
    found: dict[str, str] = {}
    at = 0
    while at < len(text.rstrip()):
        pair = _WORD.match(text, at)
        if pair is None:
            raise _UnreadableError("it is neither a URL nor a list of key=value")
        key = _ALIASES.get(pair[1], pair[1])
        if key not in OPTIONS:
            # What looks like a key may be the tail of a password with a space in it.
            raise _UnreadableError("it has a key that PostgreSQL's clients do not know")
        found[key] = re.sub(r"\\(.)", r"\1", pair[2] if pair[2] is not None else pair[3], flags=re.DOTALL)
        at = pair.end()
    if not found:
        raise _UnreadableError("it is empty")
    return found


def secrets_of(params: Mapping[str, str], url: str | None) -> tuple[str, ...]:
    """Return what must never show: the passwords, and the URL as a whole."""
    found = [params.get("password", ""), params.get("sslpassword", ""), url or ""]
    return tuple(each for each in found if each)
