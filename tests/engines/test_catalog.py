"""The catalog as hashes: each change shows under exactly the names it should, and nothing else does."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from lockstep.engines.control import Control
from lockstep.engines.postgresql.catalog import CatalogOptions, reading, server_major
from lockstep.engines.postgresql.catalog_frame import FORMAT, PINNED
from lockstep.engines.postgresql.catalog_more_sql import publications
from lockstep.engines.postgresql.channel import Channel
from lockstep.engines.postgresql.messages import Command, SqlError, StoppedError
from lockstep.planning.drift import KINDS, Drift, compare, kind
from servers.postgres import APP, Database, Postgres
from servers.process import run
from support.catalog import read_objects
from support.catalog_cases import ALL, CASES, EVERYTHING, Case, names
from support.waiting import eventually

PLAIN = CatalogOptions("lockstep")


@contextmanager
def channel_of(database: Database, *, user: str = APP, control: Control | None = None) -> Iterator[Channel]:
    params = database.params | {"user": user}
    # Longer than all tests take that share it.
    own = Control(86_400)
    channel = Channel(
        psycopg.connect(make_conninfo(**params), autocommit=True, prepare_threshold=None),
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
    # The others are MySQL's and MariaDB's.
    assert {kind(each) for each in words} == set(KINDS) - {"event", "library", "package", "package body"}


def test_a_restored_dump_is_the_same(bench: Bench) -> None:
    bench.execute(EVERYTHING)
    found = bench.read()
    server, source = bench.database.server, bench.database
    where = [f"--dbname=host=127.0.0.1 port={server.port} user=postgres dbname="]
    password = {"PGPASSWORD": source.params["password"]}
    dump = run([server.client("pg_dump"), where[0] + source.name, "--no-owner"], env=password).stdout
    # A newer one than the server says what the server does not know.
    dump = dump.replace("SET transaction_timeout = 0;\n", "")
    target = server.database()
    try:
        run([server.client("psql"), where[0] + target.name, "-qX1v", "ON_ERROR_STOP=1"], env=password, input=dump)
        assert len(found) > 90
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
    with hostile(bench.database), channel_of(bench.database, user="hostile") as channel:
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
    any_database.query("CREATE VIEW v AS SELECT 1 AS a; CREATE TABLE t ()", admin=False)
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
    database.query("CREATE VIEW v AS SELECT 1 AS a", admin=False)
    control = Control(60)
    with database.connect() as holding, channel_of(database, control=control) as channel:
        # So that it waits when it is told.
        holding.execute("BEGIN; DROP VIEW v")
        control.interrupt()
        with pytest.raises(StoppedError):
            read_objects(channel, PLAIN)
        # And its transaction has ended.
        shown = channel.run([Command("SHOW transaction_isolation")], stoppable=False)
        assert shown[0].rows == (("read committed",),)
    control.close()


def test_other_sql_is_another_format(database: Database) -> None:
    """Else a new Lockstep would accuse people of what it reads in another way itself."""
    with channel_of(database) as channel:
        text = reading(channel, ALL) + str(PINNED)
    digest = hashlib.sha256(" ".join(text.split()).encode()).hexdigest()[:16]
    assert (FORMAT, digest) == (2, "808a2f7d747dff1f"), "grow FORMAT, unless both give the same; then write both here"
    # The one part that is another text for another version.
    oldest = hashlib.sha256(" ".join(publications(140000).split()).encode()).hexdigest()[:16]
    assert (FORMAT, oldest) == (2, "de550f5d769bda96"), "grow FORMAT, then write both here"


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
