"""The ledger's tables, and how an older ledger becomes a newer one.

Names carry no schema: the connection's schema_translate_map qualifies them. Keys are texts of at most 255
characters, times are RFC 3339 texts by the database's clock: what every dialect has, and shows the same way.
"""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, String, Table, Text

LEDGER_VERSION: Final = 1
UPGRADES: Final[Mapping[int, tuple[str, ...]]] = {}
"""What makes each version of the one before it: SQL in which `@` stands for the qualified prefix of the tables."""
PREFIX: Final = "lockstep_"

_KEY: Final = 255
_LONG: Final = 16_777_216
"""Makes MySQL choose the types that hold up to 4 GiB."""


class Tables(Struct, frozen=True):
    """The ledger's tables."""

    metadata: MetaData
    meta: Table
    run: Table
    history: Table
    applied: Table
    repeatable: Table
    texts: Table
    journal: Table
    objects: Table


def _key(name: str) -> "Column[Any]":
    return Column(name, String(_KEY), primary_key=True)


def _word(name: str, *, null: bool = False) -> "Column[Any]":
    return Column(name, String(_KEY), nullable=null)


def _text(name: str, *, null: bool = False) -> "Column[Any]":
    return Column(name, Text(_LONG), nullable=null)


def _number(name: str, *, key: bool = False, null: bool = False) -> "Column[Any]":
    return Column(name, BigInteger, primary_key=key, nullable=null and not key, autoincrement=False)


def make_tables(options: Mapping[str, Any]) -> Tables:
    """Return the tables.

    Args:
        options: SQLAlchemy's options of each table, such as mysql_collate: names are compared letter by letter.
    """
    metadata = MetaData()

    def table(name: str, *columns: "Column[Any]") -> Table:
        return Table(PREFIX + name, metadata, *columns, **options)

    return Tables(
        metadata,
        meta=table(
            "meta",
            Column("singleton", Integer, primary_key=True, autoincrement=False),
            _word("ledger"),
            _number("version"),
            _word("created"),
            # 1 if the database held something else when the ledger was made.
            _number("occupied"),
            _number("objects_major", null=True),
            _word("objects_options", null=True),
        ),
        run=table(
            "run",
            _key("line"),
            _word("owner_cluster"),
            _word("owner_namespace"),
            _word("owner_name"),
            _word("owner_uid"),
            _number("epoch"),
            _word("holder"),
            _word("job"),
            _word("pod"),
            _number("attempt"),
            _word("started"),
            # What an engine knows its session by: the id of a connection.
            _word("session", null=True),
            # 1 from a run's first commit until its changes of the catalog are known.
            _number("dirty"),
        ),
        history=table(
            "history",
            _key("line"),
            _number("sequence", key=True),
            _word("direction"),
            _word("version", null=True),
            _word("canonical", null=True),
            _word("name"),
            _text("description"),
            _word("kind"),
            _word("up_checksum"),
            _word("down_checksum", null=True),
            _number("epoch"),
            _word("holder"),
            _word("job"),
            _word("pod"),
            _word("at"),
            _word("previous"),
            _word("hash"),
            # Token of the person's act that the entry records.
            _word("repair", null=True),
        ),
        applied=table(
            "applied",
            _key("line"),
            _key("canonical"),
            _word("version"),
            _word("name"),
            _word("kind"),
            _word("up_checksum"),
            _word("down_checksum", null=True),
            _text("irreversible", null=True),
            # What other lines must have, for as long as this is applied: [["auth", "2"], ...], versions canonical.
            _text("requires", null=True),
            _number("sequence"),
        ),
        repeatable=table(
            "repeatable",
            _key("line"),
            _key("name"),
            _word("up_checksum"),
            _word("down_checksum", null=True),
            _word("kind"),
            # The text that a rollback took back.
            _word("undone", null=True),
            _number("sequence"),
        ),
        texts=table("texts", _key("checksum"), Column("body", LargeBinary(_LONG), nullable=False)),
        journal=table(
            "journal",
            _key("line"),
            # A canonical version, or `~` and the name of a repeatable migration.
            _key("step"),
            Column("direction", String(20), primary_key=True),
            _number("statement", key=True),
            _word("checksum"),
            _word("digest"),
            # started | finished | unknown
            _word("state"),
            _text("note", null=True),
            _number("epoch"),
            _word("started"),
            _word("finished", null=True),
        ),
        objects=table("objects", _key("name"), _word("hash")),
    )
