"""The expected objects in the ledger: one moment with the catalog, and several lines that do not accuse each other."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from psycopg.conninfo import make_conninfo

from lockstep.engines.control import Control
from lockstep.engines.postgresql.catalog import CatalogOptions, server_major
from lockstep.engines.postgresql.catalog_frame import FORMAT
from lockstep.engines.postgresql.channel import Channel
from lockstep.engines.postgresql.drift_store import LOT, absorb, is_watched, observe, store, update
from lockstep.engines.postgresql.ledger_tables import CREATE, LEDGER_VERSION, UPGRADES, on, quote
from lockstep.engines.postgresql.lock import Locks
from lockstep.engines.postgresql.messages import Command, SqlError
from lockstep.planning.drift import (
    Change,
    Drift,
    Expected,
    Judgement,
    Left,
    Objects,
    Options,
    accept,
    judge,
    left,
    settle,
)
from servers.postgres import Database
from support.catalog import read_objects
from support.examples import examples
from support.waiting import eventually

PLAIN = Options(FORMAT)
OPTIONS = CatalogOptions("lockstep")


def make_ledger(database: Database, schema: str = "lockstep") -> None:
    """The ledger's own tables, without a run to make them."""
    with database.connect() as connection:
        statements = [f"CREATE SCHEMA {quote(schema)}", *CREATE]
        statements += [sql for version in range(2, LEDGER_VERSION + 1) for sql in UPGRADES[version]]
        statements.append(f"INSERT INTO @.meta (ledger, version) VALUES (gen_random_uuid(), {LEDGER_VERSION})")
        for sql in statements:
            connection.execute(on(schema, sql).encode())


@pytest.fixture
def ledger(any_database: Database) -> Database:
    make_ledger(any_database)
    return any_database


@contextmanager
def channel_of(database: Database) -> Iterator[Channel]:
    control = Control(3600)
    connection = psycopg.connect(make_conninfo(**database.params), autocommit=True, prepare_threshold=None)
    channel = Channel(connection, control)
    try:
        yield channel
    finally:
        channel.close()
        control.close()


@pytest.fixture
def channel(ledger: Database) -> Iterator[Channel]:
    with channel_of(ledger) as made:
        yield made


def load(channel: Channel, schema: str) -> Expected:
    """Return all that the ledger says."""
    objects = {name or "": it or "" for name, it in channel.query(on(schema, "SELECT name, hash FROM @.objects"))}
    return replace(observe(channel, CatalogOptions(schema))[0], objects=objects)


def add_line(database: Database, line: str, *, dirty: bool = False) -> None:
    database.query(
        "INSERT INTO lockstep.run (line, owner_cluster, owner_namespace, owner_name, owner_uid, epoch, holder, pid, "
        f"job, pod, attempt, started, dirty) VALUES "
        f"('{line}', '', '', '', '', 1, gen_random_uuid(), 1, '', '', 1, now(), {dirty})"
    )


def dirty_lines(database: Database) -> list[object]:
    return [line for (line,) in database.query("SELECT line FROM lockstep.run WHERE dirty ORDER BY line")]


def baseline(channel: Channel, schema: str, objects: Objects, major: int, options: Options) -> None:
    """Replace all that is expected."""
    channel.run([Command(on(schema, "DELETE FROM @.objects"))])
    store(channel, schema, Change(objects, major=major, options=options))


ODD = {'table "a "" b".c': "1", "function public.f(text,\n int)": "2", "view s.ü€": "3", "table s.a\\b'c": "4"}


def test_many_objects_are_written_in_lots(channel: Channel) -> None:
    many = {f"table s.t{number}": str(number) for number in range(2 * LOT + 1)}
    baseline(channel, "lockstep", many, 18, PLAIN)
    assert load(channel, "lockstep").objects == many


def test_before_the_first_baseline_nothing_is_expected(channel: Channel) -> None:
    assert load(channel, "lockstep") == Expected()


def test_a_baseline_replaces_what_was_expected(channel: Channel) -> None:
    baseline(channel, "lockstep", {"table s.a": "1"}, 15, PLAIN)
    options = Options(FORMAT, frozenset({"Grants", "Policies"}))
    baseline(channel, "lockstep", ODD, 18, options)
    assert load(channel, "lockstep") == Expected(ODD, 18, options)
    baseline(channel, "lockstep", {}, 18, options)
    assert load(channel, "lockstep") == Expected({}, 18, options)


def test_a_ledger_may_have_any_name(any_database: Database) -> None:
    odd = 'My "ledger"; DROP'
    make_ledger(any_database, odd)
    with channel_of(any_database) as channel:
        baseline(channel, odd, ODD, 18, PLAIN)
        assert load(channel, odd).objects == ODD
        found = update(channel, CatalogOptions(odd), lambda e, f: None)[1]
        assert "schema public" in found
        assert 'table "My ""ledger""; DROP".meta' not in found


def test_a_change_is_written_whole_or_not_at_all(ledger: Database, channel: Channel) -> None:
    add_line(ledger, "orders", dirty=True)
    add_line(ledger, "billing", dirty=True)
    baseline(channel, "lockstep", ODD, 18, PLAIN)
    broken: dict[str, str] = {"table s.new": "1", "table s.none": None}  # type: ignore[dict-item]  # refused
    with pytest.raises(SqlError, match="23502"):
        store(channel, "lockstep", Change(broken, tuple(ODD), ("orders",)))
    assert load(channel, "lockstep").objects == ODD
    assert dirty_lines(ledger) == ["billing", "orders"]
    first, *others = ODD
    store(channel, "lockstep", Change({first: "9", "table s.new": "1"}, tuple(others), ("orders",)))
    assert load(channel, "lockstep") == Expected({first: "9", "table s.new": "1"}, 18, PLAIN, (), ("billing",))
    assert dirty_lines(ledger) == ["billing"]


def test_a_dirty_line_is_at_work_while_another_session_holds_its_lock(ledger: Database, channel: Channel) -> None:
    for line in ("billing", "orders", "users"):
        add_line(ledger, line, dirty=line != "users")
    for line in ("orders", "users"):
        assert Locks(channel, "lockstep", line).try_line()
    with channel_of(ledger) as other:
        assert Locks(other, "lockstep", "billing").try_line()
        # Its own lock is that of the run that looks, which has not begun: an earlier one has died.
        assert load(channel, "lockstep") == Expected(others=("billing",), unsettled=("orders",))
        assert load(other, "lockstep") == Expected(others=("orders",), unsettled=("billing",))
    eventually(lambda: not load(channel, "lockstep").others, "the lock goes with its session")
    assert load(channel, "lockstep").unsettled == ("billing", "orders")


def test_a_lock_of_another_database_or_ledger_says_nothing(ledger: Database, channel: Channel) -> None:
    add_line(ledger, "orders", dirty=True)
    elsewhere = ledger.server.database()
    try:
        with channel_of(elsewhere) as far, channel_of(ledger) as near:
            assert Locks(far, "lockstep", "orders").try_line()
            assert Locks(near, "another", "orders").try_line()
            assert load(channel, "lockstep").unsettled == ("orders",)
    finally:
        ledger.server.drop(elsewhere)


@dataclass
class Line:
    """A run of a line, as the runner will have it: its lock, its look, its commits, and what it settles."""

    name: str
    channel: Channel
    options: CatalogOptions = OPTIONS
    before: Left | None = None

    def judge(self, expected: Expected, found: Objects) -> Judgement:
        return judge(expected, found, major=server_major(self.channel), options=self.options.options)

    def look(self) -> tuple[str, str]:
        expected, found = update(self.channel, self.options, lambda e, f: self.judge(e, f).change)
        judged = self.judge(expected, found)
        self.before = left(expected.objects, found, judged.change)
        return judged.outcome, judged.drift.describe()

    def work(self, sql: str) -> None:
        marked = f"UPDATE lockstep.run SET dirty = true WHERE line = '{self.name}'"
        self.channel.run([Command(each) for each in ("BEGIN", sql, marked, "COMMIT")])

    def settle(self) -> None:
        before = self.before
        assert before is not None
        absorb(self.channel, self.options, before, self.name)


class Lines:
    """Begins runs, each on a session of its own."""

    def __init__(self, database: Database, stack: ExitStack) -> None:
        self._database = database
        self._stack = stack

    def __call__(self, name: str, *include: str) -> Line:
        self._database.query(f"DELETE FROM lockstep.run WHERE line = '{name}' AND NOT dirty")
        if name not in dirty_lines(self._database):
            add_line(self._database, name)
        channel = self._stack.enter_context(channel_of(self._database))
        assert Locks(channel, "lockstep", name).try_line()
        return Line(name, channel, CatalogOptions("lockstep", frozenset(include)))


@pytest.fixture
def lines(ledger: Database) -> Iterator[Lines]:
    with ExitStack() as stack:
        yield Lines(ledger, stack)


NOTHING = ("Compared", "no drift")


def test_several_lines_do_not_accuse_each_other(ledger: Database, lines: Lines) -> None:
    ledger.query("CREATE TABLE old (a int)", admin=False)
    orders, billing = lines("orders"), lines("billing")
    assert orders.look() == ("Baseline", "no drift")
    assert billing.look() == NOTHING
    orders.work("CREATE TABLE orders (id int PRIMARY KEY)")
    # It has begun and is not through: what is there may be its work, or not.
    ledger.query("CREATE TABLE by_hand (a int)", admin=False)
    assert billing.look() == ("Inconclusive", "no drift")
    orders.work("ALTER TABLE orders ADD COLUMN name text")
    orders.settle()
    assert dirty_lines(ledger) == []
    assert billing.look() == NOTHING, "made while a run was at work: the run's"
    ledger.query("ALTER TABLE old ADD COLUMN hand int; DROP TABLE by_hand", admin=False)
    drift = ("Compared", "added column public.old.hand; removed table public.by_hand")
    assert billing.look() == drift
    billing.work("CREATE TABLE bills (id int)")
    billing.work("ALTER TABLE old ADD COLUMN b int")
    billing.settle()
    # Its work is taken in, what was made by hand before is not.
    assert orders.look() == drift
    assert billing.look() == drift


def test_what_a_dead_run_has_left_is_taken_in(ledger: Database, lines: Lines) -> None:
    billing = lines("billing")
    billing.look()
    with ExitStack() as session:
        orders = Lines(ledger, session)("orders")
        orders.look()
        orders.work("CREATE TABLE orders (id int)")
        assert billing.look()[0] == "Inconclusive"
    eventually(lambda: not load(billing.channel, "lockstep").others, "the session of the dead run is gone")
    assert observe(billing.channel, billing.options)[0].unsettled == ("orders",)
    assert billing.look() == ("Unattributed", "added table public.orders")
    assert dirty_lines(ledger) == []
    assert billing.look() == NOTHING
    assert lines("orders").look() == NOTHING


def test_a_line_goes_on_after_its_own_dead_run(ledger: Database, lines: Lines) -> None:
    with ExitStack() as session:
        died = Lines(ledger, session)("orders")
        died.look()
        died.work("CREATE TABLE orders (id int)")
    with ledger.connect(admin=True) as admin:
        mine = f"SELECT 1 FROM pg_stat_activity WHERE usename = 'app' AND datname = '{ledger.name}'"
        eventually(lambda: not admin.execute(mine.encode()).fetchall(), "the session of the dead run is gone")
    again = lines("orders")
    assert again.look() == ("Unattributed", "added table public.orders")
    again.work("CREATE TABLE more (id int)")
    again.settle()
    assert again.look() == NOTHING


def test_only_the_accepted_drift_is_taken_in(ledger: Database, lines: Lines) -> None:
    orders = lines("orders")
    orders.look()
    ledger.query("CREATE TABLE by_hand (a int)", admin=False)
    expected, found = observe(orders.channel, orders.options)
    accepted = orders.judge(expected, found).drift.hash(found)

    def decide(expected: Expected, found: Objects) -> Change | None:
        return accept(orders.judge(expected, found).drift, found, accepted)

    ledger.query("CREATE TABLE more_by_hand (a int)", admin=False)
    update(orders.channel, orders.options, decide)
    assert orders.look() == ("Compared", "added table public.by_hand, table public.more_by_hand")
    ledger.query("DROP TABLE more_by_hand", admin=False)
    update(orders.channel, orders.options, decide)
    assert orders.look() == NOTHING


def test_a_line_that_asks_for_more_does_not_disturb_the_other(ledger: Database, lines: Lines) -> None:
    ledger.query("CREATE TABLE t (a int); GRANT SELECT ON t TO PUBLIC", admin=False)
    plain, strict = lines("plain"), lines("strict", "Grants")
    assert plain.look()[0] == "Baseline"
    assert strict.look() == NOTHING, "what is asked for the first time is taken in"
    assert load(plain.channel, "lockstep").options == Options(FORMAT, frozenset({"Grants"}))
    ledger.query("GRANT INSERT ON t TO PUBLIC", admin=False)
    assert plain.look() == NOTHING
    assert strict.look() == ("Compared", "changed grant on table public.t to PUBLIC")
    # The grants of the one's work are known to be its own, though it never asked for grants.
    plain.work("GRANT UPDATE ON t TO PUBLIC")
    plain.work("CREATE TABLE u ()")
    plain.work("GRANT SELECT ON u TO PUBLIC")
    plain.settle()
    assert strict.look() == NOTHING


def test_another_server_begins_anew(ledger: Database, lines: Lines) -> None:
    orders = lines("orders")
    orders.look()
    # As it is after pg_upgrade: the same ledger, another way of printing.
    ledger.query("UPDATE lockstep.meta SET objects_major = 12; UPDATE lockstep.objects SET hash = 'of old'")
    assert orders.look() == ("Baseline", "no drift")
    assert load(orders.channel, "lockstep").major == ledger.server.version
    assert orders.look() == NOTHING


def test_updates_wait_for_each_other_and_then_see_what_was_written(ledger: Database, lines: Lines) -> None:
    orders, billing = lines("orders"), lines("billing")
    orders.look()
    billing.look()
    orders.work("CREATE TABLE orders ()")
    billing.work("CREATE TABLE bills ()")
    deciding, go = threading.Event(), threading.Event()
    before = orders.before or {}
    major, options = server_major(orders.channel), orders.options.options

    def slowly(expected: Expected, found: Objects) -> Change | None:
        deciding.set()
        assert go.wait(60)
        return settle(expected, before, found, "orders", major=major, options=options)

    first = threading.Thread(target=lambda: update(orders.channel, orders.options, slowly))
    first.start()
    assert deciding.wait(60)
    seen: list[Expected] = []

    def other() -> None:
        seen.append(update(billing.channel, billing.options, lambda e, f: None)[0])

    second = threading.Thread(target=other)
    second.start()
    blocked = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'lockstep.objects'::regclass"
    eventually(lambda: ledger.query(blocked), "the second waits for the first")
    # What is looked at meanwhile waits for nobody.
    assert observe_anew(ledger).others == ("billing", "orders")
    go.set()
    first.join()
    second.join()
    assert "table public.orders" in load(billing.channel, "lockstep").objects
    assert (seen[0].others, seen[0].unsettled) == ((), ("billing",))


def observe_anew(database: Database) -> Expected:
    with channel_of(database) as channel:
        return observe(channel, OPTIONS)[0]


def test_a_line_that_begins_in_between_is_decided_on_again(ledger: Database, lines: Lines) -> None:
    orders = lines("orders")
    orders.look()
    add_line(ledger, "billing", dirty=True)
    calls: list[tuple[str, ...]] = []

    def decide(expected: Expected, found: Objects) -> Change | None:
        calls.append(expected.unsettled)
        if len(calls) == 1:
            # Its next run comes after the snapshot.
            ledger.query("UPDATE lockstep.run SET epoch = epoch + 1 WHERE line = 'billing'")
        return orders.judge(expected, found).change

    update(orders.channel, orders.options, decide)
    assert calls == [("billing",), ("billing",)]
    assert dirty_lines(ledger) == []


def test_a_decision_that_fails_leaves_nothing(ledger: Database, channel: Channel) -> None:
    def decide(expected: Expected, found: Objects) -> Change | None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        update(channel, OPTIONS, decide)
    # The table is free, and the session is not in a transaction.
    ledger.query("SET lock_timeout = '10s'; DROP TABLE lockstep.objects")
    with pytest.raises(SqlError, match="42P01"):
        load(channel, "lockstep")
    assert channel.query("SHOW transaction_read_only") == (("off",),)


def test_a_look_writes_nothing(ledger: Database, channel: Channel) -> None:
    baseline(channel, "lockstep", {"table s.gone": "1"}, 12, PLAIN)
    add_line(ledger, "orders", dirty=True)
    with ledger.connect(admin=True) as admin:
        admin.execute(b"REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA lockstep FROM app")
    # Read by another version: nothing of it can be compared.
    assert observe(channel, OPTIONS) == (Expected({}, 12, PLAIN, (), ("orders",)), {})
    ledger.query(f"UPDATE lockstep.meta SET objects_major = {ledger.server.version}")
    expected, found = observe(channel, OPTIONS)
    assert expected == Expected({"table s.gone": "1"}, ledger.server.version, PLAIN, (), ("orders",))
    assert "schema public" in found


def test_only_what_differs_comes_over_and_what_it_lies_in(ledger: Database, lines: Lines) -> None:
    ledger.query("CREATE TABLE t (a int); CREATE TABLE u (a int); CREATE VIEW v AS SELECT 1 AS a", admin=False)
    orders = lines("orders")
    orders.look()
    assert is_watched(orders.channel, "lockstep")
    assert observe(orders.channel, OPTIONS)[1] == {}
    ledger.query("ALTER TABLE t ADD COLUMN b int; CREATE INDEX i ON u (a); DROP VIEW v", admin=False)
    expected, found = observe(orders.channel, OPTIONS)
    assert set(found) == {"column public.t.b", "index public.i of public.u"}
    assert set(expected.objects) == {"view public.v"}
    # Patterns are held against it.
    expected, found = observe(orders.channel, OPTIONS, owners=True)
    above = {"schema public", "table public.t", "table public.u"}
    assert set(found) == {"column public.t.b", "index public.i of public.u"} | above
    assert set(expected.objects) == {"view public.v"} | above
    assert judge(
        expected, found, major=server_major(orders.channel), options=PLAIN, ignore=["table public.t"]
    ).drift == Drift(added=("index public.i of public.u",), removed=("view public.v",))


CHANCES = st.dictionaries(st.sampled_from(range(8)), st.sampled_from(["as it is", "other", "gone"]), max_size=8)


def test_the_server_settles_as_the_decision_says(ledger: Database, channel: Channel) -> None:
    """One rule, written twice: once for engines that compare here, once in SQL."""
    ledger.query("CREATE TABLE a (x int, y int); CREATE TABLE b (x int)", admin=False)
    found = read_objects(channel, OPTIONS)
    names = [*sorted(found), "table s.gone", "view s.gone"][-8:]
    major = server_major(channel)

    def meant(place: int, what: str) -> str | None:
        return {"as it is": found.get(names[place], "1"), "other": "0", "gone": None}[what]

    @examples(60)
    @given(CHANCES, CHANCES)
    def agree(expected: dict[int, str], before: dict[int, str]) -> None:
        was = found | {names[place]: meant(place, what) for place, what in expected.items()}
        objects = {name: it for name, it in was.items() if it is not None}
        known = {names[place]: meant(place, what) for place, what in before.items()}
        baseline(channel, "lockstep", objects, major, PLAIN)
        absorb(channel, OPTIONS, known, "orders")
        wanted = settle(Expected(objects, major, PLAIN), known, found, "orders", major=major, options=PLAIN)
        assert wanted is not None
        kept = {name: it for name, it in {**objects, **wanted.upserts}.items() if name not in wanted.removed}
        assert load(channel, "lockstep").objects == kept

    agree()


@pytest.mark.parametrize("moved", ["objects_major = 12", "objects_options = '99'"])
def test_what_another_lockstep_has_read_meanwhile_is_left_alone(moved: str, ledger: Database, lines: Lines) -> None:
    orders = lines("orders")
    orders.look()
    orders.work("CREATE TABLE orders ()")
    ledger.query(f"UPDATE lockstep.meta SET {moved}")
    held = load(orders.channel, "lockstep").objects
    orders.settle()
    assert load(orders.channel, "lockstep").objects == held
    # Taken in by the next look.
    assert dirty_lines(ledger) == ["orders"]
    assert orders.look()[0] == "Baseline"
    assert (dirty_lines(ledger), orders.look()) == ([], NOTHING)
