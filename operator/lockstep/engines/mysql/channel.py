"""A migration's SQL on the run's one connection: sent as it is, rows thrown away, cancelled when the run must stop.

The driver waits without a time limit, so a watch stands beside it: a thread that has the server cancel the statement
(KILL QUERY, from a second connection) on a signal, at the deadline or at the statement's own limit, and that cuts the
connection where the server does not answer even then.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeAlias

import pymysql
from msgspec import Struct
from msgspec.structs import replace
from pymysql.constants import COMMAND
from pymysql.constants.SERVER_STATUS import SERVER_STATUS_IN_TRANS
from pymysql.cursors import SSCursor

from lockstep.engines.base import ConnectionLostError
from lockstep.engines.control import Control
from lockstep.engines.mysql.batch import lots
from lockstep.engines.mysql.errors import INTERRUPTED, NOT_ROLLED_BACK, is_lost, line_in, number_of, words_of

CANCEL_SECONDS: Final = 10.0
"""How long a cancelled statement may take to end before the connection is given up."""
LOOK_SECONDS: Final = 0.1
"""How often the watch looks at the run's Control."""
WARNINGS: Final = 5
"""Warnings of one statement that are read."""

_MANY: Final = (0).to_bytes(2, "little")
_SINGLE: Final = (1).to_bytes(2, "little")
"""Whether the server takes several statements as one text: words of COM_SET_OPTION."""

Row = tuple[Any, ...]
Raw: TypeAlias = "pymysql.connections.Connection[Any]"


class Reply(Struct, frozen=True):
    """What a statement did."""

    affected: int
    """Rows that it changed or returned."""
    warnings: int
    seconds: float
    in_transaction: bool
    """Whether a transaction is open after it."""
    cancelled: type[Exception] | None = None
    """Why it was cancelled, although it came to its end: a SLEEP does, and says so in its value."""


class Answer(Struct, frozen=True):
    """What one of Lockstep's own statements did."""

    met: int
    """Rows that it has changed or returned."""
    rows: tuple[Row, ...]


class SqlError(Exception):
    """The server refused a statement; `words` is its message without what may be a row's data."""

    def __init__(self, number: int, text: str, sqlstate: str | None = None) -> None:
        super().__init__(number)
        self.number = number
        self.sqlstate = sqlstate
        self.words = words_of(number, text)
        self.line = line_in(text)
        """Line of the statement that it is about, from 1, where the server says it."""

    @property
    def text(self) -> str:
        """Number and words."""
        return f"error {self.number}: {self.words}"


class StoppedError(Exception):
    """The statement was cancelled since the run must stop."""


class StatementTimeoutError(Exception):
    """The statement was cancelled since it took longer than it may."""


def handshake_id(raw: Raw) -> int:
    """Return the id that the client was told when it connected."""
    return int(raw.thread_id())


class Channel:
    """One connection's statements beyond those of the ledger."""

    def __init__(self, raw: Raw, handle: socket.socket, control: Control, kill: Callable[[int, str], None]) -> None:
        self._raw = raw
        self._handle = handle
        self._kill = kill
        self.id = handshake_id(raw)
        """The connection's id; as the handshake said it, until the server has been asked."""
        self._watch = _Watch(control, self._cancel, self.cut)

    @property
    def raw(self) -> Raw:
        """The driver's connection."""
        return self._raw

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, by the server's last word."""
        # The stubs do not know it.
        return bool(getattr(self._raw, "server_status", 0) & SERVER_STATUS_IN_TRANS)

    def cut(self) -> None:
        """Break the connection, also under a thread that waits for it."""
        with suppress(OSError):
            self._handle.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; the server rolls back and unlocks."""
        self._watch.close()
        with suppress(Exception):
            self._raw.close()
        self._handle.close()

    def _cancel(self) -> None:
        self._kill(self.id, "QUERY")

    def run(
        self,
        sql: str,
        *,
        limit: float | None = None,
        tick: float | None = None,
        on_tick: Callable[[], None] | None = None,
    ) -> Reply:
        """Run one statement of a migration; its rows are thrown away as they come.

        Args:
            sql: the statement, sent as it is.
            limit: how many seconds it may take.
            tick: after how many seconds of waiting to call `on_tick`, once, in another thread.
            on_tick: what to do while it takes long.

        Raises:
            SqlError: if the server refused it.
            StoppedError: if the run must stop, and it was cancelled for it.
            StatementTimeoutError: if it was cancelled for its limit.
            ConnectionLostError: if the connection is gone.
        """
        self._watch.begin(limit, tick, on_tick)
        try:
            reply = self._run(sql)
        except SqlError as error:
            cancelled = self._watch.end()
            if error.number != INTERRUPTED or cancelled is None:
                raise
            raise cancelled() from error
        except BaseException:
            self._watch.end()
            raise
        return replace(reply, cancelled=self._watch.end())

    def _run(self, sql: str) -> Reply:
        began = time.monotonic()
        with _translated(self._raw):
            cursor = SSCursor(self._raw)
            try:
                cursor.execute(sql)
                affected, warnings = _read_out(self._raw)
            except BaseException:
                # What is left of its answer is not waited for.
                cursor.connection = None  # type: ignore[assignment]  # as the driver does when it closes it
                raise
            cursor.close()
        return Reply(affected, warnings, time.monotonic() - began, self.in_transaction)

    def query(self, sql: str, *params: object) -> tuple[Row, ...]:
        """Run one statement of Lockstep's own and return its rows.

        Raises:
            SqlError: if the server refused it.
            ConnectionLostError: if the connection is gone.
        """
        with _translated(self._raw), self._raw.cursor() as cursor:
            cursor.execute(sql, params or None)
            return tuple(cursor.fetchall()) if cursor.description else ()

    def change(self, sql: str, *params: object) -> int:
        """Run one statement of Lockstep's own that writes, and return how many rows it has met.

        Raises:
            SqlError: if the server refused it.
            ConnectionLostError: if the connection is gone.
        """
        with _translated(self._raw), self._raw.cursor() as cursor:
            return int(cursor.execute(sql, params))

    def together(self, statements: Sequence[str], packet: int) -> list[Answer]:
        """Run statements of Lockstep's own that are sent as one text, up to the first that fails.

        Only for this text is the server told that it may take several: it never cuts a migration's statement in two.
        Where it will not be told, they are sent one after the other.

        Args:
            statements: with their values in them.
            packet: bytes of the longest text that the server takes.

        Raises:
            SqlError: if the server refused one; those before it have run.
            ConnectionLostError: if the connection is gone.
        """
        found = []
        with _translated(self._raw), _many(self._raw) as told, self._raw.cursor() as cursor:
            for text in lots(statements, packet if told else 0):
                cursor.execute(text)
                found.append(Answer(cursor.rowcount, tuple(cursor.fetchall())))
                while cursor.nextset():
                    found.append(Answer(cursor.rowcount, tuple(cursor.fetchall())))
        return found

    def warnings(self) -> tuple[tuple[int, str], ...]:
        """Return the first warnings of the last statement: numbers, and words without what may be a row's data."""
        rows = self.query(f"SHOW WARNINGS LIMIT {WARNINGS}")
        return tuple((int(number), words_of(int(number), str(text))) for _, number, text in rows)

    def roll_back(self) -> bool:
        """Roll back; return whether all is gone: tables without transactions keep what was changed in them.

        Raises:
            ConnectionLostError: if the connection is gone.
        """
        try:
            self.query("ROLLBACK")
        except SqlError:
            # A cancellation that came late hits the next statement.
            self.query("ROLLBACK")
        return all(number != NOT_ROLLED_BACK for number, _ in self.warnings())


def _read_out(raw: Any) -> tuple[int, int]:
    """Read a statement's answer to its end; return the rows that it changed or returned, and how many warnings.

    A procedure gives a result for each SELECT, and may fail behind any of them. The driver would leave them from the
    second on to the next statement, and their error too.
    """
    rows = 0
    while True:
        result = raw._result
        while result.unbuffered_active:
            if result._check_packet_is_eof(raw._read_packet()):
                # As the driver does: it has no word that throws rows away and says how many.
                result.unbuffered_active, result.connection = False, None
            else:
                rows += 1
        if result.description is None:
            rows += result.affected_rows
        if not result.has_next:
            return rows, result.warning_count
        raw.next_result(unbuffered=True)


@contextmanager
def _translated(raw: Raw) -> Iterator[None]:
    """Turn the driver's errors into what they mean."""
    try:
        yield
    except pymysql.err.Error as error:
        number = number_of(error)
        if is_lost(number) or not raw.open:
            raise ConnectionLostError from None
        text = str(error.args[1]) if len(error.args) > 1 else ""
        # `from None`: the driver's text may hold data.
        raise SqlError(number, text, getattr(error, "sqlstate", None)) from None


@contextmanager
def _many(raw: Raw) -> Iterator[bool]:
    """Have the server take several statements as one text; gives whether it does."""
    try:
        _tell(raw, _MANY)
    except pymysql.err.Error:
        if not raw.open:
            raise
        yield False
        return
    try:
        yield True
    except BaseException:
        # Of two errors the first one counts; what comes next finds that the connection is gone.
        with suppress(pymysql.err.Error):
            _tell_single(raw)
        raise
    _tell_single(raw)


def _tell_single(raw: Raw) -> None:
    try:
        _tell(raw, _SINGLE)
    except pymysql.err.Error:
        # No migration runs in a session whose server might cut its statements in two.
        if raw.open:
            raw.close()
        raise


def _tell(raw: Any, word: bytes) -> None:
    # The driver has no word of its own for it.
    raw._execute_command(COMMAND.COM_SET_OPTION, word)
    raw._read_packet()


class _Watch:
    """Stands beside one statement after the other."""

    def __init__(self, control: Control, cancel: Callable[[], None], cut: Callable[[], None]) -> None:
        self._control = control
        self._cancel = cancel
        self._cut = cut
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._began: float | None = None
        self._limit: float | None = None
        self._tick: float | None = None
        self._on_tick: Callable[[], None] | None = None
        self._cancelled: tuple[float, type[Exception]] | None = None

    def begin(self, limit: float | None, tick: float | None, on_tick: Callable[[], None] | None) -> None:
        """Begin to watch a statement."""
        with self._lock:
            self._limit, self._tick, self._on_tick = limit, tick, on_tick
            self._cancelled = None
            self._began = time.monotonic()
        if self._thread is None:
            self._thread = threading.Thread(target=self._look, name="watch", daemon=True)
            self._thread.start()

    def end(self) -> type[Exception] | None:
        """Cease to watch; return why it was cancelled, if it was."""
        with self._lock:
            self._began = None
            return None if self._cancelled is None else self._cancelled[1]

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            tick = None
            with self._lock:
                # Held while the server is told, so that no later statement is hit.
                if self._began is not None:
                    tick = self._judge(time.monotonic(), self._began)
            if tick is not None:
                tick()

    def _judge(self, now: float, began: float) -> Callable[[], None] | None:
        if self._cancelled is not None:
            if now - self._cancelled[0] > CANCEL_SECONDS:
                self._cut()
            return None
        why: type[Exception] | None = None
        if self._control.stop is not None:
            why = StoppedError
        elif self._limit is not None and now - began >= self._limit:
            why = StatementTimeoutError
        if why is not None:
            self._cancelled = now, why
            with suppress(Exception):
                self._cancel()
            return None
        if self._on_tick is not None and self._tick is not None and now - began >= self._tick:
            found, self._on_tick = self._on_tick, None
            return found
        return None
