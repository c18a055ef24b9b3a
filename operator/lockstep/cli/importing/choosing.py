"""Which of a folder's files are meant, and as what, where one file alone does not say it. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from lockstep.cli.importing.layouts import DIESEL, Named, Way
from lockstep.engines.refused_texts import few
from lockstep.planning.version import Version

JOURNAL: Final = "meta/_journal.json"
"""Where Drizzle keeps which files there are, and their order."""

_ALSO: Final = {"mariadb": ("mariadb", "mysql")}
"""Engines that take files for another one too, where there are none for them."""
_FIRST: Final = re.compile(r"(?P<word>do|undo)[-_.](?P<stem>.+)", re.IGNORECASE)
_LAST: Final = re.compile(r"(?:(?P<stem>.+)[-_.])?(?P<word>up|do|down|undo|rollback|revert)", re.IGNORECASE)
_BACK: Final = frozenset({"down", "undo", "rollback", "revert"})
_ANY: Final = 10
"""The rank of a file that does not say which database it is for, behind those that do."""
_OTHER: Final = 11
"""That of one for another database."""


class _Entry(msgspec.Struct, frozen=True):
    tag: str


class _Journal(msgspec.Struct, frozen=True):
    entries: tuple[_Entry, ...]


class ManyDatabasesError(Exception):
    """Files are for several databases, and nobody has said which; the message says what to do."""


def of_engine(named: Sequence[Named], engine: str | None) -> tuple[list[Named], list[str]]:
    """Return the files for an engine, and what is to be said of the others.

    As with pop, a file for that engine alone stands in for the one of the same change that does not say.

    Raises:
        ManyDatabasesError: if they are for several, and no engine is given.
    """
    marked = [each for each in named if each.dialect is not None]
    if engine is None:
        databases = sorted({each.dialect for each in marked if each.dialect is not None})
        changes = {_change(each) for each in named if each.dialect is None}
        if len(databases) > 1 or not changes.isdisjoint(map(_change, marked)):
            raise ManyDatabasesError(
                f"there are files for one database alone ({', '.join(databases)}): say with --engine which is meant"
            )
        return list(named), []
    ranks = {dialect: rank for rank, dialect in enumerate(_ALSO.get(engine, (engine,)))}
    best: dict[tuple[object, ...], int] = {}
    for each in named:
        best[_change(each)] = min(_rank(each, ranks), best.get(_change(each), _OTHER))
    kept = [each for each in named if best[_change(each)] == _rank(each, ranks) < _OTHER]
    chosen = {each.file for each in kept}
    left = [each.file for each in named if each.file not in chosen]
    said = (
        f"left out, for another database, or for all where there is one for {engine}: {len(left)} files ({few(left)})"
    )
    return kept, [said] if left else []


def _change(named: Named) -> tuple[object, ...]:
    return None if named.version is None else Version.parse(named.version), named.title, named.way


def _rank(named: Named, ranks: Mapping[str, int]) -> int:
    """Return how much a file is for an engine: less is more."""
    return _ANY if named.dialect is None else ranks.get(named.dialect, _OTHER)


def of_pairs(named: Sequence[Named]) -> list[Named]:
    """Return the files, with the way that a word in a title says where another file of the version goes the other way.

    So it is with Postgrator, yoyo and db-migrate, and where people have written `3_add_up.sql` and `3_add_down.sql`. A
    word alone says nothing: `3_scale_down.sql`.
    """
    sides: dict[tuple[object, str], tuple[list[Named], list[Named]]] = {}
    for each in named:
        if each.way is Way.EITHER:
            stem, goes_back = _said(each.title)
            sides.setdefault((Version.parse(each.version or ""), stem), ([], []))[goes_back].append(each)
    told = dict[str, Named]()
    for (_, stem), (forth, back) in sides.items():
        if len(forth) == len(back) == 1:
            told[back[0].file] = replace(back[0], way=Way.DOWN, title=stem)
            # One without a word may have both ways itself.
            told[forth[0].file] = replace(forth[0], way=forth[0].way if forth[0].title == stem else Way.UP, title=stem)
    return [told.get(each.file, each) for each in named]


def _said(title: str) -> tuple[str, bool]:
    """Return a title without the word that says a way, and whether that is the way back."""
    found = _FIRST.fullmatch(title) or _LAST.fullmatch(title)
    return (title, False) if found is None else (found["stem"] or "", found["word"].lower() in _BACK)


def in_numbers(named: Sequence[Named]) -> list[Named]:
    """Return the files, those of Diesel's layout without places where none has a date: Hasura's, which are numbers."""
    if any(each.tools == DIESEL and "-" in each.file.partition("_")[0] for each in named):
        return list(named)
    return [replace(each, place=None) if each.tools == DIESEL else each for each in named]


def of_journal(named: Sequence[Named], journal: str | None) -> tuple[list[Named], list[str]]:
    """Return the files that Drizzle runs, each with its place, and what is to be said of the others.

    Args:
        named: a folder's.
        journal: the text of its JOURNAL; None: it has none.
    """
    if journal is None:
        return list(named), []
    try:
        entries = msgspec.json.decode(journal, type=_Journal).entries
    except msgspec.DecodeError:
        return list(named), [f"{JOURNAL} is not read: it is not as Drizzle writes it"]
    places = {f"{entry.tag}.sql": f"{number:06}" for number, entry in enumerate(entries)}
    kept = [replace(each, place=places[each.file]) for each in named if each.file in places]
    left = [each.file for each in named if each.file not in places]
    missing = sorted(places.keys() - {each.file for each in kept})
    said = [
        (left, "left out, since Drizzle's journal does not name them, so that they never run"),
        (missing, "Drizzle's journal names them, and they are not here"),
    ]
    return kept, [f"{why}: {', '.join(files)}" for files, why in said if files]
