"""A migration statement by statement: what commits by itself is journaled, what does not commits with its note."""

import re
from collections.abc import Sequence
from functools import partial
from typing import Final

from msgspec import Struct

from lockstep.api.reasons import Reason
from lockstep.engines.base import Recorded, RunError
from lockstep.engines.lexing import Statement
from lockstep.engines.mysql import failures
from lockstep.engines.mysql.channel import SqlError, StatementTimeoutError, StoppedError
from lockstep.engines.mysql.errors import (
    DENIED,
    NO_ACCOUNT,
    NO_NAME,
    NO_PROCEDURE,
    NO_RIGHT_TO_CALL,
    NO_TABLE,
    NOT_BEGUN,
    PASSING,
    UNREAD,
    own_error,
)
from lockstep.engines.mysql.failures import Ended
from lockstep.engines.mysql.images import are_alike, has_happened, images, to_note
from lockstep.engines.mysql.notes import Note, doubted, finished, started
from lockstep.engines.mysql.running import Running
from lockstep.engines.mysql.statements import Kind, SqlScript, kind_of, refused
from lockstep.engines.mysql.store import translated
from lockstep.engines.mysql.subjects import HEAD, NEVER, Effect, Settling, called, effect_of
from lockstep.engines.portable.journal import FINISHED, Noted

_WRITES: Final = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "WITH"})
_RUN_OTHERS: Final = frozenset({"CALL", "EXECUTE", "BEGIN", "IF", "CASE", "LOOP", "WHILE", "REPEAT", "FOR"})
_READS_TEXTS: Final = re.compile(r"(?<![\w$])(?:call|execute|prepare)(?![\w$])", re.IGNORECASE)
_STRINGS: Final = re.compile(r"""'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*\"""", re.DOTALL)
_NAMES: Final = re.compile(r"[\w$]*[^\W\d][\w$]*")
_LASTING: Final = """
SELECT t.TABLE_NAME FROM information_schema.TABLES AS t JOIN information_schema.ENGINES AS e ON e.ENGINE = t.ENGINE
WHERE t.TABLE_SCHEMA = DATABASE() AND t.TABLE_TYPE = 'BASE TABLE' AND COALESCE(e.TRANSACTIONS, 'NO') <> 'YES'
  AND t.TABLE_NAME IN ({})
"""


class Meaning(Struct, frozen=True):
    """What a statement is, once it is known what an EXECUTE executes."""

    kind: Kind
    sql: str
    words: tuple[str, ...] = ()
    keywords: frozenset[str] = frozenset()

    @property
    def drops(self) -> bool:
        """Whether it drops its objects."""
        return self.words[:1] == ("DROP",)

    @property
    def effect(self) -> Effect:
        """What it changes, and how that can be told."""
        return effect_of(self.sql) if self.kind is Kind.COMMITS else NEVER

    def never_began(self, error: Exception, database: str) -> bool:
        """Tell whether an error says that nothing of it has run; of what runs statements it may be one of theirs."""
        if not isinstance(error, SqlError):
            return False
        if error.number in DENIED:
            # What a query in it may not read shows late: a table that was to be replaced is gone then.
            return self.kind is Kind.COMMITS and "SELECT" not in self.keywords
        if self._is_unknown(error):
            return True
        runs_others = self.kind is Kind.OPAQUE and not _RUN_OTHERS.isdisjoint(self.words)
        if not runs_others:
            return error.number in NOT_BEGUN
        return self._is_unread(error) or self._not_called(error, database)

    def _is_unknown(self, error: SqlError) -> bool:
        """Tell whether an error says that a name can be none, or is none's, of what nothing but its note can tell.

        Where objects tell, they are asked: an index's long name shows when MariaDB's OR REPLACE has dropped the table.
        """
        if self.kind is not Kind.COMMITS or self.effect.settling is not Settling.NEVER:
            return False
        if error.number in NO_NAME or error.number == NO_ACCOUNT:
            return self.words[:3] != ("CREATE", "OR", "REPLACE")
        return error.number in NO_TABLE and self.words[:2] == ("ALTER", "TABLE")

    def _is_unread(self, error: SqlError) -> bool:
        """Tell whether an error says that the server could not read it: what it runs is read with it, but for texts."""
        return error.number in UNREAD and _READS_TEXTS.search(_STRINGS.sub("''", self.sql)) is None

    def _not_called(self, error: SqlError, database: str) -> bool:
        """Tell whether an error says that there is no such procedure as is called, or no right to call it.

        One that runs may meet that of another, and not of itself: it stays where it is until it has ended.
        """
        one = called(self.sql)
        if one is None:
            return False
        name = f"{one.schema or database}.{one.name}".casefold()
        words = error.words.casefold()
        missing = error.number == NO_PROCEDURE and words == f"procedure {name} does not exist"
        return missing or (error.number == NO_RIGHT_TO_CALL and words.endswith(f" for routine '{name}'"))


class OneByOne:
    """One step, from where an earlier run has left it."""

    def __init__(self, running: Running, noted: Sequence[Noted]) -> None:
        self._running = running
        self._work = running.work
        self._script = running.script
        self._journal = running.work.recorder.journal
        self._done = _done(running, noted)
        self._ended: Statement | None = None
        """One that has ended well, and whose note does not say so yet."""
        running.left = bool(self._done)

    def run(self) -> Recorded:
        """Run what has not been run, then record the step.

        Raises:
            RunError: if it failed; what has run is in the journal.
            ConnectionLostError: if it is not known what is there.
        """
        running, script = self._running, self._script
        try:
            for part in script.parts:
                if script.kind(part) is Kind.SESSION:
                    self._note_end()
                    running.retry(partial(self._session, part))
                elif part.number not in self._done:
                    running.retry(partial(self._one, part))
            running.settle_session()
            # What is noted is taken away with the record.
            return running.retry(self._record)
        except RunError:
            self._note_end()
            raise

    def _record(self) -> Recorded:
        try:
            return self._running.record(begun=False)
        except SqlError as error:
            self._work.store.roll_back()
            if error.number in PASSING:
                raise self._running.explained(error, None) from error
            raise own_error(error.number, error.words) from error
        except RunError:
            self._work.store.roll_back()
            raise

    def _one(self, part: Statement) -> None:
        meaning = self._meaning(part)
        if meaning.kind is Kind.PLAIN:
            self._note_end()
            self._with_its_note(part)
        else:
            self._by_itself(part, meaning)
        self._running.left = True

    def _meaning(self, part: Statement) -> Meaning:
        """Return what a statement is.

        Raises:
            RunError: StatementRefused, if it executes what is refused.
        """
        sql, kind = self._script.sql(part), self._script.kind(part)
        words, keywords = part.words, part.keywords
        if kind is Kind.OPAQUE and words[:1] == ("EXECUTE",) and (found := self._executed(sql)) is not None:
            sql, inner = found
            words, keywords, kind = inner.words, inner.keywords, kind_of(inner.words)
            if (why := refused(inner, sql)) is not None:
                place = self._running.place(part)
                raise RunError(Reason.STATEMENT_REFUSED, f"{place.words()}: {why}", error=place.detail())
        if kind is Kind.SESSION:
            kind = Kind.OPAQUE
        if kind is Kind.PLAIN and words[:1] and words[0] in _WRITES and lasting_tables(self._running, (sql,)):
            kind = Kind.OPAQUE
        return Meaning(kind, sql, words, keywords)

    def _executed(self, sql: str) -> tuple[str, Statement] | None:
        with self._running.own():
            return self._running.prepared.of(sql)

    def _session(self, part: Statement) -> None:
        """Run what concerns the session alone: in each run again, since the session is another."""
        try:
            self._running.statement(part)
        except (SqlError, StoppedError, StatementTimeoutError) as error:
            raise self._running.explained(error, part) from error

    def _with_its_note(self, part: Statement) -> None:
        """Run what can be rolled back: it and its note are committed together."""
        running, work = self._running, self._work
        # The SQL may have made its session read-only: the note is written all the same.
        work.channel.query("START TRANSACTION READ WRITE")
        try:
            running.statement(part)
            note = finished(part.number, self._script.digest(part))
            with running.own(), translated():
                if not running.write(note):
                    work.recorder.fence(running.action.label)
                    running.write(note)
                work.store.commit()
        except (SqlError, StoppedError, StatementTimeoutError) as error:
            if not work.channel.roll_back():
                raise self._doubt(part, error, "tables without transactions keep what it had changed") from error
            raise running.explained(error, part) from error
        except RunError:
            work.channel.roll_back()
            raise

    def _by_itself(self, part: Statement, meaning: Meaning) -> None:
        """Run what commits by itself, noted before; that it has ended is noted with the next, where that can wait."""
        running, work = self._running, self._work
        effect, database = meaning.effect, work.server.database
        with running.own():
            before = images(work.channel, effect, database)
            note = to_note(meaning.sql[:HEAD] if effect.settling is not Settling.NEVER else "", before)
            end, self._ended = self._end(), None
            # Where it cannot be written, it is not tried once more for its first half alone.
            running.jot(*end, started(part.number, self._script.digest(part), note))
        try:
            running.statement(part)
            if work.channel.in_transaction:
                # A procedure has left it open.
                work.channel.query("COMMIT")
        except (SqlError, StoppedError, StatementTimeoutError) as error:
            work.channel.roll_back()
            if meaning.never_began(error, database):
                running.note(lambda: self._journal.drop(running.step, running.direction, part.number))
            else:
                self._failed(part, error, effect, before, drops=meaning.drops)
            raise running.explained(error, part) from error
        self._ended = part
        told = effect.settling is Settling.IMAGE and before is not None and not (effect.turns and are_alike(before))
        can_wait = told or effect.settling is Settling.AGAIN
        if not can_wait and part.number != self._script.parts[-1].number:
            # After a crash nothing but its note may be able to tell it.
            self._note_end()

    def _end(self) -> tuple[Note, ...]:
        return () if self._ended is None else (finished(self._ended.number, self._script.digest(self._ended)),)

    def _note_end(self) -> None:
        end, self._ended = self._end(), None
        if end:
            self._running.jot(*end)

    def _failed(
        self, part: Statement, error: Ended, effect: Effect, before: Sequence[str | None] | None, *, drops: bool
    ) -> None:
        """See what a statement has left that failed; nothing: it is as if it had never begun.

        Raises:
            RunError: Partial.
        """
        running, work = self._running, self._work
        # A TRUNCATE that fails has done nothing, whatever its table holds.
        if effect.settling is not Settling.EMPTY:
            try:
                with running.own():
                    happened = has_happened(work.channel, effect, before, work.server.database, drops=drops)
            except SqlError:
                happened = None
            if happened is not False:
                raise self._doubt(part, error, "may have changed something all the same")
        running.note(lambda: self._journal.drop(running.step, running.direction, part.number))

    def _doubt(self, part: Statement, error: Ended, left: str) -> RunError:
        why = f"{failures.how(error)}, and {left}"
        self._running.jot(doubted(part.number, self._script.digest(part), why))
        return failures.doubtful(self._running.place(part), why, getattr(error, "sqlstate", None))


def _done(running: Running, noted: Sequence[Noted]) -> frozenset[int]:
    """Return the numbers of the statements that have taken effect, if the text still begins with them.

    Raises:
        RunError: Partial.
    """
    script, found = running.script, set()
    for each in noted:
        if each.state != FINISHED:
            continue
        part = script.parts[each.statement - 1] if each.statement <= len(script.parts) else None
        if part is None or script.digest(part) != each.digest:
            if running.action.migration.version is None:
                # A repeatable migration may run at any time: one that has changed begins anew.
                running.note(lambda: running.work.recorder.journal.forget(running.step))
                return frozenset()
            raise failures.changed_before(running.place(part or (script.parts[-1] if script.parts else None)))
        found.add(each.statement)
    return frozenset(found)


def lasting_tables(running: Running, texts: Sequence[str]) -> bool:
    """Tell whether statements may change tables without transactions, which keep what is rolled back."""
    # Any word may be one's name.
    names = {name for sql in texts for name in _NAMES.findall(_STRINGS.sub("", sql[:HEAD]))}
    if not names:
        return False
    marks = ", ".join(["%s"] * len(names))
    with running.own():
        return bool(running.work.channel.query(_LASTING.format(marks), *sorted(names)))


def writes(script: SqlScript) -> tuple[str, ...]:
    """Return the heads of the statements that change rows. Pure."""
    return tuple(
        script.text[part.start : min(part.end, part.start + HEAD)]
        for part, kind in zip(script.parts, script.kinds, strict=True)
        if kind is Kind.PLAIN and part.words[:1] and part.words[0] in _WRITES
    )
