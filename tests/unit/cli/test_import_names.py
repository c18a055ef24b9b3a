"""Names of Migrations that are made of files' titles: what Kubernetes takes, one each, the same each time."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from lockstep.api.fields import Name
from lockstep.cli.importing.changes import Change, Text, UnfitError
from lockstep.cli.importing.resources import resources

SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
"""What the API server takes for a name, beside its length."""


def change(version: str | None, title: str, file: str = "a.sql") -> Change:
    return Change(version, title, Text(file, "SELECT 1"))


def name(version: str | None, title: str, line: str = "orders") -> str:
    (made,) = resources([change(version, title)], line)
    return made.name


@pytest.mark.parametrize(
    ("version", "title", "expected"),
    [
        ("0003", "add_email", "orders-0003-add-email"),
        ("2.1", "Add__(e-mail)!", "orders-2.1-add-e-mail"),
        ("0003", "", "orders-0003"),
        ("0003", "пользователи", "orders-0003"),
        ("1", "Größe_ändern", "orders-1-groe-andern"),
        (None, "all_views", "orders-all-views"),
        ("1", f"{'word_' * 20}", f"orders-1{'-word' * 11}"),
        ("123", f"{'word_' * 20}", f"orders-123{'-word' * 10}"),
        ("1", "x" * 200, f"orders-1-{'x' * 54}"),
    ],
)
def test_names(version: str | None, title: str, expected: str) -> None:
    assert name(version, title) == expected


def test_a_line_and_a_version_are_never_cut() -> None:
    line, version = "l" * 63, ".".join(["9" * 20] * 6)
    assert name(version, "title", line) == f"{line}-{version}"
    assert name("1", "title", "shop.orders_eu") == "shop-orders-eu-1-title"


def test_titles_that_look_alike_once_they_are_cut() -> None:
    same = [change(None, f"{'x' * 100}{n}", f"R__{n}.sql") for n in range(3)]
    first = [each.name for each in resources([*same, change("2024", "views"), change(None, "2024_views")], "orders")]
    assert len(set(first)) == len(first)
    assert max(map(len, first)) == 63
    assert [each.name for each in resources(same, "orders")] == first[:3]


@given(
    st.lists(
        st.tuples(st.from_regex(r"[0-9]{1,20}(\.[0-9]{1,20}){0,5}", fullmatch=True) | st.none(), st.text(max_size=90)),
        unique=True,
    ),
    st.from_regex(r"[a-z0-9]([-a-z0-9_.]{0,61}[a-z0-9])?", fullmatch=True),
)
def test_any_title_gives_a_name(changes: list[tuple[str | None, str]], line: str) -> None:
    made = resources([change(*each, f"{n}.sql") for n, each in enumerate(changes)], line)
    names = [each.name for each in made]
    assert len(set(names)) == len(names)
    for each in names:
        TypeAdapter(Name).validate_python(each)
        assert SUBDOMAIN.fullmatch(each), each


def test_what_the_model_refuses_is_refused() -> None:
    with pytest.raises(UnfitError) as caught:
        resources([change("1", "x" * 1025)], "orders")
    assert caught.value.complaints == ("a.sql: spec.description: String should have at most 1024 characters",)
