"""The objects that the ledger expects: read together with those that are there, written as what a run makes of them."""

from collections.abc import Callable
from typing import Final

from msgspec import Struct
from sqlalchemy import delete, insert, select, update

from lockstep.engines.drift_watch import Decide
from lockstep.engines.portable.ledger import Ledger
from lockstep.engines.portable.store import Store
from lockstep.planning.drift import Change, Expected, Left, Objects, Options, settle

LOT: Final = 500
"""Objects that are taken out by one statement: SQLite takes only so many values."""


class Catalog(Struct, frozen=True):
    """How an engine reads the objects of its database."""

    read: Callable[[], Objects]
    """The hash of every object that is not Lockstep's, by its name for people; inside of a transaction."""
    major: int
    """The server's major version."""
    options: Options
    """What is read, and in which format."""
    held: Callable[[str], bool]
    """Tells whether another session holds a line's lock."""


class PortableDriftStore:
    """A database's objects and those that its ledger expects, as the watch of drift asks for them."""

    def __init__(self, store: Store, ledger: Ledger, catalog: Catalog) -> None:
        self._store = store
        self._ledger = ledger
        self._catalog = catalog
        self.major = catalog.major
        self.options = catalog.options

    def exists(self) -> bool:
        """Tell whether there is a ledger."""
        return bool(self._store.version())

    def is_watched(self) -> bool:
        """Tell whether some line of the database looks for drift."""
        found = self._store.rows(select(self._store.tables.meta.c.objects_major))
        return bool(found) and found[0][0] is not None

    def observe(self) -> tuple[Expected, Objects]:
        """Return what is expected and what is there."""
        with self._store.reading():
            return self._expected(), self._catalog.read()

    def update(self, decide: Decide) -> tuple[Expected, Objects]:
        """Write what follows from what is expected and what is there."""
        with self._store.transaction():
            expected, found = self._expected(), self._catalog.read()
            change = decide(expected, found)
            if change is not None:
                self._write(change)
        return expected, found

    def absorb(self, before: Left, line: str) -> None:
        """Write what a line's run has changed, before which this differed."""
        self.update(lambda e, f: settle(e, before, f, line, major=self.major, options=self.options))

    def write(self, change: Change) -> None:
        """Write a change that needs no look at the database."""
        with self._store.transaction():
            self._write(change)

    def _expected(self) -> Expected:
        tables, ask = self._store.tables, self._store.rows
        [(major, options)] = ask(select(tables.meta.c.objects_major, tables.meta.c.objects_options))
        others, unsettled = self._ledger.unsettled(self._catalog.held)
        return Expected(
            {str(name): str(hashed) for name, hashed in ask(select(tables.objects.c.name, tables.objects.c.hash))},
            major,
            None if options is None else Options.parse(options),
            others,
            unsettled,
        )

    def _write(self, change: Change) -> None:
        store, tables = self._store, self._store.tables
        objects = tables.objects
        # Another line's run may have put them in meanwhile.
        gone = [*change.removed, *change.upserts]
        for first in range(0, len(gone), LOT):
            store.run(delete(objects).where(objects.c.name.in_(gone[first : first + LOT])))
        if change.upserts:
            store.run(insert(objects), [{"name": name, "hash": hashed} for name, hashed in change.upserts.items()])
        if change.options is not None:
            store.run(update(tables.meta).values(objects_major=change.major, objects_options=change.options.text))
        if change.lines:
            store.run(update(tables.run).where(tables.run.c.line.in_(change.lines)).values(dirty=0))
