"""At most one replica works: killed, frozen, cut off, or before an API server that hangs."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from servers.controlplane import ControlPlane
from servers.operator import Operator
from servers.proxy import Proxy
from support.controlled import Namespace
from support.waiting import eventually

LEASE, RENEW = 4.0, 2.5
SHORT = {"LOCKSTEP_LEASE_SECONDS": str(LEASE), "LOCKSTEP_RENEW_SECONDS": str(RENEW)}
ACQUIRED = "lease acquired"
LOST = 70


@contextmanager
def a_pair(plane: ControlPlane, ns: Namespace, kubeconfig: Path | None = None) -> Iterator[tuple[Operator, Operator]]:
    """Run a leader, and another replica that stands by."""
    with Operator(plane, ns.name, "one", kubeconfig, **SHORT) as first:
        first.wait_for("cache filled")
        with Operator(plane, ns.name, "two", None, **SHORT) as second:
            eventually(lambda: second.http("/readyz")[0] == 200, "the second is ready")
            yield first, second


@pytest.fixture
def two(plane: ControlPlane, ns: Namespace) -> Iterator[tuple[Operator, Operator]]:
    with a_pair(plane, ns) as pair:
        yield pair


def holder(ns: Namespace) -> str:
    lease = ns.plane.get("leases", ns.name, "lockstep-controller")
    return str(lease["spec"]["holderIdentity"]).split("_")[0]


def test_one_leads_and_the_other_stands_by_ready(two: tuple[Operator, Operator], ns: Namespace) -> None:
    first, second = two
    assert first.http("/healthz") == (200, "ok")
    assert second.http("/healthz") == (200, "ok")
    # A released Lease is taken at once, not after its duration.
    before = time.monotonic()
    assert first.stop() == 0
    second.wait_for(ACQUIRED)
    assert time.monotonic() - before < LEASE
    assert holder(ns) == "two"


def test_killed(two: tuple[Operator, Operator], ns: Namespace) -> None:
    first, second = two
    ns.migration("m1", "1")
    ns.schema_version()
    ns.wait_job()
    first.kill(frees_lease=False)
    killed = time.monotonic()
    second.wait_for(ACQUIRED)
    # Not before the Lease has run out: less the age of its last renewal.
    assert LEASE - 1.5 < time.monotonic() - killed < LEASE + 3
    # It goes on where the first one stopped.
    ns.end(ns.wait_job())
    ns.wait_state("UpToDate")
    assert len(ns.jobs()) == 1


def test_frozen(two: tuple[Operator, Operator], ns: Namespace) -> None:
    first, second = two
    first.send(signal.SIGSTOP)
    # Work for which the frozen one will hear events as soon as it thaws.
    ns.migration("m1", "1")
    ns.schema_version()
    second.wait_for(ACQUIRED)
    job = ns.wait_job()
    # The other one has written all that there is to write for now.
    ns.wait_state("Running")
    versions = {each["metadata"]["resourceVersion"] for each in ns.plane.list("schemaversions", ns.name)}
    logged = len(first.lines("schemaversion") + first.lines("migration") + first.lines("run started"))
    first.send(signal.SIGCONT)
    assert first.ended(5) == LOST
    assert len(first.lines("schemaversion") + first.lines("migration") + first.lines("run started")) == logged
    assert versions == {each["metadata"]["resourceVersion"] for each in ns.plane.list("schemaversions", ns.name)}
    assert holder(ns) == "two"
    ns.end(job)
    ns.wait_state("UpToDate")


def test_cut_off_from_the_api_server(plane: ControlPlane, ns: Namespace) -> None:
    with Proxy(plane.port) as proxy:
        through = plane.write_kubeconfig(f"{ns.name}-proxy", proxy.port)
        with a_pair(plane, ns, through) as (first, second):
            proxy.cut()
            cut = time.monotonic()
            assert first.ended(RENEW + 3) == LOST
            assert time.monotonic() - cut < RENEW + 1.5
            assert not second.lines(ACQUIRED), "two leaders at once"
            second.wait_for(ACQUIRED)


def test_an_api_server_that_hangs(ns: Namespace, two: tuple[Operator, Operator]) -> None:
    first, second = two
    ns.plane.signal_apiserver(signal.SIGSTOP)
    try:
        assert first.ended(RENEW + 3) == LOST
        assert not second.lines(ACQUIRED)
    finally:
        ns.plane.signal_apiserver(signal.SIGCONT)
    second.wait_for(ACQUIRED)
    ns.migration("m1", "1")
    ns.schema_version()
    ns.end(ns.wait_job())
    ns.wait_state("UpToDate")
