"""The way back, as far as the cluster knows it: what would be undone, and what forbids it."""

from collections import Counter
from collections.abc import Mapping

from lockstep.controller.facts import SchemaVersionFact
from lockstep.controller.inputs import tag, unpack_tags
from lockstep.controller.snapshot import LineView, Member, SchemaVersionSnapshot
from lockstep.planning.digest import SetMember
from lockstep.planning.plan import listed
from lockstep.planning.version import Version, parse_target


def goes_down(fact: SchemaVersionFact) -> bool:
    """Tell whether a SchemaVersion asks for less than its database has; `latest` never does."""
    if fact.spec is None or fact.version is None:
        return False
    asked = parse_target(fact.spec.version)
    return asked is not None and asked < fact.version


def undone(s: SchemaVersionSnapshot, target: Version) -> tuple[Member, ...]:
    """Return the Migrations that a way down to the target undoes, as far as they are still there and can be read.

    For all others, and for a version that several have, the ledger's text counts: what is gone is never an error.
    """
    known = s.fact.version
    if known is None:
        return ()
    above = [m for m in s.members if m.readable and m.fact.version is not None and target < m.fact.version <= known]
    versions = Counter(m.fact.version for m in above)
    return tuple(m for m in above if versions[m.fact.version] == 1)


def input_members(s: SchemaVersionSnapshot, target: Version) -> list[SetMember]:
    """Return what a run to the target depends on.

    On the way up that is the set up to the target and the repeatable ones. On the way down, what of all these and of
    the downs is not in the ledger as it is: taking the others away changes nothing.
    """
    given = [m for m in s.members if m.readable and (m.fact.version is None or m.fact.version <= target)]
    if s.fact.version is None or target >= s.fact.version:
        return [m.as_set_member() for m in given]
    settled = unpack_tags(s.fact.status.settled)
    members = [m.as_set_member() for m in (*given, *undone(s, target))]
    return [each for each in members if tag(each) not in settled]


def required_by(line: str, target: Version, lines: Mapping[str, LineView]) -> list[str]:
    """Return what other lines of the namespace have applied and could not do without, in words."""
    found = []
    for name, view in sorted(lines.items()):
        if name == line:
            continue
        for migration in view.migrations:
            if migration.version is None:
                continue
            for need in migration.requires:
                if need.line != line or need.version <= target:
                    continue
                holders = [
                    each.name
                    for each in view.schema_versions
                    if each.version is not None and each.version >= migration.version
                ]
                if holders:
                    found.append(
                        f"{name} {migration.label} requires {line} {need.version} and is applied by "
                        f"SchemaVersion {', '.join(holders)}"
                    )
    return found


def explain_required(found: list[str], target: Version) -> str:
    """Say what stands in the way of a way down."""
    return f"{target} is below what other lines require: {listed(found)}; it goes on by itself once they went down"
