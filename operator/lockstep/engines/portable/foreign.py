"""Another tool's history, read once, as of one moment, and with nothing but SELECTs."""

from collections.abc import Sequence

from sqlalchemy.exc import SQLAlchemyError

from lockstep.api.reasons import Reason
from lockstep.engines import histories
from lockstep.engines.base import Log, RunError
from lockstep.engines.histories.dialects import Dialect
from lockstep.engines.portable.store import Store
from lockstep.planning.adoption import ForeignRow
from lockstep.planning.plan import Refusal
from lockstep.planning.wire import AdoptOrder


def read_foreign(
    store: Store, dialect: Dialect, adopt: AdoptOrder, line: str, log: Log
) -> tuple[tuple[ForeignRow, ...], bool]:
    """Return the rows of the tool's history, and whether its last one stands for all before it.

    Raises:
        RunError: AdoptionFailed.
    """

    def ask(sql: str, params: Sequence[str]) -> Sequence[tuple[str | None, ...]]:
        options = {} if params else {"no_parameters": True}
        found = store.connection.exec_driver_sql(sql, tuple(params) or None, execution_options=options)
        return [tuple(None if value is None else str(value) for value in row) for row in found]

    try:
        with store.reading():
            found = histories.look(adopt.history, adopt.table, line, ask, dialect)
    except KeyError:
        known = ", ".join(sorted(histories.HISTORIES))
        raise RunError(
            Reason.ADOPTION_FAILED, f"{adopt.history!r} is no tool that can be adopted from: {known}"
        ) from None
    except SQLAlchemyError as error:
        # Not its text: a library's holds the statement.
        raise RunError(
            Reason.ADOPTION_FAILED, f"the history of {adopt.history} cannot be read: see that SELECT on it is granted"
        ) from error
    if isinstance(found, Refusal):
        raise RunError(found.reason, found.message)
    log("foreign_history", tool=adopt.history, table=found.table, rows=len(found.rows))
    return found.rows, found.cumulative
