"""Drift in a run: what was changed by hand is said, may hold the run up, and may be accepted by a person."""

from typing import Final

from lockstep.api.reasons import Reason
from lockstep.engines.base import RunError, Session
from lockstep.engines.control import Control
from lockstep.planning.drift import Drift
from lockstep.planning.plan import Plan
from lockstep.planning.result import DriftSummary
from lockstep.planning.wire import DriftOrder
from lockstep.runner.report import Report

NAMED: Final = 1_000
"""Objects that the log names."""
SETTLE_SECONDS: Final = 10.0
"""How long a run that must stop, or has waited in vain, may still take to say what it has changed: a third of the pod's
grace period."""


class DriftReport:
    """What one run says of drift."""

    def __init__(self, order: DriftOrder, control: Control, report: Report) -> None:
        self._order = order
        self._control = control
        self._report = report
        self.summary: DriftSummary | None = None
        """For the result; None: nobody has looked, or shall."""

    def look(self, session: Session) -> None:
        """Look for changes made by hand."""
        found = session.drift()
        if self._order.policy == "Ignore":
            return
        self._name(found.drift)
        if found.inconclusive:
            self.summary = DriftSummary(None, found.inconclusive)
        elif not found.drift:
            self.summary = DriftSummary(False, "the schema is as Lockstep left it")
        else:
            self.summary = DriftSummary(True, f"changed by hand: {found.drift.describe()}", found.hash)

    def _name(self, drift: Drift) -> None:
        named = [("added", name) for name in drift.added] + [("changed", name) for name in drift.changed]
        named += [("removed", name) for name in drift.removed]
        for what, name in named[:NAMED]:
            self._report.log("drift", level="warning", what=what, object=name)
        if len(named) > NAMED:
            self._report.log("drift_more", level="warning", objects=len(named) - NAMED)

    def require_none(self, plan: Plan) -> None:
        """See that nothing is built on what was changed by hand, where the policy forbids it.

        Raises:
            RunError: Drifted.
        """
        said = self.summary
        if plan.steps and self._order.policy == "Block" and said is not None and said.drifted:
            raise RunError(
                Reason.DRIFTED,
                f"{said.message}; spec.drift is Block: undo it, or accept it with spec.repair: AcceptDrift and "
                f"confirm: {said.hash}",
            )

    def accept(self, session: Session, confirm: str | None) -> None:
        """Take what differs for what shall be, if it is what the person has seen.

        Raises:
            RunError: RepairRefused.
        """
        found = session.drift()
        if found.inconclusive:
            # To be tried again, but for a policy that never looks.
            reason = Reason.REPAIR_REFUSED if self._order.policy == "Ignore" else Reason.LOCK_HELD
            raise RunError(reason, f"drift cannot be accepted now: {found.inconclusive}")
        if found.hash is not None and found.hash != confirm:
            raise RunError(
                Reason.REPAIR_REFUSED,
                f"the drift is {found.hash} now ({found.drift.describe()}), not {confirm}: look at it, then confirm it "
                "with a new token",
            )
        session.accept_drift()

    def settle(self, session: Session, *, is_blocked: bool = False) -> None:
        """Take what this run has changed for what shall be, however the run ends.

        Args:
            session: the run's.
            is_blocked: whether the run ends since it has waited for a lock in vain: it may be one on the ledger, for
                which it does not wait here as long once more.
        """
        try:
            with self._control.grace(SETTLE_SECONDS, at_most=is_blocked):
                session.settle_drift()
        except RunError as error:
            # What ran is recorded; the next run takes in what this one could not.
            is_late = error.reason is Reason.DEADLINE_EXCEEDED
            why = f"it was not done within {SETTLE_SECONDS:g} s" if is_late else error.message
            self._report.log("drift_unsettled", level="warning", message=why)
