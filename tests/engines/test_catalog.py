"""The catalog as hashes: each change shows under exactly the names it should, and nothing else does."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

import psycopg
import pytest

from lockstep.engines.control import Control
from lockstep.engines.postgresql.catalog import CatalogOptions, read_objects, server_major
from lockstep.engines.postgresql.channel import Channel, Command, SqlError, StoppedError
from lockstep.planning.drift import KINDS, Drift, compare, kind
from servers.postgres import APP, Database, Postgres
from servers.process import run
from support.waiting import eventually

ALL = frozenset({"Grants", "Policies"})
PLAIN = CatalogOptions("lockstep")


@contextmanager
def channel_of(database: Database, *, user: str = APP, control: Control | None = None) -> Iterator[Channel]:
    params = database.params | {"user": user}
    own = Control(120)
    channel = Channel(
        psycopg.connect(autocommit=True, prepare_threshold=None, **params),  # type: ignore[arg-type]
        control or own,
    )
    try:
        yield channel
    finally:
        channel.close()
        own.close()


def objects_of(database: Database, include: frozenset[str] = ALL) -> dict[str, str]:
    with channel_of(database) as channel:
        return read_objects(channel, CatalogOptions("lockstep", include))


@dataclass
class Bench:
    """A database that the tests of one server share, with an empty schema `s` for each."""

    database: Database
    admin: "psycopg.Connection[tuple[object, ...]]"
    channel: Channel

    @property
    def version(self) -> int:
        return self.database.server.version

    def read(self, include: frozenset[str] = ALL) -> dict[str, str]:
        return read_objects(self.channel, CatalogOptions("lockstep", include))

    def execute(self, sql: str) -> None:
        self.admin.execute(sql.encode() or b"SELECT")


CLEANUP = """
DROP PUBLICATION IF EXISTS pub; DROP EVENT TRIGGER IF EXISTS ev; DROP FOREIGN DATA WRAPPER IF EXISTS w CASCADE;
DROP SCHEMA IF EXISTS s2 CASCADE; DROP SCHEMA IF EXISTS s CASCADE; CREATE SCHEMA s; SET search_path = s
"""


class Benches:
    """Makes one for a server when it is first asked for."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._made: dict[int, Bench] = {}

    def get(self, server: Postgres) -> Bench:
        if server.version not in self._made:
            database = server.database()
            admin = self._stack.enter_context(database.connect(admin=True))
            channel = self._stack.enter_context(channel_of(database))
            self._made[server.version] = Bench(database, admin, channel)
        return self._made[server.version]


@pytest.fixture(scope="session")
def benches() -> Iterator[Benches]:
    with ExitStack() as stack:
        yield Benches(stack)


@pytest.fixture
def bench(any_server: Postgres, benches: Benches) -> Bench:
    made = benches.get(any_server)
    made.execute(CLEANUP)
    return made


def names(text: str) -> tuple[str, ...]:
    return tuple(sorted(line.strip() for line in text.split(";") if line.strip()))


@dataclass(frozen=True)
class Case:
    change: str
    before: str = ""
    added: str = ""
    changed: str = ""
    removed: str = ""
    since: int = 14
    include: frozenset[str] = field(default=frozenset())

    @property
    def drift(self) -> Drift:
        return Drift(names(self.added), names(self.changed), names(self.removed))


T = 'CREATE TABLE t (a int, b text, c text COLLATE "C", d int[])'
TWO = "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE t (a int CONSTRAINT fk REFERENCES p)"
PARTED = "CREATE TABLE t (a int) PARTITION BY RANGE (a); CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (9)"
VIEW = "CREATE TABLE t (a int, b int); CREATE VIEW v AS SELECT a FROM t"
FUNCTION = "CREATE FUNCTION f(x int DEFAULT 1) RETURNS int LANGUAGE sql AS 'SELECT 1'"
TRIGGER = """CREATE TABLE t (a int); CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
             CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION g()"""
FOREIGN = """CREATE FOREIGN DATA WRAPPER w; CREATE SERVER srv FOREIGN DATA WRAPPER w OPTIONS (host 'a');
             CREATE FOREIGN TABLE ft (a int OPTIONS (x '1')) SERVER srv OPTIONS (y '2')"""
POLICY = "CREATE TABLE t (a int); CREATE POLICY pol ON t USING (a > 0)"

CASES = {
    "schema": Case("CREATE SCHEMA s2", added="schema s2"),
    "table": Case("CREATE TABLE t (a int PRIMARY KEY, b int)",
                  added="table s.t; column s.t.a; column s.t.b; constraint s.t.t_pkey"),
    "table dropped": Case("DROP TABLE t", T, removed="table s.t; column s.t.a; column s.t.b; column s.t.c; column s.t.d"),
    "table renamed": Case("ALTER TABLE t RENAME TO u", "CREATE TABLE t (a int)", added="table s.u; column s.u.a",
                          removed="table s.t; column s.t.a"),
    "odd names": Case('CREATE TABLE "A "".b" (" of x" int)', added='table s."A "".b"; column s."A "".b"." of x"'),
    "unlogged": Case("ALTER TABLE t SET UNLOGGED", T, changed="table s.t"),
    "table options": Case("ALTER TABLE t SET (fillfactor = 50)", T, changed="table s.t"),
    "toast options": Case("ALTER TABLE t SET (toast.autovacuum_enabled = off)", T, changed="table s.t"),
    "row security": Case("ALTER TABLE t ENABLE ROW LEVEL SECURITY", T, changed="table s.t"),
    "row security forced": Case("ALTER TABLE t FORCE ROW LEVEL SECURITY", T, changed="table s.t"),
    "replica identity": Case("ALTER TABLE t REPLICA IDENTITY FULL", T, changed="table s.t"),
    "replica identity index": Case(
        "ALTER TABLE t REPLICA IDENTITY USING INDEX u2",
        """CREATE TABLE t (a int NOT NULL, b int NOT NULL); CREATE UNIQUE INDEX u1 ON t (a);
           CREATE UNIQUE INDEX u2 ON t (b); ALTER TABLE t REPLICA IDENTITY USING INDEX u1""", changed="table s.t"),
    "table of a type": Case("ALTER TABLE t OF ty", "CREATE TYPE ty AS (a int); CREATE TABLE t (a int)",
                            changed="table s.t"),
    "inheritance": Case("ALTER TABLE t NO INHERIT p", "CREATE TABLE p (a int); CREATE TABLE t () INHERITS (p)",
                        changed="table s.t"),
    "inherited column": Case(
        "ALTER TABLE p ADD COLUMN z int CONSTRAINT zc CHECK (z > 0)",
        "CREATE TABLE p (a int); CREATE TABLE t () INHERITS (p)",
        added="column s.p.z; column s.t.z; constraint s.p.zc; constraint s.t.zc"),
    "partition": Case("CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (9) TO (12)", PARTED,
                      added="table s.t2; column s.t2.a"),
    "partition bounds": Case(
        "ALTER TABLE t DETACH PARTITION t1; ALTER TABLE t ATTACH PARTITION t1 FOR VALUES FROM (0) TO (8)", PARTED,
        changed="table s.t1"),
    "partition detached": Case("ALTER TABLE t DETACH PARTITION t1", PARTED, changed="table s.t1"),
    "partition key": Case("DROP TABLE t; CREATE TABLE t (a int) PARTITION BY LIST (a)",
                          "CREATE TABLE t (a int) PARTITION BY RANGE (a)", changed="table s.t"),
    "index of partitions": Case("CREATE INDEX i ON t (a)", PARTED, added="index s.i of s.t; index s.t1_a_idx of s.t1"),
    "foreign key of partitions": Case(
        "CREATE TABLE t2 PARTITION OF p FOR VALUES FROM (9) TO (12)",
        """CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id);
           CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (9); CREATE TABLE t (a int REFERENCES p)""",
        added="table s.t2; column s.t2.id; constraint s.t2.t2_pkey"),

    "column": Case("ALTER TABLE t ADD COLUMN z int", T, added="column s.t.z"),
    "column dropped": Case("ALTER TABLE t DROP COLUMN a", T, removed="column s.t.a"),
    "column dropped and made again": Case("ALTER TABLE t DROP COLUMN a, ADD COLUMN a int", T),
    "column renamed": Case("ALTER TABLE t RENAME a TO z", T, added="column s.t.z", removed="column s.t.a"),
    "column of another type": Case("ALTER TABLE t ALTER a TYPE bigint", T, changed="column s.t.a"),
    "column of another length": Case("ALTER TABLE t ALTER b TYPE varchar(6)",
                                     "CREATE TABLE t (b varchar(5))", changed="column s.t.b"),
    "column of another collation": Case("ALTER TABLE t ALTER c TYPE text COLLATE \"POSIX\"", T, changed="column s.t.c"),
    "default": Case("ALTER TABLE t ALTER a SET DEFAULT 1", T, changed="column s.t.a"),
    "other default": Case("ALTER TABLE t ALTER a SET DEFAULT 2", "CREATE TABLE t (a int DEFAULT 1)",
                          changed="column s.t.a"),
    "not null": Case("ALTER TABLE t ALTER a SET NOT NULL", T, changed="column s.t.a"),
    "not null's name": Case("ALTER TABLE t RENAME CONSTRAINT nn TO mm", "CREATE TABLE t (a int CONSTRAINT nn NOT NULL)",
                            since=18),
    "not null of some rows": Case("ALTER TABLE t ADD CONSTRAINT nn NOT NULL a NOT VALID", T, changed="column s.t.a",
                                  since=18),
    "not null of all rows": Case("ALTER TABLE t VALIDATE CONSTRAINT nn",
                                 f"{T}; ALTER TABLE t ADD CONSTRAINT nn NOT NULL a NOT VALID", changed="column s.t.a",
                                 since=18),
    "generated": Case("ALTER TABLE t ALTER z DROP EXPRESSION",
                      "CREATE TABLE t (a int, z int GENERATED ALWAYS AS (a + 1) STORED)", changed="column s.t.z"),
    "generated when read": Case("ALTER TABLE t DROP z, ADD z int GENERATED ALWAYS AS (a + 1) STORED",
                                "CREATE TABLE t (a int, z int GENERATED ALWAYS AS (a + 1) VIRTUAL)",
                                changed="column s.t.z", since=18),
    "identity": Case("ALTER TABLE t ALTER a SET NOT NULL, ALTER a ADD GENERATED ALWAYS AS IDENTITY", T,
                     changed="column s.t.a"),
    "identity by default": Case("ALTER TABLE t ALTER a SET GENERATED BY DEFAULT",
                                "CREATE TABLE t (a int GENERATED ALWAYS AS IDENTITY)", changed="column s.t.a"),
    "identity's step": Case("ALTER TABLE t ALTER a SET INCREMENT 5",
                            "CREATE TABLE t (a int GENERATED ALWAYS AS IDENTITY)", changed="column s.t.a"),
    "storage": Case("ALTER TABLE t ALTER b SET STORAGE EXTERNAL", T, changed="column s.t.b"),
    "compression": Case("ALTER TABLE t ALTER b SET COMPRESSION pglz", T, changed="column s.t.b"),
    "column statistics": Case("ALTER TABLE t ALTER b SET STATISTICS 7", T, changed="column s.t.b"),
    "column options": Case("ALTER TABLE t ALTER b SET (n_distinct = 5)", T, changed="column s.t.b"),

    "index": Case("CREATE INDEX i ON t (a)", T, added="index s.i of s.t"),
    "index dropped": Case("DROP INDEX i", f"{T}; CREATE INDEX i ON t (a)", removed="index s.i of s.t"),
    "index renamed": Case("ALTER INDEX i RENAME TO j", f"{T}; CREATE INDEX i ON t (a)", added="index s.j of s.t",
                          removed="index s.i of s.t"),
    **{
        f"index {what}": Case(f"DROP INDEX i; CREATE {words}", f"{T}; CREATE INDEX i ON t (a, b)",
                              changed="index s.i of s.t")
        for what, words in {
            "columns": "INDEX i ON t (b, a)",
            "unique": "UNIQUE INDEX i ON t (a, b)",
            "condition": "INDEX i ON t (a, b) WHERE a > 0",
            "expression": "INDEX i ON t ((a + 1), b)",
            "operator class": "INDEX i ON t (a, b text_pattern_ops)",
            "collation": 'INDEX i ON t (a, b COLLATE "C")',
            "order": "INDEX i ON t (a DESC, b)",
            "method": "INDEX i ON t USING brin (a, b)",
            "included": "INDEX i ON t (a) INCLUDE (b)",
            "options": "INDEX i ON t (a, b) WITH (fillfactor = 50)",
        }.items()
    },
    "index nulls": Case("DROP INDEX i; CREATE UNIQUE INDEX i ON t (a) NULLS NOT DISTINCT",
                        f"{T}; CREATE UNIQUE INDEX i ON t (a)", changed="index s.i of s.t", since=15),
    # A failed CREATE INDEX CONCURRENTLY leaves such a one; a superuser makes it here.
    "index not valid": Case("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 's.i'::regclass",
                            f"{T}; CREATE INDEX i ON t (a)", changed="index s.i of s.t"),

    "check": Case("ALTER TABLE t ADD CONSTRAINT k CHECK (a > 0)", T, added="constraint s.t.k"),
    "check's text": Case("ALTER TABLE t DROP CONSTRAINT k, ADD CONSTRAINT k CHECK (a > 1)",
                         f"{T}; ALTER TABLE t ADD CONSTRAINT k CHECK (a > 0)", changed="constraint s.t.k"),
    "check validated": Case("ALTER TABLE t VALIDATE CONSTRAINT k",
                            f"{T}; ALTER TABLE t ADD CONSTRAINT k CHECK (a > 0) NOT VALID", changed="constraint s.t.k"),
    "check not inherited": Case("ALTER TABLE t DROP CONSTRAINT k, ADD CONSTRAINT k CHECK (a > 0) NO INHERIT",
                                f"{T}; ALTER TABLE t ADD CONSTRAINT k CHECK (a > 0)", changed="constraint s.t.k"),
    "check not enforced": Case("ALTER TABLE t DROP CONSTRAINT k, ADD CONSTRAINT k CHECK (a > 0) NOT ENFORCED",
                               f"{T}; ALTER TABLE t ADD CONSTRAINT k CHECK (a > 0) NOT VALID",
                               changed="constraint s.t.k", since=18),
    "primary key": Case("ALTER TABLE t ADD CONSTRAINT k PRIMARY KEY (a)", T, added="constraint s.t.k",
                        changed="column s.t.a"),
    "unique": Case("ALTER TABLE t ADD CONSTRAINT k UNIQUE (a)", T, added="constraint s.t.k"),
    "unique from index": Case("ALTER TABLE t ADD CONSTRAINT k UNIQUE USING INDEX i",
                              f"{T}; CREATE UNIQUE INDEX i ON t (a)", added="constraint s.t.k",
                              removed="index s.i of s.t"),
    "unique deferrable": Case("ALTER TABLE t DROP CONSTRAINT k, ADD CONSTRAINT k UNIQUE (a) DEFERRABLE",
                              f"{T}; ALTER TABLE t ADD CONSTRAINT k UNIQUE (a)", changed="constraint s.t.k"),
    "unique's index": Case("ALTER INDEX k SET (fillfactor = 50)", f"{T}; ALTER TABLE t ADD CONSTRAINT k UNIQUE (a)",
                           changed="constraint s.t.k"),
    "exclusion": Case("ALTER TABLE t ADD CONSTRAINT k EXCLUDE USING gist (r WITH &&)", "CREATE TABLE t (r int4range)",
                      added="constraint s.t.k"),
    "foreign key": Case("ALTER TABLE t ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES p",
                        "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE t (a int)", added="constraint s.t.fk"),
    "foreign key's action": Case(
        "ALTER TABLE t DROP CONSTRAINT fk, ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES p ON DELETE CASCADE", TWO,
        changed="constraint s.t.fk"),
    "foreign key's other action": Case(
        "ALTER TABLE t DROP CONSTRAINT fk, ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES p ON UPDATE SET NULL", TWO,
        changed="constraint s.t.fk"),
    "foreign key deferrable": Case("ALTER TABLE t ALTER CONSTRAINT fk DEFERRABLE INITIALLY DEFERRED", TWO,
                                   changed="constraint s.t.fk"),
    "foreign key not valid": Case(
        "ALTER TABLE t DROP CONSTRAINT fk, ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES p NOT VALID", TWO,
        changed="constraint s.t.fk"),
    "foreign key that checks nothing": Case("ALTER TABLE t DISABLE TRIGGER ALL", TWO, changed="constraint s.t.fk"),

    "view": Case("CREATE VIEW v AS SELECT a FROM t", T, added="view s.v"),
    "view's text": Case("CREATE OR REPLACE VIEW v AS SELECT a FROM t WHERE b > 0", VIEW, changed="view s.v"),
    "view's columns": Case("ALTER VIEW v RENAME a TO z", VIEW, changed="view s.v"),
    "view's default": Case("ALTER VIEW v ALTER a SET DEFAULT 1", VIEW, changed="view s.v"),
    "view's options": Case("ALTER VIEW v SET (security_barrier)", VIEW, changed="view s.v"),
    "view over a renamed column": Case("ALTER TABLE t RENAME a TO z", VIEW, added="column s.t.z", changed="view s.v",
                                       removed="column s.t.a"),
    "materialized view": Case("CREATE MATERIALIZED VIEW m AS SELECT a FROM t; CREATE INDEX i ON m (a)", T,
                              added="materialized view s.m; index s.i of s.m"),
    "materialized view's text": Case(
        "DROP MATERIALIZED VIEW m; CREATE MATERIALIZED VIEW m AS SELECT b AS a FROM t",
        f"{T}; CREATE MATERIALIZED VIEW m AS SELECT a FROM t", changed="materialized view s.m"),
    "rule": Case("CREATE RULE r AS ON INSERT TO v DO INSTEAD NOTHING", VIEW, added="rule s.v.r"),
    "rule's text": Case("CREATE OR REPLACE RULE r AS ON INSERT TO v DO INSTEAD INSERT INTO t VALUES (1)",
                        f"{VIEW}; CREATE RULE r AS ON INSERT TO v DO INSTEAD NOTHING", changed="rule s.v.r"),
    "rule off": Case("ALTER TABLE t DISABLE RULE r", f"{T}; CREATE RULE r AS ON INSERT TO t DO INSTEAD NOTHING",
                     changed="rule s.t.r"),

    "function": Case(FUNCTION, added="function s.f(integer)"),
    "function overloaded": Case("CREATE FUNCTION f(a text, b int[]) RETURNS int LANGUAGE sql AS 'SELECT 1'", FUNCTION,
                                added="function s.f(text,integer[])"),
    **{
        f"function's {what}": Case(f"CREATE OR REPLACE FUNCTION f({args}) RETURNS {result} LANGUAGE {words}", FUNCTION,
                                   changed="function s.f(integer)")
        for what, args, result, words in (
            ("text", "x int DEFAULT 1", "int", "sql AS 'SELECT 2'"),
            ("language", "x int DEFAULT 1", "int", "plpgsql AS 'BEGIN RETURN 1; END'"),
            ("volatility", "x int DEFAULT 1", "int", "sql IMMUTABLE AS 'SELECT 1'"),
            ("strictness", "x int DEFAULT 1", "int", "sql STRICT AS 'SELECT 1'"),
            ("security", "x int DEFAULT 1", "int", "sql SECURITY DEFINER AS 'SELECT 1'"),
            ("settings", "x int DEFAULT 1", "int", "sql SET work_mem = '1MB' AS 'SELECT 1'"),
            ("leakproof", "x int DEFAULT 1", "int", "sql LEAKPROOF AS 'SELECT 1'"),
            ("parallel", "x int DEFAULT 1", "int", "sql PARALLEL SAFE AS 'SELECT 1'"),
            ("cost", "x int DEFAULT 1", "int", "sql COST 7 AS 'SELECT 1'"),
            ("default", "x int DEFAULT 2", "int", "sql AS 'SELECT 1'"),
            ("parsed body", "x int DEFAULT 1", "int", "sql BEGIN ATOMIC SELECT x; END"),
        )
    },
    "function's result": Case("DROP FUNCTION f; CREATE FUNCTION f(x int) RETURNS bigint LANGUAGE sql AS 'SELECT 1'",
                              FUNCTION, changed="function s.f(integer)"),
    "function's argument": Case("DROP FUNCTION f; CREATE FUNCTION f(y int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
                                FUNCTION, changed="function s.f(integer)"),
    "procedure": Case("CREATE PROCEDURE f(x int) LANGUAGE sql AS 'SELECT 1'", added="procedure s.f(integer)"),
    "procedure's text": Case("CREATE OR REPLACE PROCEDURE f() LANGUAGE sql AS 'SELECT 2'",
                             "CREATE PROCEDURE f() LANGUAGE sql AS 'SELECT 1'", changed="procedure s.f()"),
    "aggregate": Case("CREATE AGGREGATE g(int) (sfunc = int4larger, stype = int)", added="aggregate s.g(integer)"),
    "aggregate's function": Case("CREATE OR REPLACE AGGREGATE g(int) (sfunc = int4smaller, stype = int)",
                                 "CREATE AGGREGATE g(int) (sfunc = int4larger, stype = int)",
                                 changed="aggregate s.g(integer)"),
    "aggregate's start": Case("CREATE OR REPLACE AGGREGATE g(int) (sfunc = int4larger, stype = int, initcond = '1')",
                              "CREATE AGGREGATE g(int) (sfunc = int4larger, stype = int)",
                              changed="aggregate s.g(integer)"),

    "trigger": Case("CREATE TRIGGER t2 AFTER DELETE ON t EXECUTE FUNCTION g()", TRIGGER, added="trigger s.t.t2"),
    "trigger's text": Case("CREATE OR REPLACE TRIGGER tr BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION g()", TRIGGER,
                           changed="trigger s.t.tr"),
    "trigger's condition": Case(
        "CREATE OR REPLACE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW WHEN (NEW.a > 0) EXECUTE FUNCTION g()", TRIGGER,
        changed="trigger s.t.tr"),
    "trigger off": Case("ALTER TABLE t DISABLE TRIGGER tr", TRIGGER, changed="trigger s.t.tr"),
    "trigger always": Case("ALTER TABLE t ENABLE ALWAYS TRIGGER tr", TRIGGER, changed="trigger s.t.tr"),
    "constraint trigger": Case(
        "CREATE CONSTRAINT TRIGGER k AFTER INSERT ON t DEFERRABLE FOR EACH ROW EXECUTE FUNCTION g()", TRIGGER,
        added="trigger s.t.k"),
    "event trigger": Case(
        "CREATE EVENT TRIGGER ev ON ddl_command_end WHEN TAG IN ('DROP TYPE') EXECUTE FUNCTION e()",
        "CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'", added="event trigger ev"),
    "event trigger off": Case(
        "ALTER EVENT TRIGGER ev DISABLE",
        """CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
           CREATE EVENT TRIGGER ev ON ddl_command_end WHEN TAG IN ('DROP TYPE') EXECUTE FUNCTION e()""",
        changed="event trigger ev"),

    "enum": Case("CREATE TYPE e AS ENUM ('a', 'b')", added="type s.e"),
    "enum value": Case("ALTER TYPE e ADD VALUE 'c'", "CREATE TYPE e AS ENUM ('a', 'b')", changed="type s.e"),
    "enum value renamed": Case("ALTER TYPE e RENAME VALUE 'a' TO 'c'", "CREATE TYPE e AS ENUM ('a', 'b')",
                               changed="type s.e"),
    "enum's order": Case("DROP TYPE e; CREATE TYPE e AS ENUM ('b', 'a')", "CREATE TYPE e AS ENUM ('a', 'b')",
                         changed="type s.e"),
    "enum value between": Case("DROP TYPE e; CREATE TYPE e AS ENUM ('a', 'c'); ALTER TYPE e ADD VALUE 'b' BEFORE 'c'",
                               "CREATE TYPE e AS ENUM ('a', 'b', 'c')"),
    "domain": Case("CREATE DOMAIN d AS int CONSTRAINT k CHECK (VALUE > 0)", added="type s.d; constraint s.d.k"),
    "domain's check": Case("ALTER DOMAIN d DROP CONSTRAINT k; ALTER DOMAIN d ADD CONSTRAINT k CHECK (VALUE > 1)",
                           "CREATE DOMAIN d AS int CONSTRAINT k CHECK (VALUE > 0)", changed="constraint s.d.k"),
    "domain's default": Case("ALTER DOMAIN d SET DEFAULT 1", "CREATE DOMAIN d AS int", changed="type s.d"),
    "domain's not null": Case("ALTER DOMAIN d SET NOT NULL", "CREATE DOMAIN d AS int", changed="type s.d"),
    "domain's type": Case("DROP DOMAIN d; CREATE DOMAIN d AS bigint", "CREATE DOMAIN d AS int", changed="type s.d"),
    "composite": Case("CREATE TYPE c AS (a int)", added="type s.c"),
    "composite's attribute": Case("ALTER TYPE c ADD ATTRIBUTE b int", "CREATE TYPE c AS (a int)", changed="type s.c"),
    "composite's attribute again": Case("ALTER TYPE c ADD ATTRIBUTE b int; ALTER TYPE c DROP ATTRIBUTE b",
                                        "CREATE TYPE c AS (a int)"),
    "range": Case("CREATE TYPE r AS RANGE (subtype = float8)", added="type s.r"),
    "range's type": Case("DROP TYPE r; CREATE TYPE r AS RANGE (subtype = float4)",
                         "CREATE TYPE r AS RANGE (subtype = float8)", changed="type s.r"),
    "range's function": Case("DROP TYPE r; CREATE TYPE r AS RANGE (subtype = float8, subtype_diff = float8mi)",
                             "CREATE TYPE r AS RANGE (subtype = float8)", changed="type s.r"),
    "sequence": Case("CREATE SEQUENCE q", added="sequence s.q"),
    "serial": Case("CREATE TABLE t (a serial)", added="table s.t; column s.t.a; sequence s.t_a_seq of s.t"),
    **{
        f"sequence {words}": Case(f"ALTER SEQUENCE q {words}", "CREATE SEQUENCE q", changed="sequence s.q")
        for words in ("INCREMENT 2", "MINVALUE 0", "MAXVALUE 99", "CYCLE", "CACHE 5", "START 7", "AS int")
    },
    "sequence's owner": Case("ALTER SEQUENCE q OWNED BY t.a", f"{T}; CREATE SEQUENCE q",
                             added="sequence s.q of s.t", removed="sequence s.q"),

    "extension": Case("CREATE EXTENSION citext SCHEMA s", added="extension citext"),
    "extension's version": Case("ALTER EXTENSION citext UPDATE TO '1.5'",
                                "CREATE EXTENSION citext SCHEMA s VERSION '1.4'", changed="extension citext"),
    "extension's schema": Case("ALTER EXTENSION citext SET SCHEMA s2", "CREATE SCHEMA s2; CREATE EXTENSION citext SCHEMA s",
                               changed="extension citext"),
    "foreign table": Case(FOREIGN, added="foreign data wrapper w; server srv; foreign table s.ft; column s.ft.a"),
    "foreign table's options": Case("ALTER FOREIGN TABLE ft OPTIONS (SET y '3')", FOREIGN, changed="foreign table s.ft"),
    "foreign column's options": Case("ALTER FOREIGN TABLE ft ALTER a OPTIONS (SET x '3')", FOREIGN,
                                     changed="column s.ft.a"),
    "server's options": Case("ALTER SERVER srv OPTIONS (SET host 'b')", FOREIGN, changed="server srv"),
    "wrapper's options": Case("ALTER FOREIGN DATA WRAPPER w OPTIONS (ADD z '1')", FOREIGN,
                              changed="foreign data wrapper w"),
    "collation": Case("CREATE COLLATION k FROM \"C\"", added="collation s.k"),
    "collation's locale": Case("DROP COLLATION k; CREATE COLLATION k (locale = 'POSIX')",
                               "CREATE COLLATION k (locale = 'C')", changed="collation s.k"),
    "statistics": Case("CREATE STATISTICS x ON a, b FROM t", T, added="statistics s.x of s.t"),
    "statistics' columns": Case("DROP STATISTICS x; CREATE STATISTICS x ON a, c FROM t",
                                f"{T}; CREATE STATISTICS x ON a, b FROM t", changed="statistics s.x of s.t"),
    "statistics' target": Case("ALTER STATISTICS x SET STATISTICS 9", f"{T}; CREATE STATISTICS x ON a, b FROM t",
                               changed="statistics s.x of s.t"),
    "publication": Case("CREATE PUBLICATION pub FOR TABLE t", T, added="publication pub"),
    "publication's tables": Case("ALTER PUBLICATION pub SET TABLE u", "CREATE TABLE t (); CREATE TABLE u (); "
                                 "CREATE PUBLICATION pub FOR TABLE t", changed="publication pub"),
    "publication's rows": Case("ALTER PUBLICATION pub SET TABLE t WHERE (a > 0)",
                               f"{T}; CREATE PUBLICATION pub FOR TABLE t", changed="publication pub", since=15),
    "publication's columns": Case("ALTER PUBLICATION pub SET TABLE t (a)",
                                  f"{T}; CREATE PUBLICATION pub FOR TABLE t", changed="publication pub", since=15),
    "publication's schemas": Case("ALTER PUBLICATION pub ADD TABLES IN SCHEMA s", "CREATE PUBLICATION pub",
                                  changed="publication pub", since=15),
    "publication's operations": Case("ALTER PUBLICATION pub SET (publish = 'insert')",
                                     "CREATE PUBLICATION pub", changed="publication pub"),
    "text search": Case(
        """CREATE TEXT SEARCH DICTIONARY d (TEMPLATE = simple);
           CREATE TEXT SEARCH CONFIGURATION c (COPY = pg_catalog.simple)""",
        added="text search dictionary s.d; text search configuration s.c"),
    "text search's words": Case(
        """ALTER TEXT SEARCH DICTIONARY d (accept = off);
           ALTER TEXT SEARCH CONFIGURATION c ALTER MAPPING FOR word WITH d""",
        """CREATE TEXT SEARCH DICTIONARY d (TEMPLATE = simple);
           CREATE TEXT SEARCH CONFIGURATION c (COPY = pg_catalog.simple)""",
        changed="text search dictionary s.d; text search configuration s.c"),
    "operator": Case("CREATE OPERATOR === (leftarg = int, rightarg = int, function = int4eq)",
                     added="operator s.===(integer,integer)"),
    "operator's function": Case(
        """DROP OPERATOR === (int, int);
           CREATE OPERATOR === (leftarg = int, rightarg = int, function = int4ne)""",
        "CREATE OPERATOR === (leftarg = int, rightarg = int, function = int4eq)",
        changed="operator s.===(integer,integer)"),
    "operator class": Case(
        "CREATE OPERATOR CLASS oc FOR TYPE int USING hash AS OPERATOR 1 =, FUNCTION 1 hashint4(int)",
        added="operator class s.oc using hash; operator family s.oc using hash"),
    "operator family": Case("ALTER OPERATOR FAMILY of USING hash ADD OPERATOR 1 = (int, int)",
                            "CREATE OPERATOR FAMILY of USING hash", changed="operator family s.of using hash"),
    "cast": Case("CREATE CAST (c AS text) WITH INOUT", "CREATE TYPE c AS (a int)", added="cast (s.c AS text)"),

    "policy, not asked for": Case("CREATE POLICY pol ON t", T),
    "policy": Case("CREATE POLICY pol ON t", T, added="policy s.t.pol", include=ALL),
    **{
        f"policy's {what}": Case(f"DROP POLICY pol ON t; CREATE POLICY pol ON t {words}", POLICY,
                                 changed="policy s.t.pol", include=ALL)
        for what, words in {
            "condition": "USING (a > 1)",
            "check": "USING (a > 0) WITH CHECK (a > 0)",
            "command": "FOR SELECT USING (a > 0)",
            "roles": f"TO {APP} USING (a > 0)",
            "kind": "AS RESTRICTIVE USING (a > 0)",
        }.items()
    },
    "grant, not asked for": Case("GRANT SELECT ON t TO app", T),
    "grant": Case("GRANT SELECT ON t TO app", T, added="grant on table s.t to app", include=ALL),
    "grant to all": Case("GRANT SELECT ON t TO PUBLIC", T, added='grant on table s.t to PUBLIC', include=ALL),
    "more granted": Case("GRANT INSERT ON t TO app", f"{T}; GRANT SELECT ON t TO app",
                         changed="grant on table s.t to app", include=ALL),
    "grant option": Case("GRANT SELECT ON t TO app WITH GRANT OPTION", f"{T}; GRANT SELECT ON t TO app",
                         changed="grant on table s.t to app", include=ALL),
    "grants": Case(
        """GRANT SELECT (a) ON t TO app; GRANT USAGE ON SEQUENCE q TO app; GRANT USAGE ON SCHEMA s TO app;
           GRANT USAGE ON TYPE e TO app; GRANT EXECUTE ON FUNCTION f TO app; GRANT SELECT ON v TO app""",
        f"{T}; CREATE SEQUENCE q; CREATE TYPE e AS ENUM (); {FUNCTION}; CREATE VIEW v AS SELECT",
        added="""grant on column s.t.a to app; grant on sequence s.q to app; grant on schema s to app;
                 grant on type s.e to app; grant on function s.f(integer) to app; grant on view s.v to app""",
        include=ALL),
    "revoked from all": Case("REVOKE EXECUTE ON FUNCTION f FROM PUBLIC", FUNCTION,
                             removed="grant on function s.f(integer) to PUBLIC", include=ALL),
    "what owners may do": Case("GRANT SELECT ON t TO postgres", T, include=ALL),
    "default privileges": Case("ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT SELECT ON TABLES TO app",
                               added="default privileges of postgres in schema s on tables", include=ALL),

    "owner": Case("ALTER TABLE t OWNER TO app", T),
    "comment": Case("COMMENT ON TABLE t IS 'x'", T),
    "temporary": Case("CREATE TEMP TABLE x (a int); CREATE TEMP VIEW y AS SELECT 1", T),
    "rows": Case("INSERT INTO t SELECT generate_series(1, 100)", T),
    "sequence's value": Case("SELECT nextval('q'), setval('q', 9)", "CREATE SEQUENCE q"),
    "refreshed": Case("REFRESH MATERIALIZED VIEW m",
                      "CREATE MATERIALIZED VIEW m AS SELECT 1 AS a WITH NO DATA"),
    "rewritten": Case("CLUSTER t USING i; TRUNCATE t; REINDEX TABLE t", f"{T}; CREATE INDEX i ON t (a)"),
    "on and off": Case("ALTER TABLE t ADD z int, ALTER b SET DEFAULT ''; ALTER TABLE t DROP z, ALTER b DROP DEFAULT", T),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_change_shows_under_its_names(case: Case, bench: Bench) -> None:
    if bench.version < case.since:
        pytest.skip(f"PostgreSQL {bench.version} has nothing of the kind")
    if "citext" in case.change and not available(bench.database, "citext"):
        pytest.skip("this server comes without the extension citext")
    bench.execute(case.before)
    before = bench.read(case.include)
    bench.execute(case.change)
    after = bench.read(case.include)
    assert compare(before, after) == case.drift
    assert {kind(name) for name in after} <= set(KINDS)


def available(database: Database, extension: str) -> bool:
    return bool(database.query(f"SELECT 1 FROM pg_available_extensions WHERE name = '{extension}'"))


def test_the_cases_leave_no_kind_out() -> None:
    words = [
        each for case in CASES.values() for text in (case.added, case.changed, case.removed) for each in names(text)
    ]
    assert {kind(each) for each in words} == set(KINDS)


EVERYTHING = r"""
CREATE TYPE mood AS ENUM ('a', 'c'); ALTER TYPE mood ADD VALUE 'b' BEFORE 'c';
CREATE DOMAIN positive AS int DEFAULT 1 CONSTRAINT k CHECK (VALUE > 0);
CREATE TYPE pair AS (a int, gone int, b text COLLATE "C"); ALTER TYPE pair DROP ATTRIBUTE gone;
CREATE TYPE span AS RANGE (subtype = float8, subtype_diff = float8mi);
CREATE SEQUENCE q INCREMENT 5 CYCLE MAXVALUE 100;
CREATE FUNCTION f(x int DEFAULT 1, OUT y int) LANGUAGE sql SET work_mem = '1MB' AS 'SELECT 1';
CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE FUNCTION h(x int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT x + 1; END;
CREATE PROCEDURE pr(x pair) LANGUAGE sql AS 'SELECT 1';
CREATE AGGREGATE ag(int) (sfunc = int4larger, stype = int, initcond = '1');
CREATE TABLE big (
    gone int, id bigint GENERATED ALWAYS AS IDENTITY (INCREMENT 3) PRIMARY KEY, old serial,
    name varchar(20) COLLATE "C" NOT NULL DEFAULT 'x', how mood DEFAULT 'a', many positive[],
    at timestamptz DEFAULT '2020-01-02 03:04:05+00', since interval DEFAULT '1 day 2 hours', day date DEFAULT '2020-02-01',
    size float8 DEFAULT 0.1, raw bytea DEFAULT '\x00ff', paid money DEFAULT 1234.5::money, words text DEFAULT 'a\b',
    twice int GENERATED ALWAYS AS (old * 2) STORED, "Odd ""x"" name" int,
    CONSTRAINT sized CHECK (size > 0.3 AND day > '2019-12-31'), CONSTRAINT old_once UNIQUE (old) DEFERRABLE
) WITH (fillfactor = 70);
ALTER TABLE big DROP gone;
ALTER TABLE big ALTER name SET STORAGE EXTERNAL, ALTER name SET STATISTICS 7, ALTER words SET COMPRESSION pglz,
    REPLICA IDENTITY FULL, ENABLE ROW LEVEL SECURITY;
ALTER TABLE big ADD CONSTRAINT late CHECK (id > 0) NOT VALID;
CREATE INDEX few ON big (lower(name), at DESC NULLS LAST) INCLUDE (id) WHERE size > 0.5 AND since < '1 mon';
CREATE TABLE small (big bigint CONSTRAINT fk REFERENCES big ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED, x span,
                    EXCLUDE USING gist (x WITH &&));
CREATE TABLE parent (a int CHECK (a > 0)); CREATE TABLE child (b int) INHERITS (parent);
CREATE TABLE parts (a int, b text, PRIMARY KEY (a)) PARTITION BY RANGE (a);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE parts_2 (gone int, b text, a int NOT NULL); ALTER TABLE parts_2 DROP gone;
ALTER TABLE parts ATTACH PARTITION parts_2 FOR VALUES FROM (10) TO (20);
CREATE INDEX ON parts (b);
CREATE TABLE pointing (a int REFERENCES parts) PARTITION BY HASH (a);
CREATE TABLE pointing_0 PARTITION OF pointing FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE TRIGGER tr BEFORE INSERT OR UPDATE OF name ON big FOR EACH ROW WHEN (NEW.size > 0.1) EXECUTE FUNCTION g();
ALTER TABLE big ENABLE ALWAYS TRIGGER tr;
CREATE TRIGGER trp AFTER INSERT ON parts FOR EACH ROW EXECUTE FUNCTION g();
CREATE VIEW v WITH (security_barrier) AS SELECT id, name, at + '1 day'::interval AS later FROM big WHERE size > 0.25
    WITH CHECK OPTION;
ALTER VIEW v ALTER name SET DEFAULT 'y';
CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n, '2020-01-01 00:00+02'::timestamptz AS t FROM v;
CREATE UNIQUE INDEX mi ON m (n);
CREATE RULE r AS ON DELETE TO v DO INSTEAD NOTHING;
CREATE POLICY pol ON big FOR SELECT TO app USING (size > 0.5); CREATE STATISTICS st ON id, name FROM big;
CREATE COLLATION co (locale = 'C'); CREATE TEXT SEARCH CONFIGURATION ts (COPY = pg_catalog.english);
CREATE OPERATOR === (leftarg = int, rightarg = int, function = int4eq, commutator = ===);
CREATE OPERATOR CLASS oc FOR TYPE int USING hash AS OPERATOR 1 =, FUNCTION 1 hashint4(int);
CREATE FOREIGN DATA WRAPPER w; CREATE SERVER srv FOREIGN DATA WRAPPER w OPTIONS (host 'a');
CREATE FOREIGN TABLE ft (a int OPTIONS (x '1') NOT NULL) SERVER srv OPTIONS (y '2');
CREATE PUBLICATION pub FOR TABLE small, parent; GRANT SELECT, INSERT ON big TO app; GRANT SELECT (id) ON big TO PUBLIC;
REVOKE EXECUTE ON FUNCTION f FROM PUBLIC; GRANT USAGE ON SCHEMA s TO app;
ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT SELECT ON TABLES TO app;
"""


def test_a_restored_dump_is_the_same(bench: Bench) -> None:
    bench.execute(EVERYTHING)
    found = bench.read()
    server, source = bench.database.server, bench.database
    where = [f"--dbname=host=127.0.0.1 port={server.port} user=postgres dbname="]
    password = {"PGPASSWORD": source.params["password"]}
    dump = run([str(server.bin / "pg_dump"), where[0] + source.name, "--no-owner"], env=password).stdout
    target = server.database()
    try:
        run([str(server.bin / "psql"), where[0] + target.name, "-qX1v", "ON_ERROR_STOP=1"], env=password, input=dump)
        assert len(found) > 100
        assert compare(found, objects_of(target)) == Drift()
    finally:
        server.drop(target)


def test_what_servers_and_rows_do_is_no_drift(bench: Bench) -> None:
    bench.execute(EVERYTHING)
    before = bench.read()
    bench.execute("INSERT INTO big (size, many) SELECT 0.5, '{1}' FROM generate_series(1, 1000); SELECT nextval('q')")
    bench.execute("DELETE FROM big WHERE id % 3 = 0; REFRESH MATERIALIZED VIEW m")
    for statement in ("VACUUM (FULL, ANALYZE) big", "ANALYZE", "REINDEX TABLE big", "CHECKPOINT", "CLUSTER m USING mi"):
        bench.execute(statement)
    assert compare(before, bench.read()) == Drift()


HOSTILE = {
    "search_path": "s, public",
    "DateStyle": "'German, DMY'",
    "IntervalStyle": "'iso_8601'",
    "TimeZone": "'Asia/Tokyo'",
    "extra_float_digits": "-10",
    "quote_all_identifiers": "on",
    "standard_conforming_strings": "off",
    "bytea_output": "'escape'",
    "xmlbinary": "'hex'",
    "xmloption": "'document'",
    "default_tablespace": "'pg_default'",
    "default_transaction_isolation": "'serializable'",
    "default_transaction_read_only": "on",
    "row_security": "off",
    "array_nulls": "off",
    "enable_hashjoin": "off",
    "role": "other",
}


@contextmanager
def hostile(database: Database) -> Iterator[None]:
    """Let a role come into the database with settings that change how things are printed."""
    database.query("DROP ROLE IF EXISTS hostile; DROP ROLE IF EXISTS other; CREATE ROLE other")
    database.query(f"CREATE ROLE hostile LOGIN PASSWORD '{database.params['password']}' IN ROLE other")
    for name, value in HOSTILE.items():
        database.query(f"ALTER ROLE hostile IN DATABASE {database.name} SET {name} = {value}")
    try:
        yield
    finally:
        database.query("DROP ROLE hostile; DROP ROLE other")


def test_no_setting_of_a_role_changes_a_hash(bench: Bench) -> None:
    bench.execute(EVERYTHING)
    before = bench.read()
    with hostile(bench.database):
        with channel_of(bench.database, user="hostile") as channel:
            assert channel.query("SHOW IntervalStyle") == (("iso_8601",),)
            assert channel.query("SELECT 0.1::float8 + 0.2") == (("0.3",),)
            assert compare(before, read_objects(channel, CatalogOptions("lockstep", ALL))) == Drift()
            # And it gets its own back.
            assert channel.query("SHOW search_path") == (("s, public",),)


def test_nothing_of_an_application_is_called(bench: Bench) -> None:
    bench.execute(EVERYTHING)
    before = bench.read(frozenset())
    trap = "LANGUAGE plpgsql AS 'BEGIN RAISE ''caught''; END'"
    bench.execute(f"""
        CREATE FUNCTION concat(VARIADIC pg_catalog.text[]) RETURNS pg_catalog.text {trap};
        CREATE FUNCTION quote_ident(name) RETURNS pg_catalog.text {trap};
        CREATE FUNCTION same(name, name) RETURNS bool {trap};
        CREATE OPERATOR = (leftarg = name, rightarg = name, function = same);
        CREATE VIEW pg_class AS SELECT 1 / 0 AS oid; CREATE DOMAIN text AS int;
    """)
    bench.execute("GRANT USAGE ON SCHEMA s TO PUBLIC; GRANT SELECT ON s.pg_class TO PUBLIC")
    with hostile(bench.database):
        name = bench.database.name
        bench.database.query(f"ALTER ROLE hostile IN DATABASE {name} SET search_path = s, pg_catalog")
        with channel_of(bench.database, user="hostile") as channel:
            with pytest.raises(SqlError, match="P0001"):
                channel.query("SELECT concat('a', 'b')")
            drift = compare(before, read_objects(channel, PLAIN))
    assert "view s.pg_class" in drift.added
    assert not drift.changed


def test_what_belongs_to_an_extension_is_its_own(any_database: Database) -> None:
    name = "vector" if available(any_database, "vector") else "hstore"
    before = objects_of(any_database)
    any_database.query(f"CREATE EXTENSION {name} SCHEMA public")
    assert compare(before, objects_of(any_database)) == Drift(added=(f"extension {name}",))
    # What it takes in, and what is put on that, goes.
    any_database.query("CREATE TABLE mine (a int PRIMARY KEY); CREATE VIEW v AS SELECT a FROM mine")
    before = objects_of(any_database)
    any_database.query(f"ALTER EXTENSION {name} ADD TABLE mine; CREATE INDEX i ON mine (a)")
    drift = compare(before, objects_of(any_database))
    assert (drift.added, drift.changed) == ((), ())
    assert {"table public.mine", "column public.mine.a", "constraint public.mine.mine_pkey"} <= set(drift.removed)
    assert "view public.v" not in drift.removed


def test_the_ledger_is_lockstep_s(any_database: Database) -> None:
    before = objects_of(any_database)
    any_database.query('CREATE SCHEMA "My ledger"; CREATE TABLE "My ledger".meta (a serial PRIMARY KEY)')
    assert compare(before, objects_of(any_database)).added[-1] == 'table "My ledger".meta'
    with channel_of(any_database) as channel:
        assert read_objects(channel, CatalogOptions("My ledger", ALL)) == before


def test_a_signature_of_thousands_of_letters_fits_an_index(database: Database) -> None:
    """A name is a key of a table, and an index takes no more than 2,700 bytes."""
    long = "t" * 60
    database.query(f"CREATE DOMAIN {long} AS int")
    for last in ("int", "bigint"):
        args = ", ".join([long] * 60 + [last])
        database.query(f"CREATE FUNCTION f({args}) RETURNS int LANGUAGE sql AS 'SELECT 1'")
    found = [name for name in objects_of(database) if kind(name) == "function"]
    assert len(found) == 2
    assert all(len(name) < 1000 for name in found)
    assert compare({}, dict.fromkeys(found, "1"), ["public.f(*"]) == Drift()
    grants = [name for name in objects_of(database) if name.startswith("grant on function")]
    assert len(grants) == 2


def test_a_catalog_that_changes_in_mid_read_is_read_again(any_database: Database) -> None:
    """What prints a view looks at the newest catalog, whatever the snapshot, and fails if it was dropped meanwhile."""
    any_database.query("CREATE VIEW v AS SELECT 1 AS a; CREATE TABLE t ()")
    waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'public.v'::regclass"

    def drop() -> None:
        eventually(lambda: any_database.query(waiting) != [], "the read waits for the view")
        holding.execute("COMMIT")

    with any_database.connect() as holding, channel_of(any_database) as channel:
        holding.execute("BEGIN; DROP VIEW v")
        worker = threading.Thread(target=drop)
        worker.start()
        found = read_objects(channel, PLAIN)
        worker.join()
    assert "table public.t" in found
    assert "view public.v" not in found


def test_a_run_that_must_stop_stops_here_too(database: Database) -> None:
    control = Control(60)
    with channel_of(database, control=control) as channel:
        control.interrupt()
        with suppress(StoppedError):
            read_objects(channel, PLAIN)
        # The transaction has ended in any case.
        assert channel.run([Command("SHOW transaction_isolation")], stoppable=False)[0].rows == (("read committed",),)
    control.close()


def test_the_major_version(bench: Bench) -> None:
    assert server_major(bench.channel) == bench.version


def test_ten_thousand_tables(server: Postgres) -> None:
    database = server.database()
    try:
        with database.connect() as connection:
            # In lots, since one transaction cannot hold that many locks.
            connection.execute("""
                DO $$ BEGIN
                    FOR i IN 1..10000 LOOP
                        EXECUTE format('CREATE TABLE t%s (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, '
                            'name text NOT NULL DEFAULT %L, parent bigint, at timestamptz DEFAULT now(), '
                            'n numeric(10, 2) CHECK (n > 0)); CREATE INDEX ON t%s (parent)', i, 'x', i);
                        IF i % 500 = 0 THEN COMMIT; END IF;
                    END LOOP;
                END $$
            """)
            before = objects_of(database)
            assert sum(kind(name) == "table" for name in before) == 10_000
            assert sum(kind(name) == "index" for name in before) == 10_000
            connection.execute("ALTER TABLE t5000 ADD COLUMN z int; DROP TABLE t10000")
        drift = compare(before, objects_of(database))
        assert drift.describe() == "added column public.t5000.z; removed table public.t10000"
    finally:
        server.drop(database)
