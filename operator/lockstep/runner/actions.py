"""The steps of a plan with what each takes: the order's texts, or those that the ledger keeps."""

from array import array
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from lockstep.api.reasons import Reason
from lockstep.engines.base import Action, RunError, Session
from lockstep.planning.checksum import ABSENT
from lockstep.planning.lazy import Lazy
from lockstep.planning.plan import RECORDED_ONLY, Candidate, Direction, Plan, Step
from lockstep.planning.result import ErrorDetail
from lockstep.planning.version import Version
from lockstep.planning.wire import FORGOTTEN, Order, OrderedMigration
from lockstep.runner.endings import behind

_NOWHERE: Final = -1
"""The place of a migration that the order does not have."""


def recorded_only(plan: Plan) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    """Return the steps that are recorded without being run, corrections first, and those that run. Pure."""
    only = tuple(step for step in plan.steps if step.direction in RECORDED_ONLY)
    return (*plan.corrections, *only), tuple(step for step in plan.steps if step.direction not in RECORDED_ONLY)


class Actions(Lazy[Action]):
    """What each step takes, put together when it is asked for: a text is held no longer than it is of use."""

    def __init__(self, steps: Sequence[Step], order: Order, session: Session) -> None:
        """See that every text is there.

        Raises:
            RunError: if a text is neither in the order nor in the ledger.
        """
        self._steps = steps
        self._migrations = order.migrations
        places = dict.fromkeys((step.candidate.name for step in steps), _NOWHERE)
        for place, each in enumerate(order.migrations if steps else ()):
            if each.name in places:
                places[each.name] = place
        self._places = array("l", (places[step.candidate.name] for step in steps))
        made = (self._migration(number) for number in range(len(steps)))
        lacking = {name for step, each in zip(steps, made, strict=True) if (name := _lacking(step, each)) is not None}
        self._kept = session.texts(sorted(lacking))
        if lacking:
            # Each is made once: a text that is not there is missed before anything runs.
            deque(self, maxlen=0)

    def __len__(self) -> int:
        return len(self._steps)

    def at(self, place: int) -> Action:
        """Put a step together with what it takes."""
        return _action(self._steps[place], self._migration(place), self._kept)

    def _migration(self, number: int) -> OrderedMigration:
        place = self._places[number]
        return _migration(self._steps[number].candidate, None if place == _NOWHERE else self._migrations[place])


def _migration(candidate: Candidate, found: OrderedMigration | None) -> OrderedMigration:
    """Return the order's migration of that name if it is the very one, otherwise what the plan knows of it."""
    down = None if candidate.down_checksum == ABSENT else candidate.down_checksum
    if found is not None and _version(found) != candidate.version:
        # Made anew under its name, as another version.
        found = None
    if found is not None and (found.up_checksum, found.down_checksum) == (candidate.up_checksum, down):
        return found
    made = OrderedMigration(
        candidate.name,
        None if candidate.version is None else candidate.version.text,
        candidate.up_checksum,
        down,
        kind=candidate.kind,
        transaction=FORGOTTEN,
        irreversible=candidate.irreversible,
    )
    if found is None:
        return made
    # The Migration of now, with a text of then.
    return replace(
        made,
        up=found.up if found.up_checksum == candidate.up_checksum else None,
        down=found.down if found.down_checksum == down else None,
        transaction=found.transaction,
        lock_timeout_ms=found.lock_timeout_ms,
        description=found.description,
    )


def _version(migration: OrderedMigration) -> Version | None:
    return None if migration.version is None else Version.parse(migration.version)


def _lacking(step: Step, migration: OrderedMigration) -> str | None:
    """Return the checksum of the text that a step runs, where the order does not hold it."""
    if step.direction in RECORDED_ONLY:
        return None
    if step.direction is Direction.DOWN:
        return migration.down_checksum if migration.down is None else None
    return migration.up_checksum if migration.up is None else None


def _action(step: Step, migration: OrderedMigration, kept: Mapping[str, str]) -> Action:
    checksum = _lacking(step, migration)
    if checksum is None:
        return Action(step, migration)
    text = kept.get(checksum)
    if step.direction is Direction.DOWN:
        if text is None:
            raise _no_text(migration)
        return Action(step, replace(migration, down=text))
    if text is None or step.direction is Direction.UP:
        # An up that the status says is done is never run again from what the ledger keeps.
        raise behind(migration.version or migration.name)
    return Action(step, replace(migration, up=text))


def _no_text(migration: OrderedMigration) -> RunError:
    name = migration.version or migration.name
    return RunError(
        Reason.DOWN_MISSING,
        f"the down text of {name} ({migration.name}) is neither on a Migration nor in the ledger; nothing was touched: "
        "create its Migration again, with spec.down",
        error=ErrorDetail(migration.version),
    )
