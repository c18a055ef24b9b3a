"""Facts in, keys out: events lost, doubled and reordered lead to the same cache."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lockstep.api.reasons import Reason
from lockstep.controller import watch
from lockstep.controller.cache import Cache, Line, Name
from lockstep.controller.facts import MigrationFact, SchemaVersionFact, migration_fact, schema_version_fact
from lockstep.controller.health import SILENT_SECONDS, STUCK_SECONDS, Health
from lockstep.controller.inputs import pack_tags
from lockstep.controller.keys import Key, migration_key, schema_version_key
from lockstep.controller.kube import MIGRATIONS, NotFoundError
from lockstep.controller.leader import Leader
from lockstep.controller.queue import WorkQueue
from lockstep.controller.resync import Resync
from lockstep.controller.watch import Intake, Streams
from support.controller import FakeClock, a_job, a_pod, migration, schema_version

LINE = Line("ns", "orders")


def an_intake() -> tuple[Intake, FakeClock]:
    clock = FakeClock()
    return Intake(Cache(clock), WorkQueue(clock)), clock


def keys(intake: Intake) -> set[Key]:
    """Return the keys that are asked for, and take them."""
    found = set(intake.queue._waiting)
    intake.queue._waiting.clear()
    intake.queue._ready.clear()
    intake.queue._urgent.clear()
    return found


def at(raw: dict[str, Any], version: int, **metadata: Any) -> dict[str, Any]:
    return {**raw, "metadata": {**raw["metadata"], "resourceVersion": str(version), **metadata}}


def test_a_migration_asks_for_itself_its_line_its_twins_and_who_requires_it() -> None:
    intake, _ = an_intake()
    intake.present(schema_version_fact(schema_version("orders")))
    intake.present(schema_version_fact(schema_version("auth")))
    intake.present(migration_fact(migration("a1", "1", "auth", requires=[{"schema": "orders", "version": "1"}])))
    keys(intake)
    intake.present(migration_fact(migration("m1", "1")))
    expected = {migration_key("ns", "m1"), schema_version_key("ns", "orders"), schema_version_key("ns", "auth")}
    assert keys(intake) == expected
    intake.present(migration_fact(migration("m2", "1.0")))
    assert migration_key("ns", "m1") in keys(intake)
    # Gone: its twin may be valid now.
    intake.absent(MigrationFact, Name("ns", "m2"))
    assert migration_key("ns", "m1") in keys(intake)


def test_a_status_alone_disturbs_nobody_else() -> None:
    intake, clock = an_intake()
    intake.present(schema_version_fact(schema_version("orders")))
    raw = migration("m1", "1")
    intake.present(migration_fact(raw))
    keys(intake)
    clock.seconds += 10
    intake.present(migration_fact(at({**raw, "status": {"applied": True}}, 2)))
    assert keys(intake) == {migration_key("ns", "m1")}
    assert intake.cache.quiet_for(LINE) == 10
    changed = at(migration("m1", "1", up="SELECT 2"), 3, generation=2)
    intake.present(migration_fact(changed))
    assert schema_version_key("ns", "orders") in keys(intake)
    assert intake.cache.quiet_for(LINE) == 0


def test_a_schema_version_that_comes_before_its_migrations_is_not_at_rest() -> None:
    intake, clock = an_intake()
    raw = schema_version("orders")
    intake.present(schema_version_fact(raw))
    assert intake.cache.quiet_for(LINE) == 0
    clock.seconds += 10
    intake.present(schema_version_fact(at({**raw, "status": {"observedGeneration": 1}}, 2)))
    assert intake.cache.quiet_for(LINE) == 10
    intake.present(schema_version_fact(at(schema_version("orders", version="2"), 3, generation=2)))
    assert intake.cache.quiet_for(LINE) == 0


def test_what_a_run_settled_wakes_its_migrations_and_who_waits() -> None:
    intake, _ = an_intake()
    intake.present(migration_fact(migration("m1", "1")))
    intake.present(migration_fact({**migration("m2", "2"), "status": {"applied": True}}))
    intake.present(schema_version_fact(schema_version("orders")))
    intake.present(schema_version_fact(schema_version("auth")))
    intake.present(migration_fact(migration("a1", "1", "auth", requires=[{"schema": "orders", "version": "1"}])))
    keys(intake)
    status = {"version": "2", "settled": pack_tags([b"abcd"])}
    intake.present(schema_version_fact(at(schema_version("orders", status), 2)))
    assert keys(intake) == {
        schema_version_key("ns", "orders"),
        schema_version_key("ns", "auth"),
        migration_key("ns", "m1"),
    }


def test_a_way_down_wakes_what_it_has_undone_and_who_waits_for_it() -> None:
    intake, _ = an_intake()
    for number in (1, 2, 3):
        raw = migration(f"m{number}", str(number))
        intake.present(migration_fact({**raw, "status": {"observedGeneration": 1, "applied": True}}))
    needy = migration("b1", "1", "billing", requires=[{"schema": "orders", "version": "2"}])
    intake.present(migration_fact(needy))
    for name in ("orders", "billing"):
        intake.present(schema_version_fact(schema_version(name, {"observedGeneration": 1, "version": "3"})))
    keys(intake)
    lower = at(schema_version("orders", {"observedGeneration": 1, "version": "1"}), 2)
    intake.present(schema_version_fact(lower))
    assert keys(intake) == {
        schema_version_key("ns", "orders"),
        schema_version_key("ns", "billing"),
        migration_key("ns", "m2"),
        migration_key("ns", "m3"),
    }
    # The other line went down, too: what it requires may go down now.
    intake.present(schema_version_fact(at(schema_version("billing", {"observedGeneration": 1, "version": "base"}), 2)))
    assert schema_version_key("ns", "orders") in keys(intake)
    # As when what required it is taken away.
    intake.absent(MigrationFact, Name("ns", "b1"))
    assert schema_version_key("ns", "orders") in keys(intake)


def test_jobs_and_pods_ask_for_their_schema_version() -> None:
    intake, _ = an_intake()
    job = a_job("orders-x-1", "i")
    for fact in (job, a_pod("p", job)):
        intake.present(fact)
        assert keys(intake) == {schema_version_key("ns", "orders")}


def test_a_late_deletion_does_not_take_the_successor() -> None:
    intake, _ = an_intake()
    intake.present(migration_fact(at(migration("m1", "1"), 5, uid="new")))
    keys(intake)
    assert not intake.absent(MigrationFact, Name("ns", "m1"), "old")
    assert keys(intake) == set()


EVENTS = st.lists(
    st.tuples(st.sampled_from(["m1", "m2", "m3"]), st.integers(1, 6), st.booleans(), st.integers(1, 3)), max_size=20
)


@given(EVENTS, st.randoms(use_true_random=False))
def test_doubled_and_reordered_events_end_the_same(events: list[tuple[str, int, bool, int]], random: Any) -> None:
    """Each event carries its resourceVersion: the newest counts, whatever order they come in."""
    facts = [
        migration_fact(at(migration(name, str(number), line="a" if other else "b"), version, generation=version))
        for name, version, other, number in {(e[0], e[1]): e for e in events}.values()
    ]
    straight, _ = an_intake()
    for fact in sorted(facts, key=lambda fact: int(fact.resource_version)):
        straight.present(fact)
    mixed, _ = an_intake()
    doubled = [*facts, *facts]
    random.shuffle(doubled)
    for fact in doubled:
        mixed.present(fact)
    assert mixed.cache.migrations == straight.cache.migrations
    for line in ("a", "b"):
        assert mixed.cache.members(Line("ns", line)) == straight.cache.members(Line("ns", line))
    for fact in facts:
        mixed.absent(MigrationFact, Name("ns", fact.name))
    assert mixed.cache.lines("ns") == []
    assert mixed.cache._versions == {}


class Listed:
    """An API server that lists what it is told."""

    def __init__(self, *raws: dict[str, Any]) -> None:
        self.raws = {raw["metadata"]["name"]: raw for raw in raws}

    async def pages(self, resource: Any, namespace: Any, **_: Any) -> Any:
        yield list(self.raws.values()) if resource is MIGRATIONS else []

    async def get(self, resource: Any, namespace: str, name: str) -> Any:
        if name not in self.raws:
            raise NotFoundError(404, "NotFound", name)
        return self.raws[name]


async def test_a_resync_finds_what_no_watch_told() -> None:
    intake, _ = an_intake()
    intake.present(migration_fact(migration("kept", "1")))
    intake.present(migration_fact(migration("changed", "2")))
    intake.present(migration_fact(migration("gone", "3")))
    intake.present(schema_version_fact(schema_version("orders")))
    intake.cache.drop(SchemaVersionFact, Name("ns", "orders"))
    keys(intake)
    kube: Any = Listed(migration("kept", "1"), at(migration("changed", "2"), 7, generation=2), migration("new", "4"))
    sources: Any = type("S", (), {"forget_stale": lambda self: None})()
    resync = Resync(intake.cache, kube, intake.queue, intake, sources, (None,), grace=0)
    assert await resync.compare() == 3
    assert set(intake.cache.migrations) == {Name("ns", name) for name in ("kept", "changed", "new")}
    assert await resync.compare() == 0


def test_kopf_is_told_what_matters() -> None:
    settings = watch.kopf_settings()
    assert settings.queueing.worker_limit is None
    assert settings.queueing.idle_timeout == 0.05
    assert settings.watching.chunk_size == 200
    assert settings.scanning.disabled
    assert not settings.posting.enabled
    assert len(settings.watching.label_selectors) == 2


def test_health_is_progress() -> None:
    clock = FakeClock()
    nothing: Any = None
    leader = Leader(nothing, clock, "ns", "lease", "a", 15, 10, 2)
    health = Health(clock, leader)
    # Nothing tried yet; stands by; leads with an empty cache; leads.
    ready = [health.ready]
    leader.tried_at = clock.monotonic()
    ready.append(health.ready)
    leader.renewed_at = clock.monotonic()
    ready.append(health.ready)
    health.synced = True
    ready.append(health.ready)
    assert ready == [False, True, False, True]
    assert health.problems() == []
    queue: WorkQueue[Key] = WorkQueue(clock)
    health.queue = queue
    queue._working[migration_key("ns", "m")] = clock.monotonic()
    streams = Streams()
    health.streams = streams
    streams.started -= SILENT_SECONDS + 1
    clock.seconds += STUCK_SECONDS + 1
    lease, worker, silence = health.problems()
    assert "Lease" in lease
    assert "one key" in worker
    assert "silent" in silence
    queue._working.clear()
    queue.finished_at = clock.monotonic() - STUCK_SECONDS - 1
    queue.add(migration_key("ns", "m"))
    assert any("none was finished" in each for each in health.problems())


def test_every_reason_has_a_severity() -> None:
    assert all(reason.severity for reason in Reason)
