"""Drift: what differs between the objects that the ledger expects in a database and those that are there. Pure.

An object is known by its kind and its qualified name, as people write them (`column public.users.email`), and by a
hash of what it is. What an object lies in shows in its name, so that a table that was added whole is named once.
"""

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from fnmatch import translate
from typing import Final, Literal

from msgspec import Struct

Objects = Mapping[str, str]
"""The hash of each object (hex), by its name for people."""
Left = Mapping[str, str | None]
"""What differed from what was expected: the hash that was there, by name; None: it was gone."""

_IN_TABLES: Final = ("column", "constraint", "policy", "rule", "trigger")
"""Kinds whose names are `schema.owner.name`."""
_OF_TABLES: Final = ("index", "sequence", "statistics")
"""Kinds whose names may end in ` of schema.owner`: they have a name of their own in their schema."""
_OWNERS: Final = ("schema", "table", "foreign table", "view", "materialized view", "type")
"""Kinds that others lie in. No two of them share a name: a table is a type too."""
_IN_SCHEMAS: Final = (
    *_OWNERS[1:],
    "aggregate",
    "collation",
    "event",
    "function",
    "library",
    "operator",
    "operator class",
    "operator family",
    "package",
    "package body",
    "procedure",
    "text search configuration",
    "text search dictionary",
)
_ALONE: Final = (
    "cast",
    "default privileges",
    "event trigger",
    "extension",
    "foreign data wrapper",
    "publication",
    "schema",
    "server",
)
_GRANT: Final = "grant"
KINDS: Final = tuple(sorted((*_IN_TABLES, *_OF_TABLES, *_IN_SCHEMAS, *_ALONE, _GRANT)))
"""Every kind of object."""
INCLUDES: Final[Mapping[str, tuple[str, ...]]] = {"Grants": (_GRANT, "default privileges"), "Policies": ("policy",)}
"""Kinds that count only where asked, by the word of `spec.driftOptions.include`."""

_NAME: Final = r'(?:"(?:[^"]|"")*"|[^\s".(]+)'
_KIND: Final = re.compile(f"({'|'.join(sorted(KINDS, key=len, reverse=True))}) ")
_SCHEMA: Final = re.compile(rf"({_NAME})\.")
_OWNER: Final = re.compile(rf"({_NAME}\.{_NAME})\.{_NAME}$")
_OF: Final = re.compile(rf" of ({_NAME}\.{_NAME})$")
_GRANTED: Final = re.compile(rf"on (.*) to {_NAME}$", re.DOTALL)
_LONGEST: Final = 160
"""Characters of a name in a message: a function's may be thousands."""


class Drift(Struct, frozen=True):
    """What was made by hand; each tuple is sorted. False if there is none."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)

    def describe(self, limit: int = 3) -> str:
        """Return one line that names the first `limit` objects added, changed and removed, and counts the others.

        What was added or removed together with what it lies in is not named.
        """
        parts = (("added", _whole(self.added)), ("changed", self.changed), ("removed", _whole(self.removed)))
        return "; ".join(f"{word} {_first(names, limit)}" for word, names in parts if names) or "no drift"

    def hash(self, found: Objects) -> str:
        """Return `sha256:` and the hash of these differences and of what is there now, for a person to accept."""
        lines = [("added", name, found[name]) for name in self.added]
        lines += [("changed", name, found[name]) for name in self.changed]
        lines += [("removed", name, "") for name in self.removed]
        return "sha256:" + hashlib.sha256(json.dumps(lines).encode()).hexdigest()


class Options(Struct, frozen=True):
    """What the objects of a ledger were read with."""

    format: int
    """Grows when Lockstep reads more, or otherwise, than before: hashes of two formats cannot be compared."""
    include: frozenset[str] = frozenset()
    """Words of INCLUDES."""

    @property
    def text(self) -> str:
        """As the ledger keeps them, such as `1 Grants,Policies`."""
        return f"{self.format} {','.join(sorted(self.include))}".rstrip()

    @classmethod
    def parse(cls, text: str) -> "Options":
        """Read `text` back; what is none counts as format 0, which nothing can be compared with."""
        number, _, words = text.partition(" ")
        if not number.isdecimal():
            return cls(0)
        return cls(int(number), frozenset(word for word in words.split(",") if word in INCLUDES))


class Expected(Struct, frozen=True):
    """What the ledger says of the database's objects."""

    objects: Objects = {}
    """Here, and in what is found, those may be missing that are the same on both sides and that nothing lies in that
    differs: an engine may compare where the objects are."""
    major: int | None = None
    """The server's major version when they were read; None: there is no baseline yet."""
    options: Options | None = None
    others: tuple[str, ...] = ()
    """Lines of which another run is under way and has committed: what differs may be theirs."""
    unsettled: tuple[str, ...] = ()
    """Lines of which a run has died after a commit, before its differences were taken in."""


class Change(Struct, frozen=True):
    """What to write into the ledger."""

    upserts: Objects = {}
    removed: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    """Lines whose differences are settled with it."""
    major: int | None = None
    """With `options`: what the objects were read with; None: as before."""
    options: Options | None = None


class Judgement(Struct, frozen=True):
    """What a look at the database means."""

    outcome: Literal["Baseline", "Inconclusive", "Unattributed", "Compared"]
    """Baseline: nothing could be compared, what is there is what is expected from now on.
    Inconclusive: another line's run is under way.
    Unattributed: a run has died; what differs may be its work, so it is taken in.
    Compared: what differs was made by hand."""
    drift: Drift = Drift()
    """With Unattributed: what is taken in; it accuses nobody."""
    change: Change | None = None
    """What must be written for it, if anything."""


def compare(expected: Objects, found: Objects, ignore: Sequence[str] = ()) -> Drift:
    """Return what differs, without what a pattern matches and what lies in such an object.

    A pattern (`*`, `?`, `[...]`; letters as they are) is held against `public.users` and against `table public.users`.
    """
    if expected == found:
        return Drift()
    drift = Drift(
        added=tuple(sorted(found.keys() - expected.keys())),
        changed=tuple(sorted(name for name, hashed in found.items() if expected.get(name, hashed) != hashed)),
        removed=tuple(sorted(expected.keys() - found.keys())),
    )
    if not ignore:
        return drift
    ignored = re.compile("|".join(translate(pattern) for pattern in ignore))

    def heeded(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in names if not _is_ignored(name, ignored, (expected, found)))

    return Drift(heeded(drift.added), heeded(drift.changed), heeded(drift.removed))


def left(expected: Objects, found: Objects, change: Change | None) -> Left:
    """Return what differs still when a look has written its change."""
    drift = compare(expected, found)
    taken = frozenset[str]() if change is None else {*change.upserts, *change.removed}
    return {name: found.get(name) for name in (*drift.added, *drift.changed, *drift.removed) if name not in taken}


def merge(expected: Objects, before: Left, after: Objects) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return what a run changes in the expected objects: those to write with their hashes, and those to remove.

    What differs `after` the run is the run's, but for what differed in the very same way `before` it: drift that was
    there stays drift, unless the run has changed the very object.
    """
    upserts = {name: it for name, it in after.items() if expected.get(name) != it and before.get(name) != it}
    return upserts, tuple(sorted(name for name in expected if name not in after and before.get(name, "") is not None))


def judge(expected: Expected, found: Objects, *, major: int, options: Options, ignore: Sequence[str] = ()) -> Judgement:
    """Tell what a look at the database means.

    Args:
        expected: what the ledger says, seen at one moment with `found`.
        found: what is there, read with `options` and with those of the ledger.
        major: the server's major version.
        options: what this line asks for.
        ignore: patterns of what shall not count.
    """
    if expected.others:
        return Judgement("Inconclusive")
    known = expected.options or Options(0)
    read = Options(options.format, options.include | known.include)
    if not is_comparable(expected, major, options):
        return Judgement("Baseline", change=rebase(expected, found, major, read))
    if expected.unsettled:
        return Judgement("Unattributed", compare(expected.objects, found), rebase(expected, found, major, read))
    # What is asked for the first time has nothing to be held against, what another line asks for is theirs.
    fresh = _kinds(options.include - known.include)
    uncounted = fresh | _kinds(read.include - options.include)
    drift = _but(compare(expected.objects, found, ignore), uncounted)
    if not fresh:
        return Judgement("Compared", drift)
    upserts = {name: hashed for name, hashed in found.items() if kind(name) in fresh}
    stale = tuple(name for name in expected.objects if kind(name) in fresh and name not in found)
    return Judgement("Compared", drift, Change(upserts, stale, (), major, read))


def rebase(expected: Expected, found: Objects, major: int, options: Options) -> Change:
    """Return what makes the expected objects those that are there."""
    drift = compare(expected.objects, found)
    upserts = {name: found[name] for name in (*drift.added, *drift.changed)}
    return Change(upserts, drift.removed, expected.unsettled, major, options)


def is_comparable(expected: Expected, major: int, options: Options) -> bool:
    """Tell whether what is found can be held against what is expected: both were read in the same way."""
    known = expected.options or Options(0)
    return expected.major == major and known.format == options.format


def settle(
    expected: Expected, before: Left, after: Objects, line: str, *, major: int, options: Options
) -> Change | None:
    """Return what a run of a line leaves in the ledger; without a baseline only that it is settled.

    None: another version of Lockstep has read the objects in its own way meanwhile. The line stays unsettled, and the
    next look takes in what differs.
    """
    if expected.major is None:
        return Change(lines=(line,))
    if not is_comparable(expected, major, options):
        return None
    return Change(*merge(expected.objects, before, after), (line,))


def accept(drift: Drift, found: Objects, accepted: str) -> Change | None:
    """Return what takes in drift that a person has accepted by its hash; None if it is another drift."""
    if drift.hash(found) != accepted:
        return None
    return Change({name: found[name] for name in (*drift.added, *drift.changed)}, drift.removed)


def kind(name: str) -> str:
    """Return an object's kind.

    Raises:
        ValueError: if it begins with none.
    """
    return _split(name)[0]


def above(name: str) -> Iterator[str]:
    """Yield what an object lies in, the nearest first, as `_keys` has it."""
    what, rest = _split(name)
    if what == _GRANT:
        if granted := _GRANTED.match(rest):
            yield granted[1]
            yield from above(granted[1])
        return
    if (what in _IN_TABLES and (owner := _OWNER.match(rest))) or (what in _OF_TABLES and (owner := _OF.search(rest))):
        yield owner[1]
    if what not in _ALONE and (schema := _SCHEMA.match(rest)):
        yield schema[1]


def _split(name: str) -> tuple[str, str]:
    found = _KIND.match(name)
    if found is None:
        raise ValueError(f"{name[:_LONGEST]!r} begins with no kind of object")
    return found[1], name[found.end() :]


def _forms(name: str) -> set[str]:
    """Return the writings of a name that patterns are held against."""
    if _KIND.match(name) is None:
        return {name}
    what, rest = _split(name)
    short = _OF.sub("", rest) if what in _OF_TABLES else rest
    return {name, rest, short, f"{what} {short}"}


def owners(names: Iterable[str]) -> set[str]:
    """Return whatever these may lie in, by its name for people: patterns are held against it where it is there."""
    return {f"{what} {up}" for name in names for up in above(name) for what in _OWNERS}


def _is_ignored(name: str, ignored: re.Pattern[str], known: tuple[Objects, ...]) -> bool:
    """Tell whether a pattern matches an object or what it lies in."""
    there = (owner for owner in owners([name]) if any(owner in objects for objects in known))
    names = [name, *above(name), *there]
    return any(ignored.match(form) for each in names for form in _forms(each))


def _keys(name: str) -> tuple[str, ...]:
    """Return what `above` calls an object."""
    what, rest = _split(name)
    if what in _OWNERS:
        return (name, rest)
    return (name, f"{what} {_OF.sub('', rest)}") if what in _OF_TABLES else (name,)


def _kinds(include: Iterable[str]) -> frozenset[str]:
    return frozenset(each for word in include for each in INCLUDES[word])


def _but(drift: Drift, kinds: Collection[str]) -> Drift:
    added, changed, removed = (
        tuple(name for name in names if kind(name) not in kinds)
        for names in (drift.added, drift.changed, drift.removed)
    )
    return Drift(added, changed, removed)


def _whole(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names without those that lie in another of them."""
    keys = {key for name in names for key in _keys(name)}
    return tuple(name for name in names if not any(up in keys for up in above(name)))


def _first(names: tuple[str, ...], limit: int) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(_short(name) for name in names[:limit]) + more


def _short(name: str) -> str:
    line = "".join(letter if letter.isprintable() else "?" for letter in name)
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."
