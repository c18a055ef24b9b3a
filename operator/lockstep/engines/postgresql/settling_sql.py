"""What the catalog is asked before a statement runs alone, and after it did not end well.

Names are resolved as the migration's own SQL sees them; all else is asked with Lockstep's own search_path.
"""

from collections.abc import Sequence
from typing import Final

from lockstep.engines.postgresql.channel import Channel
from lockstep.engines.postgresql.connect import SAFE_PATH
from lockstep.engines.postgresql.frame import BEGIN, COMMIT, ROLLBACK
from lockstep.engines.postgresql.messages import Command, Param, Reply, Row, SqlError, StoppedError
from lockstep.engines.postgresql.settling import Facts, Index, Seen, cut
from lockstep.engines.postgresql.subjects import Kind, Name, Subject, quoted

# In the migration's own search_path: no operator, and the function is qualified.
_RESOLVE: Final = "SELECT pg_catalog.to_regclass($1::pg_catalog.text)::pg_catalog.oid"

_INDEXES: Final = """
SELECT i.indexrelid, c.relname, pg_catalog.format('%I.%I', n.nspname, c.relname),
       i.indisvalid AND i.indisready AND i.indislive
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE i.indrelid = $1::pg_catalog.oid
"""
# What an interrupted REINDEX CONCURRENTLY was building, or had replaced.
_LEFTOVERS: Final = """
SELECT i.indexrelid, c.relname, pg_catalog.format('%I.%I', n.nspname, c.relname), false
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE NOT i.indisvalid AND c.relname ~ '_cc(new|old)[0-9]*$'
  AND ($1::pg_catalog.text = ''
       OR i.indrelid = ANY (pg_catalog.string_to_array($1::pg_catalog.text, ',')::pg_catalog.oid[]))
"""
# The tables, and their TOAST tables, whose indexes a REINDEX of a table or an index rebuilds.
_REBUILT: Final = """
WITH named AS (
    SELECT $1::pg_catalog.oid AS oid
    UNION SELECT p.relid::pg_catalog.oid FROM pg_catalog.pg_partition_tree($1::pg_catalog.oid::pg_catalog.regclass) AS p
), tables AS (
    SELECT COALESCE(i.indrelid, n.oid) AS oid
    FROM named AS n LEFT JOIN pg_catalog.pg_index AS i ON i.indexrelid = n.oid
)
SELECT t.oid FROM tables AS t
UNION SELECT c.reltoastrelid FROM pg_catalog.pg_class AS c JOIN tables AS t ON t.oid = c.oid WHERE c.reltoastrelid <> 0
"""
_DETACHING: Final = """
SELECT h.inhparent, h.inhdetachpending,
       pg_catalog.format('ALTER TABLE %I.%I DETACH PARTITION %I.%I FINALIZE',
                         pn.nspname, p.relname, n.nspname, c.relname)
FROM pg_catalog.pg_inherits AS h
JOIN pg_catalog.pg_class AS p ON p.oid = h.inhparent JOIN pg_catalog.pg_namespace AS pn ON pn.oid = p.relnamespace
JOIN pg_catalog.pg_class AS c ON c.oid = h.inhrelid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE h.inhparent = $1::pg_catalog.oid AND h.inhrelid = $2::pg_catalog.oid
"""
_TABLE: Final = """
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid = $1::pg_catalog.oid
"""
_RELATION: Final = "SELECT c.oid FROM pg_catalog.pg_class AS c WHERE c.oid = $1::pg_catalog.oid"
_OBJECTS: Final = {
    "DATABASE": "SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = $1::pg_catalog.name",
    "TABLESPACE": "SELECT t.oid FROM pg_catalog.pg_tablespace AS t WHERE t.spcname = $1::pg_catalog.name",
    "SUBSCRIPTION": """
SELECT s.oid FROM pg_catalog.pg_subscription AS s JOIN pg_catalog.pg_database AS d ON d.oid = s.subdbid
WHERE s.subname = $1::pg_catalog.name AND d.datname = pg_catalog.current_database()
""",
}


class Catalog:
    """Asks the catalog on a session that is as the migration's SQL has left it; changes nothing of that."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def note(self, subject: Subject) -> Facts:
        """Return what must be known before the statement runs."""
        kind, what = subject.kind, subject.what
        match kind:
            case Kind.CREATE_INDEX:
                table = self._resolve(subject.name)
                there = tuple(index.oid for index in self._indexes(_INDEXES, table)) if table else ()
                name = cut(subject.part[-1]) if subject.part else ""
                return Facts(kind, what, table, name=name, lenient=subject.lenient, before=there)
            case Kind.DROP_INDEX:
                return Facts(kind, what, self._resolve(subject.name))
            case Kind.REINDEX:
                tables: tuple[int, ...] = ()
                if subject.scope in {"INDEX", "TABLE"} and (named := self._resolve(subject.name)):
                    tables = tuple(int(row[0] or 0) for row in self._rows(_REBUILT, named))
                facts = Facts(kind, what, tables=tables)
                return Facts(kind, what, tables=tables, before=tuple(i.oid for i in self.look(facts).indexes))
            case Kind.DETACH:
                return Facts(kind, what, self._resolve(subject.name), self._resolve(subject.part))
            case Kind.CREATE | Kind.DROP if subject.name:
                name, scope = cut(subject.name[-1]), subject.scope
                return Facts(kind, what, self._object(scope, name), name=name, scope=scope)
        return Facts(kind, what)

    def look(self, facts: Facts) -> Seen:  # noqa: PLR0911 - one answer a kind
        """Return what the catalog shows of it now."""
        match facts.kind:
            case Kind.CREATE_INDEX if facts.relation:
                return Seen(self._indexes(_INDEXES, facts.relation))
            case Kind.REINDEX:
                return Seen(self._indexes(_LEFTOVERS, ",".join(map(str, facts.tables))))
            case Kind.DROP_INDEX:
                return Seen(present=_first(self._rows(_RELATION, facts.relation)))
            case Kind.DETACH:
                found = self._rows(_DETACHING, facts.relation, facts.part)
                if found and found[0][1] == "t":
                    return Seen(present=facts.relation, finalize=found[0][2] or "")
                # A partition that could not be found has not been detached either.
                return Seen(present=_first(found) if facts.part else facts.relation)
            case Kind.CREATE | Kind.DROP if facts.name:
                return Seen(present=self._object(facts.scope, facts.name))
        return Seen()

    def still_invalid(self, facts: Facts, index: Index, *, stoppable: bool) -> bool:
        """Wait until nobody builds an index on the table, and tell whether this one is as it was."""
        [(table, *_)] = self._rows(_TABLE, facts.relation) or [(None,)]
        if table is None:
            return False
        lock = Command(f"LOCK TABLE ONLY {table} IN SHARE UPDATE EXCLUSIVE MODE")
        found = self._ask([lock, Command(_INDEXES, (facts.relation,))], stoppable=stoppable)[1].rows
        return any(each.oid == index.oid and not each.valid for each in _as_indexes(found))

    def _resolve(self, name: Name) -> int:
        if not name:
            return 0
        try:
            return _first(self._channel.query(_RESOLVE, quoted(name)))
        except SqlError:
            # The statement itself will say so.
            return 0

    def _object(self, scope: str, name: str) -> int:
        return _first(self._rows(_OBJECTS[scope], name))

    def _indexes(self, sql: str, *params: Param) -> tuple[Index, ...]:
        return _as_indexes(self._rows(sql, *params))

    def _rows(self, sql: str, *params: Param) -> Sequence[Row]:
        return self._ask([Command(sql, params)])[0].rows

    def _ask(self, commands: Sequence[Command], *, stoppable: bool = False) -> list[Reply]:
        before = [BEGIN, Command(SAFE_PATH.replace("SET ", "SET LOCAL ", 1))]
        try:
            replies = self._channel.run([*before, *commands, COMMIT], stoppable=stoppable)
        except (SqlError, StoppedError):
            self._channel.run([ROLLBACK], stoppable=False)
            raise
        return replies[len(before) : -1]


def _first(rows: Sequence[Row]) -> int:
    return int(rows[0][0] or 0) if rows else 0


def _as_indexes(rows: Sequence[Row]) -> tuple[Index, ...]:
    return tuple(Index(int(oid or 0), name or "", sql or "", valid == "t") for oid, name, sql, valid in rows)
