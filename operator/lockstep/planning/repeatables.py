"""Repeatable migrations on the way: out of the way of downs, put back, and run where their text is another.

Each run of one was built on the versions that were applied then. It stands for as long as all of these do: whatever
died in between, what the history says is enough to know which text belongs to the versions at the end of the way.
"""

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from lockstep.planning.checksum import ABSENT
from lockstep.planning.plan import Applied, Candidate, Direction, History, Ran, Repeated, Step
from lockstep.planning.version import Version


class Around(Struct, frozen=True):
    """What is done with repeatable migrations around the versions of a plan."""

    before: tuple[Step, ...]
    """Out of the way of the downs."""
    after: tuple[Step, ...]
    """Once the versions are there."""


def plan_repeatables(
    history: History, repeatables: Mapping[str, Candidate], gone: Sequence[Applied], final: Collection[Version]
) -> Around:
    """Plan what is done with repeatable migrations.

    Args:
        history: what the ledger says.
        repeatables: those of the set, by name.
        gone: the versions that the plan undoes.
        final: the versions that are applied at its end.
    """
    past = _Past(history, final)
    # What only comes with the ups is not there yet.
    between = _Past(history, {each.version for each in history.applied} - {each.version for each in gone})
    known = {each.name: each for each in history.repeated}
    before = []
    first = min((each.sequence for each in gone), default=None)
    for each in sorted(history.repeated, key=lambda r: r.sequence, reverse=True):
        # A view may use what goes away if it ran after it.
        if first is None or each.sequence < first or each.up_checksum == ABSENT:
            continue
        step = _out_of_the_way(each, repeatables.get(each.name), past, between)
        if step is not None:
            before.append(step)
            now = ABSENT if step.direction is Direction.DOWN else step.candidate.up_checksum
            known[each.name] = replace(each, up_checksum=now, undone=step.undone, sequence=past.newest)
    after = [step for name in known if (step := _put_back(known[name], repeatables.get(name), past)) is not None]
    # As they came: one view may be built on another.
    after.sort(key=lambda step: past.last(step.candidate))
    changed = [
        Step(Direction.REPEAT, repeatables[name])
        for name in sorted(repeatables)
        if name not in known
        or (known[name].up_checksum != repeatables[name].up_checksum and not past.holds(repeatables[name], known[name]))
    ]
    return Around(tuple(before), (*after, *changed))


def _out_of_the_way(each: Repeated, found: Candidate | None, past: "_Past", between: "_Past") -> Step | None:
    """Return what is done before the downs with a repeatable migration that may use what goes away.

    With a down it is dropped; without one, what the set has now, or what it was before, is run over it.
    """
    same = found is not None and found.up_checksum == each.up_checksum
    taken = each.up_checksum
    if found is None:
        taken = each.undone or taken
    elif past.holds(found, each):
        # What the set has is what is not run again, however many strides the way back takes.
        taken = found.up_checksum
    down = each.down_checksum
    if found is not None and (same or down == ABSENT):
        # Its own, perhaps corrected; or that of the text that comes after it, where it had none.
        down = found.down_checksum
    if down != ABSENT:
        return Step(Direction.DOWN, Candidate(each.name, None, each.up_checksum, down, kind=each.kind), taken)
    if found is not None and not same and not past.holds(found, each):
        return Step(Direction.REPEAT, found, taken)
    if same and each.undone is not None and not past.grew_since(each):
        # A way back has put the set's text there, and has not gone on.
        return None
    earlier = between.standing(each.name)
    if earlier is None or earlier.up_checksum == each.up_checksum:
        return None
    return Step(Direction.REPEAT, earlier, taken)


def _put_back(now: Repeated, found: Candidate | None, past: "_Past") -> Step | None:
    """Return the earlier text of a repeatable migration that belongs to the versions at the end of the way."""
    if found is None:
        # What is no longer in the set comes back from a way back only, never by going up.
        if now.up_checksum != ABSENT or past.grew_since(now):
            return None
    elif now.up_checksum == found.up_checksum or not past.holds(found, now):
        return None
    earlier = past.standing(now.name)
    if earlier is None or earlier.up_checksum == now.up_checksum:
        return None
    return Step(Direction.REPEAT, earlier, now.undone)


class _Past:
    """The history of a line's repeatable migrations, seen from the versions that are there at some time of a plan."""

    def __init__(self, history: History, final: Collection[Version]) -> None:
        self._ran: dict[str, list[Ran]] = {}
        for each in sorted(history.ran, key=lambda ran: ran.sequence):
            self._ran.setdefault(each.name, []).append(each)
        known = {each.version: each.sequence for each in history.applied}
        # One that was undone since has come all the same.
        self.newest = max((*known.values(), *(u.applied for u in history.undone)), default=0)
        self._rises = any(version not in known for version in final)
        # When versions were there that are not any more: from, until.
        self._lost: list[tuple[int, int | None]] = [
            (u.applied, u.sequence) for u in history.undone if u.version not in final
        ]
        self._lost += [(sequence, None) for version, sequence in known.items() if version not in final]

    def _stands(self, sequence: int) -> bool:
        return not any(applied < sequence and (end is None or sequence < end) for applied, end in self._lost)

    def standing(self, name: str) -> Candidate | None:
        """Return the last text whose versions are all there; None where there is none, or nobody kept it."""
        past = next((ran for ran in reversed(self._ran.get(name, [])) if self._stands(ran.sequence)), None)
        # The texts of data are not kept.
        if past is None or past.kind != "Schema":
            return None
        return Candidate(name, None, past.up_checksum, past.down_checksum, kind=past.kind)

    def holds(self, candidate: Candidate, known: Repeated) -> bool:
        """Tell whether a way back has taken this very text, and it has never run on what is there alone."""
        if candidate.up_checksum not in (known.up_checksum, known.undone):
            return False
        runs = [ran for ran in self._ran.get(candidate.name, []) if ran.up_checksum == candidate.up_checksum]
        return bool(runs) and not any(self._stands(ran.sequence) for ran in runs)

    def grew_since(self, each: Repeated) -> bool:
        """Tell whether a version was applied, or will be, after a repeatable migration was last touched."""
        return self._rises or self.newest > each.sequence

    def last(self, candidate: Candidate) -> int:
        """Return the number under which a text ran last."""
        runs = self._ran.get(candidate.name, [])
        return max((ran.sequence for ran in runs if ran.up_checksum == candidate.up_checksum), default=0)
