"""How the SELECTs on a history table differ from database to database."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct


class Table(Struct, frozen=True):
    """One table of the database, named as the catalog names it."""

    schema: str
    name: str
    columns: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    def column(self, name: str) -> str:
        """Return a column as the table writes it, by its name in lower case.

        Raises:
            KeyError: if the table has none of that name.
        """
        return {column.lower(): column for column in self.columns}[name]


class Dialect(Struct, frozen=True):
    """What differs."""

    quotes: str
    """The character around an identifier, doubled inside."""
    text: str
    """The type that a value is cast to in order to be read as text."""
    parameter: str
    """A parameter of a statement; `#` stands for its number."""
    catalog: str
    """Schema, table and column of each ordinary table whose name is in `#`, columns in their order."""
    default_schema: str | None = None
    """The schema that comes first where there are several."""

    def quote(self, name: str) -> str:
        """Quote an identifier."""
        return self.quotes + name.replace(self.quotes, self.quotes * 2) + self.quotes

    def find(self, count: int) -> str:
        """Return the SELECT that looks for tables of so many names, each a parameter."""
        return self.catalog.replace("#", ", ".join(self.parameter.replace("#", str(n + 1)) for n in range(count)))

    def select(self, table: Table, columns: Sequence[str], flags: Sequence[str], order: Sequence[str]) -> str:
        """Return the SELECT of a table's rows: columns as text, truth values as yes or no."""
        # Qualified, since a cast keeps the column's name and ORDER BY would sort by the text.
        wanted = [f"CAST(h.{self.quote(table.column(name))} AS {self.text})" for name in columns]
        wanted += [f"CASE WHEN h.{self.quote(table.column(name))} THEN 'yes' ELSE 'no' END" for name in flags]
        sql = f"SELECT {', '.join(wanted)} FROM {self.quote(table.schema)}.{self.quote(table.name)} AS h"  # noqa: S608 - quoted
        by = ", ".join(f"h.{self.quote(table.column(name))}" for name in order)
        return f"{sql} ORDER BY {by}" if by else sql


# Qualified to the last operator: the search_path may be the application's. No views, since they may do anything.
POSTGRESQL: Final = Dialect(
    quotes='"',
    text="pg_catalog.text",
    parameter="$#::pg_catalog.text",
    catalog="""
SELECT n.nspname::pg_catalog.text, c.relname::pg_catalog.text, a.attname::pg_catalog.text
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
JOIN pg_catalog.pg_attribute AS a ON a.attrelid OPERATOR(pg_catalog.=) c.oid
WHERE c.relname OPERATOR(pg_catalog.=) ANY (ARRAY[#])
  AND c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'p']::pg_catalog."char"[])
  AND c.relpersistence OPERATOR(pg_catalog.<>) 't'::pg_catalog."char"
  AND a.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2 AND NOT a.attisdropped
ORDER BY n.nspname, c.relname, a.attnum
""",
    default_schema="public",
)

# MariaDB looks a name up in the case of the first of several that differ in nothing else: hence LOWER.
MYSQL: Final = Dialect(
    quotes="`",
    text="CHAR",
    parameter="LOWER(%s)",
    catalog="""
SELECT t.TABLE_SCHEMA, t.TABLE_NAME, c.COLUMN_NAME
FROM information_schema.TABLES AS t
JOIN information_schema.COLUMNS AS c ON c.TABLE_SCHEMA = t.TABLE_SCHEMA AND c.TABLE_NAME = t.TABLE_NAME
WHERE t.TABLE_SCHEMA = DATABASE() AND t.TABLE_TYPE = 'BASE TABLE' AND LOWER(t.TABLE_NAME) IN (#)
ORDER BY t.TABLE_NAME, c.ORDINAL_POSITION
""",
)
"""MariaDB too; only the current database is looked at."""

SQLITE: Final = Dialect(
    quotes='"',
    text="TEXT",
    parameter="?",
    catalog="""
SELECT 'main', t.name, c.name
FROM main.sqlite_master AS t JOIN pragma_table_info(t.name) AS c
WHERE t.type = 'table' AND t.name IN (#)
ORDER BY t.name, c.cid
""",
)
