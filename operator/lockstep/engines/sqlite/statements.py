"""What each statement of a migration is: run in the one transaction, or refused. Pure."""

import re
from typing import Final

from msgspec import Struct

from lockstep.engines.base import Action
from lockstep.engines.refused_texts import more_of_it, refuse
from lockstep.engines.sqlite.lexer import LexError, Statement, split

_CONTROL: Final = frozenset({"BEGIN", "COMMIT", "END", "ROLLBACK"})
_OTHERS: Final = {
    "ATTACH": "it would reach another database, which this transaction does not cover",
    "DETACH": "it would reach another database, which this transaction does not cover",
    "VACUUM": "it cannot run in a transaction, and changes nothing of the schema; run it by hand",
}
PRAGMAS: Final = frozenset(
    """
    foreign_keys defer_foreign_keys legacy_alter_table recursive_triggers ignore_check_constraints user_version
    application_id foreign_key_check foreign_key_list integrity_check quick_check table_info table_xinfo table_list
    index_list index_info index_xinfo collation_list function_list compile_options optimize analysis_limit
    """.split()  # noqa: SIM905 - a list of 20 quoted words reads worse
)
"""Those that may be used: they ask, or end with the migration, or are a part of the database and its transaction."""
ASKED: Final = frozenset({"auto_vacuum", "data_version", "encoding", "freelist_count", "page_count", "page_size"})
"""Those that may only be asked; modules of SQLite (full text search, R-trees) do so when their tables are made."""

_END: Final = re.compile(r"(?:[ \t\n\r\f]|--[^\n]*+|/\*.*?\*/)*+;", re.DOTALL)
_ON: Final = frozenset({"ON", "YES", "TRUE", "1"})
_OFF: Final = frozenset({"OFF", "NO", "FALSE", "0"})
_PRAGMA: Final = re.compile(r"PRAGMA\s+(?:[A-Za-z_]\w*\s*\.\s*)?([A-Za-z_]\w*)\s*([=(]|\Z)", re.IGNORECASE)
_OURS: Final = re.compile(r"""\bRENAME\s+TO\s+["'`\[]?lockstep_""", re.IGNORECASE)
"""Of other names SQLite tells its authorizer, see guard.py; of this one it does not."""
_SAFE: Final = (
    ("CREATE", "INDEX"),
    ("CREATE", "UNIQUE", "INDEX"),
    ("CREATE", "VIEW"),
    ("CREATE", "TRIGGER"),
    ("DROP", "INDEX"),
    ("DROP", "VIEW"),
    ("DROP", "TRIGGER"),
    ("PRAGMA",),
    ("SELECT",),
    ("ANALYZE",),
    ("REINDEX",),
    ("EXPLAIN",),
    ("SAVEPOINT",),
    ("RELEASE",),
)
"""Beginnings of statements that can leave no row without the row that it refers to."""


class SqliteScript(Struct, frozen=True):
    """One migration's text and where its statements are."""

    text: str
    parts: tuple[Statement, ...]

    @property
    def statements(self) -> int:
        """How many statements it has."""
        return len(self.parts)

    def sql(self, statement: Statement) -> str:
        """Return one statement."""
        return self.text[statement.start : statement.end]

    def sent(self, statement: Statement) -> str:
        """Return one statement as it is run: up to its semicolon, where it has one.

        Of an index SQLite keeps the text up to there, blanks and comments included: it shall be as the shell leaves it.
        """
        end = _END.match(self.text, statement.end)
        return self.text[statement.start : statement.end if end is None else end.end()]

    @property
    def foreign_keys(self) -> bool:
        """Whether it asks for foreign keys to be enforced while it runs: with a PRAGMA before all else.

        Within a transaction the pragma does nothing, so it is set before. Off is SQLite's default, and what a table
        needs that is built anew: dropping the old one would delete what refers to it. A text that switches them on at
        its end only says how it leaves its session.
        """
        for part in self.parts:
            if part.words[:1] != ("PRAGMA",):
                return False
            if "FOREIGN_KEYS" in part.keywords and (value := _value(self.sql(part))) is not None:
                return value
        return False

    @property
    def may_orphan(self) -> bool:
        """Whether it may leave rows without what they refer to, so that it must be looked for."""
        return any(not any(part.words[: len(head)] == head for head in _SAFE) for part in self.parts)


def _value(sql: str) -> bool | None:
    """Return what a pragma is set to; None: it only asks."""
    _, equals, value = sql.partition("=")
    if not equals:
        _, _, value = sql.partition("(")
    word = value.strip().rstrip(")").strip(" \t\r\n'\"").upper()
    return True if word in _ON else False if word in _OFF else None


def may_use(pragma: str, *, sets: bool) -> bool:
    """Tell whether a migration may set a pragma, or ask for it."""
    name = pragma.lower()
    return name in PRAGMAS or (not sets and name in ASKED)


def _is_control(words: tuple[str, ...]) -> bool:
    return words[:1] != () and words[0] in _CONTROL and not (words[0] == "ROLLBACK" and "TO" in words[1:3])


def refusal(part: Statement, sql: str) -> str | None:
    """Return why a statement is refused; None: it may run, as far as the text shows; see guard.py."""
    words = part.words
    head = words[0] if words else ""
    if _is_control(words):
        return (
            f"{head} is refused: each migration runs in a transaction of Lockstep's own, together with its record; "
            "remove it"
        )
    if head in _OTHERS:
        return f"{head} is refused: {_OTHERS[head]}"
    if words[:2] == ("ALTER", "TABLE") and _OURS.search(sql) is not None:
        return "a name that begins with lockstep_ is refused: such are the ledger's tables; choose another"
    pragma = _PRAGMA.match(sql)
    if pragma is None or may_use(pragma[1], sets=bool(pragma[2])):
        return None
    return (
        f"PRAGMA {pragma[1].lower()} is refused: what it changes would outlast the migration, or undo its transaction; "
        "set it by hand"
    )


def read_script(action: Action) -> SqliteScript:
    """Split a step's text and see that all of it may run in the transaction that Lockstep gives it.

    Raises:
        RunError: StatementRefused, with the place.
    """
    migration, text = action.migration, action.text
    if migration.transaction == "Never":
        raise refuse(
            action,
            "transaction: Never is for databases where some DDL cannot be in a transaction; in SQLite all of it can: "
            "use Auto",
            (1, 1),
            None,
        )
    try:
        parts = tuple(split(text))
    except LexError as error:
        raise refuse(action, error.message, (error.line, error.column)) from error
    script = SqliteScript(text, parts)
    for part in parts:
        if (why := refusal(part, script.sql(part))) is not None:
            behind = [other for other in parts[part.number :] if refusal(other, script.sql(other)) is not None]
            why += more_of_it(part, behind, _is_control)
            raise refuse(action, why, (part.line, part.column), part.number)
    return script
