"""Conditions and statuses: built whole, compared with what is there, written as the difference."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import Struct

from lockstep.api.fields import Model
from lockstep.api.reasons import Reason, Severity
from lockstep.api.status import Condition, ConditionStatus

MESSAGE_LIMIT: Final = 1024
_OURS: Final = ("Ready", "Reconciling", "Stalled", "Applied", "Drifted", "ApprovalRequired")


class Wish(Struct, frozen=True):
    """A condition as it shall be."""

    type: str
    status: ConditionStatus
    reason: Reason
    message: str


def kstatus(reason: Reason, message: str, *, overdue: bool = False) -> list[Wish]:
    """Return Ready, and Reconciling or Stalled, for a state by the severity of its reason.

    Args:
        reason: why.
        message: the same for people.
        overdue: whether something that may pass by itself has lasted longer than its progress deadline.
    """
    if reason.severity is Severity.OK:
        return [Wish("Ready", "True", reason, message)]
    if reason.severity is Severity.PAUSED:
        # It is somebody's turn: neither ready nor under way, or --wait would call it progress.
        return [Wish("Ready", "False", reason, message)]
    stalled = reason.severity in (Severity.PERMANENT, Severity.PERSON) or (
        reason.severity is Severity.WAITING and overdue
    )
    return [
        Wish("Ready", "False", reason, message),
        Wish("Stalled" if stalled else "Reconciling", "True", reason, message),
    ]


def clip(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """Return the text on one line, cut to a limit of characters."""
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def conditions(old: Iterable[Condition], wishes: Iterable[Wish], *, generation: int, now: str) -> list[Condition]:
    """Return the conditions as they shall be: times kept where a status is as it was; foreign types kept whole."""
    known = {each.type: each for each in old}
    made = []
    for wish in wishes:
        before = known.get(wish.type)
        same = before is not None and before.status == wish.status
        made.append(
            Condition(
                type=wish.type,
                status=wish.status,
                reason=wish.reason.value,
                message=clip(wish.message),
                last_transition_time=before.last_transition_time if same and before is not None else now,
                observed_generation=generation,
            )
        )
    return made + [each for each in known.values() if each.type not in _OURS]


def dump(model: Model) -> dict[str, Any]:
    """Return a part of a status as the API holds it, without what is not set."""
    return model.model_dump(by_alias=True, exclude_none=True, mode="json")


def merge_patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the merge patch (RFC 7386) that makes `new` out of `old`; empty if they are the same."""
    patch: dict[str, Any] = {}
    for key, value in new.items():
        if key not in old:
            patch[key] = value
        elif isinstance(value, Mapping) and isinstance(old[key], Mapping):
            if inner := merge_patch(old[key], value):
                patch[key] = inner
        elif old[key] != value:
            patch[key] = value
    for key in old:
        if key not in new:
            patch[key] = None
    return patch
