"""What error numbers mean, and that no row's data shows."""

import socket
import ssl

import pymysql
import pytest
from pymysql._auth import ed25519_password

from lockstep.api.reasons import Reason
from lockstep.engines.base import RunError
from lockstep.engines.mysql.catalog import named
from lockstep.engines.mysql.channel import SqlError
from lockstep.engines.mysql.errors import connect_error, is_lost, line_in, mask_sql, own_error, words_of
from lockstep.engines.mysql.lease import session_of, until_of
from lockstep.engines.mysql.lock import lock_name
from lockstep.engines.mysql.server import Server, check_server, version_of
from lockstep.engines.mysql.session import SQL_MODES, settings


@pytest.mark.parametrize(
    ("number", "text", "shown"),
    [
        (1062, "Duplicate entry 'ann@x' for key 'users.email'", "Duplicate entry ? for key 'users.email'"),
        (1062, "Duplicate entry 'o'neill' for key 'a' for key 'email'", "Duplicate entry ? for key 'email'"),
        (1366, "Incorrect integer value: 'secret' for column `d`.`t`.`x` at row 1",
         "Incorrect integer value: ? for column `d`.`t`.`x` at row 1"),
        (1292, "Truncated incorrect DOUBLE value: 'secret'", "Truncated incorrect DOUBLE value: ?"),
        (3140, 'Invalid JSON text: "secret" at position 1', "Invalid JSON text: ? at position 1"),
        (1690, "BIGINT value is out of range in '(1 + `secret`)'", "BIGINT value is out of range in ?"),
        (1146, "Table 'd.t' doesn't exist", "Table 'd.t' doesn't exist"),
        (1060, "Duplicate column name 'x'", "Duplicate column name 'x'"),
        (1644, "only five of these", "only five of these"),
        (1064, "You have an error; check the manual near 'GARBAGE 'secret' 12 x' at line 3",
         "syntax error near 'GARBAGE ? ? x', line 3 of the statement"),
        (1064, "You have an error near '' at line 1", "syntax error near 'its end', line 1 of the statement"),
        (9999, "a new one about 'secret' and `secret`", "a new one about ?"),
    ],
)  # fmt: skip
def test_a_rows_data_does_not_show(number: int, text: str, shown: str) -> None:
    assert words_of(number, text) == shown
    assert SqlError(number, text).words == shown


def test_the_line_of_a_syntax_error() -> None:
    assert line_in("... near 'x' at line 12") == 12
    assert line_in("Table 'd.t' doesn't exist") is None


def test_statements_of_others_are_masked() -> None:
    assert mask_sql("UPDATE t SET a = 'x', b = \"y\", c = 0x7f -- z\nWHERE `d 1` = 12") == (
        "UPDATE t SET a = ?, b = ?, c = ? ? WHERE `d 1` = ?"
    )
    assert mask_sql("SELECT 'cut") == "SELECT ?"


def driver(number: int, cause: Exception | None = None) -> Exception:
    error = pymysql.err.OperationalError(number, "host secret user secret")
    if cause is not None:
        error.original_exception = cause  # type: ignore[attr-defined]  # as the driver does
    return error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (driver(1045), Reason.AUTHENTICATION_FAILED),
        (driver(1044), Reason.AUTHENTICATION_FAILED),
        (driver(1049), Reason.DATABASE_NOT_FOUND),
        (driver(1040), Reason.UNREACHABLE),
        (driver(2013), Reason.UNREACHABLE),
        (driver(2026), Reason.TLS_FAILED),
        (driver(3159), Reason.TLS_FAILED),
        (driver(2003, ssl.SSLCertVerificationError("secret")), Reason.TLS_FAILED),
        (driver(2003, ssl.SSLError("secret")), Reason.TLS_FAILED),
        (driver(2003, ConnectionRefusedError("secret")), Reason.UNREACHABLE),
        (ConnectionRefusedError("secret"), Reason.UNREACHABLE),
        (socket.gaierror("secret"), Reason.UNREACHABLE),
        (TimeoutError("secret"), Reason.UNREACHABLE),
        (OSError("secret"), Reason.UNREACHABLE),
        (RuntimeError("'cryptography' package is required"), Reason.AUTHENTICATION_FAILED),
        (driver(1), Reason.UNREACHABLE),
        (driver(3032), Reason.UNREACHABLE),
    ],
)
def test_what_a_failed_connection_means(error: Exception, reason: Reason) -> None:
    found = connect_error(error, "orders-db")
    assert found.reason is reason
    assert "orders-db" in found.message
    assert "secret" not in found.message


def test_a_way_to_authenticate_that_needs_another_library_is_no_matter_of_tls() -> None:
    with pytest.raises(RuntimeError) as caught:
        ed25519_password(b"x", b"y" * 32)
    found = connect_error(caught.value, "s")
    assert (found.reason, "TLS" in found.message) == (Reason.AUTHENTICATION_FAILED, False)
    assert "is not supported" in found.message


def test_a_certificate_for_another_host_is_told_apart() -> None:
    cause = ssl.SSLCertVerificationError("x")
    cause.verify_code = 62
    assert "another host name" in connect_error(driver(2003, cause), "s").message


@pytest.mark.parametrize("number", [0, 1053, 1927, 2006, 2013, 3169, 4031])
def test_a_session_that_is_gone(number: int) -> None:
    assert is_lost(number)


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (1142, Reason.PERMISSION_DENIED),
        (1820, Reason.AUTHENTICATION_FAILED),
        (1290, Reason.READ_ONLY),
        (1205, Reason.LOCK_HELD),
        (1114, Reason.UNREACHABLE),
        (1054, Reason.LEDGER_INVALID),
        (1153, Reason.STATEMENT_REFUSED),
        (1064, Reason.RUNNER_FAILED),
    ],
)
def test_what_an_error_of_the_ledger_means(number: int, reason: Reason) -> None:
    assert own_error(number, "x").reason is reason


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("8.0.36", ("MySQL", (8, 0, 36))),
        ("9.7.4-2", ("MySQL", (9, 7, 4))),
        ("8.0.35-0ubuntu0.22.04.1", ("MySQL", (8, 0, 35))),
        ("10.11.6-MariaDB-0+deb12u1-log", ("MariaDB", (10, 11, 6))),
        ("5.5.5-11.4.2-MariaDB", ("MariaDB", (11, 4, 2))),
    ],
)
def test_versions(text: str, found: tuple[str, tuple[int, int, int]]) -> None:
    assert version_of(text) == found


@pytest.mark.parametrize(
    ("text", "word"),
    [("5.7.44-log", "8.0"), ("10.6.18-MariaDB", "10.11"), ("8.0.11-TiDB-v7.5.0", "TiDB"), ("secret", "neither")],
)
def test_versions_that_are_not_supported(text: str, word: str) -> None:
    with pytest.raises(RunError) as caught:
        version_of(text)
    assert caught.value.reason is Reason.ENGINE_NOT_SUPPORTED
    assert word in caught.value.message
    assert "secret" not in caught.value.message


def server(kind: str = "MySQL", *, handshake: int = 7, read_only: str | None = None, galera: bool = False) -> Server:
    return Server(kind, (8, 0, 36), "d", 7, handshake, 1 << 24, read_only, galera)


def test_a_server_that_takes_no_writes() -> None:
    check_server(server(), "None")
    with pytest.raises(RunError, match="super_read_only") as caught:
        check_server(server(read_only="super_read_only"), "None")
    assert caught.value.reason is Reason.READ_ONLY


def test_a_proxy_in_between() -> None:
    """No proxy for MySQL can be had here: ids that differ are what one would show."""
    with pytest.raises(RunError) as caught:
        check_server(server(handshake=8), "None")
    assert caught.value.reason is Reason.POOLER_DETECTED
    check_server(server(handshake=8), "Session")


def test_the_settings_hold_what_the_splitter_assumes() -> None:
    for kind in ("MySQL", "MariaDB"):
        said = settings(server(kind=kind))
        assert f"sql_mode = '{SQL_MODES[kind]}'" in said
        assert not {"ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "ORACLE"} & set(SQL_MODES[kind].split(","))
        assert "autocommit = 1" in said
    assert "wsrep_sync_wait" in settings(server(kind="MariaDB", galera=True))


def test_locks_have_names_of_their_own_and_are_short() -> None:
    names = {lock_name(database, line) for database in ("a", "b") for line in ("x", "y", None)}
    assert len(names) == 6
    assert all(len(name) <= 64 for name in names)


def test_a_lease_in_a_runs_row() -> None:
    assert (session_of("7 until 2026"), until_of("7 until 2026")) == ("7", "2026")
    assert (session_of("7"), until_of("7"), session_of(None)) == ("7", "", "")


def test_names_for_people() -> None:
    assert (named("users"), named("a b"), named('a"b')) == ("users", '"a b"', '"a""b"')
