"""What decides how much of the suites is run: `make test` all of it on the newest server, `make test-all` on each."""

import re

import pytest

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
"""Suites of many runs each, in which older servers differ little; the others run on every version each time."""


SLOW = frozenset({"test_ten_thousand_tables"})
"""Tests of a minute or more that show speed and not a guarantee."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--every-version", action="store_true", help="run all: the long suites on older PostgreSQL and on MySQL too"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--every-version"):
        return

    def is_left_out(item: pytest.Item) -> bool:
        if "engines" not in item.path.parts or item.name in SLOW:
            return item.name in SLOW
        older = any(f"postgresql{version}" in item.name for version in (15, 16))
        # MySQL passes the suite that every engine passes; what else there is of it MariaDB shows too.
        mysql = re.search(r"\[mysql\b", item.name) is not None and "compliance" not in item.path.parts
        return mysql or (older and item.path.stem in HEAVY)

    left_out = [item for item in items if is_left_out(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not is_left_out(item)]
