"""The queue under a clock that moves when told to, and for any order of events."""

import asyncio
import contextlib

from hypothesis import given
from hypothesis import strategies as st

from lockstep.controller.queue import WorkQueue
from support.controller import FakeClock


class Fatal(Exception):
    fatal = True


async def drain(queue: WorkQueue[str], work: list[str]) -> None:
    """Let one worker do all that is waiting."""
    stopping = asyncio.Event()

    async def note(key: str) -> None:
        work.append(key)

    task = asyncio.create_task(queue.run_worker(note, stopping))
    while len(queue):  # noqa: ASYNC110 - one turn of the loop is what is waited for
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_each_key_once_and_urgent_ones_first() -> None:
    queue: WorkQueue[str] = WorkQueue(FakeClock(), urgent=str.isupper)
    for key in ("a", "b", "a", "B", "b"):
        queue.add(key)
    work: list[str] = []
    await drain(queue, work)
    assert work == ["B", "a", "b"]


async def test_a_key_added_during_its_work_is_worked_on_once_more() -> None:
    queue: WorkQueue[str] = WorkQueue(FakeClock())
    work: list[str] = []
    stopping = asyncio.Event()

    async def note(key: str) -> None:
        work.append(key)
        if len(work) == 1:
            queue.add(key)
            queue.add(key)
        else:
            stopping.set()

    queue.add("a")
    async with asyncio.timeout(5):
        await queue.run_worker(note, stopping)
    assert work == ["a", "a"]
    assert len(queue) == 0


async def test_failures_back_off_and_success_forgets_them() -> None:
    clock = FakeClock()
    queue: WorkQueue[str] = WorkQueue(clock)
    stopping = asyncio.Event()
    fails = 4
    waits: list[float] = []

    async def fail(key: str) -> None:
        if fails > len(waits):
            raise ValueError(key)
        stopping.set()

    queue.add("a")
    task = asyncio.create_task(queue.run_worker(fail, stopping))
    for _ in range(fails):
        while not queue.delayed:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
        wait = queue.promote()
        assert wait is not None
        waits.append(wait)
        clock.seconds += wait
        assert queue.promote() is None
    async with asyncio.timeout(5):
        await task
    assert waits == sorted(waits)
    assert waits[-1] > 4 * waits[0]
    assert queue.retry_delay("a") < 0.3


async def test_a_fatal_failure_ends_the_worker() -> None:
    queue: WorkQueue[str] = WorkQueue(FakeClock())
    queue.add("a")

    async def fail(key: str) -> None:
        raise Fatal(key)

    with contextlib.suppress(Fatal):
        async with asyncio.timeout(5):
            await queue.run_worker(fail, asyncio.Event())
        raise AssertionError("it went on")


async def test_the_timer_wakes_for_an_earlier_time() -> None:
    queue: WorkQueue[str] = WorkQueue(FakeClock())
    queue.add_after("late", 1000)
    timer = asyncio.create_task(queue.run_timer())
    await asyncio.sleep(0)
    queue.add_after("now", 0)
    clock = queue.clock
    assert isinstance(clock, FakeClock)
    queue.add_after("soon", 5)
    clock.seconds += 5
    queue.promote()
    work: list[str] = []
    await drain(queue, work)
    assert work == ["now", "soon"]
    timer.cancel()


async def test_the_slowest_work_shows() -> None:
    clock = FakeClock()
    queue: WorkQueue[str] = WorkQueue(clock)
    queue.add("a")
    going = asyncio.Event()

    async def hang(key: str) -> None:
        going.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(queue.run_worker(hang, asyncio.Event()))
    await going.wait()
    clock.seconds += 130
    assert queue.oldest_work() == 130
    task.cancel()


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 10)), max_size=30))
def test_of_several_times_the_earliest_counts(asked: list[tuple[str, float]]) -> None:
    clock = FakeClock()
    queue: WorkQueue[str] = WorkQueue(clock)
    for key, seconds in asked:
        queue.add_after(key, seconds)
    first = {key: min(seconds for each, seconds in asked if each == key) for key, _ in asked}
    assert len(queue) == sum(1 for seconds in first.values() if seconds <= 0)
    clock.seconds += 20
    assert queue.promote() is None
    assert len(queue) == len(first)
