"""The input of a run: what it is to do, hashed, so that a change of it starts another run and nothing else does."""

import base64
import hashlib
import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

from msgspec import Struct

from lockstep.api.fields import Model
from lockstep.api.schemaversion import SchemaVersionSpec
from lockstep.planning.digest import SetMember, digest_line
from lockstep.planning.version import Version

TAG_BYTES: Final = 4
"""Bytes that stand for one settled Migration: one chance in four milliards to take a changed text for a known one."""
MAX_TAGS: Final = 6_000
"""Settled Migrations that have room on the status (32 KB); with more, the set as a whole must be as it was."""


def _hash(value: Any, digits: int) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:digits]


def _given(model: Model, *younger: str) -> dict[str, Any]:
    """Return the fields of a model, without the younger ones that nobody has set.

    The input of whoever does not use a field stays what it was before there was one: an upgrade starts no run.
    """
    return {name: value for name, value in model.model_dump().items() if name not in younger or value is not None}


class RunInput(Struct, frozen=True):
    """What a run is to do, in four parts: a change of the last one alone does not stop a run under way."""

    base: str
    """Line, target, database, digest, retry and repair tokens: what must be as it was for nothing to be to do."""
    members: str
    """The set up to the target; for a way down, the corrected downs above it too."""
    policy: str
    """What may be done without asking, and what is taken over: another one is a reason to plan anew."""
    execution: str
    """Limits, the pod's settings, what counts as drift."""

    def __str__(self) -> str:
        return f"{self.base}-{self.members}-{self.policy}-{self.execution}"

    @classmethod
    def parse(cls, text: str | None) -> "RunInput":
        """Read what `str` wrote; anything else equals no input."""
        match (text or "").split("-"):
            case [base, members, policy, execution]:
                return cls(base, members, policy, execution)
            case [base, members, execution]:
                # Written before there was a policy in it: an upgrade of the operator is no change of what is wanted.
                return cls(base, members, "", execution)
            case _:
                return cls("", "", "", "")

    def same_work(self, other: "RunInput") -> bool:
        """Tell whether both lead to the same version by the same texts under the same policy."""
        policies = {self.policy, other.policy} - {""}
        return self.base == other.base and self.members == other.members and len(policies) < 2


def base_part(line: str, target: Version, spec: SchemaVersionSpec, *, retry: str | None, repair: str | None) -> str:
    """Return the part of the input that decides whether there is anything to do.

    Args:
        line: the line's name.
        target: where to.
        spec: what is asked for.
        retry: the retry token.
        repair: token of the last act that was asked for, done or not.
    """
    value = {
        "line": line,
        "target": target.canonical or "base",
        "database": _given(spec.database, "volume"),
        "outOfOrder": spec.out_of_order,
        "digest": spec.migrations.digest if spec.migrations else None,
        "retry": retry,
        **({"repair": repair} if repair is not None else {}),
    }
    return _hash(value, 20)


def run_input(
    line: str,
    target: Version,
    spec: SchemaVersionSpec,
    members: Iterable[SetMember],
    *,
    retry: str | None = None,
    repair: str | None = None,
) -> RunInput:
    """Return the input of a run with these members: all that it depends on, see `RunInput.members`."""
    lines = sorted(digest_line(member) + member.how for member in members)
    policy = {
        "rollback": spec.rollback,
        "approval": spec.approval,
        "baseline": spec.baseline,
        "adopt": spec.adopt.model_dump() if spec.adopt is not None else None,
    }
    limits = _given(spec.execution, "affinity", "run_as_user", "fs_group")
    execution = {**limits, "drift": spec.drift, "driftOptions": spec.drift_options.model_dump()}
    return RunInput(
        base=base_part(line, target, spec, retry=retry, repair=repair),
        members=_hash(lines, 20),
        policy=_hash(policy, 8),
        execution=_hash(execution, 8),
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
