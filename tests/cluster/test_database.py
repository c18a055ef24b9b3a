"""Databases that cannot be reached, or must not be used: each cause has its name, and its end is noticed by itself."""

from collections.abc import Iterator

import pytest

from servers.certificates import Authority
from servers.pgbouncer import Pgbouncer
from servers.postgres import Postgres
from servers.process import private_folder, remove
from support.kube import Kube, condition, migration, schema_version, secret
from support.targets import Target, certified, reachable

CREATE = "CREATE TABLE a (id int)"
PASSWORD_OF_NOBODY = "correct-horse-battery"


def start(kube: Kube, *, deadline: str = "120s", **database: object) -> None:
    wanted = schema_version("orders", progressDeadline=deadline)
    wanted["spec"]["database"] |= database
    kube.apply(migration("orders", "1", CREATE), wanted)


def message(kube: Kube) -> str:
    return str(condition(kube.get("SchemaVersion", "orders"), "Ready")["message"])


def everything_said(kube: Kube) -> str:
    """Return all that anybody could read of it: resources, events, Jobs, logs."""
    found = kube.get("SchemaVersion", "orders")
    logs = ""
    for pod in kube.list("Pod"):
        logs += kube.kubectl("logs", pod["metadata"]["name"], check=False)
    operator = kube.kubectl("logs", "deployment/lockstep", "-n", "lockstep-system", "--since=2m", check=False)
    return f"{found}{kube.list('Event')}{kube.list('Job')}{kube.list('Pod')}{logs}{operator}"


def test_a_missing_secret(kube: Kube, target: Target) -> None:
    start(kube, deadline="1s")
    found = kube.wait_reason("SchemaVersion", "orders", "SecretNotFound")
    assert "db" in message(kube)
    # It goes on trying after it counts as Stalled.
    kube.wait("SchemaVersion", "orders", lambda sv: condition(sv, "Stalled").get("status") == "True", "is Stalled")
    assert not condition(kube.get("SchemaVersion", "orders"), "Reconciling")
    kube.apply(target.secret())
    kube.wait_reason("SchemaVersion", "orders", "UpToDate")
    assert found["status"]["run"]["attempt"] >= 1
    assert target.tables() == {"a"}


def test_a_missing_key(kube: Kube, target: Target) -> None:
    kube.apply(secret("db", dsn=target.url, note="x"))
    start(kube)
    kube.wait_reason("SchemaVersion", "orders", "SecretKeyNotFound")
    assert "dsn" in message(kube)
    assert "note" in message(kube)
    assert target.password not in everything_said(kube)
    wanted = schema_version("orders")
    wanted["spec"]["database"]["secretRef"]["key"] = "dsn"
    kube.apply(wanted)
    kube.wait_reason("SchemaVersion", "orders", "UpToDate")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (f"postgres//user:{PASSWORD_OF_NOBODY}@host/db", "InvalidURL"),
        (f"postgres://user:{PASSWORD_OF_NOBODY}@host:port/db", "InvalidURL"),
        (f"postgres://user:{PASSWORD_OF_NOBODY}@host/db?sslmodus=x", "InvalidURL"),
        (f"mongodb://user:{PASSWORD_OF_NOBODY}@host/db", "EngineNotSupported"),
        (f"postgres://user:{PASSWORD_OF_NOBODY}@nowhere.invalid/db", "Unreachable"),
        (f"postgres://user:{PASSWORD_OF_NOBODY}@10.244.0.1:1/db", "Unreachable"),
    ],
)
def test_a_connection_that_leads_nowhere(kube: Kube, target: Target, url: str, reason: str) -> None:
    kube.apply(secret("db", url=url))
    start(kube)
    kube.wait_reason("SchemaVersion", "orders", reason)
    said = everything_said(kube)
    for piece in (PASSWORD_OF_NOBODY, PASSWORD_OF_NOBODY[:12], PASSWORD_OF_NOBODY[-12:]):
        assert piece not in said
    kube.apply(target.secret())
    kube.wait_reason("SchemaVersion", "orders", "UpToDate")
    assert target.tables() == {"a"}


def test_a_wrong_password(kube: Kube, target: Target) -> None:
    kube.apply(secret("db", url=target.url_of(target.name, PASSWORD_OF_NOBODY)))
    start(kube)
    kube.wait_reason("SchemaVersion", "orders", "AuthenticationFailed")
    assert PASSWORD_OF_NOBODY not in everything_said(kube)
    kube.apply(target.secret())
    kube.wait_reason("SchemaVersion", "orders", "UpToDate")


def test_a_database_that_does_not_exist(kube: Kube, target: Target) -> None:
    kube.apply(secret("db", url=target.url_of("not_there")))
    start(kube)
    kube.wait_reason("SchemaVersion", "orders", "DatabaseNotFound")
    assert "no such database" in message(kube)
    target.create_database("not_there")
    kube.wait_reason("SchemaVersion", "orders", "UpToDate")


def test_the_shapes_of_a_secret(kube: Kube, target: Target) -> None:
    parts = {"host": target.host, "port": str(target.port), "username": target.user, "password": target.password}
    kube.apply(
        # As CloudNativePG writes it.
        secret(
            "cnpg", **parts, dbname=target.name, uri=target.url, pgpass="x:y:z", **{"jdbc-uri": "jdbc:postgresql://x"}
        ),
        # As the Service Binding specification has it.
        secret("binding", **parts, type="postgresql", provider="us", database=target.name),
    )
    for name in ("cnpg", "binding"):
        kube.apply(migration(name, "1", f"CREATE TABLE {name} ()"), schema_version(name, name))
    for name in ("cnpg", "binding"):
        kube.wait_reason("SchemaVersion", name, "UpToDate")
    assert target.tables() == {"cnpg", "binding"}


@pytest.fixture(scope="module")
def tls(address: str) -> Iterator[tuple[Postgres, Authority]]:
    """A server that takes TLS connections only, and from database `certified` a client's certificate too."""
    authority = Authority()
    folder = private_folder("tls")
    lines = (
        "hostssl certified all 0.0.0.0/0 scram-sha-256 clientcert=verify-ca\nhostssl all all 0.0.0.0/0 scram-sha-256"
    )
    # Debian's: the wheel's server is built without TLS.
    with reachable(address, version=15, admit=lines, settings=certified(folder, authority, address)) as server:
        yield server, authority
    remove(folder)


def test_a_certificate_that_does_not_verify(
    operator: None, kube: Kube, tls: tuple[Postgres, Authority], address: str
) -> None:
    server, authority = tls
    target = Target(server.database(), address)
    kube.apply(secret("ca", **{"ca.crt": Authority("somebody else's").pem}), target.secret())
    start(kube, tls={"mode": "VerifyFull", "caSecretRef": {"name": "ca"}})
    kube.wait_reason("SchemaVersion", "orders", "TLSFailed")
    assert target.tables() == set()
    kube.apply(secret("ca", **{"ca.crt": authority.pem}))
    kube.wait_reason("SchemaVersion", "orders", "UpToDate")
    assert target.tables() == {"a"}


def test_a_client_certificate(operator: None, kube: Kube, tls: tuple[Postgres, Authority], address: str) -> None:
    server, authority = tls
    target = Target(server.database(), address)
    target.create_database("certified")
    kube.apply(secret("ca", **{"ca.crt": authority.pem}), secret("db", url=target.url_of("certified")))
    start(kube, tls={"caSecretRef": {"name": "ca"}})
    kube.wait_reason("SchemaVersion", "orders", "TLSFailed")
    assert "client certificate" in message(kube)
    pair = authority.sign(target.user)
    kube.apply(secret("client", **{"tls.crt": pair.certificate, "tls.key": pair.key}))
    start(kube, tls={"caSecretRef": {"name": "ca"}, "clientCertificateSecretRef": {"name": "client"}})
    kube.wait_reason("SchemaVersion", "orders", "UpToDate")


def test_a_transaction_pooler(kube: Kube, target: Target, address: str) -> None:
    with (
        Pgbouncer(target.database, "transaction", f"127.0.0.1,{address}") as transactions,
        Pgbouncer(target.database, "session", f"127.0.0.1,{address}") as sessions,
    ):
        kube.apply(secret("db", url=target.url_at(transactions.port)))
        start(kube)
        kube.wait_reason("SchemaVersion", "orders", "PoolerDetected")
        assert "Session" in message(kube)
        # Saying so does not make it one.
        start(kube, pooler="Session")
        kube.wait("SchemaVersion", "orders", lambda sv: sv["status"]["observedGeneration"] == 2, "has been looked at")
        kube.wait_reason("SchemaVersion", "orders", "PoolerDetected")
        assert target.tables() == set()
        kube.apply(secret("db", url=target.url_at(sessions.port)))
        kube.wait_reason("SchemaVersion", "orders", "UpToDate")
        assert target.tables() == {"a"}


def test_a_standby_and_its_promotion(operator: None, kube: Kube, address: str) -> None:
    with reachable(address) as server:
        target = Target(server.database(), address)
        server.stop()
        (server.data / "standby.signal").touch()
        server.start()
        kube.apply(target.secret())
        start(kube)
        kube.wait_reason("SchemaVersion", "orders", "ReadOnly")
        assert "standby" in message(kube)
        server.admin("SELECT pg_promote()")
        kube.wait_reason("SchemaVersion", "orders", "UpToDate")
        assert target.tables() == {"a"}


def test_a_database_that_is_away_for_a_while(operator: None, kube: Kube, address: str) -> None:
    """The cause goes by itself, and so does the error: nobody touches the resource."""
    with reachable(address) as server:
        target = Target(server.database(), address)
        server.stop()
        kube.apply(target.secret())
        start(kube)
        kube.wait_reason("SchemaVersion", "orders", "Unreachable")
        server.start()
        kube.wait_reason("SchemaVersion", "orders", "UpToDate")
        assert target.tables() == {"a"}


def test_a_database_that_is_not_empty(kube: Kube, target: Target) -> None:
    target.execute("CREATE TABLE by_hand (n int)")
    kube.apply(target.secret())
    start(kube)
    kube.wait_reason("SchemaVersion", "orders", "DatabaseNotEmpty")
    assert target.tables() == {"by_hand"}
    assert target.query("SELECT nspname FROM pg_namespace WHERE nspname = 'lockstep'") == []


def test_two_owners_of_one_line(kube: Kube, target: Target) -> None:
    kube.apply(target.secret())
    start(kube)
    kube.wait_reason("SchemaVersion", "orders", "UpToDate")
    kube.apply(schema_version("usurper", schema="orders"))
    found = kube.wait_reason("SchemaVersion", "usurper", "ForeignOwner")
    assert f"{kube.namespace}/orders" in condition(found, "Ready")["message"]
