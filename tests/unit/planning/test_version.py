"""Versions are compared part by part, as numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.planning.version import BASE, InvalidVersionError, Version, parse_target

parts = st.lists(st.integers(min_value=0, max_value=10**19), min_size=1, max_size=5)


def written(numbers: list[int], zeros: list[int]) -> str:
    return ".".join("0" * zero + str(number) for number, zero in zip(numbers, zeros, strict=True))


@pytest.mark.parametrize(
    ("left", "right"),
    [("1", "01"), ("1", "1.0"), ("1.0", "1.0.0"), ("0", "0.0"), ("0003", "3"), ("2026.07", "2026.7.0")],
)
def test_the_same_numbers_are_the_same_version(left: str, right: str) -> None:
    assert Version.parse(left) == Version.parse(right)
    assert (Version.parse(left) != Version.parse(right)) is False
    assert Version.parse(left) <= Version.parse(right) <= Version.parse(left)
    assert Version.parse(left) >= Version.parse(right)
    assert not Version.parse(left) > Version.parse(right)
    assert hash(Version.parse(left)) == hash(Version.parse(right))
    assert Version.parse(left).canonical == Version.parse(right).canonical


@pytest.mark.parametrize(
    ("low", "high"), [("2", "10"), ("1", "1.0.1"), ("1.9", "1.10"), ("0", "0.1"), ("0999", "1000")]
)
def test_numbers_decide_the_order(low: str, high: str) -> None:
    assert Version.parse(low) < Version.parse(high)
    assert not Version.parse(high) < Version.parse(low)
    assert Version.parse(high) > Version.parse(low) != Version.parse(high)
    assert Version.parse(high) >= Version.parse(low)
    assert not Version.parse(high) <= Version.parse(low)


@pytest.mark.parametrize(
    "text",
    ["", "v1", "1.", ".1", "1..2", "1-2", " 1", "1\n", "latest", "-1", "1e3", "\uff11", "9" * 21, "1." * 80 + "1"],
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidVersionError, match="write numbers separated by dots"):
        Version.parse(text)


@given(parts, st.data())
def test_every_writing_has_one_canonical_text(numbers: list[int], data: st.DataObject) -> None:
    zeros = data.draw(st.lists(st.integers(0, 1), min_size=len(numbers), max_size=len(numbers)))
    numbers = [number % 10**18 for number in numbers]
    version = Version.parse(written(numbers, zeros))
    assert version == Version.parse(version.canonical)
    assert version == Version.parse(version.text + ".0")


@given(st.lists(parts, min_size=2, max_size=6))
def test_the_order_is_that_of_the_numbers(lines: list[list[int]]) -> None:
    versions = [Version.parse(".".join(map(str, numbers))) for numbers in lines]
    assert sorted(versions) == sorted(versions, key=lambda version: version.key)
    assert all(version > BASE for version in versions)


def test_targets() -> None:
    assert parse_target("latest") is None
    assert parse_target("base") == BASE
    assert parse_target("0003") == Version.parse("3")
    with pytest.raises(InvalidVersionError):
        parse_target("newest")
