"""SQLite's SQL cut into statements, as its own scanner sees it.

A statement ends at a semicolon outside of quotes and comments, that of a trigger at the semicolon behind its END.
Between statements a line that begins with `#` is a comment, as it is to SQLite's shell.
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

KEYWORDS: Final = frozenset({"FOREIGN_KEYS", "LOAD_EXTENSION"})
"""Words that matter wherever they stand, in quotes for names too."""

_SPACE: Final = " \t\n\r\f"
_FIRST: Final = r"[^\x00-\x40\x5b-\x5e\x60\x7b-\x7f]"
_NEXT: Final = r"[^\x00-\x23\x25-\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\x7f]"

# Every alternative consumes at least one character, and together they consume any but blanks at the text's end.
# What repeats is possessive: it never gives back, so the time is linear whatever the text.
_TOKEN: Final = re.compile(
    rf"""
    [{_SPACE}]*+
    (?:
      (?P<word>{_FIRST}{_NEXT}*+)
    | (?P<plain>(?:[0-9,=>+*%|~!@?:&.]|-(?!-)|/(?!\*)|<(?!%))++)
    | (?P<string>'[^']*+(?:''[^']*+)*+')
    | (?P<name>"[^"]*+(?:""[^"]*+)*+"|`[^`]*+(?:``[^`]*+)*+`|\[[^\]]*+\])
    | (?P<end>;)
    | (?P<open>\()
    | (?P<close>\))
    | (?P<line>--[^\n]*+)
    | (?P<block>/\*(?:.*?\*/|.*))
    | (?P<template>\{{[{{%]|\$\{{|<%)
    | (?P<unclosed>['"`\[])
    | (?P<other>.)
    )
    """,
    re.VERBOSE | re.DOTALL,
)
_UNCLOSED: Final = {"'": "a string (')", '"': 'a quoted name (")', "`": "a quoted name (`)", "[": "a quoted name ([)"}
_COMMAND: Final = re.compile(r"\.[A-Za-z]*+")


def _is_trigger(words: list[str]) -> bool:
    """Tell whether the statement makes a trigger, whose body holds semicolons."""
    head = " ".join(words[:6])
    head = head.removeprefix("EXPLAIN ").removeprefix("QUERY PLAN ")
    return f"{head} ".startswith(("CREATE TRIGGER ", "CREATE TEMP TRIGGER ", "CREATE TEMPORARY TRIGGER "))


def split(text: str) -> Iterator[Statement]:  # noqa: PLR0912 - a scanner is one loop
    """Cut a text into its statements.

    Raises:
        LexError: if a quote or a trigger has no end, or a command of the shell, a template or a zero byte is met.
    """
    reading = Reading(text, KEYWORDS)
    match = _TOKEN.match
    at = first_offset(text)
    # The last two tokens are `; END`: the next semicolon is that of the trigger itself.
    ended = False

    while (token := match(text, at)) is not None:
        kind = token.lastgroup or ""
        begin, at = token.start(kind), token.end()
        if kind in {"line", "block"}:
            reading.comment(begin, at)
            continue
        if kind == "word":
            if text[at - 1] == "$" and text.startswith("{", at):
                raise reading.refuse(template("${"), at - 1)
            word = text[begin:at].upper()
            ended = word == "END" and reading.previous == ";"
            reading.word(begin, at, word)
            continue
        if kind == "end" and (ended or not _is_trigger(reading.words)):
            if reading.begun:
                yield reading.cut()
            ended = False
            continue
        ended = False
        if kind == "open":
            reading.parens += 1
        elif kind == "close":
            reading.parens -= 1
        elif kind == "name":
            reading.see(text[begin + 1 : at - 1].upper())
        elif kind == "template":
            raise reading.refuse(template(token[kind]), begin)
        elif kind == "unclosed":
            raise reading.refuse(f"{_UNCLOSED[token[kind]]} has no end", begin)
        elif kind == "other" and not reading.begun and text[begin] == "#" and text[begin - 1 : begin] in {"", "\n"}:
            # The shell takes such a line for a comment; no SQL begins so.
            at = text.find("\n", begin)
            at = len(text) if at < 0 else at
            reading.comment(begin, at)
            continue
        elif kind == "plain" and not reading.begun and text[begin] == "." and (name := _COMMAND.match(text, begin)):
            shown = name.group()
            raise reading.refuse(client_command(shown, "the sqlite3 shell", includes=shown == ".read"), begin)
        reading.token(begin, at)

    if reading.begun:
        if not ended and _is_trigger(reading.words):
            raise reading.refuse("a trigger has no END", reading.start)
        yield reading.cut()
