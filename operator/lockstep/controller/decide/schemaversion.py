"""What to do about a SchemaVersion: its status, and at most one step of work."""

from dataclasses import dataclass, replace
from typing import Any

from lockstep.api.fields import milliseconds
from lockstep.api.reasons import Reason, Severity
from lockstep.api.schemaversion import Lock, Pending, Run, RunProgress, SchemaVersionStatus
from lockstep.controller.clock import rfc3339
from lockstep.controller.decide.absorb import absorb, absorb_lost, is_recorded, retry_delay
from lockstep.controller.decide.wanted import Blocked, Ready, Settled, Want, want
from lockstep.controller.facts import JobFact, read_version
from lockstep.controller.inputs import RunInput
from lockstep.controller.pods import Phase
from lockstep.controller.snapshot import Member, RunView, SchemaVersionSnapshot
from lockstep.controller.status import Wish, clip, conditions, kstatus
from lockstep.planning.version import BASE, Version
from lockstep.planning.wire import Progress

NAMES_PENDING = 10
WATCH_AGAIN = 5.0
"""Seconds after which a run under way is looked at again: its log, and what holds up its pod."""
WATCH_AGAIN_MAX = 60.0
"""The same for a run that takes hours: a status is not a log."""
PENDING_AGAIN = 2.0
"""The same while it has no pod: what the Job controller cannot make shows in events only."""
_HOLDS_LOCK = frozenset({"Planning", "Running", "WaitingForRetry"})


@dataclass(frozen=True, slots=True)
class Start:
    """Make (or finish making) the Job of a run."""

    input: RunInput
    attempt: int
    target: Version


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, in this order: stop, start, write the status, retire."""

    reason: Reason
    message: str
    status: SchemaVersionStatus | None
    """The status as it shall be; None: leave it."""
    stop: JobFact | None = None
    """A Job to delete; its pod ends at a boundary."""
    start: Start | None = None
    retire: tuple[JobFact, ...] = ()
    """Jobs whose result is on the status (once it is written): they may go after their TTL."""
    again: float | None = None
    """Seconds after which to look again at the latest."""
    announce: bool = False
    """Whether the reason is news, worth an event."""


@dataclass(frozen=True, slots=True)
class _State:
    """How things stand: the parts that conditions are made of."""

    reason: Reason
    message: str
    again: float | None = None
    stop: JobFact | None = None
    """A Job to delete."""
    start: Start | None = None
    quiet: bool = False
    """Whether it is too short-lived to be written."""


def decide(s: SchemaVersionSnapshot) -> Decision:
    """Return what to do about a SchemaVersion."""
    if s.fact.deleting:
        return Decision(Reason.SUSPENDED, "it is being deleted", None)
    if s.fact.status.observed_generation != s.fact.generation:
        # Another spec: the time it has been waited for the old one does not count.
        s = replace(s, waited=0.0)
    status, s = _absorb_ended(s)
    wanted = want(s)
    active = _active(status, s)
    state = _state(status, wanted, active, s)
    state = _overdue_again(state, status, s)
    return _decision(state, status, wanted, active, s)


def _absorb_ended(s: SchemaVersionSnapshot) -> tuple[SchemaVersionStatus, SchemaVersionSnapshot]:
    """Take in what ended since the status was written; later steps see it as if it had been there all along."""
    status = s.fact.status
    s = replace(s, written=status)
    for view in s.runs:
        if view.verdict.phase is Phase.ENDED and not is_recorded(status, view):
            status = absorb(status, view, s)
            s = replace(s, fact=replace(s.fact, status=status), since_failure=0.0)
    run = status.run
    if run is not None and run.outcome == "Running" and s.run_is_gone and not s.pods_left:
        status = absorb_lost(status, s)
        s = replace(s, fact=replace(s.fact, status=status), since_failure=0.0)
    return status, s


def _active(status: SchemaVersionStatus, s: SchemaVersionSnapshot) -> RunView | None:
    """Return the run that is under way."""
    run = status.run
    over = run.job if run is not None and run.outcome != "Running" else None
    views = [view for view in s.runs if view.verdict.phase is not Phase.ENDED and view.job.name != over]
    return views[-1] if views else None


def _state(status: SchemaVersionStatus, wanted: Want, active: RunView | None, s: SchemaVersionSnapshot) -> _State:
    if active is not None and not (active.job.suspended and not active.job.deleting):
        return _under_way(status, wanted, active, s)
    unfinished = active.job if active is not None else None
    match wanted:
        case Settled(target=target):
            at = "an empty line" if target == BASE else f"version {s.fact.status.version}"
            return _State(Reason.UP_TO_DATE, f"the database is at {at}", stop=unfinished)
        case _ if s.fact.spec is not None and s.fact.spec.suspend and not _is_permanent(wanted):
            return _State(Reason.SUSPENDED, "spec.suspend is true and there is something to do")
        case Blocked(reason=reason, message=message, again=again):
            if reason is Reason.WAITING_FOR_MIGRATIONS and (rest := s.limits.settle - s.quiet) > 0:
                # A set that is just arriving is not waited for yet.
                return _State(reason, message, min(rest, again or rest), quiet=True)
            return _State(reason, message, again, quiet=reason is Reason.SETTLING)
        case Ready():
            return _run(status, wanted, unfinished, s)


def _is_permanent(wanted: Want) -> bool:
    return isinstance(wanted, Blocked) and wanted.reason.severity in (Severity.PERMANENT, Severity.PERSON)


def _under_way(status: SchemaVersionStatus, wanted: Want, active: RunView, s: SchemaVersionSnapshot) -> _State:
    """Say how a run under way stands, and end it if something else is wanted."""
    job, said = active.job, active.verdict
    if job.deleting:
        return _State(Reason.RUNNING, f"Job {job.name} is stopping at a boundary", WATCH_AGAIN)
    if _must_stop(wanted, active, s.limits.image):
        return _State(Reason.RUNNING, f"Job {job.name} is stopped since what is wanted changed", WATCH_AGAIN, stop=job)
    reason, message = _of_run(status, active)
    if isinstance(wanted, Blocked) and _is_permanent(wanted):
        reason, message = wanted.reason, f"{wanted.message} (Job {job.name} still runs)"
    return _State(reason, message, PENDING_AGAIN if said.phase is Phase.PENDING else watch_again(active.seconds))


def watch_again(seconds: float) -> float:
    """Return the seconds until a run that has run for so long is looked at again."""
    return min(WATCH_AGAIN_MAX, max(WATCH_AGAIN, seconds / 10))


def _of_run(status: SchemaVersionStatus, active: RunView) -> tuple[Reason, str]:
    job, said = active.job, active.verdict
    failing = _last_failure(status, job)
    if said.phase is Phase.RUNNING and active.progress is None and (shown := _shown(status, job)) is not None:
        # Its log is not read at each look: what was seen last goes on counting.
        return shown
    if said.reason is not None:
        return said.reason, said.message
    if failing is not None and not _moves(active.progress):
        # The next attempt at what fails is no news: no flapping between two reasons.
        return failing, status.last_error or ""
    # The same words before its container starts and after: its start alone is not worth a write.
    return Reason.RUNNING, said.message or _progress_message(active)


def _shown(status: SchemaVersionStatus, job: JobFact) -> tuple[Reason, str] | None:
    """Return what the status already says of a run whose progress was seen."""
    if status.run is None or status.run.job != job.name or status.run.progress is None:
        return None
    ready = next((each for each in status.conditions if each.type == "Ready"), None)
    # Nothing but how far it is: what else was wrong may be right by now.
    shown = ready is not None and ready.reason == Reason.RUNNING
    return (Reason.RUNNING, ready.message) if ready is not None and shown else None


def _moves(progress: Progress | None) -> bool:
    return progress is not None and progress.state == "Running" and progress.done > 0


def _progress_message(active: RunView) -> str:
    progress = active.progress
    if progress is None:
        return f"Job {active.job.name} runs to version {active.job.target}"
    at = f" at version {progress.version}" if progress.version else ""
    more = f": {progress.message}" if progress.message else ""
    return f"Job {active.job.name}: {progress.state}{at}, {progress.done} of {progress.total} steps done{more}"


def _last_failure(status: SchemaVersionStatus, job: JobFact) -> Reason | None:
    """Return why the attempt before this one at the same input failed."""
    run = status.run
    if run is None or run.failures == 0 or not RunInput.parse(run.input).same_work(RunInput.parse(job.input)):
        return None
    try:
        return Reason(run.reason or "")
    except ValueError:
        return None


def _must_stop(wanted: Want, active: RunView, image: str) -> bool:
    """Tell whether what is wanted now is not what the run does."""
    if active.verdict.reason is Reason.IMAGE_PULL_FAILED and active.job.image != image:
        # The operator's setting was corrected; the pod would wait for the old image until its deadline.
        return True
    doing = RunInput.parse(active.job.input)
    if isinstance(wanted, Blocked):
        # The set may be arriving; but never past a lower target.
        goes_to = read_version(active.job.target)
        return wanted.target is not None and goes_to is not None and wanted.target < goes_to
    if not wanted.input.same_work(doing):
        return True
    # Other pod settings cure a pod that does not start, and are no reason to stop one that works.
    return wanted.input.execution != doing.execution and active.verdict.phase is Phase.PENDING


def _run(status: SchemaVersionStatus, wanted: Ready, unfinished: JobFact | None, s: SchemaVersionSnapshot) -> _State:
    """Start a run, or say why not yet."""
    if unfinished is not None:
        if RunInput.parse(unfinished.input) != wanted.input:
            return _State(Reason.STARTING, f"Job {unfinished.name} was never started and is outdated", 1.0, unfinished)
        return _start(wanted, unfinished.attempt)
    if s.pods_left:
        return _State(Reason.RUNNING, f"waiting for pod {s.pods_left[0]} of an earlier run to end", WATCH_AGAIN)
    if s.rejected is not None:
        reason, message = s.rejected
        return _State(reason, message, again=min(s.limits.backoff_max, max(s.limits.backoff, s.waited / 2)))
    run = status.run
    if run is not None and RunInput.parse(run.input).same_work(wanted.input):
        return _again(run, status, wanted, s)
    return _start(wanted, _next_attempt(wanted, s))


def _again(run: Run, status: SchemaVersionStatus, wanted: Ready, s: SchemaVersionSnapshot) -> _State:
    """Say whether, and when, what was tried already is tried again."""
    reason, error = _reason_of(run.reason), status.last_error or ""
    # Other limits are a reason to try at once.
    if RunInput.parse(run.input) == wanted.input:
        if run.outcome in ("Permanent", "Person"):
            return _State(reason, error)
        left = retry_delay(s.limits, run) - (s.since_failure or 0.0)
        if run.outcome == "Retryable" and left > 0:
            return _State(reason, error, again=left)
    return _start(wanted, max(run.attempt + 1, _next_attempt(wanted, s)))


def _next_attempt(wanted: Ready, s: SchemaVersionSnapshot) -> int:
    """Return the number of a new attempt: no Job that still exists has it."""
    made = (view.job for view in s.runs)
    return max((job.attempt for job in made if RunInput.parse(job.input) == wanted.input), default=0) + 1


def _start(wanted: Ready, attempt: int) -> _State:
    start = Start(wanted.input, attempt, wanted.target)
    return _State(Reason.STARTING, f"starting the run to version {wanted.target}", start=start)


def _reason_of(text: str | None) -> Reason:
    try:
        return Reason(text or "")
    except ValueError:
        # Written by another version of Lockstep.
        return Reason.RUNNER_FAILED


def _deadline(s: SchemaVersionSnapshot) -> float:
    return milliseconds(s.fact.spec.progress_deadline) / 1000 if s.fact.spec is not None else 120.0


def _is_overdue(reason: Reason, s: SchemaVersionSnapshot) -> bool:
    """Tell whether waiting has lasted longer than progressDeadline, by our own clock or by an earlier verdict."""
    if reason.severity is not Severity.WAITING:
        return False
    status = s.fact.status
    # What another leader found overdue stays so: its times are not compared with ours.
    stalled = (
        status.observed_generation == s.fact.generation
        and status.waiting_since is not None
        and any(
            each.type == "Stalled" and _reason_of(each.reason).severity is Severity.WAITING
            for each in status.conditions
        )
    )
    return stalled or s.waited >= _deadline(s)


def _overdue_again(state: _State, status: SchemaVersionStatus, s: SchemaVersionSnapshot) -> _State:
    """Look again when waiting becomes overdue."""
    if state.reason.severity is not Severity.WAITING or _is_overdue(state.reason, s):
        return state
    left = max(0.1, _deadline(s) - s.waited)
    return replace(state, again=left if state.again is None else min(state.again, left))


def _decision(
    state: _State, status: SchemaVersionStatus, wanted: Want, active: RunView | None, s: SchemaVersionSnapshot
) -> Decision:
    now = rfc3339(s.now)
    wishes = kstatus(state.reason, state.message, overdue=_is_overdue(state.reason, s))
    if s.fact.spec is not None and s.fact.spec.drift == "Report":
        wishes.append(
            Wish("Drifted", "Unknown", Reason.NOT_SUPPORTED_YET, "drift is not looked for by this version of Lockstep")
        )
    changes: dict[str, Any] = {
        "observed_generation": s.fact.generation,
        "state": state.reason.value,
        "conditions": conditions(status.conditions, wishes, generation=s.fact.generation, now=now),
        "waiting_since": _waiting_since(state.reason, status, s, now),
    }
    if wanted.target is not None:
        changes["target"] = wanted.target.text
    if (pending := _pending(wanted)) is not None:
        changes["pending"] = pending
    if active is not None:
        changes |= _run_fields(status, active, now)
    made = status.model_copy(update=changes)
    # What is about to change anyway is not worth a write; but what a run ended with is, before anything else.
    fleeting = (state.quiet or state.start is not None) and status == s.before
    ended = [view for view in s.runs if view.verdict.phase is Phase.ENDED and is_recorded(made, view)]
    retire = () if fleeting else tuple(view.job for view in ended if view.job.ttl is None)
    news = s.before.state != state.reason.value and state.reason.severity is not Severity.PROGRESS
    return Decision(
        reason=state.reason,
        message=state.message,
        status=None if fleeting else made,
        stop=state.stop,
        start=state.start if fleeting else None,
        retire=retire,
        again=0.0 if state.start is not None and not fleeting else state.again,
        announce=news and not fleeting,
    )


def _waiting_since(reason: Reason, status: SchemaVersionStatus, s: SchemaVersionSnapshot, now: str) -> str | None:
    if reason.severity is not Severity.WAITING:
        return None
    if status.observed_generation != s.fact.generation:
        return now
    return status.waiting_since or now


def _names(members: tuple[Member, ...]) -> list[str]:
    ordered = sorted((m.fact.version, m.fact.name) for m in members if m.fact.version is not None)
    return [f"{version} ({name})" for version, name in ordered[:NAMES_PENDING]]


def _pending(wanted: Want) -> Pending | None:
    match wanted:
        case Settled():
            return Pending()
        case Blocked(target=None):
            return None
        case Blocked(pending=members) | Ready(pending=members):
            return Pending(count=len(members), names=_names(members))


def _run_fields(status: SchemaVersionStatus, active: RunView, now: str) -> dict[str, Any]:
    """Return what the status says of the run under way."""
    job, before = active.job, status.run
    same = before is not None and RunInput.parse(before.input).same_work(RunInput.parse(job.input))
    mine = before if before is not None and before.job == job.name else None
    progress = mine.progress if mine is not None else None
    if active.progress is not None:
        seen = active.progress
        progress = RunProgress(
            done=seen.done, total=seen.total, version=seen.version, message=clip(seen.message) or seen.state
        )
    fields: dict[str, Any] = {
        "run": Run(
            job=job.name,
            attempt=job.attempt,
            failures=before.failures if before is not None and same else 0,
            input=job.input,
            started_at=job.created or None,
            outcome="Running",
            # Why the attempt before it failed.
            reason=before.reason if before is not None and same else None,
            progress=progress,
        )
    }
    if active.progress is not None:
        pod = active.verdict.pod
        holds = active.progress.state in _HOLDS_LOCK and pod is not None
        since = status.lock.since if status.lock is not None and status.lock.holder == pod else now
        fields["lock"] = Lock(holder=pod, since=since) if holds and pod is not None else None
    return fields
