"""Knex.js: a row for each file that ran, 20260101120000_name.js, the number its version; a lock in a table beside."""

from typing import Final

from lockstep.engines.histories.base import History, Reader, leading
from lockstep.engines.tool_tables import READ
from lockstep.planning.adoption import ForeignRow


def _read(reader: Reader, _line: str) -> tuple[ForeignRow, ...]:
    lock = reader.beside(f"{reader.table.name}_lock")
    if lock is not None and any(locked != "0" for (locked,) in lock.rows("is_locked")):
        held = "is locked: Knex runs now, or has died: wait for it, or run `knex migrate:unlock`"
        return (ForeignRow(lock.table.name, None, problem=held),)
    names = [name or "" for (name,) in reader.rows("name", order=["id"])]
    return tuple(ForeignRow(name, leading(name), aliases=(name.rpartition(".")[0] or name,)) for name in names)


HISTORY: Final = History(
    tool="knex",
    tables=READ["knex"],
    shapes=(frozenset({"id", "name", "batch", "migration_time"}),),
    read=_read,
)
