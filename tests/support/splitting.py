"""Texts whose splitting is known because they were put together from it, for each dialect."""

import contextlib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hypothesis import strategies as st

from lockstep.engines.lexing import LexError, Statement

Splitter = Callable[[str], Iterable[Statement]]
Texts = st.SearchStrategy[str]
Tokens = st.SearchStrategy[list[str]]


def cut(split: Splitter, text: str) -> list[str]:
    """Return the statements' texts."""
    return [text[part.start : part.end] for part in split(text)]


def gaps(parts: Sequence[Statement], text: str) -> list[str]:
    """Return what stands before, between and behind the statements; with them it is the text again."""
    places = [0, *(place for part in parts for place in (part.start, part.end)), len(text)]
    found = [text[places[i] : places[i + 1]] for i in range(0, len(places), 2)]
    whole = [text[part.start : part.end] for part in parts]
    assert "".join(gap + sql for gap, sql in zip(found, [*whole, ""], strict=True)) == text
    return found


def check_places(parts: Sequence[Statement], text: str) -> None:
    """Every statement is numbered, behind the one before it, and its line and column are those of an editor."""
    last = 0
    for number, part in enumerate(parts, 1):
        assert part.number == number
        assert last <= part.start < part.end <= len(text)
        lines = re.split(r"\r\n|\n|\r", text[: part.start])
        assert (part.line, part.column) == (len(lines), len(lines[-1]) + 1)
        last = part.end


def check_apart(split: Splitter, made: tuple[str, list[str]]) -> None:
    """A text that was put together comes apart into its statements, and nothing is in what is between them."""
    text, statements = made
    parts = list(split(text))
    assert [text[part.start : part.end] for part in parts] == statements
    check_places(parts, text)
    assert [cut(split, gap) for gap in gaps(parts, text)] == [[]] * (len(parts) + 1)


def split_or_refused(split: Splitter, text: str) -> list[Statement]:
    """Return the statements of any text, each in its place; none where it was refused, which says where."""
    try:
        parts = list(split(text))
    except LexError as error:
        assert error.line >= 1  # noqa: PT017 - either end is right
        assert error.column >= 1  # noqa: PT017 - either end is right
        return []
    check_places(parts, text)
    return parts


def check_alone(split: Splitter, text: str) -> None:
    """Each offset is between two tokens: a statement of any text alone is the same statement."""
    for part in split_or_refused(split, text):
        alone = text[part.start : part.end]
        assert cut(split, alone) == [alone]


def quoted(opening: str, closing: str, inside: str) -> Texts:
    """Return quotes or a comment around characters that do not end it."""
    return st.text(alphabet=inside, max_size=8).map(lambda text: f"{opening}{text}{closing}")


def joined(tokens: Tokens, between: Texts) -> Texts:
    """Return tokens with a gap between each two: the text of one statement, from its first token to its last."""

    @st.composite
    def build(draw: Any) -> str:
        words = draw(tokens)
        return "".join(word + (draw(between) if number < len(words) else "") for number, word in enumerate(words, 1))

    return build()


def scripts(
    statements: Texts, between: Texts, ends: Texts | None = None, *, size: int = 5
) -> st.SearchStrategy[tuple[str, list[str]]]:
    """Return texts with the statements that they must come apart into."""
    ends = st.just(";") if ends is None else ends

    @st.composite
    def build(draw: Any) -> tuple[str, list[str]]:
        wanted = draw(st.lists(statements, max_size=size))
        text = draw(st.sampled_from(["", "\ufeff"])) + draw(between)
        for number, sql in enumerate(wanted, 1):
            last = number == len(wanted) and draw(st.booleans())
            text += sql + draw(between) + ("" if last else draw(ends) + draw(between))
        return text, wanted

    return build()


def flat(*parts: str | Tokens) -> Tokens:
    """Return the tokens of words and of strategies of tokens, in a row."""
    lists = [st.just(part.split(" ")) if isinstance(part, str) else part for part in parts]
    return st.tuples(*lists).map(lambda found: [token for tokens in found for token in tokens])


def one(tokens: Texts) -> Tokens:
    """Return one token as a list."""
    return tokens.map(lambda token: [token])


def take_hostile(split: Splitter, repeated: str, *openings: str) -> None:
    """Split a quarter of a megabyte of one thing, behind nothing and behind each opening: refused or not, it must end.

    What is not linear takes longer than the tests may take.
    """
    for opening in ("", *openings):
        with contextlib.suppress(LexError):
            list(split(opening + repeated * (250_000 // len(repeated))))
