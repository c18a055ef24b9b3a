"""Where the body of a stored program ends, without DELIMITER: which END belongs to what. Pure.

The grammar's own words are no reserved ones (a column may be called `end`), and IF and REPEAT are functions too. So it
matters where a word stands: a compound statement begins where a statement may begin.
"""

from typing import Final

_UNTRACKED: Final = frozenset({"PACKAGE"})
# MySQL 9: in another language than SQL, the body is a text behind AS.
_QUOTED: Final = frozenset({"PROCEDURE", "FUNCTION", "LIBRARY"})
_PROGRAMS: Final = frozenset({"TRIGGER", "EVENT"}) | _QUOTED | _UNTRACKED
# What CREATE may make otherwise: nothing with a body.
_OTHERS: Final = frozenset(
    {"TABLE", "VIEW", "INDEX", "DATABASE", "SCHEMA", "USER", "ROLE", "SERVER", "SEQUENCE", "TABLESPACE", "LOGFILE"}
)
_COMPOUND: Final = frozenset({"BEGIN", "IF", "CASE", "LOOP", "WHILE", "REPEAT", "FOR"})
# Simple statements that a body may be; their CASE and IF are expressions.
_SIMPLE: Final = frozenset(
    {"ALTER", "ANALYZE", "CALL", "CREATE", "DELETE", "DO", "DROP", "EXECUTE", "FLUSH", "GRANT", "INSERT", "KILL"}
    | {"LOAD", "OPTIMIZE", "PREPARE", "RENAME", "REPLACE", "RESIGNAL", "RETURN", "REVOKE", "SELECT", "SET", "SHOW"}
    | {"SIGNAL", "TABLE", "TRUNCATE", "UPDATE", "VALUES", "WITH"}
)
# Words that a name or a type follows, as in `RETURNS SET('a')`.
_NAMING: Final = frozenset({"RETURNS", "CHARSET", "COLLATE", "OF", "FOLLOWS", "PRECEDES"})
_JOINED: Final = frozenset({".", "@", "="})
_CONDITIONS: Final = frozenset({"SQLSTATE", "VALUE", "NOT", "FOUND", "SQLWARNING", "SQLEXCEPTION"})
# After these an expression goes on, so that END can only be a name in it.
_OPERAND_FOLLOWS: Final = frozenset("=<>+-*/%^|&!~,") | {"CASE", "WHEN", "THEN", "ELSE", "AND", "OR", "NOT", "UNTIL"}

# Frames beyond the words of _COMPOUND.
_EXPRESSION: Final = "CASE expression"
_CONDITION: Final = "condition before DO"
_UNTIL: Final = "condition of UNTIL"

# Phases: what the statement is, where its body begins, the body.
_KIND, _HEAD, _BODY, _NONE = range(4)


class Body:
    """What a lexer knows of one statement's body, word by word; words in parentheses are not shown to it."""

    __slots__ = ("_armed", "_declares", "_first", "_frames", "_handles", "_kind", "_phase", "_starts")

    def __init__(self) -> None:
        self._phase = _KIND
        self._kind = ""
        # Behind the parameters of a routine, or behind FOR EACH ROW: from here on the body may begin.
        self._armed = False
        self._frames: list[str] = []
        # The next word begins a statement; the last word did, and may have been its label.
        self._starts = True
        self._first = False
        self._declares = self._handles = False

    @property
    def open(self) -> bool:
        """Tell whether a semicolon is inside of a body."""
        return bool(self._frames)

    @property
    def opaque(self) -> bool:
        """Tell whether only a DELIMITER can tell where it ends."""
        return self._kind in _UNTRACKED

    @property
    def watches(self) -> bool:
        """Tell whether words can still change anything."""
        return self._phase != _NONE

    def quotes_after(self, previous: str) -> bool:
        """Tell whether a dollar-quoted text behind this token is the body: no name can stand there."""
        return previous == "AS" and self._phase == _HEAD and self._kind in _QUOTED

    def quoted(self) -> None:
        """Take a body that is a text: nothing of the statement is behind it."""
        self._give_up()

    def semicolon(self) -> None:
        """Take a semicolon inside of the body."""
        self._starts = True
        self._declares = self._handles = False

    def closed(self) -> None:
        """Take the parenthesis that closes the outermost one."""
        if self._phase == _HEAD and self._kind in {"PROCEDURE", "FUNCTION"}:
            self._armed = True

    def word(self, word: str, previous: str) -> None:
        """Take a word in upper case, and the token before it."""
        if self._phase == _BODY:
            self._in_body(word, previous)
        elif self._phase == _HEAD:
            self._in_head(word, previous)
        elif self._phase == _KIND:
            self._find_kind(word, previous)

    def _find_kind(self, word: str, previous: str) -> None:
        if self._first and previous != ":":
            # CREATE and ALTER go on; BEGIN is a block of MariaDB's when NOT ATOMIC follows, else a transaction.
            if self._kind == "BEGIN":
                self._begin_body(self._kind, "") if word == "NOT" else self._give_up()
            elif previous not in _JOINED:
                self._name_kind(word)
            return
        labelled, self._first = self._first, True
        if word == "BEGIN" and not labelled:
            self._kind = word
        elif word in _COMPOUND:
            self._begin_body(word, previous)
        elif labelled:
            self._give_up()
        elif word not in {"CREATE", "ALTER"}:
            # It may be a label: the next word tells.
            self._kind = "?"

    def _name_kind(self, word: str) -> None:
        if self._kind == "?" or word in _OTHERS:
            self._give_up()
        elif word in _PROGRAMS:
            self._kind, self._phase = word, _HEAD

    def _give_up(self) -> None:
        self._phase = _NONE

    def _in_head(self, word: str, previous: str) -> None:
        if self._kind == "EVENT":
            if word == "DO":
                self._phase, self._starts = _BODY, True
        elif self._kind == "TRIGGER" and not self._armed:
            self._armed = word == "ROW" and previous == "EACH"
        elif self._armed and previous not in _NAMING and previous not in _JOINED:
            if word in _COMPOUND:
                self._begin_body(word, previous)
            elif word in _SIMPLE and not (word == "SET" and previous in {"CHARACTER", "CHAR"}):
                self._phase, self._starts = _BODY, False

    def _begin_body(self, word: str, previous: str) -> None:
        self._phase, self._starts = _BODY, True
        self._in_body(word, previous)

    def _in_body(self, word: str, previous: str) -> None:
        if previous in {".", "@"}:
            return
        if self._handles:
            # A second FOR is a loop of MariaDB's.
            if word in _CONDITIONS or previous in {"HANDLER", "FOR", ","}:
                return
            self._handles, self._starts = False, True
        if word in {"NOT", "ATOMIC"} and previous in {"BEGIN", "NOT"} and self._starts:
            return
        starts = self._starts or (previous == ":" and self._first)
        self._first, self._starts = starts, False
        if word == "END":
            self._end(previous, starts)
        elif starts:
            self._start(word)
        else:
            self._go_on(word, previous)

    def _start(self, word: str) -> None:
        """Take the first word of a statement."""
        top = self._frames[-1] if self._frames else ""
        if word in _COMPOUND:
            self._frames.append(_CONDITION if word in {"WHILE", "FOR"} else word)
            self._starts = word in {"BEGIN", "LOOP", "REPEAT"}
        elif word == "ELSE" and top in {"IF", "CASE"}:
            self._starts = True
        elif word == "UNTIL" and top == "REPEAT":
            self._frames[-1] = _UNTIL
        self._declares = word == "DECLARE"

    def _go_on(self, word: str, previous: str) -> None:
        """Take another word of a statement."""
        top = self._frames[-1] if self._frames else ""
        if word == "CASE" and previous != "END":
            self._frames.append(_EXPRESSION)
        elif word == "THEN" and top in {"IF", "CASE"}:
            self._starts = True
        elif word == "DO" and top == _CONDITION:
            self._frames[-1] = "LOOP"
            self._starts = True
        elif word == "HANDLER" and self._declares:
            self._handles = True

    def _end(self, previous: str, starts: bool) -> None:
        top = self._frames[-1] if self._frames else ""
        in_expression = top in {_EXPRESSION, _UNTIL}
        if (in_expression and previous not in _OPERAND_FOLLOWS) or (top and not in_expression and starts):
            self._frames.pop()
