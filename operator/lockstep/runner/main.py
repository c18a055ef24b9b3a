"""The process: reads what the pod has mounted, runs, reports, and ends with the exit code of the outcome."""

import gc
import os
import signal
import socket
import sys
import traceback
from contextlib import closing

from lockstep.api.reasons import Reason
from lockstep.engines import load
from lockstep.engines.base import Identity, RunError, Task
from lockstep.engines.control import Control
from lockstep.planning.result import EXIT_CODES, Result
from lockstep.planning.wire import Order
from lockstep.runner.files import Mounts
from lockstep.runner.flow import Run
from lockstep.runner.report import Report
from lockstep.runner.secret import read_secret


def main() -> int:
    """Run, and return the exit code."""
    # The Secret alone says where the database is.
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]
    mounts = Mounts(os.environ)
    report = Report(mounts.termination_log)
    try:
        result = _run(mounts, report)
    except RunError as error:
        report.log("failed", level="error", reason=error.reason.value, message=error.message)
        result = Result(error.reason, error.message, error=error.error)
    except Exception as error:
        # Only where it happened and of what kind: a library's text may hold anything.
        places = [f"{os.path.basename(f.filename)}:{f.lineno}" for f in traceback.extract_tb(error.__traceback__)]
        report.log("defect", level="error", kind=type(error).__name__, places=places[-8:])
        result = Result(Reason.RUNNER_FAILED, f"a defect in Lockstep: {type(error).__name__} at {places[-1]}")
    report.finish(result)
    sys.stdout.flush()
    return EXIT_CODES[result.outcome]


def _run(mounts: Mounts, report: Report) -> Result:
    order = mounts.order()
    with closing(Control(order.limits.deadline_ms / 1000)) as control:
        signal.signal(signal.SIGTERM, lambda *_: control.interrupt())
        signal.signal(signal.SIGINT, lambda *_: control.interrupt())
        name, words = read_secret(mounts.secret(), order.database)
        engine = load(name)
        # All is imported: what there is now stays until the end.
        gc.freeze()
        gc.enable()
        target = engine.target(words, order.database.secret)
        report.hide(target.secrets)
        identity = _identity(order)
        report.log(
            "started", line=order.line, target=order.target, job=order.job, attempt=order.attempt, pod=identity.pod
        )
        result = Run(Task(order, target, mounts.files(), identity), engine, control, report).run()
        # A signal that comes now changes nothing any more.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return result


def _identity(order: Order) -> Identity:
    pod = os.environ.get("POD_NAME") or socket.gethostname()
    return Identity(pod, order.job, order.attempt, order.owner)
