"""A network that drops each packet of a run's connection and closes nothing, as a node that is gone or a firewall does.

Neither side is told. Each finds out by itself, in the seconds that engines/postgresql/connect.py sets: the server lets
go of the lock, and the run goes on in a new session or ends.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from lockstep.api.reasons import Reason
from servers.counted import counted, first, verify
from servers.nursery import Newborn
from servers.postgres import Database
from servers.process import wait_until
from servers.runner import keys_of, order
from servers.views import Connection, PostgresqlView

FREE_SECONDS = 40.0
"""When the server must have noticed: it takes 11 to 13 s, the rest is for an overloaded machine."""
RUN = "SELECT pid, client_port, state FROM pg_stat_activity WHERE application_name = 'lockstep first'"
# How long a statement takes is in the database: for every run the text is the same.
PACED = first("orders", "CREATE TABLE pace AS SELECT 60.0 AS seconds")
SLEEP = "SELECT pg_sleep(seconds) FROM pace"


def _works() -> bool:
    if os.geteuid() != 0 or shutil.which("iptables") is None:
        return False
    return subprocess.run(["iptables", "-w", "-S", "INPUT"], capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not _works(), reason="packets are dropped by iptables, which asks for root")


@contextmanager
def dropped(server: int, client: int) -> Iterator[None]:
    """Drop what goes either way between two ports of this machine."""
    rules = [
        ["INPUT", "-i", "lo", "-p", "tcp", "--sport", str(one), "--dport", str(other), "-j", "DROP"]
        for one, other in ((server, client), (client, server))
    ]
    made = []
    try:
        for rule in rules:
            subprocess.run(["iptables", "-w", "-I", *rule], check=True)
            made.append(rule)
        yield
    finally:
        for rule in made:
            subprocess.run(["iptables", "-w", "-D", *rule], check=True)


@pytest.fixture
def pods(newborns: Callable[[str], Newborn]) -> tuple[Newborn, Newborn]:
    """Two runs of one line."""
    return newborns("first"), newborns("second")


@pytest.mark.parametrize("place", ["inside of a statement", "between two statements"])
def test_the_lock_is_free_and_the_run_goes_on(
    place: str, database: Database, admin: Connection, pods: tuple[Newborn, Newborn]
) -> None:
    inside = place == "inside of a statement"
    one, two = pods
    view, secret = PostgresqlView(admin), keys_of(database)
    second = counted(
        "2", ["", SLEEP, "", "CREATE TABLE orders_2 (x int)"], None, transaction="Auto" if inside else "Never"
    )
    one.start(order(PACED), secret)
    assert one.end().code == 0
    admin.execute(f"UPDATE pace SET seconds = {60 if inside else 1}".encode())
    one.start(order(PACED, second), secret)
    wait_until(
        lambda: view.rows(f"{RUN} AND state = 'active' AND query LIKE 'SELECT pg_sleep%'") != [], what="the sleep"
    )
    [(pid, port, _)] = view.rows(RUN)
    if not inside:
        # It is told of the statement's end, and says nothing yet.
        one.signal(signal.SIGSTOP)
        wait_until(lambda: view.rows(f"{RUN} AND state LIKE 'idle%'") != [], what="the end of the sleep")
    with dropped(database.server.port, int(str(port))):
        admin.execute(b"UPDATE pace SET seconds = 0")
        one.signal(signal.SIGCONT)
        wait_until(
            lambda: view.rows(f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid}") == [], FREE_SECONDS, "its end"
        )
        # Whichever of the two comes first.
        two.start(order(PACED, second), secret)
        ends = [two.end(), one.end()]
    assert ends[1].result.reason is Reason.UP_TO_DATE, ends[1].text
    assert len(ends[1].events("connection_lost")) == 1
    assert ends[0].result.reason in {Reason.UP_TO_DATE, Reason.LOCK_HELD}, ends[0].text
    wait_until(view.is_idle, FREE_SECONDS, "a free lock")
    seen = verify(view, [PACED, second])
    assert (seen.applied, seen.journal) == ({"1", "2"}, {})
