"""The texts as a run reads them: what it would refuse, with the lines of their files."""

from collections.abc import Iterator, Sequence

from lockstep.cli.importing.changes import Text
from lockstep.cli.importing.resources import Resource
from lockstep.engines import load
from lockstep.engines.base import Action, Engine, RunError
from lockstep.planning.checksum import ABSENT, checksum
from lockstep.planning.plan import Candidate, Direction, Step
from lockstep.planning.wire import OrderedMigration


def refusals(resources: Sequence[Resource], engine: str) -> list[str]:
    """Return what runs on an engine would refuse, one line for each text."""
    reader = load(engine)
    return [why for resource in resources for why in _refused(resource, reader)]


def _refused(resource: Resource, reader: Engine) -> Iterator[str]:
    change = resource.change
    for direction, text in ((Direction.UP, change.up), (Direction.DOWN, change.down)):
        if text is None:
            continue
        action = _action(resource, direction, text)
        try:
            reader.script(action)
        except RunError as error:
            yield f"{text.file}: {error.message.removeprefix(f'{action.label}, ')}"


def _action(resource: Resource, direction: Direction, text: Text) -> Action:
    # Its lines keep the numbers that they have in the file.
    placed = "\n" * (text.line - 1) + text.text
    hashed = checksum(text.text)
    down = hashed if direction is Direction.DOWN else None
    version = resource.change.number
    migration = OrderedMigration(
        resource.name,
        resource.change.version,
        hashed,
        down,
        transaction=resource.document["spec"].get("transaction", "Auto"),
        up=placed,
        down=placed,
    )
    return Action(Step(direction, Candidate(resource.name, version, hashed, down or ABSENT)), migration)
