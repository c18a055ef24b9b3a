"""Sqitch's plan: which changes there are, in which order, and what their files are called. Pure.

A line is a pragma (`%project=shop`), a change (`users [accounts] 2026-08-01T12:00:00Z Ann <ann@example.com> # why`) or
a tag of the change above it (`@v1.0 ...`). A change whose name comes again behind a tag was reworked: the files that it
had until then have that tag in their names.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct, field

_PUNCTUATION: Final = r"\x21-\x2f:-@\[-^`{-~"  # all of ASCII's but the underscore
_NAME: Final = rf"[^\s{_PUNCTUATION}](?:[^\s:@\#\\\[\]]*[^\s{_PUNCTUATION}])?"
_BLANK: Final = re.compile(r"\s*(?:#.*)?")
_PRAGMA: Final = re.compile(r"\s*%\s*([^\s=]+)\s*(?:=\s*(.*?))?\s*(?:#.*)?")
_LINE: Final = re.compile(
    rf"""
    \s* (?: (?P<tag>@) | (?P<sign>[+-])\s* )? (?P<name>{_NAME})
    (?: \s* \[ (?P<needs>[^\]]*) \] \s* | \s+ )
    [0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T[0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}Z
    \s* [^<\#]+ \s <[^>]+>
    \s* (?: \# \s* (?P<note>.*) )?
    """,
    re.VERBOSE,
)
_NEED: Final = re.compile(
    rf"(?P<conflict>!?)(?:(?P<project>{_NAME}):)?(?:(?P<id>[0-9a-f]{{40}})|(?P<name>{_NAME})?(?:@(?P<tag>{_NAME}))?)"
)
_ESCAPED: Final = re.compile(r"\\([\\nr])")


class PlanError(Exception):
    """A plan that Sqitch would not take; the complaints name its lines."""

    def __init__(self, complaints: Sequence[tuple[int, str]]) -> None:
        super().__init__(complaints)
        self.complaints = tuple(complaints)


class Need(Struct, frozen=True):
    """What a change requires, or must not be together with."""

    shown: str
    conflict: bool
    project: str | None
    """Another one's; None: it is of this plan."""


class Planned(Struct):
    """A change of the plan."""

    line: int
    name: str
    note: str
    needs: tuple[Need, ...]
    tags: list[str] = field(default_factory=list)
    reworked: list[str] = field(default_factory=list)
    """Tags of which one is in the names of its files, since its name comes again; the likeliest first."""

    def files(self) -> tuple[str, ...]:
        """Return what its files may be called in each folder: the first one that is there counts."""
        return tuple(f"{self.name}{mark}.sql" for mark in ([f"@{tag}" for tag in self.reworked] or [""]))


def parse(text: str) -> list[Planned]:
    """Return a plan's changes in their order.

    Raises:
        PlanError: if Sqitch would not take it.
    """
    reader = _Reader()
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        for complaint in reader.read(number, line):
            reader.complaints.append((number, complaint))
    if not reader.changes and not reader.complaints:
        reader.complaints.append((1, "there is no change in it"))
    if reader.complaints:
        raise PlanError(reader.complaints)
    return reader.changes


class _Reader:
    """What is known of a plan up to a line."""

    def __init__(self) -> None:
        self.changes: list[Planned] = []
        self.complaints: list[tuple[int, str]] = []
        self._project = ""
        self._latest: dict[str, int] = {}
        self._tags: set[str] = set()
        self._tagged = 0

    def read(self, number: int, line: str) -> Iterator[str]:
        """Take a line; what comes is wrong with it."""
        if _BLANK.fullmatch(line):
            return
        if (pragma := _PRAGMA.fullmatch(line)) is not None:
            if pragma[1] == "project":
                self._project = pragma[2] or ""
            return
        found = _LINE.fullmatch(line)
        if found is None:
            yield "it is no line that Sqitch writes: NAME [NEEDS] DATE PLANNER <EMAIL>, or a tag with an @ before it"
        elif found["tag"]:
            yield from self._tag(found["name"])
        elif found["sign"] == "-":
            yield f"-{found['name']} takes {found['name']} back on the way up: write a change with a script of its own"
        else:
            yield from self._change(number, found)

    def _tag(self, name: str) -> Iterator[str]:
        if not self.changes:
            yield f"@{name} stands before the first change"
        elif name in self._tags:
            yield f"@{name} comes a second time"
        else:
            self._tags.add(name)
            self._tagged = len(self.changes)
            self.changes[-1].tags.append(name)

    def _change(self, number: int, found: re.Match[str]) -> Iterator[str]:
        name = found["name"]
        before = self._latest.get(name)
        if before is not None:
            if before >= self._tagged:
                yield f"{name} comes a second time, and no tag is between: Sqitch reworks a change behind a tag alone"
            # As Sqitch looks for them: the latest tags first.
            self.changes[before].reworked = [tag for each in reversed(self.changes[before:]) for tag in each.tags]
        needs = list[Need]()
        for shown in (found["needs"] or "").split():
            need = _NEED.fullmatch(shown)
            if need is None:
                yield f"{shown} is no name of a change or a tag"
                continue
            project = need["project"] if need["project"] != self._project else None
            if project is None and not need["conflict"] and not self._is_known(need):
                yield f"{name} requires {shown}, which is not planned before it: Sqitch goes by the order of this file"
            needs.append(Need(shown, bool(need["conflict"]), project))
        note = _ESCAPED.sub(lambda mark: {"n": "\n", "r": "\r"}.get(mark[1], mark[1]), found["note"] or "")
        self._latest[name] = len(self.changes)
        self.changes.append(Planned(number, name, note, tuple(needs)))

    def _is_known(self, need: re.Match[str]) -> bool:
        # A change named by its hash has neither, and may be of another project.
        return need["name"] in {None, *self._latest} and need["tag"] in {None, *self._tags}
