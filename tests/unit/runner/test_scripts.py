"""Every text is read before the first one runs; what is kept of that is bounded, the rest is read again."""

import pytest

from lockstep.runner import flow
from servers.runner import migration, order
from support.ledger import Ledger

TEXTS = ["a", "b", "c" * (flow.SHORT + 1), "d", "e"]


@pytest.mark.parametrize(
    ("kept", "again"),
    [(5, []), (2, ["d", "e"]), (0, ["a", "b", "d", "e"])],
    ids=["all", "the-first-and-the-long", "the-long"],
)
def test_what_is_not_kept_is_read_again(kept: int, again: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "KEPT", kept)
    ledger = Ledger()
    wanted = [migration(str(number), text) for number, text in enumerate(TEXTS, start=1)]
    assert ledger.run(order(*wanted), "p").applied == len(TEXTS)
    assert ledger.sql == TEXTS
    assert ledger.read == TEXTS + again
