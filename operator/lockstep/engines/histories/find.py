"""Finding the table of a tool's history; where there is doubt, somebody must name it."""

from collections.abc import Mapping, Sequence

from lockstep.api.reasons import Reason
from lockstep.engines.histories.base import Ask, History, tables
from lockstep.engines.histories.dialects import Dialect, Table
from lockstep.planning.plan import Refusal, listed


def find(
    history: History, wanted: str | None, known: Mapping[str, History], ask: Ask, dialect: Dialect
) -> Table | Refusal:
    """Find the table of a tool's history.

    Args:
        history: the tool's.
        wanted: the table that spec.adopt.table names, with or without its schema; None: as the tool names it.
        known: all tools, to say whose table it is when it is another's.
        ask: runs a SELECT.
        dialect: the database's.
    """
    names = history.tables if wanted is None else tuple(dict.fromkeys((wanted, wanted.partition(".")[2] or wanted)))
    there = [each for each in tables(ask, dialect, names) if wanted is None or wanted in (each.name, str(each))]
    there.sort(key=lambda each: (names.index(each.name), each.schema != dialect.default_schema, each.schema))
    if not there:
        return _refuse(_absent(history, wanted, dialect))
    fitting = [each for each in there if history.fits(each)]
    if not fitting:
        return _refuse(_another(history, there[0], known))
    # Of a tool's own names the first one counts: a tool that has renamed its table leaves the old one behind.
    same = [each for each in fitting if each.name == fitting[0].name]
    if len(same) > 1:
        return _refuse(
            f"{history.tool} has a history in {len(same)} schemas ({listed([str(each) for each in same])}): "
            "name the one that is meant in spec.adopt.table"
        )
    return same[0]


def _refuse(message: str) -> Refusal:
    return Refusal(Reason.ADOPTION_FAILED, message)


def _absent(history: History, wanted: str | None, dialect: Dialect) -> str:
    if wanted is not None:
        return f"the database has no table {wanted}, which spec.adopt.table names as the history of {history.tool}"
    where = "" if dialect.default_schema is None else " in any schema"
    names: Sequence[str] = tuple({name.lower(): name for name in reversed(history.tables)}.values())[::-1]
    return (
        f"no history of {history.tool} was found: there is no table {' or '.join(names)}{where}; "
        "name it in spec.adopt.table, or say with spec.baseline what the database has"
    )


def _another(history: History, table: Table, known: Mapping[str, History]) -> str:
    """Say why a table is not the tool's, and whose it looks like."""
    like = [each.tool for each in known.values() if each.fits(table) and each.tool != history.tool]
    has = f"{table} is no history of {history.tool}: its columns are {listed(table.columns)}"
    if like:
        return f"{has}, as {' and '.join(like)} makes it: correct spec.adopt.history, or name another spec.adopt.table"
    return f"{has}; name another one in spec.adopt.table, or say with spec.baseline what the database has"
