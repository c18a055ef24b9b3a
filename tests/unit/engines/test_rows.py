"""The ledger's rows as the planner's words."""

from lockstep.engines import rows
from lockstep.planning.plan import Undone
from lockstep.planning.version import Version

TWO = Version.parse("2")


def test_what_was_undone_and_how_long_it_had_been_there() -> None:
    assert rows.undone([]) == ()
    past = [("2", 2, "up", ""), ("2.0", 4, "down", ""), ("2", 5, "adopt", "words"), ("2", 7, "down", "")]
    assert rows.undone(past) == (Undone(TWO, 2, 4), Undone(TWO, 5, 7))
    # PostgreSQL sends its numbers as texts.
    assert rows.undone([("2", "2", "up", ""), ("2", "4", "down", "")]) == (Undone(TWO, 2, 4),)


def test_what_a_person_says_counts_as_well() -> None:
    past = [("2", 2, "up", ""), ("2", 3, "repair", "MarkNotApplied: by hand"), ("2", 4, "repair", "MarkApplied")]
    assert rows.undone(past) == (Undone(TWO, 2, 3),)
    assert rows.undone([*past, ("2", 9, "down", "")]) == (Undone(TWO, 2, 3), Undone(TWO, 4, 9))


def test_what_is_marked_as_it_is_was_there_all_the_time() -> None:
    # A down by half, of which a person says that nothing of it has happened; then an up by half.
    past = [("2", 2, "up", ""), ("2", 5, "repair", "MarkApplied"), ("2", 7, "down", "")]
    assert rows.undone(past) == (Undone(TWO, 2, 7),)
    assert rows.undone([*past, ("2", 8, "repair", "MarkNotApplied")]) == (Undone(TWO, 2, 7),)
