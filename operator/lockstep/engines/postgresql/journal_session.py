"""The session of a journaled migration: its SQL's own, and Lockstep's for one transaction at a time."""

from collections.abc import Sequence
from typing import Final

from lockstep.engines.postgresql.channel import Channel
from lockstep.engines.postgresql.frame import BEGIN, COMMIT, ROLLBACK, Frame
from lockstep.engines.postgresql.messages import Command, Reply, SqlError

# Safe in any session: qualified, and without an operator.
_SET: Final = "SELECT pg_catalog.set_config($1::pg_catalog.text, $2::pg_catalog.text, false)"
_LOOK: Final = """
SELECT SESSION_USER, pg_catalog.current_setting('role'::pg_catalog.text),
       pg_catalog.current_setting('lock_timeout'::pg_catalog.text),
       pg_catalog.current_setting('statement_timeout'::pg_catalog.text)
"""
_LOOKED_AT: Final = ("lock_timeout", "statement_timeout")


class JournalSession:
    """Knows what the SQL has set, so that neither it nor Lockstep works under the other's settings."""

    def __init__(self, channel: Channel, frame: Frame, user: str) -> None:
        self._channel = channel
        self._frame = frame
        self._user = user
        self._given: dict[str, str] = {}
        """Time limits that were set here, as the server shows them: any other is the SQL's own."""
        self._own: dict[str, str] = {}
        self._asked: list[str] = []
        self._role: str | None = None

    def begin(self) -> None:
        """Begin as every migration does: with the role's own search_path, and without temporary tables."""
        self._channel.run([Command("RESET search_path"), Command("DISCARD TEMP")])

    def limits(self, lock_timeout: int, statement_timeout: int, *, forced: bool = False) -> list[Command]:
        """Return what sets the time limits of the next statement, but for those that the SQL has set itself.

        Args:
            lock_timeout: milliseconds; 0: as long as it takes.
            statement_timeout: milliseconds.
            forced: whether the SQL's own give way this once.
        """
        wanted = {name: str(ms) for name, ms in self._frame.time_limits(lock_timeout, statement_timeout).items()}
        if not forced:
            wanted |= self._own
        self._asked = list(wanted)
        return [*self._role_again(), *(Command(_SET, (name, value)) for name, value in wanted.items())]

    def _role_again(self) -> list[Command]:
        """Return what sets the role again, which a session authorization that was set back takes away with it."""
        return [Command(_SET, ("role", self._role))] if self._role is not None else []

    def limit(self, lock_timeout: int, statement_timeout: int, *, forced: bool = False) -> None:
        """Set the time limits now."""
        self.took(self._channel.run(self.limits(lock_timeout, statement_timeout, forced=forced), stoppable=False))

    def took(self, replies: Sequence[Reply]) -> None:
        """Take in what the server answered to `limits`, once that is committed."""
        for name, reply in zip(reversed(self._asked), reversed(replies), strict=False):
            self._given[name] = reply.rows[0][0] or ""

    def looked(self, reply: Reply) -> None:
        """Take in what the server answered to the first of `set_aside`, once that is committed."""
        user, role, *values = reply.rows[0]
        self._role = role if user != self._user and role != "none" else None
        for name, value in zip(_LOOKED_AT, values, strict=True):
            if self._given.get(name, value) != value:
                self._own[name] = value or ""

    def look(self) -> None:
        """Take in what statements have set that were run by themselves."""
        self.looked(self._channel.run([Command(_LOOK)], stoppable=False)[0])

    def set_aside(self) -> list[Command]:
        """Return what looks at the session and makes it Lockstep's own until the transaction ends."""
        return [Command(_LOOK), *self._frame.reset_locally(self._user)]

    def commit(self, commands: Sequence[Command]) -> list[Reply]:
        """Run statements of the ledger's own in one transaction, and leave the session as it is; never stopped.

        Raises:
            SqlError: with the session as it was.
        """
        try:
            replies = self._channel.run([BEGIN, *self.set_aside(), *commands, COMMIT], stoppable=False)
        except SqlError:
            self._channel.run([ROLLBACK], stoppable=False)
            raise
        self.looked(replies[1])
        return replies
