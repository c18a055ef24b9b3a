"""The ledger's connection: one, made once through SQLAlchemy, in autocommit, and never replaced.

SQLAlchemy carries the dialect and the connection by the rule of the house; the lock lives with the connection, so a
second one is never made in its place. Transactions are begun and ended by words of our own.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, Executable, Select, UpdateBase, create_engine, literal_column, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateTable

from lockstep.engines.base import ConnectionLostError
from lockstep.engines.portable.tables import LEDGER_VERSION, PREFIX, UPGRADES, Tables, make_tables

Row = Sequence[Any]
Values = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None


class Change(Struct, frozen=True):
    """One statement of the ledger's, and its values."""

    statement: UpdateBase | Select[Any]
    values: Mapping[str, Any]
    must_meet: bool = False
    """Whether it is an error if it meets no row."""


def open_once(url: str, create: Callable[[], Any], schema: str, **options: Any) -> Connection:
    """Connect through SQLAlchemy, with names qualified by a schema; a lost connection is never made anew.

    Args:
        url: only the dialect and its driver, such as `sqlite://`.
        create: makes the driver's connection; what it raises comes through.
        schema: the database in which the ledger's tables are.
        options: further arguments of create_engine.
    """
    made: list[Any] = []

    def once() -> Any:
        if made:
            raise ConnectionLostError
        made.append(create())
        return made[0]

    engine = create_engine(url, creator=once, poolclass=NullPool, **options)
    return engine.connect().execution_options(isolation_level="AUTOCOMMIT", schema_translate_map={None: schema})


class Store:
    """The ledger's tables in one database; an engine says in a subclass what its own words are."""

    BEGIN: str = "BEGIN"
    """Begins a transaction that writes."""
    BEGIN_READING: str = "BEGIN"
    """Begins a transaction in which all is seen as of one moment; it writes nothing."""
    CLOCK: str = "CURRENT_TIMESTAMP"
    """The database's clock as RFC 3339 text in UTC."""
    TABLE_OPTIONS: Mapping[str, Any] = {}
    """SQLAlchemy's options of each table, such as mysql_collate."""

    def __init__(self, connection: Connection, schema: str) -> None:
        self.connection = connection
        self.schema = schema
        self.tables: Final[Tables] = make_tables(self.TABLE_OPTIONS)
        self.clock: Final[ColumnElement[str]] = literal_column(self.CLOCK)

    def run(self, statement: Executable, values: Values = None) -> int:
        """Run a statement that writes one row, or as many as there are values; return how many rows it has met."""
        return int(self.connection.execute(statement, values).rowcount)

    def rows(self, statement: Executable) -> Sequence[Row]:
        """Return the rows of a question."""
        return self.connection.execute(statement).all()

    def ask(self, sql: str) -> Sequence[Row]:
        """Return the rows of a question as it is written."""
        return self.connection.exec_driver_sql(sql, execution_options={"no_parameters": True}).all()

    def say(self, sql: str) -> None:
        """Run a statement as it is written."""
        self.connection.exec_driver_sql(sql, execution_options={"no_parameters": True})

    def begin(self) -> None:
        """Begin a transaction that writes."""
        self.say(self.BEGIN)

    def begin_reading(self) -> None:
        """Begin a transaction that only reads."""
        self.say(self.BEGIN_READING)

    def commit(self) -> None:
        """Commit."""
        self.say("COMMIT")

    def roll_back(self) -> None:
        """Roll back what may be under way; that there is nothing, or nobody, is no error."""
        with suppress(SQLAlchemyError, ConnectionLostError):
            self.say("ROLLBACK")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing of what is written inside."""
        self.begin()
        try:
            yield
            self.commit()
        except BaseException:
            self.roll_back()
            raise

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read as of one moment."""
        self.begin_reading()
        try:
            yield
        finally:
            self.roll_back()

    def version(self) -> int | None:
        """Return the version of the ledger that is there; None: there is none. 0: its table is empty."""
        if not self.connection.dialect.has_table(self.connection, self.tables.meta.name, schema=self.schema):
            return None
        found = self.rows(select(self.tables.meta.c.version))
        return int(found[0][0]) if found else 0

    def create(self) -> None:
        """Make the tables; where DDL commits by itself, the row of meta that comes last says that all are there."""
        for table in self.tables.metadata.sorted_tables:
            self.connection.execute(CreateTable(table, if_not_exists=True))

    def upgrade(self, version: int) -> None:
        """Bring the tables from this version to the newest."""
        quote = self.connection.dialect.identifier_preparer.quote_identifier
        for number in range(version + 1, LEDGER_VERSION + 1):
            for sql in UPGRADES.get(number, ()):
                self.say(sql.replace("@", f"{quote(self.schema)}.{PREFIX}"))
