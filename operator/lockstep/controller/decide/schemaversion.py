"""What to do about a SchemaVersion: its status, and at most one step of work."""

from typing import Any

from msgspec.structs import replace

from lockstep.api.fields import milliseconds
from lockstep.api.reasons import Reason, Severity
from lockstep.api.schemaversion import Pending, SchemaVersionStatus
from lockstep.controller.clock import rfc3339
from lockstep.controller.decide import approval, attempts, drift
from lockstep.controller.decide.absorb import absorb, absorb_lost, is_recorded, reached_input
from lockstep.controller.decide.state import Decision, Start, State, reason_of
from lockstep.controller.decide.under_way import WATCH_AGAIN, is_permanent, run_fields, under_way
from lockstep.controller.decide.wanted import Blocked, Ready, Settled, Want, want
from lockstep.controller.facts import JobFact
from lockstep.controller.inputs import RunInput
from lockstep.controller.pods import Phase
from lockstep.controller.snapshot import Member, RunView, SchemaVersionSnapshot
from lockstep.controller.status import conditions, kstatus
from lockstep.planning.version import BASE
from lockstep.planning.wire import Mode

NAMES_PENDING = 10
SUSPENDED = "; spec.suspend is true: no new run starts"


def decide(s: SchemaVersionSnapshot) -> Decision:
    """Return what to do about a SchemaVersion."""
    if s.fact.deleting:
        return Decision(Reason.SUSPENDED, "it is being deleted", None)
    if s.fact.status.observed_generation != s.fact.generation:
        # Another spec: the time it has been waited for the old one does not count.
        s = replace(s, waited=0.0)
    status, s = _absorb_ended(s)
    wanted = want(s)
    status = _current(status, wanted, s)
    active = _active(status, s)
    check = next((view for view in s.runs if _is_check(view) and _is_open(view)), None)
    state = _state(status, wanted, active, check, s)
    if isinstance(wanted, Settled) and (held := _held_up(check, s)) is not None:
        status = drift.noted(status, *held)
    state = _overdue_again(state, status, s)
    return _decision(state, status, wanted, active, s)


def _is_check(view: RunView) -> bool:
    return view.job.mode is Mode.CHECK


def _is_open(view: RunView) -> bool:
    return view.verdict.phase is not Phase.ENDED


def _absorb_ended(s: SchemaVersionSnapshot) -> tuple[SchemaVersionStatus, SchemaVersionSnapshot]:
    """Take in what ended since the status was written; later steps see it as if it had been there all along."""
    status = s.fact.status
    s = replace(s, written=status)
    for view in s.runs:
        if _is_open(view) or is_recorded(status, view):
            continue
        if _is_check(view):
            status = drift.absorb_check(status, view, s)
            s = replace(s, fact=replace(s.fact, status=status))
        else:
            status = absorb(status, view, s)
            s = replace(s, fact=replace(s.fact, status=status), since_failure=0.0)
    run = status.run
    if run is not None and run.outcome == "Running" and s.run_is_gone and not s.pods_left:
        status = absorb_lost(status, s)
        s = replace(s, fact=replace(s.fact, status=status), since_failure=0.0)
    return status, s


def _current(status: SchemaVersionStatus, wanted: Want, s: SchemaVersionSnapshot) -> SchemaVersionStatus:
    """Return the status without what another set, target or policy has made void."""
    changes: dict[str, Any] = {}
    if not isinstance(wanted, Blocked) and status.plan is not None:
        # Once it has run it stays as the last that was approved.
        ran = approval.current(status.plan, RunInput.parse(reached_input(status)))
        changes["plan"] = approval.current(status.plan, wanted.input) or (ran if isinstance(wanted, Settled) else None)
    if s.fact.spec is not None and s.fact.spec.drift == "Ignore":
        changes["drift"] = None
    return status.model_copy(update=changes)


def _active(status: SchemaVersionStatus, s: SchemaVersionSnapshot) -> RunView | None:
    """Return the run, or the making of a plan, that is under way."""
    run = status.run
    over = run.job if run is not None and run.outcome != "Running" else None
    views = [view for view in s.runs if not _is_check(view) and _is_open(view) and view.job.name != over]
    return views[-1] if views else None


def _held_up(check: RunView | None, s: SchemaVersionSnapshot) -> tuple[Reason, str] | None:
    """Return why a look for drift does not get on."""
    if check is not None:
        return None if check.verdict.reason is None else (check.verdict.reason, check.verdict.message)
    return s.rejected


def _state(
    status: SchemaVersionStatus,
    wanted: Want,
    active: RunView | None,
    check: RunView | None,
    s: SchemaVersionSnapshot,
) -> State:
    if active is not None and not (active.job.suspended and not active.job.deleting):
        return under_way(status, wanted, active, s)
    unfinished = active.job if active is not None else None
    match wanted:
        case Settled():
            return _settled(status, wanted, unfinished, check, s)
        case _ if s.fact.spec is not None and s.fact.spec.suspend and not is_permanent(wanted):
            return State(Reason.SUSPENDED, "spec.suspend is true and there is something to do")
        case Blocked(reason=reason, message=message, again=again):
            if reason is Reason.WAITING_FOR_MIGRATIONS and (rest := s.limits.settle - s.quiet) > 0:
                # A set that is just arriving is not waited for yet.
                return State(reason, message, min(rest, again or rest), quiet=True)
            return State(reason, message, again, quiet=reason is Reason.SETTLING)
        case Ready():
            return _towards(status, wanted, unfinished, check, s)


def _towards(
    status: SchemaVersionStatus,
    wanted: Ready,
    unfinished: JobFact | None,
    check: RunView | None,
    s: SchemaVersionSnapshot,
) -> State:
    assert s.fact.spec is not None  # noqa: S101 - what is wanted was read from it
    if check is None:
        return attempts.next_job(status, wanted, s.fact.spec, unfinished, s)
    # Its pod is none of a run's: it need not be waited for, it is ended.
    state = attempts.next_job(status, wanted, s.fact.spec, unfinished, replace(s, pods_left=()))
    if state.start is None:
        return state
    stop = None if check.job.deleting else check.job
    message = f"Job {check.job.name}, which looks for drift, ends first"
    return State(state.reason, message, WATCH_AGAIN, stop, quiet=True)


def _settled(
    status: SchemaVersionStatus,
    wanted: Settled,
    unfinished: JobFact | None,
    check: RunView | None,
    s: SchemaVersionSnapshot,
) -> State:
    at = "an empty line" if wanted.target == BASE else f"version {status.version}"
    suspended = SUSPENDED if s.fact.spec is not None and s.fact.spec.suspend else ""
    state = State(Reason.UP_TO_DATE, f"the database is at {at}{suspended}", stop=unfinished)
    if unfinished is not None:
        return state
    wait = drift.due(s)
    if check is not None:
        return _looking(state, wanted, check, wanted_still=wait is not None)
    return state if wait is None else _look(state, wanted, wait, s)


def _looking(state: State, wanted: Settled, check: RunView, *, wanted_still: bool) -> State:
    """Say what becomes of a look for drift under way: it never changes what is said of the target."""
    job = check.job
    if job.suspended and not job.deleting and wanted_still and RunInput.parse(job.input) == wanted.input:
        # Its maker died.
        return replace(state, start=Start(wanted.input, job.attempt, wanted.target, Mode.CHECK))
    stop = not job.deleting and (job.suspended or not wanted_still)
    return replace(state, stop=job if stop else None, again=WATCH_AGAIN)


def _look(state: State, wanted: Settled, wait: float, s: SchemaVersionSnapshot) -> State:
    """Look for drift when it is time."""
    if wait > 0:
        return replace(state, again=wait)
    if s.rejected is not None:
        return replace(state, again=s.limits.backoff_max)
    if s.pods_left:
        return replace(state, again=WATCH_AGAIN)
    return replace(state, start=Start(wanted.input, drift.next_number(s), wanted.target, Mode.CHECK))


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
            each.type == "Stalled" and reason_of(each.reason).severity is Severity.WAITING for each in status.conditions
        )
    )
    return stalled or s.waited >= _deadline(s)


def _overdue_again(state: State, status: SchemaVersionStatus, s: SchemaVersionSnapshot) -> State:
    """Look again when waiting becomes overdue."""
    if state.reason.severity is not Severity.WAITING or _is_overdue(state.reason, s):
        return state
    left = max(0.1, _deadline(s) - s.waited)
    return replace(state, again=left if state.again is None else min(state.again, left))


def _decision(
    state: State, status: SchemaVersionStatus, wanted: Want, active: RunView | None, s: SchemaVersionSnapshot
) -> Decision:
    now = rfc3339(s.now)
    wishes = kstatus(state.reason, state.message, overdue=_is_overdue(state.reason, s))
    if (spec := s.fact.spec) is not None:
        waiting = active is None and isinstance(wanted, Ready) and approval.is_waiting(status.plan, wanted.input, spec)
        wishes.append(approval.wish(state.reason, status.plan, spec, s.fact.namespace, waiting=waiting))
        if (drifted := drift.wish(spec, status.drift)) is not None:
            wishes.append(drifted)
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
        changes |= run_fields(status, active, now)
    made = status.model_copy(update=changes)
    # What is about to change anyway is not worth a write; but what a run ended with is, before anything else.
    fleeting = (state.quiet or state.start is not None) and status == s.before
    news = s.before.state != state.reason.value and state.reason.severity is not Severity.PROGRESS
    return Decision(
        reason=state.reason,
        message=state.message,
        status=None if fleeting else made,
        stop=state.stop,
        start=state.start if fleeting else None,
        retire=() if fleeting else _retire(made, s),
        again=0.0 if state.start is not None and not fleeting else state.again,
        announce=news and not fleeting,
    )


def _retire(made: SchemaVersionStatus, s: SchemaVersionSnapshot) -> tuple[JobFact, ...]:
    """Return the Jobs that may go: their result is on the status, and nobody is told to read their log."""
    shown = set()
    plan, run = made.plan, made.run
    if plan is not None:
        same = run is not None and RunInput.parse(run.input).same_work(RunInput.parse(plan.input))
        if run is None or run.mode == "Plan" or run.outcome != "Done" or not same:
            shown.add(plan.job)
    if made.drift is not None and made.drift.drifted:
        shown.add(made.drift.job)
    ended = [view.job for view in s.runs if not _is_open(view) and (_is_check(view) or is_recorded(made, view))]
    return tuple(job for job in ended if job.ttl is None and job.name not in shown)


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
