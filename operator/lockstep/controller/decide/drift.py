"""Drift on the status: what runs have seen of it, and when to look again while nothing else is to do."""

import hashlib
from typing import Final

from lockstep.api.fields import milliseconds
from lockstep.api.reasons import Reason
from lockstep.api.schemaversion import DriftStatus, SchemaVersionSpec, SchemaVersionStatus
from lockstep.controller.clock import rfc3339
from lockstep.controller.snapshot import RunView, SchemaVersionSnapshot
from lockstep.controller.status import Wish, clip
from lockstep.planning.result import DriftSummary, Result
from lockstep.planning.wire import Mode

SPREAD_SECONDS: Final = 3600.0
"""Over how long the first looks of a new process are spread: not all databases are asked at once after a restart."""


def seen(old: DriftStatus | None, summary: DriftSummary | None, job: str, now: str) -> DriftStatus | None:
    """Return what is known of drift after a run said something; what it could not tell leaves the last verdict."""
    if summary is None:
        return old
    before = old or DriftStatus()
    if summary.drifted is None:
        return before if before.drifted is not None else before.model_copy(update={"message": clip(summary.message)})
    changes = {
        "drifted": summary.drifted,
        "message": clip(summary.message),
        "hash": summary.hash if summary.drifted else None,
        "checked_at": now,
        "job": job,
        "error": None,
    }
    return before.model_copy(update=changes)


def is_recorded(status: SchemaVersionStatus, view: RunView) -> bool:
    """Tell whether a look is on the status; one that was broken off has nothing to say."""
    job, drift = view.job, status.drift
    return job.deleting or job.ttl is not None or (drift is not None and job.attempt <= drift.checks)


def absorb_check(status: SchemaVersionStatus, view: RunView, s: SchemaVersionSnapshot) -> SchemaVersionStatus:
    """Return the status with the end of a look in it: that it failed says nothing about the target."""
    result: Result | None = view.verdict.result
    drift = seen(status.drift, result.drift if result is not None else None, view.job.name, rfc3339(s.now))
    drift = drift or DriftStatus()
    changes: dict[str, object] = {"checks": max(view.job.attempt, drift.checks)}
    if result is None or result.reason is not Reason.CHECKED:
        changes["error"] = _error(view.verdict.reason, view.verdict.message)
    elif result.drift is not None:
        changes["error"] = None
    return status.model_copy(update={"drift": drift.model_copy(update=changes)})


def _error(reason: Reason | None, message: str) -> str:
    return clip(f"{(reason or Reason.RUNNER_FAILED).value}: {message}")


def noted(status: SchemaVersionStatus, reason: Reason, message: str) -> SchemaVersionStatus:
    """Return the status with what holds up a look."""
    drift = status.drift or DriftStatus()
    return status.model_copy(update={"drift": drift.model_copy(update={"error": _error(reason, message)})})


def wish(spec: SchemaVersionSpec, drift: DriftStatus | None) -> Wish | None:
    """Return the condition Drifted; None where nobody looks."""
    if spec.drift == "Ignore":
        return None
    error = f"; the last look told nothing: {drift.error}" if drift is not None and drift.error else ""
    if drift is None or drift.drifted is None:
        said = (drift.message if drift is not None else "") or "drift has not been looked for yet"
        return Wish("Drifted", "Unknown", Reason.NOT_CHECKED, said + error)
    if drift.drifted:
        return Wish("Drifted", "True", Reason.DRIFTED, drift.message + error)
    return Wish("Drifted", "False", Reason.NO_DRIFT, drift.message + error)


def interval(spec: SchemaVersionSpec, floor: float) -> float | None:
    """Return the seconds between two looks; None: never."""
    if spec.drift == "Ignore" or spec.drift_check is None or spec.suspend:
        return None
    return max(floor, milliseconds(spec.drift_check) / 1000)


def due(s: SchemaVersionSnapshot) -> float | None:
    """Return the seconds until the next look (0: now); None: never.

    By this process's own clock: after a restart nobody knows how long ago the last look was.
    """
    pause = interval(s.fact.spec, s.limits.drift_floor) if s.fact.spec is not None else None
    if pause is None:
        return None
    if not s.checked_here:
        pause = min(pause, SPREAD_SECONDS) * _share(s.fact.uid)
    return max(0.0, pause - s.since_check)


def _share(uid: str) -> float:
    return int.from_bytes(hashlib.sha256(uid.encode()).digest()[:4], "big") / 2**32


def next_number(s: SchemaVersionSnapshot) -> int:
    """Return the number of the next look: no Job that still exists has it."""
    made = [view.job.attempt for view in s.runs if view.job.mode is Mode.CHECK]
    return max([s.fact.status.drift.checks if s.fact.status.drift is not None else 0, *made]) + 1
