"""When a run must stop."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from lockstep.api.reasons import Reason
from lockstep.engines.control import Control


class Clock:
    """Stands still until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def control(clock: Clock) -> Iterator[Control]:
    with closing(Control(60, clock)) as made:
        yield made


def why(control: Control) -> Reason | None:
    """Ask it again: a type checker takes an attribute for what it was before."""
    return control.stop


def test_a_last_word_comes_through_after_the_deadline(clock: Clock, control: Control) -> None:
    clock.now = 61
    assert why(control) is Reason.DEADLINE_EXCEEDED
    with control.grace(10):
        assert (why(control), control.remaining()) == (None, 10)
        clock.now = 72
        assert why(control) is Reason.DEADLINE_EXCEEDED
    assert why(control) is Reason.DEADLINE_EXCEEDED


@pytest.mark.parametrize(("at_most", "remaining"), [(False, 60), (True, 10)])
def test_a_last_word_has_until_the_deadline_unless_it_must_be_short(
    at_most: bool, remaining: int, clock: Clock, control: Control
) -> None:
    with control.grace(10, at_most=at_most):
        assert (why(control), control.remaining()) == (None, remaining)
        clock.now = 11
        assert (why(control) is Reason.DEADLINE_EXCEEDED) is at_most
    assert (why(control), control.remaining()) == (None, 49)


def test_who_is_asked_to_stop_says_a_last_word_first(control: Control) -> None:
    control.interrupt()
    assert why(control) is Reason.INTERRUPTED
    with control.grace(10):
        assert why(control) is None
    assert why(control) is Reason.INTERRUPTED
