"""What a line's history is once a plan was carried out: for plans that are made from files alone."""

from msgspec.structs import replace

from lockstep.planning.checksum import ABSENT
from lockstep.planning.plan import Applied, Candidate, Direction, History, Plan, Ran, Repeated, Step, Undone


def carry_out(history: History, plan: Plan) -> History:
    """Return the history after a plan, as the ledger would have it."""
    for step in (*plan.corrections, *plan.steps):
        history = _take(history, step)
    return replace(history, fresh=history.fresh and not (plan.corrections or plan.steps))


def _take(history: History, step: Step) -> History:
    candidate = step.candidate
    numbers = [a.sequence for a in history.applied] + [r.sequence for r in history.repeated]
    sequence = 1 + max([*numbers, *(r.sequence for r in history.ran), *(u.sequence for u in history.undone)], default=0)
    if candidate.version is None:
        return _repeat(history, step, sequence)
    others = tuple(each for each in history.applied if each.version != candidate.version)
    if step.direction in {Direction.DOWN, Direction.CORRECT}:
        known = next(each for each in history.applied if each.version == candidate.version)
        if step.direction is Direction.DOWN:
            gone = Undone(candidate.version, known.sequence, sequence)
            return replace(history, applied=others, undone=(*history.undone, gone))
        corrected = replace(known, down_checksum=candidate.down_checksum, irreversible=candidate.irreversible)
        return replace(history, applied=(*others, corrected))
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
    if step.direction is Direction.CORRECT:
        known = next(each for each in history.repeated if each.name == candidate.name)
        return replace(history, repeated=(*others, replace(known, down_checksum=candidate.down_checksum)))
    entry = Repeated(candidate.name, now, candidate.down_checksum, candidate.kind, step.undone, sequence)
    ran = Ran(candidate.name, sequence, candidate.up_checksum, candidate.down_checksum, candidate.kind)
    return replace(history, repeated=(*others, entry), ran=history.ran if down else (*history.ran, ran))
