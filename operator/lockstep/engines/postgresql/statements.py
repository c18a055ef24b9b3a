"""What each statement of a migration is: run in a transaction, run alone, or refused. Pure."""

import hashlib
from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from lockstep.engines.base import Action
from lockstep.engines.lexing import LexError, Statement, place_at
from lockstep.engines.postgresql.copying import Data
from lockstep.engines.postgresql.lexer import split
from lockstep.engines.postgresql.subjects import Subject, prepared, quoted, subject
from lockstep.engines.refused_texts import more_of_it, refuse

_CONTROL: Final = (
    ("BEGIN",),
    ("START", "TRANSACTION"),
    ("COMMIT",),
    ("END",),
    ("ROLLBACK",),
    ("ABORT",),
    ("PREPARE", "TRANSACTION"),
)
_CONCURRENT: Final = frozenset({"CREATE", "DROP", "REINDEX", "ALTER"})
_SCOPES: Final = frozenset({"DATABASE", "SUBSCRIPTION", "SYSTEM", "TABLESPACE"})
"""Second words of what may be unable to run in a transaction block without being CONCURRENTLY."""
_UNLOCK: Final = "pg_advisory_unlock_all"
_LOCK: Final = "advisory_lock"
"""Part of the names of all functions that take advisory locks for the session."""
_ENDS: Final = {"DECLARE": "CLOSE ALL", "LISTEN": "UNLISTEN *"}
"""First words of what outlives its transaction without being a setting, and what ends it."""


class SqlScript(Struct, frozen=True):
    """One migration's text and where its statements are."""

    text: str
    parts: tuple[Statement, ...]
    journaled: bool = False
    """Whether its statements are committed one by one, each with its row in the journal."""
    leftovers: tuple[str, ...] = ()
    """What ends that which it leaves in its session beyond its transaction, and which is no setting."""
    locks: bool = False
    """Whether it may leave advisory locks there."""

    @property
    def statements(self) -> int:
        """How many statements it has."""
        return len(self.parts)

    def sql(self, statement: Statement) -> str:
        """Return one statement as it is sent."""
        return self.text[statement.start : statement.end]

    def data(self, statement: Statement) -> Data | None:
        """Return what a COPY copies."""
        return None if statement.data is None else Data(self.text, *statement.data)

    def digest(self, statement: Statement) -> str:
        """Return by what the journal knows a statement: a hash of it and its data, whatever ends their lines."""
        data = "" if statement.data is None else self.text[slice(*statement.data)]
        words = f"{self.sql(statement)}\n{data}".replace("\r\n", "\n").replace("\r", "\n")
        return hashlib.sha256(words.encode()).hexdigest()

    def subject(self, statement: Statement) -> Subject | None:
        """Return what a statement is about that cannot run in a transaction block; None: it can, for all we know."""
        return _subject(statement, self)


def _starts(words: tuple[str, ...], heads: tuple[tuple[str, ...], ...]) -> tuple[str, ...] | None:
    return next((head for head in heads if words[: len(head)] == head), None)


def _is_control(words: tuple[str, ...]) -> bool:
    if _starts(words, _CONTROL) is None:
        return words[:2] == ("DISCARD", "ALL")
    # ROLLBACK [WORK | TRANSACTION] TO [SAVEPOINT] stays inside of the transaction.
    return not (words[0] == "ROLLBACK" and "TO" in words[1:3])


def _sets_isolation(words: tuple[str, ...]) -> str | None:
    """Return what it gives the transaction that the server takes before any query only; None: nothing of that kind."""
    if words[:1] != ("SET",) or "TRANSACTION" not in words[1:3]:
        return None
    modes = " ".join(words).replace("ISOLATION LEVEL READ COMMITTED", "")
    return next((each for each in ("ISOLATION LEVEL", "DEFERRABLE", "SNAPSHOT") if each in modes), None)


def _subject(statement: Statement, script: SqlScript) -> Subject | None:
    words = statement.words
    first, second = words[:1], words[1:2]
    concurrently = "CONCURRENTLY" in statement.keywords and first and first[0] in _CONCURRENT
    alone = first in {("VACUUM",), ("CLUSTER",), ("REINDEX",)}
    # What most statements are not is told without reading them again.
    if not (concurrently or alone or (second and second[0] in _SCOPES)):
        return None
    return subject(script.sql(statement), concurrently=bool(concurrently))


def _place(part: Statement) -> tuple[int, int]:
    return part.line, part.column


def _leftovers(text: str, parts: Sequence[Statement]) -> tuple[str, ...]:
    """Return what ends that which a text's statements leave in their session.

    A name that is prepared may be gone by then. DEALLOCATE ALL would take Lockstep's own plans away.
    """
    ends = dict[str, None]()
    for part in parts:
        head = part.words[0] if part.words else ""
        if head in _ENDS:
            ends[_ENDS[head]] = None
        elif head == "PREPARE" and (name := prepared(text[part.start : part.end])):
            ends[f"DEALLOCATE {quoted(name)}"] = None
    return tuple(ends)


def read_script(action: Action) -> SqlScript:
    """Split a step's text, and see whether it runs in one transaction or is journaled statement by statement.

    Raises:
        RunError: StatementRefused, with the place.
    """
    migration, text = action.migration, action.text
    try:
        parts = tuple(split(text))
    except LexError as error:
        raise refuse(action, error.message, (error.line, error.column)) from error
    lowered = text.lower()
    script = SqlScript(text, parts, migration.transaction == "Never", _leftovers(text, parts), _LOCK in lowered)
    for part in parts:
        _judge(action, part, parts)
        if (found := _subject(part, script)) is None:
            continue
        if migration.transaction == "Always":
            why = f"{found.what} cannot run in a transaction block, and spec.transaction is Always: use Auto"
            raise refuse(action, why, _place(part), part.number)
        script = replace(script, journaled=True)
    if _UNLOCK in lowered:
        _see_no_unlock(action, script)
    return script


def _judge(action: Action, part: Statement, parts: Sequence[Statement]) -> None:
    words = part.words
    why = None
    if _is_control(words):
        what = " ".join(words[:2]) if words[0] in {"START", "PREPARE", "DISCARD"} else words[0]
        because = (
            "it would let go of the lock"
            if words[0] == "DISCARD"
            else "transactions are Lockstep's own: each commits together with its record"
        )
        more = more_of_it(part, (p for p in parts[part.number :] if _is_control(p.words)), _is_control)
        why = f"{what} is refused: {because}; remove it{more}"
    elif (mode := _sets_isolation(words)) is not None:
        why = (
            f"SET TRANSACTION {mode} is refused: Lockstep begins the transaction, in READ COMMITTED, and no "
            "other run is in the line; remove it"
        )
    elif words[:1] == ("COPY",) and part.data is None and part.keywords & {"STDIN", "STDOUT"}:
        why = (
            "COPY ... TO stdout is refused: nobody is there to take the rows; COPY ... TO a file on the server, or "
            "leave it out"
        )
    if why is not None:
        raise refuse(action, why, _place(part), part.number)


def _see_no_unlock(action: Action, script: SqlScript) -> None:
    """Refuse pg_advisory_unlock_all, also inside of a body in quotes; in a comment it is just a word."""
    for part in script.parts:
        at = script.sql(part).lower().find(_UNLOCK)
        if at >= 0:
            raise refuse(
                action,
                f"{_UNLOCK}() is refused: it would let go of the lock that this run holds; "
                "unlock by key with pg_advisory_unlock",
                place_at(script.text, part.start + at),
                part.number,
            )
