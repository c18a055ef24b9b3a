"""What became of a statement that ran alone and did not end well: decided from what the catalog shows. Pure.

Before the statement runs, what matters of the catalog is noted (Facts) and kept in its journal row; after a crash, a
cancel or an error the catalog is looked at again (Seen). What is left of it is cleaned up before it runs again.
"""

import json
import re
from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from lockstep.engines.postgresql.subjects import Kind

_CHOSEN: Final = re.compile(r"_(?:idx|key|excl)\d*\Z")
"""How the names of indexes end that the server chooses."""
NAME_BYTES: Final = 63


class Verdict(StrEnum):
    """What is to be done with the statement."""

    DONE = "done"
    """It took effect."""
    AGAIN = "again"
    """It did not, or it does no harm to run it again."""
    UNKNOWN = "unknown"
    """Nobody can tell but a person."""


class Facts(Struct, frozen=True, forbid_unknown_fields=True):
    """What was noted before a statement ran; oids, 0 for what was not there."""

    kind: Kind
    what: str = ""
    """How messages call the statement."""
    relation: int = 0
    """The table of an index that is made, the index that is dropped, the parent of a partition, the object."""
    part: int = 0
    """The partition."""
    name: str = ""
    """The index that is made, as the server cuts it; the object. Empty: the server chooses."""
    scope: str = ""
    lenient: bool = False
    before: tuple[int, ...] = ()
    """Indexes that were there: those of the table, or leftovers of other REINDEXes."""
    tables: tuple[int, ...] = ()
    """Tables whose indexes are rebuilt; empty: any."""

    def encode(self) -> str:
        """Return them as the journal keeps them."""
        return json.dumps({key: value for key, value in asdict(self).items() if value}, separators=(",", ":"))


def decode(note: str | None) -> Facts | None:
    """Read a journal row's facts; None where it holds none."""
    try:
        return msgspec.json.decode(note or "", type=Facts)
    except ValueError:
        return None


class Index(Struct, frozen=True):
    """One index as it is now."""

    oid: int
    name: str
    sql: str
    """Its qualified name."""
    valid: bool
    """Whether it can be used: built to its end, and not about to go away."""


class Seen(Struct, frozen=True):
    """What the catalog shows now."""

    indexes: tuple[Index, ...] = ()
    """Those of the table; for a REINDEX what it may have left."""
    present: int = 0
    """The object's oid, 0 if it is not there; for a partition: whether it still belongs to its parent."""
    finalize: str = ""
    """The statement that ends an interrupted DETACH, where there is one."""


class Settlement(Struct, frozen=True):
    """What is to be done."""

    verdict: Verdict
    drop: tuple[Index, ...] = ()
    """Invalid indexes to be dropped first."""
    first: str = ""
    """A statement to be run first."""
    left: tuple[Index, ...] = ()
    """Those of them that the role may not drop, and that are in nobody's way."""


def cut(name: str) -> str:
    """Return a name as the server keeps it."""
    return name.encode()[:NAME_BYTES].decode(errors="ignore")


def settle(facts: Facts, seen: Seen) -> Settlement:  # noqa: PLR0911 - one answer a kind
    """Decide what became of a statement."""
    match facts.kind:
        case Kind.CREATE_INDEX:
            return _index(facts, seen)
        case Kind.REINDEX:
            return Settlement(Verdict.AGAIN, tuple(i for i in seen.indexes if i.oid not in facts.before))
        case Kind.DETACH if seen.finalize:
            return Settlement(Verdict.DONE, first=seen.finalize)
        case Kind.DROP_INDEX | Kind.DETACH | Kind.DROP:
            # An index that is left by half is dropped by the same statement.
            gone = facts.relation not in {0, seen.present}
            return Settlement(Verdict.DONE if gone else Verdict.AGAIN)
        case Kind.CREATE:
            made = facts.relation == 0 and seen.present != 0
            return Settlement(Verdict.DONE if made else Verdict.AGAIN)
        case Kind.AGAIN:
            return Settlement(Verdict.AGAIN)
    return Settlement(Verdict.UNKNOWN)


def _index(facts: Facts, seen: Seen) -> Settlement:
    new = [each for each in _candidates(facts, seen) if each.oid not in facts.before]
    valid = [each for each in new if each.valid]
    if len(valid) > 1:
        # The server has chosen the name, and somebody else has made one too.
        return Settlement(Verdict.UNKNOWN)
    left = [each for each in new if not each.valid]
    if facts.lenient:
        # IF NOT EXISTS would take what an earlier build has left for what is asked for.
        left = [each for each in _candidates(facts, seen) if not each.valid]
    return Settlement(Verdict.DONE if valid and not left else Verdict.AGAIN, tuple(left))


def _candidates(facts: Facts, seen: Seen) -> list[Index]:
    """Return the indexes that may be the one that is made."""
    if facts.name:
        return [each for each in seen.indexes if each.name == facts.name]
    return [each for each in seen.indexes if each.oid not in facts.before and _CHOSEN.search(each.name)]


def is_there(facts: Facts, seen: Seen) -> bool:
    """Tell whether what a statement that ended well was to make can be used."""
    return facts.kind is not Kind.CREATE_INDEX or any(each.valid for each in _candidates(facts, seen))


def not_there(facts: Facts) -> str:
    """Return what is to be said of a statement that ended well and has not made what it was to make."""
    if facts.lenient:
        return (
            "its table has no valid index of that name: with IF NOT EXISTS the server passes over a name that "
            "something else has; choose another"
        )
    return "the server says that it is done, and the index is not valid"
