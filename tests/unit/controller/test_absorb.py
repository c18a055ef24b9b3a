"""Which ends of Jobs the status already has."""

import pytest

from lockstep.api.schemaversion import Run, SchemaVersionStatus
from lockstep.controller.decide.absorb import is_recorded
from lockstep.controller.facts import JobFact
from support.controller import a_job, a_run

INPUT = "base-members-policy-execution"
OTHER = "other-members-policy-execution"
MAY_GO = {"ttlSecondsAfterFinished": 600}
NOW, BEFORE = "2026-07-01T12:00:01Z", "2026-07-01T12:00:00Z"


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        pytest.param(a_job("j", INPUT, 1, created=NOW, mode="plan"), True, id="the-plan-that-the-run-carries-out"),
        pytest.param(a_job("j", INPUT, 2, created=NOW, mode="plan"), False, id="a-plan-made-after-it"),
        pytest.param(a_job("j", OTHER, 1, created=NOW, mode="plan"), False, id="a-plan-of-something-else"),
        pytest.param(a_job("j", INPUT, 1, created=NOW), False, id="another-run"),
        pytest.param(a_job("j", OTHER, 1, created=NOW, spec=MAY_GO), True, id="another-run-that-may-go"),
        pytest.param(a_job("j", OTHER, 1, created=BEFORE), True, id="an-older-run"),
    ],
)
def test_jobs_of_one_second(job: JobFact, expected: bool) -> None:
    """The API server's clock shows no less than a second."""
    run = Run(job="orders-1", mode="Run", attempt=1, failures=0, input=INPUT, started_at=NOW, outcome="Person")
    assert is_recorded(SchemaVersionStatus(run=run), a_run(job)) is expected
