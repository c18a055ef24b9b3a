"""What each statement of a migration is: run in a transaction, refused, or not supported yet. Pure."""

from dataclasses import dataclass
from typing import Final

from lockstep.api.reasons import Reason
from lockstep.engines.base import Action, RunError
from lockstep.engines.lexing import LexError, Statement, place_at
from lockstep.engines.postgresql.lexer import split
from lockstep.planning.result import ErrorDetail
from lockstep.planning.wire import OrderedMigration

_CONTROL: Final = (
    ("BEGIN",),
    ("START", "TRANSACTION"),
    ("COMMIT",),
    ("END",),
    ("ROLLBACK",),
    ("ABORT",),
    ("PREPARE", "TRANSACTION"),
)
_ALONE: Final = (
    ("VACUUM",),
    ("CREATE", "DATABASE"),
    ("DROP", "DATABASE"),
    ("CREATE", "TABLESPACE"),
    ("DROP", "TABLESPACE"),
    ("ALTER", "SYSTEM"),
    ("CREATE", "SUBSCRIPTION"),
    ("DROP", "SUBSCRIPTION"),
    ("CLUSTER",),
    ("REINDEX", "DATABASE"),
    ("REINDEX", "SYSTEM"),
    ("REINDEX", "SCHEMA"),
)
_CONCURRENT: Final = (
    ("CREATE", "INDEX"),
    ("CREATE", "UNIQUE", "INDEX"),
    ("DROP", "INDEX"),
    ("REINDEX",),
    ("ALTER", "TABLE"),
)
_UNLOCK: Final = "pg_advisory_unlock_all"


@dataclass(frozen=True, slots=True)
class SqlScript:
    """One migration's text and where its statements are."""

    text: str
    parts: tuple[Statement, ...]

    @property
    def statements(self) -> int:
        """How many statements it has."""
        return len(self.parts)

    def sql(self, statement: Statement) -> str:
        """Return one statement as it is sent."""
        return self.text[statement.start : statement.end]


def _starts(words: tuple[str, ...], heads: tuple[tuple[str, ...], ...]) -> tuple[str, ...] | None:
    return next((head for head in heads if words[: len(head)] == head), None)


def _is_control(words: tuple[str, ...]) -> bool:
    if _starts(words, _CONTROL) is None:
        return words[:2] == ("DISCARD", "ALL")
    # ROLLBACK [WORK | TRANSACTION] TO [SAVEPOINT] stays inside of the transaction.
    return not (words[0] == "ROLLBACK" and "TO" in words[1:3])


def _alone(statement: Statement) -> str | None:
    """Return the name of what cannot run in a transaction block."""
    words = statement.words
    if "CONCURRENTLY" in statement.keywords and (head := _starts(words, _CONCURRENT)) is not None:
        if head != ("ALTER", "TABLE"):
            return f"{' '.join(head)} CONCURRENTLY"
        return "DETACH PARTITION CONCURRENTLY" if "DETACH" in words else None
    if words == ("CLUSTER",) or (head := _starts(words, _ALONE)) is None:
        return "CLUSTER of all tables" if words == ("CLUSTER",) else None
    # CLUSTER of one table runs in a transaction block.
    return None if head == ("CLUSTER",) else " ".join(head)


def _copies(statement: Statement) -> bool:
    return statement.words[:1] == ("COPY",) and bool(statement.keywords & {"STDIN", "STDOUT"})


def _place(part: Statement) -> tuple[int, int]:
    return part.line, part.column


def _refuse(
    migration: OrderedMigration, reason: Reason, message: str, at: tuple[int, int], number: int | None
) -> RunError:
    name = migration.version or migration.name
    line, column = at
    place = f"line {line}, column {column}" if number is None else f"statement {number}, line {line}, column {column}"
    return RunError(reason, f"{name} ({migration.name}), {place}: {message}", error=ErrorDetail(name, number, line))


def read_script(action: Action) -> SqlScript:
    """Split a step's text and see that all of it may run in the transaction that Lockstep gives it.

    Raises:
        RunError: StatementRefused or NotSupportedYet, with the place.
    """
    migration, text = action.migration, action.text
    if migration.transaction == "Never":
        raise _refuse(
            migration,
            Reason.NOT_SUPPORTED_YET,
            "transaction: Never is not supported yet; use Auto where the SQL can run in a transaction",
            (1, 1),
            None,
        )
    try:
        parts = tuple(split(text))
    except LexError as error:
        raise _refuse(migration, Reason.STATEMENT_REFUSED, error.message, (error.line, error.column), None) from error
    for part in parts:
        _judge(migration, part)
    _find_unlock(migration, SqlScript(text, parts))
    return SqlScript(text, parts)


def _judge(migration: OrderedMigration, part: Statement) -> None:
    words = part.words
    if _is_control(words):
        what = " ".join(words[:2]) if words[0] in {"START", "PREPARE", "DISCARD"} else words[0]
        why = (
            "it would let go of the lock"
            if words[0] == "DISCARD"
            else "each migration runs in a transaction of Lockstep's own, together with its record"
        )
        raise _refuse(
            migration, Reason.STATEMENT_REFUSED, f"{what} is refused: {why}; remove it", _place(part), part.number
        )
    if (name := _alone(part)) is not None:
        raise _refuse(
            migration,
            Reason.NOT_SUPPORTED_YET,
            f"{name} cannot run in a transaction block, and statements outside of one are not supported yet",
            _place(part),
            part.number,
        )
    if _copies(part):
        way = "FROM stdin" if "STDIN" in part.keywords else "TO stdout"
        raise _refuse(
            migration,
            Reason.NOT_SUPPORTED_YET,
            f"COPY {way} is not supported yet; use INSERT",
            _place(part),
            part.number,
        )


def _find_unlock(migration: OrderedMigration, script: SqlScript) -> None:
    """Refuse pg_advisory_unlock_all, also inside of a body in quotes; in a comment it is just a word."""
    if _UNLOCK not in script.text.lower():
        return
    for part in script.parts:
        at = script.sql(part).lower().find(_UNLOCK)
        if at >= 0:
            raise _refuse(
                migration,
                Reason.STATEMENT_REFUSED,
                f"{_UNLOCK}() is refused: it would let go of the lock that this run holds; "
                "unlock by key with pg_advisory_unlock",
                place_at(script.text, part.start + at),
                part.number,
            )
