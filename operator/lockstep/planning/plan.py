"""What to run next: the plan of a line, a pure function of its ledger, its set and its target."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from lockstep.api.reasons import Reason
from lockstep.planning.checksum import ABSENT
from lockstep.planning.version import BASE, Version


class Direction(StrEnum):
    """Which way a step goes."""

    UP = "up"
    REPEAT = "repeat"
    """A repeatable migration whose text changed."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One migration of the set."""

    name: str
    version: Version | None
    up_checksum: str
    down_checksum: str = ABSENT


@dataclass(frozen=True, slots=True)
class Applied:
    """One version that the ledger says is applied."""

    version: Version
    name: str
    up_checksum: str


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a plan."""

    direction: Direction
    candidate: Candidate


@dataclass(frozen=True, slots=True)
class Plan:
    """The way from the line's version to its target."""

    line: str
    start: Version
    end: Version
    steps: tuple[Step, ...]

    @property
    def hash(self) -> str:
        """`sha256:` of the line, its ends, and each step's direction, version and checksums: texts alone decide it."""
        body = [
            self.line,
            self.start.canonical or "base",
            self.end.canonical or "base",
            [
                [
                    step.direction.value,
                    f"~{step.candidate.name}" if step.candidate.version is None else step.candidate.version.canonical,
                    step.candidate.up_checksum,
                    step.candidate.down_checksum,
                ]
                for step in self.steps
            ],
        ]
        return "sha256:" + hashlib.sha256(json.dumps(body, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no plan, and what to do about it."""

    reason: Reason
    message: str
    version: Version | None = None


def current(applied: Iterable[Applied]) -> Version:
    """Return the line's version: the highest that is applied."""
    return max((each.version for each in applied), default=BASE)


def make_plan(
    line: str,
    applied: Sequence[Applied],
    repeated: Mapping[str, str],
    candidates: Sequence[Candidate],
    target: Version | None,
    *,
    allow_out_of_order: bool = False,
) -> Plan | Refusal:
    """Plan the way to a target (None: the latest of the set, never down).

    Args:
        line: the line's name.
        applied: what the ledger says is applied.
        repeated: the checksum under which each repeatable migration ran last, by its name.
        candidates: the set, in any order.
        target: where to.
        allow_out_of_order: whether a version below the highest applied one may still be applied.
    """
    versioned = {c.version: c for c in candidates if c.version is not None}
    start = current(applied)
    end = max([start, *versioned]) if target is None else target

    for each in applied:
        known = versioned.get(each.version)
        if known is not None and known.up_checksum != each.up_checksum:
            return Refusal(
                Reason.CHECKSUM_MISMATCH,
                f"version {each.version} was applied from {each.name} with checksum {each.up_checksum[:12]}, "
                f"but {known.name} now has {known.up_checksum[:12]}: what has run does not change; "
                "restore its text and write a new version",
                each.version,
            )
    if end < start:
        return Refusal(
            Reason.NOT_SUPPORTED_YET,
            f"the database is at version {start}, above the target {end}: "
            "going down is not supported yet; set spec.version to what the database has, or higher",
            end,
        )
    done = {each.version for each in applied}
    if end != BASE and end not in versioned and end not in done:
        return Refusal(
            Reason.TARGET_NOT_FOUND,
            f"no Migration of schema {line!r} has version {end}: create it, or correct spec.version",
            end,
        )
    pending = sorted(version for version in versioned if version <= end and version not in done)
    late = [version for version in pending if version < start]
    if late and not allow_out_of_order:
        names = ", ".join(f"{version} ({versioned[version].name})" for version in late[:3])
        return Refusal(
            Reason.OUT_OF_ORDER,
            f"{len(late)} version(s) below the applied {start} have never run: {names}: "
            "give them a higher version, or set spec.outOfOrder: Allow",
            late[0],
        )
    steps = [Step(Direction.UP, versioned[version]) for version in pending]
    again = sorted(
        (c for c in candidates if c.version is None and repeated.get(c.name) != c.up_checksum), key=lambda c: c.name
    )
    steps += [Step(Direction.REPEAT, c) for c in again]
    return Plan(line, start, end, tuple(steps))
