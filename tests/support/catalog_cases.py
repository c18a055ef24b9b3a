"""What people do to a catalog, and the drift that it is: for each kind of object each property that counts."""

from dataclasses import dataclass, field

from lockstep.planning.drift import Drift
from servers.postgres import APP

ALL = frozenset({"Grants", "Policies"})


def names(text: str) -> tuple[str, ...]:
    """Return what stands between semicolons, sorted."""
    return tuple(sorted(line.strip() for line in text.split(";") if line.strip()))


@dataclass(frozen=True)
class Case:
    """What is done by hand, and what drift it is."""

    change: str
    before: str = ""
    added: str = ""
    changed: str = ""
    removed: str = ""
    since: int = 14
    include: frozenset[str] = field(default=frozenset())

    @property
    def drift(self) -> Drift:
        """What must be found."""
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
    "table dropped": Case("DROP TABLE t", T,
                          removed="table s.t; column s.t.a; column s.t.b; column s.t.c; column s.t.d"),
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
    "foreign key on an index": Case(
        "ALTER TABLE t ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES p (id)",
        "CREATE TABLE p (id int); CREATE UNIQUE INDEX i ON p (id); CREATE TABLE t (a int)", added="constraint s.t.fk"),
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
    "extension's schema": Case("ALTER EXTENSION citext SET SCHEMA s2",
                               "CREATE SCHEMA s2; CREATE EXTENSION citext SCHEMA s", changed="extension citext"),
    "foreign table": Case(FOREIGN, added="foreign data wrapper w; server srv; foreign table s.ft; column s.ft.a"),
    "foreign table's options": Case("ALTER FOREIGN TABLE ft OPTIONS (SET y '3')", FOREIGN,
                                    changed="foreign table s.ft"),
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
    "what owners may do": Case("REVOKE INSERT ON t FROM postgres", T, include=ALL),
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
    "on and off": Case("ALTER TABLE t ADD z int, ALTER b SET DEFAULT ''; ALTER TABLE t DROP z, ALTER b DROP DEFAULT",
                       T),
}  # fmt: skip

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
    at timestamptz DEFAULT '2020-01-02 03:04:05+00', since interval DEFAULT '1 day 2 hours',
    day date DEFAULT '2020-02-01', size float8 DEFAULT '0.1234567890123456',
    raw bytea DEFAULT '\x00ff', paid money DEFAULT 1234.5::money, words text DEFAULT 'a\b',
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
