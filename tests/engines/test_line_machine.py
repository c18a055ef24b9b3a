"""The state machine of a line on a real PostgreSQL: the runner's own code, killed or cut off between two statements.

Each life is one of tests/unit/planning/test_line_machine.py in real SQL. What the history says is replayed on the model
(support/line_model.py), which refuses what a database would refuse; after every run the catalog, the ledger's tables
and the model are the same, the chain of hashes is whole, and nobody holds the lock.
"""

import hashlib
import io
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from lockstep.api.reasons import Reason
from lockstep.engines import load
from lockstep.engines.base import ConnectionLostError, Files, Identity, Target, Task
from lockstep.engines.control import Control
from lockstep.engines.postgresql.channel import Channel
from lockstep.engines.postgresql.messages import Command, Reply, SqlError
from lockstep.planning.checksum import ABSENT, checksum
from lockstep.planning.plan import RECORDED_ONLY, Candidate, Direction, Step
from lockstep.planning.result import LedgerMark, Result
from lockstep.planning.version import BASE, Version
from lockstep.planning.wire import DriftOrder, Mode, Order, OrderedMigration, Policy, RepairOrder
from lockstep.runner import flow
from lockstep.runner.flow import Run
from lockstep.runner.report import Report
from servers.postgres import Database
from servers.process import wait_until
from servers.runner import order
from support.examples import FUZZ, examples
from support.line_model import Choices, Entry, Ledger, candidate, down_of, text_of, up_of, version, view
from support.line_model import Database as Model

LIVES = 200
VERSIONS = ("1", "2", "3", "4", "5")
HELD = (
    "SELECT count(*) FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database "
    "WHERE l.locktype = 'advisory' AND d.datname = %s"
)


class DiedError(BaseException):
    """The runner's process is gone; not an Exception, so that nothing of it lives on."""


class Fault:
    """Strikes once, between two statements of a run: the process dies, or the connection is cut."""

    def __init__(self) -> None:
        self._run = Channel.run
        self._left: int | None = None
        self._cut = False
        self.struck = False
        self._dead = False

    def arm(self, after: int, *, cut: bool) -> None:
        """Strike after so many statements."""
        self._left, self._cut, self.struck, self._dead = after, cut, False, False

    def disarm(self) -> None:
        """Strike no more."""
        self._left, self._dead = None, False

    def run(self, channel: Channel, commands: Sequence[Command], **more: Any) -> list[Reply]:
        """Stand before Channel.run."""
        if self._dead:
            raise DiedError
        if self._left is None:
            return self._run(channel, commands, **more)
        # This one strikes between two statements; tests/engines/kills does where one is sent ahead.
        more.pop("ahead", None)
        if self._left > len(commands):
            self._left -= len(commands)
            return self._run(channel, commands, **more)
        done = commands[: self._left]
        self._left, self.struck = None, True
        if done:
            try:
                # What the batch would have done up to here; a synchronisation point commits nothing in a transaction.
                self._run(channel, done, **more)
            except SqlError:
                if not self._cut:
                    self._dead = True
                    raise DiedError from None
                raise
        channel.close()
        if self._cut:
            raise ConnectionLostError
        self._dead = True
        raise DiedError


Connection = psycopg.Connection[tuple[object, ...]]
EMPTY_PUBLIC = (
    "DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION pg_database_owner; "
    "GRANT USAGE ON SCHEMA public TO PUBLIC"
)
EMPTY = f"DROP SCHEMA IF EXISTS lockstep CASCADE; {EMPTY_PUBLIC}"


@dataclass(frozen=True)
class Dump:
    """What a backup holds."""

    ledger: Ledger
    model: Model
    rows: dict[str, bytes]
    """The ledger's tables; none where there was no ledger."""


class Known(Struct, frozen=True):
    """What the status knows."""

    mark: LedgerMark | None = None
    version: str | None = None
    settled: frozenset[tuple[str, str, str]] = frozenset()
    """Name, up and down of what it says is applied: their texts are not sent again."""


def sql_of(words: str) -> str:
    """Return the SQL of a text of the model."""
    verb, name, *rest = words.split()
    key = name.replace(".", "_")
    match verb:
        case "create":
            return f"-- {words}\nCREATE TABLE t{key}_a (id int);\nCREATE TABLE t{key}_b (id int);\n"
        case "drop":
            return f"-- {words}\nDROP TABLE t{key}_b;\nDROP TABLE t{key}_a;\n"
        case "unview":
            return f"-- {words}\nDROP VIEW {name};\n"
    needs = [each for each in rest[1].split(",") if each and not each.startswith("#")]
    tables = ", ".join(f"t{each.replace('.', '_')}_a" for each in needs)
    select = f"SELECT 1 AS x FROM {tables}" if needs else "SELECT 1 AS x"
    return f"CREATE OR REPLACE VIEW {name} AS {select};\nCOMMENT ON VIEW {name} IS '{words}';\n"


class Life:
    """One line in one database from its beginning."""

    def __init__(self, data: bytes, database: Database, admin: Connection, fault: Fault, seen: Counter[str]) -> None:
        self.choose = Choices(data)
        self.database, self.admin, self.fault, self.seen = database, admin, fault, seen
        self.set: dict[str, Candidate] = {}
        self.ledger, self.model = Ledger(), Model()
        self.words: dict[str, str] = {ABSENT: ABSENT}
        self.known = Known()
        self.dump: Dump | None = None
        self.tokens = 0
        # A new database for each life would take longer than the life.
        admin.execute(EMPTY)
        self.occupied = self.choose.below(6) == 5
        late = self.choose.below(6)
        for number, each in enumerate(VERSIONS[: 1 + self.choose.below(4)]):
            if number != late:
                self.put(candidate(each))
        if self.occupied:
            self.by_hand("create 1")

    def go(self) -> None:
        acts = (
            self.run, self.run, self.run, self.run, self.add, self.change_view, self.change_view, self.edit, self.prune,
            self.correct, self.keep, self.restore, self.restore, self.mark, self.forget,
        )  # fmt: skip
        while not self.choose.over:
            self.choose.one(list(acts))()
        self.run()
        self.compare_histories()

    # The set.
    def put(self, made: Candidate) -> None:
        self.set[made.name] = made

    def versioned(self) -> list[Candidate]:
        return [self.set[name] for name in sorted(self.set) if self.set[name].version is not None]

    def add(self) -> None:
        name = self.choose.one(list(VERSIONS))
        self.put(candidate(name, kind="Data" if self.choose.below(6) == 5 else "Schema"))

    def edit(self) -> None:
        if versioned := self.versioned():
            each = self.choose.one(versioned)
            if each.version not in self.ledger.applied or self.choose.below(6) == 5:
                self.put(replace(each, up_checksum=up_of(str(each.version), self.choose.one(["", "b"]))))

    def prune(self) -> None:
        if self.set:
            del self.set[self.choose.one(sorted(self.set))]

    def correct(self) -> None:
        if versioned := self.versioned():
            each = self.choose.one(versioned)
            self.put(replace(each, down_checksum=self.choose.one([ABSENT, down_of(str(each.version), "c")])))

    def change_view(self) -> None:
        here = [each.canonical for each in self.ledger.applied] or ["1"]
        needs = sorted({self.choose.one(here) for _ in range(self.choose.below(3))})
        name = self.choose.one(["va", "vb"])
        self.put(view(name, *needs, edition=self.choose.one(["", "b"]), down=self.choose.below(5) != 4))

    def migrations(self) -> tuple[OrderedMigration, ...]:
        made = []
        for name in sorted(self.set, reverse=True):
            one = self.set[name]
            up, down = sql_of(one.up_checksum), None if one.down_checksum == ABSENT else sql_of(one.down_checksum)
            self.words[checksum(up)] = one.up_checksum
            if down is not None:
                self.words[checksum(down)] = one.down_checksum
            settled = (name, one.up_checksum, one.down_checksum) in self.known.settled
            made.append(
                OrderedMigration(
                    name,
                    None if one.version is None else one.version.text,
                    checksum(up),
                    None if down is None else checksum(down),
                    kind=one.kind,
                    up=None if settled else up,
                    down=None if settled else down,
                )
            )
        return tuple(made)

    # The world.
    def by_hand(self, words: str) -> None:
        self.as_the_role(words)
        self.model.execute(words)

    def as_the_role(self, words: str) -> None:
        self.admin.execute(f"SET ROLE app; {sql_of(words)}; RESET ROLE".encode())

    def has_ledger(self) -> bool:
        return self.rows("SELECT to_regclass('lockstep.meta') IS NOT NULL") == [(True,)]

    def keep(self) -> None:
        """Keep a dump: the ledger's rows as they are, and what there is in the database."""
        rows: dict[str, bytes] = {}
        if self.has_ledger():
            for (name,) in self.rows("SELECT relname FROM pg_class WHERE relnamespace = 'lockstep'::regnamespace "
                                     "AND relkind = 'r'"):  # fmt: skip
                with self.admin.cursor() as cursor, cursor.copy(f"COPY lockstep.{name} TO STDOUT".encode()) as copy:
                    rows[name] = b"".join(bytes(part) for part in copy)
        self.dump = Dump(self.ledger.copy(), self.model.copy(), rows)

    def restore(self) -> None:
        """Restore it; the status knows nothing of that."""
        if self.dump is None:
            return
        self.admin.execute(EMPTY_PUBLIC)
        self.ledger, self.model = self.dump.ledger.copy(), Model()
        for thing in sorted(self.dump.model.things):
            self.by_hand(f"create {thing}")
        for text, _ in self.dump.model.views.values():
            self.by_hand(text)
        if not self.dump.rows:
            self.admin.execute("DROP SCHEMA IF EXISTS lockstep CASCADE")
        for name, rows in self.dump.rows.items():
            self.admin.execute(f"TRUNCATE lockstep.{name}".encode())
            with self.admin.cursor() as cursor, cursor.copy(f"COPY lockstep.{name} FROM STDIN".encode()) as copy:
                copy.write(rows)
        self.seen["restored"] += 1

    def forget(self) -> None:
        """Lose the status."""
        self.known = Known()

    def mark(self) -> None:
        """A person changes the database by hand and says so."""
        if not self.ledger.begun or not (versioned := self.versioned()):
            return
        each = self.choose.one(versioned)
        assert each.version is not None
        if each.version in self.ledger.applied:
            if any(each.version.canonical in needs for _, needs in self.model.views.values()):
                return
            action, words = "MarkNotApplied", down_of(each.version.text)
        else:
            action, words = "MarkApplied", up_of(each.version.text)
        mark = self.known.mark
        if mark is not None and self.is_behind(mark):
            return
        self.by_hand(words)
        self.tokens += 1
        repair = RepairOrder(f"token-{self.tokens}", action, each.version.text, note="by hand")
        # Where nothing else is to do.
        self.attempt(repair=repair, target=str(max(self.ledger.applied, default=BASE)))
        if not self.seen_token(repair.token):
            # It died before: the person's word still stands.
            self.known = Known()
            self.attempt(repair=repair, target=str(max(self.ledger.applied, default=BASE)), safe=True)
        assert self.seen_token(repair.token)
        self.seen[action] += 1

    def seen_token(self, token: str) -> bool:
        return self.rows("SELECT 1 FROM lockstep.history WHERE repair = %s", token) == [(1,)]

    # The run.
    def run(self) -> None:
        """Go somewhere."""
        known = sorted({*self.ledger.applied, *(one.version for one in self.versioned() if one.version is not None)})
        targets = ["latest", "base", *map(str, known), *map(str, known), *map(str, known)]
        target = self.choose.one(targets)
        policy = Policy(
            out_of_order="Reject" if self.choose.below(3) == 2 else "Allow",
            rollback=self.choose.one(["Allow", "Allow", "Approve", "Forbid"]),
        )
        result = self.attempt(target=target, policy=policy)
        if result is not None and result.reason is Reason.LEDGER_BEHIND:
            result = self.accept(target, policy)
        if result is not None and result.reason is Reason.APPROVAL_REQUIRED:
            assert result.plan is not None
            assert result.plan.direction == "Down"
            result = self.attempt(target=target, policy=replace(policy, approved_plans=(result.plan.hash,)), safe=True)
            assert result is not None
            assert result.reason is not Reason.APPROVAL_REQUIRED

    def accept(self, target: str, policy: Policy) -> Result | None:
        """A person accepts a ledger that is behind what the status has seen."""
        if not self.has_ledger():
            # There is none: the SchemaVersion is made anew.
            self.known = Known()
            return self.attempt(target=target, policy=policy)
        self.tokens += 1
        rows = self.rows(
            "SELECT (SELECT ledger::text FROM lockstep.meta), coalesce(max(sequence), 0) FROM lockstep.history"
        )
        confirm = f"{rows[0][0]}/{rows[0][1]}"
        # The texts that the status took for applied are sent again from now on.
        self.known = replace(self.known, settled=frozenset(), version=None)
        repair = RepairOrder(f"token-{self.tokens}", "AcceptLedger", confirm=confirm)
        self.seen["accepted"] += 1
        result = self.attempt(target=target, policy=policy, repair=repair)
        assert result is None or result.reason is not Reason.LEDGER_BEHIND, result
        return result

    def attempt(
        self, *, target: str, policy: Policy | None = None, repair: RepairOrder | None = None, safe: bool = False
    ) -> Result | None:
        """Run once, perhaps into a fault; None: the process died."""
        mark = self.known.mark
        asked = order(
            *self.migrations(),
            target=target,
            policy=policy or Policy(rollback="Allow", out_of_order="Allow"),
            repair=repair,
            known_ledger=mark.uuid if mark else None,
            known_sequence=mark.sequence if mark else 0,
            known_hash=mark.hash if mark else None,
            known_version=self.known.version,
            baseline="1" if self.occupied else None,
            drift=DriftOrder("Ignore"),
        )
        if not safe and self.choose.below(3) == 2:
            self.fault.arm(1 + self.choose.below(90), cut=bool(self.choose.below(2)))
        behind = mark is not None and self.is_behind(mark)
        before = len(self.ledger.entries)
        result = self.do(asked)
        self.fault.disarm()
        wait_until(lambda: self.rows(HELD, self.database.name) == [(0,)], what="a free lock")
        self.replay()
        self.check()
        if self.fault.struck:
            self.seen["cut" if result is not None else "died"] += 1
            self.fault.struck = False
        if result is None:
            return None
        self.seen[result.reason.value] += 1
        if behind and repair is None:
            # Unless the fault came first.
            assert result.reason in {Reason.LEDGER_BEHIND, Reason.CONNECTION_LOST, Reason.UNREACHABLE}, result
        if result.reason in PLANNERS or result.reason is Reason.LEDGER_BEHIND:
            grown = len(self.ledger.entries) - before
            assert grown <= (repair is not None), f"{result.reason} and {grown} entries"
        if result.reason is Reason.STATEMENT_FAILED:
            self.seen["view's fault"] += 1
            assert result.error is not None
            assert "va" in result.message or "vb" in result.message or "depend" in result.message, result
        elif result.reason not in EXPECTED:
            raise AssertionError(result)
        if result.reason is Reason.UP_TO_DATE:
            self.arrived(asked, result)
        self.absorb(result)
        return result

    def arrived(self, asked: Order, result: Result) -> None:
        """See that a run that says so has reached its target, and that the next one has nothing to do."""
        end = max(self.ledger.applied, default=BASE)
        if asked.target != "latest":
            assert end == (BASE if asked.target == "base" else Version.parse(asked.target)), result
        mine = {one.version for one in self.versioned() if one.version is not None and one.version <= end}
        assert mine <= self.ledger.applied.keys(), result
        assert Version.parse(result.version or "") == end if result.version != "base" else end == BASE
        if self.choose.below(4) == 3:
            again = self.do(replace(asked, repair=None, known_ledger=None, known_sequence=0, known_hash=None))
            assert again is not None
            assert (again.reason, again.applied) == (Reason.UP_TO_DATE, 0), again
            self.replay()

    def absorb(self, result: Result) -> None:
        """Take a result into the status, as the operator does."""
        if result.ledger is None or result.reason is Reason.LEDGER_BEHIND:
            return
        there = {(each.version, each.up_checksum, each.down_checksum) for each in self.ledger.applied.values()}
        settled = frozenset(
            (one.name, one.up_checksum, one.down_checksum)
            for one in self.set.values()
            if (one.version, one.up_checksum, one.down_checksum) in there
        )
        self.known = Known(result.ledger, result.version, settled)

    def is_behind(self, mark: LedgerMark) -> bool:
        if not self.has_ledger():
            return True
        there = self.rows("SELECT hash FROM lockstep.history WHERE sequence = %s", mark.sequence)
        uuid = self.rows("SELECT ledger::text FROM lockstep.meta")
        return uuid != [(mark.uuid,)] or (mark.sequence > 0 and there != [(mark.hash,)])

    def do(self, asked: Order) -> Result | None:
        task = Task(asked, Target("postgresql", self.database.params), Files(), Identity("pod", "job", 1, asked.owner))
        with closing(Control(60)) as control:
            try:
                return Run(task, load("postgresql"), control, Report(os.devnull, io.StringIO())).run()
            except DiedError:
                return None

    # What must be so.
    def rows(self, sql: str, *params: object) -> list[tuple[Any, ...]]:
        return self.admin.execute(sql.encode(), params).fetchall()

    def replay(self) -> None:
        """Take what is new in the history into the model, which refuses what cannot be."""
        if not self.has_ledger():
            return
        rows = self.rows(
            "SELECT direction, version, name, up_checksum, coalesce(down_checksum, '-'), kind, description "
            "FROM lockstep.history WHERE sequence > %s ORDER BY sequence",
            len(self.ledger.entries),
        )
        for direction, number, name, up, down, kind, description in rows:
            one = Candidate(
                name, None if number is None else version(number), self.words[up], self.words[down], kind=kind
            )
            step = Step(Direction(direction), one)
            if step.direction is Direction.REPAIR:
                if description.startswith("MarkNotApplied"):
                    self.ledger.unmark(one)
                elif description.startswith("MarkApplied"):
                    self.ledger.record(step)
                else:
                    self.ledger.entries.append(Entry(step.direction, one))
                continue
            if step.direction not in RECORDED_ONLY:
                self.model.execute(text_of(step))
            self.ledger.record(step)

    def check(self) -> None:
        """See that the catalog, the ledger's tables and the model are the same."""
        tables = self.rows(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1"
        )
        assert [name for (name,) in tables] == sorted(
            f"t{thing.replace('.', '_')}_{half}" for thing in self.model.things for half in "ab"
        )
        views = self.rows(
            "SELECT relname, obj_description(oid, 'pg_class') FROM pg_class "
            "WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace"
        )
        assert dict(views) == {name: text for name, (text, _) in self.model.views.items()}
        if not self.ledger.entries:
            return
        applied = self.rows(
            "SELECT canonical, up_checksum, coalesce(down_checksum, '-'), sequence FROM lockstep.applied"
        )
        assert sorted((key, self.words[up], self.words[down], number) for key, up, down, number in applied) == sorted(
            (each.version.canonical, each.up_checksum, each.down_checksum, each.sequence)
            for each in self.ledger.applied.values()
        )
        repeated = self.rows(
            "SELECT name, up_checksum, coalesce(down_checksum, '-'), sequence FROM lockstep.repeatable"
        )
        assert sorted(
            (name, self.words[up], self.words[down], number) for name, up, down, number in repeated
        ) == sorted(
            (each.name, each.up_checksum, each.down_checksum, each.sequence) for each in self.ledger.repeated.values()
        )
        self.check_chain()

    def check_chain(self) -> None:
        """See that numbers and hashes go on without a gap."""
        before = ""
        rows = self.rows(
            "SELECT sequence, line, direction, canonical, name, up_checksum, down_checksum, epoch, holder::text, "
            "previous, hash FROM lockstep.history ORDER BY sequence"
        )
        assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
        for sequence, line, *fields, previous, digest in rows:
            words = [before, line, sequence, *fields]
            assert previous == before
            text = "\n".join("-" if word is None else str(word) for word in words)
            assert digest == hashlib.sha256(text.encode()).hexdigest()
            before = digest

    def compare_histories(self) -> None:
        """See that what the planner is told is what the model would tell it."""
        if not self.ledger.entries:
            return
        asked = order(mode=Mode.PLAN, known_sequence=0)
        task = Task(asked, Target("postgresql", self.database.params), Files(), Identity("pod", "job", 1, asked.owner))
        with closing(Control(60)) as control:
            session = load("postgresql").connect(task, control, lambda *_, **__: None)
            try:
                found = session.read().history
            finally:
                session.close()

        def plain(word: str) -> str:
            return self.words[word]

        expected = self.ledger.history()
        assert found.undone == expected.undone
        assert [(r.name, r.sequence, plain(r.up_checksum), plain(r.down_checksum), r.kind) for r in found.ran] == [
            (r.name, r.sequence, r.up_checksum, r.down_checksum, r.kind) for r in expected.ran
        ]
        assert sorted((a.version, a.sequence, a.kind, a.name) for a in found.applied) == sorted(
            (a.version, a.sequence, a.kind, a.name) for a in expected.applied
        )
        assert found.fresh == expected.fresh


PLANNERS = {
    Reason.CHECKSUM_MISMATCH, Reason.TARGET_NOT_FOUND, Reason.OUT_OF_ORDER, Reason.ROLLBACK_FORBIDDEN,
    Reason.IRREVERSIBLE, Reason.DOWN_MISSING, Reason.ADOPTION_FAILED, Reason.APPROVAL_REQUIRED,
}  # fmt: skip
EXPECTED = PLANNERS | {Reason.UP_TO_DATE, Reason.LEDGER_BEHIND}


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fault]:
    made = Fault()

    def run(channel: Channel, commands: Sequence[Command], **more: Any) -> list[Reply]:
        return made.run(channel, commands, **more)

    monkeypatch.setattr(Channel, "run", run)
    # What is waited for is the server's notice of a cut connection: on this machine no time at all.
    monkeypatch.setattr(flow, "RECONNECT_SECONDS", 0.02)
    yield made
    made.disarm()


@pytest.mark.timeout(1800 * (FUZZ or 1))  # two or three minutes of one core, which others may want too
def test_any_life_of_a_line(database: Database, fault: Fault) -> None:
    seen: Counter[str] = Counter()

    @settings(
        examples(LIVES),
        suppress_health_check=list(HealthCheck),
        # To make a failing life shorter takes long here; its bytes are printed as they are.
        phases=[Phase.generate],
    )
    @given(st.binary(min_size=16, max_size=40))
    def life(data: bytes) -> None:
        seen["lives"] += 1
        try:
            Life(data, database, admin, fault, seen).go()
        finally:
            fault.disarm()

    with database.connect(admin=True) as admin:
        admin.execute("SET client_min_messages = warning")
        life()
    print(dict(seen))
    assert seen["lives"] >= LIVES
    for what in (
        "died", "cut", "restored", "accepted", "MarkApplied", "MarkNotApplied", "UpToDate", "LedgerBehind",
        "ChecksumMismatch", "OutOfOrder", "RollbackForbidden", "DownMissing", "ApprovalRequired", "view's fault",
    ):  # fmt: skip
        assert seen[what], (what, seen)
