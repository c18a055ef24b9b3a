"""The way to the database: every shape of Secret, and every way in which it can be wrong."""

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from lockstep.api.reasons import Reason
from lockstep.planning.wire import DatabaseOrder, Order, Tls
from servers.certificates import Authority
from servers.mariadb import Mariadb
from servers.pgbouncer import Pgbouncer
from servers.postgres import APP, PASSWORD, Database, Postgres, binaries
from servers.process import free_port, give, run
from servers.runner import Ended, Pod, keys_of, migration, order

ONE = migration("1", "CREATE TABLE t (x int)")
ENCODED = quote(PASSWORD, safe="")


def with_database(
    *, key: str | None = None, engine: str | None = None, pooler: str = "None", tls: Tls | None = None
) -> Order:
    return order(ONE, database=DatabaseOrder("orders-db", key, engine, pooler=pooler, tls=tls or Tls()))


def shapes(database: Database) -> dict[str, dict[str, str]]:
    port, name = database.server.port, database.name
    url = f"postgresql://{APP}:{ENCODED}@127.0.0.1:{port}/{name}"
    socket = str(database.server.folder)
    return {
        "parts": keys_of(database),
        "cloudnativepg": {
            "dbname": name,
            "host": "elsewhere.invalid",
            "jdbc-uri": f"jdbc:postgresql://elsewhere.invalid:1/{name}?password=wrong&user=wrong",
            "password": PASSWORD,
            "pgpass": f"elsewhere.invalid:1:{name}:{APP}:wrong\n",
            "port": "1",
            "uri": url,
            "user": APP,
            "username": APP,
        },
        "service-binding": {
            "type": "postgresql",
            "provider": "somebody",
            "host": "127.0.0.1",
            "port": f"{port}\n",
            "database": name,
            "username": f"{APP}\n",
            "password": f"{PASSWORD}\n",
        },
        "sqlalchemy": {"DATABASE_URL": f"postgresql+psycopg://{APP}:{ENCODED}@127.0.0.1:{port}/{name}\n"},
        "several-hosts": {
            "url": f"postgres://{APP}:{ENCODED}@127.0.0.1:{free_port()},127.0.0.1:{port}/{name}"
            "?target_session_attrs=read-write&connect_timeout=5&application_name=other"
        },
        "socket": {"url": f"postgresql://{APP}:{ENCODED}@/{name}?host={socket}&port={port}"},
        "socket-in-the-host": {"url": f"postgresql://{APP}:{ENCODED}@{quote(socket, safe='')}:{port}/{name}"},
        "keywords": {"url": f"host=127.0.0.1 port={port} dbname={name} user={APP} password='{PASSWORD}'"},
        "jdbc": {"url": f"jdbc:postgresql://127.0.0.1:{port}/{name}?user={APP}&password={ENCODED}"},
        "raw-password": {"url": f"postgres://{APP}:{PASSWORD.replace('%41', '%2541')}@127.0.0.1:{port}/{name}"},
    }


@pytest.mark.parametrize(
    "shape",
    [
        "parts",
        "cloudnativepg",
        "service-binding",
        "sqlalchemy",
        "several-hosts",
        "socket",
        "socket-in-the-host",
        "keywords",
        "jdbc",
        "raw-password",
    ],
)
def test_every_shape_of_secret(shape: str, database: Database, pod: Pod) -> None:
    ended = pod.run(order(ONE), shapes(database)[shape])
    assert ended.code == 0, ended.text
    says_nothing_of_it(ended)


def says_nothing_of_it(ended: Ended) -> None:
    for secret in (PASSWORD, ENCODED, "pass word", "pass%20word"):
        assert secret not in ended.text


def fails(ended: Ended, reason: Reason, *words: str) -> None:
    assert ended.result.reason is reason, ended.text
    for word in words:
        assert word in ended.result.message
    says_nothing_of_it(ended)
    assert "Traceback" not in ended.text


def test_there_is_no_secret(pod: Pod) -> None:
    ended = pod.run(order(ONE), {})
    fails(ended, Reason.SECRET_NOT_FOUND, "orders-db")
    assert ended.code == 10


def test_a_key_is_missing(database: Database, pod: Pod) -> None:
    fails(
        pod.run(order(ONE), {"host": "x", "password": PASSWORD}), Reason.SECRET_KEY_NOT_FOUND, "user", "host, password"
    )
    named = with_database(key="pg-url")
    fails(
        pod.run(named, keys_of(database)), Reason.SECRET_KEY_NOT_FOUND, "pg-url", "dbname, host, password, port, user"
    )


def test_a_named_key_wins(database: Database, pod: Pod) -> None:
    secret = shapes(database)["jdbc"]
    ended = pod.run(with_database(key="pg-url"), {"pg-url": secret["url"], "uri": "postgres://nobody@127.0.0.1:1/x"})
    assert ended.code == 0, ended.text


def test_a_url_that_cannot_be_read(pod: Pod) -> None:
    url = f"postgres://{APP}:{PASSWORD}@host:port/db"
    fails(pod.run(order(ONE), {"url": url}), Reason.INVALID_URL, "orders-db", "percent-encoded")


def test_another_engine(pod: Pod) -> None:
    fails(
        pod.run(order(ONE), {"url": f"oracle://a:{ENCODED}@host/db"}),
        Reason.ENGINE_NOT_SUPPORTED,
        "oracle",
        "postgresql",
    )
    fails(pod.run(with_database(engine="oracle"), {"url": "oracle:///x"}), Reason.ENGINE_NOT_SUPPORTED, "postgresql")
    # One that is known, and named otherwise.
    fails(pod.run(with_database(engine="postgresql"), {"url": "mysql://h/d"}), Reason.INVALID_URL, "mysql")


def test_a_wrong_password(any_database: Database, pod: Pod) -> None:
    ended = pod.run(order(ONE), keys_of(any_database) | {"password": "wrong"})
    fails(ended, Reason.AUTHENTICATION_FAILED)
    # libpq names user and host; nothing of that is passed on.
    assert APP not in ended.result.message
    assert "127.0.0.1" not in ended.text


def test_an_unknown_user_and_database(any_database: Database, pod: Pod) -> None:
    fails(pod.run(order(ONE), keys_of(any_database) | {"user": "nobody"}), Reason.AUTHENTICATION_FAILED)
    fails(pod.run(order(ONE), keys_of(any_database) | {"dbname": "nosuch"}), Reason.DATABASE_NOT_FOUND)


def test_a_host_that_is_not_there(database: Database, pod: Pod) -> None:
    fails(pod.run(order(ONE), keys_of(database) | {"port": str(free_port())}), Reason.UNREACHABLE, "refused")
    fails(pod.run(order(ONE), keys_of(database) | {"host": "nosuch.invalid"}), Reason.UNREACHABLE, "resolve")


def test_a_host_that_does_not_answer(pod: Pod) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as deaf:
        port = deaf.getsockname()[1]
        ended = pod.run(order(ONE), {"url": f"postgres://a:{ENCODED}@127.0.0.1:{port}/db?connect_timeout=2"})
    fails(ended, Reason.UNREACHABLE, "no answer")


@pytest.mark.parametrize("mode", ["disable", "prefer"])
def test_a_server_of_another_kind(mode: str, mariadb: Mariadb, pod: Pod) -> None:
    ended = pod.run(order(ONE), {"url": f"postgres://a:{ENCODED}@127.0.0.1:{mariadb.port}/db?sslmode={mode}"})
    fails(ended, Reason.UNREACHABLE, "no PostgreSQL server", "spec.database.engine")


@pytest.mark.parametrize("pooler", ["transaction"], indirect=True)
def test_a_transaction_pooler_is_refused(pooler: Pgbouncer, pod: Pod) -> None:
    fails(pod.run(order(ONE), pooler.params), Reason.POOLER_DETECTED)
    fails(pod.run(with_database(pooler="Session"), pooler.params), Reason.POOLER_DETECTED)
    # Nor is anything left in the sessions that an application gets next.
    with psycopg.connect(make_conninfo(**pooler.params), autocommit=True) as application:
        assert application.execute("SHOW search_path").fetchone() == ('"$user", public',)
    assert pooler.database.query("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]
    assert pooler.database.query("SELECT count(*) FROM pg_namespace WHERE nspname = 'lockstep'") == [(0,)]


@pytest.mark.parametrize("pooler", ["session"], indirect=True)
def test_a_session_pooler_must_be_announced(pooler: Pgbouncer, pod: Pod) -> None:
    fails(pod.run(order(ONE), pooler.params), Reason.POOLER_DETECTED, "pooler: Session")
    ended = pod.run(with_database(pooler="Session"), pooler.params)
    assert ended.code == 0, ended.text


def test_a_read_only_database(any_database: Database, pod: Pod) -> None:
    any_database.query(f"ALTER DATABASE {any_database.name} SET default_transaction_read_only = on")
    fails(pod.run(order(ONE), keys_of(any_database)), Reason.READ_ONLY)


def test_a_role_that_may_not_create_the_ledger(any_database: Database, pod: Pod) -> None:
    any_database.query(f"ALTER DATABASE {any_database.name} OWNER TO postgres")
    ended = pod.run(order(ONE), keys_of(any_database))
    fails(ended, Reason.PERMISSION_DENIED, "42501", "GRANT CREATE ON DATABASE")


class Secured:
    """A server that wants TLS, and the CA that has signed it."""

    def __init__(self, server: Postgres, authority: Authority) -> None:
        self.server = server
        self.authority = authority
        self.client = authority.sign("certified")


@pytest.fixture(scope="module")
def secured() -> Iterator[Secured]:
    if binaries(15) is None:
        pytest.skip("PostgreSQL 15 with TLS is not installed on this machine")
    authority = Authority()
    server = Postgres(15, ssl="on")
    server.create()
    pair = authority.sign("server", ("localhost",))
    for name, text in (("server.crt", pair.certificate), ("server.key", pair.key), ("ca.crt", authority.pem)):
        path = server.data / name
        path.write_text(text)
        path.chmod(0o600)
        give(path)
    server.configure({"ssl_ca_file": "'ca.crt'"})
    hba = server.data / "pg_hba.conf"
    hba.write_text(
        "hostssl all certified 127.0.0.1/32 cert\n"
        "host all postgres 127.0.0.1/32 scram-sha-256\n"
        "hostssl all all 127.0.0.1/32 scram-sha-256\n"
    )
    server.start()
    server.prepare()
    server.admin("CREATE ROLE certified LOGIN IN ROLE app")
    yield Secured(server, authority)
    server.__exit__()


def test_tls_with_a_ca(secured: Secured, pod: Pod) -> None:
    database = secured.server.database()
    secret = keys_of(database) | {"host": "localhost"}
    tls = with_database(tls=Tls(ca_secret="ca"))
    ended = pod.run(tls, secret, ca={"ca.crt": secured.authority.pem})
    assert ended.code == 0, ended.text
    for other in (Authority(), Authority("other CA")):
        fails(pod.run(tls, secret, ca={"ca.crt": other.pem}), Reason.TLS_FAILED, "CA")
    fails(pod.run(tls, secret | {"host": "127.0.0.1"}, ca={"ca.crt": secured.authority.pem}), Reason.TLS_FAILED, "host")
    lenient = with_database(tls=Tls(ca_secret="ca", mode="verify-ca"))
    assert pod.run(lenient, secret | {"host": "127.0.0.1"}, ca={"ca.crt": secured.authority.pem}).code == 0
    fails(pod.run(tls, secret, ca={}), Reason.SECRET_NOT_FOUND, "'ca'")
    fails(pod.run(tls, secret, ca={"tls.crt": "x"}), Reason.SECRET_KEY_NOT_FOUND, "'ca'", "ca.crt", "tls.crt")


def test_tls_is_asked_for_and_not_offered(database: Database, pod: Pod) -> None:
    fails(pod.run(with_database(tls=Tls(mode="require")), keys_of(database)), Reason.TLS_FAILED, "does not offer TLS")


def test_tls_is_demanded_and_switched_off(secured: Secured, pod: Pod) -> None:
    secret = keys_of(secured.server.database())
    fails(pod.run(with_database(tls=Tls(mode="disable")), secret), Reason.AUTHENTICATION_FAILED, "pg_hba.conf")


def test_tls_with_a_client_certificate(secured: Secured, pod: Pod) -> None:
    database = secured.server.database()
    secret = {key: value for key, value in keys_of(database).items() if key != "password"}
    secret |= {"host": "localhost", "user": "certified"}
    tls = with_database(tls=Tls(ca_secret="ca", client_certificate_secret="client"))
    ca = {"ca.crt": secured.authority.pem}
    pair = secured.client
    ended = pod.run(tls, secret, ca=ca, client={"tls.crt": pair.certificate, "tls.key": pair.key})
    assert ended.code == 0, ended.text
    fails(pod.run(with_database(tls=Tls(ca_secret="ca")), secret, ca=ca), Reason.TLS_FAILED, "client certificate")
    foreign = Authority().sign("certified")
    ended = pod.run(tls, secret, ca=ca, client={"tls.crt": foreign.certificate, "tls.key": foreign.key})
    fails(ended, Reason.TLS_FAILED)


@pytest.fixture(scope="module")
def standby() -> Iterator[tuple[Postgres, Postgres]]:
    """A primary and its streaming standby."""
    if binaries(15) is None:
        pytest.skip("PostgreSQL 15 is not installed on this machine")
    with Postgres(15) as primary:
        second = Postgres(15)
        source = ["-h", "127.0.0.1", "-p", str(primary.port), "-U", "postgres"]
        run(
            [
                str(primary.bin / "pg_basebackup"),
                *source,
                "-D",
                str(second.data),
                "-R",
                "--checkpoint=fast",
                "--no-sync",
            ],
            env={"PGPASSWORD": PASSWORD},
        )
        second.configure({"unix_socket_directories": f"'{second.folder}'"})
        second.start()
        yield primary, second
        second.__exit__()


def test_a_standby(standby: tuple[Postgres, Postgres], pod: Pod) -> None:
    primary, second = standby
    params = keys_of(primary.database()) | {"dbname": "postgres"}
    fails(pod.run(order(ONE), params | {"port": str(second.port)}), Reason.READ_ONLY, "standby")


def test_among_several_hosts_the_primary_is_chosen(
    standby: tuple[Postgres, Postgres], pod: Pod, tmp_path: Path
) -> None:
    primary, second = standby
    database = primary.database()
    hosts = f"127.0.0.1:{second.port},127.0.0.1:{primary.port}"
    url = f"postgresql://{APP}:{ENCODED}@{hosts}/{database.name}?target_session_attrs=primary"
    # The standby may not have the database yet: that must not end the search.
    ended = pod.run(order(ONE), {"url": url})
    assert ended.code == 0, ended.text
    only = f"postgresql://{APP}:{ENCODED}@127.0.0.1:{second.port}/postgres?target_session_attrs=primary"
    fails(pod.run(order(ONE), {"url": only}), Reason.READ_ONLY)
