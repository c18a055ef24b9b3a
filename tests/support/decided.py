"""SchemaVersions on which the operator decides: the tests' snapshots, each as the decisions before have left it."""

from typing import Any

from msgspec.structs import replace

from lockstep.api.reasons import Reason
from lockstep.controller.decide.schemaversion import decide
from lockstep.controller.decide.state import Decision
from lockstep.controller.facts import SchemaVersionFact, schema_version_fact
from lockstep.controller.inputs import RunInput
from lockstep.controller.snapshot import LineView, Member, SchemaVersionSnapshot
from lockstep.planning.result import ErrorDetail, LedgerMark, PlanSummary, Result, StepDone
from lockstep.planning.wire import Mode
from support.controller import (
    a_job,
    a_member,
    a_migration,
    a_pod,
    a_run,
    a_schema_version,
    as_status,
    ended,
    schema_version,
    snapshot,
)

ONE, TWO = a_member("one", "1"), a_member("two", "2")
DONE = Result(Reason.UP_TO_DATE, "there", version="2", applied=2, ledger=LedgerMark("u", 2, "h"))
UNREACHABLE = Result(Reason.UNREACHABLE, "cannot reach db:5432: connection refused")
FAILED = Result(
    Reason.STATEMENT_FAILED,
    'relation "x" does not exist',
    version="1",
    applied=1,
    error=ErrorDetail("2", 3, 7, "42P01"),
    steps=(StepDone("one", "1", "up", 5, "2026-07-01T11:59:30Z"),),
)
RUNNING: dict[str, Any] = {"running": {}}


def wanted_input(fact: SchemaVersionFact, *members: Member) -> RunInput:
    """Return the input that the operator would start now."""
    start = decide(snapshot(fact, *members)).start
    assert start is not None
    return start.input


def fresh(**spec: Any) -> SchemaVersionFact:
    return a_schema_version(**spec)


def after(s: SchemaVersionSnapshot) -> SchemaVersionFact:
    """Return the SchemaVersion once what is decided about it is written."""
    decision = decide(s)
    assert decision.status is not None
    raw_spec = s.fact.spec.model_dump(by_alias=True, exclude_none=True, mode="json") if s.fact.spec else {}
    raw = schema_version(s.fact.name, as_status(decision.status), s.fact.generation, s.fact.retry, **raw_spec)
    return schema_version_fact(raw)


def finished(result: Result, *members: Member, fact: SchemaVersionFact | None = None) -> SchemaVersionSnapshot:
    """Return the snapshot in which the run for what is wanted has just ended with this result."""
    fact = fact or fresh()
    members = members or (ONE, TWO)
    job = a_job("orders-x-1", str(wanted_input(fact, *members)))
    return snapshot(fact, *members, runs=(a_run(job, a_pod("p", job, ended(result))),))


def up_to_date(**spec: Any) -> SchemaVersionFact:
    return after(finished(DONE, fact=fresh(**spec)))


def failed(result: Result = UNREACHABLE) -> SchemaVersionFact:
    return after(finished(result))


def under_way(*pods: Any, **more: Any) -> SchemaVersionSnapshot:
    fact = fresh()
    job = a_job("orders-x-1", str(wanted_input(fact, ONE, TWO)), **more)
    return snapshot(fact, ONE, TWO, runs=(a_run(job, *(a_pod(f"p{i}", job, **pod) for i, pod in enumerate(pods))),))


def other_line(version: str | None, *migrations: Any) -> LineView:
    status = {"observedGeneration": 1, **({"version": version} if version else {})}
    return LineView(tuple(migrations), (a_schema_version("auth", status),))


NEEDY = a_member("needy", "1", requires=[{"schema": "auth", "version": "2"}])
NEEDED = a_migration("a2", "2", "auth")


def needing(line: LineView | None) -> SchemaVersionSnapshot:
    lines = {"orders": LineView((NEEDY.fact,), (fresh(),)), **({"auth": line} if line else {})}
    return snapshot(fresh(), NEEDY, lines=lines)


def circle() -> SchemaVersionSnapshot:
    back = a_migration("a2", "2", "auth", requires=[{"schema": "orders", "version": "1"}])
    return needing(other_line(None, back))


def stopped_by_target() -> SchemaVersionSnapshot:
    s = under_way({"state": RUNNING, "phase": "Running"})
    return replace(s, fact=fresh(version="1"))


def not_there(**spec: Any) -> SchemaVersionFact:
    """Return a SchemaVersion that is known to be at base, and asks for a version that is not there."""
    return a_schema_version(status={"observedGeneration": 1, "version": "base"}, version="3", **spec)


def lowered(**spec: Any) -> SchemaVersionSnapshot:
    """Return a SchemaVersion at version 2 that asks for 1."""
    return snapshot(replace(up_to_date(), spec=fresh(version="1", **spec).spec), ONE, TWO)


def requiring(version: str, has: str = "1") -> LineView:
    """Return another line that requires a version of this one, and what its database has."""
    needs = a_migration("a1", "1", "auth", requires=[{"schema": "orders", "version": version}])
    return LineView((needs,), (a_schema_version("auth", {"observedGeneration": 1, "version": has}),))


def plan_job(s: SchemaVersionSnapshot) -> Any:
    start = decide(s).start
    assert start is not None
    assert start.mode is Mode.PLAN
    return a_job("orders-plan-x-1", str(start.input), target="1", mode="plan", created="2026-07-01T12:00:00Z")


def planning() -> SchemaVersionSnapshot:
    s = lowered()
    job = plan_job(s)
    return replace(s, runs=(a_run(job, a_pod("p", job, RUNNING)),))


def planned() -> SchemaVersionSnapshot:
    s = lowered()
    job = plan_job(s)
    plan = PlanSummary("sha256:" + "a" * 64, "Down", 1, ("down 2 (two)",))
    result = Result(Reason.PLANNED, "1 step(s) down", "2", plan=plan)
    return replace(s, runs=(a_run(job, a_pod("p", job, ended(result))),))


def written(s: SchemaVersionSnapshot, decision: Decision) -> dict[str, Any]:
    assert decision.status is not None
    return as_status(decision.status)
