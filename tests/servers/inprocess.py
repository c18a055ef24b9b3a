"""The runner's run in this process: what a pod does, without the start of a process for each."""

import io
import json
import os
from contextlib import closing
from dataclasses import dataclass, field

from lockstep.engines import load
from lockstep.engines.base import Files, Identity, Target, Task
from lockstep.engines.control import Control
from lockstep.planning.result import Result
from lockstep.planning.wire import Order
from lockstep.runner.files import check_order
from lockstep.runner.flow import Run
from lockstep.runner.report import Report
from servers.postgres import Database


@dataclass
class Done:
    """How a run ended, and what it logged."""

    result: Result
    text: str = field(repr=False)

    def events(self, name: str) -> list[dict[str, object]]:
        """Return the lines of one event."""
        lines: list[dict[str, object]] = [json.loads(line) for line in self.text.splitlines()]
        return [line for line in lines if line.get("event") == name]


def take(database: Database, wanted: Order, pod: str = "orders-abc-x1") -> Done:
    """Run an order on a database.

    Raises:
        RunError: if the order makes no sense.
    """
    check_order(wanted)
    task = Task(wanted, Target("postgresql", database.params), Files(), Identity(pod, wanted.job, 1, wanted.owner))
    out = io.StringIO()
    with closing(Control(wanted.limits.deadline_ms / 1000)) as control:
        result = Run(task, load("postgresql"), control, Report(os.devnull, out)).run()
    return Done(result, out.getvalue())
