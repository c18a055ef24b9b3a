"""Plans that somebody must approve: when one is needed, which one counts, and what to say of it."""

from lockstep.api.reasons import Reason
from lockstep.api.schemaversion import Plan, SchemaVersionSpec, SchemaVersionStatus
from lockstep.controller.decide import repair
from lockstep.controller.decide.rollback import goes_down
from lockstep.controller.facts import SchemaVersionFact
from lockstep.controller.inputs import RunInput
from lockstep.controller.status import Wish, clip
from lockstep.planning.result import PlanSummary
from lockstep.planning.wire import Mode

STEP_CHARACTERS: int = 512
STEPS: int = 100
"""Steps of a plan that the status shows; the log of its Job has them all."""


def is_needed(fact: SchemaVersionFact, spec: SchemaVersionSpec) -> bool:
    """Tell whether the way to the target must be approved, as far as is known here: the runner asks the ledger."""
    return spec.rollback == "Approve" if goes_down(fact) else spec.approval == "Manual"


def current(plan: Plan | None, wanted: RunInput) -> Plan | None:
    """Return the plan if it is one for this very input; another set, target or policy makes it void."""
    return plan if plan is not None and RunInput.parse(plan.input).same_work(wanted) else None


def is_approved(plan: Plan, spec: SchemaVersionSpec) -> bool:
    """Tell whether a plan may run: a plan without steps needs nobody's consent."""
    return plan.count == 0 or plan.hash in spec.approved_plans


def is_waiting(plan: Plan | None, wanted: RunInput, spec: SchemaVersionSpec | None) -> bool:
    """Tell whether there is a plan for this input that somebody has to approve."""
    found = current(plan, wanted)
    return found is not None and spec is not None and not is_approved(found, spec)


def mode_of(
    status: SchemaVersionStatus, fact: SchemaVersionFact, spec: SchemaVersionSpec, wanted: RunInput, *, ask: bool
) -> Mode | None:
    """Return what kind of Job comes next; None: somebody has to approve the plan first.

    Args:
        status: as it will be written.
        fact: the SchemaVersion.
        spec: what it asks for.
        wanted: the input of the run.
        ask: whether only the ledger can say if there is a way at all.
    """
    if repair.pending(fact) is not None:
        # The act itself is what is asked for; the runner refuses what comes after it, if nobody approved it.
        return Mode.RUN
    run, plan = status.run, current(status.plan, wanted)
    refused = run is not None and run.reason == Reason.APPROVAL_REQUIRED and RunInput.parse(run.input).same_work(wanted)
    if not (ask or refused or is_needed(fact, spec)):
        return Mode.RUN
    if plan is None:
        return Mode.PLAN
    return Mode.RUN if is_approved(plan, spec) else None


def made_plan(summary: PlanSummary | None, job: str, run_input: str) -> Plan:
    """Return the plan as the status shows it; one without steps, where a run that should make one made none."""
    if summary is None:
        return Plan(job=job, input=run_input)
    return Plan(
        hash=summary.hash,
        job=job,
        input=run_input,
        count=summary.count,
        direction="Down" if summary.direction == "Down" else "Up",
        steps=[clip(each, STEP_CHARACTERS) for each in summary.steps[:STEPS]],
    )


def message(plan: Plan, namespace: str) -> str:
    """Say what waits for approval, and how to read and approve it."""
    return (
        f"plan {plan.hash} ({plan.direction}, {plan.count} step(s)) waits for approval: read its SQL with "
        f"`kubectl logs -n {namespace} job/{plan.job}`, then add the hash to spec.approvedPlans"
    )


def wish(reason: Reason, plan: Plan | None, spec: SchemaVersionSpec, namespace: str, *, waiting: bool) -> Wish:
    """Return the condition ApprovalRequired.

    Args:
        reason: the state's.
        plan: the plan that the status shows.
        spec: what is asked for.
        namespace: of the SchemaVersion.
        waiting: whether the plan is what everything waits for.
    """
    if waiting and plan is not None:
        return Wish("ApprovalRequired", "True", Reason.APPROVAL_REQUIRED, message(plan, namespace))
    if plan is not None and plan.count and plan.hash in spec.approved_plans:
        said = f"plan {plan.hash} ({plan.direction}, {plan.count} step(s)) is approved"
        return Wish("ApprovalRequired", "False", Reason.APPROVED, said)
    if reason is Reason.PLANNING:
        return Wish("ApprovalRequired", "Unknown", Reason.PLANNING, "the plan is being made")
    return Wish("ApprovalRequired", "False", Reason.NOT_REQUIRED, "nothing waits for approval")
