"""The input of a run: what it is to do, hashed, so that a change of it starts another run and nothing else does."""

import base64
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from lockstep.api.schemaversion import SchemaVersionSpec
from lockstep.planning.digest import SetMember, digest_line
from lockstep.planning.version import Version

TAG_BYTES: Final = 4
"""Bytes that stand for one settled Migration: one chance in four milliards to take a changed text for a known one."""
MAX_TAGS: Final = 6_000
"""Settled Migrations that have room on the status (32 KB); with more, the set as a whole must be as it was."""


def _hash(value: Any, digits: int) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:digits]


@dataclass(frozen=True, slots=True)
class RunInput:
    """What a run is to do, in three parts: a change of the last one alone does not stop a run under way."""

    base: str
    """Line, target, database, policy, digest, retry token."""
    members: str
    """The set up to the target."""
    execution: str
    """Limits and the pod's settings."""

    def __str__(self) -> str:
        return f"{self.base}-{self.members}-{self.execution}"

    @classmethod
    def parse(cls, text: str | None) -> "RunInput":
        """Read what `str` wrote; anything else equals no input."""
        parts = (text or "").split("-")
        return cls(*parts) if len(parts) == 3 else cls("", "", "")

    def same_work(self, other: "RunInput") -> bool:
        """Tell whether both lead to the same version by the same texts under the same policy."""
        return self.base == other.base and self.members == other.members


def base_part(line: str, target: Version, spec: SchemaVersionSpec, retry: str | None) -> str:
    """Return the part of the input that the SchemaVersion alone decides."""
    value = {
        "line": line,
        "target": target.canonical or "base",
        "database": spec.database.model_dump(),
        "outOfOrder": spec.out_of_order,
        "digest": spec.migrations.digest if spec.migrations else None,
        "retry": retry,
    }
    return _hash(value, 20)


def run_input(
    line: str, target: Version, spec: SchemaVersionSpec, retry: str | None, members: Iterable[SetMember]
) -> RunInput:
    """Return the input of a run with these members (those up to the target, and the repeatable ones)."""
    lines = sorted(digest_line(member) for member in members)
    return RunInput(
        base=base_part(line, target, spec, retry),
        members=_hash(lines, 20),
        execution=_hash(spec.execution.model_dump(), 8),
    )


def tag(member: SetMember) -> bytes:
    """Return the short hash of one Migration as it is."""
    return hashlib.sha256(digest_line(member).encode()).digest()[:TAG_BYTES]


def pack_tags(tags: Iterable[bytes]) -> str | None:
    """Return the tags as the status keeps them; None for none, or too many."""
    kept = sorted(set(tags))
    if not kept or len(kept) > MAX_TAGS:
        return None
    return base64.b64encode(b"".join(kept)).decode()


@lru_cache(maxsize=16)
def unpack_tags(text: str | None) -> frozenset[bytes]:
    """Read the tags of a status; a damaged text has none."""
    try:
        packed = base64.b64decode(text or "", validate=True)
    except ValueError:
        return frozenset()
    return frozenset(packed[i : i + TAG_BYTES] for i in range(0, len(packed), TAG_BYTES))
