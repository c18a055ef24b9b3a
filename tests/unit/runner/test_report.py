"""The log: one JSON line an event, nothing secret in it, progress not too often, the result last."""

import io
import json
from pathlib import Path

import pytest

from lockstep.api.reasons import Reason
from lockstep.planning.result import Progress, Result, decode_result
from lockstep.runner.report import MASK, Report


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def report(out: io.StringIO, clock: Clock, tmp_path: Path) -> Report:
    return Report(str(tmp_path / "message"), out, clock)


def lines(out: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_secrets_are_taken_out_in_every_form(report: Report, out: io.StringIO, tmp_path: Path) -> None:
    report.hide(["pass word/1", "abc"])
    report.log("x", message="pass word/1 pass%20word%2F1 abc", number=1, nothing=None)
    report.progress(Progress(0, 1, message="pass word/1"))
    report.finish(Result(Reason.RUNNER_FAILED, "with pass word/1"))
    assert "pass word/1" not in out.getvalue()
    assert lines(out)[0]["message"] == f"{MASK} {MASK} abc"
    assert "nothing" not in lines(out)[0]
    assert "pass word/1" not in (tmp_path / "message").read_text()


def test_progress_is_limited_and_the_last_is_never_lost(report: Report, out: io.StringIO, clock: Clock) -> None:
    for done in range(5):
        report.progress(Progress(done, 9))
    clock.now += 2
    report.progress(Progress(5, 9))
    report.progress(Progress(6, 9))
    report.finish(Result(Reason.UP_TO_DATE, "done"))
    assert [line["done"] for line in lines(out)[:-1]] == [0, 5, 6]


def test_the_result_is_the_last_line_and_the_message(report: Report, out: io.StringIO, tmp_path: Path) -> None:
    report.finish(Result(Reason.UP_TO_DATE, "done", version="3"))
    last = out.getvalue().splitlines()[-1]
    assert last == (tmp_path / "message").read_text()
    assert decode_result(last) == Result(Reason.UP_TO_DATE, "done", version="3")


def test_a_message_that_cannot_be_written_is_no_failure(out: io.StringIO) -> None:
    Report("/nonexistent/message", out).finish(Result(Reason.UP_TO_DATE, "done"))
    assert [line.get("event") for line in lines(out)] == ["no_termination_log", None]
