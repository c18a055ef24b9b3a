"""SQLite's files as they are found: absent, foreign, read-only, in use; and what a run does to them."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from lockstep.api.reasons import Reason
from lockstep.engines import load
from lockstep.engines.base import Files, Identity, RunError, SecretWords, Session, Task
from lockstep.engines.control import Control
from lockstep.engines.sqlite.lock import FileLock, lock_byte
from lockstep.planning.wire import Mode, Order, RepairOrder
from servers.nursery import Newborn, Nursery
from servers.process import give, unprivileged, wait_until
from servers.runner import OWNER, Ended, Pod, limits, migration, order

ONE = migration("1", "CREATE TABLE t (x int PRIMARY KEY)", "DROP TABLE t")
TWO = migration("2", "INSERT INTO t VALUES (1)", "DELETE FROM t")
SLOW = "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 9000000000) SELECT count(*) FROM c"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.db"


@pytest.fixture(scope="module")
def mother() -> Iterator[Nursery]:
    with Nursery("sqlite") as made:
        yield made


@pytest.fixture
def pod(mother: Nursery, tmp_path: Path) -> Iterator[Pod]:
    made = Newborn(mother, tmp_path)
    yield made
    if made.alive:
        made.kill()


def url(path: Path, mode: str = "rwc") -> dict[str, str]:
    return {"url": f"sqlite:///{path}?mode={mode}"}


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(sql).fetchall()


def connect(path: Path, mode: str = "rw", wanted: Order | None = None) -> RunError | None:
    """Open a file as a run does; return what is wrong with it."""
    wanted = wanted or order(ONE)
    with closing(Control(30)) as control:
        try:
            opened(path, wanted, control, mode=mode).close()
        except RunError as error:
            return error
    return None


def opened(path: Path, wanted: Order, control: Control, *, pod: str = "p", mode: str = "rwc") -> Session:
    engine = load("sqlite")
    target = engine.target(SecretWords(url=url(path, mode)["url"]), "s")
    return engine.connect(Task(wanted, target, Files(), Identity(pod, "j", 1, OWNER)), control, lambda *_, **__: None)


def reason(path: Path, mode: str = "rw", wanted: Order | None = None) -> Reason | None:
    error = connect(path, mode, wanted)
    if error is None:
        return None
    # No part of a connection is ever printed.
    assert str(path) not in error.message
    return error.reason


def test_a_file_that_is_missing_is_made_only_where_the_url_says_so(path: Path, pod: Pod) -> None:
    error = connect(path)
    assert error is not None
    assert error.reason is Reason.DATABASE_NOT_FOUND
    assert "mode=rwc" in error.message
    assert "docs/engines.md" in error.message
    assert not path.exists()
    assert reason(path.parent / "nowhere" / "app.db", "rwc") is Reason.DATABASE_NOT_FOUND
    assert pod.run(order(ONE), url(path)).code == 0
    assert query(path, "SELECT version FROM lockstep_applied") == [("1",)]


def test_a_plan_for_a_file_that_is_missing_makes_none(path: Path, pod: Pod) -> None:
    ended = pod.run(order(ONE, TWO, mode=Mode.PLAN), url(path))
    assert (ended.code, ended.result.reason) == (0, Reason.PLANNED), ended.text
    assert ended.result.plan is not None
    assert ended.result.plan.count == 2
    assert not path.exists()


@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
def test_a_plan_leaves_the_file_as_it_is(journal: str, path: Path, pod: Pod) -> None:
    query(path, f"PRAGMA journal_mode = {journal}")
    pod.run(order(ONE), url(path))
    before = path.read_bytes()
    assert pod.run(order(ONE, TWO, mode=Mode.PLAN), url(path)).code == 0
    assert path.read_bytes() == before


def test_a_file_that_is_no_database(path: Path) -> None:
    path.write_text("This is no database, and it is longer than a header. " * 10)
    assert reason(path) is Reason.DATABASE_NOT_FOUND
    path.write_bytes(b"")
    assert reason(path) is None
    assert reason(path.parent) is Reason.INVALID_URL
    assert reason(path / "below") is Reason.DATABASE_NOT_FOUND
    assert reason(path, "ro") is Reason.READ_ONLY


@contextmanager
def as_nobody(folder: Path) -> Iterator[None]:
    """Have this process open files as one without rights does; a folder that it may reach."""
    rights = unprivileged()
    if not rights:
        yield
        return
    os.chmod(folder, 0o755)
    os.seteuid(rights["user"])
    try:
        yield
    finally:
        os.seteuid(0)


def test_what_the_run_may_not_do() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        folder = Path(made)
        file = folder / "app.db"
        query(file, "CREATE TABLE theirs (x int)")
        file.chmod(0o444)
        with as_nobody(folder):
            # Its folder cannot be written, so there can be no journal.
            assert reason(file) is Reason.PERMISSION_DENIED
            # To look it need not write.
            assert reason(file, "rw", order(ONE, mode=Mode.CHECK)) is None
        give(folder)
        with as_nobody(folder):
            assert reason(file) is Reason.PERMISSION_DENIED
        file.chmod(0o000)
        with as_nobody(folder):
            assert reason(file, "rw", order(ONE, mode=Mode.CHECK)) is Reason.PERMISSION_DENIED


def busy_ones(path: Path, sql: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(sql)
    return connection


def test_an_application_that_writes_is_waited_for(path: Path, pod: Pod) -> None:
    pod.run(order(ONE), url(path))
    with closing(busy_ones(path, "INSERT INTO t VALUES (7)")) as connection:
        pod.start(order(ONE, TWO), url(path))
        pod.wait_for("started")
        connection.execute("COMMIT")
    ended = pod.end()
    assert (ended.code, ended.result.version) == (0, "2"), ended.text


def test_an_application_that_does_not_let_go_is_named_as_the_cause(path: Path, pod: Pod) -> None:
    pod.run(order(ONE, baseline="0"), url(path))
    with closing(busy_ones(path, "INSERT INTO t VALUES (7)")):
        ended = pod.run(order(ONE, TWO, limits=limits(lock_timeout=100)), url(path))
    assert (ended.code, ended.result.reason) == (10, Reason.LOCK_HELD), ended.text
    assert "SQLITE_BUSY" in ended.result.message


def test_one_that_reads_holds_up_the_commit_and_no_more(path: Path, pod: Pod) -> None:
    """With a rollback journal a commit waits for those who read."""
    slow = migration("2", "INSERT INTO t VALUES (1); SELECT count(*) FROM t, t AS u, t AS v")
    pod.run(order(ONE), url(path))
    query(
        path,
        "INSERT INTO t WITH RECURSIVE c (x) AS (SELECT 10 UNION ALL SELECT x + 1 FROM c LIMIT 400) SELECT x FROM c",
    )
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        pod.start(order(ONE, slow, limits=limits(lock_timeout=200)), url(path))
        pod.wait_for("locked")
        # Not before the run has claimed the line, which is a commit too.
        wait_until(lambda: is_writing(path), what="the migration")
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM t").fetchone()
        retried = pod.wait_for("retry")
        assert retried["code"] == "SQLITE_BUSY"
        reader.execute("COMMIT")
        ended = pod.end()
    assert (ended.code, ended.result.version) == (0, "2"), ended.text
    assert query(path, "SELECT count(*) FROM t WHERE x = 1") == [(1,)]


def is_writing(path: Path) -> bool:
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        connection.execute("ROLLBACK")
        return False


def test_applications_read_and_write_between_migrations(path: Path, pod: Pod) -> None:
    """The lock of a run keeps runs apart, and nobody else."""
    with closing(Control(30)) as control:
        session = opened(path, order(ONE), control)
        try:
            session.lock(5)
            session.enter()
            query(path, "CREATE TABLE theirs (x int)")
            assert query(path, "SELECT count(*) FROM theirs") == [(0,)]
            # And SQLite's own locks are still whole: its file has been opened and closed by others meanwhile.
            assert pod.run(order(ONE), url(path)).result.reason is Reason.LOCK_HELD
        finally:
            session.close()


def test_the_lock_goes_with_the_process(path: Path) -> None:
    path.touch()
    hold = (
        "import os, sys\n"
        "from lockstep.engines.sqlite.lock import FileLock\n"
        "lock = FileLock(sys.argv[1], os.O_RDWR)\n"
        "print(lock.try_line('orders'), flush=True)\n"
        "sys.stdin.read()\n"
    )
    mine = FileLock(str(path), os.O_RDWR)
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert mine.held("orders")
        assert not mine.held("billing")
        assert not mine.try_line("orders")
        assert mine.try_line("billing")
        # SQLite opens and closes the file in this process: it takes nothing away.
        query(path, "CREATE TABLE t (x int)")
        holder.send_signal(signal.SIGKILL)
        holder.wait(10)
    assert not mine.held("orders")
    assert mine.try_line("orders")
    mine.close()


def test_each_line_has_a_byte_far_from_those_of_sqlite() -> None:
    places = {lock_byte(f"line{number}") for number in range(1000)}
    assert len(places) == 1000
    assert min(places) > 2**40
    assert max(places) < 2**63 - 1


def ran(pod: Pod, path: Path, *texts: str) -> Ended:
    steps = [migration(f"{number}", text) for number, text in enumerate(texts, start=1)]
    return pod.run(order(*steps), url(path))


PARENTS = (
    "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE c (id int, p int REFERENCES p ON DELETE CASCADE);"
    "INSERT INTO p VALUES (1); INSERT INTO c VALUES (1, 1);"
)
REBUILT = (
    "PRAGMA foreign_keys = OFF; CREATE TABLE new_p (id int PRIMARY KEY, more text);"
    "INSERT INTO new_p (id) SELECT id FROM p; DROP TABLE p; ALTER TABLE new_p RENAME TO p; PRAGMA foreign_keys = ON"
)


def test_a_table_that_is_built_anew_keeps_what_refers_to_it(path: Path, pod: Pod) -> None:
    ended = ran(pod, path, PARENTS, REBUILT, REBUILT.replace("PRAGMA foreign_keys = OFF;", "").replace("more", "less"))
    assert ended.code == 0, ended.text
    assert query(path, "SELECT id, p FROM c") == [(1, 1)]


def test_foreign_keys_are_enforced_where_the_text_asks(path: Path, pod: Pod) -> None:
    ended = ran(pod, path, PARENTS, "PRAGMA foreign_keys = ON; DELETE FROM p")
    assert ended.code == 0, ended.text
    assert query(path, "SELECT count(*) FROM c") == [(0,)]
    ended = ran(
        pod,
        path,
        PARENTS,
        "PRAGMA foreign_keys = ON; DELETE FROM p",
        "PRAGMA foreign_keys = ON; INSERT INTO c VALUES (2, 9)",
    )
    assert ended.result.reason is Reason.STATEMENT_FAILED
    assert "SQLITE_CONSTRAINT_FOREIGNKEY" in ended.result.message


def test_rows_that_lose_their_parent_are_an_error_and_old_ones_are_not(path: Path, pod: Pod) -> None:
    ended = ran(pod, path, PARENTS, "DELETE FROM p WHERE id = 1")
    assert ended.result.reason is Reason.STATEMENT_FAILED, ended.text
    assert "1 of c to p" in ended.result.message
    assert query(path, "SELECT count(*) FROM p") == [(1,)]
    # What the application itself has left is not the migration's.
    query(path, "INSERT INTO c VALUES (7, 77)")
    assert ran(pod, path, PARENTS, "INSERT INTO p VALUES (2)").code == 0


def test_keys_of_an_order_that_only_the_application_knows_are_not_looked_at(path: Path, pod: Pod) -> None:
    """As with functions, an application tells SQLite of its collations when it connects."""
    assert ran(pod, path, "CREATE TABLE t (x)").code == 0
    with closing(sqlite3.connect(path, isolation_level=None)) as application:
        application.create_collation("theirs", lambda a, b: (a > b) - (a < b))
        application.execute("CREATE TABLE p (k text COLLATE theirs PRIMARY KEY)")
        application.execute("CREATE TABLE c (k text REFERENCES p (k))")
        application.execute("INSERT INTO c VALUES ('x')")
    ended = ran(pod, path, "CREATE TABLE t (x)", "INSERT INTO t VALUES (1)")
    assert ended.code == 0, ended.text
    [said] = ended.events("foreign_keys_unchecked")
    assert "no such collation sequence: theirs" in str(said["message"])


def test_a_file_that_fails_at_the_beginning_of_a_migration_is_said(path: Path, pod: Pod) -> None:
    parents = "CREATE TABLE p (k int PRIMARY KEY); CREATE TABLE c (k int REFERENCES p (k)); INSERT INTO c VALUES (NULL)"
    assert ran(pod, path, parents).code == 0
    [(page,)] = query(path, "SELECT rootpage FROM sqlite_master WHERE name = 'c'")
    with path.open("r+b") as file:
        file.seek(4096 * (int(str(page)) - 1))
        file.write(b"\xff" * 4096)
    ended = ran(pod, path, parents, "CREATE TABLE d (x)")
    assert (ended.result.reason, "damaged" in ended.result.message) == (Reason.UNREACHABLE, True), ended.text


def test_what_one_migration_does_to_its_session_ends_with_it(path: Path, pod: Pod) -> None:
    first = (
        "CREATE TABLE t (x int CHECK (x > 0)); CREATE TEMP TABLE left_behind (x int); CREATE TEMP VIEW v AS SELECT 1;"
        'CREATE TEMP TABLE "odd ""name" (x int);'
        "CREATE TEMP TRIGGER r AFTER INSERT ON t BEGIN SELECT RAISE(ABORT, 'left behind'); END;"
        "PRAGMA ignore_check_constraints = ON; PRAGMA recursive_triggers = ON"
    )
    ended = ran(pod, path, first, "INSERT INTO t VALUES (-1)")
    assert "SQLITE_CONSTRAINT_CHECK" in ended.result.message
    assert ended.result.version == "1"
    # What belongs to the file and its transaction stays.
    second = "CREATE TEMP TABLE left_behind (x int); INSERT INTO t VALUES (1); PRAGMA user_version = 42"
    path.unlink()
    ended = ran(pod, path, first, second)
    assert ended.code == 0, ended.text
    assert query(path, "PRAGMA user_version") == [(42,)]


@pytest.mark.parametrize(
    "sql", ["INSERT OR ROLLBACK INTO t VALUES (1)", "SELECT x FROM t WHERE raise_it(1)", "SELECT ?", "SELECT :name"]
)
def test_an_error_leaves_nothing(sql: str, path: Path, pod: Pod) -> None:
    ended = ran(
        pod, path, "CREATE TABLE t (x int PRIMARY KEY); INSERT INTO t VALUES (1)", f"CREATE TABLE u (x int); {sql}"
    )
    assert ended.result.reason is Reason.STATEMENT_FAILED, ended.text
    assert query(path, "SELECT name FROM sqlite_master WHERE name = 'u'") == []
    assert query(path, "SELECT direction, version FROM lockstep_history") == [("up", "1")]


def test_literals_do_not_show_in_messages(path: Path, pod: Pod) -> None:
    ended = ran(pod, path, "CREATE TABLE t (x int)", "INSERT INTO t VALUES 's3cret'")
    assert ended.result.reason is Reason.STATEMENT_FAILED
    assert "syntax error" in ended.result.message
    assert "s3cret" not in ended.text


@pytest.fixture
def whole(tmp_path: Path) -> Iterator[Pod]:
    """From the start of Python on, so that its memory is its own."""
    made = Pod(tmp_path)
    yield made
    if made.alive:
        made.kill()


def test_a_million_rows_take_no_memory(path: Path, whole: Pod) -> None:
    rows = (
        "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 1000000) "
        "SELECT x, printf('%0200d', x) FROM c"
    )
    whole.start(order(migration("1", rows), migration("2", SLOW)), url(path))
    whole.wait_for("applied", 120)
    assert whole.process is not None
    status = Path(f"/proc/{whole.process.pid}/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    whole.kill()
    # The rows alone are 200 MB.
    assert peak < 150_000


def test_the_files_that_a_run_makes_are_not_for_everybody_to_write(path: Path, pod: Pod) -> None:
    assert pod.run(order(ONE), url(path)).code == 0
    assert not path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def test_a_session_cannot_be_ended_from_afar(path: Path, pod: Pod) -> None:
    repair = RepairOrder("t", "EndSession", confirm="nobody")
    # Nobody holds it: there is nothing to end, and the run goes on.
    assert pod.run(order(ONE, repair=repair), url(path)).result.repaired == "t"
    with closing(Control(30)) as control:
        session = opened(path, order(ONE), control, pod="first")
        try:
            session.lock(5)
            session.enter()
            again = RepairOrder("t2", "EndSession", confirm="first")
            ended = pod.run(order(ONE, repair=again), url(path)).result
        finally:
            session.close()
    assert (ended.reason, ended.holder) == (Reason.REPAIR_REFUSED, "first")
    assert "delete that pod" in ended.message


KEPT = """\
CREATE TABLE t (x text) ; -- of t
CREATE INDEX plain ON t (x);
CREATE UNIQUE INDEX blanks ON t (x, length(x))
  ;
CREATE INDEX comments ON t (x || 'a') /* why; */ -- and; how
;
CREATE VIEW v AS SELECT x FROM t -- all; of it
;
CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; END
;
CREATE INDEX last ON t (x) WHERE x > 'b'"""


def test_the_text_of_objects_is_what_the_shell_leaves(path: Path, pod: Pod) -> None:
    """Of an index SQLite keeps what stands before the semicolon too, so that another text were another catalog."""
    assert pod.run(order(migration("1", KEPT)), url(path)).code == 0
    theirs = path.with_name("theirs.db")
    with closing(sqlite3.connect(theirs)) as connection:
        # The library's own way through a text, as the shell's.
        connection.executescript(KEPT)
    ask = "SELECT name, sql FROM sqlite_master WHERE tbl_name IN ('t', 'v') ORDER BY name"
    kept = query(path, ask)
    assert kept == query(theirs, ask)
    assert str(next(sql for name, sql in kept if name == "blanks")).endswith(")\n  ")
