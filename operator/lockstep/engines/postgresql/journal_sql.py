"""The SQL of the journal: which statements of a migration have been committed one by one. Names and casts as in
ledger_sql.py; what writes carries the fence.
"""

from typing import Final

# All of a line: one migration at most has rows here.
ROWS: Final = """
SELECT j.step, j.direction, j.statement, j.digest, j.state, j.note, j.epoch
FROM @.journal AS j WHERE j.line = $1::pg_catalog.text ORDER BY j.step, j.direction, j.statement
"""

# A failed fence leaves the epoch without a value, which the table refuses: the commit cannot happen.
WRITE: Final = """
INSERT INTO @.journal AS j (epoch, line, step, direction, statement, checksum, digest, state, note, started, finished)
VALUES (
    (SELECT r.epoch FROM @.run AS r
     WHERE r.line = $1::pg_catalog.text AND r.epoch = $2::pg_catalog.int8 AND r.holder = $3::pg_catalog.uuid
       AND r.pid = pg_catalog.pg_backend_pid() AND r.xid = pg_catalog.pg_current_xact_id() FOR UPDATE),
    $1::pg_catalog.text, $4::pg_catalog.text, $5::pg_catalog.text, $6::pg_catalog.int4, $7::pg_catalog.text,
    $8::pg_catalog.text, $9::pg_catalog.text, $10::pg_catalog.text, pg_catalog.clock_timestamp(),
    CASE $9::pg_catalog.text WHEN 'finished' THEN pg_catalog.clock_timestamp() END
)
ON CONFLICT (line, step, direction, statement) DO UPDATE SET
    epoch = excluded.epoch, checksum = excluded.checksum, digest = excluded.digest, state = excluded.state,
    note = excluded.note, finished = excluded.finished,
    started = CASE excluded.state WHEN 'started' THEN excluded.started ELSE j.started END
"""

# A person has looked: only what was in doubt is settled; otherwise the division fails, and with it the commit.
_SETTLE: Final = """
WITH settled AS (
    UPDATE @.journal AS j SET {} WHERE j.line = $1::pg_catalog.text AND j.step = $2::pg_catalog.text
    AND j.state = 'unknown' RETURNING 1
)
SELECT 1 / (SELECT pg_catalog.count(*) FROM settled)
"""
STATEMENT_APPLIED: Final = _SETTLE.format("state = 'finished', note = NULL, finished = pg_catalog.clock_timestamp()")
STATEMENT_NOT_APPLIED: Final = _SETTLE.format("state = 'started', note = NULL")
NOTHING_IN_DOUBT: Final = "22012"
"""SQLSTATE of that division."""
