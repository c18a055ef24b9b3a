"""What a life needs of an engine: an empty database, migrations that can be judged, and a way to strike a run."""

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar

from lockstep.api.reasons import Reason
from lockstep.planning.wire import OrderedMigration
from servers.counted import Seen, View
from servers.counting import CountingProxy, Strike
from servers.nursery import Newborn

BEYOND = 24
"""Messages behind a COMMIT in which what it should have held would still come: a statement has up to five."""


class Place(ABC):
    """One database, empty at first."""

    secret: dict[str, str]
    """The keys of its Secret."""

    @abstractmethod
    def arm(self, pod: Newborn, chance: random.Random) -> str:
        """Have the run that is started next struck at some moment; return how, in words that can be counted."""

    @abstractmethod
    def disarm(self, pod: Newborn, code: int) -> bool:
        """Strike no more; tell whether the run that has ended with this code was struck."""

    @abstractmethod
    def is_idle(self) -> bool:
        """Tell whether no run holds a lock any more."""

    def is_by_half(self, state: Seen) -> bool:
        """Tell whether a run that has ended has left something that the next one has to settle."""
        return bool(state.journal)

    @abstractmethod
    def look(self) -> AbstractContextManager[View]:
        """Look at what is there, and leave it as it is."""


class Ground(ABC):
    """One engine."""

    engine: ClassVar[str]
    """The word of database.engine."""
    migrations: ClassVar[Sequence[OrderedMigration]]
    """Versions 1 to 6 of one line, each of which can be settled after a crash, or is a CALL."""
    interrupted: ClassVar[frozenset[Reason]] = frozenset({Reason.UNREACHABLE})
    """How a run may end that was struck and not killed: the next attempt goes on."""

    @abstractmethod
    def place(self, number: int, folder: Path) -> AbstractContextManager[Place]:
        """Make a database for the life of this number; it is gone afterwards."""


class Wire(Place):
    """A database behind a server: its runs are struck at messages of the protocol.

    Some of them at any, some at a COMMIT or soon after it: where a commit holds too little, that is where it shows.
    """

    COMMIT: ClassVar[bytes]
    """As a client sends it."""

    def __init__(self, proxy: CountingProxy, expected: int) -> None:
        self._proxy = proxy
        self._messages = {True: expected, False: expected}
        """How many messages of the client and of the server the last run took that nothing has struck."""
        self._commits = 20
        self._commits_met = False
        """Whether they are counted this time."""

    def arm(self, pod: Newborn, chance: random.Random) -> str:
        how = chance.choice([Strike.KILL, Strike.KILL, Strike.KILL_SENT, Strike.KILL_SENT, Strike.CUT])
        self._commits_met = chance.random() < 0.3
        if self._commits_met:
            after, beyond = 1 + chance.randrange(self._commits), chance.choice([0, chance.randrange(BEYOND)])
            self._proxy.arm(after, how, kill=pod.strike, word=self.COMMIT, beyond=beyond)
            return f"{how.name} at a COMMIT {after}+{beyond}"
        client = chance.random() < 0.6
        after = 1 + chance.randrange(self._messages[client])
        self._proxy.arm(after, how, client=client, kill=pod.strike)
        return f"{how.name} at {'its own' if client else 'the server'} message {after}"

    def disarm(self, pod: Newborn, code: int) -> bool:
        self._proxy.disarm()
        struck = self._proxy.struck.is_set()
        self._proxy.struck.clear()
        if not struck and code == 0:
            self._messages = dict(self._proxy.counted)
            if self._commits_met:
                self._commits = max(1, self._proxy.met)
        return struck
