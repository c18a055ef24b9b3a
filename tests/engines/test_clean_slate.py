"""What a migration's SQL, or an application's role, does to its session and to the ledger never reaches the next."""

import pytest

from lockstep.api.reasons import Reason
from servers.postgres import APP, Database
from servers.runner import Ended, Pod, keys_of, migration, order

PROBE = """
CREATE TABLE probe AS SELECT current_user::text AS who, session_user::text AS session,
    current_setting('search_path') AS path, current_setting('lock_timeout') AS lock_timeout,
    current_setting('transaction_read_only') AS read_only, current_setting('client_encoding') AS encoding,
    current_setting('session_replication_role') AS replication,
    to_regclass('pg_temp.mine')::text AS temporary
"""
CLEAN = [(APP, APP, '"$user", public', "5s", "off", "UTF8", "origin", None)]

DIRT = {
    "role": "SET ROLE other",
    "path": "CREATE SCHEMA s; SET search_path = s",
    "pg_dump": "SET statement_timeout = 0; SET lock_timeout = 0; SELECT set_config('search_path', '', false)",
    "encoding": "SET client_encoding = 'LATIN1'",
    "read_only": "SET default_transaction_read_only = on",
    "characteristics": "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY, ISOLATION LEVEL SERIALIZABLE",
    "reset": "RESET ALL",
    "temporary": "CREATE TEMP TABLE mine (x int); CREATE TEMP TABLE meta (x int); CREATE TEMP TABLE run (line text)",
    "plans": "DEALLOCATE ALL",
    "plans-in-a-body": "DO $$BEGIN EXECUTE 'DEALLOCATE ALL'; END$$",
    "discard": "DISCARD PLANS; DISCARD SEQUENCES; DISCARD TEMP",
    "cursor": "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
    "listen": "LISTEN here",
}


@pytest.mark.parametrize("dirt", DIRT.values(), ids=DIRT.keys())
def test_the_next_migration_starts_clean(dirt: str, any_database: Database, pod: Pod) -> None:
    any_database.query("DO $$BEGIN CREATE ROLE other; EXCEPTION WHEN duplicate_object THEN NULL; END$$")
    any_database.query(f"GRANT other TO {APP}")
    ended = pod.run(order(migration("1", dirt), migration("2", PROBE)), keys_of(any_database))
    assert ended.code == 0, ended.text
    assert any_database.query("TABLE probe") == CLEAN
    assert any_database.query("SELECT version FROM lockstep.applied ORDER BY 1") == [("1",), ("2",)]


@pytest.mark.parametrize("dirt", DIRT.values(), ids=DIRT.keys())
def test_the_next_migration_starts_clean_behind_a_journaled_one(dirt: str, database: Database, pod: Pod) -> None:
    database.query("DO $$BEGIN CREATE ROLE other; EXCEPTION WHEN duplicate_object THEN NULL; END$$")
    database.query(f"GRANT other TO {APP}")
    # It ends with a statement that runs alone, too.
    first = migration("1", f"{dirt}; VACUUM pg_class", transaction="Never")
    ended = pod.run(order(first, migration("2", PROBE)), keys_of(database))
    assert ended.code == 0, ended.text
    assert database.query("TABLE probe") == CLEAN
    assert database.query("SELECT version FROM lockstep.applied ORDER BY 1") == [("1",), ("2",)]


@pytest.mark.parametrize("transaction", ["Auto", "Never"])
def test_names_of_a_session_are_free_again(transaction: str, any_database: Database, pod: Pod) -> None:
    """Each of them would be there already, where one run takes both, and not where two runs do."""
    text = 'PREPARE "A b" AS SELECT 1; PREPARE gone AS SELECT 1; DEALLOCATE gone; LISTEN here'
    first = migration("1", f"{text}; DECLARE c CURSOR WITH HOLD FOR SELECT 1", transaction=transaction)
    look = "CREATE TABLE seen AS SELECT name FROM pg_cursors WHERE name <> '' UNION ALL SELECT pg_listening_channels()"
    second = migration("2", f"{look}; {text}; DECLARE c CURSOR WITH HOLD FOR SELECT 1", transaction=transaction)
    ended = pod.run(order(first, second, migration("3", "CREATE TABLE t ()")), keys_of(any_database))
    assert ended.code == 0, ended.text
    assert any_database.query("TABLE seen") == []


LOCKS = """
SELECT pg_advisory_lock(-1), pg_advisory_lock(-1), pg_try_advisory_lock(9223372036854775807), pg_advisory_lock(-1, -2),
       pg_advisory_lock_shared(2147483647, 0), pg_try_advisory_lock_shared(5), pg_advisory_xact_lock(6)
"""
HELD = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"


@pytest.mark.parametrize("transaction", ["Auto", "Never"])
def test_advisory_locks_of_a_migration_end_with_it_and_those_of_the_run_do_not(
    transaction: str, any_database: Database, pod: Pod
) -> None:
    first = migration("1", f"{LOCKS}; CREATE TABLE during AS {HELD}", transaction=transaction)
    ended = pod.run(order(first, migration("2", f"CREATE TABLE after AS {HELD}")), keys_of(any_database))
    assert ended.code == 0, ended.text
    assert any_database.query("TABLE during") == [(7 + (transaction == "Auto"),)]
    # That of the line, and a share of the ledger's.
    assert any_database.query("TABLE after") == [(2,)]


def test_a_role_that_acts_as_another_by_default_goes_on_to(any_database: Database, pod: Pod) -> None:
    name = any_database.name
    any_database.query("DO $$BEGIN CREATE ROLE other; EXCEPTION WHEN duplicate_object THEN NULL; END$$")
    any_database.query(f"GRANT other TO {APP}; ALTER DATABASE {name} OWNER TO other")
    any_database.query(f"ALTER ROLE {APP} IN DATABASE {name} SET role = 'other'")
    journaled = migration("3", "CREATE TABLE c (); VACUUM c; CREATE TABLE d ()")
    ended = pod.run(
        order(migration("1", "CREATE TABLE a ()"), migration("2", "CREATE TABLE b ()"), journaled),
        keys_of(any_database),
    )
    assert ended.code == 0, ended.text
    owners = "SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE relname IN ('a', 'b', 'c', 'd', 'history')"
    assert any_database.query(owners) == [("other",)]


@pytest.mark.parametrize("transaction", ["Auto", "Never"])
def test_a_time_limit_of_the_role_for_transactions_is_none_of_a_migration(
    transaction: str, any_database: Database, pod: Pod
) -> None:
    """From 17 on: the server would end the session, and every one after it."""
    if any_database.server.version < 17:
        pytest.skip("no such setting")
    any_database.query(f"ALTER ROLE {APP} IN DATABASE {any_database.name} SET transaction_timeout = '300ms'")
    slow = "CREATE TABLE {}slow (); SELECT pg_sleep(0.5)"
    one, two = (migration(n, slow.format(f"t{n}"), transaction=transaction) for n in "12")
    ended = pod.run(order(one, two), keys_of(any_database))
    assert ended.code == 0, ended.text
    assert ended.events("connection_lost") == []


BROKEN = {
    "drops-the-ledger": "DROP SCHEMA lockstep CASCADE",
    "empties-the-run": "DELETE FROM lockstep.run",
    "takes-the-epoch": "UPDATE lockstep.run SET epoch = epoch + 1",
    "takes-the-holder": "UPDATE lockstep.run SET holder = gen_random_uuid()",
    "read-only": "SET TRANSACTION READ ONLY",
    "writes-the-history": "DO $$BEGIN EXECUTE 'ALTER TABLE lockstep.history ADD CHECK (false) NOT VALID'; END$$",
    "swallows-the-history": (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER t BEFORE INSERT ON lockstep.history FOR EACH ROW EXECUTE FUNCTION f()"
    ),
    "swallows-the-version": (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER t BEFORE INSERT ON lockstep.applied FOR EACH ROW EXECUTE FUNCTION f()"
    ),
}


@pytest.mark.parametrize("sql", BROKEN.values(), ids=BROKEN.keys())
def test_sql_that_meddles_with_the_ledger_is_rolled_back(sql: str, any_database: Database, pod: Pod) -> None:
    bad = migration("2", f"CREATE TABLE never (); {sql}")
    ended = pod.run(order(migration("1", "CREATE TABLE t ()"), bad), keys_of(any_database))
    assert ended.result.reason in {Reason.FENCED, Reason.STATEMENT_REFUSED}, ended.text
    assert any_database.query("SELECT to_regclass('public.never')") == [(None,)]
    assert any_database.query("SELECT version FROM lockstep.applied") == [("1",)]
    # And the ledger is as good as before.
    ended = pod.run(
        order(migration("1", "CREATE TABLE t ()"), migration("2", "CREATE TABLE u ()")), keys_of(any_database)
    )
    assert ended.code == 0, ended.text


def refuses(ended: Ended, reason: Reason, word: str) -> None:
    assert ended.result.reason is reason, ended.text
    assert word in ended.result.message


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("COMMIT", "COMMIT"),
        ("begin", "BEGIN"),
        ("PREPARE TRANSACTION 'x'", "PREPARE TRANSACTION"),
        ("DISCARD ALL", "DISCARD ALL"),
        ("SELECT pg_advisory_unlock_all()", "pg_advisory_unlock_all"),
        ("DO $$BEGIN PERFORM pg_advisory_unlock_all(); END$$", "pg_advisory_unlock_all"),
        (r"\connect other", "psql"),
    ],
)
def test_what_would_break_the_frame_is_refused(sql: str, word: str, database: Database, pod: Pod) -> None:
    ended = pod.run(order(migration("1", f"CREATE TABLE t ();\n{sql};")), keys_of(database))
    refuses(ended, Reason.STATEMENT_REFUSED, word)
    assert ended.result.error is not None
    assert ended.result.error.line == 2
    assert database.query("SELECT to_regclass('public.t')") == [(None,)]


def test_a_commit_inside_of_a_body_is_an_error_of_the_server(any_database: Database, pod: Pod) -> None:
    ended = pod.run(order(migration("1", "CREATE TABLE t (); DO $$BEGIN COMMIT; END$$")), keys_of(any_database))
    refuses(ended, Reason.STATEMENT_FAILED, "2D000")
    assert any_database.query("SELECT to_regclass('public.t')") == [(None,)]


HOSTILE = """
CREATE TABLE public.called (what text);
CREATE FUNCTION public.trap(text, text) RETURNS boolean LANGUAGE plpgsql AS
    $$BEGIN INSERT INTO public.called VALUES ('operator'); RETURN true; END$$;
CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.trap);
CREATE OPERATOR public.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = public.trap);
CREATE FUNCTION public.current_schema() RETURNS name LANGUAGE plpgsql AS
    $$BEGIN INSERT INTO public.called VALUES ('current_schema'); RETURN 'public'; END$$;
CREATE FUNCTION public.version() RETURNS text LANGUAGE plpgsql AS
    $$BEGIN INSERT INTO public.called VALUES ('version'); RETURN 'PostgreSQL 18'; END$$;
CREATE FUNCTION public.set_config(text, text, boolean) RETURNS text LANGUAGE plpgsql AS
    $$BEGIN INSERT INTO public.called VALUES ('set_config'); RETURN ''; END$$;
"""


def test_hostile_functions_and_operators_are_never_called(any_database: Database, pod: Pod) -> None:
    one = migration("1", "CREATE TABLE t ()")
    assert pod.run(order(one), keys_of(any_database)).code == 0
    any_database.query(HOSTILE, admin=False)
    any_database.query(f"ALTER ROLE {APP} IN DATABASE {any_database.name} SET search_path = public, pg_catalog")
    # Nothing of the migrations themselves uses what is captured.
    journaled = migration("3", "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON pair (x); REINDEX INDEX CONCURRENTLY i")
    pair = migration("2", "CREATE TABLE pair (x int)")
    ended = pod.run(order(one, pair, journaled), keys_of(any_database))
    assert ended.code == 0, ended.text
    assert any_database.query("TABLE public.called") == []


def test_default_privileges_give_nobody_the_ledger(any_database: Database, pod: Pod) -> None:
    any_database.query('DO $$BEGIN CREATE ROLE "Odd Role"; EXCEPTION WHEN duplicate_object THEN NULL; END$$')
    for what in ("TABLES", "SCHEMAS"):
        any_database.query(f'ALTER DEFAULT PRIVILEGES GRANT ALL ON {what} TO "Odd Role", PUBLIC', admin=False)
    one = migration("1", "CREATE TABLE t ()")
    assert pod.run(order(one), keys_of(any_database)).code == 0
    assert pod.run(order(one), keys_of(any_database)).code == 0
    granted = """SELECT count(*) FROM pg_class c, aclexplode(c.relacl) a
                 WHERE c.relnamespace = 'lockstep'::regnamespace AND a.grantee <> c.relowner"""
    assert any_database.query(granted) == [(0,)]


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("GRANT INSERT ON lockstep.applied TO PUBLIC", "everybody (PUBLIC) has INSERT on applied"),
        ("GRANT UPDATE (epoch) ON lockstep.run TO other", "other has UPDATE on a column of run"),
        ("GRANT CREATE ON SCHEMA lockstep TO other", "other has CREATE on the schema"),
        ("ALTER TABLE lockstep.texts OWNER TO other", "other owns texts"),
        ("CREATE TRIGGER spy BEFORE UPDATE ON lockstep.run FOR EACH ROW EXECUTE FUNCTION spy()", "the trigger spy"),
        ("CREATE RULE spy AS ON INSERT TO lockstep.history DO INSTEAD NOTHING", "the rule spy"),
        ("ALTER TABLE lockstep.applied ENABLE ROW LEVEL SECURITY", "row security"),
    ],
)
def test_a_ledger_that_others_can_write_to(sql: str, word: str, any_database: Database, pod: Pod) -> None:
    one = migration("1", "CREATE TABLE t ()")
    pod.run(order(one), keys_of(any_database))
    any_database.query("DO $$BEGIN CREATE ROLE other; EXCEPTION WHEN duplicate_object THEN NULL; END$$")
    any_database.query("CREATE FUNCTION spy() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN new; END$$")
    any_database.query(sql)
    refuses(pod.run(order(one), keys_of(any_database)), Reason.LEDGER_WRITABLE, word)


def test_who_may_read_the_ledger_does_no_harm(database: Database, pod: Pod) -> None:
    one = migration("1", "CREATE TABLE t ()")
    pod.run(order(one), keys_of(database))
    database.query("GRANT USAGE ON SCHEMA lockstep TO PUBLIC")
    database.query("GRANT SELECT ON ALL TABLES IN SCHEMA lockstep TO PUBLIC")
    assert pod.run(order(one), keys_of(database)).code == 0


def test_sql_that_ends_its_own_session_again_and_again_is_named(database: Database, pod: Pod) -> None:
    bad = migration("2", "CREATE TABLE never (); SELECT pg_terminate_backend(pg_backend_pid())")
    ended = pod.run(order(migration("1", "CREATE TABLE t ()"), bad), keys_of(database))
    assert (ended.code, ended.result.reason, ended.result.version) == (10, Reason.CONNECTION_LOST, "1"), ended.text
    assert "the last time in version 2 (orders-2)" in ended.result.message
    assert ended.result.error is not None
    assert ended.result.error.version == "2"
    assert [each["step"] for each in ended.events("connection_lost")] == ["version 2 (orders-2)"] * 5
