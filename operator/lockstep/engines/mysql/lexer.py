"""MySQL's and MariaDB's SQL cut into statements, as the server's scanner sees it, and DELIMITER as the client does.

A statement ends at a semicolon or at the DELIMITER, outside of quotes, comments and the bodies of stored programs.
Assumed is the sql_mode that Lockstep sets: a backslash escapes in strings (no NO_BACKSLASH_ESCAPES), double quotes are
strings (no ANSI_QUOTES), bodies are SQL/PSM (no ORACLE). What stands in a conditional comment (`/*! */`, `/*M! */`) is
code, whatever the version; a semicolon in one ends nothing. The one that mariadb-dump begins with is a command to its
client (a backslash behind a version that no server has), and a comment to everybody else.

Between dollars (`$$ ... $$`, `$js$ ... $js$`) MySQL 9 reads a text, where MariaDB and older servers read names. But its
grammar takes one behind the AS of a stored program alone, where those take nothing: only there it is taken for one. A
DELIMITER that stands there comes first, as with the client.
"""

import re
from collections.abc import Iterator
from typing import Final

from lockstep.engines.lexing import (
    BYTE_ORDER_MARK,
    LexError,
    Reading,
    Statement,
    client_command,
    first_offset,
    line_at,
    place_at,
    template,
)
from lockstep.engines.mysql.bodies import Body

__all__ = ["KEYWORDS", "LexError", "Statement", "line_at", "place_at", "split"]

KEYWORDS: Final = frozenset(
    {"AUTOCOMMIT", "COMPLETION_TYPE", "SQL_LOG_BIN", "SQL_MODE", "GET_LOCK", "RELEASE_LOCK", "RELEASE_ALL_LOCKS"}
    | {"LOCAL", "INFILE", "OUTFILE", "DUMPFILE", "SELECT"}
)
"""Words that matter wherever they stand, in backquotes too: SET `autocommit` = 1 is no less."""

_SPACE: Final = " \t\n\r\f\v"
# Letters, an underscore, a dollar, anything beyond ASCII; then digits too. Said by what they are not: a range up to the
# last character of Unicode costs 20 ms to compile.
_FIRST: Final = r"[^\x00-\x23\x25-\x40\x5b-\x5e\x60\x7b-\x7f]"
_NEXT: Final = r"[^\x00-\x23\x25-\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\x7f]"
# Two dashes are a comment only before a blank or a control character.
_DASHES: Final = r"--(?=[\x00-\x20\x7f]|\Z)"

# Every alternative consumes at least one character, and together they consume any but blanks at the text's end.
# What repeats is possessive: it never gives back, so the time is linear whatever the text.
_TOKEN: Final = re.compile(
    rf"""
    [{_SPACE}]*+
    (?:
      (?P<word>{_FIRST}{_NEXT}*+)
    | (?P<plain>(?:[0-9]{_NEXT}*+|[.,=>+%^|~!@?:&\[\]}}]|(?!{_DASHES})-|/(?!\*)|\*(?!/)|\{{(?![{{%])|<(?!%))++)
    | (?P<string>'[^'\\]*+(?:(?:''|\\.)[^'\\]*+)*+'|"[^"\\]*+(?:(?:""|\\.)[^"\\]*+)*+")
    | (?P<end>;)
    | (?P<open>\()
    | (?P<close>\))
    | (?P<name>`[^`]*+(?:``[^`]*+)*+`)
    | (?P<line>(?:\#|{_DASHES})[^\n]*+)
    | (?P<conditional>/\*M?!(?![0-9]*+\\-)[0-9]*+)
    | (?P<conditional_end>\*/)
    | (?P<block>/\*)
    | (?P<template>\{{[{{%]|<%)
    | (?P<null>\\N)
    | (?P<backslash>\\.?)
    | (?P<unclosed>['"`])
    | (?P<other>.)
    )
    """,
    re.VERBOSE | re.DOTALL,
)
_CUTTABLE: Final = frozenset({"word", "plain", "other"})
_COMMENTS: Final = frozenset({"line", "block"})
_UNCLOSED: Final = {"'": "a string (')", '"': 'a string (")', "`": "a quoted name (`)"}

_DELIMITER: Final = re.compile(r"[ \t]*+(\S*+)[^\n]*+")
_CLIENT: Final = frozenset(
    {"CHARSET", "CLEAR", "CONNECT", "EDIT", "EGO", "EXIT", "GO", "NOPAGER", "NOTEE", "NOWARNING", "PAGER", "PRINT"}
    | {"PROMPT", "QUIT", "REHASH", "RESETCONNECTION", "SOURCE", "STATUS", "SYSTEM", "TEE", "WARNINGS"}
)
"""Commands of the mysql client that are no SQL; USE and HELP are both."""
_DOLLARS: Final = re.compile(r"\$[^\x00-\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\x7f]*+\$")
_LABEL: Final = re.compile(rf"[{_SPACE}]*+:")


def _begins_line(text: str, offset: int) -> bool:
    return text[text.rfind("\n", 0, offset) + 1 : offset].strip(BYTE_ORDER_MARK + _SPACE) == ""


def _read_delimiter(text: str, begin: int, end: int, reading: Reading) -> tuple[str, int]:
    """Return the string that a DELIMITER command gives, and where its line ends."""
    found = next(_DELIMITER.finditer(text, end))  # it matches nothing too
    given = found.group(1)
    if len(given) > 2 and given[0] == given[-1] and given[0] in "'\"`":
        given = given[1:-1]
    if not _begins_line(text, begin):
        raise reading.refuse("DELIMITER is a command of the mysql client: it stands at the beginning of a line", begin)
    if not given or "\\" in given:
        raise reading.refuse("DELIMITER needs a string without backslashes behind it, on the same line", begin)
    return given, found.end()


def _check_command(word: str, text: str, begin: int, end: int, reading: Reading) -> None:
    """Refuse a client's command where a statement begins."""
    if word in _CLIENT and not _LABEL.match(text, end):
        raise reading.refuse(client_command(word, "the mysql client", includes=word == "SOURCE"), begin)


def _past_text(text: str, begin: int, reading: Reading) -> int | None:
    """Return where a dollar-quoted text ends that begins here; None: it is a name."""
    opened = _DOLLARS.match(text, begin)
    if opened is None:
        return None
    closing = text.find(opened[0], opened.end())
    if closing < 0:
        raise reading.refuse(f"a dollar-quoted text ({opened[0]}) has no end", begin)
    return closing + len(opened[0])


def _backslash(shown: str) -> str:
    if shown in {"\\g", "\\G"}:
        return f"{shown} is a command of the mysql client, no SQL: end the statement with a semicolon"
    if shown[1:].isspace() or shown == "\\":
        return "a backslash at the end of a line is no SQL: only the mysql client leaves it out; remove it"
    return client_command(shown, "the mysql client", includes=shown == "\\.")


def split(text: str) -> Iterator[Statement]:  # noqa: PLR0912, PLR0915 - a scanner is one loop
    """Cut a text into its statements.

    Raises:
        LexError: if a quote, comment or body has no end, or a client's command, a template or a zero byte is met.
    """
    reading = Reading(text, KEYWORDS)
    match = _TOKEN.match
    at = first_offset(text)
    body = Body()
    delimiter = ";"
    conditional = -1

    while (token := match(text, at)) is not None:
        kind = token.lastgroup or ""
        begin, at = token.start(kind), token.end()
        if delimiter != ";" and conditional < 0:
            # The client looks for it at every place outside of quotes and comments, even within a word: END$$.
            found = text.find(delimiter, begin, (at if kind in _CUTTABLE else begin + 1) + len(delimiter) - 1)
            if found == begin:
                at = begin + len(delimiter)
                if reading.begun:
                    yield reading.cut()
                    body = Body()
                continue
            at = at if found < 0 else found
        if kind in _COMMENTS:
            if kind == "block":
                closing = text.find("*/", at)
                if closing < 0:
                    raise reading.refuse("a comment (/*) has no end", begin)
                at = closing + 2
            else:
                reading.comment(begin, at)
            continue
        if kind == "word":
            word = text[begin:at].upper()
            if not reading.begun:
                if word == "DELIMITER" and text[at : at + 1] in _SPACE:
                    delimiter, at = _read_delimiter(text, begin, at, reading)
                    continue
                _check_command(word, text, begin, at, reading)
            if text[begin] == "$" and reading.parens <= 0 and body.quotes_after(reading.previous):
                at = _past_text(text, begin, reading) or at
                body.quoted()
                reading.token(begin, at)
                continue
            if text[at - 1] == "$" and text.startswith("{", at):
                raise reading.refuse(template("${"), at - 1)
            if body.watches and reading.parens <= 0:
                body.word(word, reading.previous)
            reading.word(begin, at, word)
            continue
        if kind == "end":
            if conditional < 0 and not body.open and not (body.opaque and delimiter != ";"):
                if body.opaque:
                    raise reading.refuse("CREATE PACKAGE needs a DELIMITER: its end cannot be told", reading.start)
                if reading.begun:
                    yield reading.cut()
                    body = Body()
                continue
            body.semicolon()
        elif kind == "plain":
            if not reading.begun and text.startswith("--", begin):
                # Where a statement begins, the client takes dashes without a blank for a comment; no SQL begins so.
                at = text.find("\n", begin)
                at = len(text) if at < 0 else at
                reading.comment(begin, at)
                continue
        elif kind == "open":
            reading.parens += 1
        elif kind == "close":
            reading.parens -= 1
            if reading.parens == 0:
                body.closed()
        elif kind == "name":
            reading.see(text[begin + 1 : at - 1].upper())
        elif kind == "conditional":
            conditional = begin
            reading.bracket(begin, at)
            continue
        elif kind == "conditional_end":
            if conditional >= 0:
                conditional = -1
                reading.bracket(begin, at)
                continue
            # Elsewhere it is an operator, and a comment may begin with its slash.
            at = begin + 1
        elif kind == "template":
            raise reading.refuse(template(token[kind]), begin)
        elif kind == "unclosed":
            raise reading.refuse(f"{_UNCLOSED[token[kind]]} has no end", begin)
        elif kind == "backslash":
            raise reading.refuse(_backslash(token[kind]), begin)
        reading.token(begin, at)

    if reading.begun:
        if conditional >= 0:
            raise reading.refuse("a conditional comment (/*!) has no end", conditional)
        if body.open and delimiter == ";":
            raise reading.refuse("the body of a stored program has no END", reading.start)
        yield reading.cut()
