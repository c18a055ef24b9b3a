"""Which objects a statement that commits by itself is about: what a pre-image is taken of. Pure.

Only what can be told from the statement's head is read; of anything else it is said that it cannot be told.
"""

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from msgspec import Struct

_TOKEN: Final = re.compile(
    r"""
    (?:[\s]+|/\*(?!M?!).*?\*/|/\*M?!\d*|\*/|(?:\#|--(?=[\s]|\Z))[^\n]*)*+
    (?:
      `(?P<name>(?:[^`]|``)*)`
    | (?P<word>[^\W\d][\w$]*|\d[\w$]*|\$[\w$]*)
    | (?P<string>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*")
    | (?P<sign>.)
    )
    """,
    re.VERBOSE | re.DOTALL,
)
HEAD: Final = 4000
"""Characters of a statement in which its objects are looked for."""


class Settling(StrEnum):
    """How it can be told, after a crash, whether a statement has taken effect."""

    IMAGE = "image"
    """Its objects are no longer what they were before it."""
    AGAIN = "again"
    """It may be run again whether it has or not."""
    EMPTY = "empty"
    """Its table is empty."""
    NEVER = "never"
    """It cannot be told."""


class Subject(Struct, frozen=True):
    """One object, by its kind (table, view, procedure, ...), its database (None: the session's) and its name."""

    kind: str
    schema: str | None
    name: str


class Effect(Struct, frozen=True):
    """What a statement changes, and how that can be told."""

    settling: Settling
    subjects: tuple[Subject, ...] = ()
    turns: bool = False
    """Whether it gives each object's name to another: run twice, it is as if it had not run."""
    makes: bool = False
    """Whether its objects are there once it has run."""
    fills: bool = False
    """Whether it may put rows into the table that it makes."""


NEVER: Final = Effect(Settling.NEVER)
_AGAIN: Final = frozenset({"ANALYZE", "OPTIMIZE", "REPAIR", "CHECK", "FLUSH", "CACHE", "LOAD", "GRANT"})
_STORED: Final = frozenset(
    {"VIEW", "PROCEDURE", "FUNCTION", "LIBRARY", "TRIGGER", "EVENT", "SEQUENCE", "DATABASE", "SCHEMA"}
)
_ACCOUNTS: Final = frozenset({"USER", "ROLE"})
# What an ALTER TABLE may do to rows without a trace in the table's definition.
_TRACELESS: Final = frozenset({"TRUNCATE", "EXCHANGE", "DISCARD", "IMPORT"})
# Of a query, wherever it stands.
_QUERIES: Final = frozenset({"SELECT", "VALUES", "WITH", "TABLE"})
_END: Final = ""


class _Reader:
    """A statement's head, token by token."""

    def __init__(self, sql: str) -> None:
        self.tokens: list[tuple[str, str]] = []
        for found in _TOKEN.finditer(sql[:HEAD]):
            kind = found.lastgroup or ""
            text = found[kind]
            self.tokens.append((kind, text.replace("``", "`") if kind == "name" else text))
        self.at = 0

    @property
    def word(self) -> str:
        """The token that comes, in upper case if it is a word."""
        kind, text = self.tokens[self.at] if self.at < len(self.tokens) else (_END, _END)
        return text.upper() if kind == "word" else text if kind == "sign" else _END

    def take(self, *words: str) -> bool:
        """Step over these words if they come."""
        start = self.at
        for word in words:
            if self.word != word:
                self.at = start
                return False
            self.at += 1
        return True

    def skip_to(self, *words: str) -> bool:
        """Go behind the first of these words that comes outside of parentheses; where none does, to the end."""
        depth = 0
        while self.at < len(self.tokens):
            word = self.word
            self.at += 1
            depth += (word == "(") - (word == ")")
            if depth == 0 and word in words:
                return True
        return False

    def goes_on_with(self, words: frozenset[str]) -> bool:
        """Tell whether one of these words is among the tokens that come."""
        return any(kind == "word" and text.upper() in words for kind, text in self.tokens[self.at :])

    def subject(self, kind: str) -> Subject | None:
        """Take a name, qualified or not."""
        first = self._name()
        if first is None or not self.take("."):
            return None if first is None else Subject(kind, None, first)
        second = self._name()
        return None if second is None else Subject(kind, first, second)

    def _name(self) -> str | None:
        kind, text = self.tokens[self.at] if self.at < len(self.tokens) else (_END, _END)
        if kind not in {"name", "word"}:
            return None
        self.at += 1
        return text

    def subjects(self, kind: str) -> list[Subject] | None:
        """Take names with commas in between."""
        found = []
        while True:
            one = self.subject(kind)
            if one is None:
                return None
            found.append(one)
            if not self.take(","):
                return found


def effect_of(sql: str) -> Effect:
    """Return what a statement that commits by itself changes."""
    reader = _Reader(sql)
    verb = reader.word
    reader.at += 1
    if verb in _AGAIN:
        return Effect(Settling.AGAIN)
    if verb == "TRUNCATE":
        reader.take("TABLE")
        one = reader.subject("table")
        return NEVER if one is None else Effect(Settling.EMPTY, (one,))
    if verb == "RENAME":
        renamed = _rename(reader)
        subjects = tuple(dict.fromkeys(one for pair in renamed for one in pair))
        return Effect(Settling.IMAGE, subjects, turns=_turns(renamed)) if renamed else NEVER
    read = {"CREATE": _create, "ALTER": _alter, "DROP": _drop}.get(verb)
    found = read(reader) if read is not None else None
    if not found:
        return NEVER
    fills = verb == "CREATE" and found[0].kind == "table" and (len(sql) >= HEAD or reader.goes_on_with(_QUERIES))
    return Effect(Settling.IMAGE, tuple(dict.fromkeys(found)), makes=verb == "CREATE", fills=fills)


def named(sql: str) -> tuple[Subject, ...]:
    """Return the tables, views and sequences that get a name by a statement: they share theirs."""
    reader = _Reader(sql)
    verb = reader.word
    reader.at += 1
    found: Sequence[Subject | None] = ()
    if verb == "CREATE":
        kind = _created(reader)
        found = [reader.subject(kind)] if kind is not None else ()
    elif verb == "ALTER":
        found = (_alter(reader) or ())[1:]
    elif verb == "RENAME":
        found = [after for _, after in _rename(reader)]
    return tuple(one for one in found if one is not None and one.kind in {"table", "view", "sequence"})


def called(sql: str) -> Subject | None:
    """Return the procedure that a CALL calls."""
    reader = _Reader(sql)
    return reader.subject("procedure") if reader.take("CALL") else None


def _image(one: Subject | None) -> list[Subject] | None:
    return None if one is None else [one]


def _conditions(reader: _Reader) -> None:
    _ = reader.take("IF", "NOT", "EXISTS") or reader.take("IF", "EXISTS")


def _created(reader: _Reader) -> str | None:
    """Return what kind of object a CREATE makes, and step to its name."""
    if not reader.skip_to("TABLE", "INDEX", *_STORED, *_ACCOUNTS):
        return None
    kind = _kind(reader)
    _conditions(reader)
    return None if kind.upper() in _ACCOUNTS else kind


def _create(reader: _Reader) -> list[Subject] | None:
    kind = _created(reader)
    if kind != "index":
        return None if kind is None else _image(reader.subject(kind))
    # CREATE INDEX name ... ON table: the index shows in the table's definition.
    return _image(reader.subject("table")) if reader.skip_to("ON") else None


def _kind(reader: _Reader) -> str:
    """Return the kind of object that the last word says."""
    word = reader.tokens[reader.at - 1][1].lower()
    return "database" if word == "schema" else word


def _alter(reader: _Reader) -> list[Subject] | None:
    if not reader.skip_to("TABLE", *_STORED):
        return None
    kind = _kind(reader)
    _conditions(reader)
    one = reader.subject(kind)
    if one is None or kind not in {"table", "event"}:
        return _image(one)
    found = [one]
    while reader.at < len(reader.tokens):
        word = reader.word
        if kind == "table" and word in _TRACELESS:
            return None
        reader.at += 1
        if word == "RENAME" and reader.word not in {"COLUMN", "INDEX", "KEY", "CONSTRAINT"}:
            _ = reader.take("TO") or reader.take("AS") or reader.take("=")
            renamed = reader.subject(kind)
            if renamed is None:
                return None
            found.append(renamed)
    return found


def _drop(reader: _Reader) -> list[Subject] | None:
    _ = reader.take("AGGREGATE")
    word = reader.word
    reader.at += 1
    if word == "INDEX":
        return _image(reader.subject("table")) if reader.skip_to("ON") else None
    if word not in {"TABLE", "TABLES", *_STORED}:
        return None
    kind = "table" if word == "TABLES" else _kind(reader)
    _conditions(reader)
    return reader.subjects(kind)


def _rename(reader: _Reader) -> list[tuple[Subject, Subject]]:
    """Return what gets which name; nothing where that cannot be read."""
    if not (reader.take("TABLE") or reader.take("TABLES")):
        return []
    _conditions(reader)
    found: list[tuple[Subject, Subject]] = []
    while True:
        before = reader.subject("table")
        _ = reader.take("WAIT", reader.word) or reader.take("NOWAIT")
        after = reader.subject("table") if reader.take("TO") else None
        if before is None or after is None:
            return []
        found.append((before, after))
        if not reader.take(","):
            return found


def _turns(renamed: Sequence[tuple[Subject, Subject]]) -> bool:
    """Tell whether the names that are taken are those that were there: a, b as b, a; in whatever database."""
    there: set[str] = set()
    now: set[str] = set()
    for before, after in renamed:
        if before.name not in now:
            there.add(before.name)
        now = now - {before.name} | {after.name}
    return there == now


def judge(before: Sequence[str | None], now: Sequence[str | None], *, drops: bool, makes: bool = False) -> bool | None:
    """Tell from the images of its objects whether a statement has taken effect; None: some of it has.

    Args:
        before: an image of each object before it; None: it was not there.
        now: the same now.
        drops: whether it drops its objects: what was not there before does not count.
        makes: whether it makes them: what is gone was dropped to be replaced, and was not.
    """
    if makes and any(was is not None and then is None for was, then in zip(before, now, strict=True)):
        return None
    pairs = zip(before, now, strict=True)
    # A name that was free and is free again is one that a chain of RENAMEs has used in between.
    counted = [(was, then) for was, then in pairs if was is not None or (then is not None and not drops)]
    changed = [was != then for was, then in counted]
    if not any(changed):
        return False
    return True if all(changed) else None


def temporary_tables(heads: Sequence[str]) -> tuple[Subject, ...]:
    """Return the temporary tables that some statements create, by their heads."""
    found = []
    for sql in heads:
        reader = _Reader(sql)
        if not reader.take("CREATE"):
            continue
        reader.take("OR", "REPLACE")
        if reader.take("TEMPORARY", "TABLE"):
            _conditions(reader)
            if (one := reader.subject("table")) is not None:
                found.append(one)
    return tuple(dict.fromkeys(found))
