"""Other people's queries are shown without what they look for."""

import pytest

from lockstep.engines.postgresql.blockers import mask


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("SELECT * FROM t WHERE name = 'O''Brien' AND id = 42", "SELECT * FROM t WHERE name = ? AND id = ?"),
        ("SELECT 'cut off at 1024 bytes", "SELECT ?"),
        ("UPDATE t1 SET x2 = 1.5e3 -- why: secret", "UPDATE t1 SET x2 = ? ?"),
        ("DO $$ secret $$; DO $a$ cut", "DO ?; DO ?"),
        ("SELECT /* secret */ 1\n\n  FROM t", "SELECT ? ? FROM t"),
        ("SELECT E'a\\'secret' FROM t", "SELECT ? FROM t"),
    ],
)
def test_literals_are_masked(query: str, shown: str) -> None:
    assert mask(query) == shown
