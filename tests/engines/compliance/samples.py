"""Migrations that say the same in every dialect."""

from typing import Unpack

from msgspec.structs import replace

from lockstep.planning.wire import Order, OrderedMigration, Policy
from servers.runner import OWNER, OrderWords, migration, order

USERS = migration(
    "0001",
    "CREATE TABLE users (id int NOT NULL PRIMARY KEY, name varchar(200));\nINSERT INTO users VALUES (1, 'one');\n",
    "DROP TABLE users;",
)
EMAIL = migration("0002", "ALTER TABLE users ADD COLUMN email varchar(200);", "ALTER TABLE users DROP COLUMN email;")
ITEMS = migration("0003", "CREATE TABLE items (id int NOT NULL PRIMARY KEY);", "DROP TABLE items;")
ALL = (USERS, EMAIL, ITEMS)
FREE = Policy(rollback="Allow")


def view(columns: str, of: str = "users") -> OrderedMigration:
    """A view on a table, repeatable."""
    return migration(
        None, f"DROP VIEW IF EXISTS v; CREATE VIEW v AS SELECT {columns} FROM {of}", "DROP VIEW v", name="orders-v"
    )


def other(
    *migrations: OrderedMigration, line: str = "billing", target: str = "latest", **more: Unpack[OrderWords]
) -> Order:
    """The order of another line, with an owner of its own."""
    return replace(order(*migrations, target=target, **more), line=line, owner=replace(OWNER, name=line))
