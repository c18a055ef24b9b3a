"""What these tests say again and again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from servers.mariadb import MariaDatabase
from servers.process import wait_until
from servers.runner import Ended, Pod

Pods = Callable[..., Pod]


def keys(database: MariaDatabase, **other: object) -> dict[str, str]:
    """Return the Secret of a database, as a Service Binding has it; what goes by way of a proxy can be read by it."""
    plain = {"sslmode": "disable"} if "port" in other else {}
    return {**database.params, "type": "mysql", **plain, **{key: str(value) for key, value in other.items()}}


def tables(database: MariaDatabase) -> set[str]:
    """Return the tables and views that are not Lockstep's."""
    return {str(name) for (name,) in database.query("SHOW TABLES") if not str(name).startswith("lockstep_")}


def applied(database: MariaDatabase) -> list[object]:
    """Return the versions in the order in which they were applied."""
    return [row[0] for row in database.query("SELECT version FROM lockstep_applied ORDER BY sequence")]


def journal(database: MariaDatabase) -> list[tuple[object, ...]]:
    """Return what is by half: step, statement, state."""
    return database.query("SELECT step, statement, state FROM lockstep_journal ORDER BY step, statement")


def columns(database: MariaDatabase, table: str) -> list[str]:
    """Return the columns of a table."""
    return [str(row[0]) for row in database.query(f"SHOW COLUMNS FROM {table}")]


def is_running(database: MariaDatabase, beginning: str, but: int = 0) -> Callable[[], bool]:
    """Tell whether a session of the database, but that one, is in a statement that begins so."""
    ask = f"SELECT 1 FROM information_schema.PROCESSLIST WHERE DB = '{database.name}' AND INFO LIKE '{beginning}%'"
    return lambda: bool(database.query(f"{ask} AND ID <> {but}"))


def is_free(database: MariaDatabase) -> bool:
    """Tell whether no session of the database is left."""
    ask = f"SELECT 1 FROM information_schema.PROCESSLIST WHERE DB = '{database.name}' AND ID <> CONNECTION_ID()"
    return database.query(ask) == []


def wait_until_free(database: MariaDatabase, seconds: float = 20) -> None:
    """Wait until no session of the database is left."""
    wait_until(lambda: is_free(database), seconds, "the lock")


@contextmanager
def holding(database: MariaDatabase, *statements: str) -> Iterator[int]:
    """Hold what statements take, in a transaction of a session of its own; gives its connection's id."""
    with database.connect() as connection, connection.cursor() as cursor:
        cursor.execute("START TRANSACTION")
        for sql in statements:
            cursor.execute(sql)
        yield int(connection.thread_id())
        connection.rollback()


def done(ended: Ended) -> Ended:
    """See that a run ended well."""
    assert ended.code == 0, ended.text
    return ended
