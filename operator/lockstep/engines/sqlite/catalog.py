"""A file's schema as hashes: what every object is, and the names of a few of them."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Final

from lockstep.engines import tool_tables
from lockstep.engines.portable.store import Store
from lockstep.engines.portable.tables import PREFIX
from lockstep.engines.sqlite.lexer import LexError, split
from lockstep.planning.drift import Options

FORMAT: Final = 1
"""Grows when more, or something else, is read than before."""
OPTIONS: Final = Options(FORMAT)

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
_BLANKS: Final = re.compile(r"\s+")
# `_` stands for any character in LIKE: substr does not.
_OURS: Final = f"lower(substr(tbl_name, 1, {len(PREFIX)})) = '{PREFIX}'"
_THEIRS: Final = f"NOT ({_OURS}) AND tbl_name NOT LIKE 'sqlite~_%' ESCAPE '~' AND name NOT LIKE 'sqlite~_%' ESCAPE '~'"

_OBJECTS: Final = f"SELECT type, name, tbl_name, sql FROM main.sqlite_master WHERE {_THEIRS}"  # noqa: S608 - constants
# Not of a virtual table: its module may be one that only the application loads.
_COLUMNS: Final = f"""
SELECT m.name, c.name, c.type, c."notnull", c.dflt_value, c.pk, c.hidden
FROM main.sqlite_master AS m JOIN pragma_table_xinfo(m.name, 'main') AS c
WHERE m.type = 'table' AND m.sql NOT LIKE 'CREATE VIRTUAL %'
  AND {_THEIRS.replace("tbl_name", "m.tbl_name").replace(" name ", " m.name ")}
"""  # noqa: S608 - constants
_NAMES: Final = f"""
SELECT name FROM main.sqlite_master WHERE type IN ('table', 'view') AND {_THEIRS}
ORDER BY name IN ({tool_tables.AS_SQL}) DESC, name LIMIT 4
"""  # noqa: S608 - constants
_HOOKS: Final = f"SELECT name, tbl_name FROM main.sqlite_master WHERE type = 'trigger' AND {_OURS} LIMIT 4"  # noqa: S608 - constants


def quote(name: str) -> str:
    """Write a name as SQL does, in quotes only where it must be."""
    return name if _PLAIN.fullmatch(name) else '"' + name.replace('"', '""') + '"'


def objects(store: Store) -> dict[str, str]:
    """Return the hash of every object that is not Lockstep's, by its name for people."""
    return dict(_objects(store))


def _objects(store: Store) -> Iterator[tuple[str, str]]:
    for kind, name, table, sql in store.ask(_OBJECTS):
        # What SQLite makes by itself for a constraint has no SQL, and is a part of its table.
        if sql is None:
            continue
        yield _name(str(kind), str(name), str(table)), _hash(plain(str(sql)))
    for table, column, *facts in store.ask(_COLUMNS):
        yield f"column main.{quote(str(table))}.{quote(str(column))}", _hash(repr(tuple(facts)))


def _name(kind: str, name: str, table: str) -> str:
    if kind == "index":
        return f"index main.{quote(name)} of main.{quote(table)}"
    if kind == "trigger":
        return f"trigger main.{quote(table)}.{quote(name)}"
    return f"{kind} main.{quote(name)}"


def plain(sql: str) -> str:
    """Return a definition without what its author's editor has made of it: blanks between its lines. Pure."""
    try:
        parts = [sql[part.start : part.end] for part in split(sql)]
    except LexError:
        parts = [sql]
    return _BLANKS.sub(" ", " ".join(parts))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Around:
    """What else is in the file."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def others(self) -> Sequence[str]:
        """Return the names of a few objects that are not Lockstep's, other tools' histories first."""
        return [quote(str(name)) for (name,) in self._store.ask(_NAMES)]

    def hooks(self) -> Sequence[str]:
        """Return the triggers on the ledger's tables."""
        return [f"the trigger {quote(str(name))} on {table}" for name, table in self._store.ask(_HOOKS)]
