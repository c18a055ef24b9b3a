"""What a run says: the result that it ends with, and how far it is on the way.

Structs and JSON, as in wire.py.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from lockstep.api.reasons import Reason, Severity

Kind = TypeVar("Kind", bound=Struct)

RESULT_FORMAT: Final = 1
RESULT_BYTES: Final = 2000
"""Bytes of a result: the kubelet cuts what several containers of a pod say beyond 12 KiB in all, at its head."""
MESSAGE_CHARACTERS: Final = 800
"""Characters of a result's message: more belongs in the log."""
_BLANKS: Final = " \t\n\r\f\v"
LAST_STEPS: Final = 50
"""Steps that a run remembers for its result: more than ever fit."""


class Outcome(StrEnum):
    """How a run ended; each has an exit code of its own."""

    DONE = "done"
    RETRYABLE = "retryable"
    PERMANENT = "permanent"
    PERSON = "person"


EXIT_CODES: Final = {Outcome.DONE: 0, Outcome.RETRYABLE: 10, Outcome.PERMANENT: 20, Outcome.PERSON: 30}
"""Exit codes of the runner; any other means that it ended without deciding (killed, out of memory, a defect)."""

_OUTCOMES: Final = {
    Severity.OK: Outcome.DONE,
    Severity.PROGRESS: Outcome.RETRYABLE,
    Severity.WAITING: Outcome.RETRYABLE,
    Severity.PERMANENT: Outcome.PERMANENT,
    Severity.PERSON: Outcome.PERSON,
    Severity.PAUSED: Outcome.PERSON,
}


def outcome_of(reason: Reason) -> Outcome:
    """Return how a run with this reason ends."""
    return _OUTCOMES[reason.severity]


class Said(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A part of a result: there is little room."""


class StepDone(Said, frozen=True):
    """One step that this run took."""

    name: str
    version: str | None
    direction: str
    ms: int
    """Milliseconds that it took."""
    at: str
    """When it was committed by the database's clock (RFC 3339, UTC): shown, never compared."""
    kind: str = "Schema"


class ErrorDetail(Said, frozen=True):
    """Where SQL failed; never a row's data."""

    version: str | None
    statement: int | None = None
    """Number of the statement in its text, from 1."""
    line: int | None = None
    """Line of the text, from 1."""
    sqlstate: str | None = None


class LedgerMark(Said, frozen=True):
    """What the ledger was when the run ended: it shows against the status when a database was rewound."""

    uuid: str
    sequence: int
    hash: str


class PlanSummary(Said, frozen=True):
    """A plan for people to read and approve; the log has its SQL."""

    hash: str
    direction: str
    """Up or Down."""
    count: int
    steps: tuple[str, ...] = ()
    """The first steps in words, as many as have room."""


class DriftSummary(Said, frozen=True):
    """What a run has seen of changes made by hand; the log names every object."""

    drifted: bool | None
    """None: it could not be told now (another line is under way), or there is nothing to compare with yet."""
    message: str
    hash: str | None = None
    """What a person accepts."""


class Result(Said, frozen=True, tag_field="format", tag=RESULT_FORMAT):
    """What a run says at its end, in its termination message and as the last line of its log."""

    reason: Reason
    message: str
    version: str | None = None
    """The line's version in the database, `base` for an empty line; None: it was not learnt."""
    applied: int = 0
    """Steps that this run took."""
    pending: int = 0
    holder: str | None = None
    """The run that holds or held the lock, as people know it: its pod."""
    error: ErrorDetail | None = None
    ledger: LedgerMark | None = None
    plan: PlanSummary | None = None
    drift: DriftSummary | None = None
    repaired: str | None = None
    """Token of the repair that the ledger holds now."""
    steps: tuple[StepDone, ...] = ()
    """The last steps, as many as have room; where the status knows none, those of earlier runs too."""

    @property
    def outcome(self) -> Outcome:
        """How the run ended."""
        return outcome_of(self.reason)


def encode_result(result: Result, limit: int = RESULT_BYTES) -> str:
    """Return the result as one line of JSON of at most `limit` bytes.

    What goes first where there is no room: old steps done, the plan's last steps, the message's end.
    """
    message = " ".join(_seen(result.message).split())
    if len(message) > MESSAGE_CHARACTERS:
        message = message[: MESSAGE_CHARACTERS - 1].rstrip() + "…"
    said = replace(result, message=message, steps=())

    def over() -> int:
        return len(msgspec.json.encode(said)) - limit

    while (plan := said.plan) is not None and plan.steps and over() > 0:
        said = replace(said, plan=replace(plan, steps=plan.steps[: -max(1, len(plan.steps) // 4)]))
    while len(message) > 1 and (much := over()) > 0:
        message = message[: max(0, len(message) - max(1, much // 4) - 1)].rstrip() + "…"
        said = replace(said, message=message)
    steps = _that_fit(result.steps, -over() - len(',"steps":[]'))
    return msgspec.json.encode(replace(said, steps=steps)).decode()


def _seen(text: str) -> str:
    """Return a text in which one sees what has no shape: a syntax error at a byte order mark, or a no-break space."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in _BLANKS else f"\\u{ord(each):04x}" for each in text)


def _that_fit(steps: Sequence[StepDone], room: int) -> tuple[StepDone, ...]:
    """Return the last steps, as many as have room as JSON: only these are rendered, of however many."""
    kept: list[StepDone] = []
    for step in reversed(steps):
        room -= len(msgspec.json.encode(step)) + bool(kept)
        if room < 0:
            break
        kept.append(step)
    return tuple(kept[::-1])


def decode_result(text: str) -> Result | None:
    """Read a result; None if the text is none (a foreign image, a kubelet's own message)."""
    return _decode(text, Result)


class Progress(Struct, frozen=True, tag_field="event", tag="progress"):
    """How far a run is: a JSON line of its log (event `progress`), read back by the operator for the status."""

    done: int
    total: int
    """Steps of the plan."""
    version: str | None = None
    """The version being applied."""
    state: str = "Running"
    """Connecting | WaitingForLock | Planning | Running | WaitingForRetry."""
    message: str = ""

    def encode(self) -> str:
        """Return the line."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def decode(cls, line: str) -> "Progress | None":
        """Read a line of a log, which has a time and a level too; None if it is no progress line."""
        return _decode(line, cls)


def _decode(text: str, kind: type[Kind]) -> Kind | None:
    config = kind.__struct_config__
    try:
        document = msgspec.json.decode(text)
        # msgspec alone would take a document without the tag for one that has it.
        if not isinstance(document, dict) or document.get(config.tag_field) != config.tag:
            return None
        return msgspec.convert(document, kind)
    except ValueError:
        return None
