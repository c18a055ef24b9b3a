"""Whether a plan was approved: by its own hash, or as the rest of a plan that was."""

from collections.abc import Collection
from typing import Final

from lockstep.planning.plan import Candidate, Direction, History, Plan, Step
from lockstep.planning.version import BASE

_STEPS: Final = frozenset({"up", "down", "repeat", "baseline", "adopt"})


def approved_by(plan: Plan, history: History, approved: Collection[str]) -> str | None:
    """Return the approved hash under which a plan may run; None if there is none.

    A run that was taken away half way (an eviction, a lost node) leaves the rest of its plan, which has a hash of its
    own. It needs no second consent: with the steps that were taken last before it, it is the very plan that has one.
    """
    if plan.hash in approved:
        return plan.hash
    versions = {each.version for each in history.applied}
    steps = plan.steps
    for taken in reversed(history.trail if approved else ()):
        if taken.direction not in _STEPS:
            # A person's act in between: nobody has approved what comes after it.
            return None
        direction = Direction(taken.direction)
        candidate = Candidate(taken.name, taken.version, taken.up_checksum, taken.down_checksum)
        steps = (Step(direction, candidate), *steps)
        if taken.version is not None:
            if direction is Direction.DOWN:
                versions.add(taken.version)
            else:
                versions.discard(taken.version)
        whole = Plan(plan.line, max(versions, default=BASE), plan.end, steps).hash
        if whole in approved:
            return whole
    return None
