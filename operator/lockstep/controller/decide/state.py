"""What a decision about a SchemaVersion is made of."""

from msgspec import Struct

from lockstep.api.reasons import Reason
from lockstep.api.schemaversion import SchemaVersionStatus
from lockstep.controller.facts import JobFact
from lockstep.controller.inputs import RunInput
from lockstep.planning.version import Version
from lockstep.planning.wire import Mode


class Start(Struct, frozen=True):
    """Make (or finish making) a Job."""

    input: RunInput
    attempt: int
    target: Version
    mode: Mode = Mode.RUN


class Decision(Struct, frozen=True):
    """What to do, in this order: stop, start, write the status, retire."""

    reason: Reason
    message: str
    status: SchemaVersionStatus | None
    """The status as it shall be; None: leave it."""
    stop: JobFact | None = None
    """A Job to delete; its pod ends at a boundary."""
    start: Start | None = None
    retire: tuple[JobFact, ...] = ()
    """Jobs whose result is on the status (once it is written): they may go after their TTL."""
    again: float | None = None
    """Seconds after which to look again at the latest."""
    announce: bool = False
    """Whether the reason is news, worth an event."""


class State(Struct, frozen=True):
    """How things stand: the parts that conditions are made of."""

    reason: Reason
    message: str
    again: float | None = None
    stop: JobFact | None = None
    """A Job to delete."""
    start: Start | None = None
    quiet: bool = False
    """Whether it is too short-lived to be written."""


def reason_of(text: str | None) -> Reason:
    """Return the reason that a status names; what another version of Lockstep wrote is a failure like any other."""
    try:
        return Reason(text or "")
    except ValueError:
        return Reason.RUNNER_FAILED
