"""What an order leads to: its plan, and whether somebody must approve it first."""

import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from lockstep.engines.base import RunError, Session
from lockstep.planning.adoption import Adopted, adopt
from lockstep.planning.checksum import ABSENT
from lockstep.planning.consent import approved_by
from lockstep.planning.plan import Applied, Candidate, History, Plan, Refusal
from lockstep.planning.planner import Intent, make_plan
from lockstep.planning.result import ErrorDetail, PlanSummary
from lockstep.planning.version import Version, parse_target
from lockstep.planning.wire import Order, OrderedMigration, Policy

STEPS_SHOWN: Final = 50
"""Steps that a summary names; the log names all."""


def candidate(migration: OrderedMigration, applied: Mapping[Version, Applied] = MappingProxyType({})) -> Candidate:
    """Return a migration as the planner sees it.

    Args:
        migration: one of the order.
        applied: what the ledger has; its words are taken where they are the same, since there may be thousands.
    """
    version = None if migration.version is None else Version.parse(migration.version)
    name, up, down = migration.name, migration.up_checksum, migration.down_checksum or ABSENT
    if version is not None and (known := applied.get(version)) is not None:
        version = known.version if known.version.text == version.text else version
        name, up, down = map(_same, (name, up, down), (known.name, known.up_checksum, known.down_checksum))
    return Candidate(name, version, up, down, migration.irreversible, sys.intern(migration.kind), migration.adopts)


def _same(mine: str, theirs: str) -> str:
    return theirs if mine == theirs else mine


def plan_of(order: Order, history: History, session: Session) -> Plan:
    """Plan what an order asks for.

    Raises:
        RunError: if there is no way.
    """
    applied = {each.version: each for each in history.applied}
    candidates = [candidate(each, applied) for each in order.migrations]
    del applied
    intent = Intent(
        target=parse_target(order.target),
        allow_out_of_order=order.policy.out_of_order == "Allow",
        rollback=order.policy.rollback,
        baseline=None if order.baseline is None else Version.parse(order.baseline),
        adopted=_adopted(order, history, candidates, session),
    )
    plan = make_plan(order.line, history, candidates, intent)
    if isinstance(plan, Refusal):
        raise _refused(plan)
    return plan


def _adopted(
    order: Order, history: History, candidates: Sequence[Candidate], session: Session
) -> tuple[Adopted, ...] | None:
    """Read the other tool's history, once in the life of a line; an empty database has none, and runs everything."""
    if order.adopt is None or not history.fresh or not history.occupied:
        return None
    rows, cumulative = session.foreign()
    found = adopt(order.line, order.adopt.history, rows, candidates, cumulative=cumulative)
    if isinstance(found, Refusal):
        raise _refused(found)
    return found


def _refused(refusal: Refusal) -> RunError:
    version = None if refusal.version is None else str(refusal.version)
    return RunError(refusal.reason, refusal.message, error=ErrorDetail(version) if version else None)


def needs_approval(plan: Plan, history: History, policy: Policy) -> bool:
    """Tell whether a plan waits for a person. Pure."""
    asked = policy.rollback == "Approve" if plan.direction == "Down" else policy.approval == "Manual"
    return asked and bool(plan.steps) and approved_by(plan, history, policy.approved_plans) is None


def summary_of(plan: Plan, history: History, policy: Policy) -> PlanSummary:
    """Return a plan for people, under the hash that approves it, if it is approved. Pure."""
    steps = tuple(step.label for step in plan.steps[:STEPS_SHOWN])
    name = approved_by(plan, history, policy.approved_plans) or plan.hash
    return PlanSummary(name, plan.direction, len(plan.steps), steps)
