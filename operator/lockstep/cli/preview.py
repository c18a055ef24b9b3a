"""Plans made from files alone: what the releases before have left is reckoned, not asked for."""

import json
from collections.abc import Sequence

from msgspec import Struct

from lockstep.cli import documents
from lockstep.planning.plan import Candidate, History, Plan, Refusal
from lockstep.planning.planner import Intent, make_plan
from lockstep.planning.simulation import carry_out
from lockstep.planning.version import Version, parse_target


class RefusedError(Exception):
    """There is no plan; the message is what the resource would say."""


class Asked(Struct, frozen=True):
    """What is asked for, beside the files."""

    line: str | None = None
    target: str = "latest"
    start: str | None = None
    after: tuple[str, ...] = ()
    """Places of earlier releases, each taken to its latest version before the next."""
    baseline: str | None = None
    allow_out_of_order: bool = False


def make(places: Sequence[str], asked: Asked) -> Plan:
    """Plan the way to the target.

    Raises:
        DocumentError: if files cannot be used.
        InvalidVersionError: if a version is none.
        RefusedError: if there is no way.
    """
    line, now = documents.candidates(documents.read(places), asked.line)
    baseline = None if asked.baseline is None else Version.parse(asked.baseline)
    history = History(fresh=True, occupied=baseline is not None)
    for place in asked.after:
        _, then = documents.candidates(documents.read([place]), line)
        history = carry_out(history, _plan(line, history, then, Intent(None, baseline=baseline)))
    if asked.start is not None:
        there = Intent(parse_target(asked.start), baseline=baseline)
        history = carry_out(history, _plan(line, history, now, there))
    wanted = Intent(parse_target(asked.target), allow_out_of_order=asked.allow_out_of_order, baseline=baseline)
    return _plan(line, history, now, wanted)


def _plan(line: str, history: History, candidates: Sequence[Candidate], intent: Intent) -> Plan:
    made = make_plan(line, history, candidates, intent)
    if isinstance(made, Refusal):
        raise RefusedError(f"{made.reason.value}: {made.message}")
    return made


def as_text(plan: Plan) -> str:
    """Return a plan for people."""
    steps = "".join(f"  {number}. {step.label}\n" for number, step in enumerate(plan.steps, start=1))
    return (
        f"{plan.line}: {plan.start} -> {plan.end}, {plan.direction.lower()}, {len(plan.steps)} step(s)\n{steps}"
        f"hash {plan.hash}"
    )


def as_json(plan: Plan) -> str:
    """Return a plan for programs."""
    document = {
        "line": plan.line,
        "from": str(plan.start),
        "to": str(plan.end),
        "direction": plan.direction,
        "steps": [step.label for step in plan.steps],
        "hash": plan.hash,
    }
    return json.dumps(document, indent=2)
