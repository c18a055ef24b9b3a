"""A Job under way: how it stands, whether it must end, and what the status says of it."""

from typing import Any

from lockstep.api.reasons import Reason, Severity
from lockstep.api.schemaversion import Lock, Run, RunProgress, SchemaVersionStatus
from lockstep.controller.decide.absorb import mode_word, reached_input
from lockstep.controller.decide.state import State
from lockstep.controller.decide.wanted import Blocked, Want
from lockstep.controller.facts import JobFact, read_version
from lockstep.controller.inputs import RunInput
from lockstep.controller.pods import Phase
from lockstep.controller.snapshot import RunView, SchemaVersionSnapshot
from lockstep.controller.status import clip
from lockstep.planning.result import Progress
from lockstep.planning.version import Version
from lockstep.planning.wire import Mode

WATCH_AGAIN = 5.0
"""Seconds after which a run under way is looked at again: its log, and what holds up its pod."""
WATCH_AGAIN_MAX = 60.0
"""The same for a run that takes hours: a status is not a log."""
PENDING_AGAIN = 2.0
"""The same while it has no pod: what the Job controller cannot make shows in events only."""
_HOLDS_LOCK = frozenset({"Planning", "Running", "WaitingForRetry"})
_STOPS_DOWNS = frozenset({Reason.ROLLBACK_FORBIDDEN, Reason.REQUIRED_BY_OTHERS})


def is_permanent(wanted: Want) -> bool:
    """Tell whether somebody must do something before anything can run."""
    return isinstance(wanted, Blocked) and wanted.reason.severity in (Severity.PERMANENT, Severity.PERSON)


def under_way(status: SchemaVersionStatus, wanted: Want, active: RunView, s: SchemaVersionSnapshot) -> State:
    """Say how a Job under way stands, and end it if something else is wanted."""
    job, said = active.job, active.verdict
    busy = _busy(job)
    if job.deleting:
        return State(busy, f"Job {job.name} is stopping at a boundary", WATCH_AGAIN)
    if _must_stop(wanted, active, s.limits.image, read_version(status.version)):
        return State(busy, f"Job {job.name} is stopped since what is wanted changed", WATCH_AGAIN, stop=job)
    reason, message = _of_run(status, active)
    if isinstance(wanted, Blocked) and is_permanent(wanted):
        reason, message = wanted.reason, f"{wanted.message} (Job {job.name} still runs)"
    return State(reason, message, PENDING_AGAIN if said.phase is Phase.PENDING else watch_again(active.seconds))


def _busy(job: JobFact) -> Reason:
    return Reason.PLANNING if job.mode is Mode.PLAN else Reason.RUNNING


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
    return _busy(job), said.message or _progress_message(active)


def _shown(status: SchemaVersionStatus, job: JobFact) -> tuple[Reason, str] | None:
    """Return what the status already says of a run whose progress was seen."""
    if status.run is None or status.run.job != job.name or status.run.progress is None:
        return None
    ready = next((each for each in status.conditions if each.type == "Ready"), None)
    # Nothing but how far it is: what else was wrong may be right by now.
    shown = ready is not None and ready.reason == _busy(job)
    return (_busy(job), ready.message) if ready is not None and shown else None


def _moves(progress: Progress | None) -> bool:
    return progress is not None and progress.state == "Running" and progress.done > 0


def _progress_message(active: RunView) -> str:
    job, progress = active.job, active.progress
    if job.mode is Mode.PLAN:
        return f"Job {job.name} plans the way to version {job.target}"
    if progress is None:
        return f"Job {job.name} runs to version {job.target}"
    at = f" at version {progress.version}" if progress.version else ""
    more = f": {progress.message}" if progress.message else ""
    return f"Job {job.name}: {progress.state}{at}, {progress.done} of {progress.total} steps done{more}"


def _last_failure(status: SchemaVersionStatus, job: JobFact) -> Reason | None:
    """Return why the attempt before this one at the same input failed."""
    run = status.run
    if run is None or run.failures == 0 or run.mode != mode_word(job):
        return None
    # One that waited for approval has got it since.
    same = RunInput.parse(run.input).same_work(RunInput.parse(job.input))
    if not same or run.reason == Reason.APPROVAL_REQUIRED:
        return None
    try:
        return Reason(run.reason or "")
    except ValueError:
        return None


def _must_stop(wanted: Want, active: RunView, image: str, known: Version | None) -> bool:
    """Tell whether what is wanted now is not what the Job does."""
    if active.verdict.reason is Reason.IMAGE_PULL_FAILED and active.job.image != image:
        # The operator's setting was corrected; the pod would wait for the old image until its deadline.
        return True
    if isinstance(wanted, Blocked):
        return active.job.mode is Mode.RUN and _goes_too_far(wanted, active.job, known)
    doing = RunInput.parse(active.job.input)
    if not wanted.input.same_work(doing):
        return True
    # Other pod settings cure a pod that does not start, and are no reason to stop one that works.
    return wanted.input.execution != doing.execution and active.verdict.phase is Phase.PENDING


def _goes_too_far(wanted: Blocked, job: JobFact, known: Version | None) -> bool:
    """Tell whether a run goes past what is wanted, though nothing can start now: the set may be arriving."""
    goes_to = read_version(job.target)
    if wanted.target is None or goes_to is None:
        return False
    down = known is not None and goes_to < known
    if wanted.target < goes_to or (down and wanted.target > goes_to):
        return True
    return down and wanted.reason in _STOPS_DOWNS


def run_fields(status: SchemaVersionStatus, active: RunView, now: str) -> dict[str, Any]:
    """Return what the status says of the Job under way."""
    job, before = active.job, status.run
    same = before is not None and RunInput.parse(before.input).same_work(RunInput.parse(job.input))
    same = same and before is not None and before.mode == mode_word(job)
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
            mode=mode_word(job),
            attempt=job.attempt,
            failures=before.failures if before is not None and same else 0,
            input=job.input,
            started_at=job.created or None,
            outcome="Running",
            # Why the attempt before it failed.
            reason=before.reason if before is not None and same else None,
            progress=progress,
        ),
        "reached": reached_input(status) if job.mode is Mode.PLAN else None,
    }
    if active.progress is not None:
        pod = active.verdict.pod
        holds = job.mode is Mode.RUN and active.progress.state in _HOLDS_LOCK and pod is not None
        since = status.lock.since if status.lock is not None and status.lock.holder == pod else now
        fields["lock"] = Lock(holder=pod, since=since) if holds and pod is not None else None
    return fields
