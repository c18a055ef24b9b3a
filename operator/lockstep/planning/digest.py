"""The digest of a set of migrations: which texts a target means, computable by charts and in CI."""

import hashlib
from collections.abc import Iterable

from msgspec import Struct

from lockstep.planning.checksum import ABSENT
from lockstep.planning.version import Version


class SetMember(Struct, frozen=True):
    """What the digest needs to know of one Migration."""

    name: str
    version: Version | None
    """None for a repeatable one, which its name tells apart."""
    up: str
    """Checksum of what takes the database up."""
    down: str = ABSENT
    """Checksum of what takes it back, or `-`."""
    how: str = ""
    """How it is run, where that is not the default: no part of the digest, but a reason to try again."""


def digest_line(member: SetMember) -> str:
    """Return the member's line of the digest: its canonical version, or `~` and its name; both checksums."""
    word = f"~{member.name}" if member.version is None else member.version.canonical
    return f"{word} {member.up} {member.down}\n"


def set_digest(members: Iterable[SetMember], target: Version | None) -> str:
    """Return `sha256:` and the digest of the members up to a target (None: all) and of all repeatable ones.

    The lines are sorted as text, so that a Helm template can do the same with `sortAlpha`.
    """
    meant = [m for m in members if m.version is None or target is None or m.version <= target]
    lines = sorted(digest_line(m) for m in meant)
    return "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()
