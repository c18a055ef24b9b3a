"""One life: a line in a database of its own that goes up, down and up again while its runs are struck."""

import random
from collections import Counter
from pathlib import Path

from engines.kills.ground import Ground, Place
from lockstep.api.reasons import Reason
from lockstep.planning.wire import Order, Policy, RepairOrder
from servers.counted import Seen, verify
from servers.nursery import Newborn, Nursery
from servers.process import wait_until
from servers.runner import Ended, order

KILLS = 10
"""Strikes in one life."""
FREE_SECONDS = 20.0
"""How long the server may take to notice that a runner is gone: never so long but on a machine that is overloaded."""


class Life:
    """Everything in it follows from its number and the seed."""

    def __init__(self, number: int, seed: int, ground: Ground, nursery: Nursery, folder: Path) -> None:
        self._number = number
        self._chance = random.Random(f"{seed}/{number}")
        self._ground = ground
        self._nursery = nursery
        self._folder = folder / f"life{number}"
        self._folder.mkdir()
        self._runs = 0
        self._repair: RepairOrder | None = None
        self.seen: Counter[str] = Counter()
        """How it was struck, and what was seen then."""
        self.log: list[str] = []
        """What was done, for whoever reads of a failure."""

    def go(self) -> None:
        """Live it.

        Raises:
            AssertionError: if what is left after a strike is not what is recorded.
        """
        with self._ground.place(self._number, self._folder) as place:
            struck, target = 0, "latest"
            while struck < KILLS:
                arrived, hit = self._attempt(target, place, strike=True)
                struck += hit
                if arrived:
                    target = self._chance.choice(["1", "2", "3"]) if target == "latest" else "latest"
            # What was struck last goes on as well; a person may have to say something first.
            arrived, _ = self._attempt(target, place, strike=False)
            assert arrived or self._attempt(target, place, strike=False)[0]

    def _attempt(self, target: str, place: Place, *, strike: bool) -> tuple[bool, bool]:
        """Run once; tell whether the line has arrived, and whether the run was struck."""
        pod = Newborn(self._nursery, self._folder, f"pod{self._runs}")
        self._runs += 1
        how = place.arm(pod, self._chance) if strike else "nothing"
        self.log.append(f"{pod.name} to {target}, {self._repair}: {how}")
        pod.start(self._order(target), place.secret)
        code = pod.wait()
        struck = place.disarm(pod, code)
        wait_until(place.is_idle, FREE_SECONDS, "a free lock")
        with place.look() as view:
            state = verify(view, self._ground.migrations)
        if struck:
            self.seen[" ".join(how.split()[:-1])] += 1
            self.seen["by half"] += place.is_by_half(state)
        if code < 0:
            assert struck, pod.text()
            return False, struck
        return self._judge(pod.ended(code), target, state, struck=struck), struck

    def _judge(self, ended: Ended, target: str, state: Seen, *, struck: bool) -> bool:
        """See that a run that was not killed has ended as it may; tell whether the line has arrived."""
        reason = ended.result.reason
        if reason is Reason.PARTIAL:
            assert state.doubt is not None, ended.text
            self._say(state)
            return False
        if struck and reason in self._ground.interrupted:
            return False
        assert reason is Reason.UP_TO_DATE, ended.text
        assert not state.journal, state
        wanted = "6" if target == "latest" else target
        assert (ended.result.version, max(state.applied)) == (wanted, wanted), ended.text
        assert ended.result.drift is not None, ended.text
        assert not ended.result.drift.drifted, ended.text
        return True

    def _say(self, state: Seen) -> None:
        """Say what is true, as a person does who has looked."""
        assert state.doubt is not None
        self.seen["said by a person"] += 1
        action = "StatementApplied" if state.took_effect else "StatementNotApplied"
        self._repair = RepairOrder(f"token{self._runs}", action, version=state.doubt[0])

    def _order(self, target: str) -> Order:
        free = Policy(rollback="Allow")
        return order(
            *self._ground.migrations, target=target, policy=free, job=f"job{self._number}", repair=self._repair
        )
