"""Versions of a line, compared part by part as numbers: 1 = 01 = 1.0 and 2 < 10."""

import re
from typing import Final

from msgspec import Struct

from lockstep.api.names import TARGET_BASE, TARGET_LATEST, VERSION_MAX_LENGTH, VERSION_PATTERN

_VERSION: Final = re.compile(VERSION_PATTERN)


class InvalidVersionError(ValueError):
    """The text is no version; the message says what one looks like."""


class Version(Struct, frozen=True, eq=False, gc=False):
    """One version of a line: equal to, and hashed like, every other writing of the same numbers."""

    text: str
    """As its author wrote it; what people are shown."""
    key: tuple[int, ...]
    """The numbers without trailing zeros (one part stays); `base` has none and is below them all."""

    @classmethod
    def parse(cls, text: str) -> "Version":
        """Read a version.

        Raises:
            InvalidVersionError: if the text is no version.
        """
        # fullmatch, since `$` would let a final newline through.
        if not _VERSION.fullmatch(text) or len(text) > VERSION_MAX_LENGTH:
            raise InvalidVersionError(
                f"{text[:60]!r} is no version: write numbers separated by dots, such as 0003 or 2026.7.1"
            )
        parts = [int(part) for part in text.split(".")]
        while len(parts) > 1 and parts[-1] == 0:
            parts.pop()
        return cls(text, tuple(parts))

    @property
    def canonical(self) -> str:
        """The one writing shared by all equal versions: `3` for 0003 and 3.0; empty for base."""
        return ".".join(str(part) for part in self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self.key == other.key

    def __ne__(self, other: object) -> bool:
        # What Struct inherits to a class of its own `==` compares identities.
        return not self == other

    def __hash__(self) -> int:
        return hash(self.key)

    def __lt__(self, other: "Version") -> bool:
        return self.key < other.key

    def __le__(self, other: "Version") -> bool:
        return self.key <= other.key

    def __gt__(self, other: "Version") -> bool:
        return self.key > other.key

    def __ge__(self, other: "Version") -> bool:
        return self.key >= other.key

    def __str__(self) -> str:
        return self.text


BASE: Final = Version(TARGET_BASE, ())
"""An empty line: below every version."""


def parse_target(text: str) -> Version | None:
    """Read a target: a version, `base`, or `latest` as None.

    Raises:
        InvalidVersionError: if the text is none of these.
    """
    if text == TARGET_LATEST:
        return None
    return BASE if text == TARGET_BASE else Version.parse(text)
