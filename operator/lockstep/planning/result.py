"""What a run says: the result that it ends with, and how far it is on the way.

Plain dataclasses and JSON, as in wire.py.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Final

from lockstep.api.reasons import Reason, Severity

RESULT_FORMAT: Final = 1
RESULT_BYTES: Final = 2000
"""Bytes of a result: the kubelet cuts what several containers of a pod say beyond 12 KiB in all, at its head."""
MESSAGE_CHARACTERS: Final = 800
"""Characters of a result's message: more belongs in the log."""
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


@dataclass(frozen=True, slots=True)
class StepDone:
    """One step that this run took."""

    name: str
    version: str | None
    direction: str
    ms: int
    """Milliseconds that it took."""
    at: str
    """When it was committed by the database's clock (RFC 3339, UTC): shown, never compared."""
    kind: str = "Schema"


@dataclass(frozen=True, slots=True)
class ErrorDetail:
    """Where SQL failed; never a row's data."""

    version: str | None
    statement: int | None = None
    """Number of the statement in its text, from 1."""
    line: int | None = None
    """Line of the text, from 1."""
    sqlstate: str | None = None


@dataclass(frozen=True, slots=True)
class LedgerMark:
    """What the ledger was when the run ended: it shows against the status when a database was rewound."""

    uuid: str
    sequence: int
    hash: str


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """A plan for people to read and approve; the log has its SQL."""

    hash: str
    direction: str
    """Up or Down."""
    count: int
    steps: tuple[str, ...] = ()
    """The first steps in words, as many as have room."""


@dataclass(frozen=True, slots=True)
class DriftSummary:
    """What a run has seen of changes made by hand; the log names every object."""

    drifted: bool | None
    """None: it could not be told now (another line is under way), or there is nothing to compare with yet."""
    message: str
    hash: str | None = None
    """What a person accepts."""


@dataclass(frozen=True, slots=True)
class Result:
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
    plan = result.plan
    planned = list(plan.steps) if plan is not None else []
    rest = asdict(replace(result, steps=(), plan=None))

    def render(message: str, steps: Sequence[str] = ()) -> str:
        document = {"format": RESULT_FORMAT, **rest, "message": message}
        if plan is not None:
            document["plan"] = {**asdict(replace(plan, steps=())), "steps": planned}
        slim = _json({key: value for key, value in document.items() if value not in (None, [], ())})
        return f'{slim[:-1]},"steps":[{",".join(steps)}]}}' if steps else slim

    def over(text: str) -> int:
        return len(text.encode()) - limit

    message = " ".join(result.message.split())
    if len(message) > MESSAGE_CHARACTERS:
        message = message[: MESSAGE_CHARACTERS - 1].rstrip() + "…"
    text = render(message)
    while planned and over(text) > 0:
        del planned[-max(1, len(planned) // 4) :]
        text = render(message)
    while len(message) > 1 and (much := over(text)) > 0:
        message = message[: max(0, len(message) - max(1, much // 4) - 1)].rstrip() + "…"
        text = render(message)
    return render(message, _that_fit(result.steps, -over(text) - len(',"steps":[]')))


def _that_fit(steps: Sequence[StepDone], room: int) -> list[str]:
    """Return the last steps as JSON, as many as have room: only these are rendered, of however many."""
    kept: list[str] = []
    for step in reversed(steps):
        text = _json(asdict(step))
        room -= len(text.encode()) + bool(kept)
        if room < 0:
            break
        kept.append(text)
    return kept[::-1]


def _json(document: object) -> str:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def decode_result(text: str) -> Result | None:
    """Read a result; None if the text is none (a foreign image, a kubelet's own message)."""
    try:
        document = json.loads(text.strip())
        if not isinstance(document, dict) or document.pop("format", None) != RESULT_FORMAT:
            return None
        document["reason"] = Reason(document["reason"])
        if (error := document.get("error")) is not None:
            document["error"] = ErrorDetail(**error)
        if (ledger := document.get("ledger")) is not None:
            document["ledger"] = LedgerMark(**ledger)
        if (plan := document.get("plan")) is not None:
            document["plan"] = PlanSummary(**{**plan, "steps": tuple(plan.get("steps", ()))})
        if (drift := document.get("drift")) is not None:
            document["drift"] = DriftSummary(**drift)
        document["steps"] = tuple(StepDone(**step) for step in document.get("steps", ()))
        return Result(**document)
    except (ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True, slots=True)
class Progress:
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
        return json.dumps({"event": "progress", **asdict(self)}, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def decode(cls, line: str) -> "Progress | None":
        """Read a line of a log; None if it is no progress line."""
        try:
            document = json.loads(line)
            if not isinstance(document, dict) or document.pop("event", None) != "progress":
                return None
            # Log lines carry a time and a level too.
            names = cls.__dataclass_fields__
            return cls(**{key: value for key, value in document.items() if key in names})
        except (ValueError, TypeError):
            return None
