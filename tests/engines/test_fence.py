"""The fence itself, with SQL that the splitter would never let through."""

from contextlib import closing

import pytest

from lockstep.api.reasons import Reason
from lockstep.engines import load
from lockstep.engines.base import Action, Files, Identity, RunError, Target, Task
from lockstep.engines.control import Control
from lockstep.engines.postgresql.lexer import split
from lockstep.engines.postgresql.statements import SqlScript
from lockstep.planning.plan import Direction, Step
from lockstep.runner.judge import candidate
from servers.postgres import Database
from servers.runner import migration, order


def apply(sql: str, database: Database, *, journaled: bool) -> RunError:
    """Apply what is not even read by the splitter's rules; return how it is refused."""
    bad = migration("1", f"CREATE TABLE left_behind (); {sql}")
    wanted = order(bad)
    task = Task(wanted, Target("postgresql", database.params), Files(), Identity("pod", "job", 1, wanted.owner))
    assert bad.up is not None
    script = SqlScript(bad.up, tuple(split(bad.up)), journaled)
    with closing(Control(60)) as control:
        session = load("postgresql").connect(task, control, lambda *_, **__: None)
        try:
            session.lock(5)
            session.enter()
            with pytest.raises(RunError) as caught:
                session.apply(Action(Step(Direction.UP, candidate(bad)), bad), script, lambda _: None)
        finally:
            session.close()
    return caught.value


@pytest.mark.parametrize(
    "sql",
    [
        "COMMIT; BEGIN",
        "ROLLBACK; BEGIN",
        "COMMIT; BEGIN; UPDATE lockstep.run SET epoch = epoch",
        "COMMIT",
        "ROLLBACK AND CHAIN",
        "PREPARE TRANSACTION 'x'; BEGIN",
    ],
)
def test_what_left_its_transaction_is_never_recorded(sql: str, any_database: Database) -> None:
    refused = apply(sql, any_database, journaled=False)
    # max_prepared_transactions is 0 by default: there the server itself refuses.
    assert refused.reason in {Reason.FENCED, Reason.STATEMENT_FAILED}
    assert any_database.query("SELECT count(*) FROM lockstep.history") == [(0,)]
    assert any_database.query("SELECT count(*) FROM lockstep.applied") == [(0,)]


@pytest.mark.parametrize("last", ["", "; SELECT 1"])
@pytest.mark.parametrize("sql", ["COMMIT", "ROLLBACK", "COMMIT AND CHAIN", "PREPARE TRANSACTION 'x'"])
def test_nor_is_it_in_the_journal(sql: str, last: str, any_database: Database) -> None:
    refused = apply(f"{sql}{last}", any_database, journaled=True)
    assert refused.reason in {Reason.STATEMENT_REFUSED, Reason.STATEMENT_FAILED}, refused.message
    assert any_database.query("SELECT statement FROM lockstep.journal") == [(1,)]
    assert any_database.query("SELECT count(*) FROM lockstep.history") == [(0,)]
