"""What a SchemaVersion wants: to run, to wait, or nothing since it is there."""

from collections.abc import Sequence

from msgspec import Struct

from lockstep.api.reasons import Reason
from lockstep.api.schemaversion import SchemaVersionSpec
from lockstep.controller.decide import repair, requires
from lockstep.controller.decide.absorb import reached_input
from lockstep.controller.decide.rollback import explain_required, goes_down, input_members, required_by, undone
from lockstep.controller.inputs import RunInput, base_part, run_input, tag, unpack_tags
from lockstep.controller.snapshot import Member, SchemaVersionSnapshot
from lockstep.planning.digest import SetMember, set_digest
from lockstep.planning.plan import FEW
from lockstep.planning.version import BASE, Version, parse_target

ASK_AFTER = 5.0
"""Seconds after which the ledger is asked for a target of which the cluster knows nothing: its status was lost, or its
Migrations have not come."""


class Blocked(Struct, frozen=True):
    """No run can start, and why."""

    reason: Reason
    message: str
    target: Version | None = None
    pending: tuple[Member, ...] = ()
    again: float | None = None
    """Seconds after which to look again, where only time is missing."""


class Settled(Struct, frozen=True):
    """The database has what is wanted."""

    target: Version
    input: RunInput


class Ready(Struct, frozen=True):
    """A run can start."""

    target: Version
    input: RunInput
    members: tuple[Member, ...]
    """The set up to the target, the repeatable ones and, on the way down, what is undone."""
    pending: tuple[Member, ...]
    ask: bool = False
    """Whether only the ledger can say if there is a way: the cluster knows neither the version nor the target."""


Want = Blocked | Settled | Ready


def duplicates(members: Sequence[Member]) -> list[tuple[Version, list[str]]]:
    """Return the versions that several Migrations have, with their names."""
    by_version: dict[Version, list[str]] = {}
    for member in members:
        if member.fact.version is not None:
            by_version.setdefault(member.fact.version, []).append(member.fact.name)
    return sorted((version, sorted(names)) for version, names in by_version.items() if len(names) > 1)


def want(s: SchemaVersionSnapshot) -> Want:
    """Return what a SchemaVersion wants now."""
    spec, known = s.fact.spec, s.fact.version
    if spec is None:
        return Blocked(Reason.INVALID_SPEC, f"{s.fact.problem}: correct the SchemaVersion")
    asked = parse_target(spec.version)
    versions = [member.fact.version for member in s.members if member.fact.version is not None]
    # `latest` never goes down: not when its Migration was pruned, either.
    target = asked if asked is not None else max([known or BASE, *versions])
    relevant = tuple(m for m in s.members if m.fact.version is None or m.fact.version <= target)
    if twins := duplicates(relevant):
        version, names = twins[0]
        return Blocked(
            Reason.DUPLICATE_VERSION,
            f"version {version} of schema {s.fact.line!r} is in several Migrations: {', '.join(names)}; "
            "give each its own version",
            target,
        )
    if _is_settled(s, spec, target, relevant):
        return Settled(target, _input(s, spec, target))
    return _towards(s, spec, target, relevant)


def _input(s: SchemaVersionSnapshot, spec: SchemaVersionSpec, target: Version) -> RunInput:
    return run_input(
        s.fact.line, target, spec, input_members(s, target), retry=s.fact.retry, repair=repair.token(s.fact)
    )


def _hashed(members: Sequence[Member]) -> list[SetMember]:
    return [member.as_set_member() for member in members if member.up is not None]


def _is_settled(s: SchemaVersionSnapshot, spec: SchemaVersionSpec, target: Version, members: Sequence[Member]) -> bool:
    """Tell whether the last run ended well with all that is here now; what was taken away since does not matter."""
    reached = reached_input(s.fact.status)
    if reached is None or s.fact.version is None or s.fact.version != target:
        return False
    done = RunInput.parse(reached)
    if done.base != base_part(s.fact.line, target, spec, retry=s.fact.retry, repair=repair.token(s.fact)):
        return False
    if done.members == _input(s, spec, target).members:
        return True
    settled = unpack_tags(s.fact.status.settled)
    # A source that cannot be read now is no news of a version that the database has.
    return all(
        tag(m.as_set_member()) in settled
        if m.readable
        else m.fact.version is not None and m.fact.version <= s.fact.version
        for m in members
    )


def _is_pending(s: SchemaVersionSnapshot, member: Member) -> bool:
    known = s.fact.version
    if member.fact.version is not None and (known is None or member.fact.version > known):
        return True
    return member.up is None or tag(member.as_set_member()) not in unpack_tags(s.fact.status.settled)


def _towards(
    s: SchemaVersionSnapshot, spec: SchemaVersionSpec, target: Version, relevant: tuple[Member, ...]
) -> Blocked | Ready:
    """Check a set that is not settled; what the database must run decides."""
    known = s.fact.version or BASE
    below = undone(s, target)
    above = below + tuple(m for m in relevant if m.fact.version is not None and m.fact.version > known)
    to_run = tuple(m for m in relevant if m.fact.version is None or m.fact.version > known)
    # On the way down the ledger decides: a target whose Migration was taken away is as good as any.
    absent = target not in (BASE, known) and not any(m.fact.version == target for m in relevant)
    absent = absent and not goes_down(s.fact)
    blocked = (
        _forbidden(s, spec, target, above)
        or _arriving(s, spec, target, relevant, above)
        or (_not_found(s, target, above) if absent and not _asks(s) else None)
        or _unusable(s, relevant, to_run, target, above)
        or _requirements(s, target, above, to_run)
    )
    if blocked is not None:
        return blocked
    if (refused := repair.refusal(s.fact, holder_left=s.holder_left)) is not None:
        return Blocked(Reason.REPAIR_REFUSED, refused, target, above, again=repair.AGAIN)
    usable = tuple(m for m in relevant if m.readable)
    pending = below or tuple(m for m in usable if _is_pending(s, m) and m.fact.version is not None)
    return Ready(target, _input(s, spec, target), usable + below, pending, absent)


def _arriving(
    s: SchemaVersionSnapshot,
    spec: SchemaVersionSpec,
    target: Version,
    relevant: tuple[Member, ...],
    above: tuple[Member, ...],
) -> Blocked | None:
    """Return that the set is not complete yet, or may not be."""
    digest = spec.migrations.digest if spec.migrations else None
    if digest is not None:
        return _wait_for_digest(s, spec, target, relevant, digest)
    if s.quiet < s.limits.settle:
        return Blocked(
            Reason.SETTLING,
            f"the Migrations of schema {s.fact.line!r} have just changed; waiting until they rest",
            target,
            above,
            again=s.limits.settle - s.quiet,
        )
    return None


def _asks(s: SchemaVersionSnapshot) -> bool:
    """Tell whether it is time to ask the ledger for a target that the cluster does not know."""
    run = s.fact.status.run
    return s.fact.version is None and (s.waited >= ASK_AFTER or (run is not None and run.mode == "Plan"))


def _not_found(s: SchemaVersionSnapshot, target: Version, above: tuple[Member, ...]) -> Blocked:
    return Blocked(
        Reason.TARGET_NOT_FOUND,
        f"no Migration of schema {s.fact.line!r} in this namespace has version {target}: create it, "
        "or correct spec.version",
        target,
        above,
        again=ASK_AFTER - s.waited if s.fact.version is None else None,
    )


def _forbidden(
    s: SchemaVersionSnapshot, spec: SchemaVersionSpec, target: Version, above: tuple[Member, ...]
) -> Blocked | None:
    """Return why the line does not go down; what the ledger knows of it the runner looks at."""
    if not goes_down(s.fact):
        return None
    # An act by a person may be what puts the version right: then the runner judges, once it is done.
    if spec.rollback == "Forbid" and repair.pending(s.fact) is None:
        return Blocked(
            Reason.ROLLBACK_FORBIDDEN,
            f"the database is at version {s.fact.version}, above the target {target}, and spec.rollback is Forbid: "
            f"set spec.version to {s.fact.version} or higher, or allow it",
            target,
            above,
        )
    if found := required_by(s.fact.line, target, s.lines):
        return Blocked(Reason.REQUIRED_BY_OTHERS, explain_required(found, target), target, above)
    return None


def _source_again(s: SchemaVersionSnapshot) -> float:
    """Return when to look again for a text in a ConfigMap: nothing tells that it has come."""
    return min(300.0, max(s.limits.backoff, s.waited / 2))


def _unusable(
    s: SchemaVersionSnapshot,
    relevant: tuple[Member, ...],
    to_run: tuple[Member, ...],
    target: Version,
    above: tuple[Member, ...],
) -> Blocked | None:
    """Return which Migration cannot be run as it is."""
    for member in to_run:
        if member.fact.unsupported:
            message = f"Migration {member.fact.label} has {member.fact.unsupported}, which is not supported yet"
            return Blocked(Reason.NOT_SUPPORTED_YET, message, target, above)
    # What the database already has need not be readable any more.
    needed = {m.fact.name for m in to_run}
    for member in relevant:
        if member.problem is not None and (member.fact.name in needed or member.fact.problem):
            # Its own status has the finer reason.
            return Blocked(Reason.INVALID_MIGRATION, member.message, target, above, again=_source_again(s))
    return None


def _requirements(
    s: SchemaVersionSnapshot, target: Version, above: tuple[Member, ...], to_run: tuple[Member, ...]
) -> Blocked | None:
    missing = requires.unmet([m.fact for m in to_run], s.lines)
    if not missing:
        return None
    starts = [(s.fact.line, m.fact.version.key) for m in above if m.fact.version is not None]
    if circle := requires.find_cycle(starts, s.lines):
        message = f"requirements go round in a circle: {' -> '.join(circle)}; take one of them away"
        return Blocked(Reason.CIRCULAR_REQUIREMENT, message, target, above)
    message = requires.explain(*missing[0], s.lines)
    if len(missing) > 1:
        message += f" (and {len(missing) - 1} more)"
    return Blocked(Reason.REQUIREMENT_NOT_MET, message, target, above)


def _wait_for_digest(
    s: SchemaVersionSnapshot, spec: SchemaVersionSpec, target: Version, relevant: Sequence[Member], digest: str
) -> Blocked | None:
    """Return what the set lacks to have the digest; None if it has it."""
    unread = [m for m in relevant if m.problem is not None]
    found = set_digest(_hashed(relevant), None)
    if not unread and found == digest:
        return None
    versioned = sum(1 for m in relevant if m.fact.version is not None)
    repeatable = len(relevant) - versioned
    has = f"{versioned} version(s)" + (f" and {repeatable} repeatable(s)" if repeatable else "")
    upto = "" if spec.version == "latest" else f" up to {target}"
    parts = [f"the namespace holds {has} of schema {s.fact.line!r}{upto} with digest {found[7:19]}, not {digest[7:19]}"]
    if target not in (BASE, s.fact.version) and not any(m.fact.version == target for m in relevant):
        parts.append(f"version {target} is missing")
    parts += [member.message for member in unread[:FEW]]
    if len(parts) == 1:
        parts.append("Migrations are missing, changed or too many: apply the set that the digest was made of")
    again = _source_again(s) if unread else None
    return Blocked(Reason.WAITING_FOR_MIGRATIONS, "; ".join(parts), target, again=again)
