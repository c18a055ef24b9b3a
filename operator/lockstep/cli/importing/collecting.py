"""Changes made of files: what belongs together, which version each is, what is left out. Pure."""

from collections.abc import Mapping, Sequence
from itertools import count

from msgspec import Struct
from msgspec.structs import replace

from lockstep.cli.importing import choosing, flyway, layouts, sqitch, ways
from lockstep.cli.importing.changes import Change, Collected, Text, UnfitError, one_way
from lockstep.cli.importing.layouts import Named, Way
from lockstep.planning.version import Version


class _Down(Struct, frozen=True):
    """A way back with a file of its own."""

    version: Version | None
    title: str
    text: Text
    never: bool


def wanted(files: Sequence[str]) -> tuple[str, ...]:
    """Return those files of a folder whose texts are asked for: what is recognised, and settings beside it."""
    if sqitch.PLAN in files:
        return sqitch.wanted(files)
    named = [file for file in files if layouts.recognise(file) is not None]
    beside = {choosing.JOURNAL, *(each for file in named for each in ways.companions(file))}
    return (*named, *(file for file in files if file in beside))


def collect(files: Sequence[str], texts: Mapping[str, str], engine: str | None = None) -> Collected:
    """Return the changes that the files of a folder are.

    Args:
        files: their paths in the folder.
        texts: of those that are `wanted`.
        engine: whose files are meant, where there are some for several databases.

    Raises:
        UnfitError: if no file is recognised, or a file's parts cannot be told.
    """
    if sqitch.PLAN in files:
        return sqitch.collect(files, texts)
    named = [found for file in sorted(files) if (found := layouts.recognise(file)) is not None]
    if all(each.way is Way.DOWN for each in named):
        raise UnfitError([_nothing(files)])
    named, others = _chosen(named, engine)
    named, unnamed = choosing.of_journal(choosing.in_numbers(choosing.of_pairs(named)), texts.get(choosing.JOURNAL))
    settled = flyway.settle(named)
    parts, complaints = list[Change | _Down](), list[str]()
    for each in settled.named:
        try:
            parts.append(_read(each, texts, engine))
        except ways.CutError as error:
            complaints.append(f"{each.file}, line {error.line}: {error}")
    changes = [part for part in parts if isinstance(part, Change)]
    complaints += _twice(changes)
    if complaints:
        raise UnfitError(complaints)
    paired, alone = _pair(changes, [part for part in parts if isinstance(part, _Down)])
    numbered, remarks = _number(paired)
    repeatable = [change for change in paired if change.version is None]
    remarks = [
        *_left_out(files, texts, alone),
        *others,
        *unnamed,
        *settled.remarks,
        *remarks,
        *_unended(paired),
        *one_way(paired),
    ]
    return Collected((*numbered, *repeatable), tuple(remarks))


def _chosen(named: Sequence[Named], engine: str | None) -> tuple[list[Named], list[str]]:
    try:
        chosen, said = choosing.of_engine(named, engine)
    except choosing.ManyDatabasesError as error:
        raise UnfitError([str(error)]) from error
    if all(each.way is Way.DOWN for each in chosen):
        raise UnfitError([f"no file here is for {engine}: see --engine", *said])
    return chosen, said


def _read(named: Named, texts: Mapping[str, str], engine: str | None) -> Change | _Down:
    file, text = named.file, texts[named.file]
    settings = (texts[each] for each in ways.companions(file) if each in texts)
    # In SQLite's transactions everything can be.
    never = engine != "sqlite" and (named.never or ways.without_transaction(text) or any(map(ways.turns_off, settings)))
    if named.way is Way.DOWN:
        version = None if named.version is None else Version.parse(named.version)
        return _Down(version, named.title, Text(file, text), never)
    up, down = ways.cut(text) if named.way is Way.EITHER else (ways.Part(text), None)
    back = None if down is None else Text(file, down.text, down.line)
    return Change(named.version, named.title, Text(file, up.text, up.line), back, never, place=named.place)


def _twice(changes: Sequence[Change]) -> list[str]:
    """Return which files are one and the same change, by version and title, in two layouts."""
    first: dict[tuple[Version | None, str], str] = {}
    files = ((change.up.file, first.setdefault((change.number, change.title), change.up.file)) for change in changes)
    return [
        f"{other} and {file} are one version with one title: leave one of them in the folder"
        for file, other in files
        if file != other
    ]


def _pair(changes: Sequence[Change], downs: Sequence[_Down]) -> tuple[list[Change], list[_Down]]:
    """Give each change its way back: the one of the same title, or else the only one of its version, as tools do."""
    paired, left = list(changes), list(downs)
    for by_title in (True, False):
        open_: dict[tuple[Version | None, str], list[int]] = {}
        for place, change in enumerate(paired):
            if change.down is None and change.version is not None:
                open_.setdefault((change.number, change.title if by_title else ""), []).append(place)
        of_same: dict[tuple[Version | None, str], list[_Down]] = {}
        for down in left:
            of_same.setdefault((down.version, down.title if by_title else ""), []).append(down)
        for key, found in of_same.items():
            places = open_.get(key, [])
            if len(found) == len(places) == 1:
                (place,), (down,) = places, found
                paired[place] = replace(paired[place], down=down.text, never=paired[place].never or down.never)
                left.remove(down)
    return paired, left


def _number(changes: Sequence[Change]) -> tuple[list[Change], list[str]]:
    """Put those that have a version in their tool's order; where their numbers are not in it, give them others.

    Those get versions right behind the one before them.
    """
    numbered = [(number, change) for change in changes if (number := change.number) is not None]
    if all(change.place is not None for _, change in numbered):
        numbered.sort(key=lambda pair: (pair[1].place, pair[1].up.file))
    else:
        numbered.sort(key=lambda pair: (pair[0], pair[1].up.file))
    known = {version for version, _ in numbered}
    first: dict[Version, Change] = {}
    made, remarks = list[Change](), list[str]()
    own: set[Version] = set()
    # The last that keeps its version.
    base: Version | None = None
    for version, change in numbered:
        same = first.setdefault(version, change)
        if base is None or (same is change and version > base):
            own.clear()
            made.append(change)
            base = version
            continue
        behind = _behind(version if version == base else base, known, own)
        own.add(behind)
        known.add(behind)
        remarks.append(_out_of_place(change, made[-1], behind) if same is change else _shared(change, same, behind))
        made.append(replace(change, version=behind.text))
    return made, remarks


def _shared(change: Change, first: Change, given: Version) -> str:
    return (
        f"{change.up.file}: version {change.version} is that of {first.up.file} too: this one is {given.text}. A tool "
        f"that records versions has one row for both, which spec.adopt takes for {first.version} alone, and no "
        "spec.adopts can mend that (golang-migrate's counts for both once it stands above them): where both have run, "
        f"take the database over with spec.baseline: {given.text} or above"
    )


def _out_of_place(change: Change, before: Change, given: Version) -> str:
    return (
        f"{change.up.file}: version {change.version} is below {before.version} of {before.up.file}, behind which its "
        f"tool takes it, by its name or journal: this one is {given.text}"
    )


def _behind(version: Version, known: set[Version], own: set[Version]) -> Version:
    """Return a dotted version that comes right behind another, before all that were there already."""
    for zeros in count():
        stem = version.text + ".0" * zeros
        made = next(made for n in count(1) if (made := Version.parse(f"{stem}.{n}")) not in known)
        if not any(version < each < made for each in known - own):
            return made
    raise AssertionError("there is always room between two versions")


def _unended(changes: Sequence[Change]) -> list[str]:
    return [
        f"{text.file}, line {line}: the statement above has no semicolon, and goes on to a run: write one"
        for change in changes
        for text in (change.up, change.down)
        if text is not None
        for line in ways.unended(ways.Part(text.text, text.line))
    ]


def _left_out(files: Sequence[str], texts: Mapping[str, str], alone: Sequence[_Down]) -> list[str]:
    others = [file for file in sorted(files) if file not in texts]
    sql = [file for file in others if layouts.is_sql(file)]
    code = [file for file in others if not layouts.is_sql(file) and layouts.is_numbered(file)]
    more = len(others) - len(sql) - len(code)
    said = [
        (", ".join(sql), "not named as a migration is"),
        (", ".join(code), "named so, but no SQL: Lockstep runs SQL alone"),
        (", ".join(down.text.file for down in alone), "a way back without a way up of its own"),
    ]
    remarks = [f"left out, {why}: {names}" for names, why in said if names]
    return [*remarks, f"left out, {more} more that are no SQL"] if more else remarks


def _nothing(files: Sequence[str]) -> str:
    folders: set[str] = set()
    for file in files:
        folder, _, name = file.partition("/")
        while name:
            if name == sqitch.PLAN or layouts.recognise(name) is not None:
                folders.add(folder)
                break
            deeper, _, name = name.partition("/")
            folder = f"{folder}/{deeper}"
    inside = f"; these folders in it have some, import one of them: {', '.join(sorted(folders))}" if folders else ""
    return f"no file here is named as a migration{inside}. What is known:\n{layouts.listed()}"
