"""Liquibase: a row for each changeset that ran, known by its id together with author and file.

A changeset whose id is there once is named by its id alone, or by `id::author::file`; one whose id is there several
times only by the latter, and then numbers say nothing at all: each file counts on its own. MARK_RAN (a precondition
said that it need not run) counts as applied, as for Liquibase itself. Rows that only carry a tag have changed nothing.
"""

from collections import Counter
from typing import Final

from lockstep.engines.histories.base import YES, History, Reader, numeric
from lockstep.engines.tool_tables import READ
from lockstep.planning.adoption import ForeignRow

_LOCK_TABLES: Final = ("databasechangeloglock", "DATABASECHANGELOGLOCK")
_RAN: Final = frozenset({"EXECUTED", "RERAN", "MARK_RAN"})


def _read(reader: Reader, _line: str) -> tuple[ForeignRow, ...]:
    lock = reader.beside(*_LOCK_TABLES)
    if lock is not None and any(locked == YES for (locked,) in lock.rows(flags=["locked"])):
        held = "is locked: Liquibase runs now, or has died: wait for it, or run `liquibase release-locks`"
        return (ForeignRow(lock.table.name, None, problem=held),)
    columns = ("id", "author", "filename", "exectype", "description")
    rows = reader.rows(*columns, order=["dateexecuted", "orderexecuted"])
    changes = [tuple(value or "" for value in row) for row in rows]
    changes = [row for row in changes if row[2] != "liquibase-internal" and row[4].partition(" ")[0] != "tagDatabase"]
    times = Counter(row[0] for row in changes)
    numbered = len(times) == len(changes)
    return tuple(_row(*row, alone=times[row[0]] == 1, numbered=numbered) for row in changes)


def _row(
    identifier: str, author: str, file: str, outcome: str, description: str, *, alone: bool, numbered: bool
) -> ForeignRow:
    problem = None
    if outcome not in _RAN:
        problem = f"is recorded as {outcome or 'nothing'}: mend it and run `liquibase update` until it is EXECUTED"
    full = f"{identifier}::{author}::{file}"
    if not alone:
        return ForeignRow(full, None, description, problem)
    return ForeignRow(identifier, numeric(identifier) if numbered else None, description, problem, aliases=(full,))


HISTORY: Final = History(
    tool="liquibase",
    tables=READ["liquibase"],
    shapes=(
        frozenset({"id", "author", "filename", "dateexecuted", "orderexecuted", "exectype", "description", "md5sum"}),
    ),
    read=_read,
)
