"""SQL on one connection in libpq's pipeline mode: whole batches in one send, rows of no use thrown away.

Everything after connecting goes through here. A batch ends in one synchronisation point: after the first statement
that fails the server skips the rest of it. The wait listens to the run's Control too, so that a signal or the
deadline cancels what is running on the server.
"""

import select
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Final

import psycopg
from psycopg import pq

from lockstep.engines.base import ConnectionLostError
from lockstep.engines.control import Control
from lockstep.engines.postgresql.copy_channel import CopyIn
from lockstep.engines.postgresql.copying import Data
from lockstep.engines.postgresql.messages import Command, Notice, Param, Reply, Row, SqlError, StoppedError

_STATUS = pq.ExecStatus
_DONE: Final = frozenset(
    {_STATUS.COMMAND_OK, _STATUS.TUPLES_OK, _STATUS.EMPTY_QUERY, _STATUS.SINGLE_TUPLE, _STATUS.TUPLES_CHUNK}
)
_MORE_COMES: Final = frozenset({_STATUS.SINGLE_TUPLE, _STATUS.TUPLES_CHUNK, _STATUS.PIPELINE_SYNC})
_ENDS: Final = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03", "25P04"})
"""SQLSTATEs with which the server ends the session: shutdown, crash, and its own time limits."""
_CANCELLED: Final = "57014"
_CHUNKS: Final = pq.version() >= 170000
_CHUNK_ROWS: Final = 256
_FLUSH_EVERY: Final = 64
"""Statements between two flushes of what libpq has buffered."""
CANCEL_SECONDS: Final = 5.0
"""How long a cancelled batch may take to end before the connection is given up."""


class _Watch:
    """Calls back while a statement takes long: after some seconds, then as often as it is told to."""

    def __init__(self, seconds: float | None, call: Callable[[], float | None] | None) -> None:
        self._call = call
        self._at = None if seconds is None or call is None else time.monotonic() + seconds

    def due(self) -> float | None:
        """Return the seconds until the next call."""
        return None if self._at is None else max(0.0, self._at - time.monotonic())

    def look(self) -> None:
        """Call, if it is time."""
        if self._at is not None and self._call is not None and time.monotonic() >= self._at:
            again = self._call()
            self._at = None if again is None else time.monotonic() + again


class _Batch:
    """One batch on its way: what is sent, and what has come back."""

    def __init__(self, commands: Sequence[Command]) -> None:
        self.commands = commands
        self.answered = time.monotonic()
        self.sent = 0
        self.synced = False
        self.current = 0
        self.chunked = -1
        self.rows: list[Row] = []
        self.tag = ""
        self.replies: list[Reply] = []
        self.error: SqlError | None = None
        self.done = False


class Channel:
    """One connection's statements."""

    def __init__(self, connection: "psycopg.Connection[psycopg.rows.TupleRow]", control: Control) -> None:
        self._connection = connection
        self._pg = connection.pgconn
        self._control = control
        self._ahead: _Batch | None = None
        """What was sent behind the last batch, and is not answered."""
        self._has_cancelled = False
        self.on_notice: Callable[[int, Notice], None] | None = None
        """Told of what the server says beside its answers, with the number of the statement in its batch, from 0."""
        self._at = 0
        self._pg.notice_handler = self._notice
        self._pg.nonblocking = 1
        self._pg.enter_pipeline_mode()

    @property
    def pid(self) -> int:
        """The backend's process as libpq was told when it connected."""
        return self._pg.backend_pid

    @property
    def server_version(self) -> int:
        """Such as 150004."""
        return self._pg.server_version

    def close(self) -> None:
        """Close the connection; the server rolls back and unlocks."""
        self._connection.close()

    def run(
        self,
        commands: Sequence[Command],
        *,
        tick: float | None = None,
        on_tick: Callable[[], float | None] | None = None,
        stoppable: bool = True,
        ahead: Sequence[Command] = (),
    ) -> list[Reply]:
        """Run statements one after the other: in one round trip, but for those that copy data.

        Args:
            commands: what to run; what was sent ahead comes next, as the same object, or is forgotten before.
            tick: after how many seconds of waiting to call `on_tick`.
            on_tick: what to do while a statement takes long; it returns after how many seconds to call it again.
            stoppable: whether a signal and the deadline cancel it.
            ahead: a batch without data to be copied that is sent with it, so that the server does not wait for it: it
                must run into an error of its own where this one fails.

        Raises:
            SqlError: of the first statement that failed.
            StoppedError: if the run must stop, and the batch was cancelled for it.
            ConnectionLostError: if the connection is gone.
        """
        watch = _Watch(tick, on_tick)
        replies: list[Reply] = []
        sent, self._ahead = self._ahead, None
        try:
            if sent is not None:
                assert sent.commands is commands  # noqa: S101 - or what became of it is never known
                self._at, sent.answered = 0, time.monotonic()
                return self._batch(sent, watch, ahead, stoppable=stoppable)
            parts = list(_parts(commands))
            for part in parts:
                self._at = len(replies)
                if part[0].data is not None:
                    replies.append(self._copy(part[0], part[0].data, watch, stoppable=stoppable))
                else:
                    then = ahead if part is parts[-1] else ()
                    replies += self._batch(_Batch(part), watch, then, stoppable=stoppable)
        except SqlError as error:
            error.index += len(replies)
            raise
        except psycopg.OperationalError as error:
            if self._pg.status != pq.ConnStatus.BAD:
                raise
            raise ConnectionLostError from error
        return replies

    def forget(self) -> None:
        """Wait for the end of what was sent ahead of a batch that has failed: it has failed too, and does not count.

        Raises:
            ConnectionLostError: if the connection is gone.
        """
        if self._ahead is not None:
            with suppress(SqlError, StoppedError):
                self.run(self._ahead.commands)

    def _batch(self, batch: _Batch, watch: _Watch, ahead: Sequence[Command], *, stoppable: bool) -> list[Reply]:
        self._ahead = _Batch(ahead) if ahead else None
        self._drive(batch, self._ahead, watch, stoppable)
        if batch.error is not None:
            if stoppable and self._has_cancelled and batch.error.sqlstate == _CANCELLED:
                raise StoppedError
            raise batch.error
        return batch.replies

    def _copy(self, command: Command, data: Data, watch: _Watch, *, stoppable: bool) -> Reply:
        began = time.monotonic()
        copy = CopyIn(self._pg, self._control, watch, self._cancel, CANCEL_SECONDS)
        failed, tag = copy.run(command.sql, data, stoppable=stoppable)
        if failed is None:
            return Reply(tag, seconds=time.monotonic() - began)
        error = SqlError(0, failed)
        if self._pg.status == pq.ConnStatus.BAD or error.sqlstate in _ENDS:
            raise ConnectionLostError
        # Either the cancel or the end of the data that was asked for came first.
        if copy.stopped and error.sqlstate == _CANCELLED:
            raise StoppedError
        raise error

    def _notice(self, result: "pq.abc.PGresult") -> None:
        if self.on_notice is not None:
            field = pq.DiagnosticField
            severity = result.error_field(field.SEVERITY_NONLOCALIZED) or b"NOTICE"
            message = result.error_field(field.MESSAGE_PRIMARY) or b""
            said = Notice(bytes(severity).decode("utf-8", "replace"), bytes(message).decode("utf-8", "replace"))
            self.on_notice(self._at, said)

    def prepare(self, name: str, sql: str) -> None:
        """Let the server plan a statement that comes again and again."""
        self.run([Command(f"PREPARE {name} AS {sql}")])

    def query(self, sql: str, *params: Param) -> tuple[Row, ...]:
        """Run one statement and return its rows."""
        return self.run([Command(sql, params)])[0].rows

    def _drive(self, batch: _Batch, ahead: _Batch | None, watch: _Watch, stoppable: bool) -> None:
        """Send and receive until the batch is through."""
        pg = self._pg
        poller = select.poll()
        cancelled_at: float | None = None
        last_cancel = 0.0
        while True:
            blocked = self._send(batch)
            if ahead is not None and batch.synced:
                blocked = self._send(ahead)
            self._receive(batch)
            if batch.done:
                return
            now = time.monotonic()
            if cancelled_at is not None and now - cancelled_at > CANCEL_SECONDS:
                raise ConnectionLostError
            if stoppable and self._control.stop is not None and now - last_cancel > 0.5:
                cancelled_at, last_cancel = cancelled_at or now, now
                self._has_cancelled = True
                self._cancel()
            timeout = 0.5 if cancelled_at is not None else min(self._control.remaining() + 0.01, 60.0)
            if (due := watch.due()) is not None:
                timeout = min(timeout, due)
            events = select.POLLIN | (select.POLLOUT if blocked else 0)
            poller.register(pg.socket, events)
            if stoppable and cancelled_at is None:
                poller.register(self._control.wakeup, select.POLLIN)
            ready = poller.poll(timeout * 1000)
            for fd, _ in ready:
                if fd == pg.socket:
                    pg.consume_input()
            if cancelled_at is None and stoppable:
                poller.unregister(self._control.wakeup)
            watch.look()

    def _send(self, batch: _Batch) -> bool:
        """Hand libpq what it takes without waiting; return whether the socket is full."""
        pg = self._pg
        total = len(batch.commands)
        while batch.sent < total:
            for _ in range(min(_FLUSH_EVERY, total - batch.sent)):
                self._send_one(batch.commands[batch.sent])
                batch.sent += 1
            if batch.sent < total and pg.flush():
                return True
        if not batch.synced:
            pg.pipeline_sync()
            batch.synced = True
        return bool(pg.flush())

    def _send_one(self, command: Command) -> None:
        if not command.params:
            self._pg.send_query_params(command.sql.encode(), None)
            if command.prompt:
                self._pg.send_flush_request()
            return
        values = [_encode(each) for each in command.params]
        formats = [1 if isinstance(each, bytes) else 0 for each in command.params]
        if command.prepared:
            self._pg.send_query_prepared(command.prepared, values, param_formats=formats)
        else:
            self._pg.send_query_params(command.sql.encode(), values, param_formats=formats)

    def _receive(self, batch: _Batch) -> None:
        """Take every result that has come."""
        pg = self._pg
        while not batch.done and (batch.current < batch.sent or batch.synced):
            self._expect_chunks(batch)
            if pg.is_busy():
                return
            self._take(batch, pg.get_result())

    def _expect_chunks(self, batch: _Batch) -> None:
        """Have libpq hand out rows of no use in small lots: said before it reads the first, or it gathers them all."""
        current = batch.current
        if batch.error is not None or current >= batch.sent or batch.chunked == current or batch.commands[current].keep:
            return
        batch.chunked = current
        if _CHUNKS:
            self._pg.set_chunked_rows_mode(_CHUNK_ROWS)
        else:
            self._pg.set_single_row_mode()

    def _take(self, batch: _Batch, result: "pq.abc.PGresult | None") -> None:
        if result is None:
            now = time.monotonic()
            batch.replies.append(Reply(batch.tag, tuple(batch.rows), now - batch.answered))
            batch.answered, self._at = now, self._at + 1
            batch.current, batch.tag, batch.rows = batch.current + 1, "", []
            return
        status = result.status
        if status == _STATUS.PIPELINE_SYNC:
            batch.done = True
        elif status in _DONE:
            # A last lot of rows that is not full has the tag, and what comes behind it has none.
            batch.tag = (result.command_status or b"").decode() or batch.tag
            if batch.commands[batch.current].keep:
                batch.rows.extend(_rows(result))
        elif status != _STATUS.PIPELINE_ABORTED:
            if batch.error is None:
                batch.error = SqlError(batch.current, result)
            if self._pg.status == pq.ConnStatus.BAD or batch.error.sqlstate in _ENDS:
                raise ConnectionLostError
        if status not in _MORE_COMES:
            # The end of a statement's results is with the last of them.
            self._take(batch, self._pg.get_result())

    def _cancel(self) -> None:
        """Ask the server to cancel what is running; that it is not heard is no error, the wait is bounded."""
        try:
            cancel = self._pg.cancel_conn()
            cancel.blocking()
        except psycopg.Error:
            return


def _parts(commands: Sequence[Command]) -> Iterator[Sequence[Command]]:
    """Cut a batch at the statements that copy data."""
    first = 0
    for number, command in enumerate(commands):
        if command.data is not None:
            if number > first:
                yield commands[first:number]
            yield commands[number : number + 1]
            first = number + 1
    if first < len(commands):
        yield commands[first:]


def _encode(value: Param) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    return str(value).encode()


def _rows(result: "pq.abc.PGresult") -> list[Row]:
    columns = range(result.nfields)
    found: list[Row] = []
    for row in range(result.ntuples):
        values = (result.get_value(row, column) for column in columns)
        found.append(tuple(None if value is None else bytes(value).decode() for value in values))
    return found
