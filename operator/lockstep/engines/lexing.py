"""What cutting SQL into statements is in every dialect: where a statement is, and how a text is refused.

Each dialect has a lexer of its own with one function, `split(text)`. Offsets and columns count characters.
"""

import re
from typing import Final

from msgspec import Struct

HEAD_WORDS: Final = 12
"""Words kept of each statement, to tell what it is."""

BYTE_ORDER_MARK: Final = "\ufeff"

WAY: Final = re.compile(
    r"""
    (?:--|\#)[-\s]*+
    (?: \+(?:goose|migrate)\s++(?:up|(?P<goose>down)) (?!\w)
      | migrate:(?:up|(?P<dbmate>down)) (?!\w)
      | create\ above\s*+/\s*+(?P<tern>drop\ below)
      | (?:up|(?P<node>down))\s++migration[-\s]*+\Z
      | !(?:ups|(?P<play>downs)) (?!\w)
      | //\s*+(?P<mybatis>@undo) (?!\w)
      | rambler\s++(?:up|(?P<rambler>down)) (?!\w)
    )
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""Comments by which tools that keep both ways in one file tell them apart; with a group, they begin the way back."""


class LexError(Exception):
    """The text ends inside of something, or holds what is no SQL.

    `message` says what, `line` and `column` say where (both from 1).
    """

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(f"line {line}, column {column}: {message}")
        self.message = message
        self.line = line
        self.column = column


class Statement(Struct, frozen=True):
    """One statement of a text, by its place in it."""

    number: int
    """From 1."""
    start: int
    """Offset of its first token: comments before it are left out."""
    end: int
    """Offset behind its last token: what ends it, and comments behind it, are left out."""
    line: int
    """Line of its first token, from 1."""
    column: int
    """Column of its first token, from 1."""
    words: tuple[str, ...]
    """Its first words outside of parentheses, in upper case."""
    keywords: frozenset[str]
    """Which of its dialect's KEYWORDS it has, anywhere outside of quotes."""
    data: tuple[int, int] | None = None
    """Where the data of a COPY ... FROM stdin is: whole lines, without the `\\.` that ends them."""


class Places:
    """Turns growing offsets into lines and columns."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._offset = 0
        self._line = 1
        self._first = 0

    def at(self, offset: int) -> tuple[int, int]:
        """Return line and column of an offset that is not below the last one."""
        text, last = self._text, self._offset
        returns = text.count("\r", last, offset)
        # A line ends with \n, \r\n, or \r as on old Macs.
        self._line += text.count("\n", last, offset) + returns - (returns and text.count("\r\n", last, offset))
        self._first = max(self._first, text.rfind("\n", last, offset) + 1, text.rfind("\r", last, offset) + 1)
        self._offset = offset
        return self._line, offset - self._first + 1


def place_at(text: str, offset: int) -> tuple[int, int]:
    """Return line and column of an offset, both from 1."""
    return Places(text).at(offset)


def line_at(text: str, offset: int) -> int:
    """Return the line of an offset, from 1."""
    return place_at(text, offset)[0]


class Reading:
    """The statement that a lexer is reading, one token after the other, and the numbers of those before it."""

    __slots__ = (
        *("_back", "_keywords", "_places", "_text", "_turn", "_wanted", "end", "number", "parens", "previous"),
        *("start", "words"),
    )

    def __init__(self, text: str, keywords: frozenset[str]) -> None:
        self._text = text
        self._wanted = keywords
        self._places = Places(text)
        self._back: bool | None = None
        self._turn = -1
        self.number = 0
        self._clear()
        if (zero := text.find("\x00")) >= 0:
            # A client library in C takes it for the end of the text.
            raise self.refuse("the text holds a zero byte", zero)

    def _clear(self) -> None:
        self.start = self.end = -1
        self.parens = 0
        self.previous = ""
        """The last token: a word in upper case (behind a dot it is a `name`), of anything else its last character."""
        self.words: list[str] = []
        self._keywords: set[str] = set()

    @property
    def begun(self) -> bool:
        """Tell whether it has a token."""
        return self.start >= 0

    def refuse(self, message: str, offset: int) -> LexError:
        """Return the error for what stands at an offset of this statement."""
        return LexError(message, *self._places.at(offset))

    def token(self, begin: int, end: int) -> None:
        """Take what is no word."""
        self.bracket(begin, end)
        self.previous = self._text[end - 1]

    def bracket(self, begin: int, end: int) -> None:
        """Take what belongs to the statement and is nothing in its grammar: an end of a conditional comment."""
        if self.start < 0:
            self.start = begin
        self.end = end

    def word(self, begin: int, end: int, word: str) -> None:
        """Take a word, given in upper case."""
        if self.start < 0:
            self.start = begin
        self.end = end
        self.previous = "name" if self.previous == "." else word
        if self.parens <= 0 and len(self.words) < HEAD_WORDS:
            self.words.append(word)
        if word in self._wanted:
            self._keywords.add(word)

    def see(self, word: str) -> None:
        """Note the word in a quoted name, if it is one of the KEYWORDS."""
        if word in self._wanted:
            self._keywords.add(word)

    def comment(self, begin: int, end: int) -> None:
        """Take a comment that ends with its line: it may be where another tool's file turns to the way back."""
        found = WAY.match(self._text, begin, end)
        if found is None:
            return
        back = found.lastgroup is not None
        if self._turn < 0 and ((back and (self.begun or self.number > 0)) or self._back is (not back)):
            self._turn = begin
        self._back = back

    def cut(self, data: tuple[int, int] | None = None) -> Statement:
        """Return the statement, and begin the next one."""
        if 0 <= self._turn < self.end:
            raise self.refuse(_both_ways(self._text, self._turn), self._turn)
        self.number += 1
        line, column = self._places.at(self.start)
        made = Statement(
            self.number, self.start, self.end, line, column, tuple(self.words), frozenset(self._keywords), data
        )
        self._clear()
        return made


def first_offset(text: str) -> int:
    """Return where SQL begins: behind the byte order mark that some editors write."""
    return 1 if text.startswith(BYTE_ORDER_MARK) else 0


def template(shown: str) -> str:
    """Return why a placeholder outside of quotes is refused."""
    return f"a template ({shown}) is no SQL: Lockstep sends the text as it is; render it first"


def client_command(shown: str, client: str, *, includes: bool = False) -> str:
    """Return why a command to a client program is refused.

    Args:
        shown: the command.
        client: whose it is.
        includes: whether it runs another file.
    """
    what = "put that file's SQL in its place" if includes else "remove it"
    return f"{shown} is a command of {client}, no SQL: Lockstep sends statements; {what}"


def _both_ways(text: str, at: int) -> str:
    shown = text[at : at + 60].splitlines()[0].strip()
    return (
        f"{shown!r} divides another tool's file into the way up and the way back, and SQL follows it: both would run; "
        "put one part into spec.up and the other into spec.down"
    )
