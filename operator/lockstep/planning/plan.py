"""What a plan is made of, and what it is: the steps from a line's version to its target, and their hash."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final

from msgspec import Struct

from lockstep.api.reasons import Reason
from lockstep.planning.checksum import ABSENT
from lockstep.planning.version import BASE, Version


class Direction(StrEnum):
    """What a step does; also the word that the history keeps for it."""

    UP = "up"
    DOWN = "down"
    """Of a version, or of a repeatable migration that stands in the way of a down."""
    REPEAT = "repeat"
    """A repeatable migration whose text changed, or whose earlier text is restored on the way down."""
    BASELINE = "baseline"
    """Recorded and not run: the database had it before Lockstep came."""
    ADOPT = "adopt"
    """The same, known from another tool's history."""
    CORRECT = "correct"
    """A corrected down text is taken into the ledger; nothing is run."""
    REPAIR = "repair"
    """A person's act; never a step of a plan."""


RECORDED_ONLY: Final = frozenset({Direction.BASELINE, Direction.ADOPT, Direction.CORRECT})
"""Steps that run no SQL of a migration."""


class Candidate(Struct, frozen=True, gc=False):
    """One migration of the set."""

    name: str
    version: Version | None
    up_checksum: str
    down_checksum: str = ABSENT
    irreversible: str | None = None
    kind: str = "Schema"
    adopts: tuple[str, ...] = ()


class Applied(Struct, frozen=True, gc=False):
    """One version that the ledger says is applied."""

    version: Version
    name: str
    up_checksum: str
    down_checksum: str = ABSENT
    irreversible: str | None = None
    kind: str = "Schema"
    sequence: int = 0
    """Number of the history's entry that applied it: the order of application."""


class Repeated(Struct, frozen=True):
    """One repeatable migration as the ledger knows it."""

    name: str
    up_checksum: str
    """What it ran with last; `-` while it is taken back."""
    down_checksum: str = ABSENT
    kind: str = "Schema"
    undone: str | None = None
    """The text that a way back took away, where it is what touched it last."""
    sequence: int = 0
    """Number of the history's entry that touched it last."""


class Ran(Struct, frozen=True):
    """One run of a repeatable migration in the history."""

    name: str
    sequence: int
    up_checksum: str
    down_checksum: str = ABSENT
    kind: str = "Schema"


class Undone(Struct, frozen=True):
    """One version that was applied once and was undone: what ran in between was built on it."""

    version: Version
    applied: int
    """Number of the history's entry that applied it."""
    sequence: int
    """Number of the entry that undid it."""


class Dependent(Struct, frozen=True):
    """An applied version of another line of the database that requires a version of this one."""

    line: str
    version: str
    requires: Version


class Partial(Struct, frozen=True):
    """A migration that ran by half: statements that cannot be undone by a rollback of the transaction."""

    name: str
    version: Version | None
    direction: str
    statement: int
    """The statement that did not end well, from 1."""
    state: str
    """started (it can be run again), or unknown (nobody can tell whether it took effect)."""
    note: str = ""


class Taken(Struct, frozen=True):
    """One entry of the history: a step that was taken."""

    direction: str
    name: str
    version: Version | None
    up_checksum: str
    down_checksum: str = ABSENT


class History(Struct, frozen=True):
    """What the ledger says of one line: all that a plan needs to know of the database."""

    applied: tuple[Applied, ...] = ()
    repeated: tuple[Repeated, ...] = ()
    ran: tuple[Ran, ...] = ()
    """Past runs of repeatable migrations, oldest first."""
    undone: tuple[Undone, ...] = ()
    """Every version that was ever undone, once for each time."""
    dependents: tuple[Dependent, ...] = ()
    partial: Partial | None = None
    trail: tuple[Taken, ...] = ()
    """The last entries, oldest first; read only where plans must be approved."""
    fresh: bool = False
    """Whether the line has no history at all."""
    occupied: bool = False
    """Whether the database already holds objects of others; looked at only where the line is fresh and adopts."""


class Step(Struct, frozen=True, gc=False):
    """One step of a plan."""

    direction: Direction
    candidate: Candidate
    undone: str | None = None
    """For a repeatable migration: the text that this step takes back, see Repeated.undone."""

    @property
    def label(self) -> str:
        """What people read: `up 0003 (orders-0003-add-email)`."""
        if self.candidate.version is None:
            return f"{self.direction.value} {self.candidate.name}"
        return f"{self.direction.value} {self.candidate.version} ({self.candidate.name})"

    @property
    def words(self) -> list[str]:
        """What the plan's hash is taken of."""
        candidate = self.candidate
        version = f"~{candidate.name}" if candidate.version is None else candidate.version.canonical
        return [self.direction.value, version, candidate.up_checksum, candidate.down_checksum]


class Plan(Struct, frozen=True):
    """The way from the line's version to its target."""

    line: str
    start: Version
    end: Version
    steps: tuple[Step, ...]
    corrections: tuple[Step, ...] = ()
    """Corrected down texts to take into the ledger first; no part of the hash, since they change no database."""

    @property
    def direction(self) -> str:
        """Up or Down: Down as soon as one version is undone."""
        down = any(s.direction is Direction.DOWN and s.candidate.version is not None for s in self.steps)
        return "Down" if down else "Up"

    @property
    def hash(self) -> str:
        """`sha256:` of the line, its ends, and each step's direction, version and checksums: texts alone decide it."""
        ends = [self.start.canonical or "base", self.end.canonical or "base"]
        head = _json([self.line, *ends, self.direction])
        # As one JSON array, and never as a whole: there may be thousands of steps.
        hashed = hashlib.sha256(head[:-1] + b",[")
        for number, step in enumerate(self.steps):
            hashed.update(b"," * bool(number) + _json(step.words))
        hashed.update(b"]]")
        return f"sha256:{hashed.hexdigest()}"


def _json(words: Sequence[str]) -> bytes:
    return json.dumps(words, separators=(",", ":")).encode()


class Refusal(Struct, frozen=True):
    """Why there is no plan, and what to do about it."""

    reason: Reason
    message: str
    version: Version | None = None


FEW: Final = 5
"""How many names a message lists."""


def listed(names: Sequence[str]) -> str:
    """Return the first few of some names, and how many more there are."""
    more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
    return ", ".join(names[:FEW]) + more


def current(applied: Iterable[Applied]) -> Version:
    """Return the line's version: the highest that is applied."""
    return max((each.version for each in applied), default=BASE)
