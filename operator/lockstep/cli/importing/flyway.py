"""What Flyway makes of its files beyond their names: locations with folders in them, and baselines. Pure.

A baseline (`B20__x.sql`) builds on a new database what all versions up to its own make; where one of them has run,
Flyway never runs it. Lockstep has one set of Migrations for all databases, so one of the two is left out: the baseline,
as long as there are versioned scripts that it stands for. They are right on every database, if slower on a new one.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from lockstep.cli.importing.changes import UnfitError
from lockstep.cli.importing.layouts import FLYWAY, Named, Way
from lockstep.engines.refused_texts import few
from lockstep.planning.version import Version


class Settled(Struct, frozen=True):
    """Which files count."""

    named: tuple[Named, ...]
    remarks: tuple[str, ...] = ()


def settle(named: Sequence[Named]) -> Settled:
    """Return the files without those that Flyway would not take, or would take instead of others.

    Raises:
        UnfitError: if Flyway itself would refuse them.
    """
    theirs = [each for each in named if each.tools == FLYWAY]
    others = [each for each in named if each.tools != FLYWAY]
    deeper = [each.file for each in theirs if others and "/" in each.file]
    theirs = [each for each in theirs if each.file not in deeper]
    remarks = [f"left out, in a folder below, where only Flyway looks: {', '.join(deeper)}"] if deeper else []
    _see_each_version_once(theirs)
    kept, said = _without_baselines(theirs)
    return Settled(tuple(sorted((*others, *kept), key=lambda each: each.file)), (*remarks, *said))


def _of(named: Sequence[Named], way: Way) -> list[tuple[Version, Named]]:
    found = [(Version.parse(each.version), each) for each in named if each.version is not None and each.way is way]
    return sorted(found, key=lambda pair: (pair[0], pair[1].file))


def _see_each_version_once(named: Sequence[Named]) -> None:
    files: dict[tuple[Way, Version], list[str]] = {}
    for way in (Way.UP, Way.BASELINE):
        for number, each in _of(named, way):
            files.setdefault((way, number), []).append(each.file)
    twice = [" and ".join(found) for found in files.values() if len(found) > 1]
    if twice:
        raise UnfitError(
            [
                f"Flyway takes no two files of one version, in whatever folders: {few(twice, 3)}: import the folder "
                "that is its location (of several databases, one), or a copy of what all of its locations hold together"
            ]
        )


def _without_baselines(named: Sequence[Named]) -> tuple[list[Named], list[str]]:
    """Return the files with one baseline at most, as version of its number, and what is said of it."""
    baselines, versioned = _of(named, Way.BASELINE), _of(named, Way.UP)
    kept = [each for each in named if each.way is not Way.BASELINE]
    before = [(number, each) for number, each in baselines if not versioned or number < versioned[0][0]]
    remarks = []
    if behind := [each.file for _, each in baselines[len(before) :]]:
        remarks.append(
            f"left out, a baseline: {', '.join(behind)}: versioned scripts that it stands for are here, from "
            f"{versioned[0][1].file} on, and are right on every database. If they do not build a new one any more, or "
            "too slowly: import a copy of the folder without those up to the baseline, once each database is there"
        )
    if not before:
        return kept, remarks
    *older, (number, taken) = before
    undone = [each.file for version, each in _of(kept, Way.DOWN) if version <= number]
    remarks += [
        f"left out, {what} {taken.file} stands for: {', '.join(files)}"
        for files, what in (([each.file for _, each in older], "a baseline that"), (undone, "ways back of a part that"))
        if files
    ]
    remarks.append(
        f"{taken.file} is version {taken.version}, and stands for all before it. Flyway runs it on a new database "
        f"alone, Lockstep wherever {taken.version} is not recorded: let Flyway take each database there first; where "
        f"its history has no row of {taken.version}, set spec.baseline to what the database has, and no spec.adopt"
    )
    return [*(each for each in kept if each.file not in undone), replace(taken, way=Way.UP)], remarks
