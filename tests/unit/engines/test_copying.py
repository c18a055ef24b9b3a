"""What a server says of a COPY is told without the data, however long it is."""

import pytest

from lockstep.engines.postgresql.copying import without_data


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ('invalid input syntax for type integer: "secret"', "invalid input syntax for type integer: ?"),
        ('missing data for column "name"', 'missing data for column "name"'),
        ('violates check constraint "c" of "t"', 'violates check constraint "c" of "t"'),
        ('value "secret" is out of range', "value ? is out of range"),
        ('"secret" and "t"', '? and "t"'),
        ('of"secret"', "of?"),
        ("0xe4 0x62", "? ?"),
        ('an end without a partner: x"y', 'an end without a partner: x"y'),
    ],
)
def test_quoted_values_are_left_out_and_names_are_not(message: str, told: str) -> None:
    assert without_data(message, {"t"}) == told


@pytest.mark.parametrize("word", ["x", 'x"', '"', ": ", ' "'])
def test_a_long_message_takes_no_longer_for_each_of_its_letters(word: str) -> None:
    """A trigger may say what it likes; a square of a million would never end."""
    assert without_data(word * 1_000_000, ())
