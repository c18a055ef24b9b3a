"""Why a ledger is not worked with, in the same words for every engine. Pure."""

from collections.abc import Sequence

from lockstep.api.reasons import Reason
from lockstep.engines import tool_tables
from lockstep.engines.base import RunError
from lockstep.engines.refused_texts import few
from lockstep.planning.result import ErrorDetail, LedgerMark
from lockstep.planning.version import Version
from lockstep.planning.wire import Order, Owner


def gone(known: str) -> RunError:
    """Return the error of a database without a ledger where the status has seen one."""
    return RunError(
        Reason.LEDGER_BEHIND,
        f"the database holds no ledger, but the status has seen one ({known}): it was restored or made anew; "
        "restore it, or delete and create the SchemaVersion to begin again",
    )


def too_new(version: int, known: int) -> RunError:
    """Return the error of a ledger that a newer Lockstep has made."""
    return RunError(
        Reason.LEDGER_TOO_NEW,
        f"the ledger has version {version}, this Lockstep knows {known}: a newer Lockstep has been here; "
        "upgrade the operator",
    )


def not_empty(names: Sequence[str]) -> RunError:
    """Return the error of a database that holds these objects, where nobody said that it is adopted.

    Args:
        names: a few of them; on PostgreSQL with their schemas. Other tools' tables are best the first.
    """
    return RunError(
        Reason.DATABASE_NOT_EMPTY,
        f"the database has no history of Lockstep's but already holds {few(names, 3)}: {_taken_over(names)}; "
        "or use an empty database",
    )


def _taken_over(names: Sequence[str]) -> str:
    """Say how a database that holds these objects is adopted."""
    tables = {name: name.rpartition(".")[2] for name in names}
    for name, table in tables.items():
        if tools := tool_tables.whose(table, tool_tables.READ):
            return (
                f"{name} looks like the history of {' or '.join(tools)}: to take it over set spec.adopt.history: "
                f"{' | '.join(tools)}, or say with spec.baseline which version the database has"
            )
    for name, table in tables.items():
        if tools := tool_tables.whose(table, tool_tables.UNREAD):
            return (
                f"{name} looks like the history of {tools[0]}, which Lockstep does not read: "
                "say with spec.baseline which version the database has"
            )
    return "say with spec.baseline which version it has, or with spec.adopt which tool managed it"


def changed(line: str, number: object) -> RunError:
    """Return the error of a history whose hashes do not follow from each other at this number."""
    return RunError(
        Reason.LEDGER_INVALID,
        f"the history of line {line!r} was changed at its number {number}: the chain of its hashes is broken",
    )


def check_agrees(order: Order, canonical: str, *, is_past: bool, is_repaired: bool) -> None:
    """See that a person is about to settle what the ledger says in two ways of a version.

    Args:
        order: with the person's act.
        canonical: the version.
        is_past: whether the history says that it is applied; the other table says the opposite.
        is_repaired: whether the act has been done.

    Raises:
        RunError: LedgerInvalid; what only seems not to be there would run again.
    """
    repair = order.repair
    settles = repair is not None and not is_repaired and repair.action.startswith("Mark")
    if settles and repair is not None and repair.version and Version.parse(repair.version).canonical == canonical:
        return
    has, lacks = ("does not have it", "has it") if is_past else ("has it", "does not have it")
    raise RunError(
        Reason.LEDGER_INVALID,
        f"the history of line {order.line!r} says that version {canonical} is {'' if is_past else 'not '}applied, and "
        f"the table of what is applied {has}: somebody changed the ledger; nothing is run: compare it with a backup, "
        f"or say with spec.repair: {'MarkApplied' if is_past else 'MarkNotApplied'} that the database {lacks}",
        error=ErrorDetail(canonical),
    )


def misnamed(line: str, owner: Owner, named: str) -> RunError:
    """Return the error of a line that a person takes over from another than its owner."""
    return RunError(
        Reason.REPAIR_REFUSED,
        f"line {line!r} of this database belongs to {owner}, not to {named}: write that owner into "
        "spec.repair.confirm, with a new token, if it is really to be taken over",
    )


def foreign(line: str, owner: Owner) -> RunError:
    """Return the error of a line that another SchemaVersion owns."""
    return RunError(
        Reason.FOREIGN_OWNER,
        f"line {line!r} of this database belongs to SchemaVersion {owner}: one line has one owner; "
        "give this one another spec.schema or another database",
    )


def fenced(line: str, label: str) -> RunError:
    """Return the error of a run that was overtaken by another."""
    return RunError(
        Reason.FENCED,
        f"{label}: this run no longer holds line {line!r} (another has begun): nothing of it was committed",
    )


def check_not_behind(order: Order, mark: LedgerMark, hash_at_known: str | None, repaired: int | None) -> None:
    """See that the ledger still has all that the status has seen of it.

    Args:
        order: with what the status has seen.
        mark: the ledger's last entry.
        hash_at_known: of the entry that the status has seen last.
        repaired: number of the entry that records the order's repair; None: it is still to be done.

    Raises:
        RunError: LedgerBehind, for a person to decide: what ran may be gone, and may not.
    """
    repair = order.repair
    words = f"{mark.uuid}/{mark.sequence}"
    # Once it is done the ledger is one entry longer than what was accepted; the status has not seen that yet.
    accepted = words if repaired is None else f"{mark.uuid}/{repaired - 1}"
    if repair is not None and repair.action == "AcceptLedger" and repair.confirm == accepted:
        return
    what = None
    if order.known_ledger is not None and order.known_ledger != mark.uuid:
        what = f"this is ledger {mark.uuid}, the status has seen {order.known_ledger}: it is another database"
    elif order.known_sequence > mark.sequence:
        what = f"the ledger ends at its number {mark.sequence}, the status has seen {order.known_sequence}"
    elif order.known_sequence and order.known_hash is not None and hash_at_known != order.known_hash:
        what = f"number {order.known_sequence} of the ledger is not the one that the status has seen"
    if what is not None:
        raise RunError(
            Reason.LEDGER_BEHIND,
            f"{what}, or it was restored from an older backup; nothing is run again: restore what is missing, or go on "
            f"from what the database has with spec.repair: AcceptLedger, a new token and confirm: {words}",
        )
