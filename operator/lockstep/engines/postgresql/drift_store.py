"""The objects that the ledger expects: read together with the catalog, written together with what they say of a run."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Final

from lockstep.engines.base import ConnectionLostError
from lockstep.engines.drift_watch import BlockedError, Decide
from lockstep.engines.postgresql.catalog import (
    BEGIN,
    TRIES,
    CatalogOptions,
    collect,
    pinned,
    reading,
    server_major,
    shifted,
)
from lockstep.engines.postgresql.channel import Channel
from lockstep.engines.postgresql.ledger_tables import on
from lockstep.engines.postgresql.lock import lock_key
from lockstep.engines.postgresql.messages import Command, Reply, SqlError, StoppedError
from lockstep.planning.drift import Change, Expected, Objects, Options
from lockstep.planning.wire import Order

_BLOCKED: Final = "another session holds a lock on a table, so the catalog cannot be read now (SQLSTATE {})"
_LOCKED: Final = "55P03"

_OBJECTS: Final = "SELECT o.name, o.hash FROM @.objects AS o"
_META: Final = "SELECT m.objects_major, m.objects_options FROM @.meta AS m"
_DIRTY: Final = 'SELECT r.line FROM @.run AS r WHERE r.dirty ORDER BY r.line COLLATE pg_catalog."C"'
# Of other sessions, as numbers that a lock's key is made of. pg_locks is of this moment, not of the snapshot.
_LOCKS: Final = """
SELECT l.classid::pg_catalog.int8, l.objid::pg_catalog.int8 FROM pg_catalog.pg_locks AS l
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.pid <> pg_catalog.pg_backend_pid()
  AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())
"""

# Taken before the transaction has a snapshot: who waits here sees what the one before has written.
_LOCK: Final = "LOCK TABLE @.objects IN SHARE ROW EXCLUSIVE MODE"

_UPSERT: Final = """
INSERT INTO @.objects AS o (name, hash)
SELECT e.key, e.value FROM pg_catalog.json_each_text($1::pg_catalog.json) AS e
ON CONFLICT (name) DO UPDATE SET hash = excluded.hash WHERE o.hash <> excluded.hash
"""
_REMOVE: Final = """
DELETE FROM @.objects AS o
WHERE o.name IN (SELECT e.value FROM pg_catalog.json_array_elements_text($1::pg_catalog.json) AS e)
"""
_SETTLED: Final = """
UPDATE @.run AS r SET dirty = false
WHERE r.dirty AND r.line IN (SELECT e.value FROM pg_catalog.json_array_elements_text($1::pg_catalog.json) AS e)
"""
_BASED: Final = "UPDATE @.meta AS m SET objects_major = $1::pg_catalog.int4, objects_options = $2::pg_catalog.text"


LOT: Final = 2000
"""How many objects are written at once."""


def exists(channel: Channel, schema: str) -> bool:
    """Tell whether the ledger is there and keeps objects: one of an older Lockstep does not."""
    name = on(schema, "@.objects")
    return channel.query("SELECT pg_catalog.to_regclass($1::pg_catalog.text) IS NOT NULL", name) == (("t",),)


def load(channel: Channel, schema: str) -> Expected:
    """Return what the ledger in this schema expects, and which lines' runs are not settled.

    Raises:
        SqlError: if the server refused; the transaction has ended then.
    """
    commands = [Command(f"{BEGIN} READ ONLY"), *_asking(schema), Command("COMMIT")]
    with _rolled_back(channel):
        replies = channel.run(commands)
    return _expected(replies[1:-1], schema)


def observe(channel: Channel, options: CatalogOptions) -> tuple[Expected, dict[str, str]]:
    """Return what the ledger expects and what is there, at one moment; writes nothing.

    The objects are read with what the ledger's were read with and what is asked for: `judge` leaves out what is too
    much. What it says of `unsettled` lines is sure only within `update`.

    Raises:
        SqlError: if the server refused; the transaction has ended then.
    """
    return _again(channel, lambda: _look(channel, options, [Command(f"{BEGIN} READ ONLY")], None))


def update(channel: Channel, options: CatalogOptions, decide: Decide) -> tuple[Expected, dict[str, str]]:
    """See what the ledger expects and what is there, and write what follows from it, with no other update between.

    Args:
        channel: the session that holds the line.
        options: what to read.
        decide: a pure function; it may be called again, when another session has come in between. None: nothing.

    Returns:
        What `decide` was called with in the end.

    Raises:
        SqlError: if the server refused; the transaction has ended then, and nothing is written.
    """
    # The one who has the lock may take long to read; the wait holds no snapshot and is bound by statement_timeout.
    begin = [
        Command(f"{BEGIN} READ WRITE"),
        Command("SET LOCAL lock_timeout = 0"),
        Command(on(options.ledger_schema, _LOCK)),
        Command("SET LOCAL lock_timeout = '10s'"),
    ]
    return _again(channel, lambda: _look(channel, options, begin, decide))


def store(channel: Channel, schema: str, change: Change) -> None:
    """Write a change that needs no look at the catalog.

    Raises:
        SqlError: if the server refused; nothing is written then.
    """
    begin = [Command("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"), *pinned(), Command(on(schema, _LOCK))]
    with _rolled_back(channel):
        channel.run(begin)
        _write(channel, schema, change)
        channel.run([Command("COMMIT")])


def _look(
    channel: Channel,
    options: CatalogOptions,
    begin: list[Command],
    decide: Decide | None,
) -> tuple[Expected, dict[str, str]]:
    schema = options.ledger_schema
    asking = [*pinned(), *_asking(schema)]
    expected = _expected(channel.run([*begin, *asking])[-len(_asking(schema)) :], schema)
    known = frozenset() if expected.options is None else expected.options.include
    found = collect(channel.run(reading(channel, schema, options.include | known)))
    change = None if decide is None else decide(expected, found)
    if change is not None:
        _write(channel, schema, change)
    channel.run([Command("COMMIT")])
    return expected, found


def _again(channel: Channel, look: Callable[[], tuple[Expected, dict[str, str]]]) -> tuple[Expected, dict[str, str]]:
    """Look, and once more where the catalog or the ledger has changed in mid-read."""
    for attempt in range(1, TRIES + 1):
        try:
            return look()
        except ConnectionLostError:
            raise
        except BaseException as error:
            channel.run([Command("ROLLBACK")], stoppable=False)
            if not isinstance(error, SqlError) or not shifted(error) or attempt == TRIES:
                raise
    raise AssertionError  # the last try has raised


@contextmanager
def _rolled_back(channel: Channel) -> Iterator[None]:
    """End the transaction where a statement of it fails."""
    try:
        yield
    except (SqlError, StoppedError):
        channel.run([Command("ROLLBACK")], stoppable=False)
        raise


def _asking(schema: str) -> list[Command]:
    return [Command(on(schema, sql)) for sql in (_OBJECTS, _META, _DIRTY, _LOCKS)]


def _expected(replies: list[Reply], schema: str) -> Expected:
    objects, meta, dirty, locks = replies
    [(major, options)] = meta.rows or [(None, None)]
    held = {(int(high or 0) << 32) + int(low or 0) for high, low in locks.rows}
    lines = [line or "" for (line,) in dirty.rows]
    others = tuple(line for line in lines if lock_key(schema, line) & (2**64 - 1) in held)
    return Expected(
        collect([objects]),
        None if major is None else int(major),
        None if options is None else Options.parse(options),
        others,
        tuple(line for line in lines if line not in others),
    )


def _write(channel: Channel, schema: str, change: Change) -> None:
    """Write a change in the open transaction; many objects in lots, so that they take no memory once more."""
    upserts = iter(change.upserts.items())
    while lot := dict(islice(upserts, LOT)):
        channel.run([Command(on(schema, _UPSERT), (json.dumps(lot),))])
    commands = []
    if change.removed:
        commands.append(Command(on(schema, _REMOVE), (json.dumps(change.removed),)))
    if change.options is not None:
        commands.append(Command(on(schema, _BASED), (change.major, change.options.text)))
    if change.lines:
        commands.append(Command(on(schema, _SETTLED), (json.dumps(change.lines),)))
    channel.run(commands)


class PostgresDriftStore:
    """The same for one run of one line, as the watch of drift asks for it."""

    def __init__(self, channel: Channel, order: Order) -> None:
        self._channel = channel
        self._options = CatalogOptions(order.database.ledger_schema, frozenset(order.drift.include))
        self.major = server_major(channel)
        self.options = self._options.options

    def exists(self) -> bool:
        """Tell whether the ledger is there and keeps objects."""
        return exists(self._channel, self._options.ledger_schema)

    def is_watched(self) -> bool:
        """Tell whether some line of the database looks for drift."""
        return load(self._channel, self._options.ledger_schema).major is not None

    def observe(self) -> tuple[Expected, Objects]:
        """Return what is expected and what is there."""
        try:
            return observe(self._channel, self._options)
        except SqlError as error:
            if error.sqlstate != _LOCKED:
                raise
            # Printing a definition waits for whoever changes the object.
            raise BlockedError(_BLOCKED.format(error.sqlstate)) from error

    def update(self, decide: Decide) -> tuple[Expected, Objects]:
        """Write what follows from what is expected and what is there."""
        return update(self._channel, self._options, decide)

    def write(self, change: Change) -> None:
        """Write a change that needs no look at the catalog."""
        store(self._channel, self._options.ledger_schema, change)
