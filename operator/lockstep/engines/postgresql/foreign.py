"""Another tool's history, read once, from a PostgreSQL: one snapshot, and nothing but SELECTs."""

from collections.abc import Sequence
from contextlib import suppress

from lockstep.api.reasons import Reason
from lockstep.engines import histories
from lockstep.engines.base import ConnectionLostError, Log, RunError
from lockstep.engines.histories.dialects import POSTGRESQL
from lockstep.engines.postgresql.channel import Channel
from lockstep.engines.postgresql.messages import Command, Row, SqlError
from lockstep.planning.adoption import ForeignRow
from lockstep.planning.plan import Refusal
from lockstep.planning.wire import AdoptOrder


def read_foreign(channel: Channel, adopt: AdoptOrder, line: str, log: Log) -> tuple[tuple[ForeignRow, ...], bool]:
    """Return the rows of the tool's history, and whether its last one stands for all before it.

    Raises:
        RunError: AdoptionFailed or PermissionDenied.
    """

    def ask(sql: str, params: Sequence[str]) -> Sequence[Row]:
        return channel.query(sql, *params)

    if adopt.history not in histories.HISTORIES:
        known = ", ".join(sorted(histories.HISTORIES))
        raise RunError(Reason.ADOPTION_FAILED, f"{adopt.history!r} is no tool that can be adopted from: {known}")
    # Row security would hide rows without a word: off, it is an error.
    begin = [Command("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"), Command("SET LOCAL row_security = off")]
    channel.run(begin)
    try:
        found = histories.look(adopt.history, adopt.table, line, ask, POSTGRESQL)
    except SqlError as error:
        reason = Reason.PERMISSION_DENIED if error.sqlstate == "42501" else Reason.ADOPTION_FAILED
        words = f"SQLSTATE {error.sqlstate}: {error.primary}"
        raise RunError(
            reason, f"the history of {adopt.history} cannot be read ({words}): grant SELECT on it"
        ) from error
    finally:
        with suppress(ConnectionLostError):
            channel.run([Command("ROLLBACK")], stoppable=False)
    if isinstance(found, Refusal):
        raise RunError(found.reason, found.message)
    log("foreign_history", tool=adopt.history, table=found.table, rows=len(found.rows))
    return found.rows, found.cumulative
