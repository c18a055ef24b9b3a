"""What a statement that cannot run in a transaction block is about, read from its text. Pure.

The text is read with the server's own rules for names; what cannot be told from it (a partitioned table, a procedure
that commits) shows only when the server refuses it.
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from msgspec import Struct

# Compiled on first use: few migrations have a statement that runs alone.
_LEXEME: Final = r"""(?sx)
    \s++ | --[^\n\r]*+
    | (?P<open>/\*)
    | (?P<escaped>[uU]&"(?:[^"]|"")*+")
    | (?P<quoted>"(?:[^"]|"")*+")
    | (?P<string>'(?:[^']|'')*+')
    | (?P<word>[^\W\d][\w$]*+)
    | (?P<mark>.)
"""
_BLOCK: Final = r"/\*|\*/"
_ESCAPE: Final = r"\\(?:\\|\+([0-9a-fA-F]{6})|([0-9a-fA-F]{4}))"
_OFF: Final = r"(?i)\b(?:connect|create_slot)\s*=\s*'?(?:false|off|no|0)\b"
_INTO_TEMPORARY: Final = r"(?i)\binto\s+(?:(?:local\s+|global\s+)?temp(?:orary)?\b|(?:table\s+)?\"?pg_temp\"?\s*\.)"
_SET_CONFIG: Final = (
    r"(?i)SELECT\s+(?:pg_catalog\s*\.\s*)?set_config\s*\(\s*'[^']*'\s*,\s*'[^']*'\s*,\s*(?:false|'f(?:alse)?')\s*\)\s*"
)


class Kind(StrEnum):
    """By what a statement that did not end well can be settled."""

    CREATE_INDEX = "create_index"
    DROP_INDEX = "drop_index"
    REINDEX = "reindex"
    """REINDEX CONCURRENTLY: it leaves the indexes that it was building."""
    DETACH = "detach"
    CREATE = "create"
    """Of a database, a tablespace or a subscription: it is there or not."""
    DROP = "drop"
    AGAIN = "again"
    """To run it twice does no harm."""
    OPAQUE = "opaque"
    """The catalog does not show whether it has run."""


Name = tuple[str, ...]
"""A name's parts as the server folds them; empty where the server chooses the name."""


class Subject(Struct, frozen=True):
    """One statement that runs alone."""

    kind: Kind
    what: str
    """How messages call it."""
    name: Name = ()
    """The table of an index that is made, the index that is dropped, the parent of a partition, the object."""
    part: Name = ()
    """The index that is made; the partition."""
    lenient: bool = False
    """IF NOT EXISTS: what is there already is left alone."""
    scope: str = ""
    """DATABASE, TABLESPACE or SUBSCRIPTION; of a REINDEX: INDEX, TABLE, SCHEMA, DATABASE or SYSTEM."""

    @property
    def concurrent(self) -> bool:
        """Whether it gives way to others by itself, and waits for them as long as it takes."""
        return self.kind in {Kind.CREATE_INDEX, Kind.DROP_INDEX, Kind.REINDEX, Kind.DETACH}


OPAQUE: Final = Subject(Kind.OPAQUE, "a statement that commits")


def subject(sql: str, *, concurrently: bool) -> Subject | None:  # noqa: PLR0911 - one answer a statement
    """Return what a statement is about if its text says that it cannot run in a transaction block, otherwise None.

    Args:
        sql: the statement.
        concurrently: whether it has the word CONCURRENTLY.
    """
    head = _Head(sql)
    match head.word():
        case "VACUUM":
            return Subject(Kind.AGAIN, "VACUUM")
        case "CLUSTER":
            head.parentheses()
            head.take("VERBOSE")
            return Subject(Kind.AGAIN, "CLUSTER of all tables") if head.ended else None
        case "REINDEX":
            return _reindex(head, concurrently=concurrently)
        case "CREATE":
            return _create(head, sql)
        case "DROP":
            return _drop(head)
        case "ALTER":
            return _alter(head)
    return None


def _reindex(head: "_Head", *, concurrently: bool) -> Subject | None:
    options = head.parentheses()
    scope = head.word()
    said = head.take("CONCURRENTLY") or (concurrently and _switched_on(options))
    if said:
        return Subject(Kind.REINDEX, "REINDEX CONCURRENTLY", head.name(), scope=scope)
    return Subject(Kind.AGAIN, f"REINDEX {scope}") if scope in {"DATABASE", "SYSTEM", "SCHEMA"} else None


def _switched_on(options: list[str]) -> bool:
    at = options.index("CONCURRENTLY") if "CONCURRENTLY" in options else -1
    return at >= 0 and options[at + 1 : at + 2] not in (["FALSE"], ["OFF"], ["0"])


def _create(head: "_Head", sql: str) -> Subject | None:
    unique = head.take("UNIQUE")
    if head.take("INDEX"):
        if not head.take("CONCURRENTLY"):
            return None
        what = "CREATE UNIQUE INDEX CONCURRENTLY" if unique else "CREATE INDEX CONCURRENTLY"
        lenient = head.take("IF", "NOT", "EXISTS")
        named = () if head.take("ON") else head.name()
        if named:
            head.take("ON")
        head.take("ONLY")
        return Subject(Kind.CREATE_INDEX, what, head.name(), named, lenient)
    scope = head.word()
    if scope == "SUBSCRIPTION" and re.search(_OFF, sql):
        return None
    if scope in {"DATABASE", "TABLESPACE", "SUBSCRIPTION"}:
        return Subject(Kind.CREATE, f"CREATE {scope}", head.name(), scope=scope)
    return None


def _drop(head: "_Head") -> Subject | None:
    if head.take("INDEX"):
        if not head.take("CONCURRENTLY"):
            return None
        lenient = head.take("IF", "EXISTS")
        return Subject(Kind.DROP_INDEX, "DROP INDEX CONCURRENTLY", head.name(), lenient=lenient)
    scope = head.word()
    if scope not in {"DATABASE", "TABLESPACE", "SUBSCRIPTION"}:
        return None
    lenient = head.take("IF", "EXISTS")
    return Subject(Kind.DROP, f"DROP {scope}", head.name(), lenient=lenient, scope=scope)


def _alter(head: "_Head") -> Subject | None:  # noqa: PLR0911 - one answer a statement
    match head.word():
        case "SYSTEM":
            return Subject(Kind.AGAIN, "ALTER SYSTEM")
        case "DATABASE":
            head.name()
            return Subject(Kind.AGAIN, "ALTER DATABASE SET TABLESPACE") if head.take("SET", "TABLESPACE") else None
        case "SUBSCRIPTION":
            head.name()
            if head.take("REFRESH") or head.take("SET", "PUBLICATION"):
                return Subject(Kind.AGAIN, "ALTER SUBSCRIPTION")
            changed = head.take("ADD", "PUBLICATION") or head.take("DROP", "PUBLICATION")
            return Subject(Kind.OPAQUE, "ALTER SUBSCRIPTION") if changed else None
        case "TABLE":
            head.take("IF", "EXISTS")
            head.take("ONLY")
            parent = head.name()
            if not head.take("DETACH", "PARTITION"):
                return None
            part = head.name()
            if head.take("CONCURRENTLY"):
                return Subject(Kind.DETACH, "DETACH PARTITION CONCURRENTLY", parent, part)
    return None


def is_temporary(sql: str) -> bool:
    """Tell whether a statement makes what ends with its session: a temporary object, a cursor, a prepared statement."""
    head = _Head(sql)
    match head.word():
        case "CREATE":
            head.take("OR", "REPLACE")
            said = head.take("GLOBAL") or head.take("LOCAL") or head.take("TEMP") or head.take("TEMPORARY")
            return said or head.first_qualified() == "pg_temp"
        case "PREPARE" | "DECLARE":
            return True
        case "SELECT" | "WITH":
            return re.search(_INTO_TEMPORARY, sql) is not None
    return False


def prepared(sql: str) -> Name:
    """Return the name of the statement that a PREPARE prepares."""
    head = _Head(sql)
    return head.name() if head.take("PREPARE") else ()


def is_setting(sql: str) -> bool:
    """Tell whether a statement does nothing but set its session: said again, it gives the same session."""
    head = _Head(sql)
    match head.word():
        case "SET":
            return not (head.take("LOCAL") or head.take("CONSTRAINTS") or head.take("TRANSACTION"))
        case "RESET":
            return True
        case "SELECT":
            return re.fullmatch(_SET_CONFIG, sql) is not None
    return False


def quoted(name: Name) -> str:
    """Return a name as SQL."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in name)


class _Head:
    """Reads a statement from its first word on, as far as it is asked."""

    def __init__(self, sql: str) -> None:
        self._tokens = _tokens(sql)
        self._ahead: list[tuple[str, str]] = []

    def _peek(self, at: int = 0) -> tuple[str, str]:
        while len(self._ahead) <= at:
            self._ahead.append(next(self._tokens, ("", "")))
        return self._ahead[at]

    @property
    def ended(self) -> bool:
        """Whether nothing is left."""
        return self._peek() == ("", "")

    def word(self) -> str:
        """Take the next token if it is a word; return it in upper case."""
        kind, value = self._peek()
        if kind != "word":
            return ""
        self._ahead.pop(0)
        return value.upper()

    def take(self, *words: str) -> bool:
        """Take these words if they come next."""
        for at, word in enumerate(words):
            kind, value = self._peek(at)
            if kind != "word" or value.upper() != word:
                return False
        del self._ahead[: len(words)]
        return True

    def parentheses(self) -> list[str]:
        """Take what stands in parentheses, if they come next; return it in upper case."""
        found: list[str] = []
        if self._peek() != ("mark", "("):
            return found
        while (token := self._peek()) != ("", ""):
            self._ahead.pop(0)
            if token == ("mark", ")"):
                break
            found.append(token[1].upper())
        return found

    def first_qualified(self) -> str:
        """Return the first part of the first name that has several, if one comes before a parenthesis or a string."""
        while self._peek()[0] in {"word", "name"}:
            if len(found := self.name()) > 1:
                return found[0]
        return ""

    def name(self) -> Name:
        """Take a name with its qualification."""
        parts: list[str] = []
        while True:
            kind, value = self._peek()
            if kind not in {"word", "name"}:
                return tuple(parts)
            self._ahead.pop(0)
            # The server folds ASCII letters only.
            parts.append(value if kind == "name" else "".join(c.lower() if c.isascii() else c for c in value))
            if self._peek() != ("mark", "."):
                return tuple(parts)
            self._ahead.pop(0)


def _tokens(sql: str) -> Iterator[tuple[str, str]]:
    """Return kind and value of each token: word, name (quoted, as it is meant), mark or string."""
    at = 0
    lexeme = re.compile(_LEXEME)
    while (found := lexeme.match(sql, at)) is not None:
        at = found.end()
        match found.lastgroup:
            case None:
                continue
            case "open":
                at = _behind_block(sql, found.start())
            case "quoted":
                yield "name", found[0][1:-1].replace('""', '"')
            case "escaped":
                yield "name", re.sub(_ESCAPE, _unescape, found[0][3:-1].replace('""', '"'))
            case kind:
                yield kind, found[0]


def _behind_block(sql: str, at: int) -> int:
    depth = 0
    for found in re.compile(_BLOCK).finditer(sql, at):
        depth += 1 if found[0] == "/*" else -1
        if depth == 0:
            return found.end()
    return len(sql)


def _unescape(found: re.Match[str]) -> str:
    digits = found[1] or found[2]
    return "\\" if digits is None else chr(int(digits, 16))
