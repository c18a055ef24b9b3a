"""Which versions of a line another tool has applied: its history's rows mapped to the Migrations of the set. Pure.

A Migration is found by its `spec.adopts`, which names what the tool has recorded, and else by its version. What cannot
be told for certain is refused by name: a version that is wrongly taken for applied would never run.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from msgspec import Struct

from lockstep.api.reasons import Reason
from lockstep.planning.plan import Refusal, listed
from lockstep.planning.version import Version

_SHOWN: Final = 80
"""Characters of a name that a message shows."""


class ForeignRow(Struct, frozen=True):
    """One row of another tool's history, or one fact that its tables tell."""

    identity: str
    """As the tool names it: what `spec.adopts` names, and what messages show."""
    version: Version | None
    """The version that it stands for by itself, where its form has a number."""
    description: str = ""
    problem: str | None = None
    """Why it cannot be adopted (failed, dirty, locked), and what the tool has to mend it."""
    aliases: tuple[str, ...] = ()
    """Other names that it answers to in `spec.adopts`, such as the name of its file."""
    covers: bool = False
    """Whether the tool takes everything before it for applied too, without rows (a baseline, a squash)."""

    @property
    def names(self) -> tuple[str, ...]:
        """All by which `spec.adopts` may name it."""
        return (self.identity, *self.aliases)


class Adopted(Struct, frozen=True):
    """One version that is recorded as applied without being run."""

    version: Version
    name: str | None
    """Its Migration; None: the tool ran it and there is no Migration of it, so Lockstep cannot undo it."""
    identity: str
    """The tool's name of it."""


class Adoptable(Protocol):
    """What is asked of a Migration of the set."""

    @property
    def name(self) -> str:
        """Its metadata.name."""

    @property
    def version(self) -> Version | None:
        """None: a repeatable one."""

    @property
    def adopts(self) -> tuple[str, ...]:
        """The tool's names of what it stands for, in the order in which the tool ran them."""


class _Claim(Struct, frozen=True):
    """A row, and what it was taken for."""

    row: ForeignRow
    version: Version | None
    candidate: Adoptable | None = None
    named: bool = False
    """Whether the candidate's spec.adopts names the row."""


class _Set:
    """The candidates by what they are looked up by."""

    def __init__(self, candidates: Sequence[Adoptable]) -> None:
        self.candidates = candidates
        self.by_version = {c.version: c for c in candidates if c.version is not None}
        self.naming = [c for c in candidates if c.adopts]
        self._by_name: dict[str, list[Adoptable]] = {}
        for candidate in candidates:
            for name in dict.fromkeys(candidate.adopts):
                self._by_name.setdefault(name, []).append(candidate)

    def takers(self, row: ForeignRow) -> list[Adoptable]:
        """Return the Migrations whose spec.adopts names a row."""
        found = [candidate for name in dict.fromkeys(row.names) for candidate in self._by_name.get(name, ())]
        return list({id(candidate): candidate for candidate in found}.values())


def adopt(
    line: str, tool: str, rows: Sequence[ForeignRow], candidates: Sequence[Adoptable], *, cumulative: bool
) -> tuple[Adopted, ...] | Refusal:
    """Say which versions of a line are applied by another tool's history, in their order.

    Args:
        line: the line's name.
        tool: the tool, as spec.adopt.history names it.
        rows: what its tables say, in the order in which they say it.
        candidates: the set, in any order.
        cumulative: the tool records only where it is, which stands for everything up to there.
    """
    if (refused := _unfit(tool, rows, cumulative=cumulative)) is not None:
        return refused
    among = _Set(candidates)
    claims: list[_Claim] = []
    unknown: list[ForeignRow] = []
    for row in rows:
        claim = _claim(tool, row, among)
        if isinstance(claim, Refusal):
            return claim
        if claim is None:
            unknown.append(row)
        else:
            claims.append(claim)
    for check in (
        _unknown(line, tool, unknown),
        _halves(tool, claims, cumulative=cumulative),
        _twice(tool, claims),
        _elsewhere(tool, claims, among) if cumulative else None,
    ):
        if check is not None:
            return check
    found = _collect(claims, among, cumulative=cumulative)
    if not found:
        return _refuse(f"{tool}'s history names only repeatable Migrations of line {line!r}: use spec.baseline instead")
    return found


def _refuse(message: str, version: Version | None = None) -> Refusal:
    return Refusal(Reason.ADOPTION_FAILED, message, version)


def _show(identity: str) -> str:
    return identity if len(identity) <= _SHOWN else identity[: _SHOWN - 3] + "..."


def _list(rows: Iterable[ForeignRow]) -> str:
    return listed([_show(row.identity) for row in rows])


def _unfit(tool: str, rows: Sequence[ForeignRow], *, cumulative: bool) -> Refusal | None:
    """Return what the history says of itself that forbids to adopt it."""
    problems = [f"{_show(row.identity)} {row.problem}" for row in rows if row.problem is not None]
    if problems:
        return _refuse(f"{tool}'s history cannot be adopted as it is: {listed(problems)}")
    if nameless := sum(not row.identity.strip() and row.version is None for row in rows):
        return _refuse(
            f"{nameless} of {tool}'s history have neither a name nor a number, which {tool} itself never writes: take "
            "these rows out, or use spec.baseline instead"
        )
    if not rows:
        return _refuse(
            f"{tool}'s history table is there but holds nothing that is applied: say with spec.baseline "
            "what the database has, or leave out spec.adopt for an empty one"
        )
    if cumulative and len(rows) > 1:
        return _refuse(
            f"{tool} is at {len(rows)} places at once ({_list(rows)}), and a line has one: let {tool} merge them "
            "and go up to the one that is left, or use spec.baseline instead"
        )
    return None


def _claim(tool: str, row: ForeignRow, among: _Set) -> _Claim | Refusal | None:
    """Find what a row stands for; None: nothing is known of it."""
    takers = among.takers(row)
    if len(takers) > 1:
        names = listed([candidate.name for candidate in takers])
        return _refuse(f"{tool}'s {_show(row.identity)} is in spec.adopts of {names}: leave it in one of them")
    if takers:
        return _Claim(row, takers[0].version, takers[0], named=True)
    if row.version is None:
        return None
    same = among.by_version.get(row.version)
    if same is not None and same.adopts:
        return _refuse(
            f"{tool}'s {_show(row.identity)} has the version of {same.name}, whose spec.adopts names something else: "
            f"write spec.adopts: [{_quoted(row)}] on the Migration that it is",
            row.version,
        )
    # As its Migration writes it, for messages.
    return _Claim(row, row.version, None) if same is None else _Claim(row, same.version, same)


def _quoted(row: ForeignRow) -> str:
    return f'"{row.identity}"'


def _unknown(line: str, tool: str, rows: Sequence[ForeignRow]) -> Refusal | None:
    if not rows:
        return None
    return _refuse(
        f"{len(rows)} of {tool}'s history have no number and no Migration of line {line!r} names them: {_list(rows)}: "
        f"write spec.adopts: [{_quoted(rows[0])}] on the Migration that it is, and so for each"
    )


def _halves(tool: str, claims: Sequence[_Claim], *, cumulative: bool) -> Refusal | None:
    """Return which Migration stands for several things of which the tool has not done all."""
    seen: dict[int, list[_Claim]] = {}
    for claim in claims:
        if claim.named:
            seen.setdefault(id(claim.candidate), []).append(claim)
    for same in seen.values():
        candidate = same[0].candidate
        if candidate is None:
            continue
        # Where only the place is recorded, the last of them stands for those before it.
        wanted = candidate.adopts[-1:] if cumulative else candidate.adopts
        known = {name for claim in same for name in claim.row.names}
        missing = [_show(name) for name in wanted if name not in known]
        if missing:
            return _refuse(
                f"{candidate.name} stands for {len(candidate.adopts)} changes of {tool}'s, which has applied "
                f"{_list(claim.row for claim in same)} but not {listed(missing)}: let {tool} finish them, "
                "or correct its spec.adopts",
                candidate.version,
            )
    return None


def _twice(tool: str, claims: Sequence[_Claim]) -> Refusal | None:
    """Return which rows have one version, unless one Migration says that it stands for all of them."""
    by_version: dict[Version, list[_Claim]] = {}
    for claim in claims:
        if claim.version is not None:
            by_version.setdefault(claim.version, []).append(claim)
    for version, same in by_version.items():
        if len(same) > 1 and not all(claim.named for claim in same):
            return _refuse(
                f"{_list(claim.row for claim in same)} of {tool}'s history are all version {version}: give each a "
                "Migration of its own whose spec.adopts names it (dotted versions fit in between), or name them all "
                "in one",
                version,
            )
    return None


def _elsewhere(tool: str, claims: Sequence[_Claim], among: _Set) -> Refusal | None:
    """Return why the tool's place is none of the line's: its numbers mean nothing where Migrations have their own."""
    for claim in claims:
        if not claim.named and among.naming:
            names = listed([candidate.name for candidate in among.naming])
            return _refuse(
                f"{tool} is at {_show(claim.row.identity)}, and spec.adopts of {names} names other places: "
                f"write spec.adopts: [{_quoted(claim.row)}] on the Migration that it is",
                claim.version,
            )
    return None


def _collect(claims: Sequence[_Claim], among: _Set, *, cumulative: bool) -> tuple[Adopted, ...]:
    found: dict[Version, Adopted] = {}
    covered: list[_Claim] = []
    for claim in claims:
        # A repeatable Migration that names the row has no version to record; it runs again, as it may.
        if claim.version is None:
            continue
        name = None if claim.candidate is None else claim.candidate.name
        before = found.get(claim.version)
        identity = claim.row.identity if before is None else f"{before.identity}, {claim.row.identity}"
        found[claim.version] = Adopted(claim.version, name, identity)
        if cumulative or claim.row.covers:
            covered.append(claim)
    for claim in covered:
        for version, candidate in among.by_version.items():
            if claim.version is not None and version < claim.version:
                found.setdefault(version, Adopted(version, candidate.name, claim.row.identity))
    return tuple(sorted(found.values(), key=lambda each: each.version))
