"""The way back on real servers: each down with its record in one commit, from the Migration or from the ledger."""

from typing import Any

import pytest
from msgspec.structs import replace

from lockstep.api.reasons import Reason
from lockstep.planning.result import Result
from lockstep.planning.wire import DriftOrder, Mode, Order, OrderedMigration, Policy
from servers.faults import Fault, FaultyProxy
from servers.inprocess import Done, take
from servers.postgres import Database
from servers.runner import OWNER, Pod, keys_of, migration, order

ALLOW = Policy(rollback="Allow", out_of_order="Allow")

USERS = migration("1", "CREATE TABLE users (id int PRIMARY KEY, name text);", "DROP TABLE users;")
EMAIL = migration("2", "ALTER TABLE users ADD COLUMN email text;", "ALTER TABLE users DROP COLUMN email;")
ORDERS = migration("3", "CREATE TABLE orders (id int);", "DROP TABLE orders;")
ALL = (USERS, EMAIL, ORDERS)


def view(columns: str, down: str | None = "DROP VIEW v") -> OrderedMigration:
    return migration(None, f"CREATE OR REPLACE VIEW v AS SELECT {columns} FROM users", down, name="orders-v")


def to(database: Database, target: str, *some: OrderedMigration, **more: Any) -> Result:
    return take(database, order(*some, target=target, **{"policy": ALLOW, **more})).result


def steps(result: Result) -> list[str]:
    """Return the steps of this run alone."""
    return [f"{step.direction} {step.version or step.name}" for step in result.steps[-result.applied :]]


def applied(database: Database) -> list[object]:
    return [row[0] for row in database.query("SELECT version FROM lockstep.applied ORDER BY sequence")]


def history(database: Database) -> list[tuple[object, ...]]:
    return database.query("SELECT direction, coalesce(version, name) FROM lockstep.history ORDER BY sequence")


def relations(database: Database) -> set[object]:
    return {
        row[0]
        for row in database.query(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'v') AND relnamespace = 'public'::regnamespace"
        )
    }


def columns(database: Database, name: str) -> list[object]:
    return [
        row[0]
        for row in database.query(
            f"SELECT attname FROM pg_attribute WHERE attrelid = '{name}'::regclass AND attnum > 0 "
            "AND NOT attisdropped ORDER BY attnum"
        )
    ]


def test_down_and_up_again(any_database: Database) -> None:
    assert steps(to(any_database, "latest", *ALL)) == ["up 1", "up 2", "up 3"]
    result = to(any_database, "1", *ALL)
    assert (result.reason, result.version, result.applied, result.pending) == (Reason.UP_TO_DATE, "1", 2, 0)
    assert steps(result) == ["down 3", "down 2"]
    assert columns(any_database, "users") == ["id", "name"]
    assert relations(any_database) == {"users"}
    assert applied(any_database) == ["1"]
    assert to(any_database, "1", *ALL).applied == 0
    assert steps(to(any_database, "base", *ALL)) == ["down 1"]
    assert to(any_database, "base", *ALL).version == "base"
    assert relations(any_database) == set()
    assert steps(to(any_database, "latest", *ALL)) == ["up 1", "up 2", "up 3"]
    assert len(history(any_database)) == 9


def test_the_latest_never_goes_down(any_database: Database) -> None:
    to(any_database, "latest", *ALL)
    result = to(any_database, "latest", USERS)
    assert (result.applied, result.version) == (0, "3")


def test_the_order_is_that_of_application(any_database: Database) -> None:
    late = migration("1.5", "CREATE TABLE late ();", "DROP TABLE late;")
    to(any_database, "latest", *ALL)
    to(any_database, "latest", *ALL, late)
    assert steps(to(any_database, "1", *ALL, late)) == ["down 1.5", "down 3", "down 2"]


def test_what_was_pruned_is_undone_from_the_ledger(any_database: Database) -> None:
    data = migration("4", "INSERT INTO users VALUES (1, 'one')", "DELETE FROM users WHERE id = 1", kind="Data")
    to(any_database, "latest", *ALL, data)
    assert steps(to(any_database, "1", USERS)) == ["down 4", "down 3", "down 2"]
    assert steps(to(any_database, "base")) == ["down 1"]
    assert relations(any_database) == set()


def test_what_was_pruned_runs_outside_of_a_transaction_where_it_must(any_database: Database) -> None:
    """The ledger does not know that it was Never; a text that only the server knows to be so is journaled then too."""
    parted = "CREATE TABLE p (x int) PARTITION BY RANGE (x); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (9)"
    down = "INSERT INTO users VALUES (9); REINDEX TABLE p; DELETE FROM users; DROP TABLE p"
    never = migration("4", f"{parted}; CREATE INDEX ON p (x)", down, transaction="Never")
    to(any_database, "latest", *ALL, never)
    assert to(any_database, "3", *ALL, replace(never, transaction="Auto")).reason is Reason.STATEMENT_FAILED
    # The one before it is sent ahead of it.
    last = migration("5", "CREATE TABLE last (x int)", "DROP TABLE last")
    to(any_database, "latest", *ALL, never, last)
    assert steps(to(any_database, "1", USERS)) == ["down 5", "down 4", "down 3", "down 2"]
    assert any_database.query("TABLE lockstep.journal") == []
    assert relations(any_database) == {"users"}


def test_texts_that_the_status_knows_need_not_be_sent(any_database: Database) -> None:
    to(any_database, "latest", *ALL)
    bare = [replace(each, up=None, down=None) for each in ALL]
    assert steps(to(any_database, "1", *bare)) == ["down 3", "down 2"]


def test_a_correction_is_taken_into_the_ledger(any_database: Database) -> None:
    wrong = replace(migration("3", ORDERS.up or "", "DROP TABLE nothing;"))
    to(any_database, "latest", USERS, EMAIL, wrong)
    result = to(any_database, "latest", *ALL)
    assert (steps(result), result.version) == (["correct 3"], "3")
    assert to(any_database, "latest", *ALL).applied == 0
    # From here on the Migration is not needed.
    assert steps(to(any_database, "2", USERS)) == ["down 3"]


def test_a_correction_of_a_view_too(any_database: Database) -> None:
    to(any_database, "latest", *ALL, view("id", "DROP VIEW nothing"))
    result = to(any_database, "latest", *ALL, view("id"))
    assert steps(result) == ["correct orders-v"]
    before = any_database.query("SELECT sequence, undone FROM lockstep.repeatable")
    assert before == [(4, None)]
    assert steps(to(any_database, "base")) == ["down orders-v", "down 3", "down 2", "down 1"]


def test_a_correction_on_the_way_is_the_one_that_runs(any_database: Database) -> None:
    to(any_database, "latest", USERS, EMAIL, migration("3", ORDERS.up or "", None))
    assert to(any_database, "2", USERS, EMAIL).reason is Reason.DOWN_MISSING
    assert steps(to(any_database, "2", *ALL)) == ["down 3"]


def test_a_down_that_fails_half_way_of_a_plan_leaves_a_true_ledger(any_database: Database) -> None:
    broken = migration("2", EMAIL.up or "", "ALTER TABLE users DROP COLUMN email;\nSELECT 1/0;")
    to(any_database, "latest", USERS, broken, ORDERS)
    result = to(any_database, "base", USERS, broken, ORDERS)
    assert (result.reason, result.version, result.applied, result.pending) == (Reason.STATEMENT_FAILED, "2", 1, 2)
    assert result.error is not None
    assert (result.error.version, result.error.statement, result.error.line) == ("2", 2, 2)
    assert "down of version 2" in result.message
    # All of the failed one is undone by the server, and what came before it is done and recorded.
    assert columns(any_database, "users") == ["id", "name", "email"]
    assert relations(any_database) == {"users"}
    assert applied(any_database) == ["1", "2"]
    assert steps(to(any_database, "base", *ALL)) == ["down 2", "down 1"]


def test_what_cannot_be_undone_is_refused_before_anything(any_database: Database) -> None:
    never = migration("2", EMAIL.up or "", None, irreversible="addresses were lost")
    to(any_database, "latest", USERS, never, ORDERS)
    before = history(any_database)
    for some in ((USERS, never, ORDERS), ()):
        result = to(any_database, "1", *some)
        assert result.reason is Reason.IRREVERSIBLE
        assert "2 (orders-2): addresses were lost" in result.message
    assert history(any_database) == before
    assert relations(any_database) == {"users", "orders"}


def test_a_text_that_is_gone_everywhere_stops_the_plan(any_database: Database) -> None:
    to(any_database, "latest", *ALL)
    any_database.query(f"DELETE FROM lockstep.texts WHERE checksum = '{EMAIL.down_checksum}'")
    result = to(any_database, "1", USERS)
    assert (result.reason, result.applied) == (Reason.DOWN_MISSING, 0)
    assert applied(any_database) == ["1", "2", "3"]


def test_a_rollback_that_is_forbidden(any_database: Database) -> None:
    to(any_database, "latest", *ALL)
    result = to(any_database, "1", *ALL, policy=Policy(rollback="Forbid"))
    assert (result.reason, result.applied) == (Reason.ROLLBACK_FORBIDDEN, 0)


def test_what_another_line_requires_is_named(any_database: Database) -> None:
    to(any_database, "latest", *ALL)
    billing = migration("7", "CREATE TABLE bills ()", "DROP TABLE bills", requires=(("orders", "2.0"),))
    other = replace(order(billing, policy=ALLOW), line="billing", owner=replace(OWNER, name="billing"))
    assert take(any_database, other).result.version == "7"
    result = to(any_database, "1", *ALL)
    assert (result.reason, result.applied) == (Reason.REQUIRED_BY_OTHERS, 0)
    assert "billing 7 (requires orders 2)" in result.message
    assert steps(to(any_database, "2", *ALL)) == ["down 3"]
    assert take(any_database, replace(other, target="base")).result.version == "base"
    assert steps(to(any_database, "1", *ALL)) == ["down 2"]


def test_views_are_out_of_the_way_and_come_back(any_database: Database) -> None:
    to(any_database, "latest", USERS, view("id"))
    top = view("id, email")
    to(any_database, "latest", *ALL, top)
    result = to(any_database, "1", *ALL, top)
    assert steps(result) == ["down orders-v", "down 3", "down 2", "repeat orders-v"]
    assert columns(any_database, "v") == ["id"]
    assert to(any_database, "1", *ALL, top).applied == 0
    assert steps(to(any_database, "latest", *ALL, top)) == ["up 2", "up 3", "repeat orders-v"]
    assert columns(any_database, "v") == ["id", "email"]
    # And all of it from the ledger alone.
    assert steps(to(any_database, "1")) == ["down orders-v", "down 3", "down 2", "repeat orders-v"]
    assert columns(any_database, "v") == ["id"]


def test_back_up_and_back_again_with_a_view_on_what_goes_away(any_database: Database) -> None:
    top = view("id, email")
    for _ in range(2):
        to(any_database, "2", *ALL, top)
        assert steps(to(any_database, "1", *ALL, top)) == ["down orders-v", "down 2"]


def test_a_migration_made_anew_under_its_name_with_another_version(any_database: Database) -> None:
    """Two versions in the ledger have one name and one text: each is undone as itself."""
    text, down = "CREATE TABLE IF NOT EXISTS extra ();", "DROP TABLE IF EXISTS extra;"
    third = migration("3", text, down, name="orders-extra")
    fourth = migration("4", text, down, name="orders-extra")
    to(any_database, "latest", USERS, EMAIL, third)
    to(any_database, "latest", USERS, EMAIL, fourth)
    assert steps(to(any_database, "2", USERS, EMAIL, fourth)) == ["down 4", "down 3"]
    assert applied(any_database) == ["1", "2"]


def test_a_connection_that_is_cut_before_the_commit_of_a_down_of_a_renamed_migration(
    database: Database, pod: Pod
) -> None:
    to(database, "latest", *ALL)
    renamed = replace(ORDERS, name="another-name")
    with FaultyProxy(database.server.port) as proxy:
        proxy.on(b"DROP TABLE orders", Fault.CUT_BEFORE)
        wanted = order(USERS, EMAIL, renamed, target="2", policy=ALLOW, known_sequence=3)
        ended = pod.run(wanted, keys_of(database) | {"port": str(proxy.port)})
        assert proxy.struck.is_set()
    # What was not there when the connection was lost is not said to have been.
    assert (ended.code, ended.result.applied, [s.version for s in ended.result.steps]) == (0, 1, ["3"]), ended.text


# Approval.
APPROVE = Policy(rollback="Approve")


def test_a_way_back_waits_for_approval_of_that_very_plan(any_database: Database) -> None:
    to(any_database, "latest", *ALL)
    before = history(any_database)
    result = to(any_database, "1", *ALL, policy=APPROVE)
    assert result.reason is Reason.APPROVAL_REQUIRED
    plan = result.plan
    assert plan is not None
    assert (plan.direction, plan.count) == ("Down", 2)
    assert plan.steps == ("down 3 (orders-3)", "down 2 (orders-2)")
    assert plan.hash in result.message
    assert history(any_database) == before
    stale = to(any_database, "2", *ALL, policy=replace(APPROVE, approved_plans=(plan.hash,)))
    assert stale.reason is Reason.APPROVAL_REQUIRED
    corrected = migration("3", ORDERS.up or "", "DROP TABLE orders CASCADE;")
    stale = to(any_database, "1", USERS, EMAIL, corrected, policy=replace(APPROVE, approved_plans=(plan.hash,)))
    assert (stale.reason, stale.applied) == (Reason.APPROVAL_REQUIRED, 0)
    approved = replace(APPROVE, approved_plans=("sha256:other", plan.hash))
    assert steps(to(any_database, "1", *ALL, policy=approved)) == ["down 3", "down 2"]
    # It says nothing of what comes after.
    assert to(any_database, "base", *ALL, policy=approved).reason is Reason.APPROVAL_REQUIRED


def test_the_ledger_under_the_lock_makes_an_approval_stale(any_database: Database) -> None:
    to(any_database, "latest", *ALL)
    plan = to(any_database, "1", *ALL, policy=APPROVE).plan
    assert plan is not None
    fourth = migration("4", "CREATE TABLE more ();", "DROP TABLE more;")
    to(any_database, "latest", *ALL, fourth)
    result = to(any_database, "1", *ALL, fourth, policy=replace(APPROVE, approved_plans=(plan.hash,)))
    assert (result.reason, result.applied) == (Reason.APPROVAL_REQUIRED, 0)
    assert result.plan is not None
    assert result.plan.count == 3


def test_manual_approval_of_the_way_up(any_database: Database) -> None:
    manual = Policy(approval="Manual")
    result = to(any_database, "latest", *ALL, policy=manual)
    assert result.reason is Reason.APPROVAL_REQUIRED
    assert result.plan is not None
    assert relations(any_database) == set()
    approved = replace(manual, approved_plans=(result.plan.hash,))
    assert to(any_database, "latest", *ALL, policy=approved).version == "3"
    assert to(any_database, "latest", *ALL, policy=manual).reason is Reason.UP_TO_DATE
    # Taking it back is the other policy's.
    assert to(any_database, "2", *ALL, policy=replace(manual, rollback="Allow")).version == "2"


# Plans that are only made.
def planning(*some: OrderedMigration, **more: Any) -> Order:
    return order(*some, **{"mode": Mode.PLAN, "policy": APPROVE, "drift": DriftOrder("Ignore"), **more})


def whole(database: Database) -> object:
    """Return everything that Lockstep has in a database."""
    tables = database.query(
        "SELECT relname, attname, format_type(atttypid, atttypmod) FROM pg_attribute "
        "JOIN pg_class AS c ON c.oid = attrelid "
        "WHERE relnamespace = to_regnamespace('lockstep') AND attnum > 0 AND relkind = 'r' ORDER BY 1, attnum"
    )
    names = sorted({str(name) for name, *_ in tables})
    rows = [(name, sorted(map(repr, database.query(f"TABLE lockstep.{name}")))) for name in names]
    return tables, rows, database.query("SELECT nspname, nspacl::text FROM pg_namespace ORDER BY 1")


def written(database: Database) -> object:
    """Return how far the server's transactions are that have written."""
    return database.query("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")


def without_a_write(database: Database, wanted: Order) -> Done:
    """Carry out an order, and see that nothing is written. Autovacuum writes too, now and then: so not each time."""
    for _ in range(3):
        number = written(database)
        done = take(database, wanted)
        if written(database) == number:
            return done
    raise AssertionError("something is written each time")


def test_a_plan_writes_nothing(any_database: Database) -> None:
    to(any_database, "latest", *ALL, drift=DriftOrder("Ignore"))
    before = whole(any_database)
    done = without_a_write(any_database, planning(*ALL, target="1"))
    assert whole(any_database) == before
    result = done.result
    assert (result.reason, result.applied, result.version) == (Reason.PLANNED, 0, "3")
    assert result.plan is not None
    assert result.plan.steps == ("down 3 (orders-3)", "down 2 (orders-2)")
    assert [line["sql"] for line in done.events("sql")] == [ORDERS.down, EMAIL.down]
    # What was planned is what is run.
    approved = replace(APPROVE, approved_plans=(result.plan.hash,))
    assert to(any_database, "1", *ALL, policy=approved).version == "1"


def test_a_plan_for_a_database_without_a_ledger_makes_none(any_database: Database) -> None:
    done = without_a_write(any_database, planning(*ALL))
    assert any_database.query("SELECT to_regnamespace('lockstep')") == [(None,)]
    assert done.result.plan is not None
    assert (done.result.plan.count, done.result.plan.direction, done.result.version) == (3, "Up", "base")
    assert done.result.ledger is None
    manual = Policy(approval="Manual", approved_plans=(done.result.plan.hash,))
    assert to(any_database, "latest", *ALL, policy=manual).version == "3"


@pytest.mark.parametrize("drift", ["Report", "Block"])
def test_a_plan_that_looks_for_drift_writes_nothing_either(drift: str, any_database: Database) -> None:
    planned = without_a_write(any_database, planning(*ALL, drift=DriftOrder(drift)))
    assert planned.result.reason is Reason.PLANNED
    to(any_database, "latest", *ALL)
    planned = without_a_write(any_database, planning(*ALL, target="1", drift=DriftOrder(drift)))
    assert planned.result.reason is Reason.PLANNED


def test_a_plan_does_not_wait_for_the_lock(database: Database, pod: Pod) -> None:
    to(database, "latest", *ALL)
    slow = migration("4", "SELECT pg_sleep(60)")
    pod.start(order(*ALL, slow, policy=ALLOW), keys_of(database))
    pod.wait_for("planned")
    assert take(database, planning(*ALL, target="1")).result.reason is Reason.PLANNED
    pod.kill()


def test_a_plan_hides_the_texts_of_data(any_database: Database) -> None:
    data = migration("4", "INSERT INTO users VALUES (1, 'secret name')", "DELETE FROM users", kind="Data")
    done = take(any_database, planning(*ALL, data))
    assert done.result.reason is Reason.PLANNED
    assert "secret name" not in done.text
    assert "CREATE TABLE users" in done.text


def test_a_plan_is_refused_as_a_run_would_be(any_database: Database) -> None:
    to(any_database, "latest", *ALL)
    assert take(any_database, planning(*ALL, target="9")).result.reason is Reason.TARGET_NOT_FOUND
    foreign = take(any_database, planning(*ALL, owner=replace(OWNER, namespace="other"))).result
    assert foreign.reason is Reason.FOREIGN_OWNER
