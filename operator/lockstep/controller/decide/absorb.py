"""What the end of a run means for the status."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

from lockstep.api.reasons import Reason, Severity
from lockstep.api.schemaversion import HistoryEntry, Ledger, Lock, Pending, Run, SchemaVersionStatus
from lockstep.controller.clock import rfc3339
from lockstep.controller.decide import approval, drift, repair
from lockstep.controller.decide.rollback import input_members
from lockstep.controller.facts import JobFact, read_version
from lockstep.controller.inputs import RunInput, pack_tags, run_input, tag, unpack_tags
from lockstep.controller.pods import Phase
from lockstep.controller.snapshot import Limits, Member, RunView, SchemaVersionSnapshot
from lockstep.controller.status import clip
from lockstep.planning.result import ErrorDetail, Outcome, Result, StepDone
from lockstep.planning.version import BASE, Version
from lockstep.planning.wire import Mode

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
TAKEN = frozenset({"up", "repeat", "baseline", "adopt", "correct"})
"""Steps after which the ledger has a Migration as it is."""


def mode_word(job: JobFact) -> Literal["Run", "Plan"]:
    """Return what the status says that a Job is for (looks for drift have a place of their own)."""
    return "Plan" if job.mode is Mode.PLAN else "Run"


def mode_of(run: Run) -> Mode:
    """Return what the Job was for that the status speaks of."""
    return Mode.PLAN if run.mode == "Plan" else Mode.RUN


def reached_input(status: SchemaVersionStatus) -> str | None:
    """Return the input of the last run, if it ended well; the making of a plan since then changes no database."""
    run = status.run
    if run is None or run.mode == "Plan":
        return status.reached
    return run.input if run.outcome == "Done" else None


def is_recorded(status: SchemaVersionStatus, view: RunView) -> bool:
    """Tell whether the status already says how this run ended, or speaks of a later one."""
    if view.job.mode is Mode.CHECK:
        return drift.is_recorded(status, view)
    run = status.run
    if run is None:
        # A status that was wiped: what a Job said long ago is not all that the ledger knows.
        return view.job.ttl is not None
    if run.job == view.job.name:
        return run.outcome != "Running"
    if run.started_at is None:
        return False
    # Both by the API server's clock, which shows seconds only: within one, the TTL tells that it was recorded.
    same_second = view.job.created == run.started_at
    is_older = view.job.ttl is not None or _is_plan_of(run, view.job)
    return view.job.created < run.started_at or (same_second and is_older)


def _is_plan_of(run: Run, job: JobFact) -> bool:
    """Tell whether a Job has made the plan that a run carries out: its log is kept, so that it has no TTL."""
    same_work = RunInput.parse(run.input).same_work(RunInput.parse(job.input))
    return job.mode is Mode.PLAN and run.mode != "Plan" and same_work and job.attempt <= run.attempt


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
    before, word = status.run, mode_word(view.job)
    same_input = before is not None and RunInput.parse(before.input).same_work(RunInput.parse(view.job.input))
    failures = before.failures if before is not None and same_input and before.mode == word else 0
    outcome = _OUTCOMES[said.result.outcome] if said.result is not None else _without_result(reason)
    if (outcome == "Retryable" and said.counts) or reason is Reason.APPROVAL_REQUIRED:
        failures += 1
    run = _with_retry(
        s,
        job=view.job.name,
        mode=word,
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
        "reached": reached_input(status) if view.job.mode is Mode.PLAN else None,
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
    if result.drift is not None:
        learnt["drift"] = drift.seen(status.drift, result.drift, view.job.name, rfc3339(s.now))
    wanted = s.fact.spec.repair if s.fact.spec is not None else None
    if wanted is not None and result.repaired == wanted.token:
        learnt["last_handled_repair"] = result.repaired
    if result.plan is not None or (view.job.mode is Mode.PLAN and result.outcome is Outcome.DONE):
        learnt["plan"] = approval.made_plan(result.plan, view.job.name, view.job.input)
    if result.reason is Reason.LOCK_HELD and result.holder:
        learnt["lock"] = Lock(holder=result.holder)
    current = now if now is not None else read_version(status.version)
    learnt["settled"] = pack_tags(_settled(status, view, result, s, current))
    left = [m.fact.label for m in s.members if m.fact.version and current is not None and m.fact.version > current]
    learnt["pending"] = Pending(count=result.pending, names=left[: min(10, result.pending)])
    return learnt


def _history(old: Sequence[HistoryEntry], result: Result) -> list[HistoryEntry]:
    new = [
        HistoryEntry(
            version=step.version,
            name=step.name,
            kind=step.kind,
            direction=step.direction,
            at=step.at,
            milliseconds=step.ms,
        )
        for step in result.steps
    ]
    known = {(each.version, each.name, each.direction, each.at) for each in old}
    fresh = [each for each in new if (each.version, each.name, each.direction, each.at) not in known]
    return [*old, *fresh][-HISTORY:]


def _settled(
    status: SchemaVersionStatus, view: RunView, result: Result, s: SchemaVersionSnapshot, version: Version | None
) -> set[bytes]:
    """Return the tags of the Migrations that are proven to be applied as they are now.

    After a run that ended well with the very set that is here now: all of that set. Otherwise what was settled before
    and is not above the version now, and what this run says it did, as long as the texts are those it was given.
    """
    spec, target = s.fact.spec, read_version(view.job.target)
    before = unpack_tags(status.settled)
    if spec is None or target is None:
        return set(before)
    same = run_input(s.fact.line, target, spec, input_members(s, target)).members
    given = _given(s, target) if same == RunInput.parse(view.job.input).members else []
    if given and view.job.mode is Mode.RUN and result.outcome is Outcome.DONE:
        return {tag(m.as_set_member()) for m in given}
    left = {
        tag(m.as_set_member()): m
        for m in s.members
        if m.readable and (m.fact.version is None or version is None or m.fact.version <= version)
    }
    act = repair.pending(s.fact)
    if act is not None and result.repaired == act.token:
        # The act may have said that something is applied, or is not.
        before = frozenset()
    settled = set(before & left.keys()) | _gone_up(given, read_version(status.version), result)
    return _after_steps(settled, given, left, result) - _unsure(left, status, target, result)


def _given(s: SchemaVersionSnapshot, target: Version) -> list[Member]:
    return [m for m in s.members if m.readable and (m.fact.version is None or m.fact.version <= target)]


def _gone_up(given: Sequence[Member], known: Version | None, result: Result) -> set[bytes]:
    """Return the tags of what a run has applied on its way up, in order: everything between the versions.

    Where the version before was not known, only if all of them are this run's.
    """
    version = read_version(result.version)
    if version is None:
        return set()
    upto = [m for m in given if m.fact.version is not None and m.fact.version <= version]
    start = known or (BASE if result.applied >= len(upto) else version)
    return {tag(m.as_set_member()) for m in upto if m.fact.version is not None and m.fact.version > start}


def _own_steps(result: Result) -> Sequence[StepDone]:
    """Return the steps that this run took, as many as had room; those of earlier runs come before."""
    return result.steps[max(0, len(result.steps) - result.applied) :] if result.applied else ()


def _after_steps(
    settled: set[bytes], given: Sequence[Member], left: Mapping[bytes, Member], result: Result
) -> set[bytes]:
    """Return what is settled once a run has taken its steps."""
    marks = {m.fact.name: tag(m.as_set_member()) for m in given}
    for step in _own_steps(result):
        if step.direction in TAKEN and step.name in marks:
            settled.add(marks[step.name])
        elif step.direction == "down":
            settled -= {mark for mark, m in left.items() if m.fact.name == step.name}
    return settled


def _unsure(left: Mapping[bytes, Member], status: SchemaVersionStatus, target: Version, result: Result) -> set[bytes]:
    """Return the tags of what may have been undone, where not all downs had room in the result.

    They go by the order of application, not of versions.
    """
    known = read_version(status.version)
    if len(_own_steps(result)) >= result.applied or known is None or target >= known:
        return set()
    return {mark for mark, m in left.items() if m.fact.version is not None and m.fact.version > target}
