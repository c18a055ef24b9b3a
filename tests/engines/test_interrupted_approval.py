"""An approved plan that was taken away half way goes on without a second consent, and nothing else does."""

from lockstep.api.reasons import Reason
from lockstep.planning.wire import Mode, Policy
from servers.postgres import Database
from servers.runner import Pod, keys_of, migration, order
from support.waiting import eventually

ONE = migration("1", "CREATE TABLE a ()", "DROP TABLE a")
TWO = migration("2", "CREATE TABLE b ()", "DROP TABLE b; SELECT pg_sleep(60)")
QUICK = migration("2", "CREATE TABLE b ()", "DROP TABLE b")
THREE = migration("3", "CREATE TABLE c ()", "DROP TABLE c")


def test_the_rest_of_an_approved_plan_runs(database: Database, pod: Pod) -> None:
    pod.run(order(ONE, TWO, THREE), keys_of(database))
    back = order(ONE, TWO, THREE, target="base")
    refused = pod.run(back, keys_of(database)).result
    assert refused.reason is Reason.APPROVAL_REQUIRED
    assert refused.plan is not None
    approved = Policy(approved_plans=(refused.plan.hash,))

    pod.start(order(ONE, TWO, THREE, target="base", policy=approved), keys_of(database))
    pod.wait_for("applied")
    pod.kill()
    locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    eventually(lambda: database.query(locks) == [(0,)], "the lock is free", 30)
    assert database.query("SELECT version FROM lockstep.applied ORDER BY 1") == [("1",), ("2",)]

    # A down that was corrected meanwhile is another plan.
    other = pod.run(order(ONE, QUICK, THREE, target="base", policy=approved), keys_of(database)).result
    assert other.reason is Reason.APPROVAL_REQUIRED
    # The very same rest: shown under the hash that was approved, and under no other.
    shown = pod.run(order(ONE, TWO, THREE, target="base", policy=approved, mode=Mode.PLAN), keys_of(database)).result
    assert shown.plan is not None
    assert (shown.plan.hash, shown.plan.count) == (refused.plan.hash, 2)
    pod.start(order(ONE, TWO, THREE, target="base", policy=approved), keys_of(database))
    assert pod.wait_for("planned")["steps"] == 2
    sleeping = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE query LIKE '%pg_sleep(60)%' AND state = 'active' AND pid <> pg_backend_pid()"
    )
    eventually(lambda: database.query(sleeping) == [(1,)], "its next down runs", 30)
    pod.kill()
