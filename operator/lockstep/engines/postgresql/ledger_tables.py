"""The ledger's tables, and how an older ledger becomes a newer one. `@.` stands for the ledger's schema, quoted."""

from collections.abc import Mapping
from typing import Final

LEDGER_VERSION: Final = 2


def quote(name: str) -> str:
    """Quote an identifier."""
    return '"' + name.replace('"', '""') + '"'


def on(schema: str, sql: str) -> str:
    """Return a statement for the ledger in this schema, which `@.` stands for."""
    return sql.replace("@.", f"{quote(schema)}.")


CREATE: Final = (
    """CREATE TABLE @.meta (
        singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
        ledger uuid NOT NULL,
        version integer NOT NULL,
        created timestamptz NOT NULL DEFAULT pg_catalog.now()
    )""",
    # Room on each page, since its row changes with each migration.
    """CREATE TABLE @.run (
        line text PRIMARY KEY,
        owner_cluster text NOT NULL,
        owner_namespace text NOT NULL,
        owner_name text NOT NULL,
        owner_uid text NOT NULL,
        epoch bigint NOT NULL,
        holder uuid NOT NULL,
        pid integer NOT NULL,
        xid xid8,
        job text NOT NULL,
        pod text NOT NULL,
        attempt integer NOT NULL,
        started timestamptz NOT NULL
    ) WITH (fillfactor = 40)""",
    """CREATE TABLE @.history (
        line text,
        sequence bigint,
        direction text NOT NULL CHECK (direction IN ('up', 'down', 'repeat', 'baseline', 'adopt', 'resolve')),
        version text,
        canonical text,
        name text NOT NULL,
        description text NOT NULL,
        kind text NOT NULL,
        up_checksum text NOT NULL,
        down_checksum text,
        epoch bigint NOT NULL,
        holder uuid NOT NULL,
        job text NOT NULL,
        pod text NOT NULL,
        at timestamptz NOT NULL,
        previous text NOT NULL,
        hash text NOT NULL,
        PRIMARY KEY (line, sequence)
    )""",
    """CREATE TABLE @.applied (
        line text,
        canonical text,
        version text NOT NULL,
        name text NOT NULL,
        kind text NOT NULL,
        up_checksum text NOT NULL,
        down_checksum text,
        irreversible text,
        sequence bigint NOT NULL,
        PRIMARY KEY (line, canonical)
    )""",
    """CREATE TABLE @.repeatable (
        line text,
        name text,
        up_checksum text NOT NULL,
        down_checksum text,
        sequence bigint NOT NULL,
        PRIMARY KEY (line, name)
    )""",
    "CREATE TABLE @.texts (checksum text PRIMARY KEY, body bytea NOT NULL)",
    """CREATE TABLE @.journal (
        line text,
        step text,
        direction text,
        statement integer,
        checksum text NOT NULL,
        digest text NOT NULL,
        state text NOT NULL CHECK (state IN ('started', 'finished', 'unknown')),
        note text,
        epoch bigint NOT NULL,
        started timestamptz NOT NULL,
        finished timestamptz,
        PRIMARY KEY (line, step, direction, statement)
    )""",
)
"""The tables of version 1; a new ledger begins with them too and is brought up like any other."""

UPGRADES: Final[Mapping[int, tuple[str, ...]]] = {
    2: (
        "ALTER TABLE @.history DROP CONSTRAINT history_direction_check",
        """ALTER TABLE @.history ADD CONSTRAINT history_direction_check CHECK
            (direction IN ('up', 'down', 'repeat', 'baseline', 'adopt', 'correct', 'repair'))""",
        # Token of the person's act that the entry records.
        "ALTER TABLE @.history ADD COLUMN repair text",
        # What other lines must have, for as long as this is applied: [["auth", "2"], ...], versions canonical.
        "ALTER TABLE @.applied ADD COLUMN requires jsonb",
        "ALTER TABLE @.repeatable ADD COLUMN kind text NOT NULL DEFAULT 'Schema'",
        # The text that a rollback took back.
        "ALTER TABLE @.repeatable ADD COLUMN undone text",
        # True from a run's first commit until its changes of the catalog are known.
        "ALTER TABLE @.run ADD COLUMN dirty boolean NOT NULL DEFAULT false",
        "CREATE TABLE @.objects (name text PRIMARY KEY, hash text NOT NULL)",
        "ALTER TABLE @.meta ADD COLUMN objects_major integer, ADD COLUMN objects_options text",
        # Whether the database held something else when the ledger was made.
        "ALTER TABLE @.meta ADD COLUMN occupied boolean NOT NULL DEFAULT false",
    ),
}
"""What makes each version of the one before it."""
