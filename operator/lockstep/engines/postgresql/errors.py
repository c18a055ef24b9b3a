"""What it means that a connection or one of Lockstep's own statements failed. Pure.

libpq gives no SQLSTATE for a connection that was never made, only text; it is read, and never repeated, since it
names hosts, users and databases.
"""

from typing import Final

from lockstep.api.reasons import Reason
from lockstep.engines.base import RunError
from lockstep.engines.postgresql.messages import SqlError

UNENCODABLE: Final = "22P05"
"""untranslatable_character."""
NOT_IN_ENCODING: Final = (
    "what the ledger keeps of it (spec.description, spec.irreversible, spec.repair.note) has characters that the "
    "database's encoding has not: write it without them"
)
_NOT_ONE: Final = "what answers is no PostgreSQL server: are host, port and spec.database.engine right?"
# The first that matches any of the hosts' messages wins: what needs a person's hand before what may pass.
_PATTERNS: Final = (
    ("password authentication failed", Reason.AUTHENTICATION_FAILED, "the server refused the password or the user"),
    ("no password supplied", Reason.AUTHENTICATION_FAILED, "the server asks for a password and the Secret has none"),
    ("sasl", Reason.AUTHENTICATION_FAILED, "the server refused the password or the user"),
    ("pam authentication failed", Reason.AUTHENTICATION_FAILED, "the server refused the password or the user"),
    ("ldap authentication failed", Reason.AUTHENTICATION_FAILED, "the server refused the password or the user"),
    ("peer authentication failed", Reason.AUTHENTICATION_FAILED, "the server refused the user (peer authentication)"),
    ("ident authentication failed", Reason.AUTHENTICATION_FAILED, "the server refused the user (ident)"),
    ("certificate authentication failed", Reason.TLS_FAILED, "the server refused the client certificate"),
    ("requires a valid client certificate", Reason.TLS_FAILED, "the server asks for a client certificate"),
    ("certificate required", Reason.TLS_FAILED, "the server asks for a client certificate"),
    ("no pg_hba.conf entry", Reason.AUTHENTICATION_FAILED, "the server's pg_hba.conf has no entry for this client"),
    ("pg_hba.conf rejects", Reason.AUTHENTICATION_FAILED, "the server's pg_hba.conf rejects this client"),
    ("authentication failed", Reason.AUTHENTICATION_FAILED, "the server refused the user"),
    ("no such user", Reason.AUTHENTICATION_FAILED, "the pooler does not know the user"),
    ("not permitted to log in", Reason.AUTHENTICATION_FAILED, "the role may not log in"),
    ("permission denied for database", Reason.AUTHENTICATION_FAILED, "the role may not connect to the database"),
    ("is not currently accepting connections", Reason.UNREACHABLE, "the database accepts no connections"),
    ("certificate verify failed", Reason.TLS_FAILED, "the server's certificate is not signed by the given CA"),
    ("signature", Reason.TLS_FAILED, "the server's certificate is not signed by the given CA"),
    ("does not match host name", Reason.TLS_FAILED, "the server's certificate is for another host name"),
    ("certificate has expired", Reason.TLS_FAILED, "the server's certificate has expired"),
    ("root certificate file", Reason.TLS_FAILED, "the CA to verify the server with is missing or unreadable"),
    ("certificate file", Reason.TLS_FAILED, "the client certificate is missing or unreadable"),
    ("private key file", Reason.TLS_FAILED, "the client certificate's key is missing, unreadable or does not match"),
    ("server does not support ssl", Reason.TLS_FAILED, "the server does not offer TLS, and it is asked for"),
    ("tlsv1 alert", Reason.TLS_FAILED, "the server refused the TLS handshake"),
    ("sslv3 alert", Reason.TLS_FAILED, "the server refused the TLS handshake"),
    ("ssl error", Reason.TLS_FAILED, "the TLS handshake failed"),
    ("invalid sslmode", Reason.INVALID_URL, "sslmode has an unknown value"),
    ("invalid port number", Reason.INVALID_URL, "the port is no number between 1 and 65535"),
    ("could not match", Reason.INVALID_URL, "there are not as many ports as hosts"),
    ("invalid connection option", Reason.INVALID_URL, "an option is unknown to this version of libpq"),
    ("invalid integer value", Reason.INVALID_URL, "an option that is a number has another value"),
    ("invalid value for parameter", Reason.INVALID_URL, "the server refused the value of an option"),
    ("unrecognized configuration parameter", Reason.INVALID_URL, "the server does not know an option"),
    ("unsupported startup parameter", Reason.INVALID_URL, "a pooler in between refuses an option of the URL"),
    ("session is read-only", Reason.READ_ONLY, "no host accepts writes"),
    ("server is in hot standby mode", Reason.READ_ONLY, "the server is a standby"),
    ("session is not read-only", Reason.READ_ONLY, "target_session_attrs asks for a standby; Lockstep needs a primary"),
    ("server is not in hot standby mode", Reason.READ_ONLY, "target_session_attrs asks for a standby"),
    ("too many clients", Reason.UNREACHABLE, "the server has no connection left"),
    ("too many connections", Reason.UNREACHABLE, "the role or the database has no connection left"),
    ("no more connections allowed", Reason.UNREACHABLE, "the pooler has no connection left"),
    ("remaining connection slots", Reason.UNREACHABLE, "the server has no connection left for this role"),
    ("starting up", Reason.UNREACHABLE, "the server is starting"),
    ("shutting down", Reason.UNREACHABLE, "the server is shutting down"),
    ("recovery mode", Reason.UNREACHABLE, "the server is recovering"),
    ("not yet accepting connections", Reason.UNREACHABLE, "the server is starting"),
    ("connection refused", Reason.UNREACHABLE, "the connection was refused: is the server up, and the port right?"),
    ("timeout expired", Reason.UNREACHABLE, "no answer in time: is a firewall or a NetworkPolicy in between?"),
    ("timed out", Reason.UNREACHABLE, "no answer in time: is a firewall or a NetworkPolicy in between?"),
    ("could not translate host name", Reason.UNREACHABLE, "the host name does not resolve"),
    ("failed to resolve host", Reason.UNREACHABLE, "the host name does not resolve"),
    ("name or service not known", Reason.UNREACHABLE, "the host name does not resolve"),
    ("no route to host", Reason.UNREACHABLE, "there is no route to the host"),
    ("network is unreachable", Reason.UNREACHABLE, "there is no route to the host"),
    ("no such file or directory", Reason.UNREACHABLE, "there is no such socket"),
    ("server closed the connection unexpectedly", Reason.UNREACHABLE, "the connection was closed while it was made"),
    ("server login", Reason.UNREACHABLE, "the pooler cannot log in to the server"),
    ("invalid response to ssl negotiation", Reason.UNREACHABLE, _NOT_ONE),
    ("expected authentication request", Reason.UNREACHABLE, _NOT_ONE),
)


def connect_error(text: str, secret: str) -> RunError:
    """Return what a failure to connect means; nothing of the text is repeated."""
    lowered = text.lower()
    reason, what = _classify(lowered)
    return RunError(reason, f"cannot connect with Secret {secret!r}: {what}")


def _classify(text: str) -> tuple[Reason, str]:
    if "database" in text and "does not exist" in text and 'role "' not in text:
        return Reason.DATABASE_NOT_FOUND, "the server has no such database"
    if "no such database" in text:
        return Reason.DATABASE_NOT_FOUND, "the pooler knows no such database"
    if 'role "' in text and "does not exist" in text:
        return Reason.AUTHENTICATION_FAILED, "the server knows no such user"
    for pattern, reason, what in _PATTERNS:
        if pattern in text:
            return reason, what
    return Reason.UNREACHABLE, "the connection failed for a reason that Lockstep does not know"


def own_error(error: SqlError, schema: str) -> RunError:
    """Return what it means that one of Lockstep's own statements failed."""
    words = f"SQLSTATE {error.sqlstate}: {error.text}"
    reason, text = Reason.RUNNER_FAILED, f"the ledger could not be used ({words})"
    match error.sqlstate:
        case "23502" if (error.table, error.column) == ("history", "epoch"):
            reason = Reason.FENCED
            text = "this run no longer holds its line (another has begun): nothing was recorded"
        case "42501":
            reason = Reason.PERMISSION_DENIED
            text = (
                f"the role lacks a right that the ledger needs ({words}): it must be able to create schema {schema!r} "
                "(GRANT CREATE ON DATABASE), or own it"
            )
        case state if state == UNENCODABLE:
            reason, text = Reason.STATEMENT_REFUSED, f"{NOT_IN_ENCODING} ({words})"
        case "22021":
            reason = Reason.ENGINE_NOT_SUPPORTED
            text = f"a name in this database is no UTF-8, which its encoding lets be ({words}): rename what has it"
        case "25006":
            reason, text = Reason.READ_ONLY, f"the database takes no writes ({words})"
        case "55P03" | "40P01":
            reason, text = Reason.LOCK_HELD, f"another session holds a lock on the ledger's tables ({words})"
        case state if state.startswith(("53", "57", "58")):
            reason, text = Reason.UNREACHABLE, f"the server cannot serve now ({words})"
        case state if state.startswith(("42", "22", "23")):
            reason, text = Reason.LEDGER_INVALID, f"schema {schema!r} is not as Lockstep has made it ({words})"
    return RunError(reason, text)
