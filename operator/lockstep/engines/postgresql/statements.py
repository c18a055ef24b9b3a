"""What each statement of a migration is: run in a transaction, run alone, or refused. Pure."""

import hashlib
from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from lockstep.api.reasons import Reason
from lockstep.engines.base import Action, RunError
from lockstep.engines.lexing import LexError, Statement, more_of_it, place_at
from lockstep.engines.postgresql.copying import Data
from lockstep.engines.postgresql.lexer import split
from lockstep.engines.postgresql.subjects import Subject, prepared, quoted, subject
from lockstep.planning.result import ErrorDetail

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
_LEAVES: Final = {"DECLARE": "CLOSE ALL", "LISTEN": "UNLISTEN *", "PREPARE": ""}
"""First words of what outlives its transaction without being a setting, and what ends it."""


class SqlScript(Struct, frozen=True):
    """One migration's text and where its statements are."""

    text: str
    parts: tuple[Statement, ...]
    journaled: bool = False
    """Whether its statements are committed one by one, each with its row in the journal."""

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

    @property
    def leftovers(self) -> tuple[str, ...]:
        """What ends that which it leaves in its session beyond its transaction, and which is no setting.

        A name that is prepared may be gone by then. DEALLOCATE ALL would take Lockstep's own plans away.
        """
        heads = {part.words[0] for part in self.parts if part.words} & _LEAVES.keys()
        ends = [_LEAVES[head] for head in sorted(heads) if _LEAVES[head]]
        if "PREPARE" in heads:
            names = {prepared(self.sql(part)) for part in self.parts if part.words[:1] == ("PREPARE",)}
            ends += [f"DEALLOCATE {quoted(name)}" for name in sorted(names) if name]
        return tuple(ends)

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


def _sets_isolation(words: tuple[str, ...]) -> bool:
    """Tell whether it gives the transaction another level than it has: the server takes that before any query only."""
    if words[:1] != ("SET",) or "TRANSACTION" not in words[1:3]:
        return False
    modes = " ".join(words)
    return "ISOLATION LEVEL" in modes and "ISOLATION LEVEL READ COMMITTED" not in modes


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


def _refuse(action: Action, message: str, at: tuple[int, int], number: int | None) -> RunError:
    migration = action.migration
    line, column = at
    place = f"line {line}, column {column}" if number is None else f"statement {number}, line {line}, column {column}"
    return RunError(
        Reason.STATEMENT_REFUSED,
        f"{action.label}, {place}: {message}",
        error=ErrorDetail(migration.version or migration.name, number, line),
    )


def read_script(action: Action) -> SqlScript:
    """Split a step's text, and see whether it runs in one transaction or is journaled statement by statement.

    Raises:
        RunError: StatementRefused, with the place.
    """
    migration, text = action.migration, action.text
    try:
        parts = tuple(split(text))
    except LexError as error:
        raise _refuse(action, error.message, (error.line, error.column), None) from error
    script = SqlScript(text, parts, journaled=migration.transaction == "Never")
    for part in parts:
        _judge(action, part, parts)
        if (found := _subject(part, script)) is None:
            continue
        if migration.transaction == "Always":
            why = f"{found.what} cannot run in a transaction block, and spec.transaction is Always: use Auto"
            raise _refuse(action, why, _place(part), part.number)
        script = replace(script, journaled=True)
    _find_unlock(action, script)
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
        more = more_of_it(other.line for other in parts[part.number :] if _is_control(other.words))
        why = f"{what} is refused: {because}; remove it{more}"
    elif _sets_isolation(words):
        why = (
            "SET TRANSACTION ISOLATION LEVEL is refused: Lockstep begins the transaction, in READ COMMITTED, and no "
            "other run is in the line; remove it"
        )
    elif words[:1] == ("COPY",) and part.data is None and part.keywords & {"STDIN", "STDOUT"}:
        why = (
            "COPY ... TO stdout is refused: nobody is there to take the rows; COPY ... TO a file on the server, or "
            "leave it out"
        )
    if why is not None:
        raise _refuse(action, why, _place(part), part.number)


def _find_unlock(action: Action, script: SqlScript) -> None:
    """Refuse pg_advisory_unlock_all, also inside of a body in quotes; in a comment it is just a word."""
    if _UNLOCK not in script.text.lower():
        return
    for part in script.parts:
        at = script.sql(part).lower().find(_UNLOCK)
        if at >= 0:
            raise _refuse(
                action,
                f"{_UNLOCK}() is refused: it would let go of the lock that this run holds; "
                "unlock by key with pg_advisory_unlock",
                place_at(script.text, part.start + at),
                part.number,
            )
