"""What to say about a Migration: whether it is valid, and whether it is known to be applied."""

from typing import Any, Final

from msgspec import Struct

from lockstep.api.migration import MigrationStatus
from lockstep.api.reasons import Reason, Severity
from lockstep.controller.clock import rfc3339
from lockstep.controller.facts import MigrationFact, SchemaVersionFact
from lockstep.controller.inputs import tag, unpack_tags
from lockstep.controller.snapshot import Member, MigrationSnapshot
from lockstep.controller.status import Wish, conditions, kstatus
from lockstep.planning.checksum import ABSENT

PROGRESS_DEADLINE: Final = 120.0
"""Seconds after which a missing source counts as Stalled (a Migration has no progressDeadline of its own)."""
SOURCE_AGAIN: Final = 2.0
"""Seconds after which a missing source is looked for again; longer the longer it is missing."""
SOURCE_AGAIN_MAX: Final = 300.0


class MigrationDecision(Struct, frozen=True):
    """The status of a Migration as it shall be."""

    reason: Reason
    message: str
    status: MigrationStatus | None
    again: float | None = None
    announce: bool = False


def decide(s: MigrationSnapshot) -> MigrationDecision:
    """Return what to say about a Migration."""
    fact = s.member.fact
    if fact.deleting:
        return MigrationDecision(Reason.SUSPENDED, "it is being deleted", None)
    reason, message = judge(s)
    before = MigrationStatus.model_validate(fact.status or {})
    applied_by = _applied_by(s.member, s.consumers, before.applied_by)
    # A latch: a database that went away, or a SchemaVersion that did, undoes nothing; a way down does.
    applied = applied_by is not None or (before.applied and not _was_undone(fact, s.consumers, before.applied_by))
    by = f"SchemaVersion {applied_by} has applied it" if applied_by else "a SchemaVersion has applied it"
    overdue = s.waited >= PROGRESS_DEADLINE
    wishes = [
        *kstatus(reason, message, overdue=overdue),
        Wish("Applied", "True", Reason.APPLIED, _kept(before, by))
        if applied
        else Wish("Applied", "False", Reason.NOT_APPLIED, "no SchemaVersion has it"),
    ]
    changes: dict[str, Any] = {
        "observed_generation": fact.generation,
        "applied": applied,
        "applied_by": (applied_by or before.applied_by) if applied else None,
        "conditions": conditions(before.conditions, wishes, generation=fact.generation, now=rfc3339(s.now)),
    }
    # What was applied keeps its checksum: a text changed behind its back must show.
    if s.member.up not in (None, ABSENT) and not (
        applied and before.applied and before.checksum and not fact.repeatable
    ):
        changes["checksum"] = s.member.up
    status = before.model_copy(update=changes)
    ready = next((each for each in before.conditions if each.type == "Ready"), None)
    was = ready.reason if ready is not None else None
    # That it is valid is no news; that it is valid again is.
    news = was != reason.value and not (was is None and reason is Reason.VALID)
    again = None
    if reason.severity is Severity.WAITING:
        again = min(SOURCE_AGAIN_MAX, max(SOURCE_AGAIN, s.waited / 2))
        if not overdue:
            again = min(again, max(0.1, PROGRESS_DEADLINE - s.waited))
    return MigrationDecision(reason, message, status, again, news)


def _kept(before: MigrationStatus, by: str) -> str:
    """Return the message of Applied as it was: who applied it first does not change with each further database."""
    known = next((each for each in before.conditions if each.type == "Applied" and each.status == "True"), None)
    return known.message if known is not None else by


def judge(s: MigrationSnapshot) -> tuple[Reason, str]:
    """Return whether a Migration is valid, and if not, why and what to do."""
    member, fact = s.member, s.member.fact
    if fact.problem:
        return Reason.INVALID_SPEC, f"{fact.problem}: correct the Migration"
    if fact.unsupported:
        return (
            Reason.NOT_SUPPORTED_YET,
            f"{fact.unsupported} is not supported by this version of Lockstep: leave it out",
        )
    if s.twins:
        return (
            Reason.DUPLICATE_VERSION,
            f"version {fact.version} of schema {fact.line!r} is also in {', '.join(s.twins)}; "
            "give each its own version",
        )
    if member.problem is not None:
        return member.problem, member.message
    if s.cycle:
        return (
            Reason.CIRCULAR_REQUIREMENT,
            f"requirements go round in a circle: {' -> '.join(s.cycle)}; take one of them away",
        )
    return Reason.VALID, "the Migration is valid"


def _was_undone(fact: MigrationFact, consumers: tuple[SchemaVersionFact, ...], by: str | None) -> bool:
    """Tell whether it is proven that no SchemaVersion has a version any more.

    All of the line have said theirs, it is below, and the one that had applied it is among them: a SchemaVersion that
    was deleted has left its database as it is.
    """
    if fact.version is None or by not in {each.name for each in consumers}:
        return False
    return all(each.version is not None and each.version < fact.version for each in consumers)


def _applied_by(member: Member, consumers: tuple[SchemaVersionFact, ...], known: str | None) -> str | None:
    """Return the name of a SchemaVersion that is proven to have applied these very texts; the one known, if it has."""
    if member.up is None:
        return None
    mark = tag(member.as_set_member())
    found = [each.name for each in consumers if mark in unpack_tags(each.status.settled)]
    return known if known in found else next(iter(found), None)
