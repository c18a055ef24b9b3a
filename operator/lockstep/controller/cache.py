"""The facts of all watched objects, by name and by the questions that decisions ask."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from lockstep.controller.clock import Clock
from lockstep.controller.facts import JobFact, MigrationFact, PodFact, SchemaVersionFact
from lockstep.planning.version import Version


class Name(NamedTuple):
    """An object of one kind."""

    namespace: str
    name: str


class Line(NamedTuple):
    """A line of versions: those of one name in one namespace."""

    namespace: str
    line: str


Fact = MigrationFact | SchemaVersionFact | JobFact | PodFact
Group = TypeVar("Group")


@dataclass
class Cache:
    """What is known of the cluster; everything in it may be stale."""

    clock: Clock
    serves: Callable[[str], bool] = lambda namespace: True
    """Whether a namespace is this operator's; facts of others are not kept."""
    migrations: dict[Name, MigrationFact] = field(default_factory=dict)
    schema_versions: dict[Name, SchemaVersionFact] = field(default_factory=dict)
    jobs: dict[Name, JobFact] = field(default_factory=dict)
    pods: dict[Name, PodFact] = field(default_factory=dict)
    _members: dict[Line, set[Name]] = field(default_factory=dict)
    _consumers: dict[Line, set[Name]] = field(default_factory=dict)
    _runs: dict[Name, set[Name]] = field(default_factory=dict)
    _run_pods: dict[Name, set[Name]] = field(default_factory=dict)
    _changed: dict[Line, float] = field(default_factory=dict)
    _versions: dict[tuple[Line, Version], set[Name]] = field(default_factory=dict)
    _requirers: set[Name] = field(default_factory=set)

    def store_for(self, kind: type[Fact]) -> dict[Name, Fact]:
        """Return the facts of one kind by name."""
        stores: dict[type[Fact], dict[Name, Any]] = {
            MigrationFact: self.migrations,
            SchemaVersionFact: self.schema_versions,
            JobFact: self.jobs,
            PodFact: self.pods,
        }
        return stores[kind]

    def put(self, fact: Fact) -> Fact | None:
        """Keep a fact; return the one that it replaces (itself, if nothing new is known)."""
        if not self.serves(fact.namespace):
            return fact
        key = Name(fact.namespace, fact.name)
        store = self.store_for(type(fact))
        old = store.get(key)
        if old is not None and old.resource_version == fact.resource_version and old.uid == fact.uid:
            return fact
        if old is not None and old.uid == fact.uid and _older(fact.resource_version, old.resource_version):
            return fact
        store[key] = fact
        self._index(key, old, fact)
        return old

    def drop(self, kind: type[Fact], key: Name, uid: str | None = None) -> Fact | None:
        """Forget an object; return what was known of it. With a UID only that very one, not its successor."""
        store = self.store_for(kind)
        old = store.get(key)
        if old is None or (uid is not None and old.uid != uid):
            return None
        del store[key]
        self._index(key, old, None)
        return old

    def _index(self, key: Name, old: Fact | None, new: Fact | None) -> None:
        for fact, present in ((old, False), (new, True)):
            if fact is None:
                continue
            if isinstance(fact, MigrationFact):
                line = Line(fact.namespace, fact.line)
                _mark(self._members, line, key, present)
                if fact.version is not None:
                    _mark(self._versions, (line, fact.version), key, present)
                if present and fact.requires:
                    self._requirers.add(key)
                else:
                    self._requirers.discard(key)
            elif isinstance(fact, SchemaVersionFact):
                _mark(self._consumers, Line(fact.namespace, fact.line), key, present)
            elif isinstance(fact, JobFact):
                _mark(self._runs, Name(fact.namespace, fact.schema_version), key, present)
            else:
                _mark(self._run_pods, Name(fact.namespace, fact.schema_version), key, present)
        for fact in (old, new):
            if isinstance(fact, MigrationFact | SchemaVersionFact) and _spec_changed(old, new):
                self._changed[Line(fact.namespace, fact.line)] = self.clock.monotonic()

    def quiet_for(self, line: Line) -> float:
        """Return the seconds since something of a line last changed: a text, or what a SchemaVersion wants.

        Both count, since the SchemaVersion may come before its Migrations.
        """
        changed = self._changed.get(line)
        return float("inf") if changed is None else self.clock.monotonic() - changed

    def members(self, line: Line) -> list[MigrationFact]:
        """Return the Migrations of a line, by name; those that are being deleted do not count."""
        found = (self.migrations[name] for name in sorted(self._members.get(line, ())))
        return [each for each in found if not each.deleting]

    def twins(self, fact: MigrationFact) -> list[MigrationFact]:
        """Return the other Migrations of a line with the same version, by name."""
        if fact.version is None:
            return []
        same = self._versions.get((Line(fact.namespace, fact.line), fact.version), set())
        found = [self.migrations[name] for name in sorted(same) if name.name != fact.name]
        return [each for each in found if not each.deleting]

    def dependents(self, line: Line) -> list[SchemaVersionFact]:
        """Return the SchemaVersions of lines whose Migrations require a version of this line."""
        lines = {
            Line(name.namespace, self.migrations[name].line)
            for name in self._requirers
            if name.namespace == line.namespace
            and any(each.line == line.line for each in self.migrations[name].requires)
        }
        return [each for other in sorted(lines) for each in self.consumers(other)]

    def providers(self, line: Line) -> list[SchemaVersionFact]:
        """Return the SchemaVersions of lines that Migrations of this line require a version of."""
        needed = {
            Line(line.namespace, each.line)
            for name in self._members.get(line, set()) & self._requirers
            for each in self.migrations[name].requires
        }
        return [each for other in sorted(needed) for each in self.consumers(other)]

    def consumers(self, line: Line) -> list[SchemaVersionFact]:
        """Return the SchemaVersions of a line, by name."""
        return [self.schema_versions[name] for name in sorted(self._consumers.get(line, ()))]

    def lines(self, namespace: str) -> list[Line]:
        """Return the lines of a namespace that have Migrations or SchemaVersions."""
        return sorted({line for line in (*self._members, *self._consumers) if line.namespace == namespace})

    def jobs_of(self, schema_version: Name) -> list[JobFact]:
        """Return the Jobs made for a SchemaVersion of that name, oldest first."""
        found = (self.jobs[name] for name in self._runs.get(schema_version, ()))
        return sorted(found, key=lambda job: (job.created, job.attempt, job.name))

    def pods_of(self, schema_version: Name) -> list[PodFact]:
        """Return the pods of runs of a SchemaVersion of that name, oldest first."""
        found = (self.pods[name] for name in self._run_pods.get(schema_version, ()))
        return sorted(found, key=lambda pod: (pod.created, pod.name))

    def sizes(self) -> Mapping[str, int]:
        """Return how many objects of each kind are known."""
        return {
            "migrations": len(self.migrations),
            "schemaversions": len(self.schema_versions),
            "jobs": len(self.jobs),
            "pods": len(self.pods),
        }


def _older(version: str, than: str) -> bool:
    # Comparable as numbers since Kubernetes 1.35; before, in practice.
    return version.isdigit() and than.isdigit() and int(version) < int(than)


def _mark(index: dict[Group, set[Name]], group: Group, key: Name, present: bool) -> None:
    if present:
        index.setdefault(group, set()).add(key)
    elif (names := index.get(group)) is not None:
        names.discard(key)
        if not names:
            del index[group]


def _spec_changed(old: Fact | None, new: Fact | None) -> bool:
    """Tell whether more than a status changed."""
    kinds = MigrationFact | SchemaVersionFact
    if not isinstance(old, kinds) or not isinstance(new, kinds):
        return True
    return old.uid != new.uid or old.generation != new.generation or old.deleting != new.deleting
