"""A run from order to result: connect, lock, read the ledger, plan, act; over again if the session is lost."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from lockstep.api.reasons import Reason
from lockstep.engines.base import (
    Action,
    ConnectionLostError,
    Engine,
    LedgerState,
    RunError,
    Script,
    Session,
    Task,
)
from lockstep.engines.control import Control
from lockstep.planning.checksum import ABSENT
from lockstep.planning.drift import Drift
from lockstep.planning.plan import Direction, History, Plan
from lockstep.planning.result import (
    DriftSummary,
    ErrorDetail,
    LedgerMark,
    Progress,
    Result,
    StepDone,
)
from lockstep.planning.version import BASE, Version
from lockstep.planning.wire import Mode
from lockstep.runner import repairs
from lockstep.runner.actions import recorded_only, to_actions
from lockstep.runner.judge import needs_approval, plan_of, summary_of
from lockstep.runner.report import Report

LOCK_SECONDS: Final = 5.0
"""How long to wait for another run's lock before giving way to a later attempt."""
LOCK_SECONDS_AFTER_LOSS: Final = 40.0
"""The same after this run's own session was lost: the server needs a while to notice."""
SESSIONS: Final = 5
"""How many sessions one run may use up."""
RECONNECT_SECONDS: Final = 1.0
DRIFT_NAMED: Final = 1_000
"""Objects that the log names."""
SETTLE_SECONDS: Final = 10.0
"""How long a run that must stop may still take to say what it has changed: a third of the pod's grace period."""


@dataclass
class State:
    """What is known of the run so far, kept across lost sessions."""

    total: int = 0
    applied: set[Version] | None = None
    """The line's versions in the database; None: not learnt yet."""
    mark: LedgerMark | None = None
    entered: bool = False
    doing: Action | None = None
    """The step whose end is not known, if the session is lost now."""
    touched: bool = False
    """Whether this run may have changed the database: by a part of a step, too."""
    steps: list[StepDone] = field(default_factory=list)
    """Steps that this run took."""
    recent: tuple[StepDone, ...] = ()
    """Steps of earlier runs, where the status knows none."""
    drift: DriftSummary | None = None
    repaired: str | None = None

    @property
    def version(self) -> Version | None:
        """The line's version."""
        return None if self.applied is None else max(self.applied, default=BASE)


class Run:
    """One run."""

    def __init__(self, task: Task, engine: Engine, control: Control, report: Report) -> None:
        self._task = task
        self._order = task.order
        self._engine = engine
        self._control = control
        self._report = report
        self._state = State()

    def run(self) -> Result:
        """Do it; every end is a result."""
        lost = 0
        while True:
            try:
                return self._session(LOCK_SECONDS if lost == 0 else LOCK_SECONDS_AFTER_LOSS)
            except ConnectionLostError:
                lost += 1
                self._report.log("connection_lost", level="warning", session=lost)
                if (stop := self._control.stop) is not None:
                    return self._failed(RunError(stop, "the run was stopped, and its connection is gone"))
                if lost >= SESSIONS:
                    text = f"the connection was lost {lost} times; what is in the ledger is true, the rest is not there"
                    return self._failed(RunError(Reason.CONNECTION_LOST, text))
                self._progress("Connecting", "the connection was lost")
                self._remember()
                self._control.pause(RECONNECT_SECONDS * lost * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
            except RunError as error:
                if lost and error.reason is Reason.UNREACHABLE and lost < SESSIONS and self._control.stop is None:
                    # A database that fails over is away for a while.
                    lost += 1
                    self._control.pause(RECONNECT_SECONDS * lost * 2)
                    continue
                return self._failed(error)

    def _remember(self) -> None:
        """Hold the next session against what this one has seen: a failover may lose what had been committed."""
        if (mark := self._state.mark) is not None:
            order = replace(
                self._task.order, known_ledger=mark.uuid, known_sequence=mark.sequence, known_hash=mark.hash
            )
            self._task = replace(self._task, order=order)

    def _session(self, lock_seconds: float) -> Result:
        self._progress("Connecting")
        session = self._engine.connect(self._task, self._control, self._report.log)
        try:
            if self._order.mode is not Mode.RUN:
                self._progress("Planning")
                ledger = session.read()
                self._note(ledger)
                return self._check(session) if self._order.mode is Mode.CHECK else self._preview(session, ledger)
            self._progress("WaitingForLock")
            repair = self._order.repair
            if repair is not None and repair.action == "EndSession":
                session.end_holder(repair.confirm or "")
            session.lock(lock_seconds)
            self._progress("Planning")
            ledger = session.enter()
            self._enter(ledger)
            if self._repair(session, ledger):
                # What is true has changed.
                ledger = session.read()
                self._note(ledger)
            self._look_for_drift(session)
            plan = self._plan(session, ledger)
            if needs_approval(plan, self._order.policy):
                return self._unapproved(plan)
            self._check_drift(plan)
            return self._carry_out(session, plan)
        finally:
            session.close()

    def _enter(self, ledger: LedgerState) -> None:
        """Note what the ledger says, also of the step that was under way when a session was lost."""
        state = self._state
        state.entered = True
        self._note(ledger)
        if (doing := state.doing) is not None and _holds(ledger.history, doing):
            state.steps.append(_done(doing, 0, ""))
        state.doing = None
        sequence = ledger.mark.sequence if ledger.mark is not None else 0
        self._report.log(
            "locked", line=self._order.line, version=str(state.version), sequence=sequence, holder=self._pod
        )

    def _note(self, ledger: LedgerState) -> None:
        state = self._state
        state.applied = {each.version for each in ledger.history.applied}
        state.mark = ledger.mark
        if not state.steps:
            state.recent = ledger.recent
        if ledger.repaired and self._order.repair is not None:
            state.repaired = self._order.repair.token

    def _repair(self, session: Session, ledger: LedgerState) -> bool:
        """Do the person's act, unless it has been done; tell whether versions are other ones now."""
        order = self._order.repair
        if order is None or ledger.repaired:
            return False
        if order.action == "AcceptDrift":
            self._accept_drift(session, order.confirm)
        action = repairs.subject(order, ledger.history, self._order)
        recorded = session.repair(order, action)
        self._state.mark = recorded.mark
        self._state.repaired = order.token
        self._state.steps.append(_done(action, 0, recorded.at))
        self._report.log("repaired", action=order.action, token=order.token, version=order.version)
        return order.action in repairs.OF_VERSIONS

    def _plan(self, session: Session, ledger: LedgerState) -> Plan:
        plan = plan_of(self._order, ledger.history, session)
        self._state.total = len(self._state.steps) + len(plan.corrections) + len(plan.steps)
        self._report.log(
            "planned",
            start=str(plan.start),
            end=str(plan.end),
            direction=plan.direction,
            steps=len(plan.steps),
            plan=plan.hash,
        )
        return plan

    def _preview(self, session: Session, ledger: LedgerState) -> Result:
        """Say what a run would do, with the SQL of every step in the log."""
        plan = self._plan(session, ledger)
        actions = to_actions(plan.steps, self._order, session)
        for number, action in enumerate(actions, start=1):
            script = self._engine.script(action)
            self._report.log("step", number=number, step=action.step.label, statements=script.statements)
            # What Data and Seed hold may be anybody's data: their texts are read on the Migrations.
            text = action.text if action.migration.kind == "Schema" else f"(the text of a {action.migration.kind} step)"
            self._report.log("sql", number=number, sql=text)
        self._look_for_drift(session)
        result = self._result(
            Reason.PLANNED, f"{len(plan.steps)} step(s) {plan.direction.lower()} from {plan.start} to {plan.end}"
        )
        return replace(result, plan=summary_of(plan))

    def _unapproved(self, plan: Plan) -> Result:
        summary = summary_of(plan)
        message = (
            f"{summary.count} step(s) {plan.direction.lower()} from {plan.start} to {plan.end} wait for approval: "
            f"{summary.hash} is not in spec.approvedPlans"
        )
        return replace(self._failed(RunError(Reason.APPROVAL_REQUIRED, message)), plan=summary)

    def _check(self, session: Session) -> Result:
        self._look_for_drift(session)
        said = self._state.drift
        return self._result(Reason.CHECKED, said.message if said is not None else "spec.drift is Ignore")

    def _look_for_drift(self, session: Session) -> None:
        """Look for changes made by hand."""
        found = session.drift()
        if self._order.drift.policy == "Ignore":
            return
        drift = found.drift
        self._name_drift(found.drift)
        if found.inconclusive:
            self._state.drift = DriftSummary(None, found.inconclusive)
        elif not drift:
            self._state.drift = DriftSummary(False, "the schema is as Lockstep left it")
        else:
            self._state.drift = DriftSummary(True, f"changed by hand: {drift.describe()}", found.hash)

    def _name_drift(self, drift: Drift) -> None:
        named = [("added", n) for n in drift.added] + [("changed", n) for n in drift.changed]
        named += [("removed", n) for n in drift.removed]
        for what, name in named[:DRIFT_NAMED]:
            self._report.log("drift", level="warning", what=what, object=name)
        if len(named) > DRIFT_NAMED:
            self._report.log("drift_more", level="warning", objects=len(named) - DRIFT_NAMED)

    def _check_drift(self, plan: Plan) -> None:
        """See that nothing is built on what was changed by hand, where the policy forbids it.

        Raises:
            RunError: Drifted.
        """
        said = self._state.drift
        if plan.steps and self._order.drift.policy == "Block" and said is not None and said.drifted:
            raise RunError(
                Reason.DRIFTED,
                f"{said.message}; spec.drift is Block: undo it, or accept it with spec.repair: AcceptDrift and "
                f"confirm: {said.hash}",
            )

    def _accept_drift(self, session: Session, confirm: str | None) -> None:
        found = session.drift()
        if found.hash is not None and found.hash != confirm:
            raise RunError(
                Reason.REPAIR_REFUSED,
                f"the drift is {found.hash} now ({found.drift.describe()}), not {confirm}: look at it, then confirm it "
                "with a new token",
            )
        session.accept_drift()

    def _carry_out(self, session: Session, plan: Plan) -> Result:
        only, rest = recorded_only(plan)
        actions = to_actions(rest, self._order, session)
        # All of them are read before the first is run.
        scripts = [self._engine.script(action) for action in actions]
        try:
            if only:
                self._record(session, to_actions(only, self._order, session))
            for action, script in zip(actions, scripts, strict=True):
                if (stop := self._control.stop) is not None:
                    why = "the run was asked to stop" if stop is Reason.INTERRUPTED else "its deadline came"
                    raise RunError(stop, why)
                self._one(session, action, script)
        finally:
            self._settle_drift(session)
        self._progress("Running")
        taken = len(self._state.steps)
        at = f"line {self._order.line!r} is at version {self._state.version}"
        return self._result(Reason.UP_TO_DATE, f"{taken} step(s) applied; {at}" if taken else at)

    def _settle_drift(self, session: Session) -> None:
        """Take what this run has changed for what shall be, however the run ends; a lost session leaves it open."""
        if not self._state.touched or self._state.doing is not None:
            return
        try:
            with self._control.grace(SETTLE_SECONDS):
                session.settle_drift()
        except RunError as error:
            # What ran is recorded; the next run takes in what this one could not.
            self._report.log("drift_unsettled", level="warning", message=error.message)

    def _record(self, session: Session, actions: Sequence[Action]) -> None:
        """Record what is not run, in one commit."""
        self._state.touched = True
        for action, recorded in zip(actions, session.record(actions), strict=True):
            self._took(action, recorded.mark, _done(action, 0, recorded.at))

    def _one(self, session: Session, action: Action, script: Script) -> None:
        version = action.migration.version
        self._progress("Running", version=version)
        began = time.monotonic()
        self._state.doing, self._state.touched = action, True
        try:
            recorded = session.apply(
                action, script, lambda what: self._progress("WaitingForRetry", what, version=version)
            )
        except RunError:
            # How it ended is known.
            self._state.doing = None
            raise
        self._state.doing = None
        ms = int((time.monotonic() - began) * 1000)
        self._took(action, recorded.mark, _done(action, ms, recorded.at), script.statements)

    def _took(self, action: Action, mark: LedgerMark, done: StepDone, statements: int = 0) -> None:
        state = self._state
        state.mark = mark
        state.steps.append(done)
        version = action.step.candidate.version
        if version is not None and state.applied is not None:
            if action.step.direction is Direction.DOWN:
                state.applied.discard(version)
            else:
                state.applied.add(version)
        self._report.log(
            "applied",
            name=action.migration.name,
            version=action.migration.version,
            direction=action.step.direction.value,
            statements=statements,
            ms=done.ms,
            sequence=mark.sequence,
        )

    @property
    def _pod(self) -> str:
        return self._task.identity.pod

    def _progress(self, state: str, message: str = "", version: str | None = None) -> None:
        self._report.progress(Progress(len(self._state.steps), self._state.total, version, state, message))

    def _failed(self, error: RunError) -> Result:
        self._report.log("failed", level="error", reason=error.reason.value, message=error.message)
        return self._result(error.reason, error.message, error.holder, error.error)

    def _result(
        self, reason: Reason, message: str, holder: str | None = None, error: ErrorDetail | None = None
    ) -> Result:
        state = self._state
        return Result(
            reason,
            message,
            version=None if state.version is None else str(state.version),
            applied=len(state.steps),
            pending=max(0, state.total - len(state.steps)),
            holder=holder or (self._pod if state.entered else None),
            error=error,
            ledger=state.mark,
            drift=state.drift,
            repaired=state.repaired,
            steps=(*state.recent, *state.steps),
        )


def _done(action: Action, ms: int, at: str) -> StepDone:
    migration = action.migration
    return StepDone(migration.name, migration.version, action.step.direction.value, ms, at, migration.kind)


def _holds(history: History, doing: Action) -> bool:
    """Tell whether a step whose end was not learnt has been committed: the ledger, under the lock, decides."""
    migration, direction = doing.migration, doing.step.direction
    if migration.version is None:
        now = ABSENT if direction is Direction.DOWN else migration.up_checksum
        return any(each.name == migration.name and each.up_checksum == now for each in history.repeated)
    version = doing.step.candidate.version
    there = [each for each in history.applied if each.version == version]
    if direction is Direction.DOWN:
        # Under whatever name it was applied.
        return not there
    return any(each.name == migration.name for each in there)
