"""Migrations that write down each time that one of their statements takes effect, and what must be so afterwards.

Each line has a table of marks, without a key, so that nothing but Lockstep keeps a mark from being there twice.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg

from lockstep.planning.wire import OrderedMigration
from servers.runner import migration

MARK = re.compile(r"INSERT INTO \w+ VALUES \('([\d.]+)', (\d+), '(up|down)'\)")
HISTORY = """
SELECT sequence, line, direction, canonical, name, up_checksum, down_checksum, epoch, holder::text, previous, hash
FROM lockstep.history WHERE line = %s ORDER BY sequence
"""
INDEXES = """
SELECT c.relname, i.indisvalid AND i.indisready AND i.indislive FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid WHERE c.relnamespace = 'public'::regnamespace AND c.relname LIKE %s
"""
RUNS = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'lockstep%%' AND datname = current_database()"
LOCKS = """
SELECT l.pid FROM pg_locks AS l WHERE l.locktype = 'advisory'
AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

Connection = psycopg.Connection[tuple[object, ...]]


def mark(line: str, version: str, statement: int, direction: str) -> str:
    """Return the statement that says that this one has taken effect."""
    return f"INSERT INTO {line}_marks VALUES ('{version}', {statement}, '{direction}')"


def first(line: str = "orders") -> OrderedMigration:
    """Return version 1, which makes the table of marks; no way leads back behind it."""
    table = f"CREATE TABLE {line}_marks (version text, statement int, direction text)"
    return migration("1", f"{table};\n{mark(line, '1', 2, 'up')}")


def together(version: str, line: str = "orders", *more: str) -> OrderedMigration:
    """Return one that runs in one transaction, up and down."""
    made = [f"CREATE TABLE {line}_{version} (x int)", mark(line, version, 2, "up"), *more]
    undone = [mark(line, version, 1, "down"), f"DROP TABLE {line}_{version}"]
    return migration(version, ";\n".join(made), ";\n".join(undone))


def one_by_one(version: str, line: str = "orders") -> OrderedMigration:
    """Return one whose statements are journaled, one of which runs outside of any transaction."""
    made = [
        mark(line, version, 1, "up"),
        f"CREATE TABLE {line}_{version} (x int)",
        mark(line, version, 3, "up"),
        f"CREATE INDEX CONCURRENTLY {line}_{version}_x ON {line}_{version} (x)",
        mark(line, version, 5, "up"),
    ]
    undone = [
        mark(line, version, 1, "down"),
        f"DROP INDEX CONCURRENTLY {line}_{version}_x",
        f"DROP TABLE {line}_{version}",
        mark(line, version, 4, "down"),
    ]
    return migration(version, ";\n".join(made), ";\n".join(undone), transaction="Never")


@dataclass
class Seen:
    """What the ledger says of one line."""

    done: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often a version went up, and down."""
    applied: set[str] = field(default_factory=set)
    journal: dict[tuple[str, str], dict[int, str]] = field(default_factory=dict)
    """By version and direction: the state of each statement of what is done by half."""


def verify(connection: Connection, migrations: Sequence[OrderedMigration], line: str = "orders") -> Seen:
    """See that each statement took effect as often as the ledger says, and that the ledger is whole.

    Raises:
        AssertionError: if not.
    """
    seen = _ledger(connection, line)
    marks: Counter[tuple[str, int, str]] = Counter()
    if _exists(connection, f"{line}_marks"):
        for version, statement, direction in _rows(connection, f"SELECT * FROM {line}_marks"):
            marks[str(version), int(str(statement)), str(direction)] += 1
    for each in migrations:
        for version, number, direction in MARK.findall(f"{each.up};\n{each.down}"):
            half = seen.journal.get((version, direction), {}).get(int(number)) == "finished"
            expected = seen.done[version, direction] + half
            found = marks[version, int(number), direction]
            assert found == expected, f"{direction} of {version}, statement {number}: {found} times, not {expected}"
        _objects(connection, each, seen, line)
    return seen


def _ledger(connection: Connection, line: str) -> Seen:
    seen = Seen()
    if not _exists(connection, "lockstep.meta"):
        return seen
    before = ""
    for number, row in enumerate(_rows(connection, HISTORY, line), start=1):
        sequence, *_, previous, digest = row
        assert (sequence, previous) == (number, before), f"the history of {line} has a gap at {number}"
        words = [before, line, sequence, *row[2:9]]
        text = "\n".join("-" if word is None else str(word) for word in words)
        assert digest == hashlib.sha256(text.encode()).hexdigest(), f"entry {number} of {line} is not what was hashed"
        before = str(digest)
        direction, version = str(row[2]), str(row[3])
        assert (direction == "up") != (version in seen.applied), f"{direction} of {version} twice"
        seen.done[version, direction] += 1
        seen.applied ^= {version}
    found = _rows(connection, "SELECT canonical FROM lockstep.applied WHERE line = %s", line)
    assert Counter(str(row[0]) for row in found) == Counter(seen.applied)
    journal = "SELECT step, direction, statement, state FROM lockstep.journal WHERE line = %s"
    for step, way, statement, state in _rows(connection, journal, line):
        assert state in {"started", "finished"}, f"{way} of {step}, statement {statement}: {state}"
        seen.journal.setdefault((str(step), str(way)), {})[int(str(statement))] = str(state)
    return seen


def _objects(connection: Connection, each: OrderedMigration, seen: Seen, line: str) -> None:
    """See that a migration's table and index are there, or not, as the ledger says."""
    version = str(each.version)
    there = {"up": version in seen.applied, "down": version not in seen.applied}
    for direction, text in (("up", each.up), ("down", each.down)):
        for number, sql in enumerate((text or "").split(";\n"), start=1):
            states = {way: seen.journal.get((version, way), {}) for way in there}
            half = states[direction].get(number)
            opposite = states["down" if direction == "up" else "up"]
            # A way that has begun in the other direction is judged by that direction's own statements.
            if opposite or half == "started":
                continue
            if sql.startswith(("CREATE TABLE", "DROP TABLE")):
                wanted = sql.startswith("CREATE") == (there[direction] or half == "finished")
                assert _exists(connection, sql.split()[2]) is wanted, f"{sql}: {wanted} is not so; {seen}"
            elif " INDEX CONCURRENTLY " in sql:
                wanted = sql.startswith("CREATE") == (there[direction] or half == "finished")
                found = _rows(connection, INDEXES, f"{line}\\_{version}\\_x%")
                assert found == ([(f"{line}_{version}_x", True)] if wanted else []), f"{sql}: {found}; {seen}"


def _exists(connection: Connection, name: str) -> bool:
    return _rows(connection, "SELECT to_regclass(%s) IS NOT NULL", name) == [(True,)]


def _rows(connection: Connection, sql: str, *params: object) -> list[tuple[object, ...]]:
    return connection.execute(sql.encode(), params).fetchall()


def is_idle(connection: Connection) -> bool:
    """Tell whether no run is connected any more, and so holds no lock."""
    return _rows(connection, RUNS) == [] == _rows(connection, LOCKS)
