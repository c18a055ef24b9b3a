"""COPY ... FROM stdin on a connection that is otherwise in pipeline mode, in which libpq cannot copy."""

import select
import time
from collections.abc import Callable
from typing import Final, Protocol

import psycopg
from psycopg import pq

from lockstep.engines.base import ConnectionLostError
from lockstep.engines.control import Control
from lockstep.engines.postgresql.copying import Data

_STATUS = pq.ExecStatus
_LONGEST_WAIT: Final = 60.0

Result = pq.abc.PGresult


class Watch(Protocol):
    """What is looked at while a statement takes long."""

    def due(self) -> float | None:
        """Return the seconds until the next look; None: there is none."""

    def look(self) -> None:
        """Look, if it is due."""


class CopyIn:
    """One COPY with its data, from leaving pipeline mode to entering it again."""

    def __init__(
        self, pg: pq.abc.PGconn, control: Control, watch: Watch, cancel: Callable[[], None], patience: float
    ) -> None:
        self._pg = pg
        self._control = control
        self._watch = watch
        self._cancel = cancel
        self._patience = patience
        self._stoppable = True
        self._cancelled_at: float | None = None
        self._last_cancel = 0.0

    @property
    def stopped(self) -> bool:
        """Whether it was cancelled since the run must stop."""
        return self._cancelled_at is not None

    def run(self, sql: str, data: Data, *, stoppable: bool) -> tuple[Result | None, str]:
        """Run it; return the server's error, if there was one, and the command's tag.

        Raises:
            ConnectionLostError: if the connection is gone.
        """
        self._stoppable = stoppable
        pg = self._pg
        pg.exit_pipeline_mode()
        try:
            pg.send_query_params(sql.encode(), None)
            self._flush()
            return self._drive(data)
        finally:
            if pg.status != pq.ConnStatus.BAD:
                pg.enter_pipeline_mode()

    def _drive(self, data: Data) -> tuple[Result | None, str]:
        error: Result | None = None
        tag = ""
        while (result := self._next()) is not None:
            match result.status:
                case _STATUS.COPY_IN:
                    self._feed(data)
                case _STATUS.COMMAND_OK | _STATUS.TUPLES_OK:
                    tag = (result.command_status or b"").decode()
                case _:
                    error = error or result
                    if self._pg.status == pq.ConnStatus.BAD:
                        break
        return error, tag

    def _feed(self, data: Data) -> None:
        """Send the data, never more than what one send takes ahead of the server."""
        pg = self._pg
        for chunk in data.chunks():
            while pg.put_copy_data(chunk) == 0:
                self._wait(writing=True)
            self._flush()
            if self._must_stop():
                pg.put_copy_end(b"the run must stop")
                self._flush()
                return
        pg.put_copy_end(None)
        self._flush()

    def _flush(self) -> None:
        while self._pg.flush():
            self._wait(writing=True)

    def _next(self) -> Result | None:
        while self._pg.is_busy():
            self._wait(writing=bool(self._pg.flush()))
        return self._pg.get_result()

    def _must_stop(self) -> bool:
        """Tell whether the run must stop; the first time, and again later, the server is asked to cancel."""
        if not self._stoppable or self._control.stop is None:
            return False
        now = time.monotonic()
        if self._cancelled_at is not None and now - self._cancelled_at > self._patience:
            raise ConnectionLostError
        if now - self._last_cancel > 0.5:
            self._cancelled_at, self._last_cancel = self._cancelled_at or now, now
            self._cancel()
        return True

    def _wait(self, *, writing: bool) -> None:
        """Wait until the socket can be read or, where that is asked for, written."""
        stopping = self._must_stop()
        timeout = 0.5 if stopping else min(self._control.remaining() + 0.01, _LONGEST_WAIT)
        if (due := self._watch.due()) is not None:
            timeout = min(timeout, due)
        poller = select.poll()
        poller.register(self._pg.socket, select.POLLIN | (select.POLLOUT if writing else 0))
        if self._stoppable and not stopping:
            poller.register(self._control.wakeup, select.POLLIN)
        for fd, events in poller.poll(timeout * 1000):
            if fd == self._pg.socket and events & ~select.POLLOUT:
                self._consume()
        self._watch.look()

    def _consume(self) -> None:
        try:
            self._pg.consume_input()
        except psycopg.OperationalError as error:
            raise ConnectionLostError from error
