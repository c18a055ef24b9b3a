"""Texts in YAML: whatever they hold, they are read again byte for byte; and where YAML allows it they read as SQL."""

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from lockstep.cli.importing.literal import Sql, written
from support.examples import examples

LOADERS = [yaml.SafeLoader, yaml.CSafeLoader]
"""PyYAML's own, and libyaml, of which Kubernetes' is a port."""

BLANKS = st.text(alphabet=" \t\n\n:#-|'\"\\%ab;")
ODD = st.text(alphabet=" \t\n\r\x85\u2028\u2029\ufeff\ufffe\x01\x7f\xa0\ud7ff\ue000😀ü;")


@pytest.mark.parametrize("loader", LOADERS)
@examples(300)
@given(text=BLANKS | ODD | st.text(st.characters(codec="utf-8")))
@example("\tindented\n")
@example("\n \n  two\n")
@example("blank \n\t\nends \n\n")
@example("a\r\nb\r\n")
@example("--- \n...\n# x\n")
def test_every_text_survives(loader: type, text: str) -> None:
    document = {"spec": {"description": text, "up": Sql(text), "down": Sql(text)}}
    assert yaml.load(written(document), loader) == document
    assert list(yaml.load_all(written(document) * 2, loader)) == [document, document]


@pytest.mark.parametrize(
    ("text", "block"),
    [
        ("SELECT 1;", "  up: |-\n    SELECT 1;\n"),
        ("SELECT 1;\n\n  SELECT 2; \n\t;\n", "  up: |\n    SELECT 1;\n\n      SELECT 2; \n    \t;\n"),
        ("a\n\n", "  up: |+\n    a\n\n"),
        (" a\n", "  up: |2\n     a\n"),
        ("\ta\n", "  up: |2\n    \ta\n"),
        ("SELECT '😀ü: #' -- " + "x" * 500 + "\n", "  up: |\n    SELECT '😀ü: #' -- " + "x" * 500 + "\n"),
    ],
)
def test_sql_reads_as_sql(text: str, block: str) -> None:
    assert written({"spec": {"up": Sql(text)}}).removesuffix("...\n") == f"---\nspec:\n{block}"


@pytest.mark.parametrize("text", ["", "a\r\nb", "\ufeffa\n", "a\x85b", "a\u2028b", "\x7f"])
def test_what_no_block_can_hold_is_quoted(text: str) -> None:
    assert written({"spec": {"up": Sql(text)}}).startswith('---\nspec:\n  up: "')


@pytest.mark.parametrize("text", ["0008", "1e3", "2026-08-01", "y", "12:30", "0x1F", "1_000", ".5", "null", "yes", "~"])
def test_words_that_some_reader_takes_for_something_else_are_quoted(text: str) -> None:
    assert written({"version": text}) in {f'---\nversion: "{text}"\n', f"---\nversion: '{text}'\n"}


def test_words_are_readable() -> None:
    assert written({"a": "add email", "description": "für"}) == '---\n"a": add email\ndescription: "für"\n'
