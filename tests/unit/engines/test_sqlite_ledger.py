"""The portable ledger, on SQLite: its chain of hashes, its upgrades, its journal, what it says of a line."""

import gzip
import hashlib
import sqlite3
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing
from random import Random

import pytest
from msgspec.structs import replace
from sqlalchemy.exc import DBAPIError, StatementError

from lockstep.api.reasons import Reason
from lockstep.engines import entries, rows
from lockstep.engines.base import Action, Identity, LedgerState, RunError
from lockstep.engines.control import Control
from lockstep.engines.drift_watch import DriftWatch
from lockstep.engines.entries import Claim, Past
from lockstep.engines.portable import ledger as ledgers
from lockstep.engines.portable import store, tables
from lockstep.engines.portable.ledger import Ledger
from lockstep.engines.portable.objects import Catalog, PortableDriftStore
from lockstep.engines.portable.records import Recorder
from lockstep.engines.portable.store import open_once
from lockstep.engines.sqlite.catalog import OPTIONS, Around, objects, plain
from lockstep.engines.sqlite.connect import SqliteStore
from lockstep.planning.checksum import checksum
from lockstep.planning.plan import Candidate, Direction, Step
from lockstep.planning.result import LedgerMark
from lockstep.planning.version import Version
from lockstep.planning.wire import Order, OrderedMigration, RepairOrder
from servers.runner import OWNER, migration, order

WHO = Identity("pod", "job", 1, OWNER)
ONE = migration("1", "CREATE TABLE t (x int)", "DROP TABLE t")


def silent(*_: object, **__: object) -> None:
    """A log that keeps nothing."""


@pytest.fixture
def place() -> Iterator[SqliteStore]:
    with closing(Control(60)) as control:
        raw = sqlite3.connect(":memory:", isolation_level=None)
        made = SqliteStore(open_once("sqlite://", lambda: raw, "main"), control)
        yield made
        made.close()


def entered(place: SqliteStore, wanted: Order) -> tuple[Recorder, LedgerState]:
    ledger = Ledger(place, wanted, Around(place), silent)
    ledger.make()
    claim, state = ledger.enter(WHO, str(uuid.uuid4()))
    assert state.mark is not None
    return Recorder(place, claim, WHO, state.mark), state


def action(made: OrderedMigration, direction: Direction = Direction.UP) -> Action:
    version = None if made.version is None else Version.parse(made.version)
    return Action(Step(direction, Candidate(made.name, version, made.up_checksum)), made)


def record(place: SqliteStore, *actions: Action) -> None:
    recorder, _ = entered(place, order(baseline="0"))
    for each in actions:
        recorder.record([each])


def read(place: SqliteStore, wanted: Order | None = None) -> LedgerState:
    return Ledger(place, wanted or order(baseline="0"), Around(place), silent).read(WHO)


@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize("made", [ONE, migration(None, "x", name="orders-v"), migration("01.0", "y")])
def test_the_chain_is_the_one_that_postgresql_has(made: OrderedMigration, direction: Direction) -> None:
    mark = LedgerMark("uuid", 7, "before")
    entry = entries.next_entry(mark, Claim("line", 3, "holder"), direction, made)
    canonical = None if made.version is None else str(int(float(made.version)))
    # As PostgreSQL's SQL puts it together, see ledger_sql.BROKEN.
    words = ["before", "line", "8", direction.value, canonical or "-", made.name, made.up_checksum]
    words += [made.down_checksum or "-", "3", "holder"]
    digest = hashlib.sha256("\n".join(words).encode()).hexdigest()
    assert (entry.mark, entry.previous, entry.canonical) == (LedgerMark("uuid", 8, digest), "before", canonical)


def chain(*steps: tuple[str, str | None]) -> list[Past]:
    """Rows of a history as they would be written."""
    found: list[Past] = []
    mark = LedgerMark("u", 0, entries.GENESIS)
    for direction, version in steps:
        made = migration(version, "sql", name="orders-x")
        entry = entries.next_entry(mark, Claim("orders", 1, "h"), Direction(direction), made)
        sequence, previous, hashed = entry.mark.sequence, entry.previous, entry.mark.hash
        found.append(
            Past(sequence, direction, entry.canonical, made.name, made.up_checksum, None, 1, "h", previous, hashed)
        )
        mark = entry.mark
    return found


def test_every_change_of_a_history_breaks_its_chain() -> None:
    whole = chain(("up", "1"), ("up", "2"), ("repeat", None), ("down", "2"))
    assert entries.broken_at("orders", whole) is None
    assert entries.broken_at("orders", []) is None
    assert entries.broken_at("billing", whole) == 1
    for name in ("direction", "canonical", "name", "up_checksum", "down_checksum", "holder", "previous", "hash"):
        forged = replace(whole[1], **{name: "forged"})
        assert entries.broken_at("orders", [whole[0], forged, *whole[2:]]) == 2, name
    assert entries.broken_at("orders", [whole[0], replace(whole[1], epoch=9), *whole[2:]]) == 2
    assert entries.broken_at("orders", whole[1:]) == 2
    assert entries.broken_at("orders", [whole[0], *whole[2:]]) == 3
    # What is missing at the end only shows against the status.
    assert entries.broken_at("orders", whole[:-1]) is None


@pytest.mark.parametrize("length", [0, 1, 255, 256, 257, 511, 512, 1023, 1024, 16_383, 16_384, 32_768, 100_000])
def test_a_text_of_any_length_is_kept(length: int) -> None:
    text = Random(length).randbytes(length).hex()[:length]
    body = entries.packed(text)
    assert body is not None
    assert gzip.decompress(body).decode() == entries.unpacked(checksum(text), body) == text


def test_a_text_that_was_changed_is_never_run() -> None:
    body = entries.packed("DROP TABLE t")
    assert body is not None
    assert entries.unpacked(str(ONE.down_checksum), body) == "DROP TABLE t"
    for forged in (entries.packed("DROP TABLE u"), b"", b"no gzip", body[:-4]):
        assert forged is not None
        with pytest.raises(RunError) as caught:
            entries.unpacked(str(ONE.down_checksum), forged)
        assert caught.value.reason is Reason.LEDGER_INVALID


def test_an_older_ledger_is_upgraded_once(place: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    record(place, action(ONE))
    upgrades: Mapping[int, tuple[str, ...]] = {
        2: ("ALTER TABLE @run ADD COLUMN new_word text",),
        3: ("UPDATE @run SET new_word = 'there'",),
    }
    # There is no older version yet: two newer ones are made up.
    monkeypatch.setattr(store, "UPGRADES", upgrades)
    for module in (store, ledgers, tables):
        monkeypatch.setattr(module, "LEDGER_VERSION", 3)
    ledger = Ledger(place, order(), Around(place), silent)
    assert not ledger.is_ready()
    assert ledger.exists()
    ledger.make()
    ledger.make()
    assert ledger.is_ready()
    assert place.ask("SELECT new_word FROM lockstep_run") == [("there",)]
    assert [each.version.text for each in read(place).history.applied] == ["1"]


def test_a_ledger_that_lost_its_identity_is_not_made_anew(place: SqliteStore) -> None:
    record(place, action(ONE))
    place.say("DELETE FROM lockstep_meta")
    with pytest.raises(RunError) as caught:
        Ledger(place, order(baseline="0"), Around(place), silent).make()
    assert caught.value.reason is Reason.LEDGER_INVALID


def test_a_trigger_on_the_ledger_is_refused(place: SqliteStore) -> None:
    record(place, action(ONE))
    place.say("CREATE TRIGGER x AFTER INSERT ON LOCKSTEP_history BEGIN DELETE FROM lockstep_applied; END")
    with pytest.raises(RunError) as caught:
        Ledger(place, order(), Around(place), silent).is_ready()
    assert caught.value.reason is Reason.LEDGER_WRITABLE
    assert "trigger x" in caught.value.message


def test_a_temporary_table_does_not_come_before_the_ledgers(place: SqliteStore) -> None:
    record(place, action(ONE))
    place.say("CREATE TEMP TABLE lockstep_run AS SELECT * FROM main.lockstep_run")
    place.say("CREATE TEMP TABLE lockstep_applied AS SELECT * FROM main.lockstep_applied WHERE false")
    assert len(read(place).history.applied) == 1


def test_acts_of_persons_do_not_begin_a_line(place: SqliteStore) -> None:
    recorder, state = entered(place, order(baseline="0"))
    assert state.history.fresh
    act = OrderedMigration("(TakeOver)", None, "-")
    recorder.record([Action(Step(Direction.REPAIR, Candidate("(TakeOver)", None, "-")), act)])
    assert read(place).history.fresh
    recorder.record([action(ONE)])
    assert not read(place).history.fresh


def test_a_down_of_what_is_not_there_is_no_down(place: SqliteStore) -> None:
    recorder, _ = entered(place, order(baseline="0"))
    with pytest.raises(RunError) as caught:
        recorder.record([action(ONE, Direction.DOWN)])
    assert caught.value.reason is Reason.LEDGER_INVALID
    assert recorder.mark.sequence == 0
    assert place.ask("SELECT count(*) FROM lockstep_history") == [(0,)]


def test_a_corrected_down_of_a_repeatable_is_kept(place: SqliteStore) -> None:
    view = migration(None, "CREATE VIEW v AS SELECT 1", "DROP VIEW w", name="orders-v")
    better = migration(None, "CREATE VIEW v AS SELECT 1", "DROP VIEW v", name="orders-v")
    record(place, action(view, Direction.REPEAT), action(better, Direction.CORRECT))
    (known,) = read(place).history.repeated
    assert (known.up_checksum, known.down_checksum) == (view.up_checksum, better.down_checksum)


def test_the_journal_tells_where_a_migration_stopped(place: SqliteStore) -> None:
    recorder, _ = entered(place, order(baseline="0"))
    journal = recorder.journal

    def half() -> tuple[int, str, str] | None:
        found = read(place).history.partial
        return None if found is None else (found.statement, found.state, found.note)

    with place.transaction():
        journal.start("1", "up", 1, checksum="c", digest="d1", note="what settles it")
    assert half() == (1, "started", "")
    with place.transaction():
        journal.finish("1", "up", 1)
    assert half() == (2, "started", "")
    with place.transaction():
        journal.start("1", "up", 2, checksum="c", digest="d2")
        journal.doubt("1", "up", 2, "the index may be there")
    assert half() == (2, "unknown", "the index may be there")
    assert [(each.statement, each.state) for each in journal.noted("1", "up")] == [(1, "finished"), (2, "unknown")]
    with place.transaction():
        journal.settle("1", applied=False)
    assert half() == (2, "started", "")
    with place.transaction():
        journal.settle("1", applied=True)
    assert half() == (3, "started", "")
    with place.transaction(), pytest.raises(RunError):
        journal.settle("1", applied=True)
    with place.transaction():
        journal.forget("1")
    assert half() is None
    assert rows.step_key("orders-v", None) == "~orders-v"


def test_a_connection_is_never_made_anew() -> None:
    made = []

    def create() -> sqlite3.Connection:
        made.append(sqlite3.connect(":memory:", isolation_level=None))
        return made[-1]

    connection = open_once("sqlite://", create, "main")
    connection.invalidate()
    with pytest.raises(StatementError, match="ConnectionLostError"):
        connection.exec_driver_sql("SELECT 1")
    assert len(made) == 1
    made[0].close()


def test_objects_by_their_names_and_what_they_are(place: SqliteStore) -> None:
    record(place, action(ONE))
    for sql in (
        'CREATE TABLE users (id int PRIMARY KEY, "odd ""name" text UNIQUE)',
        "CREATE INDEX i ON users (id)",
        "CREATE VIEW v AS SELECT 1",
        "CREATE TRIGGER r AFTER INSERT ON users BEGIN SELECT 1; END",
        'CREATE TABLE "a.b" (x int)',
    ):
        place.say(sql)
    found = objects(place)
    assert set(found) == {
        "table main.users",
        "column main.users.id",
        'column main.users."odd ""name"',
        "index main.i of main.users",
        "view main.v",
        "trigger main.users.r",
        'table main."a.b"',
        'column main."a.b".x',
    }
    place.say("ALTER TABLE users ADD COLUMN more int DEFAULT 1")
    changed = objects(place)
    assert changed.keys() - found.keys() == {"column main.users.more"}
    assert {name for name in found if found[name] != changed[name]} == {"table main.users"}


def test_a_virtual_table_of_an_unknown_module_is_no_obstacle(place: SqliteStore) -> None:
    record(place, action(ONE))
    place.say("CREATE VIRTUAL TABLE vectors USING fts5(q)")
    # As an extension's that is not loaded here.
    place.say("PRAGMA writable_schema = ON")
    place.say("UPDATE sqlite_master SET sql = 'CREATE VIRTUAL TABLE vectors USING vec0(q)' WHERE name = 'vectors'")
    place.say("PRAGMA writable_schema = RESET")
    with pytest.raises(DBAPIError, match="no such module"):
        place.ask("SELECT * FROM vectors")
    assert "table main.vectors" in objects(place)
    assert "vectors" in Around(place).others()


def test_another_tools_history_is_named_before_all_else(place: SqliteStore) -> None:
    for name in (*"abcde", "flyway_schema_history"):
        place.say(f"CREATE TABLE {name} (x int)")
    with pytest.raises(RunError, match="flyway_schema_history looks like the history of flyway"):
        Ledger(place, order(ONE), Around(place), silent).make()


def test_a_version_that_is_marked_again_keeps_its_place(place: SqliteStore) -> None:
    two = migration("2", "CREATE TABLE u (x int)")
    record(place, action(ONE), action(two))
    recorder, _ = entered(place, order(baseline="0"))
    recorder.repair(RepairOrder("t", "MarkApplied", "1"), ONE)
    assert [(each.version.text, each.sequence) for each in read(place).history.applied] == [("1", 1), ("2", 2)]


def test_drift_that_changed_meanwhile_is_not_accepted(place: SqliteStore) -> None:
    record(place, action(ONE))
    place.say("UPDATE lockstep_run SET dirty = 0")
    wanted = order(baseline="0")
    look = Catalog(lambda: objects(place), 3, OPTIONS, lambda _: False)

    def watch() -> DriftWatch:
        ledger = Ledger(place, wanted, Around(place), silent)
        return DriftWatch(PortableDriftStore(place, ledger, look), wanted, silent)

    assert not watch().look().drift
    place.say("CREATE TABLE seen (x int)")
    mine = watch()
    assert mine.look().drift.added
    place.say("CREATE TABLE unseen (x int)")
    with pytest.raises(RunError) as caught:
        mine.accept()
    assert caught.value.reason is Reason.REPAIR_REFUSED
    place.say("DROP TABLE unseen")
    mine.accept()
    assert not watch().look().drift


def test_definitions_are_compared_without_their_blanks() -> None:
    assert plain("CREATE TABLE t (\n    x int -- why\n)") != plain("CREATE TABLE t (y int)")
    assert plain("CREATE TABLE t (\n    x int\n)") == plain("CREATE TABLE t ( x int )")
