"""Real projects' migrations, where they are at hand: outside of the repository, so absent on most machines."""

from pathlib import Path
from typing import Final

import pytest

from lockstep.cli import importing
from lockstep.planning.wire import OrderedMigration
from servers.runner import migration

CORPORA: Final = Path(__file__).parents[3] / "shared" / "corpora"
NEEDED: Final = pytest.mark.skipif(not CORPORA.is_dir(), reason=f"no corpora in {CORPORA}")


def load(name: str) -> list[OrderedMigration]:
    """Return a project's migrations as `lockstep import` makes them."""
    return imported(importing.make(CORPORA / name, name.partition("/")[0]))


def imported(made: importing.Imported) -> list[OrderedMigration]:
    """Return what was imported as an order has it."""
    changes = {each.name: each.change for each in made.resources}
    return [
        migration(
            each.version,
            each.up.text,
            None if each.down is None else each.down.text,
            name=name,
            transaction="Never" if each.never else "Auto",
        )
        for name, each in changes.items()
    ]
