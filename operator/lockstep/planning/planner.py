"""What to run next: the plan of a line, a pure function of its ledger, its set, its target and its policy."""

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from lockstep.api.reasons import Reason
from lockstep.planning.adoption import Adopted
from lockstep.planning.checksum import ABSENT
from lockstep.planning.plan import (
    Applied,
    Candidate,
    Direction,
    History,
    Partial,
    Plan,
    Refusal,
    Repeated,
    Step,
    current,
    listed,
)
from lockstep.planning.repeatables import plan_repeatables
from lockstep.planning.rollback import plan_down
from lockstep.planning.version import BASE, Version


class Intent(Struct, frozen=True):
    """What is asked for."""

    target: Version | None
    """None: the latest of the set, never down."""
    allow_out_of_order: bool = False
    rollback: str = "Allow"
    baseline: Version | None = None
    adopted: tuple[Adopted, ...] | None = None
    """What another tool's history says is applied; None: there is none to adopt."""


def make_plan(line: str, history: History, candidates: Sequence[Candidate], intent: Intent) -> Plan | Refusal:
    """Plan the way to the target.

    Args:
        line: the line's name.
        history: what the ledger says.
        candidates: the set, in any order.
        intent: where to, and what is allowed on the way.
    """
    versioned = {c.version: c for c in candidates if c.version is not None}
    repeatables = {c.name: c for c in candidates if c.version is None}
    recorded = _recorded(history, versioned, intent)
    applied = [*history.applied, *(_as_applied(step) for step in recorded)]
    start = current(applied)
    end = max([start, *versioned]) if intent.target is None else intent.target

    half = _named(history.partial, versioned)
    for check in (_mismatch(applied, versioned), _in_doubt(half), _absent(line, end, applied, versioned)):
        if check is not None:
            return check
    downs: tuple[Step, ...] = ()
    if end < start:
        way = _below(recorded, start, end) or plan_down(line, history, versioned, end, policy=intent.rollback)
        if isinstance(way, Refusal):
            return way
        downs = way
    undone = {step.candidate.version for step in downs}
    left = [each for each in applied if each.version not in undone]
    ups = _ups(left, versioned, end, allow_out_of_order=intent.allow_out_of_order)
    if isinstance(ups, Refusal):
        return ups
    gone = [each for each in history.applied if each.version in undone]
    final = {each.version for each in left} | {version for step in ups if (version := step.candidate.version)}
    around = plan_repeatables(history, repeatables, gone, final)
    steps = (*recorded, *around.before, *downs, *ups, *around.after)
    steps = (*steps, *_repeated_by_half(half, repeatables, steps))
    untouched = [r for r in history.repeated if r.name not in {step.candidate.name for step in steps}]
    corrections = _corrections(left, versioned, untouched, repeatables)
    plan = Plan(line, current(history.applied), end, steps, corrections)
    return _left_by_half(half, plan) or plan


def _as_applied(step: Step) -> Applied:
    candidate = step.candidate
    assert candidate.version is not None  # noqa: S101 - only versions are recorded
    return Applied(
        candidate.version, candidate.name, candidate.up_checksum, candidate.down_checksum, candidate.irreversible
    )


def _below(recorded: Sequence[Step], start: Version, end: Version) -> Refusal | None:
    """Return why what was only just recorded is not undone in the same breath."""
    if not recorded:
        return None
    return Refusal(
        Reason.ADOPTION_FAILED,
        f"the database already has version {start}, above the target {end}: set spec.version to {start} or higher; "
        "once that is recorded it can be lowered",
        end,
    )


def _recorded(history: History, versioned: Mapping[Version, Candidate], intent: Intent) -> tuple[Step, ...]:
    """Return what is recorded without being run: once, on a line without a history."""
    if not history.fresh:
        return ()
    if intent.adopted is not None:
        return tuple(_adopt(each, versioned) for each in sorted(intent.adopted, key=lambda each: each.version))
    if intent.baseline is None or not history.occupied:
        return ()
    known = sorted(version for version in versioned if version <= intent.baseline)
    steps = [Step(Direction.BASELINE, versioned[version]) for version in known]
    if intent.baseline not in known:
        why = "it is the baseline: the database had it before Lockstep came"
        steps.append(Step(Direction.BASELINE, Candidate("(baseline)", intent.baseline, ABSENT, irreversible=why)))
    return tuple(steps)


def _adopt(each: Adopted, versioned: Mapping[Version, Candidate]) -> Step:
    found = versioned.get(each.version) if each.name is not None else None
    if found is None:
        why = "another tool ran it and no Migration says how to undo it"
        found = Candidate(f"({each.identity})"[:253], each.version, ABSENT, irreversible=why)
    return Step(Direction.ADOPT, found)


def _mismatch(applied: Sequence[Applied], versioned: Mapping[Version, Candidate]) -> Refusal | None:
    for each in applied:
        known = versioned.get(each.version)
        # Without a checksum nobody has seen its text: it was recorded, and never run.
        if known is None or each.up_checksum in (known.up_checksum, ABSENT):
            continue
        return Refusal(
            Reason.CHECKSUM_MISMATCH,
            f"version {each.version} was applied from {each.name} with checksum {each.up_checksum[:12]}, "
            f"but {known.name} now has {known.up_checksum[:12]}: what has run does not change; "
            "restore its text and write a new version",
            each.version,
        )
    return None


def _half(half: Partial) -> str:
    return half.name if half.version is None else f"version {half.version} ({half.name})"


def _named(half: Partial | None, versioned: Mapping[Version, Candidate]) -> Partial | None:
    """Return what ran by half under the name of its Migration, where there is one."""
    found = versioned.get(half.version) if half is not None and half.version is not None else None
    return half if half is None or found is None else replace(half, name=found.name)


def _repeated_by_half(
    half: Partial | None, repeatables: Mapping[str, Candidate], steps: Sequence[Step]
) -> tuple[Step, ...]:
    """Return the repeatable migration that ran by half: it is run also where its text is the one that ran before."""
    if half is None or half.version is not None or half.name not in repeatables:
        return ()
    planned = any(step.candidate.version is None and step.candidate.name == half.name for step in steps)
    return () if planned else (Step(Direction.REPEAT, repeatables[half.name]),)


def _in_doubt(half: Partial | None) -> Refusal | None:
    if half is None or half.state != "unknown":
        return None
    return Refusal(
        Reason.PARTIAL,
        f"{_half(half)} ran by half: nobody can tell whether its statement {half.statement} took effect"
        f"{f' ({half.note})' if half.note else ''}; look, then say so with spec.repair: StatementApplied or "
        "StatementNotApplied, or settle the whole version with MarkApplied or MarkNotApplied",
        half.version,
    )


def _left_by_half(half: Partial | None, plan: Plan) -> Refusal | None:
    """Return why a plan cannot run that would leave a migration as it is, done by half."""
    if half is None:
        return None
    for step in plan.steps:
        if step.candidate.version != half.version:
            continue
        # A repeatable migration is whole again once it was run or dropped, whichever was begun.
        if step.candidate.name == half.name if half.version is None else step.direction.value == half.direction:
            return None
    if half.version is None:
        return Refusal(
            Reason.PARTIAL,
            f"{half.name} ran by half (statement {half.statement} did not end well) and its Migration is not there: "
            "create it again, so that it is run whole",
        )
    return Refusal(
        Reason.PARTIAL,
        f"{_half(half)} ran by half ({half.direction}, statement {half.statement} did not end well) and the way to "
        f"{plan.end} does not finish it: set a target that does, or finish or undo it by hand and say so with "
        "spec.repair: MarkApplied or MarkNotApplied",
        half.version,
    )


def _absent(
    line: str, end: Version, applied: Sequence[Applied], versioned: Mapping[Version, Candidate]
) -> Refusal | None:
    if end == BASE or end in versioned or any(each.version == end for each in applied):
        return None
    return Refusal(
        Reason.TARGET_NOT_FOUND,
        f"no Migration of schema {line!r} has version {end}: create it, or correct spec.version",
        end,
    )


def _ups(
    applied: Sequence[Applied], versioned: Mapping[Version, Candidate], end: Version, *, allow_out_of_order: bool
) -> tuple[Step, ...] | Refusal:
    done = {each.version for each in applied}
    start = current(applied)
    pending = sorted(version for version in versioned if version <= end and version not in done)
    late = [version for version in pending if version < start]
    if late and not allow_out_of_order:
        names = [f"{version} ({versioned[version].name})" for version in late]
        return Refusal(
            Reason.OUT_OF_ORDER,
            f"{len(late)} version(s) below the applied {start} have never run: {listed(names)}: "
            "give them a higher version, or set spec.outOfOrder: Allow",
            late[0],
        )
    return tuple(Step(Direction.UP, versioned[version]) for version in pending)


def _corrections(
    applied: Sequence[Applied],
    versioned: Mapping[Version, Candidate],
    repeated: Sequence[Repeated],
    repeatables: Mapping[str, Candidate],
) -> tuple[Step, ...]:
    """Return the Migrations whose way back is another than the ledger's."""
    found = []
    for each in applied:
        known = versioned.get(each.version)
        # What this very plan records (it has no number yet) is recorded as it is.
        if known is None or not each.sequence:
            continue
        if (known.down_checksum, known.irreversible) != (each.down_checksum, each.irreversible):
            found.append(known)
    for again in repeated:
        known = repeatables.get(again.name)
        if known is not None and known.up_checksum == again.up_checksum and known.down_checksum != again.down_checksum:
            found.append(known)
    return tuple(Step(Direction.CORRECT, known) for known in found)
