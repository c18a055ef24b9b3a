"""What a person's act is about. Pure."""

from typing import Final

from lockstep.api.reasons import Reason
from lockstep.engines.base import Action, RunError
from lockstep.planning.checksum import ABSENT
from lockstep.planning.plan import Candidate, Direction, History, Step
from lockstep.planning.version import Version
from lockstep.planning.wire import Order, OrderedMigration, RepairOrder
from lockstep.runner.judge import candidate

OF_VERSIONS: Final = frozenset({"MarkApplied", "MarkNotApplied", "StatementApplied", "StatementNotApplied"})
KNOWN: Final = OF_VERSIONS | {"AcceptDrift", "AcceptLedger", "TakeOver", "EndSession"}


def subject(repair: RepairOrder, history: History, order: Order) -> Action:
    """Return what the act is recorded under: the version that it marks, or the act itself.

    Raises:
        RunError: RepairRefused, if what it is about is not so.
    """
    if repair.action not in KNOWN:
        raise _refused(f"{repair.action} is unknown to this version of Lockstep; it knows: {', '.join(sorted(KNOWN))}")
    if repair.action not in OF_VERSIONS:
        name = f"({repair.action})"
        return Action(Step(Direction.REPAIR, Candidate(name, None, ABSENT)), OrderedMigration(name, None, ABSENT))
    if repair.version is None:
        raise _refused(f"{repair.action} needs spec.repair.version")
    version = Version.parse(repair.version)
    found = _find(version, history, order)
    applied = any(each.version == version for each in history.applied)
    half = history.partial is not None and history.partial.version == version
    if repair.action == "MarkApplied" and applied and not half:
        raise _refused(f"version {version} is recorded as applied already")
    if repair.action == "MarkNotApplied" and not applied and not half:
        raise _refused(f"version {version} is not recorded as applied")
    if repair.action.startswith("Statement") and not half:
        raise _refused(f"no statement of version {version} is in doubt")
    if found is None:
        raise _refused(f"no Migration of schema {order.line!r} in this namespace has version {version}: create it")
    return Action(Step(Direction.REPAIR, candidate(found)), found)


def _find(version: Version, history: History, order: Order) -> OrderedMigration | None:
    for each in order.migrations:
        if each.version is not None and Version.parse(each.version) == version:
            return each
    for known in history.applied:
        if known.version == version:
            # Pruned; the ledger knows it.
            down = None if known.down_checksum == ABSENT else known.down_checksum
            return OrderedMigration(known.name, known.version.text, known.up_checksum, down, kind=known.kind)
    return None


def _refused(message: str) -> RunError:
    return RunError(Reason.REPAIR_REFUSED, message)
