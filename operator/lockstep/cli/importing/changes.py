"""What other tools' files are read into: changes, and why files are none."""

from collections.abc import Sequence

from msgspec import Struct

from lockstep.engines.refused_texts import few
from lockstep.planning.version import Version


class UnfitError(Exception):
    """Files cannot be used; each complaint names one and says what to do."""

    code = 2

    def __init__(self, complaints: Sequence[str]) -> None:
        super().__init__("\n".join(complaints))
        self.complaints = tuple(complaints)


class RefusedError(UnfitError):
    """They are Migrations, and a run would refuse them."""

    code = 1


class Text(Struct, frozen=True):
    """One way of a change, and where it stands."""

    file: str
    text: str
    line: int = 1
    """Line of the file where it begins."""


class Change(Struct, frozen=True):
    """What becomes one Migration."""

    version: str | None
    """None: it is repeatable."""
    title: str
    up: Text
    down: Text | None = None
    never: bool = False
    """Whether the tool would use no transaction."""
    note: str = ""
    """What its author says of it, where the tool has room for that."""
    place: str | None = None
    """What the tool compares as words, where it does not compare versions as numbers."""

    @property
    def number(self) -> Version | None:
        """The version as it is compared."""
        return None if self.version is None else Version.parse(self.version)


class Collected(Struct, frozen=True):
    """What a folder has given."""

    changes: tuple[Change, ...]
    """In the order of their versions, then the repeatable ones."""
    remarks: tuple[str, ...] = ()


def one_way(changes: Sequence[Change]) -> list[str]:
    """Return which changes have no way back, in one line at most."""
    without = [change.up.file for change in changes if change.down is None]
    if not without:
        return []
    number = f"{len(without)} of {len(changes)} Migrations"
    return [f"{number} have no way back ({few(without)}): write spec.down, or spec.irreversible"]
