"""The Lease under a clock that moves when told to, before an API server that does what it is told."""

import asyncio
import copy
import threading
from typing import Any, cast

import pytest

from lockstep.controller.kube import AlreadyExistsError, ConflictError, Kube, NotFoundError, Object, ServerBusyError
from lockstep.controller.leader import EXIT_LOST, Leader, LeadershipLostError, Watchdog
from support.controller import FakeClock


class Leases:
    """The Leases of an API server."""

    def __init__(self) -> None:
        self.lease: Object | None = None
        self.version = 0
        self.down = False
        self.requests: list[str] = []

    def _answer(self, request: str) -> None:
        self.requests.append(request)
        if self.down:
            raise ServerBusyError(0, "Timeout", "no answer")

    async def get(self, *_: Any) -> Object:
        self._answer("get")
        if self.lease is None:
            raise NotFoundError(404, "NotFound", "")
        return copy.deepcopy(self.lease)

    async def create(self, resource: Any, namespace: str, body: Object) -> Object:
        self._answer("create")
        if self.lease is not None:
            raise AlreadyExistsError(409, "AlreadyExists", "")
        return self._keep(body)

    async def replace(self, resource: Any, namespace: str, name: str, body: Object, seconds: float) -> Object:
        self._answer("replace")
        assert self.lease is not None
        if body["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise ConflictError(409, "Conflict", "")
        return self._keep(body)

    def _keep(self, body: Object) -> Object:
        self.version += 1
        self.lease = copy.deepcopy(body)
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        return copy.deepcopy(self.lease)


def a_leader(kube: Leases, identity: str) -> tuple[Leader, FakeClock]:
    clock = FakeClock()
    return Leader(cast(Kube, kube), clock, "ns", "lease", identity, 15, 10, 2), clock


async def test_the_first_creates_it_and_renews_with_one_request() -> None:
    kube = Leases()
    leader, clock = a_leader(kube, "a")
    assert await leader._try()
    assert leader.leads
    clock.seconds += 2
    assert await leader._try()
    assert kube.requests == ["get", "create", "replace"]
    assert kube.lease is not None
    assert kube.lease["spec"]["leaseTransitions"] == 0


async def test_another_waits_by_its_own_clock_and_only_while_nothing_changes() -> None:
    kube = Leases()
    first, _ = a_leader(kube, "a")
    second, clock = a_leader(kube, "b")
    assert await first._try()
    assert kube.lease is not None
    # Whatever the other host's clock says.
    kube.lease["spec"]["renewTime"] = "1999-01-01T00:00:00.000000Z"
    assert not await second._try()
    clock.seconds += 14
    assert not await second._try()
    assert await first._try()
    clock.seconds += 14
    assert not await second._try()
    clock.seconds += 15
    assert await second._try()
    assert kube.lease["spec"]["holderIdentity"] == "b"
    assert kube.lease["spec"]["leaseTransitions"] == 1


async def test_who_was_overtaken_notices() -> None:
    kube = Leases()
    first, clock = a_leader(kube, "a")
    second, other = a_leader(kube, "b")
    assert await first._try()
    assert not await second._try()
    other.seconds += 15
    assert await second._try()
    # A conflict at first, then the truth.
    assert await first._try()
    assert not await first._try()
    clock.seconds += 10
    with pytest.raises(LeadershipLostError):
        first.check()


async def test_no_write_after_the_renewals_deadline() -> None:
    kube = Leases()
    leader, clock = a_leader(kube, "a")
    with pytest.raises(LeadershipLostError):
        leader.check()
    assert await leader._try()
    clock.seconds += 9.9
    leader.check()
    clock.seconds += 0.1
    with pytest.raises(LeadershipLostError):
        leader.check()


async def test_a_slow_answer_counts_from_when_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    kube = Leases()
    leader, clock = a_leader(kube, "a")
    assert await leader._try()
    slow = kube.replace

    async def replace(*arguments: Any) -> Object:
        clock.seconds += 4
        return await slow(*arguments)

    monkeypatch.setattr(kube, "replace", replace)
    began = clock.seconds
    assert await leader._try()
    assert leader.renewed_at == began


async def test_it_ends_when_the_api_server_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    kube = Leases()
    leader, clock = a_leader(kube, "a")

    async def sleep(seconds: float) -> None:
        clock.seconds += seconds
        assert clock.seconds < 2000, "it goes on for ever"

    monkeypatch.setattr(asyncio, "sleep", sleep)
    await leader.acquire()
    kube.down = True
    began = clock.seconds
    with pytest.raises(LeadershipLostError):
        await leader.renew_forever()
    assert clock.seconds - began <= 10


async def test_released_it_is_free_at_once() -> None:
    kube = Leases()
    first, _ = a_leader(kube, "a")
    second, _ = a_leader(kube, "b")
    assert await first._try()
    await first.release()
    assert not first.leads
    assert await second._try()
    # Releasing again, late, takes nothing from the other.
    first.renewed_at = first.clock.monotonic()
    await first.release()
    assert kube.lease is not None
    assert kube.lease["spec"]["holderIdentity"] == "b"


def test_the_watchdog_ends_a_stuck_process() -> None:
    ended = threading.Event()
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        ended.set()

    answers = iter([True, True, False])
    dog = Watchdog(lambda: next(answers), seconds=0.01, end=end)
    dog.start()
    assert ended.wait(10)
    assert codes == [EXIT_LOST]
    assert list(answers) == []


def test_a_watchdog_that_was_stopped_is_silent() -> None:
    dog = Watchdog(lambda: False, seconds=0.01, end=lambda code: pytest.fail("ended"))
    dog.stop()
    dog.start()
    dog._thread.join(10)
    assert not dog._thread.is_alive()
