"""What an EXECUTE runs: the text that was prepared, so that it can be judged as if it stood there itself."""

import re
from typing import Final

from lockstep.engines.lexing import LexError, Statement
from lockstep.engines.mysql.channel import Channel, SqlError
from lockstep.engines.mysql.lexer import split

_PREPARE: Final = re.compile(r"prepare\s+`?([\w$]+)`?\s+from\s+(.*)", re.IGNORECASE | re.DOTALL)
_IMMEDIATE: Final = re.compile(r"execute\s+immediate\s+(.*?)(?:\s+using\s.*)?", re.IGNORECASE | re.DOTALL)
_EXECUTE: Final = re.compile(r"execute\s+`?([\w$]+)`?(?:\s+using\s.*)?", re.IGNORECASE | re.DOTALL)
_SIMPLE: Final = re.compile(r"@[\w$.`]+|'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\"", re.DOTALL)


class Prepared:
    """The statements that a migration has prepared."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._texts: dict[str, str | None] = {}

    def note(self, sql: str) -> None:
        """Note what a PREPARE that was just run has prepared."""
        if (found := _PREPARE.fullmatch(sql)) is not None:
            self._texts[found[1].lower()] = self._value(found[2])

    def of(self, sql: str) -> tuple[str, Statement] | None:
        """Return the text that an EXECUTE is about to run, and what it is; None: it cannot be told."""
        text: str | None = None
        if (immediate := _IMMEDIATE.fullmatch(sql)) is not None:
            text = self._value(immediate[1])
        elif (execute := _EXECUTE.fullmatch(sql)) is not None:
            text = self._texts.get(execute[1].lower())
        try:
            parts = tuple(split(text)) if text else ()
        except LexError:
            return None
        return (text[parts[0].start : parts[0].end], parts[0]) if text and len(parts) == 1 else None

    def _value(self, expression: str) -> str | None:
        """Return what a string or a variable holds; anything else might have effects of its own."""
        expression = expression.strip()
        if _SIMPLE.fullmatch(expression) is None:
            return None
        try:
            [(value,)] = self._channel.query(f"SELECT {expression}")
        except SqlError:
            return None
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else None if value is None else str(value)
