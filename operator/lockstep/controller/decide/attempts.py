"""When a run, or the making of a plan, starts: now, after a pause, or once somebody has done something."""

from lockstep.api.reasons import Reason
from lockstep.api.schemaversion import Run, SchemaVersionSpec, SchemaVersionStatus
from lockstep.controller.decide import approval
from lockstep.controller.decide.absorb import mode_of, retry_delay
from lockstep.controller.decide.state import Start, State, reason_of
from lockstep.controller.decide.under_way import WATCH_AGAIN
from lockstep.controller.decide.wanted import Ready
from lockstep.controller.facts import JobFact
from lockstep.controller.inputs import RunInput
from lockstep.controller.snapshot import SchemaVersionSnapshot
from lockstep.planning.wire import Mode


def next_job(
    status: SchemaVersionStatus,
    wanted: Ready,
    spec: SchemaVersionSpec,
    unfinished: JobFact | None,
    s: SchemaVersionSnapshot,
) -> State:
    """Start what is next, or say why not yet.

    Args:
        status: as it will be written.
        wanted: what a run shall do.
        spec: what is asked for.
        unfinished: a Job that was made and never let go.
        s: the snapshot.
    """
    mode = approval.mode_of(status, s.fact, spec, wanted.input, ask=wanted.ask)
    if mode is None:
        assert status.plan is not None  # noqa: S101 - what waits is a plan
        return State(Reason.APPROVAL_REQUIRED, approval.message(status.plan, s.fact.namespace), stop=unfinished)
    if unfinished is not None:
        if RunInput.parse(unfinished.input) != wanted.input or unfinished.mode is not mode:
            return State(Reason.STARTING, f"Job {unfinished.name} was never started and is outdated", 1.0, unfinished)
        return _start(wanted, mode, unfinished.attempt)
    run = status.run
    if (held := _held_up(s)) is not None:
        return held
    if run is not None and mode_of(run) is mode and RunInput.parse(run.input).same_work(wanted.input):
        return _again(run, status, wanted, mode, s)
    return _start(wanted, mode, _next_attempt(wanted, mode, s))


def _held_up(s: SchemaVersionSnapshot) -> State | None:
    """Return why no Job can be made now, whatever it is for."""
    if s.pods_left:
        return State(Reason.RUNNING, f"waiting for pod {s.pods_left[0]} of an earlier run to end", WATCH_AGAIN)
    if s.rejected is not None:
        reason, message = s.rejected
        return State(reason, message, again=min(s.limits.backoff_max, max(s.limits.backoff, s.waited / 2)))
    return None


def _again(run: Run, status: SchemaVersionStatus, wanted: Ready, mode: Mode, s: SchemaVersionSnapshot) -> State:
    """Say whether, and when, what was tried already is tried again."""
    reason, error = reason_of(run.reason), status.last_error or ""
    # Other limits are a reason to try at once.
    if RunInput.parse(run.input) == wanted.input:
        # Approved since; a plan that the database outruns again and again is not chased without a pause.
        outrun = reason is Reason.APPROVAL_REQUIRED
        if run.outcome in ("Permanent", "Person") and not outrun:
            return State(reason, error)
        left = retry_delay(s.limits, run) - (s.since_failure or 0.0)
        if (outrun or run.outcome == "Retryable") and left > 0:
            return State(reason, error, again=left)
    return _start(wanted, mode, max(run.attempt + 1, _next_attempt(wanted, mode, s)))


def _next_attempt(wanted: Ready, mode: Mode, s: SchemaVersionSnapshot) -> int:
    """Return the number of a new attempt: no Job that still exists has it."""
    made = (view.job for view in s.runs if view.job.mode is mode)
    return max((job.attempt for job in made if RunInput.parse(job.input) == wanted.input), default=0) + 1


def _start(wanted: Ready, mode: Mode, attempt: int) -> State:
    start = Start(wanted.input, attempt, wanted.target, mode)
    if mode is Mode.PLAN:
        return State(Reason.PLANNING, f"planning the way to version {wanted.target}", start=start)
    return State(Reason.STARTING, f"starting the run to version {wanted.target}", start=start)
