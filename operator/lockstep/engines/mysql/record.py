"""The record of a step, sent as one text: begun, the fence in its first entry, committed."""

from lockstep.engines.base import Action, Recorded
from lockstep.engines.mysql.batch import Texts
from lockstep.engines.mysql.channel import Answer, Channel, SqlError
from lockstep.engines.mysql.errors import NO_VALUE
from lockstep.engines.mysql.store import MysqlStore
from lockstep.engines.portable.records import Recorder, missing
from lockstep.engines.portable.store import Change

_COMMIT = "COMMIT"


class Records:
    """Records the steps of one run that have run something."""

    def __init__(self, channel: Channel, store: MysqlStore, recorder: Recorder, packet: int) -> None:
        self._channel = channel
        self._store = store
        self._recorder = recorder
        self._packet = packet
        self._texts = Texts(store.connection, store.schema)

    def write(self, action: Action, journaled: str | None) -> Recorded:
        """Write a step's record and commit it.

        Args:
            action: the step.
            journaled: its name in the journal, which it is taken out of; None: a transaction was begun that holds it.

        Raises:
            SqlError: if it could not be written.
            RunError: Fenced, or LedgerInvalid.
            ConnectionLostError: if it is not known whether it is there.
        """
        recorder = self._recorder
        entry = recorder.entry(action)
        changes = list(recorder.changes.of(action, entry, None))
        if journaled is not None:
            changes.append(recorder.journal.forgotten(journaled))
        changes.append(recorder.changes.time(entry))
        # What must be looked at before it is committed is not committed by the same text.
        looks = any(each.must_meet for each in changes)
        body = [self._texts.of(each) for each in changes] + ([] if looks else [_COMMIT])
        answers = self._send(() if journaled is None else self._store.opening, body, action)
        if looks:
            _look(changes, answers, action)
            self._channel.query(_COMMIT)
        recorder.mark = entry.mark
        [[at]] = answers[len(changes) - 1].rows
        return Recorded(entry.mark, str(at))

    def _send(self, opening: tuple[str, ...], body: list[str], action: Action) -> list[Answer]:
        """Send it; return the answers to its body."""
        try:
            return self._channel.together([*opening, *body], self._packet)[len(opening) :]
        except SqlError as error:
            if error.number != NO_VALUE:
                raise
        # Overtaken, which this finds, or not marked yet as a run that has committed, which this does.
        self._recorder.fence(action.label)
        return self._channel.together(body, self._packet)


def _look(changes: list[Change], answers: list[Answer], action: Action) -> None:
    """See that each change has met a row that must.

    Raises:
        RunError: LedgerInvalid.
    """
    if any(each.must_meet and not answer.met for each, answer in zip(changes, answers, strict=True)):
        raise missing(action)
