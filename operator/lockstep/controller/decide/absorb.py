"""What the end of a run means for the status."""

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal

from lockstep.api.reasons import Reason, Severity
from lockstep.api.schemaversion import HistoryEntry, Ledger, Lock, Pending, Run, SchemaVersionStatus
from lockstep.controller.clock import rfc3339
from lockstep.controller.facts import read_version
from lockstep.controller.inputs import RunInput, pack_tags, run_input, tag, unpack_tags
from lockstep.controller.pods import Phase
from lockstep.controller.snapshot import Limits, Member, RunView, SchemaVersionSnapshot
from lockstep.controller.status import clip
from lockstep.planning.version import BASE, Version
from lockstep.planning.wire import ErrorDetail, Outcome, Result

HISTORY: int = 20
"""Steps that the status remembers."""
_OUTCOMES: dict[Outcome, Literal["Done", "Retryable", "Permanent", "Person"]] = {
    Outcome.DONE: "Done",
    Outcome.RETRYABLE: "Retryable",
    Outcome.PERMANENT: "Permanent",
    Outcome.PERSON: "Person",
}
LOST_RETRY = 1.0
"""Seconds before an attempt that was only taken away is made again."""


def is_recorded(status: SchemaVersionStatus, view: RunView) -> bool:
    """Tell whether the status already says how this run ended, or speaks of a later one."""
    run = status.run
    if run is None:
        return False
    if run.job == view.job.name:
        return run.outcome != "Running"
    if run.started_at is None:
        return False
    # Both by the API server's clock, which shows seconds only: within one, the TTL tells that it was recorded.
    same_second = view.job.created == run.started_at
    return view.job.created < run.started_at or (same_second and view.job.ttl is not None)


def retry_delay(limits: Limits, run: Run) -> float:
    """Return the seconds to wait after a failed run: twice as long each time, and not all at the same moment."""
    if run.failures == 0 or run.reason in (Reason.POD_LOST, Reason.INTERRUPTED):
        return LOST_RETRY
    full = min(limits.backoff_max, limits.backoff * 2.0 ** min(run.failures - 1, 30))
    # From the Job's name, not from a generator: the decision stays a function of its snapshot.
    spread = int.from_bytes(hashlib.sha256(run.job.encode()).digest()[:4], "big") / 2**32
    return full * (0.8 + 0.4 * spread)


def absorb(status: SchemaVersionStatus, view: RunView, s: SchemaVersionSnapshot) -> SchemaVersionStatus:
    """Return the status with the end of a run in it."""
    said = view.verdict
    assert said.phase is Phase.ENDED  # noqa: S101 - the caller's duty
    reason = said.reason or Reason.RUNNER_FAILED
    before = status.run
    same_input = before is not None and RunInput.parse(before.input).same_work(RunInput.parse(view.job.input))
    failures = before.failures if before is not None and same_input else 0
    outcome = _OUTCOMES[said.result.outcome] if said.result is not None else _without_result(reason)
    if outcome == "Retryable" and said.counts:
        failures += 1
    run = _with_retry(
        s,
        job=view.job.name,
        attempt=view.job.attempt,
        failures=0 if outcome == "Done" else failures,
        input=view.job.input,
        started_at=view.job.created or None,
        finished_at=rfc3339(s.now),
        outcome=outcome,
        reason=reason.value,
    )
    changes: dict[str, object] = {
        "run": run,
        "lock": None,
        "last_error": None if outcome == "Done" else clip(_error_line(said.result, said.message)),
    }
    if view.job.retry is not None:
        changes["last_handled_retry"] = view.job.retry
    if said.result is not None:
        changes |= _learnt(status, view, said.result, s)
    return status.model_copy(update=changes)


def _with_retry(s: SchemaVersionSnapshot, **fields: Any) -> Run:
    """Return the run with the time of its next attempt, for people: what counts is this process's own clock."""
    run = Run(**fields)
    if run.outcome != "Retryable":
        return run
    due = s.now + timedelta(seconds=retry_delay(s.limits, run))
    return run.model_copy(update={"retry_at": rfc3339(due)})


def absorb_lost(status: SchemaVersionStatus, s: SchemaVersionSnapshot) -> SchemaVersionStatus:
    """Return the status once the Job that it speaks of is gone with its result: the ledger decides in the next run."""
    assert status.run is not None  # noqa: S101 - the caller's duty
    message = f"Job {status.run.job} is gone and its result was not read; the next attempt asks the ledger"
    run = status.run.model_copy(
        update={
            "outcome": "Retryable",
            "reason": Reason.POD_LOST.value,
            "finished_at": rfc3339(s.now),
            "progress": None,
        }
    )
    return status.model_copy(update={"run": run, "lock": None, "last_error": message})


def _without_result(reason: Reason) -> Literal["Retryable", "Permanent", "Person"]:
    if reason.severity is Severity.PERMANENT:
        return "Permanent"
    return "Person" if reason.severity is Severity.PERSON else "Retryable"


def _error_line(result: Result | None, message: str) -> str:
    """Return the error on one line, with whatever of its place the message does not name."""
    error: ErrorDetail | None = result.error if result is not None else None
    if error is None:
        return message
    place = [
        f"SQLSTATE {error.sqlstate}" if error.sqlstate and error.sqlstate not in message else "",
        f"version {error.version}" if error.version and error.version not in message else "",
        f"statement {error.statement}" if error.statement and f"statement {error.statement}" not in message else "",
        f"line {error.line}" if error.line and f"line {error.line}" not in message else "",
    ]
    named = ", ".join(part for part in place if part)
    return f"{named}: {message}" if named else message


def _learnt(status: SchemaVersionStatus, view: RunView, result: Result, s: SchemaVersionSnapshot) -> dict[str, object]:
    """Return what a result says about the database."""
    learnt: dict[str, object] = {}
    now = read_version(result.version)
    if now is not None:
        learnt["version"] = result.version
    if result.ledger is not None:
        mark = result.ledger
        learnt["ledger"] = Ledger(uuid=mark.uuid, sequence=mark.sequence, hash=mark.hash)
    if result.steps:
        learnt["history"] = _history(status.history, result)
    if result.reason is Reason.LOCK_HELD and result.holder:
        learnt["lock"] = Lock(holder=result.holder)
    current = now if now is not None else read_version(status.version)
    learnt["settled"] = pack_tags(_settled(status, view, result, s, current))
    left = [m.fact.label for m in s.members if m.fact.version and current is not None and m.fact.version > current]
    learnt["pending"] = Pending(count=result.pending, names=left[: min(10, result.pending)])
    return learnt


def _history(old: Sequence[HistoryEntry], result: Result) -> list[HistoryEntry]:
    new = [
        HistoryEntry(version=step.version, name=step.name, direction=step.direction, at=step.at, milliseconds=step.ms)
        for step in result.steps
    ]
    known = {(each.version, each.name, each.at) for each in old}
    return [*old, *(each for each in new if (each.version, each.name, each.at) not in known)][-HISTORY:]


def _settled(
    status: SchemaVersionStatus, view: RunView, result: Result, s: SchemaVersionSnapshot, version: Version | None
) -> set[bytes]:
    """Return the tags of the Migrations that are proven to be applied as they are now.

    After a run that ended well with the very set that is here now: all of that set. Otherwise what was settled before,
    and what this run says it did, as long as the texts are those that it was given.
    """
    before = set(unpack_tags(status.settled))
    spec = s.fact.spec
    target = read_version(view.job.target)
    if spec is None or target is None:
        return before
    given = [m for m in s.members if m.up is not None and (m.fact.version is None or m.fact.version <= target)]
    now = run_input(s.fact.line, target, spec, s.fact.retry, [m.as_set_member() for m in given])
    if now.members != RunInput.parse(view.job.input).members:
        return before & {tag(m.as_set_member()) for m in s.members if m.up is not None}
    if result.outcome is Outcome.DONE:
        return {tag(m.as_set_member()) for m in given}
    start = read_version(status.version) or BASE
    done = {step.name for step in result.steps}
    return before | {tag(m.as_set_member()) for m in given if _was_done(m, start, version, done)}


def _was_done(member: Member, start: Version, end: Version | None, done: set[str]) -> bool:
    if member.fact.name in done:
        return True
    version = member.fact.version
    # Going up in order, everything between the versions before and after has run.
    return version is not None and end is not None and start < version <= end
