"""What is said of a database that is not empty."""

import pytest

from lockstep.api.reasons import Reason
from lockstep.engines import refusals, tool_tables


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (
            ["public.flyway_schema_history", "public.orders"],
            "public.flyway_schema_history looks like the history of flyway: to take it over set "
            "spec.adopt.history: flyway, or say with spec.baseline",
        ),
        (["orders", "schema_migrations"], "spec.adopt.history: rails | golang-migrate | dbmate, or"),
        (["DATABASECHANGELOG"], "spec.adopt.history: liquibase, or"),
        (["public.__EFMigrationsHistory"], "spec.adopt.history: efcore, or"),
        (["_prisma_migrations"], "the history of Prisma, which Lockstep does not read: say with spec.baseline"),
        # What can be read tells more.
        (["_sqlx_migrations", "app.goose_db_version"], "app.goose_db_version looks like the history of goose"),
        (["flyway_schema_history_old", "goose_db_version.orders"], "or with spec.adopt which tool managed it"),
    ],
)
def test_a_known_history_is_named(names: list[str], words: str) -> None:
    error = refusals.not_empty(names)
    assert error.reason is Reason.DATABASE_NOT_EMPTY
    assert words in error.message
    assert "or use an empty database" in error.message


@pytest.mark.parametrize("tool", [*tool_tables.READ, *tool_tables.UNREAD])
def test_every_tool_is_known_by_each_of_its_tables(tool: str) -> None:
    tables = {**tool_tables.READ, **tool_tables.UNREAD}[tool]
    for table in tables:
        assert tool in refusals.not_empty([f"public.{table}"]).message.partition(" looks like the history of ")[2]
        assert f"'{table}'" in tool_tables.AS_SQL
