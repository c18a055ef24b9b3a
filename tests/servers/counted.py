"""Migrations that write down each time that one of their statements takes effect, and what must be so afterwards.

Each line has a table of marks, without a key, so that nothing but Lockstep keeps a mark from being there twice.
"""

import hashlib
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Unpack

from lockstep.planning.wire import OrderedMigration
from servers.runner import MigrationWords, migration

MARK = re.compile(r"(INSERT INTO \w+ VALUES |CALL \w+ ?)\('([\d.]+)', (\d+), '(up|down)'\)")
HISTORY = """
SELECT sequence, line, direction, canonical, name, up_checksum, down_checksum, epoch, holder, previous, hash
FROM {}history WHERE line = '{}' ORDER BY sequence
"""
MADE = re.compile(r"(CREATE|DROP) (?:TABLE|VIEW|INDEX|TRIGGER|PROCEDURE)(?: CONCURRENTLY)? (\w+)")
COLUMN = re.compile(r"ALTER TABLE (\w+) (ADD|DROP) COLUMN (\w+)")
EMPTIED = re.compile(r"TRUNCATE TABLE (\w+)")
RENAMED = re.compile(r"(?:RENAME|ALTER) TABLE (\w+) (?:RENAME )?TO (\w+)")


def mark(line: str, version: str, statement: int, direction: str) -> str:
    """Return the statement that says that this one has taken effect."""
    return f"INSERT INTO {line}_marks VALUES ('{version}', {statement}, '{direction}')"


def counted(
    version: str,
    made: Sequence[str],
    undone: Sequence[str] | None,
    line: str = "orders",
    **more: Unpack[MigrationWords],
) -> OrderedMigration:
    """Return a migration of these statements; an empty one stands for a mark, with the number of its place."""

    def text(statements: Sequence[str], direction: str) -> str:
        marked = (sql or mark(line, version, number, direction) for number, sql in enumerate(statements, start=1))
        return ";\n".join(marked)

    return migration(version, text(made, "up"), None if undone is None else text(undone, "down"), **more)


def first(line: str = "orders", *more: str) -> OrderedMigration:
    """Return version 1, which makes the table of marks; no way leads back behind it."""
    return counted(
        "1", [f"CREATE TABLE {line}_marks (version text, statement int, direction text)", "", *more], None, line
    )


def together(version: str, line: str = "orders", *more: str) -> OrderedMigration:
    """Return one that runs in one transaction, up and down."""
    return counted(
        version, [f"CREATE TABLE {line}_{version} (x int)", "", *more], ["", f"DROP TABLE {line}_{version}"], line
    )


def one_by_one(version: str, line: str = "orders") -> OrderedMigration:
    """Return one of PostgreSQL's whose statements are journaled, one of which runs outside of any transaction."""
    table = f"{line}_{version}"
    made = ["", f"CREATE TABLE {table} (x int)", "", f"CREATE INDEX CONCURRENTLY {table}_x ON {table} (x)", ""]
    undone = ["", f"DROP INDEX CONCURRENTLY {table}_x", f"DROP TABLE {table}", ""]
    return counted(version, made, undone, line, transaction="Never")


class View(ABC):
    """One database, seen from beside the runs."""

    ledger: ClassVar[str] = "lockstep_"
    """What stands before the name of each of the ledger's tables."""

    @abstractmethod
    def rows(self, sql: str) -> list[tuple[object, ...]]:
        """Return the rows of a question."""

    @abstractmethod
    def objects(self) -> set[str]:
        """Return the names of tables, views, indexes and whatever the migrations make, columns as `table.column`.

        An index of no use is called `name (invalid)`.
        """

    @abstractmethod
    def has_ledger(self) -> bool:
        """Tell whether all of the ledger is there."""


@dataclass
class Seen:
    """What the ledger says of one line."""

    done: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often a version went up, and down."""
    applied: set[str] = field(default_factory=set)
    journal: dict[tuple[str, str], dict[int, str]] = field(default_factory=dict)
    """By version and direction: the state of each statement of what is done by half."""
    doubt: tuple[str, int] | None = None
    """Version and statement that nobody but a person can tell of: a CALL, or a TRUNCATE of what is not empty now."""
    took_effect: bool = False
    """Whether that one has taken effect."""


def verify(view: View, migrations: Sequence[OrderedMigration], line: str = "orders") -> Seen:
    """See that each statement took effect as often as the ledger says, and that the ledger is whole.

    Raises:
        AssertionError: if not.
    """
    seen = _ledger(view, line)
    objects = view.objects()
    marks: Counter[tuple[str, int, str]] = Counter()
    if f"{line}_marks" in objects:
        for version, statement, direction in view.rows(f"SELECT version, statement, direction FROM {line}_marks"):
            marks[str(version), int(str(statement)), str(direction)] += 1
    for each in migrations:
        for sql, version, number, direction in MARK.findall(f"{each.up};\n{each.down}"):
            state = seen.journal.get((version, direction), {}).get(int(number))
            expected = seen.done[version, direction] + (state == "finished")
            found = marks.pop((version, int(number), direction), 0)
            if sql.startswith("CALL") and state not in {None, "finished"}:
                took_effect = found == expected + 1
                assert took_effect or found == expected, f"{direction} of {version}, {number}: {found} times"
                if state == "unknown":
                    seen.doubt, seen.took_effect = (version, int(number)), took_effect
                continue
            assert found == expected, f"{direction} of {version}, statement {number}: {found} times, not {expected}"
        _doubted(view, each, seen)
        for name, there in _wanted(each, seen).items():
            assert there is None or (name in objects) is there, f"{name}: {there} is not so; {seen}"
            assert there is None or f"{name} (invalid)" not in objects, f"{name} is invalid; {seen}"
    return seen


def _ledger(view: View, line: str) -> Seen:
    seen = Seen()
    if not view.has_ledger():
        return seen
    before = ""
    for number, row in enumerate(view.rows(HISTORY.format(view.ledger, line)), start=1):
        sequence, *_, previous, digest = row
        assert (sequence, previous) == (number, before), f"the history of {line} has a gap at {number}"
        words = [before, line, sequence, *row[2:9]]
        text = "\n".join("-" if word is None else str(word) for word in words)
        assert digest == hashlib.sha256(text.encode()).hexdigest(), f"entry {number} of {line} is not what was hashed"
        before = str(digest)
        direction, version = str(row[2]), str(row[3])
        if direction == "repair":
            continue
        assert (direction == "up") != (version in seen.applied), f"{direction} of {version} twice"
        seen.done[version, direction] += 1
        seen.applied ^= {version}
    found = view.rows(f"SELECT canonical FROM {view.ledger}applied WHERE line = '{line}'")
    assert Counter(str(row[0]) for row in found) == Counter(seen.applied)
    journal = f"SELECT step, direction, statement, state FROM {view.ledger}journal WHERE line = '{line}'"
    for step, way, statement, state in view.rows(journal):
        assert state in {"started", "finished", "unknown"}, f"{way} of {step}, statement {statement}: {state}"
        seen.journal.setdefault((str(step), str(way)), {})[int(str(statement))] = str(state)
    return seen


def _doubted(view: View, each: OrderedMigration, seen: Seen) -> None:
    """See that only that is in doubt which cannot be told."""
    for direction, text in (("up", each.up), ("down", each.down)):
        states = seen.journal.get((str(each.version), direction), {})
        for number, sql in enumerate((text or "").split(";\n"), start=1):
            if states.get(number) != "unknown" or sql.startswith("CALL"):
                continue
            emptied = EMPTIED.match(sql)
            assert emptied is not None, f"{sql}: could be told; {seen}"
            assert view.rows(f"SELECT 1 FROM {emptied[1]}"), f"{sql}: the table is empty; {seen}"
            seen.doubt = (str(each.version), number)


def _wanted(each: OrderedMigration, seen: Seen) -> Mapping[str, bool | None]:
    """Return which of a migration's objects are there by the ledger's word; None: it may be so or not."""
    version = str(each.version)
    up, down = ((text or "").split(";\n") for text in (each.up, each.down))
    wanted: dict[str, bool | None] = {name: False for sql in (*up, *down) for name, _ in _effects(sql)}
    if version in seen.applied:
        for sql in up:
            _take(wanted, sql)
    for direction, statements in (("up", up), ("down", down)):
        for number, state in sorted(seen.journal.get((version, direction), {}).items()):
            sql = statements[number - 1]
            if state == "finished":
                _take(wanted, sql)
            else:
                wanted |= {name: None for name, _ in _effects(sql)}
    return wanted


def _take(wanted: dict[str, bool | None], sql: str) -> None:
    for name, there in _effects(sql):
        wanted[name] = there
        if not there:
            # Its columns go with it.
            wanted |= {other: False for other in wanted if other.startswith(f"{name}.")}


def _effects(sql: str) -> list[tuple[str, bool]]:
    """Return what a statement makes (True) and takes away (False)."""
    if (found := MADE.match(sql)) is not None:
        return [(found[2], found[1] == "CREATE")]
    if (found := COLUMN.match(sql)) is not None:
        return [(f"{found[1]}.{found[3]}", found[2] == "ADD")]
    if (found := RENAMED.match(sql)) is not None:
        return [(found[1], False), (found[2], True)]
    return []
