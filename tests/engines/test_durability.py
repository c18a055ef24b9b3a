"""Short steps do not wait for the disk one by one: a crash of the server takes the last of them, and none that is told.

A server that is stopped at once loses what its WAL writer has not written yet, which sleeps for ten seconds here.
"""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from lockstep.api.reasons import Reason
from lockstep.engines.base import RunError
from lockstep.engines.postgresql import durability
from lockstep.engines.postgresql.engine import PostgresSession
from lockstep.planning.wire import Order
from lockstep.runner.drifting import DriftReport
from servers.inprocess import Done, take
from servers.postgres import APP, Database, Postgres
from servers.process import wait_until
from servers.runner import migration, order

LONG = "SELECT pg_sleep(1.1)"
SHORT = 20
INSERTS = tuple(f"INSERT INTO log VALUES ('{number}')" for number in range(SHORT))
TABLE = migration("0", "CREATE TABLE log (version text)")
WAITS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND NOT granted"


@pytest.fixture(scope="module")
def own() -> Iterator[Postgres]:
    """A server whose commits wait for its WAL to be written."""
    with Postgres(18, synchronous_commit="on", wal_writer_delay="10s") as server:
        yield server


@pytest.fixture
def ledger(own: Postgres) -> Database:
    made = own.database()
    assert take(made, order(TABLE)).result.reason is Reason.UP_TO_DATE
    return made


def wanted(*steps: str) -> Order:
    """Return an order of these steps, numbered from 1, behind the table that is there."""
    return order(TABLE, *(migration(str(number), step) for number, step in enumerate(steps, start=1)))


def log(database: Database) -> list[object]:
    return [version for (version,) in database.query("SELECT version FROM log")]


def applied(database: Database) -> list[object]:
    return [version for (version,) in database.query("SELECT version FROM lockstep.applied ORDER BY sequence")]


def crash(server: Postgres) -> None:
    server.stop(signal.SIGQUIT)
    server.start()


def crashed_in_mid_run(own: Postgres, ledger: Database, *steps: str) -> Done:
    """Let the server crash in the last step, and the run go on with it."""
    with ThreadPoolExecutor(1) as threads, closing(ledger.connect()) as other:
        # Held until the server is gone.
        other.execute("SELECT pg_advisory_lock(4711)")
        run = threads.submit(take, ledger, wanted(*steps, "SELECT pg_advisory_xact_lock(4711)"))
        wait_until(lambda: ledger.query(WAITS) == [(1,)], what="the last step")
        assert len(log(ledger)) == SHORT
        crash(own)
        return run.result(60)


def test_what_a_crash_takes_is_done_once_more(own: Postgres, ledger: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durability, "SECONDS", 3600.0)
    done = crashed_in_mid_run(own, ledger, LONG, *INSERTS)
    (lost,) = done.events("steps_lost")
    # Not the long one, nor what came before it.
    assert isinstance(lost["steps"], int)
    assert 0 < lost["steps"] <= SHORT
    assert len(done.events("applied")) == SHORT + 2 + lost["steps"]
    assert (done.result.reason, done.result.applied) == (Reason.UP_TO_DATE, SHORT + 2)
    assert [step.version for step in done.result.steps][-SHORT:] == [str(n) for n in range(3, SHORT + 3)]
    assert f"{lost['steps']} step(s) were lost in a crash of the server" in done.result.message
    assert len(log(ledger)) == SHORT
    assert applied(ledger) == [str(n) for n in range(SHORT + 3)]


def test_a_long_step_takes_all_before_it_to_the_disk(
    own: Postgres, ledger: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durability, "SECONDS", 3600.0)
    done = crashed_in_mid_run(own, ledger, *INSERTS, LONG)
    assert not done.events("steps_lost"), done.text
    assert (len(done.events("applied")), len(log(ledger))) == (SHORT + 2, SHORT)


def test_once_a_second_a_step_waits(own: Postgres, ledger: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    # As if a second had passed at each of them.
    monkeypatch.setattr(durability, "SECONDS", 0.0)
    done = crashed_in_mid_run(own, ledger, *INSERTS)
    assert not done.events("steps_lost"), done.text
    assert (done.result.applied, len(log(ledger))) == (SHORT + 1, SHORT)


@pytest.mark.parametrize("waits", ["on", "off"])
@pytest.mark.parametrize("last", ["SELECT 1", "SELECT 1 / 0"], ids=["done", "failed"])
def test_what_a_run_says_outlives_a_crash(
    last: str, waits: str, own: Postgres, ledger: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durability, "SECONDS", 3600.0)
    # Its commit would have waited too.
    monkeypatch.setattr(DriftReport, "settle", lambda *_, **__: None)
    own.admin(f"ALTER ROLE {APP} IN DATABASE {ledger.name} SET synchronous_commit = {waits}")
    said = take(ledger, wanted(*INSERTS, last)).result
    crash(own)
    assert said.version == str(SHORT + 1 if last == "SELECT 1" else SHORT), said.message
    assert len(log(ledger)) == SHORT
    assert applied(ledger)[-1] == said.version
    assert said.ledger is not None
    assert ledger.query("SELECT max(sequence) FROM lockstep.history") == [(said.ledger.sequence,)]


def test_what_is_not_on_the_disk_is_not_reported(ledger: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    before = take(ledger, order(TABLE)).result.ledger

    def refuse(_: PostgresSession) -> None:
        raise RunError(Reason.DEADLINE_EXCEEDED, "its disk does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(durability, "SECONDS", 3600.0)
        patched.setattr(PostgresSession, "harden", refuse)
        done = take(ledger, wanted("SELECT 1"))
        assert (done.result.reason, done.result.ledger) == (Reason.DEADLINE_EXCEEDED, before), done.text
        # Why it ends is what was wrong first.
        failed = take(ledger, wanted("SELECT 1", "SELECT 2", "SELECT 1 / 0"))
        assert failed.result.reason is Reason.STATEMENT_FAILED, failed.text
        # The first one is sure by now: the claim of the second run has waited.
        assert (done.result.version, failed.result.version, failed.result.applied) == ("0", "1", 0)
    again = take(ledger, wanted("SELECT 1", "SELECT 2"))
    assert (again.result.reason, again.result.applied) == (Reason.UP_TO_DATE, 0)
