"""Drift as a run sees it: what differs when it comes, and what it has changed when it goes."""

from lockstep.api.reasons import Reason
from lockstep.engines.base import DriftFinding, Log, RunError
from lockstep.engines.postgresql import drift_store
from lockstep.engines.postgresql.catalog import CatalogOptions, server_major
from lockstep.engines.postgresql.channel import Channel, SqlError
from lockstep.planning import drift
from lockstep.planning.drift import Change, Expected, Judgement, Objects
from lockstep.planning.wire import Mode, Order

_OTHERS = "another line's run is under way in this database ({}): what differs may be its work"
_BLOCKED = "another session holds a lock on a table, so the catalog cannot be read now (SQLSTATE {})"
_LOCKED = "55P03"
_NOTHING_YET = "nothing to compare with yet: the next run takes the schema as it is"


class DriftWatch:
    """Watches the catalog for one run of one line."""

    def __init__(self, channel: Channel, order: Order, log: Log) -> None:
        self._channel = channel
        self._order = order
        self._log = log
        self._options = CatalogOptions(order.database.ledger_schema, frozenset(order.drift.include))
        self._before: Objects | None = None
        self._blind = False
        """Whether the catalog could not be read: the run stays dirty then."""
        self._seen: str | None = None
        """Hash of the drift that `look` has found."""

    def look(self) -> DriftFinding:
        """Return what was changed by hand; what could not be compared is taken for what shall be, if this is a run."""
        order = self._order
        if (why := self._why_not()) is not None:
            return DriftFinding(inconclusive=why)
        try:
            expected, found = drift_store.observe(self._channel, self._options)
        except SqlError as error:
            if error.sqlstate != _LOCKED:
                raise
            # Printing a definition waits for whoever changes the object. What this run changes is taken in by the next.
            self._blind = True
            return DriftFinding(inconclusive=_BLOCKED.format(error.sqlstate))
        judgement = self._judge(expected, found)
        if order.mode is Mode.RUN and judgement.change is not None:
            # Once more, with nobody else writing in between.
            expected, found = drift_store.update(self._channel, self._options, lambda e, f: self._judge(e, f).change)
            judgement = self._judge(expected, found)
        self._before = found
        return self._finding(judgement, expected, found)

    def _finding(self, judgement: Judgement, expected: Expected, found: Objects) -> DriftFinding:
        match judgement.outcome:
            case "Inconclusive":
                return DriftFinding(inconclusive=_OTHERS.format(", ".join(expected.others)))
            case "Baseline" if self._order.mode is not Mode.RUN:
                return DriftFinding(inconclusive=_NOTHING_YET)
            case "Baseline":
                self._log("drift_baseline", objects=len(found), server=server_major(self._channel))
                return DriftFinding()
            case "Unattributed":
                lines = ", ".join(expected.unsettled)
                self._log("drift_unattributed", level="warning", lines=lines, drift=judgement.drift.describe())
                return DriftFinding()
        made = judgement.drift
        self._seen = made.hash(found) if made else None
        return DriftFinding(made, hash=self._seen)

    def _why_not(self) -> str | None:
        """Return why there is nothing to look for."""
        order = self._order
        if order.mode is not Mode.RUN and not drift_store.exists(self._channel, self._options.ledger_schema):
            return _NOTHING_YET
        return "spec.drift is Ignore" if order.drift.policy == "Ignore" and not self._is_watched() else None

    def _is_watched(self) -> bool:
        """Tell whether some line of the database looks for drift: this one's changes must not accuse anybody then."""
        return drift_store.load(self._channel, self._options.ledger_schema).major is not None

    def _judge(self, expected: Expected, found: Objects) -> Judgement:
        return drift.judge(
            expected,
            found,
            major=server_major(self._channel),
            options=self._options.options,
            ignore=self._order.drift.ignore,
        )

    def accept(self) -> None:
        """Take the drift that `look` has found for what shall be; that very drift and nothing that came after.

        Raises:
            RunError: RepairRefused, if it has changed meanwhile.
        """
        seen = self._seen
        if seen is None:
            return

        def decide(expected: Expected, found: Objects) -> Change | None:
            return drift.accept(self._judge(expected, found).drift, found, seen)

        expected, found = drift_store.update(self._channel, self._options, decide)
        if decide(expected, found) is None:
            raise RunError(
                Reason.REPAIR_REFUSED, "somebody has changed the schema once more just now: look at the drift again"
            )

    def settle(self) -> None:
        """Take what this run has changed for what shall be."""
        if self._blind:
            return
        line, before = self._order.line, self._before
        if before is None:
            drift_store.store(self._channel, self._options.ledger_schema, Change(lines=(line,)))
            return
        drift_store.update(self._channel, self._options, lambda e, f: drift.settle(e, before, f, line))
