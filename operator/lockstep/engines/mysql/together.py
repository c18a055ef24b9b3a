"""A migration in which nothing commits: one transaction with its record, and all of it is there or nothing."""

from typing import Final

from lockstep.api.reasons import Reason
from lockstep.engines.base import Recorded, RunError
from lockstep.engines.lexing import Statement
from lockstep.engines.mysql import failures
from lockstep.engines.mysql.channel import SqlError, StatementTimeoutError, StoppedError
from lockstep.engines.mysql.errors import NO_SUCH_SAVEPOINT
from lockstep.engines.mysql.running import Running, may_end

_SAVEPOINT: Final = "lockstep_open"
"""Marks the transaction that was begun here: it is gone if the SQL has ended it, and begun another or not."""


class _EndedError(Exception):
    """The SQL has ended the transaction: what it has committed is there."""


def run_together(running: Running) -> Recorded:
    """Run a step in one transaction, from its beginning each time that it meets a lock.

    Raises:
        RunError: if it failed; nothing of it is left, or the line is Partial.
        ConnectionLostError: if it is not known whether it is there.
    """
    return running.retry(lambda: _try(running))


def _try(running: Running) -> Recorded:
    channel = running.work.channel
    at: Statement | None = None
    channel.query("START TRANSACTION")
    channel.query(f"SAVEPOINT {_SAVEPOINT}")
    try:
        for at in running.script.parts:
            running.statement(at)
            if may_end(running.script.kind(at)):
                _check_open(running)
        last, at = at, None
        running.settle_session()
        _check_open(running)
        return running.record(begun=True)
    except (SqlError, StoppedError, StatementTimeoutError) as error:
        _undo(running, at, failures.how(error))
        raise running.explained(error, at) from error
    except _EndedError:
        ended = at or last
        raise _doubt(running, ended, "its SQL has ended the transaction, so that the part before it is there") from None
    except RunError:
        _undo(running, at)
        raise


def _check_open(running: Running) -> None:
    """See that the transaction is still the one that was begun."""
    channel = running.work.channel
    try:
        channel.query(f"RELEASE SAVEPOINT {_SAVEPOINT}")
    except SqlError as error:
        if error.number != NO_SUCH_SAVEPOINT:
            raise
        raise _EndedError from error
    channel.query(f"SAVEPOINT {_SAVEPOINT}")


def _undo(running: Running, at: Statement | None, how: str = "it failed") -> None:
    """Roll back; what tables without transactions keep of it is a matter for a person.

    Raises:
        RunError: Partial.
    """
    if not running.work.channel.roll_back():
        why = f"{how}, and it had changed tables without transactions, which keep that"
        raise _doubt(running, running.script.parts[0], why, at)


def _doubt(running: Running, part: Statement | None, why: str, at: Statement | None = None) -> RunError:
    """Put into the journal that nobody can tell what of the step is there."""
    work, script = running.work, running.script
    work.channel.roll_back()
    if part is None:
        return RunError(Reason.STATEMENT_REFUSED, f"{running.action.label}: {why}")

    def write() -> None:
        journal = work.recorder.journal
        for each in script.parts[: part.number]:
            journal.start(
                running.step,
                running.direction,
                each.number,
                checksum=running.checksum,
                digest=script.digest(each),
            )
            if each.number < part.number:
                journal.finish(running.step, running.direction, each.number)
            else:
                journal.doubt(running.step, running.direction, each.number, why)

    running.note(write)
    return failures.doubtful(running.place(at or part), why)
