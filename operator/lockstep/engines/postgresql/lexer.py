"""PostgreSQL's SQL cut into statements, as its own scanner sees it.

A statement ends at a semicolon outside of quotes, comments, parentheses and `BEGIN ATOMIC ... END`. Nothing is
changed and nothing is understood beyond that: `%`, `:name` and `$1` are just text. Offsets count characters.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

HEAD_WORDS: Final = 12
"""Words kept of each statement, to tell what it is."""

_SPACE: Final = " \t\n\r\f\v"
# A name's first character is a letter, an underscore, or anything beyond ASCII; the others may be digits and `$` too.
# Said by what they are not: a range up to the last character of Unicode costs 20 ms to compile.
_FIRST: Final = r"[^\x00-\x40\x5b-\x5e\x60\x7b-\x7f]"
_NEXT: Final = r"[^\x00-\x23\x25-\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\x7f]"
_TAG: Final = r"[^\x00-\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\x7f]"

# Every alternative consumes at least one character, and together they consume any.
_TOKEN: Final = re.compile(
    rf"""
      (?P<space>[{_SPACE}]+)
    | (?P<word>{_FIRST}{_NEXT}*)
    | (?P<plain>(?:[0-9,.=<>+*%^|~!@#`?:&\[\]{{}}]|-(?!-)|/(?!\*))+)
    | (?P<line>--[^\n\r]*)
    | (?P<end>;)
    | (?P<open>\()
    | (?P<close>\))
    | (?P<quote>')
    | (?P<name>")
    | (?P<dollar>\$(?:{_FIRST}{_TAG}*)?\$)
    | (?P<block>/\*)
    | (?P<backslash>\\)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_STRING: Final = re.compile(r"[^']*(?:''[^']*)*'")
_ESCAPE_STRING: Final = re.compile(r"[^'\\]*(?:(?:''|\\.)[^'\\]*)*'", re.DOTALL)
_NAME: Final = re.compile(r'[^"]*(?:""[^"]*)*"')
_BLOCK: Final = re.compile(r"/\*|\*/")
# An E'' string goes on after a line's end, and its escapes with it.
_CONTINUED: Final = re.compile(r"(?:[ \t\f\v]|--[^\n\r]*)*[\n\r](?:[ \t\n\r\f\v]+|--[^\n\r]*[\n\r])*'")
_NEWLINE: Final = re.compile(r"\r\n|\n|\r")
_COPY_END: Final = re.compile(r"^\\\.[ \t]*(?:\r\n|\n|\r|\Z)", re.MULTILINE)


class LexError(Exception):
    """The text ends inside of something, or holds what is no SQL."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a text, by its place in it."""

    number: int
    """From 1."""
    start: int
    """Offset of its first token: comments before it are left out."""
    end: int
    """Offset behind its last token: the semicolon is left out."""
    line: int
    """Line of its first token, from 1."""
    words: tuple[str, ...]
    """Its first words outside of parentheses, in upper case."""
    keywords: frozenset[str]
    """Which of KEYWORDS it has, anywhere outside of quotes."""
    data: tuple[int, int] | None = None
    """Where the data of a COPY ... FROM stdin is: the lines up to `\\.`."""


KEYWORDS: Final = frozenset({"CONCURRENTLY", "STDIN", "STDOUT", "PG_ADVISORY_UNLOCK_ALL", "ATOMIC"})
"""Words that matter wherever they stand."""

_INTERESTING: Final = KEYWORDS | {"BEGIN", "CASE", "END"}
# What makes a string of what stands before its quote; U& strings scan like plain ones, whose `&` is an operator here.
_PREFIXES: Final = frozenset("eEbBxXnN")


class _Lines:
    """Turns growing offsets into line numbers."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._offset = 0
        self._line = 1

    def at(self, offset: int) -> int:
        self._line += sum(1 for _ in _NEWLINE.finditer(self._text, self._offset, offset))
        self._offset = offset
        return self._line


def line_at(text: str, offset: int) -> int:
    """Return the line of an offset, from 1."""
    return _Lines(text).at(offset)


def _skip_string(text: str, at: int, *, escapes: bool) -> int:
    """Return the offset behind a string whose first character is at `at`; -1 if it has no end."""
    found = (_ESCAPE_STRING if escapes else _STRING).match(text, at)
    while found is not None and escapes and (more := _CONTINUED.match(text, found.end())) is not None:
        found = _ESCAPE_STRING.match(text, more.end())
    return -1 if found is None else found.end()


def _skip_block(text: str, at: int) -> int:
    """Return the offset behind a comment that begins at `at`; comments nest; -1 if it has no end."""
    depth = 0
    for found in _BLOCK.finditer(text, at):
        depth += 1 if found.group() == "/*" else -1
        if depth == 0:
            return found.end()
    return -1


def _is_routine(words: list[str]) -> bool:
    """Tell whether the statement makes a function or a procedure, which may have a BEGIN ATOMIC body."""
    if len(words) < 2 or words[0] != "CREATE":
        return False
    kind = words[3] if words[1:3] == ["OR", "REPLACE"] and len(words) > 3 else words[1]
    return kind in {"FUNCTION", "PROCEDURE"}


def _turns_escapes(words: list[str], text: str) -> bool | None:
    """Return what a `SET standard_conforming_strings` makes of backslashes; None if the statement is none."""
    if words[:1] != ["SET"] or "STANDARD_CONFORMING_STRINGS" not in words[1:3]:
        return None
    return re.search(r"(?:=|\bto\b)\s*'?(?:off|false|no|0)\b", text, re.IGNORECASE) is not None


def split(text: str) -> Iterator[Statement]:  # noqa: PLR0912, PLR0915 - a scanner is one loop
    """Cut a text into its statements.

    Raises:
        LexError: if a quote, comment or body has no end, or a psql command or a zero byte is met.
    """
    lines = _Lines(text)
    if (zero := text.find("\x00")) >= 0:
        # libpq would take it for the end of the text.
        raise LexError("the text holds a zero byte", lines.at(zero))
    match = _TOKEN.match
    at = 1 if text.startswith("\ufeff") else 0
    size = len(text)
    number = 0
    start = -1
    end = at
    parens = 0
    atomic = 0
    previous = ""
    words: list[str] = []
    keywords: set[str] = set()
    backslashes = False

    while at < size:
        token = match(text, at)
        if token is None:  # pragma: no cover - `other` takes anything
            break
        kind = token.lastgroup
        begin, at = at, token.end()
        if kind in {"space", "line"}:
            continue
        if kind == "block":
            at = _skip_block(text, begin)
            if at < 0:
                raise LexError("a comment (/*) has no end", lines.at(begin))
            continue
        if kind == "end" and parens <= 0 and atomic == 0:
            if start >= 0:
                number += 1
                data = None
                if "STDIN" in keywords and words[0] == "COPY":
                    data = _copy_data(text, at, lines, begin)
                    at = data[1]
                yield Statement(number, start, end, lines.at(start), tuple(words), frozenset(keywords), data)
                turned = _turns_escapes(words, text[start:end])
                backslashes = backslashes if turned is None else turned
            start, parens, atomic, previous = -1, 0, 0, ""
            words, keywords = [], set()
            continue
        if start < 0:
            start = begin
        if kind == "word":
            word = token.group()
            following = text[at : at + 1]
            if following == "'" and word in _PREFIXES:
                at = _skip_string(text, at + 1, escapes=word in "eE" or (backslashes and word in "nN"))
                if at < 0:
                    raise LexError("a string (') has no end", lines.at(begin))
                previous = ""
            else:
                upper = word.upper()
                if len(words) < HEAD_WORDS and parens == 0:
                    words.append(upper)
                if upper in _INTERESTING:
                    keywords.add(upper)
                    atomic = _body_depth(atomic, upper, previous, words, parens)
                previous = upper
            end = at
            continue
        if kind == "quote":
            at = _skip_string(text, at, escapes=backslashes)
            if at < 0:
                raise LexError("a string (') has no end", lines.at(begin))
        elif kind == "name":
            found = _NAME.match(text, at)
            if found is None:
                raise LexError('a quoted name (") has no end', lines.at(begin))
            at = found.end()
        elif kind == "dollar":
            closing = text.find(token.group(), at)
            if closing < 0:
                raise LexError(f"a string ({token.group()[:40]}) has no end", lines.at(begin))
            at = closing + len(token.group())
        elif kind == "open":
            parens += 1
        elif kind == "close":
            parens -= 1
        elif kind == "backslash":
            raise LexError("a psql command (\\) is no SQL: Lockstep sends statements, it is not psql", lines.at(begin))
        previous = ""
        end = at

    if start >= 0:
        if atomic:
            raise LexError("a BEGIN ATOMIC body has no END", lines.at(start))
        yield Statement(number + 1, start, end, lines.at(start), tuple(words), frozenset(keywords))


def _body_depth(depth: int, word: str, previous: str, words: list[str], parens: int) -> int:
    """Return how deep in a BEGIN ATOMIC body the scanner is after a word."""
    if parens:
        return depth
    if depth == 0:
        return 1 if word == "ATOMIC" and previous == "BEGIN" and _is_routine(words) else 0
    if word == "CASE":
        return depth + 1
    return depth - 1 if word == "END" else depth


def _copy_data(text: str, at: int, lines: _Lines, begin: int) -> tuple[int, int]:
    """Return where the data of a COPY is: from the next line on, up to and with the line `\\.`."""
    newline = _NEWLINE.search(text, at)
    first = len(text) if newline is None else newline.end()
    end = _COPY_END.search(text, first)
    if end is None:
        raise LexError("the data of COPY ... FROM stdin has no end (\\.)", lines.at(begin))
    return first, end.end()
