"""A run from order to result: connect, lock, read the ledger, plan, act; over again if the session is lost."""

import random
import time
from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from typing import Final

from msgspec.structs import replace

from lockstep.api.reasons import Reason
from lockstep.engines.base import (
    Action,
    ConnectionLostError,
    Engine,
    LedgerState,
    Recorded,
    RunError,
    Script,
    Session,
    Task,
)
from lockstep.engines.control import Control
from lockstep.planning.plan import Plan
from lockstep.planning.result import (
    ErrorDetail,
    Progress,
    Result,
    StepDone,
)
from lockstep.planning.wire import Mode
from lockstep.runner import endings, repairs
from lockstep.runner.actions import Actions, recorded_only
from lockstep.runner.drifting import SETTLE_SECONDS, DriftReport
from lockstep.runner.judge import needs_approval, plan_of, summary_of
from lockstep.runner.report import Report
from lockstep.runner.state import State, done

LOCK_SECONDS: Final = 5.0
"""How long to wait for another run's lock before giving way to a later attempt."""
LOCK_SECONDS_AFTER_LOSS: Final = 40.0
"""The same after this run's own session was lost: the server needs a while to notice."""
SESSIONS: Final = 5
"""How many sessions one run may use up."""
RECONNECT_SECONDS: Final = 1.0
KEPT: Final = 2 << 20
"""Bytes, as far as one can tell, of scripts that are kept from the look at all to their turn; others are read again."""
PER_STATEMENT: Final = 1024
"""Bytes that a script takes beside its text, for each statement."""


class Run:
    """One run."""

    def __init__(self, task: Task, engine: Engine, control: Control, report: Report) -> None:
        self._task = task
        self._order = task.order
        self._engine = engine
        self._control = control
        self._report = report
        self._state = State()
        self._drift = DriftReport(self._order.drift, control, report)

    def run(self) -> Result:
        """Do it; every end is a result."""
        lost = 0
        while True:
            try:
                return self._session(LOCK_SECONDS if lost == 0 else LOCK_SECONDS_AFTER_LOSS)
            except ConnectionLostError:
                lost += 1
                doing = self._state.doing[0] if self._state.doing else None
                label = None if doing is None else doing.label
                self._report.log("connection_lost", level="warning", session=lost, step=label)
                if (stop := self._control.stop) is not None:
                    return self._failed(endings.stopped_and_lost(stop, doing))
                if lost >= SESSIONS:
                    return self._failed(endings.connection_lost(lost, doing))
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
            self._drift.look(session)
            plan = self._plan(session, ledger)
            if needs_approval(plan, ledger.history, self._order.policy):
                return self._unapproved(session, ledger, plan)
            self._drift.require_none(plan)
            return self._carry_out(session, plan)
        finally:
            session.close()

    def _enter(self, ledger: LedgerState) -> None:
        """Note what the ledger says, also of the step that was under way when a session was lost."""
        state = self._state
        state.entered = True
        lost = state.reconcile(ledger.history)
        self._note(ledger)
        if lost:
            # The server has crashed before they were on the disk; they are done once more.
            self._report.log("steps_lost", level="warning", steps=lost)
        sequence = ledger.mark.sequence if ledger.mark is not None else 0
        self._report.log(
            "locked", line=self._order.line, version=str(state.version), sequence=sequence, holder=self._pod
        )

    def _note(self, ledger: LedgerState) -> None:
        state = self._state
        state.applied = {each.version for each in ledger.history.applied}
        # With the claim's commit all before it is on the disk.
        state.hardened(ledger.mark)
        if ledger.recent and not state.taken and not state.touched:
            state.recent = ledger.recent
        if ledger.repaired and self._order.repair is not None:
            state.repaired = self._order.repair.token

    def _repair(self, session: Session, ledger: LedgerState) -> bool:
        """Do the person's act, unless it has been done; tell whether versions are other ones now."""
        order = self._order.repair
        if order is None or ledger.repaired:
            return False
        if order.action == "AcceptDrift":
            self._drift.accept(session, order.confirm)
        action = repairs.subject(order, ledger.history, self._order)
        recorded = session.repair(order, action)
        self._state.hardened(recorded.mark)
        self._state.repaired = order.token
        self._state.add(done(action, 0, recorded.at))
        self._report.log("repaired", action=order.action, token=order.token, version=order.version)
        return order.action in repairs.OF_VERSIONS

    def _plan(self, session: Session, ledger: LedgerState) -> Plan:
        plan = plan_of(self._order, ledger.history, session)
        self._state.total = self._state.taken + len(plan.corrections) + len(plan.steps)
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
        self._show(session, plan)
        self._drift.look(session)
        result = self._result(
            Reason.PLANNED, f"{len(plan.steps)} step(s) {plan.direction.lower()} from {plan.start} to {plan.end}"
        )
        return replace(result, plan=summary_of(plan, ledger.history, self._order.policy))

    def _show(self, session: Session, plan: Plan) -> None:
        """Write the SQL of every step into the log, to be read before it is approved."""
        for number, action in enumerate(Actions(plan.steps, self._order, session), start=1):
            script = self._engine.script(action)
            self._report.log("step", number=number, step=action.step.label, statements=script.statements)
            # What Data and Seed hold may be anybody's data: their texts are read on the Migrations.
            text = action.text if action.migration.kind == "Schema" else f"(the text of a {action.migration.kind} step)"
            self._report.log("sql", number=number, sql=text)

    def _unapproved(self, session: Session, ledger: LedgerState, plan: Plan) -> Result:
        self._show(session, plan)
        summary = summary_of(plan, ledger.history, self._order.policy)
        message = (
            f"{summary.count} step(s) {plan.direction.lower()} from {plan.start} to {plan.end} wait for approval: "
            f"{summary.hash} is not in spec.approvedPlans"
        )
        return replace(self._failed(RunError(Reason.APPROVAL_REQUIRED, message)), plan=summary)

    def _check(self, session: Session) -> Result:
        self._drift.look(session)
        said = self._drift.summary
        return self._result(Reason.CHECKED, said.message if said is not None else "spec.drift is Ignore")

    def _carry_out(self, session: Session, plan: Plan) -> Result:
        only, rest = recorded_only(plan)
        actions = Actions(rest, self._order, session)
        steps = self._scripted(actions, self._read(actions))
        try:
            if only:
                self._record(session, Actions(only, self._order, session))
            is_sent = False
            for step, following in pairwise(chain(steps, [None])):
                assert step is not None  # noqa: S101 - only the last one is behind all
                if not is_sent and (stop := self._control.stop) is not None:
                    why = "the run was asked to stop" if stop is Reason.INTERRUPTED else "its deadline came"
                    raise RunError(stop, why)
                is_sent = self._one(session, step, following)
        except RunError as error:
            self._finish(session, error)
            raise
        self._finish(session, None)
        self._progress("Running")
        state = self._state
        words = [f"{state.taken} step(s) applied"] if state.taken else []
        words.append(f"line {self._order.line!r} is at version {state.version}")
        if state.lost:
            words.append(f"{state.lost} step(s) were lost in a crash of the server, and done once more")
        return self._result(Reason.UP_TO_DATE, "; ".join(words))

    def _finish(self, session: Session, error: RunError | None) -> None:
        """See that what was done outlives a crash, and take what it has changed for what shall be.

        Args:
            session: the run's; one that is lost leaves both to the next run.
            error: why the run ends before its plan does.
        """
        if not self._state.touched:
            return
        is_blocked = error is not None and error.reason in {Reason.LOCK_TIMEOUT, Reason.LOCK_HELD}
        try:
            with self._control.grace(SETTLE_SECONDS, at_most=is_blocked):
                session.harden()
        except RunError as why:
            if error is None:
                raise
            self._report.log("not_hardened", level="warning", reason=why.reason.value, message=why.message)
        else:
            self._state.hardened(self._state.last)
        self._drift.settle(session, is_blocked=is_blocked)

    def _read(self, actions: Sequence[Action]) -> dict[int, Script]:
        """See that all of them may run, before the first does; return the scripts that are kept, by their place."""
        kept: dict[int, Script] = {}
        held = 0
        errors: list[RunError] = []
        for place, action in enumerate(actions):
            try:
                script = self._engine.script(action)
            except RunError as error:
                # Files of another tool have the same thing in many of them: all are named at once.
                self._report.log("refused", level="error", message=error.message)
                errors.append(error)
                continue
            room = len(action.text) + PER_STATEMENT * script.statements
            if held + room <= KEPT:
                held += room
                kept[place] = script
        if errors:
            raise endings.refused(errors)
        return kept

    def _scripted(self, actions: Sequence[Action], kept: dict[int, Script]) -> Iterator[tuple[Action, Script]]:
        """Read the others again, each when its turn comes, and let go of what is done: memory stays flat."""
        for place, action in enumerate(actions):
            yield action, kept.pop(place) if place in kept else self._engine.script(action)

    def _record(self, session: Session, actions: Sequence[Action]) -> None:
        """Record what is not run, in one commit."""
        self._state.touched = True
        for action, recorded in zip(actions, session.record(actions), strict=True):
            self._took(action, recorded, done(action, 0, recorded.at))

    def _one(self, session: Session, step: tuple[Action, Script], following: tuple[Action, Script] | None) -> bool:
        """Run a step; tell whether the following one is on its way already."""
        action, script = step
        version = action.migration.version
        self._progress("Running", version=version)
        began = time.monotonic()
        self._state.doing = (action,) if following is None else (action, following[0])
        self._state.touched = True
        try:
            recorded = session.apply(
                action, script, lambda what: self._progress("WaitingForRetry", what, version=version), following
            )
        except RunError:
            # How they ended is known.
            self._state.doing = ()
            raise
        self._state.doing = self._state.doing[1:] if recorded.next_is_sent else ()
        ms = int((time.monotonic() - began) * 1000)
        self._took(action, recorded, done(action, ms, recorded.at), script.statements)
        return recorded.next_is_sent

    def _took(self, action: Action, recorded: Recorded, step: StepDone, statements: int = 0) -> None:
        self._state.took(action, recorded, step)
        self._report.log(
            "applied",
            name=action.migration.name,
            version=action.migration.version,
            direction=action.step.direction.value,
            statements=statements,
            rows=recorded.rows,
            ms=step.ms,
            sequence=recorded.mark.sequence,
        )

    @property
    def _pod(self) -> str:
        return self._task.identity.pod

    def _progress(self, state: str, message: str = "", version: str | None = None) -> None:
        self._report.progress(Progress(self._state.taken, self._state.total, version, state, message))

    def _failed(self, error: RunError) -> Result:
        self._state.give_up()
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
            applied=state.taken,
            pending=max(0, state.total - state.taken),
            holder=holder or (self._pod if state.entered else None),
            error=error,
            ledger=state.mark,
            drift=self._drift.summary,
            repaired=state.repaired,
            steps=(*state.recent, *state.steps),
        )
