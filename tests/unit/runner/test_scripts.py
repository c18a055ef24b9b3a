"""Every text is read before the first one runs; what is kept of that is bounded, the rest is read again."""

import pytest

from lockstep.runner import flow
from servers.runner import migration, order
from support.ledger import Ledger

LONG = "c" * 10_000
TEXTS = ["a", "b", LONG, "d", "e"]
ROOM = 1 + flow.PER_STATEMENT


@pytest.mark.parametrize(
    ("kept", "again"),
    [(4 * ROOM + flow.PER_STATEMENT + len(LONG), []), (4 * ROOM, [LONG]), (2 * ROOM, [LONG, "d", "e"]), (0, TEXTS)],
    ids=["all", "the-short", "the-first", "none"],
)
def test_what_is_not_kept_is_read_again(kept: int, again: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "KEPT", kept)
    ledger = Ledger()
    wanted = [migration(str(number), text) for number, text in enumerate(TEXTS, start=1)]
    assert ledger.run(order(*wanted), "p").applied == len(TEXTS)
    assert ledger.sql == TEXTS
    assert ledger.read == TEXTS + again
