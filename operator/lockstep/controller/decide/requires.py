"""Requirements between lines: which are not met, and which can never be."""

from collections.abc import Iterable, Mapping

from lockstep.controller.facts import MigrationFact, Required
from lockstep.controller.snapshot import LineView
from lockstep.planning.version import BASE, Version

Node = tuple[str, tuple[int, ...]]
"""A version of a line: the line's name and the version's key."""


def reached(line: LineView | None) -> Version | None:
    """Return the highest version that a SchemaVersion of the line has; None if none has said."""
    versions = [found for each in (line.schema_versions if line else ()) if (found := each.version) is not None]
    return max(versions, default=None)


def is_met(required: Required, lines: Mapping[str, LineView]) -> bool:
    """Tell whether some SchemaVersion of the namespace has the required version, or a higher one."""
    version = reached(lines.get(required.line))
    return version is not None and version >= required.version


def unmet(migrations: Iterable[MigrationFact], lines: Mapping[str, LineView]) -> list[tuple[MigrationFact, Required]]:
    """Return the requirements of these Migrations that are not met."""
    return [(each, need) for each in migrations for need in each.requires if not is_met(need, lines)]


def explain(migration: MigrationFact, need: Required, lines: Mapping[str, LineView]) -> str:
    """Say what is missing for a requirement."""
    head = f"{migration.label} requires {need.line} {need.version}"
    line = lines.get(need.line)
    if line is None or not line.schema_versions:
        return f"{head}, but this namespace has no SchemaVersion of schema {need.line!r}: create it"
    has = reached(line)
    at = "has not said its version yet" if has is None else f"is at {has if has != BASE else 'base'}"
    if not any(each.version is not None and each.version >= need.version for each in line.migrations):
        return f"{head}, but {need.line} {at} and has no Migration of that version or a higher one: create it"
    return f"{head}, but {need.line} {at}: it goes on by itself once {need.line} gets there"


def _display(node: Node, lines: Mapping[str, LineView]) -> str:
    line, key = node
    for each in lines[line].migrations if line in lines else ():
        if each.version is not None and each.version.key == key:
            return f"{line} {each.version}"
    return f"{line} {'.'.join(map(str, key))}"


def _edges(lines: Mapping[str, LineView]) -> dict[Node, list[Node]]:
    """Return what must come before each version: the one before it in its line, and what it requires.

    Versions that a line has reached are left out: nothing waits for them any more.
    """
    edges: dict[Node, list[Node]] = {}
    for name, line in lines.items():
        has = reached(line)
        ordered = sorted(
            {
                each.version
                for each in line.migrations
                if each.version is not None and (has is None or each.version > has)
            }
        )
        needs: dict[Version, list[Required]] = {}
        for each in line.migrations:
            if each.version is not None:
                needs.setdefault(each.version, []).extend(each.requires)
        for index, version in enumerate(ordered):
            before: list[Node] = [(name, ordered[index - 1].key)] if index else []
            for need in needs.get(version, ()):
                if not is_met(need, lines) and (node := _provider(need, lines)) is not None:
                    before.append(node)
            edges[name, version.key] = before
    return edges


def _provider(need: Required, lines: Mapping[str, LineView]) -> Node | None:
    """Return the lowest version of the line that meets a requirement; None if there is none."""
    line = lines.get(need.line)
    found = [
        each.version for each in (line.migrations if line else ()) if each.version and each.version >= need.version
    ]
    return (need.line, min(found).key) if found else None


def find_cycle(starts: Iterable[Node], lines: Mapping[str, LineView]) -> list[str]:
    """Return a circle of requirements that is reached from these versions, in words (first = last); empty if none."""
    edges = _edges(lines)
    finished: set[Node] = set()
    for start in starts:
        path: list[Node] = []
        on_path: set[Node] = set()
        # Not recursive: a line may have thousands of versions.
        stack: list[tuple[Node, bool]] = [(start, False)]
        while stack:
            node, leaving = stack.pop()
            if leaving:
                path.pop()
                on_path.discard(node)
                finished.add(node)
                continue
            if node in on_path:
                circle = [*path[path.index(node) :], node]
                return [_display(each, lines) for each in circle]
            if node in finished or node not in edges:
                continue
            path.append(node)
            on_path.add(node)
            stack.append((node, True))
            stack.extend((each, False) for each in reversed(edges[node]))
    return []
