"""What an object is like just now: what a statement's effect is told by."""

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Final

from lockstep.engines.mysql.channel import Channel, SqlError
from lockstep.engines.mysql.errors import NO_NAME
from lockstep.engines.mysql.session import quoted
from lockstep.engines.mysql.subjects import Effect, Settling, Subject, judge

_COLUMNS: Final = {
    "table": 1,
    "view": 1,
    "sequence": 1,
    "database": 1,
    "trigger": 2,
    "procedure": 2,
    "function": 2,
    "library": 2,
    "event": 3,
}
"""Which column of SHOW CREATE has the definition."""
_ABSENT: Final = frozenset({1049, 1146, 1305, 1360, 1539, 4091}) | NO_NAME
_COUNTER: Final = re.compile(r" AUTO_INCREMENT=\d+")
_NAME: Final = re.compile(r"\ACREATE TABLE `(?:[^`]|``)*+`")
_LASTING: Final = """
SELECT 1 FROM information_schema.TABLES AS t JOIN information_schema.ENGINES AS e ON e.ENGINE = t.ENGINE
WHERE t.TABLE_SCHEMA = %s AND t.TABLE_NAME = %s AND COALESCE(e.TRANSACTIONS, 'NO') <> 'YES'
"""
FORMAT: Final = 2


class UnreadableError(Exception):
    """An object cannot be looked at: what a statement has done to it cannot be told."""


def image(channel: Channel, subject: Subject, database: str) -> str | None:
    """Return a hash of an object's definition; None: it is not there.

    Raises:
        UnreadableError: if the user may not see it.
    """
    # A view is shown as a table too, whatever it is now.
    kind = "table" if subject.kind in {"view", "sequence"} else subject.kind
    try:
        rows = channel.query(f"SHOW CREATE {kind.upper()} {quoted(subject, database)}")
    except SqlError as error:
        if error.number in _ABSENT:
            return None
        raise UnreadableError(error.text) from error
    text = rows[0][_COLUMNS[kind]] if rows else None
    if text is None:
        raise UnreadableError(f"the definition of {subject.kind} {subject.name} is not shown to this user")
    # Rows of others move the counter; by its name a table would not be known again where it has got another.
    shown = _NAME.sub("CREATE TABLE", _COUNTER.sub("", str(text)))
    return hashlib.sha256(shown.encode()).hexdigest()


def images(channel: Channel, effect: Effect, database: str) -> tuple[str | None, ...] | None:
    """Return the image of each object that a statement changes; None: one of them cannot be looked at."""
    if effect.settling is not Settling.IMAGE:
        return ()
    try:
        return tuple(image(channel, subject, database) for subject in effect.subjects)
    except UnreadableError:
        return None


def to_note(sql_head: str, before: Sequence[str | None] | None) -> str:
    """Return what the journal keeps of a statement, to tell its effect with after a crash. Pure."""
    return json.dumps({"format": FORMAT, "head": sql_head, "before": before}, separators=(",", ":"))


def of_note(note: str | None) -> tuple[str, tuple[str | None, ...] | None] | None:
    """Return the statement's head and its images of before; None: the note is none. Pure."""
    try:
        found = json.loads(note or "")
        if found["format"] != FORMAT:
            return None
        before = found["before"]
        return str(found["head"]), None if before is None else tuple(before)
    except (ValueError, KeyError, TypeError):
        return None


def are_alike(images: Sequence[str | None]) -> bool:
    """Tell whether two objects that are there have one and the same image. Pure."""
    there = [each for each in images if each is not None]
    return len(set(there)) < len(there)


def has_happened(
    channel: Channel, effect: Effect, before: Sequence[str | None] | None, database: str, *, drops: bool
) -> bool | None:
    """Tell whether a statement that has no end any more has taken effect; None: nobody can tell.

    Where it may be run again, whether or not, it counts as one that has not.
    """
    match effect.settling:
        case Settling.AGAIN:
            return False
        case Settling.EMPTY:
            return _is_empty(channel, effect.subjects[0], database) or None
        case Settling.IMAGE if before is not None and len(before) == len(effect.subjects):
            now = images(channel, effect, database)
            found = None if now is None else judge(before, now, drops=drops, makes=effect.makes)
            # What a server that crashed has left of its rows, nothing tells.
            return None if found and effect.fills and _keeps_rows(channel, effect.subjects[0], database) else found
    return None


def _keeps_rows(channel: Channel, subject: Subject, database: str) -> bool:
    """Tell whether a table is one without transactions."""
    return bool(channel.query(_LASTING, subject.schema or database, subject.name))


def _is_empty(channel: Channel, subject: Subject, database: str) -> bool:
    try:
        return not channel.query(f"SELECT 1 FROM {quoted(subject, database)} LIMIT 1")  # noqa: S608 - a quoted name
    except SqlError:
        return False
