"""Events (core/v1) for people: one where the reason changed, never one a look."""

from typing import Final

import structlog
from msgspec import Struct

from lockstep.api.names import API_VERSION
from lockstep.api.reasons import Reason, Severity
from lockstep.controller.clock import Clock, rfc3339
from lockstep.controller.kube import EVENTS, ApiError, Kube, Object
from lockstep.controller.status import clip

log = structlog.get_logger("lockstep.events")
COMPONENT: Final = "lockstep-controller"
_NORMAL: Final = frozenset({Severity.OK, Severity.PROGRESS, Severity.PAUSED})


class About(Struct, frozen=True):
    """The resource that an event is about."""

    kind: str
    namespace: str
    name: str
    uid: str


def render(about: About, reason: Reason, message: str, at: str, nonce: int) -> Object:
    """Return an event about a resource."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{about.name[:200]}.{nonce:x}", "namespace": about.namespace},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": about.kind,
            "namespace": about.namespace,
            "name": about.name,
            "uid": about.uid,
        },
        "type": "Normal" if reason.severity in _NORMAL else "Warning",
        "reason": reason.value,
        "message": clip(message),
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }


class Announcer:
    """Posts events; one that cannot be posted is not worth a failure."""

    def __init__(self, kube: Kube, clock: Clock) -> None:
        self._kube = kube
        self._clock = clock

    async def post(self, about: About, reason: Reason, message: str) -> None:
        """Post one event."""
        moment = self._clock.now()
        nonce = int(moment.timestamp() * 1_000_000)
        body = render(about, reason, message, rfc3339(moment), nonce)
        try:
            await self._kube.create(EVENTS, about.namespace, body)
        except ApiError as error:
            log.info("event not posted", key=f"{about.kind.lower()}/{about.namespace}/{about.name}", error=str(error))
