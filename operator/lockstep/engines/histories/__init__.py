"""The history tables of other tools, each in its module: read once, with SELECTs alone, to adopt a database."""

from typing import Final

from msgspec import Struct

from lockstep.engines.histories import (
    alembic,
    dbmate,
    django,
    efcore,
    flyway,
    golang_migrate,
    goose,
    knex,
    liquibase,
    rails,
)
from lockstep.engines.histories.base import Ask, History, Reader
from lockstep.engines.histories.dialects import Dialect
from lockstep.engines.histories.find import find
from lockstep.planning.adoption import ForeignRow
from lockstep.planning.plan import Refusal

HISTORIES: Final[dict[str, History]] = {
    module.HISTORY.tool: module.HISTORY
    for module in (flyway, liquibase, alembic, django, rails, efcore, knex, golang_migrate, goose, dbmate)
}
"""By the word that spec.adopt.history takes."""


class Found(Struct, frozen=True):
    """One tool's history in one database."""

    table: str
    """Its table with its schema, for messages."""
    rows: tuple[ForeignRow, ...]
    cumulative: bool
    """The tool records only where it is, which stands for everything up to there."""


def look(tool: str, wanted: str | None, line: str, ask: Ask, dialect: Dialect) -> Found | Refusal:
    """Find and read another tool's history.

    Args:
        tool: spec.adopt.history.
        wanted: spec.adopt.table; `schema.table` where it is ambiguous.
        line: the line's name.
        ask: runs a SELECT; what it raises comes through.
        dialect: the database's.

    Raises:
        KeyError: if the tool is none of HISTORIES.
    """
    history = HISTORIES[tool]
    table = find(history, wanted, HISTORIES, ask, dialect)
    if isinstance(table, Refusal):
        return table
    rows = history.read(Reader(ask, dialect, table), line)
    return rows if isinstance(rows, Refusal) else Found(str(table), rows, history.cumulative)
