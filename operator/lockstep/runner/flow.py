"""A run from order to result: connect, lock, read the ledger, plan, apply; over again if the session is lost."""

import random
import time
from dataclasses import dataclass, field, replace
from typing import Final

from lockstep.api.reasons import Reason
from lockstep.engines.base import (
    ConnectionLostError,
    Engine,
    LedgerState,
    RunError,
    Script,
    Session,
    Task,
)
from lockstep.engines.control import Control
from lockstep.planning.plan import Applied, Candidate, Direction, Plan, Refusal, current, make_plan
from lockstep.planning.version import Version, parse_target
from lockstep.planning.wire import ErrorDetail, LedgerMark, OrderedMigration, Progress, Result, StepDone
from lockstep.runner.report import Report

LOCK_SECONDS: Final = 5.0
"""How long to wait for another run's lock before giving way to a later attempt."""
LOCK_SECONDS_AFTER_LOSS: Final = 40.0
"""The same after this run's own session was lost: the server needs a while to notice."""
SESSIONS: Final = 5
"""How many sessions one run may use up."""
RECONNECT_SECONDS: Final = 1.0


@dataclass
class State:
    """What is known of the run so far, kept across lost sessions."""

    total: int = 0
    done: int = 0
    version: Version | None = None
    mark: LedgerMark | None = None
    entered: bool = False
    doing: StepDone | None = None
    """The step whose end is not known, if the session is lost now."""
    steps: list[StepDone] = field(default_factory=list)


class Run:
    """One run."""

    def __init__(self, task: Task, engine: Engine, control: Control, report: Report) -> None:
        self._task = task
        self._order = order = task.order
        self._engine = engine
        self._control = control
        self._report = report
        self._state = State()
        self._candidates = [_candidate(each) for each in order.migrations]
        self._by_name = {each.name: each for each in order.migrations}

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
            self._progress("WaitingForLock")
            session.lock(lock_seconds)
            self._progress("Planning")
            ledger = session.enter()
            self._enter(ledger)
            plan = self._plan(ledger)
            return self._apply(session, plan)
        finally:
            session.close()

    def _enter(self, ledger: LedgerState) -> None:
        """Note what the ledger says, also of the step that was under way when a session was lost."""
        state = self._state
        state.entered = True
        state.version = current(ledger.applied)
        state.mark = ledger.mark
        if (doing := state.doing) is not None and _holds(ledger, doing, self._by_name[doing.name]):
            state.steps.append(doing)
        state.doing = None
        self._report.log(
            "locked", line=self._order.line, version=str(state.version), sequence=ledger.mark.sequence, holder=self._pod
        )

    def _plan(self, ledger: LedgerState) -> Plan:
        plan = make_plan(
            self._order.line,
            ledger.applied,
            ledger.repeated,
            self._candidates,
            parse_target(self._order.target),
            allow_out_of_order=self._order.out_of_order == "Allow",
        )
        if isinstance(plan, Refusal):
            version = None if plan.version is None else str(plan.version)
            raise RunError(plan.reason, plan.message, error=ErrorDetail(version) if version else None)
        for step in plan.steps:
            if self._by_name[step.candidate.name].up is None:
                raise RunError(
                    Reason.LEDGER_BEHIND,
                    f"the status says that {step.candidate.version or step.candidate.name} is applied, the ledger does "
                    "not have it: the database was restored or replaced; nothing is run again: restore what is "
                    "missing, or delete and create the SchemaVersion to go on from what the database has",
                )
        self._state.total = len(self._state.steps) + len(plan.steps)
        self._report.log("planned", start=str(plan.start), end=str(plan.end), steps=len(plan.steps), plan=plan.hash)
        return plan

    def _apply(self, session: Session, plan: Plan) -> Result:
        # All of them before the first is run.
        work = [(step, self._by_name[step.candidate.name]) for step in plan.steps]
        scripts = [self._engine.script(migration) for _, migration in work]
        for (step, migration), script in zip(work, scripts, strict=True):
            if (stop := self._control.stop) is not None:
                raise RunError(stop, "the run was asked to stop" if stop is Reason.INTERRUPTED else "its deadline came")
            self._one(session, migration, script, step.direction)
            if step.candidate.version is not None and self._state.version is not None:
                self._state.version = max(self._state.version, step.candidate.version)
        self._progress("Running")
        taken = len(self._state.steps)
        if not taken:
            return self._result(Reason.UP_TO_DATE, f"line {self._order.line!r} is at version {self._state.version}")
        return self._result(
            Reason.UP_TO_DATE, f"{taken} step(s) applied; line {self._order.line!r} is at version {self._state.version}"
        )

    def _one(self, session: Session, migration: OrderedMigration, script: Script, direction: Direction) -> None:
        state = self._state
        self._progress("Running", version=migration.version)
        began = time.monotonic()
        state.doing = StepDone(migration.name, migration.version, direction.value, 0, "")
        recorded = session.apply(
            migration, script, lambda what: self._progress("WaitingForRetry", what, version=migration.version)
        )
        state.doing = None
        ms = int((time.monotonic() - began) * 1000)
        state.mark = recorded.mark
        state.steps.append(StepDone(migration.name, migration.version, direction.value, ms, recorded.at))
        self._report.log(
            "applied",
            name=migration.name,
            version=migration.version,
            direction=direction.value,
            statements=script.statements,
            ms=ms,
            sequence=recorded.mark.sequence,
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
            steps=tuple(state.steps),
        )


def _candidate(migration: OrderedMigration) -> Candidate:
    version = None if migration.version is None else Version.parse(migration.version)
    return Candidate(migration.name, version, migration.up_checksum, migration.down_checksum or "-")


def _holds(ledger: LedgerState, step: StepDone, migration: OrderedMigration) -> bool:
    """Tell whether a step whose end was not learnt has been committed: the ledger, under the lock, decides."""
    if step.version is None:
        return ledger.repeated.get(step.name) == migration.up_checksum
    version = Version.parse(step.version)
    return any(_same(each, version, step.name) for each in ledger.applied)


def _same(applied: Applied, version: Version, name: str) -> bool:
    return applied.version == version and applied.name == name
