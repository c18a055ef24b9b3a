"""What each statement of a migration is: part of a transaction, committing by itself, or refused. Pure."""

import hashlib
import re
from enum import StrEnum
from functools import cached_property
from typing import Final

from msgspec import Struct

from lockstep.engines.base import Action
from lockstep.engines.lexing import LexError, Statement, place_at
from lockstep.engines.mysql.lexer import split
from lockstep.engines.mysql.subjects import named
from lockstep.engines.refused_texts import more_of_it, refuse


class Kind(StrEnum):
    """What a statement does to the transaction around it."""

    PLAIN = "plain"
    """Nothing: it is rolled back or committed with it."""
    SESSION = "session"
    """It concerns the session alone, so that a later run of the rest must repeat it."""
    COMMITS = "commits"
    """It commits what is open before it, and itself."""
    OPAQUE = "opaque"
    """It may do anything: a procedure, a prepared statement, a block."""


_COMMITS: Final = frozenset(
    {"ALTER", "CREATE", "DROP", "RENAME", "TRUNCATE", "GRANT", "REVOKE", "INSTALL", "UNINSTALL", "OPTIMIZE", "REPAIR"}
    | {"FLUSH", "CACHE", "RESET", "CHANGE", "PURGE", "IMPORT", "CHECK", "STOP", "CLONE"}
)
_PLAIN: Final = frozenset(
    {"SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH", "VALUES", "TABLE", "SHOW", "DESC", "DESCRIBE"}
    | {"EXPLAIN", "DO", "SIGNAL", "RESIGNAL", "CHECKSUM", "HELP", "BINLOG", "GET", "SAVEPOINT", "RELEASE", "ROLLBACK"}
    | {"ANALYZE", "LOAD"}
    # What follows upon a query in parentheses.
    | {"UNION", "EXCEPT", "INTERSECT", "MINUS", "ORDER", "LIMIT"}
)
_NAMING: Final = frozenset({"CREATE", "ALTER", "RENAME"})
_TABLE_WORDS: Final = frozenset({"TABLE", "TABLES", "LOCAL", "NO_WRITE_TO_BINLOG"})
_CODE: Final = re.compile(
    r"""'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|/\*(?!M?!).*?\*/|(?:\#|--(?=[\s]|\Z))[^\n]*""", re.DOTALL
)
_LEDGER: Final = re.compile(
    r"(?<![\w$])lockstep_(?:meta|run|history|applied|repeatable|texts|journal|objects)(?![\w$])", re.IGNORECASE
)
_PREFIXED: Final = re.compile(r"(?<![\w$])lockstep_", re.IGNORECASE)
_WIDE: Final = re.compile(r"(?:@@\s*`?|\bset\s+|,\s*)(global|persist|persist_only)\b", re.IGNORECASE)
_ONCE: Final = re.compile(r"\bset\s+(transaction)\b|(@@\s*`?(?:transaction|tx)_read_only)`?\s*:?=", re.IGNORECASE)
_MODES: Final = re.compile(
    r"(?<![\w])(ANSI_QUOTES|ANSI|NO_BACKSLASH_ESCAPES|ORACLE|DB2|MAXDB|MSSQL|POSTGRESQL)(?![\w])", re.IGNORECASE
)
_MODE_NUMBER: Final = re.compile(r"\bsql_mode`?\s*:?=\s*(?!0\b)\d", re.IGNORECASE)
_PREPARE: Final = re.compile(r"prepare\s+`?([\w$]+)", re.IGNORECASE)
_USER_VARIABLE: Final = re.compile(r"""(?<![@\w$'"`])@(?!@)(`[^`]+`|[\w$.]+)""")
_GET_LOCK: Final = re.compile(
    r"""get_lock`?\s*+\(\s*+((?:(?:n|_\w++)?\s*+(?:'(?:[^'\\]|\\.|'')*+'|"(?:[^"\\]|\\.|"")*+")\s*+)++),""",
    re.IGNORECASE | re.DOTALL,
)
# Long texts are rows; what names objects or variables stands before them.
_LOOKED_AT: Final = 100_000


class SqlScript(Struct, frozen=True, dict=True):
    """One migration's text, where its statements are, and what each is."""

    text: str
    parts: tuple[Statement, ...]
    kinds: tuple[Kind, ...]

    @property
    def statements(self) -> int:
        """How many statements it has."""
        return len(self.parts)

    def sql(self, part: Statement) -> str:
        """Return one statement as it is sent."""
        return self.text[part.start : part.end]

    def kind(self, part: Statement) -> Kind:
        """Return what a statement is."""
        return self.kinds[part.number - 1]

    def digest(self, part: Statement) -> str:
        """Return by what the journal knows a statement's text."""
        return hashlib.sha256(self.sql(part).encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def transactional(self) -> bool:
        """Whether nothing in it commits, or may commit."""
        return not any(kind in {Kind.COMMITS, Kind.OPAQUE} for kind in self.kinds)

    @property
    def touches_session(self) -> bool:
        """Whether it may leave something behind in the session."""
        return any(kind in {Kind.SESSION, Kind.OPAQUE} for kind in self.kinds)

    @property
    def sets_role(self) -> bool:
        """Whether it may take another role."""
        return any(part.words[:2] == ("SET", "ROLE") for part in self.parts)

    @property
    def heads(self) -> tuple[str, ...]:
        """The beginnings of those that concern the session alone."""
        return tuple(
            self.text[part.start : min(part.end, part.start + 500)]
            for part, kind in zip(self.parts, self.kinds, strict=True)
            if kind is Kind.SESSION
        )

    @property
    def prepared(self) -> tuple[str, ...]:
        """The names of the statements that it prepares."""
        return tuple(dict.fromkeys(found[1] for head in self.heads if (found := _PREPARE.match(head)) is not None))

    @property
    def locks(self) -> tuple[str, ...]:
        """The literals that name the locks which it takes, as they stand there; others only the server knows."""
        heads = (self.sql(part)[:_LOOKED_AT] for part in self.parts if "GET_LOCK" in part.keywords)
        return tuple(dict.fromkeys(name.strip() for head in heads for name in _GET_LOCK.findall(head)))

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """The user variables that it names: SELECT ... INTO sets them too."""
        found = (each.strip("`") for each in _USER_VARIABLE.findall(self.text[:_LOOKED_AT]))
        return tuple(sorted({each.lower() for each in found}))


def kind_of(words: tuple[str, ...]) -> Kind:
    """Return what a statement is, by its first words."""
    first, second = (*words, "", "")[:2]
    if first == "SET":
        return _kind_of_set(words)
    if first in {"PREPARE", "DEALLOCATE"} or (first == "DROP" and second == "PREPARE"):
        return Kind.SESSION
    if first in {"CREATE", "DROP"} and "TEMPORARY" in words[1:4]:
        return Kind.SESSION
    if (first == "ANALYZE" and second in _TABLE_WORDS) or (first == "LOAD" and second == "INDEX"):
        return Kind.COMMITS
    if first in _COMMITS or (first == "START" and second in {"SLAVE", "REPLICA", "GROUP_REPLICATION", "ALL"}):
        return Kind.COMMITS
    # Without words it is a query in parentheses.
    return Kind.PLAIN if first in _PLAIN or not first else Kind.OPAQUE


def _kind_of_set(words: tuple[str, ...]) -> Kind:
    if words[1:2] in (("PASSWORD",), ("DEFAULT",)):
        return Kind.COMMITS
    if words[1:2] == ("STATEMENT",):
        # MariaDB: for the one statement that follows.
        return kind_of(words[words.index("FOR") + 1 :]) if "FOR" in words else Kind.OPAQUE
    return Kind.SESSION


def refused(part: Statement, sql: str) -> str | None:
    """Return why a statement is refused; None: it may run."""
    words, keywords, sql = part.words, part.keywords, sql[:_LOOKED_AT]
    code = _CODE.sub("''", sql)
    first = words[0] if words else ""
    return (
        _control(words)
        or _locks(words, keywords, code)
        or (_set(keywords, code) if first == "SET" else None)
        or _elsewhere(words, keywords)
        or _ledger(words, code, sql)
    )


def _control(words: tuple[str, ...]) -> str | None:
    first, second = (*words, "", "")[:2]
    block = words[:3] == ("BEGIN", "NOT", "ATOMIC")
    partial = first == "ROLLBACK" and "TO" in words[1:3]
    started = first == "START" and second == "TRANSACTION"
    if started or first == "XA" or (first in {"BEGIN", "COMMIT", "ROLLBACK"} and not block and not partial):
        what = f"{first} {second}" if first == "START" else first
        return f"{what} is refused: Lockstep begins and ends transactions, each with its record; remove it"
    return None


def _locks(words: tuple[str, ...], keywords: frozenset[str], code: str) -> str | None:
    first, second = (*words, "", "")[:2]
    if first in {"LOCK", "UNLOCK"}:
        what = f"{first} {second}".strip()
        return (
            f"{what} is refused: it would shut out the ledger; a migration needs no such locks, remove it "
            "(mysqldump leaves them out with --skip-add-locks)"
        )
    if first == "FLUSH" and re.search(r"\bwith\s+read\s+lock\b|\bfor\s+export\b", code, re.IGNORECASE):
        return "FLUSH TABLES with a lock is refused: it would shut out the ledger; remove it"
    if first == "BACKUP":
        return "BACKUP is refused: it would shut out the ledger; remove it"
    if "RELEASE_ALL_LOCKS" in keywords:
        return "RELEASE_ALL_LOCKS() is refused: it would let go of the lock that this run holds; use RELEASE_LOCK"
    if first in {"KILL", "SHUTDOWN", "RESTART"}:
        return f"{first} is refused: it may end this run's own session"
    return None


def _set(keywords: frozenset[str], code: str) -> str | None:
    for name in ("AUTOCOMMIT", "COMPLETION_TYPE", "SQL_LOG_BIN"):
        if name in keywords:
            return f"SET {name.lower()} is refused: Lockstep commits each change together with its record; remove it"
    if (once := _ONCE.search(code)) is not None:
        return (
            f"SET {once[1] or once[2]} is refused: without SESSION it is for the next transaction, and that is "
            "Lockstep's own; remove it"
        )
    if (wide := _WIDE.search(code)) is not None:
        return (
            f"SET {wide[1].upper()} is refused: it would change the whole server; leave it to whoever runs the server"
        )
    return None


def _elsewhere(words: tuple[str, ...], keywords: frozenset[str]) -> str | None:
    first = words[0] if words else ""
    if first == "USE":
        return (
            "USE is refused: the session stays in the Secret's database; remove it, and write `database`.`table` where "
            "another one is meant"
        )
    if first == "LOAD" and {"LOCAL", "INFILE"} <= keywords:
        return "LOAD DATA LOCAL is refused: there is no such file in the pod; use INSERT"
    return None


def _ledger(words: tuple[str, ...], code: str, sql: str) -> str | None:
    # What is prepared is a string, so that its strings are looked at too.
    found = _LEDGER.search(sql if words[:1] in (("PREPARE",), ("EXECUTE",)) else code)
    if found is not None:
        return f"{found[0]} is refused: it is a table of Lockstep's ledger"
    if words[:1] and words[0] in _NAMING and _PREFIXED.search(code) is not None:
        name = next((one.name for one in named(sql) if _PREFIXED.match(one.name)), None)
        if name is not None:
            return f"the name {name} is refused: lockstep_ begins the names of the ledger's tables; choose another"
    return None


def _why(part: Statement, text: str) -> str | None:
    """Return why a statement of a text is refused; None: it may run."""
    sql = text[part.start : part.end]
    why = refused(part, sql)
    if why is not None or part.words[:1] != ("SET",) or "SQL_MODE" not in part.keywords:
        return why
    if (mode := _MODES.search(sql)) is not None:
        return f"sql_mode {mode[1].upper()} is refused: it would change what the rest of the SQL means"
    if _MODE_NUMBER.search(sql) is not None:
        return "sql_mode as a number is refused: it may change what the rest of the SQL means; write its words"
    return None


def read_script(action: Action) -> SqlScript:
    """Split a step's text and see that all of it may run.

    Raises:
        RunError: StatementRefused, with the place.
    """
    text, migration = action.text, action.migration
    try:
        parts = tuple(split(text))
    except LexError as error:
        raise refuse(action, error.message, (error.line, error.column)) from error
    kinds = tuple(kind_of(part.words) for part in parts)
    for part, kind in zip(parts, kinds, strict=True):
        why = _why(part, text)
        if why is None and migration.transaction == "Always" and kind is Kind.COMMITS:
            what = " ".join(part.words[:2])
            why = (
                f"{what} commits by itself, and transaction is Always: use Auto, or take it into a migration of its own"
            )
        if why is not None:
            # Dumps have a whole frame of it.
            behind = [other for other in parts[part.number :] if _why(other, text) is not None]
            raise refuse(action, why + more_of_it(part, behind, _control), place_at(text, part.start), part.number)
    return SqlScript(text, parts, kinds)
