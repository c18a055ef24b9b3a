"""The state machine of a line: random lives of a set, a ledger and a database, against plain sets of versions.

One byte decides each choice, so hypothesis makes a failing life short. What a plan does is carried out commit by commit
in memory (support/line_model.py); whatever happens in between, these hold:
- a version is never applied twice and none is lost: the ledger is what the database has;
- what is refused has a cause that the model knows, and the other way round;
- a plan that runs to its end reaches its target, and running again does nothing;
- a run that died anywhere and was run again ends as one that did not die;
- downs come in the reverse of the order of application, and the way back never fails by a text that it chose itself.
"""

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from lockstep.api.reasons import Reason
from lockstep.planning.checksum import ABSENT
from lockstep.planning.plan import Candidate, Dependent, Direction, Plan, Refusal, Step
from lockstep.planning.planner import Intent, make_plan
from lockstep.planning.simulation import carry_out
from lockstep.planning.version import BASE, Version
from support.examples import FUZZ, examples
from support.line_model import (
    Choices,
    Database,
    FailedError,
    Ledger,
    candidate,
    commit,
    commits,
    down_of,
    up_of,
    version,
    view,
)

LIVES = 5_000
VERSIONS = ("1", "2", "3", "3.5", "4", "5", "6")
VIEWS = ("a", "b")


@dataclass(frozen=True)
class Built:
    """One run of a view: with what, and which versions were there."""

    text: str
    kind: str
    versions: frozenset[Version]


class Life:
    """One line from its beginning."""

    def __init__(self, data: bytes, seen: Counter[str]) -> None:
        self.choose = Choices(data)
        self.seen = seen
        self.set: dict[str, Candidate] = {}
        self.ledger = Ledger()
        self.database = Database()
        self.dumps: list[tuple[Ledger, Database, dict[str, list[Built]]]] = []
        self.built: dict[str, list[Built]] = {}
        self.texts: dict[Version, str] = {}
        """What was applied as which version, by the model's own account."""
        self.occupied = False
        if self.choose.below(6) == 5:
            # Somebody has been here before: things up to a version, and no ledger.
            self.occupied = True
            for each in VERSIONS[: 1 + self.choose.below(3)]:
                self.database.things.add(version(each).canonical)
        for each in VERSIONS[: self.choose.below(len(VERSIONS))]:
            made = candidate(each)
            self.set[made.name] = made

    def go(self) -> None:
        while not self.choose.over:
            acts = (
                self.run, self.run, self.run, self.add, self.add, self.change_view, self.change_view, self.edit,
                self.prune, self.correct, self.dump, self.restore, self.mark, self.require,
            )  # fmt: skip
            self.choose.one(list(acts))()
            self.check()

    # The set.
    def add(self) -> None:
        """Add a Migration: the next, a late one, or one that was there."""
        name = self.choose.one(list(VERSIONS))
        edition = "" if self.choose.below(4) else "b"
        down = {0: ABSENT, 1: down_of(name, "b")}.get(self.choose.below(8), down_of(name))
        made = candidate(name, edition, down_checksum=down, kind="Data" if self.choose.below(6) == 5 else "Schema")
        self.set[made.name] = made

    def edit(self) -> None:
        """Edit the text of a version, rarely of one that is applied."""
        if versioned := self._versioned():
            each = self.choose.one(versioned)
            if each.version in self.texts and self.choose.below(4):
                return
            self.set[each.name] = replace(each, up_checksum=up_of(str(each.version), self.choose.one(["", "b", "c"])))

    def prune(self) -> None:
        if self.set:
            del self.set[self.choose.one(sorted(self.set))]

    def correct(self) -> None:
        """Correct a way back."""
        if versioned := self._versioned():
            each = self.choose.one(versioned)
            number = str(each.version)
            ways: list[tuple[str, str | None]] = [
                (down_of(number), None), (down_of(number, "c"), None), (ABSENT, None), (ABSENT, "for ever"),
            ]  # fmt: skip
            down, irreversible = self.choose.one(ways)
            self.set[each.name] = replace(each, down_checksum=down, irreversible=irreversible)

    def change_view(self) -> None:
        """Add, change or correct a repeatable Migration."""
        name = self.choose.one(list(VIEWS))
        here = [each.canonical for each in self.ledger.applied]
        mine = [str(each.version) for each in self._versioned()]
        needs = sorted({self.choose.one(here or mine or ["1"]) for _ in range(self.choose.below(3))})
        made = view(
            name,
            *needs,
            edition=self.choose.one(["", "b"]),
            down=self.choose.below(4) != 3,
            kind="Seed" if self.choose.below(8) == 7 else "Schema",
        )
        self.set[name] = made

    def _versioned(self) -> list[Candidate]:
        return [self.set[name] for name in sorted(self.set) if self.set[name].version is not None]

    # The world.
    def dump(self) -> None:
        self.dumps.append((self.ledger.copy(), self.database.copy(), {k: list(v) for k, v in self.built.items()}))

    def restore(self) -> None:
        """Take an older dump, database and ledger; the person has accepted it."""
        if self.dumps:
            ledger, database, built = self.choose.one(self.dumps)
            self.ledger, self.database = ledger.copy(), database.copy()
            self.built = {k: list(v) for k, v in built.items()}
            self.texts = {each.version: each.up_checksum for each in self.ledger.applied.values()}
            self.seen["restored"] += 1

    def mark(self) -> None:
        """A person makes or takes away a thing by hand, and says so."""
        if not self.ledger.entries or not (versioned := self._versioned()):
            return
        each = self.choose.one(versioned)
        assert each.version is not None
        thing = each.version.canonical
        if each.version in self.ledger.applied:
            used = any(thing in needs for _, needs in self.database.views.values())
            if used:
                return
            self.database.things.discard(thing)
            self.ledger.unmark(each)
            del self.texts[each.version]
            self.seen["marked not applied"] += 1
        else:
            self.database.things.add(thing)
            self.ledger.record(Step(Direction.REPAIR, each))
            self.texts[each.version] = each.up_checksum
            self.seen["marked applied"] += 1

    def require(self) -> None:
        """Another line of the database begins or ends to require a version."""
        here = sorted(self.ledger.applied)
        self.ledger.dependents = ()
        if here and self.choose.below(2):
            self.ledger.dependents = (Dependent("billing", "7", self.choose.one(here)),)

    # The run.
    def run(self) -> None:
        """Go to a target, perhaps not to the end, perhaps with a second try."""
        target = self._target()
        baseline = version(self.choose.one(["1", "2", "3"])) if self.occupied and not self.ledger.entries else None
        intent = Intent(
            target,
            allow_out_of_order=self.choose.below(3) != 0,
            rollback="Forbid" if self.choose.below(8) == 7 else "Allow",
            baseline=baseline,
        )
        if baseline is not None:
            self._as_the_baseline_says(baseline)
        result = self.plan(intent)
        causes = self.causes(intent)
        if isinstance(result, Refusal):
            assert result.reason in causes, (result, causes)
            self.seen[result.reason.value] += 1
            return
        assert not causes, (result, causes)
        self.seen[result.direction] += bool(result.steps)
        dies = self.choose.below(3) == 2 and self.choose.below(len(commits(result)) + 1)
        if dies is False:
            self.finish(result, intent)
            return
        self.seen["died"] += 1
        twin = self.twin()
        if not self.take(result, dies):
            return
        if self.choose.below(2):
            # The world goes on meanwhile.
            return
        again = self.plan(intent)
        assert isinstance(again, Plan), again
        ended = self.finish(again, intent)
        assert twin.finish(result, intent) == ended
        assert (twin.database, twin.ledger.applied.keys()) == (self.database, self.ledger.applied.keys()), result

    def _target(self) -> Version | None:
        """Choose where to: mostly to what is there or in the set."""
        known = sorted({*self.texts, *(one.version for one in self._versioned() if one.version is not None)})
        match self.choose.below(8):
            case 0 | 1:
                return None
            case 2:
                return BASE
            case 3:
                return self.choose.one([version(each) for each in VERSIONS])
        return self.choose.one(known) if known else None

    def _as_the_baseline_says(self, baseline: Version) -> None:
        """The database has what the baseline says that it has: that is a person's word, and here it is true."""
        mine = {each.version.canonical for each in self._versioned() if each.version and each.version <= baseline}
        self.database.things = mine | {baseline.canonical}

    def twin(self) -> "Life":
        other = Life(b"", Counter())
        other.set, other.occupied = dict(self.set), self.occupied
        other.ledger, other.database = self.ledger.copy(), self.database.copy()
        other.built, other.texts = {k: list(v) for k, v in self.built.items()}, dict(self.texts)
        return other

    def plan(self, intent: Intent) -> Plan | Refusal:
        history = self.ledger.history(occupied=self.occupied)
        candidates = [self.set[name] for name in sorted(self.set, reverse=True)]
        result = make_plan("orders", history, candidates, intent)
        assert result == make_plan("orders", history, candidates[::-1], intent), "the order of the set counts"
        return result

    def causes(self, intent: Intent) -> set[Reason]:
        """Say why there can be no plan: the model's own view."""
        mine = {each.version: each for each in self._versioned() if each.version is not None}
        texts = dict(self.texts)
        recorded = self.occupied and not self.ledger.entries and intent.baseline is not None
        if recorded and intent.baseline is not None:
            texts = {one: each.up_checksum for one, each in mine.items() if one <= intent.baseline}
            texts.setdefault(intent.baseline, ABSENT)
        top = max(texts, default=BASE)
        target = max([top, *mine]) if intent.target is None else intent.target
        found = {
            Reason.CHECKSUM_MISMATCH
            for one, text in texts.items()
            if one in mine and text not in (ABSENT, mine[one].up_checksum)
        }
        if target != BASE and target not in mine and target not in texts:
            found.add(Reason.TARGET_NOT_FOUND)
        gone = [one for one in texts if one > target]
        if gone and recorded:
            return found | {Reason.ADOPTION_FAILED}
        if gone and intent.rollback == "Forbid":
            found.add(Reason.ROLLBACK_FORBIDDEN)
        if gone and any(each.requires > target for each in self.ledger.dependents):
            found.add(Reason.REQUIRED_BY_OTHERS)
        for one in gone:
            way = mine.get(one) or self.ledger.applied[one]
            if way.irreversible is not None:
                found.add(Reason.IRREVERSIBLE)
            elif way.down_checksum == ABSENT:
                found.add(Reason.DOWN_MISSING)
        left = {one for one in texts if one <= target}
        late = [one for one in mine if one <= target and one not in left and one < max(left, default=BASE)]
        if late and not intent.allow_out_of_order:
            found.add(Reason.OUT_OF_ORDER)
        return found

    def take(self, plan: Plan, count: int | None = None) -> bool:
        """Carry out some commits of a plan; tell whether the database took them all."""
        self.look_at(plan)
        for steps in commits(plan)[:count]:
            before = self.twin()
            try:
                commit(steps, self.ledger, self.database, self.set.values())
            except FailedError:
                self.seen["failed"] += 1
                self.at_fault(steps[0])
                assert (self.ledger, self.database) == (before.ledger, before.database)
                return False
            for step in steps:
                self.account(step)
            self.check()
        return True

    def look_at(self, plan: Plan) -> None:
        """See that what is undone is undone in the reverse of the order of application."""
        downs = [step.candidate.version for step in plan.steps if step.direction is Direction.DOWN]
        numbers = [self.ledger.applied[one].sequence for one in downs if one is not None]
        assert numbers == sorted(numbers, reverse=True)
        for step in plan.steps:
            one = step.candidate
            if step.direction is Direction.DOWN and one.name in self.set and one.version is not None:
                assert one.down_checksum == self.set[one.name].down_checksum, "a correction is not heeded"

    def at_fault(self, step: Step) -> None:
        """Say whose fault a failure is: the set's texts may be wrong, the planner's choice of one may not."""
        one = step.candidate
        if step.direction is Direction.UP:
            raise AssertionError(f"{step.label} runs where it was applied already")
        mine = self.set.get(one.name)
        if step.direction is Direction.REPEAT:
            assert mine is not None, step
            assert mine.up_checksum == one.up_checksum, f"an earlier text was chosen that cannot run: {one}"
        elif one.version is not None:
            # A view without a way back that uses what goes away, or one that came out of the order of its needs.
            thing = one.version.canonical
            users = [name for name, (_, needs) in self.database.views.items() if thing in needs]
            assert users, f"{step.label} fails"
            assert all(self.ledger.repeated[name].down_checksum == ABSENT for name in users), step
        else:
            raise AssertionError(f"{step.label} drops what is not there")

    def account(self, step: Step) -> None:
        """Keep the model's own books."""
        one = step.candidate
        if one.version is None:
            if step.direction is Direction.REPEAT:
                here = frozenset(self.texts)
                self.built.setdefault(one.name, []).append(Built(one.up_checksum, one.kind, here))
        elif step.direction is Direction.DOWN:
            del self.texts[one.version]
        elif step.direction is not Direction.CORRECT:
            self.texts[one.version] = one.up_checksum

    def finish(self, plan: Plan, intent: Intent) -> bool:
        """Carry a plan out to its end, and see that it is one; False: the database refused."""
        before = {one for one in self.texts if one <= plan.end}
        foreseen = carry_out(self.ledger.history(occupied=self.occupied), plan)
        if not self.take(plan):
            return False
        self.seen["ended"] += 1
        mine = {each.version for each in self._versioned() if each.version is not None and each.version <= plan.end}
        recorded = {step.candidate.version for step in plan.steps if step.direction is Direction.BASELINE}
        assert self.ledger.applied.keys() == before | mine | recorded
        assert max(self.ledger.applied, default=BASE) == plan.end
        if intent.target is not None:
            assert plan.end == intent.target
        for name in VIEWS:
            self.look_at_view(name)
        again = self.plan(intent)
        assert isinstance(again, Plan), again
        assert (again.steps, again.corrections) == ((), ()), "running again does something"
        assert (again.start, again.end) == (plan.end, plan.end)
        # What is planned from files alone is what is planned from the ledger.
        candidates = list(self.set.values())
        ways = (None, BASE, min(self.ledger.applied, default=BASE))
        later = replace(intent, target=ways[len(self.ledger.entries) % len(ways)])
        expected = make_plan("orders", self.ledger.history(), candidates, later)
        assert make_plan("orders", foreseen, candidates, later) == expected
        return True

    def look_at_view(self, name: str) -> None:
        """See that a view has the text that belongs to what is there."""
        here = frozenset(self.texts)
        runs = self.built.get(name, [])
        standing = [run for run in runs if run.versions <= here]
        found, mine = self.database.views.get(name), self.set.get(name)
        text = None if found is None else found[0]
        if mine is not None and (not any(run.text == mine.up_checksum for run in runs)):
            raise AssertionError(f"{name} of the set has never run")
        if mine is not None and any(run.text == mine.up_checksum for run in standing):
            assert text == mine.up_checksum
        elif mine is not None and text != mine.up_checksum and standing and standing[-1].kind == "Schema":
            # Its text belongs to versions that are not there.
            assert text == standing[-1].text
            self.seen["restored view"] += 1

    def check(self) -> None:
        """See what is always so."""
        things = {one.canonical for one in self.ledger.applied}
        if self.ledger.entries:
            assert self.database.things == things, "the ledger is not what the database has"
        assert self.ledger.applied.keys() == self.texts.keys()
        for one, each in self.ledger.applied.items():
            assert each.up_checksum == self.texts[one]
        views = {name: each.up_checksum for name, each in self.ledger.repeated.items() if each.up_checksum != ABSENT}
        assert views == {name: text for name, (text, _) in self.database.views.items()}


@pytest.mark.timeout(900 * (FUZZ or 1))  # a minute of one core, which others may want too
def test_any_life_of_a_line() -> None:
    seen: Counter[str] = Counter()

    # One draw for each life.
    @settings(examples(LIVES), suppress_health_check=list(HealthCheck))
    @given(st.binary(min_size=60, max_size=200))
    def life(data: bytes) -> None:
        seen["lives"] += 1
        Life(data, seen).go()

    life()
    print(dict(seen))
    assert seen["lives"] >= LIVES
    # What never happened was not tested.
    for what in (
        "Up", "Down", "died", "failed", "ended", "restored", "restored view", "marked applied", "marked not applied",
        *(reason.value for reason in (
            Reason.CHECKSUM_MISMATCH, Reason.TARGET_NOT_FOUND, Reason.OUT_OF_ORDER, Reason.ROLLBACK_FORBIDDEN,
            Reason.IRREVERSIBLE, Reason.DOWN_MISSING, Reason.REQUIRED_BY_OTHERS, Reason.ADOPTION_FAILED,
        )),
    ):  # fmt: skip
        assert seen[what] > LIVES // 500, (what, seen)
