"""What the suite must know of an engine: how to have a database of it, and its words where dialects differ."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Samples:
    """SQL that every engine has, each in its own words."""

    slow: str
    """One statement that takes a minute and writes nothing."""
    hostile: Sequence[str] = ()
    """Statements against the ledger, or against the transaction, that the engine does not let through."""
    index: str = "CREATE INDEX by_hand ON users (name)"
    """Makes an index on `users`, and nothing else."""
    history: str = (
        "CREATE TABLE schema_migrations (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL);"
        "INSERT INTO schema_migrations VALUES (2, false)"
    )
    """golang-migrate's table of a database that is at version 2."""


class Place(ABC):
    """One database, empty at first."""

    secret: dict[str, str]
    """The keys of its Secret."""

    @abstractmethod
    def query(self, sql: str) -> list[tuple[object, ...]]:
        """Run one statement beside the runs, and return its rows."""

    @abstractmethod
    def tables(self) -> set[str]:
        """Return the names of the tables and views that are not Lockstep's."""

    @abstractmethod
    def is_busy(self) -> bool:
        """Tell whether a run is inside of its slow statement."""

    @abstractmethod
    def ledger(self, table: str) -> str:
        """Return how SQL calls a table of the ledger."""

    @abstractmethod
    def drop(self) -> None:
        """Take it away."""

    def script(self, sql: str) -> None:
        """Run statements that have no semicolon inside."""
        for statement in filter(str.strip, sql.split(";")):
            self.query(statement)

    def applied(self) -> list[object]:
        """Return the versions of line `orders` in the order in which they were applied."""
        found = self.query(f"SELECT version FROM {self.ledger('applied')} WHERE line = 'orders' ORDER BY sequence")
        return [row[0] for row in found]

    def history(self) -> list[tuple[object, ...]]:
        """Return what was done to line `orders`: direction and version."""
        history = self.ledger("history")
        return self.query(f"SELECT direction, version FROM {history} WHERE line = 'orders' ORDER BY sequence")

    def everything(self) -> list[list[tuple[object, ...]]]:
        """Return all that the ledger holds."""
        names = ("meta", "run", "history", "applied", "repeatable", "texts", "journal", "objects")
        return [sorted(self.query(f"SELECT * FROM {self.ledger(name)}"), key=repr) for name in names]


class Target(ABC):
    """One kind of database, in one version."""

    name: ClassVar[str]
    engine: ClassVar[str]
    """The word of database.engine."""
    sql: ClassVar[Samples]
    transactional: ClassVar[bool] = True
    """Whether a migration that fails leaves nothing; otherwise what has run stays, and the line is Partial."""
    journals: ClassVar[bool] = True
    """Whether transaction: Never is for something here."""

    @abstractmethod
    def start(self, stack: ExitStack) -> None:
        """Start its server, to be ended with the stack; skips where it is not installed."""

    @abstractmethod
    def database(self) -> Place:
        """Make an empty database."""
