"""Where a file's way up ends and its way back begins, and whether its tool would use no transaction. Pure."""

import re
from itertools import zip_longest
from typing import Final

from msgspec import Struct

from lockstep.engines.lexing import WAY, line_at

_COMMENT: Final = re.compile(r"(?:\A\ufeff?|(?<=[\r\n]))[ \t]*+((?:--|\#)[^\r\n]*+)(?:\r\n|\r|\n|\Z)")
"""A line that is a comment: where the tools look for theirs, whatever is around it."""
_BARE: Final = re.compile(r"(?:[\s\ufeff]++|--[^\r\n]*+|\#[^\r\n]*+|/\*(?s:.*?)\*/)*+")
"""What is no SQL in any dialect."""

_NO_TRANSACTION: Final = re.compile(
    r"""
    ^ (?: --\s*+ \+goose\s++ NO\s++TRANSACTION [ \t\r]*+ $
        | --\s*+ \+migrate\s++ (?:up|down) \b [^\r\n]* \s notransaction \b
        | --\s*+ migrate:(?:up|down) \s [^\r\n]* \b transaction:false \b
        | ----\ tern:\ disable-tx\ ----[ \t\r]*+ $
        | --\ *+ atlas:txmode\s++ none \b
    )
    | \A --\ no-transaction
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
"""In the words of goose, sql-migrate, dbmate, tern, Atlas; and of sqlx, which only looks at the very beginning."""
_END: Final = re.compile(
    r"""
    (?P<last>\S)\s*+
    (?: ^[ \t]*+ --\s*+ \+(?:goose|migrate)\s++StatementEnd\b | -->\ statement-breakpoint\b ) [^\r\n]*+
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
"""Where goose, sql-migrate and Drizzle end a statement."""
_SET_OFF: Final = re.compile(r"^\s*+(?:executeInTransaction|run_in_transaction)\s*+=\s*+false\b", re.MULTILINE)


class CutError(Exception):
    """A file's parts cannot be told; the message says what to do, `line` where."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


class Part(Struct, frozen=True):
    """A part of a file that goes one way."""

    text: str
    line: int = 1
    """Line of the file where it begins."""


class _Mark(Struct, frozen=True):
    """A comment that says which way what follows it goes."""

    start: int
    end: int
    back: bool
    shown: str = ""


def cut(text: str) -> tuple[Part, Part | None]:
    """Return the way up and the way back of a file.

    A way back of nothing but blanks is none: a template that was left as it was.

    Raises:
        CutError: if one way begins twice, or there is SQL before both.
    """
    marks = [
        _Mark(*mark.span(), found.lastgroup is not None, mark[1].rstrip())
        for mark in _COMMENT.finditer(text)
        if (found := WAY.match(text, *mark.span(1))) is not None
    ]
    if all(mark.back for mark in marks):
        # Where nothing says that the way up begins, it begins with the file.
        marks.insert(0, _Mark(0, 0, False))
    _see_no_sql(text, marks[0])
    parts = dict[bool, Part]()
    for mark, following in zip_longest(marks, marks[1:]):
        if mark.back in parts:
            why = f"{mark.shown!r} comes a second time: put each part into a file of its own"
            raise CutError(why, line_at(text, mark.start))
        end = len(text) if following is None else following.start
        parts[mark.back] = Part(text[mark.end : end], line_at(text, mark.end))
    down = parts.get(True)
    return parts[False], down if down is not None and down.text.strip() else None


def _see_no_sql(text: str, first: _Mark) -> None:
    bare = _BARE.match(text, 0, first.start)
    if bare is not None and bare.end() < first.start:
        why = f"there is SQL before {first.shown!r}, which belongs to neither way: move it behind"
        raise CutError(why, line_at(text, bare.end()))


def unended(part: Part) -> list[int]:
    """Return the lines in which a tool ends a statement that to a run goes on: without a semicolon."""
    return [
        part.line - 1 + line_at(part.text, mark.end())
        for mark in _END.finditer(part.text)
        if mark["last"] != ";" and (rest := _BARE.match(part.text, mark.end())) and rest.end() < len(part.text)
    ]


def without_transaction(text: str) -> bool:
    """Tell whether a file says that its tool shall use no transaction."""
    return _NO_TRANSACTION.search(text) is not None


def companions(file: str) -> tuple[str, ...]:
    """Return the files beside a file in which Flyway and Diesel look for its settings."""
    folder = file.rpartition("/")[0]
    return (f"{file}.conf", f"{folder}/metadata.toml") if folder else (f"{file}.conf",)


def turns_off(settings: str) -> bool:
    """Tell whether such settings say so."""
    return _SET_OFF.search(settings) is not None
