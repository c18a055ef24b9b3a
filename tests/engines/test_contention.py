"""Many runs at once, and holders of the lock that die, freeze or are cut off: each statement takes effect once.

tests/engines/test_lock.py has what one run does about another; here there are many, and the faults come at every place
that makes a difference. What is checked in the end is in tests/servers/counted.py.
"""

import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager

import pytest
from msgspec.structs import replace

from engines.conftest import Servers
from lockstep.api.reasons import Reason
from lockstep.planning.wire import Order, OrderedMigration
from servers.counted import first, mark, one_by_one, together, verify
from servers.counting import CountingProxy, Strike
from servers.nursery import Newborn
from servers.postgres import Database, Postgres
from servers.process import wait_until
from servers.proxy import Proxy
from servers.runner import OWNER, Ended, keys_of, limits, migration, order
from servers.views import LOCKS, Connection, PostgresqlView

Pods = Callable[[str], Newborn]

FREE_SECONDS = 40.0
"""When a lock must be free at the latest; most of it is for an overloaded machine."""
BACKEND = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'lockstep%' AND {}"
)
SLEEPS = BACKEND.format("query LIKE 'SELECT pg_sleep%' AND state = 'active'")
IDLE_IN_TRANSACTION = BACKEND.format("state = 'idle in transaction'")
BEGIN = b"BEGIN ISOLATION"
COMMIT = b"\0COMMIT\0"
"""As the client says it; the server's word for it ends in the same."""


@pytest.fixture(params=(18, 15), ids=lambda version: f"postgresql{version}")
def any_server(request: pytest.FixtureRequest, servers: Servers) -> Postgres:
    """The newest version and the oldest that there is here: those in between have the same locks."""
    version: int = request.param
    return servers.get(version)


@pytest.fixture
def pods(newborns: Pods) -> Pods:
    return newborns


@pytest.fixture
def any_admin(any_database: Database) -> Iterator[Connection]:
    with closing(any_database.connect(admin=True)) as connection:
        yield connection


def rows(connection: Connection, sql: str) -> list[tuple[object, ...]]:
    return connection.execute(sql.encode()).fetchall()


def of_line(line: str, *migrations: OrderedMigration) -> Order:
    """The order of a line with an owner of its own."""
    return replace(order(*migrations), line=line, owner=replace(OWNER, name=line))


def line_of(line: str) -> tuple[OrderedMigration, ...]:
    return (first(line), together("2", line), one_by_one("3", line), together("4", line))


def run_all(pods: Pods, orders: Sequence[Order], secret: dict[str, str]) -> list[Ended]:
    """Run them all at once, and those that gave way again, as their Jobs do; return how all attempts ended."""
    ends = []
    waiting = [(pods(f"pod{number}"), wanted) for number, wanted in enumerate(orders)]
    for _ in range(20):
        for pod, wanted in waiting:
            pod.start(wanted, secret)
        ended = [pod.end() for pod, _ in waiting]
        ends += ended
        assert {each.result.reason for each in ended} <= {Reason.UP_TO_DATE, Reason.LOCK_HELD}, ends
        waiting = [pair for pair, each in zip(waiting, ended, strict=True) if each.result.reason is Reason.LOCK_HELD]
        if not waiting:
            return ends
    raise AssertionError(f"{len(waiting)} runs gave way 20 times")


@pytest.mark.parametrize("lines", [1, 5])
def test_twenty_runs_at_once(lines: int, any_database: Database, any_admin: Connection, pods: Pods) -> None:
    names = ["orders", "billing", "users", "stock", "audit"][:lines]
    orders = [of_line(name, *line_of(name)) for name in names for _ in range(20 // lines)]
    ends = run_all(pods, orders, keys_of(any_database))
    assert sum(each.result.applied for each in ends) == 4 * lines
    assert sum(len(each.events("ledger_created")) for each in ends) == 1
    for name in names:
        seen = verify(PostgresqlView(any_admin), line_of(name), name)
        assert (seen.applied, seen.journal) == ({"1", "2", "3", "4"}, {})
    # Their ends are not yet those of their sessions.
    wait_until(PostgresqlView(any_admin).is_idle, FREE_SECONDS, "a free lock")


def test_four_lines_make_the_ledger_at_once_twenty_times(database: Database, admin: Connection, pods: Pods) -> None:
    names = ("orders", "billing", "users", "stock")
    for _ in range(20):
        ends = run_all(pods, [of_line(name, first(name)) for name in names], keys_of(database))
        assert sum(len(each.events("ledger_created")) for each in ends) == 1
        assert rows(admin, "SELECT count(*) FROM lockstep.meta") == [(1,)]
        for name in names:
            assert verify(PostgresqlView(admin), [first(name)], name).applied == {"1"}
            admin.execute(f"DROP TABLE {name}_marks".encode())
        admin.execute("SET client_min_messages = warning; DROP SCHEMA lockstep CASCADE")


# How long the first statement of version 2 takes is in the database: for every run the text is the same.
PACED = migration("1", f"{first().up};\nCREATE TABLE pace AS SELECT 60.0 AS seconds")
LONG = migration(
    "2",
    ";\n".join(
        [
            mark("orders", "2", 1, "up"),
            "SELECT pg_sleep(seconds) FROM pace",
            # Too long to be sent at once with what stands before it.
            f"SELECT length('{'x' * 70_000}')",
            "CREATE TABLE orders_2 (x int)",
        ]
    ),
)


class Holder:
    """A run in the middle of version 2, through a proxy."""

    def __init__(self, database: Database, admin: Connection, proxy: Proxy, pods: Pods, *, idle: bool) -> None:
        self.admin, self.proxy = admin, proxy
        self.idle = idle
        self.pod = pods("first")
        secret = keys_of(database) | {"port": str(proxy.port), "sslmode": "disable"}
        assert self.pod.run(order(PACED), secret).code == 0
        admin.execute(f"UPDATE pace SET seconds = {1 if idle else 60}".encode())
        # The server ends what nobody can tell it to end at the run's deadline.
        self.pod.start(order(PACED, LONG, limits=limits(deadline=600_000 if idle else 8_000)), secret)
        wait_until(lambda: rows(admin, SLEEPS) != [], what="the slow statement")

    def wait_idle(self) -> None:
        """Where that is asked for, wait until the server waits for the next word of the transaction."""
        if self.idle:
            wait_until(lambda: rows(self.admin, IDLE_IN_TRANSACTION) != [], what="idle in transaction")

    def killed(self) -> None:
        self.pod.signal(signal.SIGSTOP)
        self.wait_idle()
        self.pod.kill()

    def frozen(self) -> None:
        self.pod.signal(signal.SIGSTOP)
        self.wait_idle()

    def dropped(self) -> None:
        """Both ends are closed while the run can do nothing about it."""
        self.pod.signal(signal.SIGSTOP)
        self.wait_idle()
        self.proxy.cut()
        self.proxy.mend()

    def stalled(self) -> None:
        """Nothing comes through any more, and nothing is closed; the run does not see that its time is over."""
        self.proxy.stall()
        self.wait_idle()
        self.pod.signal(signal.SIGSTOP)


@pytest.mark.parametrize("idle", [True, False], ids=["idle-in-transaction", "inside-a-statement"])
@pytest.mark.parametrize("how", ["killed", "frozen", "dropped", "stalled"])
def test_a_holder_that_is_gone(how: str, idle: bool, database: Database, admin: Connection, pods: Pods) -> None:
    with Proxy(database.server.port) as proxy:
        holder = Holder(database, admin, proxy, pods, idle=idle)
        getattr(holder, how)()
        # The lock is free without anybody's help, and nothing of the migration is there. (A frozen run may have been
        # looking at who blocks it: that session is idle, and in nobody's way.)
        busy = BACKEND.format("state <> 'idle'")
        wait_until(lambda: rows(admin, LOCKS) == [] == rows(admin, busy), FREE_SECONDS, "a free lock")
        assert verify(PostgresqlView(admin), [PACED, LONG]).applied == {"1"}
        admin.execute("UPDATE pace SET seconds = 0")
        ended = pods("second").run(order(PACED, LONG), keys_of(database))
        assert (ended.code, ended.result.applied) == (0, 1), ended.text
        assert verify(PostgresqlView(admin), [PACED, LONG]).applied == {"1", "2"}
        if holder.pod.alive:
            # It wakes up, and finds that all is done, or that its time is over.
            holder.pod.signal(signal.SIGCONT)
            ended = holder.pod.end()
            assert ended.result.reason in {Reason.UP_TO_DATE, Reason.DEADLINE_EXCEEDED}, ended.text
            assert ended.result.reason is Reason.UP_TO_DATE or not idle
            assert verify(PostgresqlView(admin), [PACED, LONG]).applied == {"1", "2"}


def test_two_pods_of_one_job(any_database: Database, any_admin: Connection, pods: Pods, hurried: Newborn) -> None:
    one, other = pods("orders-abc-x1"), hurried
    wanted = order(PACED, LONG)
    assert one.run(order(PACED), keys_of(any_database)).code == 0
    one.start(wanted, keys_of(any_database))
    wait_until(lambda: rows(any_admin, SLEEPS) != [], what="the slow statement")
    # The Job counts it as a failure that may be tried again, and its message says who is at work.
    ended = other.run(wanted, keys_of(any_database))
    assert (ended.code, ended.result.reason, ended.result.holder) == (10, Reason.LOCK_HELD, "orders-abc-x1")
    assert verify(PostgresqlView(any_admin), [PACED, LONG]).applied == {"1"}
    one.kill()
    any_admin.execute("UPDATE pace SET seconds = 0")
    # The server has still to notice; the replacement's attempts go on until it has.
    wait_until(PostgresqlView(any_admin).is_idle, FREE_SECONDS, "a free lock")
    ended = other.run(wanted, keys_of(any_database))
    assert (ended.code, ended.result.applied) == (0, 1), ended.text
    assert verify(PostgresqlView(any_admin), [PACED, LONG]).applied == {"1", "2"}


# What no splitter can see: it lets go of the run's own locks, as a pooler in between or a failover might.
UNLOCKS = migration(
    "2",
    "DO $$ BEGIN EXECUTE 'SELECT pg_advisory_' || 'unlock_all()'; END $$;\n"
    "SELECT pg_sleep(seconds) FROM pace;\n" + mark("orders", "2", 3, "up"),
)
WAKES_UP = {
    # A smaller one would be at the server already.
    "before-a-transaction": (together("3", "orders", f"SELECT length('{'x' * 70_000}')"), 1),
    "before-the-first-statement": (one_by_one("3"), 1),
    # The statement fails first: the table is there.
    "before-one-that-was-done-meanwhile": (one_by_one("3"), 2),
    "between-statements": (one_by_one("3"), 3),
    "before-one-that-has-no-transaction": (one_by_one("3"), 4),
}


@pytest.mark.parametrize(("third", "after"), WAKES_UP.values(), ids=WAKES_UP.keys())
def test_a_zombie_is_fenced(
    third: OrderedMigration, after: int, any_database: Database, any_admin: Connection, pods: Pods
) -> None:
    """Its lock was taken and its line went on; its session is still there, and so is what it was about to send."""
    migrations = [PACED, UNLOCKS, third, together("4")]
    zombie, second = pods("zombie"), pods("second")
    with CountingProxy(any_database.server.port) as proxy:
        secret = keys_of(any_database) | {"port": str(proxy.port), "sslmode": "disable"}
        assert zombie.run(order(PACED), secret).code == 0
        any_admin.execute("UPDATE pace SET seconds = 1")
        zombie.start(order(*migrations), secret)
        wait_until(lambda: rows(any_admin, SLEEPS) != [], what="version 2")
        proxy.arm(after, Strike.HOLD, word=BEGIN)
        assert proxy.struck.wait(30), zombie.text()
        zombie.signal(signal.SIGSTOP)
        assert rows(any_admin, LOCKS) == []
        ended = second.run(order(*migrations), keys_of(any_database))
        assert (ended.code, ended.result.applied) == (0, 2), ended.text
        done = verify(PostgresqlView(any_admin), migrations)
        assert done.applied == {"1", "2", "3", "4"}
        proxy.release()
        zombie.signal(signal.SIGCONT)
        ended = zombie.end()
    assert (ended.code, ended.result.reason) == (10, Reason.FENCED), ended.text
    assert verify(PostgresqlView(any_admin), migrations) == done
    assert not done.journal


@contextmanager
def old_snapshot(database: Database) -> Iterator[None]:
    """For which CONCURRENTLY waits."""
    with closing(database.connect(admin=True)) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT 1 FROM orders_marks")
        yield


def test_an_index_is_built_while_ten_wait_for_the_lock(
    any_database: Database, any_admin: Connection, pods: Pods
) -> None:
    """A wait for the lock that held a snapshot would be waited for by the very run that holds the lock."""
    wanted = order(first(), one_by_one("2"))
    other = of_line("billing", first("billing"), one_by_one("2", "billing"))
    secret = keys_of(any_database)
    holder, ten, beside = pods("holder"), [pods(f"waits{number}") for number in range(10)], pods("beside")
    assert holder.run(order(first()), secret).code == 0
    with old_snapshot(any_database):
        holder.start(wanted, secret)
        waits = BACKEND.format("query LIKE 'CREATE INDEX%' AND wait_event_type = 'Lock'")
        wait_until(lambda: len(rows(any_admin, waits)) == 1, what="the index")
        # Another line builds one too.
        beside.start(other, secret)
        wait_until(lambda: len(rows(any_admin, waits)) == 2, what="both indexes")
        for pod in ten:
            pod.start(wanted, secret)
        everybody = BACKEND.format("query LIKE '%pg_try_advisory_lock%' AND application_name LIKE '%waits%'")
        wait_until(lambda: rows(any_admin, everybody) != [], what="somebody who waits for the lock")
    ends = [holder.end(), beside.end(), *(pod.end() for pod in ten)]
    assert [each.result.reason for each in ends[:2]] == [Reason.UP_TO_DATE] * 2, ends
    assert {each.result.reason for each in ends} <= {Reason.UP_TO_DATE, Reason.LOCK_HELD}
    assert not any(each.events("retry") for each in ends)
    for line in ("orders", "billing"):
        seen = verify(PostgresqlView(any_admin), [first(line), one_by_one("2", line)], line)
        assert (seen.applied, seen.journal) == ({"1", "2"}, {})
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert rows(any_admin, deadlocks) == [(0,)]


AT_A_COMMIT = {
    "cut-before": (Strike.CUT, True),
    "cut-after": (Strike.CUT, False),
    "killed-before": (Strike.KILL, True),
    "killed-after": (Strike.KILL, False),
}


@pytest.mark.parametrize(("how", "client"), AT_A_COMMIT.values(), ids=AT_A_COMMIT.keys())
def test_at_every_commit_of_a_run(
    how: Strike, client: bool, any_database: Database, any_admin: Connection, pods: Pods
) -> None:
    """Before it is said, and after it took effect and before the runner has learnt it: each commit of the run in turn.

    So between any two statements of a migration that is journaled, too.
    """
    migrations = [first()]
    seen: Counter[str] = Counter()
    with CountingProxy(any_database.server.port) as proxy:
        secret = keys_of(any_database) | {"port": str(proxy.port), "sslmode": "disable"}
        assert pods("first").run(order(*migrations), secret).code == 0
        for number in range(1, 30):
            migrations += [together(f"{2 * number}"), one_by_one(f"{2 * number + 1}")]
            pod = pods(f"pod{number}")
            proxy.arm(number, how, client=client, word=COMMIT if client else COMMIT[1:], kill=pod.strike)
            pod.start(order(*migrations), secret)
            code = pod.wait()
            proxy.disarm()
            wait_until(PostgresqlView(any_admin).is_idle, FREE_SECONDS, "a free lock")
            state = verify(PostgresqlView(any_admin), migrations)
            seen["by half"] += bool(state.journal)
            if code < 0:
                seen["killed"] += 1
                assert pods(f"next{number}").run(order(*migrations), secret).code == 0
                state = verify(PostgresqlView(any_admin), migrations)
            else:
                seen["cut"] += len(pod.ended(code).events("connection_lost"))
                assert code == 0, pod.text()
            assert len(state.applied) == len(migrations)
            assert not state.journal
            if not proxy.struck.is_set():
                break
        else:
            raise AssertionError("a run has no 29 commits")
    # One of the run's entry, one of the first version's, and those of five statements with their rows.
    assert seen["killed" if how is Strike.KILL else "cut"] == number - 1 >= 7, seen
    assert bool(seen["by half"]) is (how is Strike.KILL), seen
