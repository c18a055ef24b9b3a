"""The SQL of the objects that the ledger expects. `@.` stands for the ledger's schema, quoted.

Functions are qualified; operators are safe since the path is pinned within the transaction.
"""
# ruff: noqa: S608 - put together from nothing but the constants here

from typing import Final

# Behind what gives `found`.
_DIFFERING: Final = """, differing AS MATERIALIZED (
    SELECT COALESCE(o.name, f.name) AS name, o.hash AS expected, f.hash AS found
    FROM @.objects AS o FULL JOIN found AS f ON f.name = o.name WHERE o.hash IS DISTINCT FROM f.hash
)"""
LOOK: Final = f"{_DIFFERING} SELECT d.name, d.expected, d.found FROM differing AS d"
OWNERS: Final = """
SELECT o.name, o.hash FROM @.objects AS o
WHERE o.name IN (SELECT e.value FROM pg_catalog.json_array_elements_text($1::pg_catalog.json) AS e)
"""
# What `drift.merge` says: `$2` is what differed before.
ABSORB: Final = f"""{_DIFFERING}, taken AS MATERIALIZED (
    SELECT d.name, d.found FROM differing AS d WHERE NOT EXISTS (
        SELECT FROM pg_catalog.json_each_text($2::pg_catalog.json) AS b
        WHERE b.key = d.name AND b.value IS NOT DISTINCT FROM d.found)
), written AS (
    INSERT INTO @.objects AS o (name, hash)
    SELECT t.name, pg_catalog.min(t.found) FROM taken AS t WHERE t.found IS NOT NULL GROUP BY t.name
    ON CONFLICT (name) DO UPDATE SET hash = excluded.hash
) DELETE FROM @.objects AS o USING taken AS t WHERE t.found IS NULL AND o.name = t.name
"""
META: Final = "SELECT m.objects_major, m.objects_options FROM @.meta AS m"
DIRTY: Final = 'SELECT r.line FROM @.run AS r WHERE r.dirty ORDER BY r.line COLLATE pg_catalog."C"'
# Of other sessions, as numbers that a lock's key is made of. pg_locks is of this moment, not of the snapshot.
LOCKS: Final = """
SELECT l.classid::pg_catalog.int8, l.objid::pg_catalog.int8 FROM pg_catalog.pg_locks AS l
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.pid <> pg_catalog.pg_backend_pid()
  AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())
"""

# Taken before the transaction has a snapshot: who waits here sees what the one before has written.
LOCK: Final = "LOCK TABLE @.objects IN SHARE ROW EXCLUSIVE MODE"

UPSERT: Final = """
INSERT INTO @.objects AS o (name, hash)
SELECT e.key, e.value FROM pg_catalog.json_each_text($1::pg_catalog.json) AS e
ON CONFLICT (name) DO UPDATE SET hash = excluded.hash WHERE o.hash <> excluded.hash
"""
REMOVE: Final = """
DELETE FROM @.objects AS o
WHERE o.name IN (SELECT e.value FROM pg_catalog.json_array_elements_text($1::pg_catalog.json) AS e)
"""
SETTLED: Final = """
UPDATE @.run AS r SET dirty = false
WHERE r.dirty AND r.line IN (SELECT e.value FROM pg_catalog.json_array_elements_text($1::pg_catalog.json) AS e)
"""
BASED: Final = "UPDATE @.meta AS m SET objects_major = $1::pg_catalog.int4, objects_options = $2::pg_catalog.text"
