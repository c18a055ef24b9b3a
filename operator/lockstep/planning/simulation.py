"""What a line's history is once a plan was carried out: for plans that are made from files alone."""

from dataclasses import replace

from lockstep.planning.checksum import ABSENT
from lockstep.planning.plan import Applied, Candidate, Direction, History, Plan, Ran, Repeated, Step


def carry_out(history: History, plan: Plan) -> History:
    """Return the history after a plan, as the ledger would have it."""
    for step in (*plan.corrections, *plan.steps):
        history = _take(history, step)
    return replace(history, fresh=history.fresh and not (plan.corrections or plan.steps))


def _take(history: History, step: Step) -> History:
    candidate = step.candidate
    sequence = 1 + max((each.sequence for each in (*history.applied, *history.repeated, *history.ran)), default=0)
    if candidate.version is None:
        return _repeat(history, step, sequence)
    others = tuple(each for each in history.applied if each.version != candidate.version)
    if step.direction is Direction.DOWN:
        # What was undone still counts for the numbers of what comes.
        return replace(history, applied=others)
    if step.direction is Direction.CORRECT:
        sequence = next(each.sequence for each in history.applied if each.version == candidate.version)
    return replace(history, applied=(*others, _applied(candidate, sequence)))


def _applied(candidate: Candidate, sequence: int) -> Applied:
    assert candidate.version is not None  # noqa: S101 - the caller's duty
    return Applied(
        candidate.version,
        candidate.name,
        candidate.up_checksum,
        candidate.down_checksum,
        candidate.irreversible,
        candidate.kind,
        sequence,
    )


def _repeat(history: History, step: Step, sequence: int) -> History:
    candidate = step.candidate
    down = step.direction is Direction.DOWN
    now = ABSENT if down else candidate.up_checksum
    others = tuple(each for each in history.repeated if each.name != candidate.name)
    entry = Repeated(candidate.name, now, candidate.down_checksum, candidate.kind, step.undone, sequence)
    ran = Ran(candidate.name, sequence, candidate.up_checksum, candidate.down_checksum, candidate.kind)
    return replace(history, repeated=(*others, entry), ran=history.ran if down else (*history.ran, ran))
