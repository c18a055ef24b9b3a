"""Checksums and digests: what editors change on their own does not count, all else does."""

import hashlib
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.planning.checksum import checksum
from lockstep.planning.digest import SetMember, set_digest
from lockstep.planning.version import BASE, Version


@pytest.mark.parametrize("text", ["a;\nb;", "a;\nb;\n", "\ufeffa;\nb;\n", "a;\r\nb;\r\n", "a;\rb;"])
def test_line_ends_marks_and_the_final_newline_do_not_count(text: str) -> None:
    assert checksum(text) == hashlib.sha256(b"a;\nb;").hexdigest()


@pytest.mark.parametrize("text", ["a;\nb; ", "a;\n\nb;", "a;\nb;\n\n", "A;\nb;", " a;\nb;"])
def test_everything_else_counts(text: str) -> None:
    assert checksum(text) != checksum("a;\nb;")


def member(name: str, version: str | None, up: str = "x", down: str = "-") -> SetMember:
    return SetMember(name, None if version is None else Version.parse(version), checksum(up), down)


def test_the_digest_can_be_made_with_a_shell() -> None:
    # printf '1 <up> <down>\n2 <up> -\n~views <up> -\n' | sha256sum
    one, two, views = checksum("one"), checksum("two"), checksum("views")
    text = f"1 {one} {checksum('down')}\n2 {two} -\n~views {views} -\n"
    members = [
        member("views", None, "views"),
        member("b", "0002", "two"),
        member("a", "01", "one", checksum("down")),
    ]
    assert set_digest(members, None) == "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def test_versions_above_the_target_do_not_count_and_repeatables_do() -> None:
    low = [member("a", "1"), member("r", None)]
    high = [*low, member("b", "2")]
    assert set_digest(high, Version.parse("1.0")) == set_digest(low, None)
    assert set_digest(high, BASE) == set_digest([member("r", None)], None)
    assert set_digest(high, None) != set_digest(low, None)


members = st.lists(
    st.builds(
        member, st.just("m"), st.integers(1, 10**6).map(str), st.text(max_size=5), st.text(max_size=5).map(checksum)
    ),
    unique_by=lambda each: cast("Version", each.version).key,
    max_size=8,
)


@given(members, st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_count(some: list[SetMember], random: object) -> None:
    shuffled = list(some)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis' Random has no public type
    assert set_digest(shuffled, None) == set_digest(some, None)


@given(members, st.data())
def test_one_changed_text_changes_it(some: list[SetMember], data: st.DataObject) -> None:
    if not some:
        return
    index = data.draw(st.integers(0, len(some) - 1))
    old = some[index]
    changed = [*some]
    changed[index] = SetMember(old.name, old.version, checksum("changed text"), old.down)
    assert set_digest(changed, None) != set_digest(some, None)
