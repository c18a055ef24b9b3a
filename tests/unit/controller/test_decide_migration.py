"""Every state of a Migration: its reason, and what kstatus makes of it."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from msgspec.structs import replace

from lockstep.api.reasons import Reason
from lockstep.controller.decide.migration import decide
from lockstep.controller.facts import SchemaVersionFact, Source, migration_fact
from lockstep.controller.inputs import pack_tags, tag
from lockstep.controller.snapshot import Member, MigrationSnapshot, SourceState, member_of
from support.controller import NOW, a_member, a_migration, a_schema_version, as_status, kstatus, migration

FROM = {"configMapKeyRef": {"name": "texts", "key": "1.sql"}}
SOURCE = Source("texts", "1.sql")


def snapshot(
    member: Member,
    *,
    twins: tuple[str, ...] = (),
    cycle: tuple[str, ...] = (),
    consumers: tuple[SchemaVersionFact, ...] = (),
    waited: float = 0.0,
) -> MigrationSnapshot:
    return MigrationSnapshot(member, NOW, twins, cycle, consumers, waited)


def applied_by(*members: Member) -> SchemaVersionFact:
    settled = pack_tags([tag(each.as_set_member()) for each in members])
    return a_schema_version(status={"observedGeneration": 1, "version": "1", "settled": settled})


def from_config_map(state: SourceState | None = None) -> Member:
    fact = a_migration("m", "1", up=None, upFrom=FROM)
    return member_of(fact, {} if state is None else {SOURCE: state})


TOO_LARGE = SourceState(None, Reason.SOURCE_TOO_LARGE, "too large: split it")
MISSING = SourceState(None, Reason.SOURCE_NOT_FOUND, "ConfigMap 'texts' does not exist")
M = a_member("m")


@dataclass(frozen=True)
class Case:
    name: str
    make: Callable[[], MigrationSnapshot]
    reason: Reason
    status: str
    says: str = ""
    applied: bool = False
    again: bool = False


CASES = [
    Case("valid", lambda: snapshot(M), Reason.VALID, "Current"),
    Case("valid, from a ConfigMap", lambda: snapshot(from_config_map(SourceState("0" * 64))), Reason.VALID, "Current"),
    Case("applied", lambda: snapshot(M, consumers=(applied_by(M),)), Reason.VALID, "Current", applied=True),
    Case("of a line whose database lacks it", lambda: snapshot(M, consumers=(applied_by(),)), Reason.VALID, "Current"),
    Case(
        "another text than the applied one",
        lambda: snapshot(a_member("m", up="SELECT 2"), consumers=(applied_by(M),)),
        Reason.VALID,
        "Current",
    ),
    Case("repeatable", lambda: snapshot(a_member("r", None, repeatable=True)), Reason.VALID, "Current"),
    Case("invalid", lambda: snapshot(a_member("m", lockTimeout="soon")), Reason.INVALID_SPEC, "Failed", "lockTimeout"),
    Case("no version", lambda: snapshot(a_member("m", None)), Reason.INVALID_SPEC, "Failed", "version is missing"),
    Case("Never", lambda: snapshot(a_member("m", transaction="Never")), Reason.VALID, "Current"),
    Case(
        "framework",
        lambda: snapshot(a_member("m", up=None, framework={"name": "rails", "image": "i"})),
        Reason.NOT_SUPPORTED_YET,
        "Failed",
        "framework",
    ),
    Case("twins", lambda: snapshot(M, twins=("n",)), Reason.DUPLICATE_VERSION, "Failed", "also in n"),
    Case(
        "circle", lambda: snapshot(M, cycle=("a 1", "b 1", "a 1")), Reason.CIRCULAR_REQUIREMENT, "Failed", "a 1 -> b 1"
    ),
    Case("unread source", lambda: snapshot(from_config_map()), Reason.SOURCE_NOT_FOUND, "InProgress", again=True),
    Case(
        "missing source",
        lambda: snapshot(from_config_map(MISSING)),
        Reason.SOURCE_NOT_FOUND,
        "InProgress",
        "texts",
        again=True,
    ),
    Case(
        "missing for long",
        lambda: snapshot(from_config_map(MISSING), waited=121.0),
        Reason.SOURCE_NOT_FOUND,
        "Failed",
        again=True,
    ),
    Case("too large", lambda: snapshot(from_config_map(TOO_LARGE)), Reason.SOURCE_TOO_LARGE, "Failed", "split"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_state(case: Case) -> None:
    s = case.make()
    decision = decide(s)
    assert decision.reason is case.reason
    assert case.says in decision.message
    assert (decision.again is not None) is case.again
    assert decision.status is not None
    status = as_status(decision.status)
    assert status["applied"] is case.applied
    assert kstatus(1, status) == case.status
    conditions = {each["type"]: each for each in status["conditions"]}
    assert conditions["Applied"]["status"] == ("True" if case.applied else "False")
    assert not {"Reconciling", "Stalled"} <= conditions.keys()
    # Written once.
    raw = {**migration("m"), "status": status}
    again = decide(replace(s, member=replace(s.member, fact=replace(s.member.fact, status=status))))
    assert raw["status"] == as_status(again.status)


def test_applied_is_a_latch_and_keeps_its_checksum() -> None:
    first = decide(snapshot(M, consumers=(applied_by(M),)))
    assert first.status is not None
    changed = a_member("m", up="SELECT 2")
    fact = replace(changed.fact, status=as_status(first.status))
    later = decide(snapshot(replace(changed, fact=fact)))
    assert later.status is not None
    assert later.status.applied
    assert later.status.checksum == M.up
    assert later.status.conditions[-1].message == first.status.conditions[-1].message


def says(name: str, version: str | None) -> SchemaVersionFact:
    return a_schema_version(name, status={"observedGeneration": 1, **({"version": version} if version else {})})


@pytest.mark.parametrize(
    ("consumers", "applied"),
    [
        ([("orders", "1")], False),
        ([("orders", "base")], False),
        ([("orders", "1"), ("other", "1.5")], False),
        # One has it, or may have it.
        ([("orders", "2")], True),
        ([("orders", "3")], True),
        ([("orders", "1"), ("other", "2")], True),
        # Nobody knows what the others' databases have.
        ([("orders", None)], True),
        ([("orders", "1"), ("other", None)], True),
        ([], True),
        ([("other", "1")], True),
    ],
)
def test_a_latch_opens_only_where_it_is_proven_that_none_has_it(
    consumers: list[tuple[str, str | None]], applied: bool
) -> None:
    status = {"observedGeneration": 1, "applied": True, "appliedBy": "orders", "checksum": "0" * 64}
    member = a_member("m", "2")
    fact = replace(member.fact, status=status)
    s = snapshot(replace(member, fact=fact), consumers=tuple(says(*each) for each in consumers))
    made = decide(s).status
    assert made is not None
    assert made.applied is applied
    condition = next(each for each in made.conditions if each.type == "Applied")
    assert condition.status == ("True" if applied else "False")
    # Its text may change, so its checksum follows it again.
    assert (made.checksum, made.applied_by) == (("0" * 64, "orders") if applied else (member.up, None))


def test_a_latch_of_before_it_was_known_who_had_applied_it_stays() -> None:
    status = {"observedGeneration": 1, "applied": True}
    member = a_member("m", "2")
    s = snapshot(replace(member, fact=replace(member.fact, status=status)), consumers=(says("orders", "1"),))
    assert (made := decide(s).status) is not None
    assert made.applied


def test_a_repeatable_that_was_applied_stays_so() -> None:
    member = a_member("r", None, repeatable=True)
    fact = replace(member.fact, status={"observedGeneration": 1, "applied": True, "appliedBy": "orders"})
    s = snapshot(replace(member, fact=fact), consumers=(says("orders", "base"),))
    assert (made := decide(s).status) is not None
    assert made.applied


def test_who_has_applied_it_is_not_written_anew_for_each_database() -> None:
    both = tuple(replace(applied_by(M), name=name) for name in ("a", "orders"))
    status = {"observedGeneration": 1, "applied": True, "appliedBy": "orders"}
    made = decide(snapshot(replace(M, fact=replace(M.fact, status=status)), consumers=both)).status
    assert made is not None
    assert made.applied_by == "orders"
    alone = decide(snapshot(replace(M, fact=replace(M.fact, status=status)), consumers=both[:1])).status
    assert alone is not None
    assert alone.applied_by == "a"


def test_a_repeatable_ones_checksum_follows_its_text() -> None:
    first = a_member("r", None, repeatable=True)
    written = decide(snapshot(first, consumers=(applied_by(first),))).status
    second = a_member("r", None, repeatable=True, up="SELECT 2")
    later = decide(snapshot(replace(second, fact=replace(second.fact, status=as_status(written))))).status
    assert later is not None
    assert later.checksum == second.up


def test_nothing_is_said_of_what_is_being_deleted() -> None:
    assert decide(snapshot(replace(M, fact=replace(M.fact, deleting=True)))).status is None


def test_only_news_is_announced() -> None:
    assert not decide(snapshot(M)).announce
    twins = decide(snapshot(M, twins=("n",)))
    assert twins.announce
    fact = migration_fact({**migration("m"), "status": as_status(twins.status)})
    assert not decide(snapshot(member_of(fact, {}), twins=("n",))).announce
    assert decide(snapshot(member_of(fact, {}))).announce
