"""Status parts that both resources share."""

from typing import Annotated, Literal

from pydantic import Field

from lockstep.api.fields import Model

ConditionStatus = Literal["True", "False", "Unknown"]


class Condition(Model):
    """One metav1.Condition."""

    type: Annotated[str, Field(max_length=316)]
    """Ready, Reconciling, Stalled, Applied, Drifted or ApprovalRequired."""
    status: ConditionStatus
    """True, False or Unknown."""
    reason: Annotated[str, Field(max_length=1024)]
    """Why, in one CamelCase word; docs/reasons.md says what to do about each."""
    message: Annotated[str, Field(max_length=32768)] = ""
    """The same for people."""
    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When the status of this condition last changed."""
    observed_generation: int | None = None
    """The generation that this condition speaks of."""


Conditions = Annotated[
    list[Condition],
    Field(
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]
