"""The way back: downs in the reverse of the order in which their versions were applied."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from lockstep.api.reasons import Reason
from lockstep.planning.checksum import ABSENT
from lockstep.planning.plan import Applied, Candidate, Direction, History, Refusal, Step, listed
from lockstep.planning.version import Version


def plan_down(
    line: str,
    history: History,
    versioned: Mapping[Version, Candidate],
    end: Version,
    *,
    policy: str,
) -> tuple[Step, ...] | Refusal:
    """Plan the downs to `end`; nothing is begun that is known not to end.

    Args:
        line: the line's name, for messages.
        history: what the ledger says.
        versioned: the set's versions.
        end: the target, below the line's version.
        policy: spec.rollback.
    """
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
    return tuple(Step(Direction.DOWN, way) for way in ways)


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
