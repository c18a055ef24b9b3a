"""The objects that the ledger expects, compared in the server with those that are there: what differs comes over."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Final

from msgspec.structs import replace

from lockstep.engines.drift_watch import BlockedError, Decide
from lockstep.engines.postgresql import drift_sql
from lockstep.engines.postgresql.catalog import (
    BEGIN,
    CatalogOptions,
    again,
    pinned,
    reading,
    server_major,
)
from lockstep.engines.postgresql.channel import Channel
from lockstep.engines.postgresql.ledger_tables import on
from lockstep.engines.postgresql.lock import lock_key
from lockstep.engines.postgresql.messages import Command, Reply, SqlError, StoppedError
from lockstep.planning import drift
from lockstep.planning.drift import Change, Expected, Left, Objects, Options, is_comparable, settle
from lockstep.planning.wire import Order

_BLOCKED: Final = "another session holds a lock on a table, so the catalog cannot be read now (SQLSTATE {})"
_LOCKED: Final = "55P03"

LOT: Final = 2000
"""How many objects are written at once."""


def exists(channel: Channel, schema: str) -> bool:
    """Tell whether the ledger is there and keeps objects: one of an older Lockstep does not."""
    name = on(schema, "@.objects")
    return channel.query("SELECT pg_catalog.to_regclass($1::pg_catalog.text) IS NOT NULL", name) == (("t",),)


def is_watched(channel: Channel, schema: str) -> bool:
    """Tell whether there is a baseline."""
    return any(major is not None for major, _ in channel.query(on(schema, drift_sql.META)))


def observe(channel: Channel, options: CatalogOptions, *, owners: bool = False) -> tuple[Expected, dict[str, str]]:
    """Return what the ledger expects and what is there, where they differ, at one moment; writes nothing.

    The objects are read with what the ledger's were read with and what is asked for: `judge` leaves out what is too
    much. What it says of `unsettled` lines is sure only within `update`.

    Args:
        channel: any session.
        options: what to read.
        owners: whether what they lie in is wanted too, since patterns are held against it.

    Raises:
        SqlError: if the server refused; the transaction has ended then.
    """
    major = server_major(channel)

    def look() -> tuple[Expected, dict[str, str]]:
        expected = _begin(channel, options.ledger_schema, [Command(f"{BEGIN} READ ONLY")])
        found = dict[str, str]()
        if is_comparable(expected, major, options.options):
            expected, found = _compare(channel, options, expected, owners)
        channel.run([Command("COMMIT")])
        return expected, found

    return again(channel, look)


def update(
    channel: Channel, options: CatalogOptions, decide: Decide, *, owners: bool = False
) -> tuple[Expected, dict[str, str]]:
    """See what the ledger expects and what is there, and write what follows from it, with no other update between.

    Args:
        channel: the session that holds the line.
        options: what to read.
        decide: a pure function; it may be called again, when another session has come in between. None: nothing.
        owners: as in `observe`.

    Returns:
        What `decide` was called with in the end.

    Raises:
        SqlError: if the server refused; the transaction has ended then, and nothing is written.
    """

    def look() -> tuple[Expected, dict[str, str]]:
        expected = _begin(channel, options.ledger_schema, _locking(options.ledger_schema))
        expected, found = _compare(channel, options, expected, owners)
        if (change := decide(expected, found)) is not None:
            _write(channel, options.ledger_schema, change)
        channel.run([Command("COMMIT")])
        return expected, found

    return again(channel, look)


def absorb(channel: Channel, options: CatalogOptions, before: Left, line: str) -> None:
    """Write what `settle` says of a line's run; the objects stay where they are.

    Raises:
        SqlError: if the server refused; the transaction has ended then, and nothing is written.
    """
    schema, major = options.ledger_schema, server_major(channel)

    def look() -> None:
        expected = _begin(channel, schema, _locking(schema))
        change = settle(expected, before, {}, line, major=major, options=options.options)
        if change is not None:
            if expected.major is not None:
                query = _reading(channel, options, expected) + on(schema, drift_sql.ABSORB)
                channel.run([Command(query, (schema, json.dumps(before)))])
            _write(channel, schema, change)
        channel.run([Command("COMMIT")])

    again(channel, look)


def store(channel: Channel, schema: str, change: Change) -> None:
    """Write a change that needs no look at the catalog.

    Raises:
        SqlError: if the server refused; nothing is written then.
    """
    begin = [Command("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"), *pinned(), Command(on(schema, drift_sql.LOCK))]
    with _rolled_back(channel):
        channel.run(begin)
        _write(channel, schema, change)
        channel.run([Command("COMMIT")])


def _locking(schema: str) -> list[Command]:
    """Begin what writes: the one who has the lock may take long to read."""
    return [
        Command(f"{BEGIN} READ WRITE"),
        # The wait holds no snapshot and is bound by statement_timeout.
        Command("SET LOCAL lock_timeout = 0"),
        Command(on(schema, drift_sql.LOCK)),
        Command("SET LOCAL lock_timeout = '10s'"),
    ]


def _begin(channel: Channel, schema: str, begin: list[Command]) -> Expected:
    """Begin a transaction; return what the ledger says, without its objects."""
    asking = [Command(on(schema, sql)) for sql in (drift_sql.META, drift_sql.DIRTY, drift_sql.LOCKS)]
    return _expected(channel.run([*begin, *pinned(), *asking])[-len(asking) :], schema)


def _reading(channel: Channel, options: CatalogOptions, expected: Expected) -> str:
    known = frozenset[str]() if expected.options is None else expected.options.include
    return reading(channel, options.include | known)


def _compare(
    channel: Channel, options: CatalogOptions, expected: Expected, owners: bool
) -> tuple[Expected, dict[str, str]]:
    """Return the objects that differ, as they are expected and as they are found."""
    schema = options.ledger_schema
    rows = channel.query(_reading(channel, options, expected) + on(schema, drift_sql.LOOK), schema)
    was = {name or "": it for name, it, _ in rows if it is not None}
    found = {name or "": it for name, _, it in rows if it is not None}
    if owners and rows:
        differing = {*was, *found}
        above = channel.query(on(schema, drift_sql.OWNERS), json.dumps(sorted(drift.owners(differing) - differing)))
        same = {name or "": it or "" for name, it in above}
        was, found = was | same, found | same
    return replace(expected, objects=was), found


@contextmanager
def _rolled_back(channel: Channel) -> Iterator[None]:
    """End the transaction where a statement of it fails."""
    try:
        yield
    except (SqlError, StoppedError):
        channel.run([Command("ROLLBACK")], stoppable=False)
        raise


def _expected(replies: list[Reply], schema: str) -> Expected:
    meta, dirty, locks = replies
    [(major, options)] = meta.rows or [(None, None)]
    held = {(int(high or 0) << 32) + int(low or 0) for high, low in locks.rows}
    lines = [line or "" for (line,) in dirty.rows]
    others = tuple(line for line in lines if lock_key(schema, line) & (2**64 - 1) in held)
    return Expected(
        major=None if major is None else int(major),
        options=None if options is None else Options.parse(options),
        others=others,
        unsettled=tuple(line for line in lines if line not in others),
    )


def _write(channel: Channel, schema: str, change: Change) -> None:
    """Write a change in the open transaction; many objects in lots, so that they take no memory once more."""
    upserts = iter(change.upserts.items())
    while lot := dict(islice(upserts, LOT)):
        channel.run([Command(on(schema, drift_sql.UPSERT), (json.dumps(lot),))])
    commands = []
    if change.removed:
        commands.append(Command(on(schema, drift_sql.REMOVE), (json.dumps(change.removed),)))
    if change.options is not None:
        commands.append(Command(on(schema, drift_sql.BASED), (change.major, change.options.text)))
    if change.lines:
        commands.append(Command(on(schema, drift_sql.SETTLED), (json.dumps(change.lines),)))
    channel.run(commands)


class PostgresDriftStore:
    """The same for one run of one line, as the watch of drift asks for it."""

    def __init__(self, channel: Channel, order: Order) -> None:
        self._channel = channel
        self._options = CatalogOptions(order.database.ledger_schema, frozenset(order.drift.include))
        self._owners = bool(order.drift.ignore)
        self.major = server_major(channel)
        self.options = self._options.options

    def exists(self) -> bool:
        """Tell whether the ledger is there and keeps objects."""
        return exists(self._channel, self._options.ledger_schema)

    def is_watched(self) -> bool:
        """Tell whether some line of the database looks for drift."""
        return is_watched(self._channel, self._options.ledger_schema)

    def observe(self) -> tuple[Expected, Objects]:
        """Return what is expected and what is there, where they differ."""
        try:
            return observe(self._channel, self._options, owners=self._owners)
        except SqlError as error:
            if error.sqlstate != _LOCKED:
                raise
            # Printing a definition waits for whoever changes the object.
            raise BlockedError(_BLOCKED.format(error.sqlstate)) from error

    def update(self, decide: Decide) -> tuple[Expected, Objects]:
        """Write what follows from what is expected and what is there."""
        return update(self._channel, self._options, decide, owners=self._owners)

    def absorb(self, before: Left, line: str) -> None:
        """Write what a line's run has changed, before which this differed."""
        absorb(self._channel, self._options, before, line)

    def write(self, change: Change) -> None:
        """Write a change that needs no look at the catalog."""
        store(self._channel, self._options.ledger_schema, change)
