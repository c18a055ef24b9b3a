"""Settles statements that ran alone: asks the catalog, lets settling.py decide, and cleans up."""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from lockstep.engines.postgresql.channel import Channel
from lockstep.engines.postgresql.journal_session import JournalSession
from lockstep.engines.postgresql.messages import Command, SqlError
from lockstep.engines.postgresql.settling import Facts, Index, Settlement, is_there, settle
from lockstep.engines.postgresql.settling_sql import Catalog
from lockstep.engines.postgresql.subjects import Kind, Subject

NO_RIGHT: Final = "42501"
"""insufficient_privilege."""
CLEAN_MS: Final = 10_000
"""How long what is left may take to be cleaned up when the run must end; otherwise the next run does it."""


class Settler:
    """Works in the session as the migration's SQL has left it: what it cleans up belongs to the SQL's role."""

    def __init__(self, channel: Channel, session: JournalSession) -> None:
        self._channel = channel
        self._session = session
        self._catalog = Catalog(channel)

    def note(self, subject: Subject) -> Facts:
        """Return what must be known before a statement runs, without what would be taken for its work.

        Raises:
            SqlError: if that could not be dropped.
            StoppedError: if the run must stop.
        """
        facts = self._catalog.note(subject)
        if facts.lenient:
            self._clean(facts, settle(facts, self._catalog.look(facts)), stoppable=True)
        return facts

    def is_there(self, facts: Facts) -> bool:
        """Tell whether what a statement that ended well was to make can be used."""
        return facts.kind is not Kind.CREATE_INDEX or is_there(facts, self._catalog.look(facts))

    def failed(self, facts: Facts) -> Settlement:
        """Settle a statement that has just failed; it takes no longer than a few seconds.

        Raises:
            SqlError: if something is left that could not be cleaned up.
        """
        self._session.limit(CLEAN_MS, CLEAN_MS, forced=True)
        settled = settle(facts, self._catalog.look(facts))
        return replace(settled, left=self._clean(facts, settled, stoppable=False))

    def interrupted(self, facts: Facts, statement_timeout: int) -> Settlement:
        """Settle a statement of an earlier session, and wait for that as long as the run may take.

        Raises:
            SqlError: if something is left that could not be cleaned up.
            StoppedError: if the run must stop.
        """
        self._session.limit(0, statement_timeout, forced=True)
        settled = settle(facts, self._catalog.look(facts))
        return replace(settled, left=self._clean(facts, settled, stoppable=True))

    def _clean(self, facts: Facts, settled: Settlement, *, stoppable: bool) -> tuple[Index, ...]:
        """Clean up; return the indexes that the role may not drop."""
        left = []
        for index in self._still_invalid(facts, settled.drop, stoppable=stoppable):
            try:
                # Alone, as it must be.
                self._channel.run([Command(f"DROP INDEX CONCURRENTLY IF EXISTS {index.sql}")], stoppable=stoppable)
            except SqlError as error:
                # Who may rebuild a table may not drop the indexes of its TOAST table; a REINDEX passes over those.
                if facts.kind is not Kind.REINDEX or error.sqlstate != NO_RIGHT:
                    raise
                left.append(index)
        if settled.first:
            self._channel.run([Command(settled.first)], stoppable=stoppable)
        return tuple(left)

    def _still_invalid(self, facts: Facts, indexes: Sequence[Index], *, stoppable: bool) -> Sequence[Index]:
        """Leave out what somebody else was building, and has built by now."""
        if facts.kind is not Kind.CREATE_INDEX:
            return indexes
        return [each for each in indexes if self._catalog.still_invalid(facts, each, stoppable=stoppable)]
