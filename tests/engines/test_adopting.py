"""A database that was there before Lockstep: left alone, or its versions recorded without being run."""

from typing import Any

import pytest
from msgspec.structs import replace

from lockstep.api.reasons import Reason
from lockstep.planning.result import Result
from lockstep.planning.wire import AdoptOrder, Mode, OrderedMigration, Owner, Policy, RepairOrder
from servers.inprocess import take
from servers.postgres import Database
from servers.runner import OWNER, Pod, keys_of, migration, order

ALLOW = Policy(rollback="Allow", out_of_order="Allow")
USERS = migration("1", "CREATE TABLE users (id int);", "DROP TABLE users;")
EMAIL = migration("2", "ALTER TABLE users ADD COLUMN email text;", "ALTER TABLE users DROP COLUMN email;")
ORDERS = migration("3", "CREATE TABLE orders (id int);", "DROP TABLE orders;")
ALL = (USERS, EMAIL, ORDERS)


@pytest.fixture
def found(any_database: Database) -> Database:
    """A database that somebody has taken to version 2 by hand."""
    any_database.query("CREATE TABLE users (id int, email text)", admin=False)
    return any_database


def to(database: Database, target: str, *some: OrderedMigration, **more: Any) -> Result:
    return take(database, order(*some, target=target, **{"policy": ALLOW, **more})).result


def history(database: Database) -> list[tuple[object, ...]]:
    return database.query("SELECT direction, version, name FROM lockstep.history ORDER BY sequence")


def test_without_a_word_it_is_left_alone(found: Database) -> None:
    result = to(found, "latest", *ALL)
    assert result.reason is Reason.DATABASE_NOT_EMPTY
    assert "public.users" in result.message
    assert "spec.baseline" in result.message
    assert found.query("SELECT to_regnamespace('lockstep')") == [(None,)]


def test_another_tools_history_is_named_before_all_else(found: Database) -> None:
    for name in "abcde":
        found.query(f"CREATE TABLE {name} ()", admin=False)
    found.query('CREATE SCHEMA theirs; CREATE TABLE theirs."__EFMigrationsHistory" ()')
    result = to(found, "latest", *ALL)
    assert result.reason is Reason.DATABASE_NOT_EMPTY
    assert "theirs.__EFMigrationsHistory looks like the history of efcore" in result.message


def test_a_baseline_is_recorded_and_the_rest_runs(found: Database) -> None:
    result = to(found, "latest", *ALL, baseline="2")
    assert (result.reason, result.version, result.applied) == (Reason.UP_TO_DATE, "3", 3)
    assert history(found) == [("baseline", "1", "orders-1"), ("baseline", "2", "orders-2"), ("up", "3", "orders-3")]
    # Once: the next run has nothing to do, whatever the baseline says.
    for baseline in ("2", "3", None):
        assert to(found, "latest", *ALL, baseline=baseline).applied == 0
    # What was recorded can be undone: its down is the Migration's, and the ledger has it too.
    assert to(found, "1", *ALL).version == "1"
    assert to(found, "base").version == "base"
    assert found.query("SELECT to_regclass('users')") == [(None,)]


def test_a_baseline_without_its_migration(found: Database) -> None:
    result = to(found, "latest", ORDERS, baseline="2")
    assert (result.version, result.applied) == ("3", 2)
    assert history(found)[0] == ("baseline", "2", "(baseline)")
    refused = to(found, "base", ORDERS)
    assert refused.reason is Reason.IRREVERSIBLE
    assert "had it before Lockstep came" in refused.message
    # A Migration that comes for it later says how to undo it, and the ledger keeps that.
    corrected = to(found, "latest", EMAIL, ORDERS)
    assert [(step.direction, step.version) for step in corrected.steps[-corrected.applied :]] == [("correct", "2")]
    assert to(found, "base").version == "base"


def test_an_empty_database_runs_everything(any_database: Database) -> None:
    result = to(any_database, "latest", *ALL, baseline="2")
    assert (result.version, result.applied) == ("3", 3)
    assert {row[0] for row in history(any_database)} == {"up"}


def test_a_target_below_the_baseline_is_refused(found: Database) -> None:
    result = to(found, "1", *ALL, baseline="2")
    assert (result.reason, result.applied) == (Reason.ADOPTION_FAILED, 0)
    assert history(found) == []
    assert to(found, "2", *ALL, baseline="2").version == "2"
    assert to(found, "1", *ALL, baseline="2").version == "1"


def test_a_ledger_that_was_made_for_an_adoption_that_never_was(found: Database) -> None:
    to(found, "1", *ALL, baseline="2")
    result = to(found, "latest", *ALL)
    assert result.reason is Reason.DATABASE_NOT_EMPTY
    # An act of a person on the line as a whole is no history of it.
    repair = RepairOrder("t1", "TakeOver", confirm="")
    result = to(found, "1", *ALL, baseline="2", repair=repair)
    assert (result.reason, history(found)) == (Reason.ADOPTION_FAILED, [("repair", None, "(TakeOver)")])
    assert to(found, "latest", *ALL).reason is Reason.DATABASE_NOT_EMPTY
    assert to(found, "latest", *ALL, baseline="2").version == "3"
    assert [row[0] for row in history(found)] == ["repair", "baseline", "baseline", "up"]


def test_a_baseline_can_be_read_before_it_is_recorded(found: Database) -> None:
    done = take(found, order(*ALL, baseline="2", mode=Mode.PLAN))
    assert done.result.reason is Reason.PLANNED
    assert done.result.plan is not None
    assert done.result.plan.steps == ("baseline 1 (orders-1)", "baseline 2 (orders-2)", "up 3 (orders-3)")
    # Nothing of what is only recorded is SQL that runs.
    assert [line["sql"] for line in done.events("sql")] == ["", "", ORDERS.up]
    assert found.query("SELECT to_regnamespace('lockstep')") == [(None,)]
    manual = Policy(approval="Manual")
    assert to(found, "latest", *ALL, baseline="2", policy=manual).reason is Reason.APPROVAL_REQUIRED
    approved = replace(manual, approved_plans=(done.result.plan.hash,))
    assert to(found, "latest", *ALL, baseline="2", policy=approved).version == "3"


def test_a_second_line_of_a_database_that_has_a_ledger(found: Database) -> None:
    to(found, "latest", *ALL, baseline="2")
    owner: Owner = replace(OWNER, name="billing")
    bills = migration("1", "CREATE TABLE bills ();", "DROP TABLE bills;")
    other = replace(order(bills, policy=ALLOW), line="billing", owner=owner)
    # The tables are those of a line that Lockstep knows.
    assert take(found, other).result.version == "1"
    # With a baseline it is taken by its word: the database holds something.
    third = replace(order(bills, policy=ALLOW, baseline="1"), line="mail", owner=replace(OWNER, name="mail"))
    assert [step.direction for step in take(found, third).result.steps] == ["baseline"]


def test_a_baseline_is_recorded_whole_or_not_at_all(found: Database) -> None:
    """Its entries are one commit: the last of them fails, and the first is not there."""
    to(found, "1", *ALL, baseline="2")
    found.query("ALTER TABLE lockstep.history ADD CONSTRAINT no CHECK (version <> '2')")
    result = to(found, "latest", *ALL, baseline="2")
    assert result.reason is Reason.LEDGER_INVALID
    assert history(found) == []
    assert found.query("SELECT count(*) FROM lockstep.applied") == [(0,)]
    found.query("ALTER TABLE lockstep.history DROP CONSTRAINT no")
    assert to(found, "latest", *ALL, baseline="2").version == "3"


def test_an_empty_database_runs_everything_whatever_is_to_be_adopted(any_database: Database, pod: Pod) -> None:
    one = migration("1", "CREATE TABLE a ()", "DROP TABLE a")
    for wanted in (order(one, adopt=AdoptOrder("flyway")), order(one, adopt=AdoptOrder("flyway"))):
        ended = pod.run(wanted, keys_of(any_database))
        assert (ended.code, ended.result.version) == (0, "1"), ended.text
    assert any_database.query("SELECT direction FROM lockstep.history") == [("up",)]


def test_rows_that_row_security_hides_are_an_error_and_not_missing(database: Database, pod: Pod) -> None:
    database.query("CREATE TABLE schema_migrations (version bigint PRIMARY KEY, dirty boolean NOT NULL)")
    database.query("INSERT INTO schema_migrations VALUES (1, false); GRANT SELECT ON schema_migrations TO app")
    database.query("ALTER TABLE schema_migrations ENABLE ROW LEVEL SECURITY")
    wanted = order(migration("1", "CREATE TABLE a ()"), adopt=AdoptOrder("golang-migrate"))
    refused = pod.run(wanted, keys_of(database)).result
    assert refused.reason is Reason.PERMISSION_DENIED, refused
    assert "golang-migrate" in refused.message
