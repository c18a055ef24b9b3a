"""PostgreSQL's SQL cut into statements, as its own scanner sees it.

A statement ends at a semicolon outside of quotes, comments, parentheses and `BEGIN ATOMIC ... END`. Nothing is
changed and nothing is understood beyond that: `%`, `:name` and `$1` are just text. Backslashes escape in E'' strings
only, until the text itself says `SET standard_conforming_strings = off`.
"""

import re
from collections.abc import Iterator
from typing import Final

from lockstep.engines.lexing import (
    LexError,
    Reading,
    Statement,
    client_command,
    first_offset,
    line_at,
    place_at,
    template,
)

__all__ = ["KEYWORDS", "LexError", "Statement", "line_at", "place_at", "split"]

KEYWORDS: Final = frozenset({"CONCURRENTLY", "STDIN", "STDOUT", "PG_ADVISORY_UNLOCK_ALL", "ATOMIC"})
"""Words that matter wherever they stand."""

_SPACE: Final = " \t\n\r\f\v"
# A name's first character is a letter, an underscore, or anything beyond ASCII; the others may be digits and `$` too.
# Said by what they are not: a range up to the last character of Unicode costs 20 ms to compile.
_FIRST: Final = r"[^\x00-\x40\x5b-\x5e\x60\x7b-\x7f]"
_NEXT: Final = r"[^\x00-\x23\x25-\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\x7f]"
_TAG: Final = r"[^\x00-\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\x7f]"
_OPERATOR: Final = r"[-+*/<>=~!@#%^&|`?]"

# Every alternative consumes at least one character, and together they consume any but blanks at the text's end.
# What repeats is possessive: it never gives back, so the time is linear whatever the text.
_TOKEN: Final = re.compile(
    rf"""
    [{_SPACE}]*+
    (?:
      (?P<word>{_FIRST}{_NEXT}*+)
    | (?P<plain>(?:[0-9,.=>+*%^|~!@#`?:&\[\]}}]|-(?!-)|/(?!\*)|\{{(?![{{%])|(?<={_OPERATOR})<|<(?!%))++)
    | (?P<end>;)
    | (?P<open>\()
    | (?P<close>\))
    | (?P<quote>')
    | (?P<name>"[^"]*+(?:""[^"]*+)*+")
    | (?P<unclosed>")
    | (?P<line>--[^\n\r]*+)
    | (?P<dollar>\$(?:{_FIRST}{_TAG}*+)?\$)
    | (?P<block>/\*)
    | (?P<template>\{{[{{%]|\$\{{)
    | (?P<angle><%)
    | (?P<backslash>\\[A-Za-z!?]*+)
    | (?P<other>.)
    )
    """,
    re.VERBOSE | re.DOTALL,
)
_STRING: Final = re.compile(r"[^']*+(?:''[^']*+)*+'")
_ESCAPE_STRING: Final = re.compile(r"[^'\\]*+(?:(?:''|\\.)[^'\\]*+)*+'", re.DOTALL)
_BLOCK: Final = re.compile(r"/\*|\*/")
# An E'' string goes on after a line's end, and its escapes with it.
_CONTINUED: Final = re.compile(r"(?:[ \t\f\v]|--[^\n\r]*+)*+[\n\r](?:[ \t\n\r\f\v]|--[^\n\r]*+[\n\r])*+'")
# What makes a string of what stands before its quote; U& strings scan like plain ones, whose `&` is an operator here.
_PREFIXES: Final = frozenset("eEbBxXnN")

_BODY: Final = frozenset({"ATOMIC", "CASE", "END"})
# In a body, words after which CASE and END are names: `AS end`, `t.end`.
_NAMING: Final = frozenset({"AS", "."})
_LABEL: Final = re.compile(r"[ \t\n\r\f\v]*+(?:[,;]|from\b)", re.IGNORECASE)

# `<%` is an operator (of pg_trgm) between two operands, and opens a tag of a template where it cannot be one.
_TAG_MARKS: Final = frozenset("=-#!")
_BEFORE_OPERANDS: Final = frozenset(
    {"", "AND", "AS", "CASE", "ELSE", "FROM", "HAVING", "IN", "INTO", "NOT", "OR", "SELECT", "TABLE", "THEN", "WHEN"}
    | {"WHERE"}
)

_TURNED_OFF: Final = re.compile(r"(?:=|\bto\b)\s*'?(?:off|false|no|0)\b", re.IGNORECASE)
_COPY_REST: Final = re.compile(r"[ \t\f\v]*+(?:--[^\n\r]*+)?(?:\r\n|\n|\r|\Z)")
_COPY_END: Final = re.compile(r"\\\.(?<=[\n\r]\\\.)(?:\r\n|\n|\r|\Z)")


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


def _body_depth(depth: int, word: str, reading: Reading, following: int, text: str) -> int:
    """Return how deep in a BEGIN ATOMIC body the scanner is after a word of _BODY."""
    previous = reading.previous
    if reading.parens > 0 or previous in _NAMING:
        return depth
    if depth == 0:
        return 1 if word == "ATOMIC" and previous == "BEGIN" and _is_routine(reading.words) else 0
    if word == "CASE":
        return depth if _LABEL.match(text, following) else depth + 1
    # The body's own END stands behind a statement; elsewhere the word is a column's name.
    ends = word == "END" and (depth > 1 or previous in {";", "ATOMIC"})
    return depth - 1 if ends else depth


def _escapes_after(words: tuple[str, ...], text: str, before: bool) -> bool:
    """Return whether backslashes escape in plain strings after a SET or RESET."""
    if words[0] == "RESET":
        return before and words[1:2] not in {("ALL",), ("STANDARD_CONFORMING_STRINGS",)}
    return _TURNED_OFF.search(text) is not None if "STANDARD_CONFORMING_STRINGS" in words[1:3] else before


def _takes_data(words: list[str]) -> bool:
    """Tell whether it is a COPY whose data follows it; in this place the server takes STDOUT for STDIN."""
    if words[:1] != ["COPY"] or "FROM" not in words:
        return False
    return words[words.index("FROM") + 1 :][:1] in (["STDIN"], ["STDOUT"])


def _psql(command: str) -> str:
    """Return why a psql command is refused, and what to do with those that pg_dump writes."""
    if command in {r"\restrict", r"\unrestrict"}:
        return f"{command} is a psql command that pg_dump writes around its output: delete that line and its partner"
    if command == r"\copy":
        return r"\copy is a psql command, no SQL: write COPY ... FROM stdin with its data behind it, or INSERT"
    return client_command(command[:40], "psql", includes=command in {r"\i", r"\ir", r"\include"})


def _copy_data(text: str, at: int, reading: Reading) -> tuple[int, int, int]:
    """Return where the data of a COPY begins and ends, and where SQL goes on: as psql reads it, whatever the format.

    It begins on the next line, and ends before the line `\\.` or with the text.
    """
    rest = _COPY_REST.match(text, at)
    if rest is None:
        raise reading.refuse(
            "the data of COPY ... FROM stdin begins on the next line: nothing may follow the semicolon on its own", at
        )
    first = rest.end()
    # The lookbehind finds the end of the COPY's own line too, where there is no data.
    end = _COPY_END.search(text, first)
    return (first, len(text), len(text)) if end is None else (first, end.start(), end.end())


def split(text: str) -> Iterator[Statement]:  # noqa: PLR0912, PLR0915 - a scanner is one loop
    """Cut a text into its statements.

    Raises:
        LexError: if a quote, comment or body has no end, or a psql command, a template, another tool's
                way back behind the way up, or a zero byte is met.
    """
    reading = Reading(text, KEYWORDS)
    match = _TOKEN.match
    at = first_offset(text)
    depth = 0
    backslashes = False

    while (token := match(text, at)) is not None:
        kind = token.lastgroup or ""
        begin, at = token.start(kind), token.end()
        if kind == "word":
            following = text[at : at + 1]
            if following == "'" and token[kind] in _PREFIXES:
                prefix = token[kind]
                at = _skip_string(text, at + 1, escapes=prefix in "eE" or (backslashes and prefix in "nN"))
                if at < 0:
                    raise reading.refuse("a string (') has no end", begin)
                reading.token(begin, at)
                continue
            if following == "{" and text[at - 1] == "$":
                raise reading.refuse(template("${"), at - 1)
            word = token[kind].upper()
            if word in _BODY:
                depth = _body_depth(depth, word, reading, at, text)
            reading.word(begin, at, word)
            continue
        if kind == "line":
            reading.comment(begin, at)
            continue
        if kind == "block":
            at = _skip_block(text, begin)
            if at < 0:
                raise reading.refuse("a comment (/*) has no end", begin)
            continue
        if kind == "end" and reading.parens <= 0 and depth == 0:
            if reading.begun:
                data = None
                if _takes_data(reading.words):
                    first, last, at = _copy_data(text, at, reading)
                    data = first, last
                done = reading.cut(data)
                yield done
                if done.words[:1] in {("SET",), ("RESET",)}:
                    backslashes = _escapes_after(done.words, text[done.start : done.end], backslashes)
            continue
        if kind == "quote":
            at = _skip_string(text, at, escapes=backslashes)
            if at < 0:
                raise reading.refuse("a string (') has no end", begin)
        elif kind == "unclosed":
            raise reading.refuse('a quoted name (") has no end', begin)
        elif kind == "dollar":
            closing = text.find(token[kind], at)
            if closing < 0:
                raise reading.refuse(f"a string ({token[kind][:40]}) has no end", begin)
            at = closing + len(token[kind])
        elif kind == "open":
            reading.parens += 1
        elif kind == "close":
            reading.parens -= 1
        elif kind == "template":
            raise reading.refuse(template(token[kind]), begin)
        elif kind == "angle":
            if text[at : at + 1] in _TAG_MARKS or reading.previous in _BEFORE_OPERANDS:
                raise reading.refuse(template("<%"), begin)
        elif kind == "backslash":
            raise reading.refuse(_psql(token[kind]), begin)
        reading.token(begin, at)

    if reading.begun:
        if depth:
            raise reading.refuse("a BEGIN ATOMIC body has no END", reading.start)
        yield reading.cut((len(text), len(text)) if _takes_data(reading.words) else None)
