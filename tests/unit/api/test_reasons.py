"""Every reason is explained to users."""

import re
from pathlib import Path

from lockstep.api.reasons import Reason

TEXT = (Path(__file__).parents[3] / "docs" / "reasons.md").read_text()


def test_every_reason_has_a_section_that_says_what_to_do() -> None:
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S))
    assert set(sections) == {reason.value for reason in Reason}
    assert all("**What to do:**" in text for text in sections.values())


def test_reasons_are_camel_case_words() -> None:
    # What the API server asks of a condition's reason.
    assert all(re.fullmatch(r"[A-Z][A-Za-z]{1,62}", reason.value) for reason in Reason)
