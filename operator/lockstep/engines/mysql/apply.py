"""One migration: in a transaction with its record where nothing in it commits, else statement by statement.

What commits by itself is journaled: noted before it runs, with what its objects are like, and after it. So at most one
statement is in doubt after a crash, and what its objects are like then says whether it has taken effect.
"""

import math
from collections.abc import Callable
from contextlib import suppress

from lockstep.api.reasons import Reason
from lockstep.engines.base import Action, ConnectionLostError, Recorded, RunError
from lockstep.engines.mysql.failures import Place
from lockstep.engines.mysql.one_by_one import OneByOne, lasting_tables, writes
from lockstep.engines.mysql.running import Running, Work
from lockstep.engines.mysql.statements import SqlScript
from lockstep.engines.mysql.store import translated
from lockstep.engines.mysql.subjects import effect_of
from lockstep.engines.mysql.together import run_together
from lockstep.engines.portable.journal import Noted


class Applier:
    """Applies migrations on one session."""

    def __init__(self, work: Work, *, half: bool) -> None:
        self._work = work
        # Whether the journal has rows of an earlier run: asked for only then.
        self._half = half

    def apply(self, action: Action, script: SqlScript, waiting: Callable[[str], None]) -> Recorded:
        """Run one step and record it, trying again for a while when it meets a lock.

        Raises:
            RunError: if it failed; nothing of it is left, or the line is Partial.
            ConnectionLostError: if it is not known whether it is there.
        """
        work, migration = self._work, action.migration
        admit(action, script, work.server.packet, work.server.database)
        work.session.before(script)
        milliseconds = migration.lock_timeout_ms or work.limits.lock_timeout_ms
        work.session.wait_for_locks(max(1, math.ceil(milliseconds / 1000)))
        running = Running(work, action, script, waiting)
        try:
            recorded = self._run(running)
        except RunError:
            # The session is of use for the drift that this step has left.
            with suppress(ConnectionLostError):
                work.session.clean(script)
            raise
        finally:
            running.account.close()
        work.session.clean(script)
        return recorded

    def _run(self, running: Running) -> Recorded:
        script, transaction = running.script, running.action.migration.transaction
        noted: tuple[Noted, ...] = ()
        if self._half:
            with translated():
                noted = tuple(self._work.recorder.journal.noted(running.step, running.direction))
        if noted or transaction == "Never":
            return OneByOne(running, noted).run()
        if transaction == "Always" or (script.transactional and not lasting_tables(running, writes(script))):
            return run_together(running)
        return OneByOne(running, ()).run()


def admit(action: Action, script: SqlScript, packet: int, database: str) -> None:
    """See what only the server can tell of a text before any of it is run. Pure.

    Args:
        action: the step.
        script: its text.
        packet: bytes of the longest statement that the server takes.
        database: the database that the ledger is in.

    Raises:
        RunError: StatementRefused.
    """
    for part in script.parts:
        place = Place(action, part)
        # A letter has at most four bytes: most statements need not be measured.
        if (part.end - part.start) * 4 >= packet and (size := _bytes(script.sql(part))) > packet:
            raise RunError(
                Reason.STATEMENT_REFUSED,
                f"{place.words()}: it has {size} bytes, and the server takes {packet}: raise max_allowed_packet on the "
                "server, or cut the statement",
                error=place.detail(),
            )
        if part.words[:2] in {("DROP", "DATABASE"), ("DROP", "SCHEMA")}:
            dropped = effect_of(script.sql(part)).subjects
            if not dropped or dropped[0].name.lower() == database.lower():
                raise RunError(
                    Reason.STATEMENT_REFUSED,
                    f"{place.words()}: DROP DATABASE of the line's own database is refused: the ledger is in it",
                    error=place.detail(),
                )


def _bytes(sql: str) -> int:
    # The driver puts one byte before it.
    return len(sql.encode("utf-8", "surrogatepass")) + 1
