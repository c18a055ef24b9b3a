"""Field types shared by the resources: each says its bounds and renders its own piece of the CRD."""

import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from lockstep.api.names import VERSION_MAX_LENGTH, VERSION_PATTERN

_DURATION: Final = r"^([0-9]{1,9}(ms|s|m|h))+$"
_PART: Final = re.compile(r"([0-9]{1,9})(ms|s|m|h)")
_UNIT_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}
MAX_DURATION_MS: Final = 7 * 24 * 3_600_000
"""A week: whatever takes longer is a mistake in the unit."""


def milliseconds(duration: str) -> int:
    """Return the milliseconds of a duration such as `5s`, `1h30m` or `250ms`.

    Raises:
        ValueError: if it is no duration, or longer than a week.
    """
    if not re.fullmatch(_DURATION, duration):
        raise ValueError(f"{duration!r} is no duration: write numbers with ms, s, m or h, such as 5s or 1h30m")
    total = sum(int(number) * _UNIT_MS[unit] for number, unit in _PART.findall(duration))
    if total > MAX_DURATION_MS:
        raise ValueError(f"{duration!r} is longer than a week")
    return total


def _checked_duration(duration: str) -> str:
    milliseconds(duration)
    return duration


Duration = Annotated[str, Field(max_length=64, pattern=_DURATION), AfterValidator(_checked_duration)]
Name = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
"""A name of a resource."""
Line = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9_.]*[a-z0-9])?$")]
"""The name of a line of versions."""
Key = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
"""A key of a ConfigMap or of a Secret."""
VersionText = Annotated[str, Field(min_length=1, max_length=VERSION_MAX_LENGTH, pattern=VERSION_PATTERN)]
Sha256 = Annotated[str, Field(max_length=71, pattern=r"^sha256:[0-9a-f]{64}$")]


def rule(expression: str, message: str, **more: str) -> dict[str, str]:
    """Return one CEL rule of the CRD (https://kubernetes.io/docs/reference/using-api/cel/)."""
    return {"rule": expression, "message": message, **more}


def cel(*rules: dict[str, str], **more: Any) -> dict[str, Any]:
    """Return the schema extra that carries CEL rules."""
    return {"x-kubernetes-validations": list(rules), **more}


def atomic_list(most: int) -> Any:
    """Return the bounds of a list that is replaced as a whole."""
    return Field(max_length=most, json_schema_extra={"x-kubernetes-list-type": "atomic"})


class Model(BaseModel):
    """Base of all parts of the resources: camelCase outside, unknown fields kept out."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        # The API server prunes unknown fields; an older operator must read what a newer CRD allows.
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
    )
