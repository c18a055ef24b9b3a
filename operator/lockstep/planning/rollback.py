"""The way back: downs in the reverse of the order in which their versions were applied."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lockstep.api.reasons import Reason
from lockstep.planning.checksum import ABSENT
from lockstep.planning.plan import Applied, Candidate, Direction, History, Ran, Refusal, Repeated, Step, listed
from lockstep.planning.version import Version


@dataclass(frozen=True, slots=True)
class Undoing:
    """The steps of a way back."""

    steps: tuple[Step, ...] = ()
    """Repeatable migrations out of the way, then the downs."""
    after: tuple[Step, ...] = ()
    """Repeatable migrations restored to what they were at the target."""

    def repeated(self, known: Sequence[Repeated]) -> dict[str, Repeated]:
        """Return the repeatable migrations as they are once these steps are done."""
        left = {each.name: each for each in known}
        for step in (*self.steps, *self.after):
            candidate = step.candidate
            if candidate.version is not None:
                continue
            now = ABSENT if step.direction is Direction.DOWN else candidate.up_checksum
            left[candidate.name] = replace(left[candidate.name], up_checksum=now, undone=step.undone)
        return left


def plan_down(
    line: str,
    history: History,
    versioned: Mapping[Version, Candidate],
    repeatables: Mapping[str, Candidate],
    end: Version,
    *,
    policy: str,
) -> Undoing | Refusal:
    """Plan the way down to `end`; nothing is begun that is known not to end."""
    undone = sorted((a for a in history.applied if a.version > end), key=lambda a: a.sequence, reverse=True)
    if policy == "Forbid":
        return Refusal(
            Reason.ROLLBACK_FORBIDDEN,
            f"the database is {len(undone)} version(s) above the target {end} and spec.rollback is Forbid: "
            "set spec.version to what the database has or higher, or allow it",
            end,
        )
    if (refused := _dependents(line, history, end)) is not None:
        return refused
    ways = [_way_back(each, versioned) for each in undone]
    if (refused := _no_way(ways)) is not None:
        return refused
    before, after = _out_of_the_way(history, repeatables, min(each.sequence for each in undone))
    return Undoing((*before, *(Step(Direction.DOWN, way) for way in ways)), tuple(after))


def _dependents(line: str, history: History, end: Version) -> Refusal | None:
    needing = [each for each in history.dependents if each.requires > end]
    if not needing:
        return None
    names = listed([f"{each.line} {each.version} (requires {line} {each.requires})" for each in needing])
    return Refusal(
        Reason.REQUIRED_BY_OTHERS,
        f"other lines of this database require what would be undone: {names}; take these back first",
        end,
    )


def _way_back(applied: Applied, versioned: Mapping[Version, Candidate]) -> Candidate:
    """Return the Migration while it exists (its down may have been corrected), otherwise what the ledger keeps."""
    found = versioned.get(applied.version)
    if found is not None:
        return replace(found, up_checksum=applied.up_checksum)
    return Candidate(
        applied.name,
        applied.version,
        applied.up_checksum,
        applied.down_checksum,
        applied.irreversible,
        applied.kind,
    )


def _no_way(ways: Sequence[Candidate]) -> Refusal | None:
    never = [f"{way.version} ({way.name}): {way.irreversible}" for way in ways if way.irreversible is not None]
    if never:
        return Refusal(
            Reason.IRREVERSIBLE,
            f"{len(never)} version(s) cannot be undone: {listed(never)}; nothing was touched: set a target that keeps "
            "them, or write a new version that goes forward",
            next(way.version for way in ways if way.irreversible is not None),
        )
    missing = [f"{way.version} ({way.name})" for way in ways if way.down_checksum == ABSENT]
    if missing:
        return Refusal(
            Reason.DOWN_MISSING,
            f"{len(missing)} version(s) have no down: {listed(missing)}; nothing was touched: add spec.down to their "
            "Migrations (it may be added after they were applied)",
            next(way.version for way in ways if way.down_checksum == ABSENT),
        )
    return None


def _out_of_the_way(
    history: History, repeatables: Mapping[str, Candidate], first: int
) -> tuple[list[Step], list[Step]]:
    """Return what is done with the repeatable migrations that ran after the first version to be undone.

    A view may use what goes away. With a down it is dropped before, and what it was at the target is restored after;
    without one, what it was (or what the set has now) is run over it before the downs.
    """
    before: list[Step] = []
    after: list[Step] = []
    in_the_way = [r for r in history.repeated if r.sequence > first and r.up_checksum != ABSENT]
    for each in sorted(in_the_way, key=lambda r: r.sequence, reverse=True):
        now = repeatables.get(each.name)
        same = now is not None and now.up_checksum == each.up_checksum
        down = now.down_checksum if now is not None and same else each.down_checksum
        earlier = _earlier(history.ran, each, first)
        changed = now if now is not None and not same else None
        if down != ABSENT:
            dropped = Candidate(each.name, None, each.up_checksum, down, kind=each.kind)
            before.append(Step(Direction.DOWN, dropped, undone=each.up_checksum))
            # A text that changed is run as any other that changed.
            if changed is None and earlier is not None:
                after.append(Step(Direction.REPEAT, earlier, undone=each.up_checksum))
        elif changed is not None:
            before.append(Step(Direction.REPEAT, changed))
        elif earlier is not None and earlier.up_checksum != each.up_checksum:
            before.append(Step(Direction.REPEAT, earlier, undone=each.up_checksum))
    return before, after


def _earlier(ran: Sequence[Ran], each: Repeated, first: int) -> Candidate | None:
    """Return what a repeatable migration was before the first version that is undone; None where nobody kept it."""
    found = [past for past in ran if past.name == each.name and past.sequence < first]
    # The texts of data are not kept.
    if not found or found[-1].kind != "Schema":
        return None
    past = found[-1]
    return Candidate(past.name, None, past.up_checksum, past.down_checksum, kind=past.kind)
