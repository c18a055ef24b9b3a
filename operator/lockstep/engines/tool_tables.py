"""What other tools call the table of their history. Pure."""

from collections.abc import Mapping
from typing import Final

READ: Final[Mapping[str, tuple[str, ...]]] = {
    "flyway": ("flyway_schema_history", "schema_version"),
    "liquibase": ("databasechangelog", "DATABASECHANGELOG"),
    "alembic": ("alembic_version",),
    "django": ("django_migrations",),
    "rails": ("schema_migrations",),
    "efcore": ("__EFMigrationsHistory", "__efmigrationshistory"),
    "knex": ("knex_migrations",),
    "golang-migrate": ("schema_migrations",),
    "goose": ("goose_db_version",),
    "dbmate": ("schema_migrations",),
}
"""Those that `spec.adopt.history` names, each with the names that its table has by default, the newest first."""

UNREAD: Final[Mapping[str, tuple[str, ...]]] = {
    "Prisma": ("_prisma_migrations",),
    "sqlx": ("_sqlx_migrations",),
    "Diesel": ("__diesel_schema_migrations",),
    "Drizzle": ("__drizzle_migrations",),
    "SeaORM": ("seaql_migrations",),
    "Doctrine": ("doctrine_migration_versions",),
}
"""Those whose history Lockstep does not read: such a database is taken over with a baseline."""

AS_SQL: Final = ", ".join(
    f"'{table}'" for table in sorted({table for known in (READ, UNREAD) for names in known.values() for table in names})
)
"""All of the tables, as a list of literals in any database's SQL."""


def whose(table: str, known: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return the tools that call their table so, whatever the case of its letters."""
    return [tool for tool, names in known.items() if table.lower() in {name.lower() for name in names}]
