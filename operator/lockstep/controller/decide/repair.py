"""Acts by a person: which is still to be done, and whether it may."""

import re
from typing import Final

from lockstep.api.schemaversion import Repair
from lockstep.controller.facts import SchemaVersionFact

_POD: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
AGAIN: Final = 10.0
"""Seconds after which a pod that must be gone is looked for again."""


def pending(fact: SchemaVersionFact) -> Repair | None:
    """Return the act that is asked for and not known to be done."""
    repair = fact.spec.repair if fact.spec is not None else None
    return repair if repair is not None and repair.token != fact.status.last_handled_repair else None


def token(fact: SchemaVersionFact) -> str | None:
    """Return the token that counts as input: of the act that is asked for, else of the last one that was done.

    So taking spec.repair away once it is done changes nothing.
    """
    repair = fact.spec.repair if fact.spec is not None else None
    return repair.token if repair is not None else fact.status.last_handled_repair


def ends_session(fact: SchemaVersionFact) -> str | None:
    """Return the pod whose session shall be ended, and which must be gone before; None if none shall."""
    repair = pending(fact)
    return (repair.confirm or "") if repair is not None and repair.action == "EndSession" else None


def is_pod_name(text: str) -> bool:
    """Tell whether there can be a pod of that name."""
    return _POD.fullmatch(text) is not None


def refusal(fact: SchemaVersionFact, *, holder_left: bool) -> str | None:
    """Return why the act must not be done now; None if the run may see to it."""
    pod = ends_session(fact)
    if pod is None:
        return None
    if not is_pod_name(pod):
        return (
            f"spec.repair.confirm is no name of a pod: EndSession needs the pod that holds the lock, not {pod[:60]!r}"
        )
    if holder_left:
        return (
            f"pod {pod} is still there: a session is ended only once its pod is gone or has ended; "
            "it goes on by itself then"
        )
    return None
