"""The way to the database: Secrets in every shape, TLS, servers that cannot be worked on."""

from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import quote

import pytest
from msgspec.structs import replace

from engines.mysql.words import Pods, done, keys, tables
from lockstep.api.reasons import Reason
from lockstep.planning.wire import DatabaseOrder, Order, RepairOrder, Tls
from servers.certificates import Authority, Pair
from servers.mariadb import APP, PASSWORD, MariaDatabase, Mariadb, program
from servers.mysql import WHY_NOT, Mysql, is_there
from servers.process import free_port, give
from servers.proxy import Proxy
from servers.runner import Ended, Pod, migration, order

ONE = migration("1", "CREATE TABLE t (x int)")
ENCODED = quote(PASSWORD, safe="")


def with_tls(tls: Tls) -> Order:
    return order(ONE, database=replace(DatabaseOrder("orders-db"), tls=tls))


def fails(ended: Ended, reason: Reason, *words: str) -> None:
    assert ended.result.reason is reason, ended.text
    for word in words:
        assert word in ended.result.message
    for secret in (PASSWORD, ENCODED, "pass word"):
        assert secret not in ended.text


def url(database: MariaDatabase, scheme: str = "mysql", rest: str = "") -> str:
    return f"{scheme}://{APP}:{ENCODED}@127.0.0.1:{database.server.port}/{database.name}{rest}"


@pytest.mark.parametrize("scheme", ["mysql", "mariadb", "mysql2", "mysql+pymysql", "jdbc:mysql", "jdbc:mariadb"])
def test_urls(scheme: str, database: MariaDatabase, pod: Pod) -> None:
    done(pod.run(order(ONE), {"url": url(database, scheme)}))
    assert tables(database) == {"t"}


def test_parts_of_a_service_binding(database: MariaDatabase, pod: Pod) -> None:
    params = database.params
    secret = {
        "type": "mariadb",
        "host": params["host"],
        "port": f"{params['port']}\n",
        "database": database.name,
        "username": f"{APP}\n",
        "password": f"{PASSWORD}\n",
    }
    done(pod.run(order(ONE), secret))


def test_a_socket(maria_database: MariaDatabase, pod: Pod) -> None:
    socket = quote(str(maria_database.server.folder / "socket"), safe="")
    done(pod.run(order(ONE), {"url": f"mysql://{APP}:{ENCODED}@/{maria_database.name}?socket={socket}"}))


def test_what_is_wrong_is_named(database: MariaDatabase, pod: Pod) -> None:
    right = keys(database)
    fails(pod.run(order(ONE), {**right, "password": "wrong"}), Reason.AUTHENTICATION_FAILED, "orders-db")
    fails(pod.run(order(ONE), {**right, "port": str(free_port())}), Reason.UNREACHABLE, "refused")
    fails(pod.run(order(ONE), {**right, "host": "nowhere.invalid"}), Reason.UNREACHABLE, "resolve")
    # Who has no right on a database is not told whether there is one.
    fails(pod.run(order(ONE), {**right, "database": "nowhere"}), Reason.AUTHENTICATION_FAILED)
    root = {**right, "user": "root", "database": "nowhere"}
    fails(pod.run(order(ONE), root), Reason.DATABASE_NOT_FOUND)


def test_a_server_that_says_nothing(database: MariaDatabase, pod: Pod) -> None:
    with Proxy(database.server.port) as proxy:
        # What is swallowed is the handshake's answer.
        pod.start(
            order(ONE),
            {"url": url(database, rest="?connect_timeout=2").replace(str(database.server.port), str(proxy.port))},
        )
        proxy.stall()
        ended = pod.end(90)
    assert ended.result.reason in {Reason.UNREACHABLE, Reason.UP_TO_DATE}, ended.text


def test_a_server_that_takes_no_writes(maria_database: MariaDatabase, pod: Pod) -> None:
    database = maria_database
    database.server.admin("SET GLOBAL read_only = ON")
    try:
        fails(pod.run(order(ONE), keys(database)), Reason.READ_ONLY, "read_only")
    finally:
        database.server.admin("SET GLOBAL read_only = OFF")


def test_a_database_that_is_not_empty(database: MariaDatabase, pod: Pod) -> None:
    database.query("CREATE TABLE theirs (x int)")
    fails(pod.run(order(ONE), keys(database)), Reason.DATABASE_NOT_EMPTY, "theirs")
    assert tables(database) == {"theirs"}
    done(pod.run(order(migration("1", "SELECT 1"), ONE_MORE, baseline="1"), keys(database)))
    assert tables(database) == {"theirs", "u"}


ONE_MORE = migration("2", "CREATE TABLE u (x int)")


def test_a_baseline_beside_another_line(database: MariaDatabase, pod: Pod) -> None:
    """What another line has made does not make this one's database empty."""
    database.query("CREATE TABLE t (x int)")
    done(pod.run(replace(order(migration("1", "SELECT 1"), baseline="1"), line="billing"), keys(database)))
    done(pod.run(order(ONE, ONE_MORE, baseline="1"), keys(database)))
    assert database.query("SELECT direction, version FROM lockstep_history WHERE line = 'orders'") == [
        ("baseline", "1"),
        ("up", "2"),
    ]


def test_triggers_on_the_ledger_are_refused(database: MariaDatabase, pod: Pod) -> None:
    done(pod.run(order(ONE), keys(database)))
    database.query("CREATE TRIGGER evil BEFORE INSERT ON lockstep_history FOR EACH ROW SET NEW.name = 'x'", admin=True)
    fails(pod.run(order(ONE, ONE_MORE), keys(database)), Reason.LEDGER_WRITABLE, "evil")


def test_a_plan_writes_nothing(database: MariaDatabase, pod: Pod) -> None:
    from lockstep.planning.wire import Mode  # noqa: PLC0415 - needed here alone

    ended = done(pod.run(order(ONE, mode=Mode.PLAN), keys(database)))
    assert ended.result.reason is Reason.PLANNED
    assert database.query("SHOW TABLES") == []


def test_an_unknown_act_is_refused(database: MariaDatabase, pod: Pod) -> None:
    ended = pod.run(order(ONE, repair=RepairOrder("t", "MarkNotApplied", version="1")), keys(database))
    fails(ended, Reason.REPAIR_REFUSED)


class Certified:
    """A MariaDB with a certificate, its authority, and a user who must show one."""

    def __init__(self, stack: ExitStack) -> None:
        self.authority = Authority()
        pair = self.authority.sign("127.0.0.1", ("127.0.0.1",))
        self.server = Mariadb()
        self._write(pair)
        self.server.settings |= {
            "ssl_cert": f"{self.server.folder}/server.crt",
            "ssl_key": f"{self.server.folder}/server.key",
            "ssl_ca": f"{self.server.folder}/ca.crt",
        }
        stack.enter_context(self.server)

    def _write(self, pair: Pair) -> None:
        for name, text in {
            "server.crt": pair.certificate,
            "server.key": pair.key,
            "ca.crt": self.authority.pem,
        }.items():
            path = self.server.folder / name
            path.write_text(text)
            give(path)


@pytest.fixture(scope="module")
def certified() -> Iterator[Certified]:
    if program() is None:
        pytest.skip("MariaDB is not installed on this machine")
    with ExitStack() as stack:
        yield Certified(stack)


def test_tls(certified: Certified, pod: Pod, pods: Pods) -> None:
    database = certified.server.database()
    right = keys(database)
    ca = {"ca.crt": certified.authority.pem}
    given = Tls(ca_secret="orders-ca")
    done(pod.run(with_tls(Tls()), right))
    done(pod.run(with_tls(Tls(mode="require")), right))
    done(pod.run(with_tls(given), right, ca=ca))
    done(pod.run(with_tls(replace(given, mode="verify-ca")), right, ca=ca))
    other = {"ca.crt": Authority().pem}
    fails(pod.run(with_tls(given), right, ca=other), Reason.TLS_FAILED, "not signed by the given CA")
    fails(pod.run(with_tls(Tls(mode="verify-full")), right), Reason.TLS_FAILED)
    fails(pod.run(with_tls(given), {**right, "host": "localhost"}, ca=ca), Reason.TLS_FAILED, "another host name")
    fails(pod.run(with_tls(given), right, ca={"ca.crt": "no PEM"}), Reason.TLS_FAILED, "ca.crt")
    fails(pod.run(with_tls(given), right, ca={"other": "x"}), Reason.SECRET_KEY_NOT_FOUND, "orders-ca", "other")
    fails(pods("another").run(with_tls(given), right), Reason.SECRET_NOT_FOUND, "orders-ca")


def test_a_client_certificate(certified: Certified, pod: Pod) -> None:
    server, database = certified.server, certified.server.database()
    server.admin("CREATE USER IF NOT EXISTS 'shown'@'%' REQUIRE SUBJECT '/CN=shown'")
    server.admin(f"GRANT ALL ON {database.name}.* TO 'shown'@'%'")
    right = {**keys(database), "user": "shown", "password": ""}
    pair = certified.authority.sign("shown")
    given = with_tls(Tls(mode="require", client_certificate_secret="orders-client"))
    done(pod.run(given, right, client={"tls.crt": pair.certificate, "tls.key": pair.key}))
    fails(pod.run(with_tls(Tls(mode="require")), right), Reason.AUTHENTICATION_FAILED)
    another = certified.authority.sign("another")
    fails(pod.run(given, right, client={"tls.crt": pair.certificate, "tls.key": another.key}), Reason.TLS_FAILED)


@pytest.fixture(scope="module")
def plain_mysql() -> Iterator[Mysql]:
    """A MySQL that has no TLS, which others always have."""
    if not is_there():
        pytest.skip(WHY_NOT)
    with Mysql(tls_version="") as running:
        yield running


@pytest.mark.parametrize("kind", ["mariadb", "mariadb11", "plain_mysql"])
def test_a_server_without_tls(kind: str, pod: Pod, request: pytest.FixtureRequest) -> None:
    server: Mariadb = request.getfixturevalue(kind)
    database = server.database()
    fails(pod.run(with_tls(Tls(mode="require")), keys(database)), Reason.TLS_FAILED, "does not offer TLS")
    server.drop(database)
