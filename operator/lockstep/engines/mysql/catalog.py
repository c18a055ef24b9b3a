"""A database's schema as hashes: what every object is, read from information_schema."""

import hashlib
import re
from collections.abc import Iterator
from functools import cached_property
from typing import Final

from lockstep.engines.mysql.channel import Channel, Row, SqlError
from lockstep.engines.mysql.errors import LOCK_WAIT, PASSING
from lockstep.engines.mysql.server import Server
from lockstep.engines.mysql.session import quote
from lockstep.planning.drift import Options

FORMAT: Final = 2
"""Grows when more, or something else, is read than before."""
OPTIONS: Final = Options(FORMAT)
"""Rights of others show to no user without rights on the server's own tables, so that they are never looked at."""

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
_OURS: Final = "{} NOT LIKE 'lockstep\\_%'"


def _hashed(*columns: str) -> str:
    """Return SQL that makes one hash of some columns, a NULL told apart from an empty text."""
    words = ", ".join(f"COALESCE(CONCAT('=', {column}), '-')" for column in columns)
    return f"SHA2(CONCAT_WS('\\n', {words}), 256)"


_TABLES: Final = f"""
SELECT 'table', TABLE_NAME, {
    _hashed("TABLE_TYPE", "ENGINE", "TABLE_COLLATION", "ROW_FORMAT", "CREATE_OPTIONS", "TABLE_COMMENT")
}
FROM information_schema.TABLES
WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE NOT IN ('VIEW', 'SEQUENCE') AND {_OURS.format("TABLE_NAME")}
"""  # noqa: S608 - constants
_SEQUENCES: Final = """
SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'SEQUENCE'
"""
_VIEWS: Final = """
SELECT 'view', TABLE_NAME, {}
FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE()
"""
_VIEWS_MYSQL: Final = _VIEWS.format(_hashed("VIEW_DEFINITION", "CHECK_OPTION", "DEFINER", "SECURITY_TYPE"))
_VIEWS_MARIADB: Final = _VIEWS.format(
    _hashed("VIEW_DEFINITION", "CHECK_OPTION", "DEFINER", "SECURITY_TYPE", "ALGORITHM")
)
_FACTS: Final = _hashed(
    "c.COLUMN_TYPE",
    "c.COLUMN_DEFAULT",
    "c.IS_NULLABLE",
    "c.COLLATION_NAME",
    "c.EXTRA",
    "c.GENERATION_EXPRESSION",
    "c.COLUMN_COMMENT",
)
_COLUMNS: Final = f"""
SELECT c.TABLE_NAME, c.COLUMN_NAME, {_FACTS}
FROM information_schema.COLUMNS AS c
WHERE c.TABLE_SCHEMA = DATABASE() AND {_OURS.format("c.TABLE_NAME")}
"""  # noqa: S608 - constants
# Rows in the order of the index's columns; prefixes, directions and expressions are part of what they are.
_INDEXES: Final = """
SELECT TABLE_NAME, INDEX_NAME, CONCAT_WS('\\n', NON_UNIQUE, COALESCE(COLUMN_NAME, '-'), COALESCE(SUB_PART, '-'),
       COALESCE(COLLATION, '-'), INDEX_TYPE, INDEX_COMMENT, {})
FROM information_schema.STATISTICS
WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME NOT LIKE 'lockstep\\_%'
ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX
"""
_FOREIGN_KEYS: Final = """
SELECT k.TABLE_NAME, k.CONSTRAINT_NAME, CONCAT_WS('\\n', k.COLUMN_NAME, k.REFERENCED_TABLE_SCHEMA,
       k.REFERENCED_TABLE_NAME, k.REFERENCED_COLUMN_NAME, r.UPDATE_RULE, r.DELETE_RULE)
FROM information_schema.KEY_COLUMN_USAGE AS k
JOIN information_schema.REFERENTIAL_CONSTRAINTS AS r
  ON r.CONSTRAINT_SCHEMA = k.CONSTRAINT_SCHEMA AND r.TABLE_NAME = k.TABLE_NAME AND r.CONSTRAINT_NAME = k.CONSTRAINT_NAME
WHERE k.TABLE_SCHEMA = DATABASE() AND r.CONSTRAINT_SCHEMA = DATABASE() AND k.REFERENCED_TABLE_NAME IS NOT NULL
ORDER BY k.TABLE_NAME, k.CONSTRAINT_NAME, k.ORDINAL_POSITION
"""
_CHECKS_MARIADB: Final = """
SELECT TABLE_NAME, CONSTRAINT_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS
WHERE CONSTRAINT_SCHEMA = DATABASE()
"""
_CHECKS_MYSQL: Final = """
SELECT t.TABLE_NAME, t.CONSTRAINT_NAME, CONCAT_WS('\\n', c.CHECK_CLAUSE, t.ENFORCED)
FROM information_schema.TABLE_CONSTRAINTS AS t JOIN information_schema.CHECK_CONSTRAINTS AS c
  ON c.CONSTRAINT_SCHEMA = t.CONSTRAINT_SCHEMA AND c.CONSTRAINT_NAME = t.CONSTRAINT_NAME
WHERE t.CONSTRAINT_SCHEMA = DATABASE() AND t.CONSTRAINT_TYPE = 'CHECK'
"""
_PARTITIONS: Final = """
SELECT TABLE_NAME, CONCAT_WS('\\n', PARTITION_NAME, COALESCE(SUBPARTITION_NAME, '-'), PARTITION_METHOD,
       COALESCE(PARTITION_EXPRESSION, '-'), COALESCE(PARTITION_DESCRIPTION, '-'), COALESCE(SUBPARTITION_METHOD, '-'),
       COALESCE(SUBPARTITION_EXPRESSION, '-'), PARTITION_COMMENT)
FROM information_schema.PARTITIONS
WHERE TABLE_SCHEMA = DATABASE() AND PARTITION_NAME IS NOT NULL
ORDER BY TABLE_NAME, PARTITION_ORDINAL_POSITION, SUBPARTITION_ORDINAL_POSITION
"""
_ROUTINES: Final = f"""
SELECT LOWER(ROUTINE_TYPE), ROUTINE_NAME, {
    _hashed(
        "DTD_IDENTIFIER",
        "ROUTINE_DEFINITION",
        "IS_DETERMINISTIC",
        "SQL_DATA_ACCESS",
        "SECURITY_TYPE",
        "SQL_MODE",
        "DEFINER",
        "ROUTINE_COMMENT",
    )
}
FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE()
"""  # noqa: S608 - constants
# Of MySQL 9.
_HAS_LIBRARIES: Final = """
SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'information_schema' AND TABLE_NAME = 'LIBRARIES'
"""
_LIBRARIES: Final = f"""
SELECT 'library', LIBRARY_NAME, {_hashed("LIBRARY_DEFINITION", "LANGUAGE", "LIBRARY_COMMENT")}
FROM information_schema.LIBRARIES WHERE LIBRARY_SCHEMA = DATABASE()
"""  # noqa: S608 - constants
_PARAMETERS: Final = """
SELECT LOWER(ROUTINE_TYPE), SPECIFIC_NAME, CONCAT_WS('\\n', COALESCE(PARAMETER_MODE, '-'),
       COALESCE(PARAMETER_NAME, '-'), COALESCE(DTD_IDENTIFIER, '-'), COALESCE(COLLATION_NAME, '-'))
FROM information_schema.PARAMETERS WHERE SPECIFIC_SCHEMA = DATABASE()
ORDER BY ROUTINE_TYPE, SPECIFIC_NAME, ORDINAL_POSITION
"""
_TRIGGERS: Final = f"""
SELECT EVENT_OBJECT_TABLE, TRIGGER_NAME, {
    _hashed("EVENT_MANIPULATION", "ACTION_TIMING", "ACTION_ORDER", "ACTION_STATEMENT", "SQL_MODE", "DEFINER")
}
FROM information_schema.TRIGGERS
WHERE TRIGGER_SCHEMA = DATABASE() AND {_OURS.format("EVENT_OBJECT_TABLE")}
"""  # noqa: S608 - constants
# One that ends goes by itself, or is switched off by itself where it is preserved.
_ENDS: Final = "(EXECUTE_AT IS NOT NULL OR ENDS IS NOT NULL)"
_EVENTS: Final = f"""
SELECT 'event', EVENT_NAME, {
    _hashed(
        "EVENT_DEFINITION",
        "EVENT_TYPE",
        "EXECUTE_AT",
        "INTERVAL_VALUE",
        "INTERVAL_FIELD",
        "STARTS",
        "ENDS",
        f"IF({_ENDS}, '-', STATUS)",
        "ON_COMPLETION",
        "TIME_ZONE",
        "SQL_MODE",
        "DEFINER",
        "EVENT_COMMENT",
    )
}
FROM information_schema.EVENTS
WHERE EVENT_SCHEMA = DATABASE() AND NOT ({_ENDS} AND ON_COMPLETION = 'NOT PRESERVE')
"""  # noqa: S608 - constants


def major_of(server: Server) -> int:
    """Return the number under which hashes are comparable: versions print definitions in other words. Pure."""
    return server.version[0] * 100 + server.version[1]


def named(name: str) -> str:
    """Write a name as messages do, in quotes only where it must be. Pure."""
    return name if _PLAIN.fullmatch(name) else '"' + name.replace('"', '""') + '"'


def read_objects(channel: Channel, server: Server) -> dict[str, str]:
    """Return the hash of every object that is not Lockstep's, by its name for people.

    Raises:
        SqlError: if the server refused.
        ConnectionLostError: if the connection is gone.
    """
    return dict(_Reading(channel, server).all())


class _Reading:
    """One look at the catalog."""

    def __init__(self, channel: Channel, server: Server) -> None:
        self._channel = channel
        self._server = server
        self._schema = named(server.database)

    def all(self) -> Iterator[tuple[str, str]]:
        """Yield every object with its hash."""
        yield from self._tables()
        yield from self._columns()
        yield from self._grouped("index", _INDEXES.format(self._expression), of=True)
        yield from self._grouped("constraint", _FOREIGN_KEYS)
        yield from self._grouped("constraint", _CHECKS_MARIADB if self._server.maria else _CHECKS_MYSQL)
        yield from self._routines()
        yield from self._sequences()
        for table, name, hashed in self._ask(_TRIGGERS):
            yield f"trigger {self._schema}.{named(table)}.{named(name)}", hashed
        libraries = self._ask(_LIBRARIES) if not self._server.maria and self._ask(_HAS_LIBRARIES) else ()
        for kind, name, hashed in (*self._ask(_EVENTS), *libraries):
            yield f"{kind} {self._schema}.{named(name)}", hashed

    @property
    def _expression(self) -> str:
        """Whether an index is used; and what it is on, where that is no column: MySQL's alone."""
        return "IGNORED" if self._server.maria else "COALESCE(EXPRESSION, '-'), IS_VISIBLE"

    def _ask(self, sql: str) -> tuple[Row, ...]:
        found = self._channel.query(sql)
        # What could not be looked at for somebody's lock is left out of the rows, and told apart by a warning alone.
        if any(number in PASSING for number, _ in self._channel.warnings()):
            raise SqlError(LOCK_WAIT, "a table of the catalog is locked")
        return found

    def _tables(self) -> Iterator[tuple[str, str]]:
        partitions: dict[str, list[str]] = {}
        for table, partition in self._ask(_PARTITIONS):
            partitions.setdefault(table, []).append(partition)
        for kind, name, hashed in (*self._ask(_TABLES), *self._views):
            yield f"{kind} {self._schema}.{named(name)}", _hash(hashed, *partitions.get(name, ()))

    @cached_property
    def _views(self) -> tuple[Row, ...]:
        return self._ask(_VIEWS_MARIADB if self._server.maria else _VIEWS_MYSQL)

    def _sequences(self) -> Iterator[tuple[str, str]]:
        """Yield MariaDB's, whose definitions no table of the catalog has in all versions."""
        for (name,) in self._ask(_SEQUENCES) if self._server.maria else ():
            try:
                [(_, shown)] = self._channel.query(f"SHOW CREATE SEQUENCE {quote(name)}")
            except SqlError as error:
                if error.number in PASSING:
                    raise
                shown = ""  # It may not be seen, or has gone meanwhile.
            yield f"sequence {self._schema}.{named(name)}", _hash(shown)

    def _columns(self) -> Iterator[tuple[str, str]]:
        # What a view's columns are follows from its definition, and from its tables.
        views = {name for _, name, _ in self._views}
        for table, column, hashed in self._ask(_COLUMNS):
            if table not in views:
                yield f"column {self._schema}.{named(table)}.{named(column)}", hashed

    def _grouped(self, kind: str, sql: str, *, of: bool = False) -> Iterator[tuple[str, str]]:
        """Yield what has several rows in its table."""
        found: dict[tuple[str, str], list[str]] = {}
        for table, name, words in self._ask(sql):
            found.setdefault((table, name), []).append(words)
        for (table, name), rows in found.items():
            if of:
                yield f"{kind} {self._schema}.{named(name)} of {self._schema}.{named(table)}", _hash(*rows)
            else:
                yield f"{kind} {self._schema}.{named(table)}.{named(name)}", _hash(*rows)

    def _routines(self) -> Iterator[tuple[str, str]]:
        parameters: dict[tuple[str, str], list[str]] = {}
        for kind, name, words in self._ask(_PARAMETERS):
            parameters.setdefault((kind, name), []).append(words)
        for kind, name, hashed in self._ask(_ROUTINES):
            yield f"{kind} {self._schema}.{named(name)}", _hash(hashed, *parameters.get((kind, name), ()))


def _hash(*words: str) -> str:
    return hashlib.sha256("\n\n".join(words).encode("utf-8", "surrogatepass")).hexdigest()
