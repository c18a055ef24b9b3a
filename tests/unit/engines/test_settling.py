"""What became of a statement, for every way in which the catalog can look afterwards."""

import pytest

from lockstep.engines.postgresql.settling import Facts, Index, Seen, Settlement, Verdict, cut, decode, is_there, settle
from lockstep.engines.postgresql.subjects import Kind

THEIRS = Index(1, "theirs", "public.theirs", False)
OLD = Index(2, "i", "public.i", False)
HALF = Index(3, "i", "public.i", False)
WHOLE = Index(3, "i", "public.i", True)
CHOSEN = Index(4, "t_x_idx1", "public.t_x_idx1", False)
BUILT = Index(4, "t_x_idx1", "public.t_x_idx1", True)
OTHER = Index(5, "t_y_idx", "public.t_y_idx", True)

NAMED = Facts(Kind.CREATE_INDEX, "", 10, name="i", before=(1,))
LENIENT = Facts(Kind.CREATE_INDEX, "", 10, name="i", before=(1, 2), lenient=True)
STRICT = Facts(Kind.CREATE_INDEX, "", 10, name="i", before=(1, 2))
UNNAMED = Facts(Kind.CREATE_INDEX, "", 10, before=(1,))
DROP = Facts(Kind.DROP_INDEX, "", 3)
DETACH = Facts(Kind.DETACH, "", 10, 11)
REINDEX = Facts(Kind.REINDEX, "", before=(1,))
CREATE = Facts(Kind.CREATE, "", 0, name="d", scope="DATABASE")
DROPPED = Facts(Kind.DROP, "", 7, name="d", scope="DATABASE")

AGAIN, DONE, UNKNOWN = Settlement(Verdict.AGAIN), Settlement(Verdict.DONE), Settlement(Verdict.UNKNOWN)


@pytest.mark.parametrize(
    ("facts", "seen", "settled"),
    [
        (NAMED, Seen((THEIRS,)), AGAIN),
        (NAMED, Seen((THEIRS, HALF)), Settlement(Verdict.AGAIN, (HALF,))),
        (NAMED, Seen((THEIRS, WHOLE)), DONE),
        (LENIENT, Seen((OLD,)), Settlement(Verdict.AGAIN, (OLD,))),
        (LENIENT, Seen((Index(2, "i", "", True),)), AGAIN),
        (STRICT, Seen((OLD,)), AGAIN),
        (UNNAMED, Seen((THEIRS,)), AGAIN),
        (UNNAMED, Seen((THEIRS, CHOSEN)), Settlement(Verdict.AGAIN, (CHOSEN,))),
        (UNNAMED, Seen((THEIRS, BUILT)), DONE),
        (UNNAMED, Seen((THEIRS, BUILT, OTHER)), UNKNOWN),
        (UNNAMED, Seen((THEIRS, WHOLE)), AGAIN),
        (DROP, Seen(present=3), AGAIN),
        (DROP, Seen(present=0), DONE),
        (Facts(Kind.DROP_INDEX, "", 0), Seen(), AGAIN),
        (DETACH, Seen(present=10), AGAIN),
        (DETACH, Seen(present=0), DONE),
        (DETACH, Seen(present=10, finalize="F"), Settlement(Verdict.DONE, first="F")),
        (REINDEX, Seen((THEIRS, HALF)), Settlement(Verdict.AGAIN, (HALF,))),
        (CREATE, Seen(present=0), AGAIN),
        (CREATE, Seen(present=7), DONE),
        (Facts(Kind.CREATE, "", 7, name="d"), Seen(present=7), AGAIN),
        (DROPPED, Seen(present=7), AGAIN),
        (DROPPED, Seen(present=0), DONE),
        (DROPPED, Seen(present=8), DONE),
        (Facts(Kind.AGAIN, ""), Seen(), AGAIN),
        (Facts(Kind.OPAQUE, ""), Seen(), UNKNOWN),
    ],
)
def test_is_settled(facts: Facts, seen: Seen, settled: Settlement) -> None:
    assert settle(facts, seen) == settled
    # What is kept of it is all of it.
    assert decode(facts.encode()) == facts


def test_an_index_is_there_only_once_it_is_valid() -> None:
    assert is_there(NAMED, Seen((WHOLE,)))
    assert not is_there(NAMED, Seen((HALF,)))
    assert not is_there(NAMED, Seen(()))
    assert not is_there(LENIENT, Seen((OLD,)))
    assert is_there(UNNAMED, Seen((BUILT,)))
    assert is_there(DROP, Seen(()))


@pytest.mark.parametrize("note", [None, "", "words", "[]", "{}", '{"kind":"nothing"}', '{"kind":"again","odd":1}'])
def test_a_note_that_holds_no_facts(note: str | None) -> None:
    assert decode(note) is None


def test_a_name_is_cut_as_the_server_cuts_it() -> None:
    assert cut("x" * 70) == "x" * 63
    assert cut("x" * 62 + "é") == "x" * 62
