"""The data of a COPY ... FROM stdin: cut into what is sent at once, and kept out of what is said of it. Pure."""

import re
from collections.abc import Collection, Iterator
from typing import Final

from msgspec import Struct

CHUNK: Final = 64 * 1024
"""Characters of data that are sent at once."""

# The only place where the server says which line of the data it is at; the rest of it is the data itself.
# Like the others compiled on first use: few runs have an error in a COPY.
_LINE: Final = r"(?m)^COPY .+?, \S+ (\d+)(?=[,:]|$)"
_VALUE: Final = r'(?s): ".*"'
# A word is begun at its first letter only: what a trigger says may be one of a million.
_QUOTED: Final = r'(?:(?<!\w)(\w++)( ?))?"([^"]*)"'
_NAMED: Final = frozenset({"collation", "column", "constraint", "domain", "encoding", "function", "index", "partition"})
_NAMED_TOO: Final = frozenset({"relation", "role", "schema", "sequence", "table", "trigger", "type", "view"})
_NUMBER: Final = r"\b0x[0-9a-fA-F]+\b"


class Data(Struct, frozen=True):
    """Where the data is in its text."""

    text: str
    start: int
    end: int

    def chunks(self) -> Iterator[bytes]:
        """Return it piece by piece, as it is sent."""
        for at in range(self.start, self.end, CHUNK):
            yield self.text[at : min(at + CHUNK, self.end)].encode()


def data_line(context: str | None) -> int | None:
    """Return the line of the data that an error's context names, from 1; None where it names none."""
    found = re.search(_LINE, context or "")
    return None if found is None else int(found[1])


def without_data(message: str, names: Collection[str]) -> str:
    """Return the server's message about a COPY without what it quotes of the data; names of objects stay."""

    def mask(found: re.Match[str]) -> str:
        word, gap, quoted = found.groups("")
        known = quoted in names or word in _NAMED or word in _NAMED_TOO
        return found[0] if known else f"{word}{gap}?"

    return re.sub(_NUMBER, "?", re.sub(_QUOTED, mask, re.sub(_VALUE, ": ?", message)))
