"""What decides how much of the suites is run: `make test` all of it on the newest server, `make test-all` on each."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import pytest

from support.examples import load

load()

HEAVY = frozenset(
    {
        "test_adopting",
        "test_catalog",
        "test_concurrently",
        "test_contention",
        "test_copy",
        "test_drift_runs",
        "test_drift_store",
        "test_histories",
        "test_journal",
        "test_notices",
        "test_repairs",
        "test_rollback",
    }
)
"""Suites of many runs each, in which older servers differ little."""


def _is_compliance(item: pytest.Item) -> bool:
    return "compliance" in item.path.parts


def _is_short(item: pytest.Item) -> bool:
    return item.path.stem not in HEAVY and not _is_compliance(item)


def _none(_: pytest.Item) -> bool:
    return False


EACH_TIME: Final[Mapping[str, Callable[[pytest.Item], bool]]] = {
    "postgresql17": _none,
    "postgresql16": _is_short,
    "postgresql15": _is_short,
    "postgresql14": _is_compliance,
    "mariadb11": _none,
    # What else there is of it MariaDB shows too.
    "mysql": _is_compliance,
}
"""What of the engines' suites `make test` runs on a server; on one that is not here, all."""

FIXTURES: Final = ("any_server", "server", "target", "ground")
"""Those whose parameter says on which server a test is run."""


SLOW = frozenset({"test_ten_thousand_tables", "test_the_tools_of_this_machine_make_the_same"})
"""Tests of a minute or more that show speed and not a guarantee, and those for which other tools are got."""


def _server(item: pytest.Item) -> str:
    """Return what a test is run on, by the name that its id has; nothing where it says none."""
    given = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    on = next((given[name] for name in FIXTURES if name in given), "")
    return f"postgresql{on}" if isinstance(on, int) else str(getattr(on, "name", on))


def _is_of_pods(item: pytest.Item) -> bool:
    """Tell whether a test waits for pods of the cluster most of its time."""
    return "cluster" in item.path.parts and "controller" not in item.path.parts


def _spread(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Return the tests in an order in which those that wait run beside those that compute.

    Each worker is given a stretch of the list, and what it has not come to is taken over from its end: what waits would
    be left to all of them at the end. So it begins in the middle, which is where the third of four workers begins.
    """
    waiting = [item for item in items if _is_of_pods(item)]
    others = [item for item in items if not _is_of_pods(item)]
    middle = len(items) // 2
    return [*others[:middle], *waiting, *others[middle:]]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every-version", action="store_true", help="run all: each suite on each version of each server")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--every-version"):
        _leave_out(config, items)
    items[:] = _spread(items)


def _leave_out(config: pytest.Config, items: list[pytest.Item]) -> None:

    def is_left_out(item: pytest.Item) -> bool:
        runs = EACH_TIME.get(_server(item))
        return getattr(item, "originalname", item.name) in SLOW or (runs is not None and not runs(item))

    left_out = [item for item in items if is_left_out(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not is_left_out(item)]
