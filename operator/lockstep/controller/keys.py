"""Keys of the queue, and who must be looked at when something changes."""

from typing import Literal, NamedTuple

from lockstep.controller.cache import Cache, Fact, Line, Name
from lockstep.controller.facts import JobFact, MigrationFact, PodFact, SchemaVersionFact


class Key(NamedTuple):
    """What is worked on."""

    kind: Literal["Migration", "SchemaVersion"]
    name: Name

    def __str__(self) -> str:
        return f"{self.kind.lower()}/{self.name.namespace}/{self.name.name}"


def is_urgent(key: Key) -> bool:
    """Tell whether a key goes first: what waits for a SchemaVersion is a deployment."""
    return key.kind == "SchemaVersion"


def schema_version_key(namespace: str, name: str) -> Key:
    """Return the key of a SchemaVersion."""
    return Key("SchemaVersion", Name(namespace, name))


def migration_key(namespace: str, name: str) -> Key:
    """Return the key of a Migration."""
    return Key("Migration", Name(namespace, name))


def affected(cache: Cache, old: Fact | None, new: Fact | None) -> list[Key]:
    """Return who must be looked at since an object changed (old None: it is new; new None: it is gone)."""
    fact = new or old
    if isinstance(fact, (JobFact, PodFact)):
        return [schema_version_key(fact.namespace, fact.schema_version)]
    if isinstance(fact, SchemaVersionFact):
        before = old if isinstance(old, SchemaVersionFact) else None
        after = new if isinstance(new, SchemaVersionFact) else None
        return [schema_version_key(fact.namespace, fact.name), *affected_by_schema_version(cache, before, after)]
    if isinstance(fact, MigrationFact):
        before_, after_ = (each if isinstance(each, MigrationFact) else None for each in (old, new))
        return _affected_by_migration(cache, before_, after_)
    return []


def _affected_by_migration(cache: Cache, old: MigrationFact | None, new: MigrationFact | None) -> list[Key]:
    facts = [fact for fact in (old, new) if fact is not None]
    keys = [migration_key(fact.namespace, fact.name) for fact in facts[-1:]]
    if (
        old is not None
        and new is not None
        and (old.uid, old.generation, old.deleting)
        == (
            new.uid,
            new.generation,
            new.deleting,
        )
    ):
        # Only its status: ours, or one that somebody spoilt.
        return keys
    for fact in facts:
        line = Line(fact.namespace, fact.line)
        keys += [schema_version_key(each.namespace, each.name) for each in cache.consumers(line)]
        keys += [schema_version_key(each.namespace, each.name) for each in cache.dependents(line)]
        keys += [
            schema_version_key(each.namespace, each.name)
            for need in fact.requires
            for each in cache.consumers(Line(fact.namespace, need.line))
        ]
        keys += [migration_key(each.namespace, each.name) for each in cache.twins(fact)]
    return list(dict.fromkeys(keys))


def _is_above(migration: MigrationFact, of: SchemaVersionFact) -> bool:
    return migration.version is not None and of.version is not None and of.version < migration.version


def affected_by_schema_version(cache: Cache, old: SchemaVersionFact | None, new: SchemaVersionFact | None) -> list[Key]:
    """Return the others that must be looked at since a SchemaVersion changed: who waits for it, what it has applied."""
    fact = new or old
    if fact is None:
        return []
    line = Line(fact.namespace, fact.line)
    was, now = (None if each is None else (each.uid, each.status.version) for each in (old, new))
    keys: list[Key] = []
    if was != now:
        # Who waits for it to go up, and who waits for it to go down.
        others = [*cache.dependents(line), *cache.providers(line)]
        keys += [schema_version_key(each.namespace, each.name) for each in others]
    if new is not None and (old is None or was != now or old.status.settled != new.status.settled):
        keys += [
            migration_key(each.namespace, each.name)
            for each in cache.members(line)
            if not each.applied or _is_above(each, new)
        ]
    return [
        key for key in dict.fromkeys(keys) if key.name != Name(fact.namespace, fact.name) or key.kind == "Migration"
    ]
