"""How many examples the property tests try: the same ones each time, or `make fuzz` many more, drawn anew."""

import os
from typing import Final

from hypothesis import settings

FUZZ: Final = int(os.environ.get("FUZZ", "0"))
"""What their number is multiplied by, for new ones; 0: as many as it says, and always the same."""


def examples(number: int) -> settings:
    """Return the settings of a test that tries so many; a test without any tries 100."""
    # How long one takes says nothing: other suites run beside it.
    return settings(max_examples=number * (FUZZ or 1), deadline=None)


def load() -> None:
    """Make it the rule for all tests: a find comes when it is looked for, not on another's change."""
    always = {} if FUZZ else {"derandomize": True, "database": None}
    settings.register_profile("lockstep", examples(100), **always)
    settings.load_profile("lockstep")
