"""What is seen of a history, and what is made of it: short words for the tests."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from engines.histories.asking import On, OnMariadb, OnPostgresql, OnSqlite, recorded
from lockstep.api.reasons import Reason
from lockstep.engines.histories import Found, look
from lockstep.planning.adoption import ForeignRow, adopt
from lockstep.planning.plan import Candidate, Refusal
from lockstep.planning.version import Version

Expected = list[tuple[str, str | None]]
"""Identities and versions of rows."""


def place(request: pytest.FixtureRequest, folder: Path) -> On:
    """Return an empty database of the engine that a fixture's parameter names."""
    if request.param == "postgresql":
        return OnPostgresql(request.getfixturevalue("database"))
    if request.param == "mariadb":
        return OnMariadb(request.getfixturevalue("maria_database"))
    return OnSqlite(folder / "database.db")


def load(on: On, name: str, engine: str) -> None:
    if name == "flyway-schema":
        on.load("CREATE SCHEMA app")
    on.load(recorded(name, engine))


def see(on: On, tool: str, table: str | None = None, line: str = "orders") -> Found | Refusal:
    with on.asking() as ask:
        return look(tool, table, line, ask, on.dialect)


def found(on: On, tool: str, table: str | None = None, line: str = "orders") -> Found:
    seen = see(on, tool, table, line)
    assert isinstance(seen, Found), seen
    return seen


def refused(on: On, tool: str, table: str | None = None, line: str = "orders") -> str:
    seen = see(on, tool, table, line)
    assert isinstance(seen, Refusal), seen
    assert seen.reason is Reason.ADOPTION_FAILED
    return seen.message


def pairs(rows: Sequence[ForeignRow]) -> Expected:
    return [(row.identity, None if row.version is None else row.version.canonical) for row in rows]


def candidate(version: str, *adopts: str) -> Candidate:
    return Candidate(f"m-{version}", Version.parse(version), "up", adopts=adopts)


def adopted(seen: Found, tool: str, *candidates: Candidate) -> list[tuple[str, str | None]]:
    result = adopt("orders", tool, seen.rows, candidates, cumulative=seen.cumulative)
    assert not isinstance(result, Refusal), result.message
    return [(each.version.text, each.name) for each in result]


def not_adopted(seen: Found, tool: str, *candidates: Candidate) -> str:
    result = adopt("orders", tool, seen.rows, candidates, cumulative=seen.cumulative)
    assert isinstance(result, Refusal), result
    return result.message
