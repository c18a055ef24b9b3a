"""Checksums of texts, blind to what editors and checkouts change on their own."""

import hashlib
from typing import Final

ABSENT: Final = "-"
"""What stands in a digest for a text that there is not."""


def normalise(text: str) -> str:
    """Return the text that a checksum is taken of: no byte order mark, LF line ends, no final newline.

    Only one final newline goes: YAML's `|` adds one, and a file ends in one.
    """
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n")


def checksum(text: str) -> str:
    """Return the checksum of a text as 64 hexadecimal digits (SHA-256 of its normalised UTF-8)."""
    return hashlib.sha256(normalise(text).encode()).hexdigest()
