"""The SQL that writes to the ledger: each statement carries the fence, and comes last before a COMMIT.

Names and casts as in ledger_sql.py.
"""

from typing import Final

# A failed fence leaves the epoch of an entry without a value, which the table refuses; an entry that holds nothing
# else is tried where there is none to write, so that no SQL of a run that was overtaken begins.
REFUSE_UNLESS: Final = """
INSERT INTO @.history (line, sequence, direction, name, description, kind, up_checksum, epoch)
SELECT $1::pg_catalog.text, 0, 'up', '', '', '', '', NULL WHERE NOT EXISTS (SELECT FROM {})
"""

# The transaction's number tells the epilogue that it is still in the transaction that began here. The entry that the
# next one is hashed with must be there: what was sent behind a step that has failed does not begin.
BEGIN: Final = "".join(
    (
        """
WITH begun AS (
    UPDATE @.run AS r SET xid = pg_catalog.pg_current_xact_id(), dirty = true
    WHERE r.line = $1::pg_catalog.text AND r.epoch = $2::pg_catalog.int8 AND r.holder = $3::pg_catalog.uuid
      AND r.pid = pg_catalog.pg_backend_pid()
      AND ($4::pg_catalog.int8 = 0 OR EXISTS (
          SELECT FROM @.history AS h WHERE h.line = $1::pg_catalog.text AND h.sequence = $4::pg_catalog.int8
                                       AND h.hash = $5::pg_catalog.text))
    RETURNING 1
)""",
        REFUSE_UNLESS.format("begun"),
    )
)

# The fence again, as the last word: the commit cannot happen without it.
_HISTORY: Final = """
WITH history AS (
    INSERT INTO @.history (epoch, line, holder, sequence, direction, version, canonical, name, description, kind,
                           up_checksum, down_checksum, job, pod, at, previous, hash, repair)
    VALUES (
        (SELECT r.epoch FROM @.run AS r
         WHERE r.line = $1::pg_catalog.text AND r.epoch = $2::pg_catalog.int8 AND r.holder = $3::pg_catalog.uuid
           AND r.pid = pg_catalog.pg_backend_pid() AND r.xid = pg_catalog.pg_current_xact_id() FOR UPDATE),
        $1::pg_catalog.text, $3::pg_catalog.uuid,
        $4::pg_catalog.int8, $5::pg_catalog.text, $6::pg_catalog.text, $7::pg_catalog.text,
        $8::pg_catalog.text, $9::pg_catalog.text, $10::pg_catalog.text, $11::pg_catalog.text, $12::pg_catalog.text,
        $13::pg_catalog.text, $14::pg_catalog.text, pg_catalog.clock_timestamp(), $15::pg_catalog.text,
        $16::pg_catalog.text, $19::pg_catalog.text
    ) RETURNING at
), texts AS (
    INSERT INTO @.texts (checksum, body)
    SELECT v.checksum, v.body FROM (VALUES
        ($11::pg_catalog.text, $17::pg_catalog.bytea), ($12::pg_catalog.text, $18::pg_catalog.bytea)
    ) AS v (checksum, body) WHERE v.body IS NOT NULL
    ON CONFLICT (checksum) DO NOTHING
)"""
# When it was, and `off` where its COMMIT does not wait for the disk: see durability.py. An entry that is not there (the
# SQL may have put a trigger on the table) makes the division fail, and with it the commit.
_AT: Final = """
SELECT pg_catalog.to_char(pg_catalog.timezone('UTC'::pg_catalog.text, history.at),
                          'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'::pg_catalog.text),
       CASE WHEN NOT $20::pg_catalog.bool
             AND history.at < pg_catalog.transaction_timestamp() + '1 s'::pg_catalog.interval
            THEN pg_catalog.set_config('synchronous_commit'::pg_catalog.text, 'off'::pg_catalog.text, true) END
FROM (SELECT pg_catalog.max(h.at) AS at, 1 / pg_catalog.count(*) AS entries FROM history AS h) AS history
WHERE history.entries = 1
"""

_APPLIED: Final = """, applied AS (
    INSERT INTO @.applied (line, canonical, version, name, kind, up_checksum, down_checksum, irreversible, requires,
                           sequence)
    VALUES ($1::pg_catalog.text, $7::pg_catalog.text, $6::pg_catalog.text, $8::pg_catalog.text, $10::pg_catalog.text,
            $11::pg_catalog.text, $12::pg_catalog.text, $21::pg_catalog.text, $22::pg_catalog.jsonb,
            $4::pg_catalog.int8)
"""
# Nor is a version there that a trigger has swallowed.
RECORD_VERSION: Final = "".join(
    (_HISTORY, _APPLIED, "RETURNING 1)", _AT, "  AND 1 / (SELECT pg_catalog.count(*) FROM applied) = 1")
)

# A person says that it is there: where the ledger has it, its place in the order of application stays.
RECORD_MARK: Final = f"{_HISTORY}{_APPLIED} ON CONFLICT (line, canonical) DO NOTHING){_AT}"

# A person says that it is not there: whether the ledger thought so or not.
RECORD_UNMARK: Final = "".join(
    (
        _HISTORY,
        """, gone AS (
    DELETE FROM @.applied AS a WHERE a.line = $1::pg_catalog.text AND a.canonical = $7::pg_catalog.text RETURNING 1
)""",
        _AT,
    )
)

# A version that is not there makes the division fail, and with it the commit.
RECORD_DOWN: Final = "".join((RECORD_UNMARK, "  AND 1 / (SELECT pg_catalog.count(*) FROM gone) = 1"))

RECORD_REPEATABLE: Final = "".join(
    (
        _HISTORY,
        """, repeated AS (
    INSERT INTO @.repeatable (line, name, up_checksum, down_checksum, kind, undone, sequence)
    VALUES ($1::pg_catalog.text, $8::pg_catalog.text, $21::pg_catalog.text, $12::pg_catalog.text,
            $10::pg_catalog.text, $22::pg_catalog.text, $4::pg_catalog.int8)
    ON CONFLICT (line, name) DO UPDATE SET
        up_checksum = excluded.up_checksum, down_checksum = excluded.down_checksum, kind = excluded.kind,
        undone = excluded.undone, sequence = excluded.sequence
)""",
        _AT,
    )
)

RECORD_CORRECTION: Final = "".join(
    (
        _HISTORY,
        """, corrected AS (
    UPDATE @.applied AS a SET down_checksum = $12::pg_catalog.text, irreversible = $21::pg_catalog.text
    WHERE a.line = $1::pg_catalog.text AND a.canonical = $7::pg_catalog.text
), repeated AS (
    UPDATE @.repeatable AS r SET down_checksum = $12::pg_catalog.text
    WHERE r.line = $1::pg_catalog.text AND r.name = $8::pg_catalog.text AND $7::pg_catalog.text IS NULL
)""",
        _AT,
    )
)

RECORD_ONLY: Final = "".join((_HISTORY, _AT))

# Something to be written, so that there is something to wait for; also where a role waits for nothing.
HARDEN: Final = """
UPDATE @.run AS r SET dirty = r.dirty
WHERE r.line = $1::pg_catalog.text AND r.epoch = $2::pg_catalog.int8 AND r.holder = $3::pg_catalog.uuid
RETURNING CASE WHEN pg_catalog.current_setting('synchronous_commit'::pg_catalog.text) = 'off'
               THEN pg_catalog.set_config('synchronous_commit'::pg_catalog.text, 'on'::pg_catalog.text, true) END
"""

# What was by half is settled once its version is marked, one way or the other.
FORGET_JOURNAL: Final = """
DELETE FROM @.journal AS j WHERE j.line = $1::pg_catalog.text AND j.step = $2::pg_catalog.text
"""
