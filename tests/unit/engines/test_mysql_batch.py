"""How values and texts are written that are sent together."""

import pytest

from lockstep.engines.mysql.batch import literal, lots


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "NULL"),
        (7, "7"),
        (True, "1"),
        ("", "_utf8mb4 X''"),
        ("a';\\ß", "_utf8mb4 X'61273b5cc39f'"),
        (b"", "X''"),
        (b"\0'", "X'0027'"),
    ],
)
def test_values_hold_no_end_of_a_statement(value: object, written: str) -> None:
    assert literal(value) == written


def test_what_the_ledger_does_not_have_is_not_written() -> None:
    with pytest.raises(TypeError):
        literal(1.5)


def test_as_many_go_together_as_a_packet_holds() -> None:
    assert list(lots([], 100)) == []
    assert list(lots(["a", "b"], 100)) == ["a;\nb"]
    assert list(lots(["a", "b"], 0)) == ["a", "b"]
    assert list(lots(["aa", "x" * 20, "b", "ß"], 9)) == ["aa", "x" * 20, "b;\nß"]
    assert list(lots(["b", "ßß"], 9)) == ["b", "ßß"]
