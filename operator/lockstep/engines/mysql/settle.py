"""What a run has left that died: the one statement that was under way, settled by what its objects are like now."""

from lockstep.engines.base import Log
from lockstep.engines.mysql.channel import Channel, SqlError
from lockstep.engines.mysql.images import are_alike, has_happened, of_note
from lockstep.engines.mysql.subjects import effect_of
from lockstep.engines.portable.journal import STARTED
from lockstep.engines.portable.records import Recorder
from lockstep.engines.portable.store import Store
from lockstep.engines.rows import step_key
from lockstep.planning.plan import Partial

_DOUBT = "the run that began it died, and its objects do not tell whether it took effect"


def settle(channel: Channel, store: Store, recorder: Recorder, partial: Partial, *, database: str, log: Log) -> bool:
    """Settle the statement that a dead run has begun; return whether the journal says anything else now.

    The line's lock is held, so the session that ran it is gone, and with it whatever the server still did for it.
    """
    if partial.state != STARTED:
        return False
    canonical = None if partial.version is None else partial.version.canonical
    step, journal = step_key(partial.name, canonical), recorder.journal
    begun = [each for each in journal.noted(step, partial.direction) if each.state == STARTED and each.note is not None]
    for each in begun:
        happened = _happened(channel, each.note, database)
        with store.transaction():
            recorder.fence("the statement that was under way")
            if happened is None:
                journal.doubt(step, partial.direction, each.statement, _DOUBT)
            elif happened:
                journal.finish(step, partial.direction, each.statement)
            else:
                journal.drop(step, partial.direction, each.statement)
        words = {True: "it took effect", False: "it did not take effect", None: "nobody can tell"}[happened]
        log("settled", level="warning", step=step, statement=each.statement, found=words)
    return bool(begun)


def _happened(channel: Channel, note: str | None, database: str) -> bool | None:
    known = of_note(note)
    if known is None:
        return None
    head, before = known
    try:
        drops = head.lstrip("/*!0123456789 ").upper().startswith("DROP")
        effect = effect_of(head)
        happened = has_happened(channel, effect, before, database, drops=drops)
    except SqlError:
        return None
    # Where two that are alike have changed places, all is as it was.
    is_hidden = effect.turns and before is not None and are_alike(before)
    return None if happened is False and is_hidden else happened
