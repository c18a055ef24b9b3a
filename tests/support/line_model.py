"""A line as the planner's tests see it: a ledger and a database in memory, and what carries a plan out on them.

The ledger stands in for the real one, whose SQL tests/engines/test_line_machine.py holds against the same rules. Texts
are words that say what they do, and are their own checksums: an up makes one thing that must not be there, a down takes
away one that must be there and that no view uses, a repeatable migration is a view that needs some versions' things.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypedDict, TypeVar, Unpack

from msgspec.structs import replace

from lockstep.planning.checksum import ABSENT
from lockstep.planning.plan import (
    RECORDED_ONLY,
    Applied,
    Candidate,
    Dependent,
    Direction,
    History,
    Plan,
    Ran,
    Repeated,
    Step,
    Undone,
)
from lockstep.planning.version import Version

T = TypeVar("T")


class Choices:
    """Bytes as decisions; when there are none left, the first of everything."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def over(self) -> bool:
        return self._at >= len(self._data)

    def below(self, limit: int) -> int:
        if self.over:
            return 0
        self._at += 1
        return self._data[self._at - 1] % limit

    def one(self, among: list[T]) -> T:
        return among[self.below(len(among))]


class FailedError(Exception):
    """The database refuses a statement."""


def version(text: str) -> Version:
    """Read a version."""
    return Version.parse(text)


def up_of(name: str, edition: str = "") -> str:
    """Return the text of an up."""
    return f"create {Version.parse(name).canonical}{edition and f' #{edition}'}"


def down_of(name: str, edition: str = "") -> str:
    """Return the text of a down."""
    return f"drop {Version.parse(name).canonical}{edition and f' #{edition}'}"


class CandidateWords(TypedDict, total=False):
    """What else a Migration may say."""

    down_checksum: str
    irreversible: str | None
    kind: str


def candidate(name: str, edition: str = "", **more: Unpack[CandidateWords]) -> Candidate:
    """Return a Migration that makes the thing of its version, and takes it away again."""
    made = Candidate(f"m-{name}", Version.parse(name), up_of(name, edition), down_of(name))
    return replace(made, **more)


def view(name: str, *needs: str, edition: str = "", down: bool = True, kind: str = "Schema") -> Candidate:
    """Return a repeatable Migration: a view that needs the things of some versions."""
    on = ",".join(Version.parse(each).canonical for each in needs)
    return Candidate(name, None, f"view {name} on {on} #{edition}", f"unview {name}" if down else ABSENT, kind=kind)


@dataclass(frozen=True)
class Entry:
    """One row of the history."""

    direction: Direction
    candidate: Candidate


@dataclass
class Database:
    """What is there: things by their version, views with what they need."""

    things: set[str] = field(default_factory=set)
    views: dict[str, tuple[str, frozenset[str]]] = field(default_factory=dict)

    def execute(self, text: str) -> None:
        """Run one text.

        Raises:
            FailedError: if it cannot be; nothing is changed then.
        """
        verb, name, *rest = text.split()
        if verb == "create":
            if name in self.things:
                raise FailedError(f"{name} is there already")
            self.things.add(name)
        elif verb == "drop":
            users = [each for each, (_, needs) in self.views.items() if name in needs]
            if name not in self.things or users:
                raise FailedError(f"{name} is not there, or {users} use it")
            self.things.discard(name)
        elif verb == "view":
            needs = frozenset(each for each in rest[1].split(",") if each != "" and not each.startswith("#"))
            if not needs <= self.things:
                raise FailedError(f"view {name} needs {sorted(needs - self.things)}")
            self.views[name] = (text, needs)
        else:
            assert verb == "unview", text
            if name not in self.views:
                raise FailedError(f"view {name} is not there")
            del self.views[name]

    def copy(self) -> "Database":
        """Return a dump."""
        return Database(set(self.things), dict(self.views))


@dataclass
class Ledger:
    """What the real one's tables hold of one line, with the same words."""

    entries: list[Entry] = field(default_factory=list)
    applied: dict[Version, Applied] = field(default_factory=dict)
    repeated: dict[str, Repeated] = field(default_factory=dict)
    dependents: tuple[Dependent, ...] = ()
    texts: set[str] = field(default_factory=set)

    def copy(self) -> "Ledger":
        """Return a dump."""
        return Ledger(list(self.entries), dict(self.applied), dict(self.repeated), self.dependents, set(self.texts))

    @property
    def begun(self) -> bool:
        """Whether there is a step, beside what persons did to the line as a whole."""
        return any(entry.direction is not Direction.REPAIR or entry.candidate.version for entry in self.entries)

    def history(self, *, occupied: bool = False) -> History:
        """Return what the planner is told."""
        ran, undone, since = [], [], dict[Version, int]()
        for number, entry in enumerate(self.entries, start=1):
            one = entry.candidate
            if one.version is None:
                if entry.direction is Direction.REPEAT:
                    ran.append(Ran(one.name, number, one.up_checksum, one.down_checksum, one.kind))
            elif entry.direction is not Direction.CORRECT:
                # What is there comes back by nothing: a second entry takes it away, a down or a person's word.
                if one.version in since:
                    undone.append(Undone(one.version, since.pop(one.version), number))
                else:
                    since[one.version] = number
        return History(
            applied=tuple(self.applied.values()),
            repeated=tuple(self.repeated.values()),
            ran=tuple(ran),
            undone=tuple(undone),
            dependents=self.dependents,
            fresh=not self.begun,
            occupied=occupied and not self.begun,
        )

    def record(self, step: Step) -> None:
        """Write down one step."""
        one = step.candidate
        self.entries.append(Entry(step.direction, one))
        number = len(self.entries)
        kept = {one.down_checksum} | ({one.up_checksum} if one.kind == "Schema" else set())
        self.texts |= kept - {ABSENT}
        if one.version is None:
            self._repeat(step, number)
        elif step.direction is Direction.DOWN:
            del self.applied[one.version]
        elif step.direction is Direction.CORRECT:
            before = self.applied[one.version]
            self.applied[one.version] = replace(before, down_checksum=one.down_checksum, irreversible=one.irreversible)
        else:
            assert one.version not in self.applied, f"{one.version} is applied twice"
            self.applied[one.version] = Applied(
                one.version, one.name, one.up_checksum, one.down_checksum, one.irreversible, one.kind, number
            )

    def unmark(self, one: Candidate) -> None:
        """Write down that a person says that a version is not there."""
        assert one.version is not None
        self.entries.append(Entry(Direction.REPAIR, one))
        del self.applied[one.version]

    def _repeat(self, step: Step, number: int) -> None:
        one = step.candidate
        if step.direction is Direction.CORRECT:
            self.repeated[one.name] = replace(self.repeated[one.name], down_checksum=one.down_checksum)
            return
        now = ABSENT if step.direction is Direction.DOWN else one.up_checksum
        self.repeated[one.name] = Repeated(one.name, now, one.down_checksum, one.kind, step.undone, number)


def text_of(step: Step) -> str:
    """Return what a step runs."""
    return step.candidate.down_checksum if step.direction is Direction.DOWN else step.candidate.up_checksum


def commits(plan: Plan) -> list[tuple[Step, ...]]:
    """Return the steps as they are committed: what is only recorded goes first and together."""
    only = (*plan.corrections, *(step for step in plan.steps if step.direction in RECORDED_ONLY))
    rest = [(step,) for step in plan.steps if step.direction not in RECORDED_ONLY]
    return [only, *rest] if only else list(rest)


def carry_out(plan: Plan, ledger: Ledger, database: Database, set_: Iterable[Candidate] = ()) -> None:
    """Carry a whole plan out.

    Raises:
        FailedError: where the database refuses; what came before is done and recorded.
    """
    for steps in commits(plan):
        commit(steps, ledger, database, set_)


def commit(steps: tuple[Step, ...], ledger: Ledger, database: Database, set_: Iterable[Candidate] = ()) -> None:
    """Carry out what is committed together: all of it or nothing."""
    texts = {text for one in set_ for text in (one.up_checksum, one.down_checksum)}
    for step in steps:
        if step.direction not in RECORDED_ONLY:
            text = text_of(step)
            assert text in texts | ledger.texts, f"nobody has the text {text!r} of {step.label}"
            database.execute(text)
        ledger.record(step)
