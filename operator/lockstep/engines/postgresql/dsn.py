"""A Secret's words turned into libpq's parameters. Pure."""

import re
from typing import Final

from lockstep.engines import FOREIGN
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
_FORM: Final = "postgresql://user:password@host:port/dbname with odd characters percent-encoded"
_WORD: Final = re.compile(r"\s*([A-Za-z_]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)*))(?=\s|\Z)", re.DOTALL)


def parse(words: SecretWords, secret: str) -> dict[str, str]:
    """Return libpq's parameters.

    Raises:
        RunError: InvalidURL or EngineNotSupported.
    """
    if words.url is None:
        return dict(words.parts)
    with reading("URL", secret, _FORM):
        return _parse(no_zero(words.url))


def _parse(text: str) -> dict[str, str]:
    lowered = text[:40].lower()
    if lowered.startswith("jdbc:"):
        return _parse_jdbc(text[5:])
    scheme, colon, rest = text.partition("://")
    if colon and is_scheme(scheme):
        check_scheme(scheme, "postgresql")
        return read_url(rest, _parse_location)
    # A foreign URL without slashes (sqlite:file.db), or keywords.
    if (opaque := re.match(r"([A-Za-z][A-Za-z0-9+]*):", text)) is not None and opaque[1].lower() in FOREIGN:
        check_scheme(opaque[1], "postgresql")
    return _parse_keywords(text)


def _parse_location(text: str) -> dict[str, str]:
    """Read hosts, database and query."""
    hosts, dbname, query = split_location(text)
    found = _parse_hosts(hosts)
    if dbname:
        found["dbname"] = decode(dbname)
    # As in libpq, what the query says wins.
    return found | _parse_query(query)


def _parse_hosts(text: str) -> dict[str, str]:
    if not text:
        return {}
    hosts: list[str] = []
    ports: list[str] = []
    for each in text.split(","):
        host, port = host_and_port(each)
        hosts.append(host)
        if port and not 0 < int(port) < 65536:
            raise UnreadableError("a port is not between 1 and 65535")
        ports.append(port)
    return {"host": ",".join(hosts)} | ({"port": ",".join(ports)} if any(ports) else {})


def _parse_query(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for raw, value in pairs_of(query):
        key = _ALIASES.get(raw, raw)
        if key == "ssl" and value in _BOOLEANS:
            found["sslmode"] = "require" if value == "true" else "prefer"
        elif key in OPTIONS:
            found[key] = decode(value)
        else:
            raise unknown_key(raw, query, "PostgreSQL's")
    return found


def _parse_jdbc(text: str) -> dict[str, str]:
    scheme, colon, rest = text.partition(":")
    if not colon:
        raise UnreadableError("after jdbc: there is no engine")
    check_scheme(scheme, "postgresql")
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
            raise UnreadableError("it is neither a URL nor a list of key=value")
        key = _ALIASES.get(pair[1], pair[1])
        if key not in OPTIONS:
            # What looks like a key may be the tail of a password with a space in it.
            raise UnreadableError("it has a key that PostgreSQL's clients do not know")
        found[key] = re.sub(r"\\(.)", r"\1", pair[2] if pair[2] is not None else pair[3], flags=re.DOTALL)
        at = pair.end()
    if not found:
        raise UnreadableError("it is empty")
    return found
