"""A database's catalog as hashes: what every object is, read in one snapshot, whatever the role's settings are."""

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from msgspec import Struct

from lockstep.engines.base import ConnectionLostError
from lockstep.engines.postgresql import catalog_more_sql, catalog_sql
from lockstep.engines.postgresql.catalog_frame import FORMAT, PINNED, found
from lockstep.engines.postgresql.channel import Channel
from lockstep.engines.postgresql.messages import Command, SqlError
from lockstep.planning.drift import Options

T = TypeVar("T")

BEGIN: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ"
TRIES: Final = 5
# What prints the definition of a view fails when it was dropped since: so the views first, soon after the snapshot.
_ALWAYS: Final = (
    catalog_sql.VIEWS,
    catalog_sql.TRIGGERS,
    catalog_sql.SCHEMAS,
    catalog_sql.TABLES,
    catalog_sql.COLUMNS,
    catalog_sql.INDEXES,
    catalog_sql.CONSTRAINTS,
    catalog_sql.SEQUENCES,
    catalog_sql.FUNCTIONS,
    catalog_sql.TYPES,
    catalog_more_sql.EXTENSIONS,
    catalog_more_sql.STATISTICS,
    catalog_more_sql.OPERATORS,
)
_ASKED: Final = {"Grants": catalog_more_sql.GRANTS, "Policies": catalog_more_sql.POLICIES}
_SHIFTED: Final = frozenset({"XX000", "42P01", "42703", "42704", "42883", "40001"})
"""SQLSTATEs of a catalog that changed in mid-read: what prints definitions looks at the newest one, whatever the
snapshot, and stumbles over what has just gone."""


class CatalogOptions(Struct, frozen=True):
    """What to read."""

    ledger_schema: str
    """Whose objects are Lockstep's own."""
    include: frozenset[str] = frozenset()
    """What counts only where asked: Grants, Policies."""

    @property
    def options(self) -> Options:
        """As the ledger keeps it beside the hashes."""
        return Options(FORMAT, self.include)


def server_major(channel: Channel) -> int:
    """Return the server's major version: another one prints definitions in other words."""
    return channel.server_version // 10000


def again(channel: Channel, look: Callable[[], T]) -> T:
    """Look in a transaction that `look` begins and ends, and once more where the catalog has changed in mid-read.

    Raises:
        SqlError: if the server refused; as whatever else `look` raises, with the transaction rolled back.
    """
    for attempt in range(1, TRIES + 1):
        try:
            return look()
        except ConnectionLostError:
            raise
        except BaseException as error:
            channel.run([Command("ROLLBACK")], stoppable=False)
            if not isinstance(error, SqlError) or error.sqlstate not in _SHIFTED or attempt == TRIES:
                raise
    raise AssertionError  # the last try has raised


def pinned() -> list[Command]:
    """Return what makes the open transaction print definitions the same way for every role."""
    return [Command(f"SET LOCAL {name} = {value}") for name, value in PINNED.items()]


def reading(channel: Channel, include: Iterable[str]) -> str:
    """Return the SQL that a query of `found (name, hash)` begins with; its `$1` is the ledger's schema."""
    bodies = [*_ALWAYS, catalog_more_sql.publications(channel.server_version)]
    return found([*bodies, *(_ASKED[word] for word in sorted(include))])
