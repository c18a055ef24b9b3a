"""How runs end that cannot do what they were asked, in words for people. Pure."""

from collections.abc import Sequence

from lockstep.api.reasons import Reason
from lockstep.engines.base import Action, RunError
from lockstep.engines.refused_texts import few
from lockstep.planning.result import ErrorDetail


def behind(name: str) -> RunError:
    """Return the error of a text that the status says is not needed, and the ledger does not have."""
    return RunError(
        Reason.LEDGER_BEHIND,
        f"the status says that {name} is applied, the ledger does not have it: the database was restored or replaced; "
        "nothing is run again: restore what is missing, or go on from what the database has with spec.repair: "
        "AcceptLedger",
    )


def refused(errors: Sequence[RunError]) -> RunError:
    """Return how a run ends some of whose texts are refused: the first one's error, with the names of the others."""
    first, *others = errors
    if not others:
        return first
    names = few([(each.error and each.error.version) or "?" for each in others])
    message = f"{first.message}; refused too: {len(others)} more of this plan ({names}), the run's log says where"
    return RunError(first.reason, message, error=first.error)


def stopped_and_lost(stop: Reason, doing: Action | None) -> RunError:
    """Return how a run ends that must stop and whose connection is gone, whatever it was that it was doing."""
    why = "the run was asked to stop" if stop is Reason.INTERRUPTED else "the run's deadline came"
    where = "" if doing is None else f" in {doing.label}"
    return RunError(
        stop,
        f"{why}{where}, and the connection is gone; what is in the ledger is true, the next run sees what became of "
        "the rest",
        error=None if doing is None else ErrorDetail(doing.migration.version),
    )


def connection_lost(times: int, doing: Action | None) -> RunError:
    """Return how a run ends whose connection did not last, whatever it was that it was doing at last."""
    where = "" if doing is None else f", the last time in {doing.label}"
    return RunError(
        Reason.CONNECTION_LOST,
        f"the connection was lost {times} times{where}; what is in the ledger is true, the rest is not there",
        error=None if doing is None else ErrorDetail(doing.migration.version),
    )
