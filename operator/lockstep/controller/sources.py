"""Texts in ConfigMaps: their checksums are kept, the texts are not."""

from dataclasses import dataclass, field
from typing import Final

from lockstep.api.migration import MAX_TEXT_BYTES
from lockstep.api.reasons import Reason
from lockstep.controller.clock import Clock
from lockstep.controller.facts import Source
from lockstep.controller.kube import CONFIG_MAPS, ForbiddenError, Kube, NotFoundError
from lockstep.controller.snapshot import SourceState
from lockstep.planning.checksum import checksum

FRESH_SECONDS: Final = 300.0
"""How long a checksum is believed: ConfigMaps are not watched, and are read again before each run."""
MISSING_SECONDS: Final = 1.0
"""How long the absence of one is believed."""


class SourceError(Exception):
    """A text cannot be read; the message says what to do."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass
class Sources:
    """Reads texts from ConfigMaps and remembers their checksums."""

    kube: Kube
    clock: Clock
    _known: dict[tuple[str, Source], tuple[float, SourceState]] = field(default_factory=dict)

    async def text(self, namespace: str, source: Source) -> str:
        """Return a text as it is now.

        Raises:
            SourceError: if there is no such ConfigMap or key, or it is no text, or too large.
            ApiError: if the API server does not answer.
        """
        try:
            found = await self.kube.get(CONFIG_MAPS, namespace, source.name)
        except NotFoundError:
            message = f"ConfigMap {source.name!r} does not exist in namespace {namespace!r}: create it"
            raise SourceError(Reason.SOURCE_NOT_FOUND, message) from None
        except ForbiddenError as error:
            raise SourceError(
                Reason.SOURCE_NOT_FOUND, f"ConfigMap {source.name!r} cannot be read: {error.message}"
            ) from None
        text = (found.get("data") or {}).get(source.key)
        if text is None:
            more = "as binary data; store it as text" if source.key in (found.get("binaryData") or {}) else ""
            has = more or f"only {', '.join(sorted(found.get('data') or {})[:5]) or 'no keys'}: add the key"
            raise SourceError(Reason.SOURCE_NOT_FOUND, f"ConfigMap {source.name!r} has no key {source.key!r}, {has}")
        if len(text.encode()) > MAX_TEXT_BYTES:
            message = f"{source} has more than {MAX_TEXT_BYTES} bytes: split the migration"
            raise SourceError(Reason.SOURCE_TOO_LARGE, message)
        assert isinstance(text, str)  # noqa: S101 - the API's schema
        return text

    async def state(self, namespace: str, source: Source, *, fresh: bool = False) -> SourceState:
        """Return the checksum of a text, or what is wrong with it; from memory if it was read lately.

        Raises:
            ApiError: if the API server does not answer.
        """
        now = self.clock.monotonic()
        if not fresh and (known := self._known.get((namespace, source))) is not None:
            at, state = known
            if now - at < (FRESH_SECONDS if state.checksum is not None else MISSING_SECONDS):
                return state
        try:
            state = SourceState(checksum(await self.text(namespace, source)))
        except SourceError as error:
            state = SourceState(None, error.reason, str(error))
        self._known[namespace, source] = now, state
        return state

    def forget_stale(self) -> None:
        """Drop what was not asked for lately."""
        limit = self.clock.monotonic() - 3 * FRESH_SECONDS
        self._known = {key: value for key, value in self._known.items() if value[0] > limit}
