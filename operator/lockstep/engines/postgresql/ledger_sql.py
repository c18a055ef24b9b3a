"""The ledger's SQL: what is asked of it, and of the database around it.

Every name is qualified and every parameter cast: an application's role may own functions, operators and a
search_path that would otherwise come first. `@.` stands for the ledger's schema, quoted.
"""

from typing import Final

from lockstep.engines import tool_tables

# Which schema, and does it hold a ledger?
FIND: Final = """
SELECT n.oid, pg_catalog.pg_get_userbyid(n.nspowner),
       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_class AS c WHERE c.relnamespace = n.oid),
       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_class AS c WHERE c.relnamespace = n.oid AND c.relname = 'meta')
FROM pg_catalog.pg_namespace AS n WHERE n.nspname = $1::pg_catalog.text
"""

# What somebody else has made in the database: system schemas and what belongs to extensions do not count.
# Other tools' histories come first: they say how the database is adopted.
FOREIGN_OBJECTS: Final = f"""
WITH theirs AS (
    SELECT n.oid, n.nspname FROM pg_catalog.pg_namespace AS n
    WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname NOT IN ('information_schema', $1::pg_catalog.text)
), found AS (
    SELECT 'pg_catalog.pg_class'::pg_catalog.regclass AS catalog, c.oid, c.relnamespace AS space, c.relname AS name
    FROM pg_catalog.pg_class AS c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
    UNION ALL
    SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass, p.oid, p.pronamespace, p.proname FROM pg_catalog.pg_proc AS p
    UNION ALL
    SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid, t.typnamespace, t.typname
    FROM pg_catalog.pg_type AS t WHERE t.typtype IN ('e', 'd', 'r')
)
SELECT pg_catalog.concat(theirs.nspname, '.', found.name) FROM found JOIN theirs ON theirs.oid = found.space
WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_depend AS d
    WHERE d.classid = found.catalog AND d.objid = found.oid AND d.deptype = 'e'
)
ORDER BY found.name IN ({tool_tables.AS_SQL}) DESC, 1 LIMIT 4
"""  # noqa: S608 - constants

# Who but the owner of the ledger and superusers could write to it, and how.
WRITERS: Final = """
WITH ledger AS (
    SELECT n.oid, n.nspowner, n.nspacl,
           (SELECT c.relowner FROM pg_catalog.pg_class AS c
            WHERE c.relnamespace = n.oid AND c.relname = 'meta') AS owner
    FROM pg_catalog.pg_namespace AS n WHERE n.nspname = $1::pg_catalog.text
), relations AS (
    SELECT c.oid, c.relname, c.relowner, c.relacl, c.relrowsecurity, c.relkind
    FROM pg_catalog.pg_class AS c JOIN ledger ON ledger.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
), found AS (
    SELECT ledger.nspowner AS who, 'owns the schema' AS how FROM ledger
    UNION ALL SELECT r.relowner, pg_catalog.concat('owns ', r.relname) FROM relations AS r
    UNION ALL SELECT a.grantee, pg_catalog.concat('has ', a.privilege_type, ' on the schema')
        FROM ledger, pg_catalog.aclexplode(ledger.nspacl) AS a
        WHERE a.privilege_type = 'CREATE' AND a.grantee <> ledger.nspowner
    UNION ALL SELECT a.grantee, pg_catalog.concat('has ', a.privilege_type, ' on ', r.relname)
        FROM relations AS r, pg_catalog.aclexplode(r.relacl) AS a
        WHERE a.privilege_type <> 'SELECT' AND a.grantee <> r.relowner
    UNION ALL SELECT a.grantee, pg_catalog.concat('has ', a.privilege_type, ' on a column of ', r.relname)
        FROM relations AS r JOIN pg_catalog.pg_attribute AS t ON t.attrelid = r.oid,
             pg_catalog.aclexplode(t.attacl) AS a WHERE a.privilege_type <> 'SELECT'
)
SELECT CASE WHEN found.who = 0 THEN 'everybody (PUBLIC)'
       ELSE pg_catalog.pg_get_userbyid(found.who)::pg_catalog.text END, found.how
FROM found CROSS JOIN ledger LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = found.who
WHERE found.who <> ledger.owner AND NOT COALESCE(r.rolsuper, false)
ORDER BY 1, 2 LIMIT 4
"""

# What would run, or hide rows, when the ledger is used.
HOOKS: Final = """
SELECT pg_catalog.concat('the trigger ', t.tgname, ' on ', c.relname)
FROM pg_catalog.pg_trigger AS t JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = $1::pg_catalog.text AND NOT t.tgisinternal
UNION ALL
SELECT pg_catalog.concat('the rule ', w.rulename, ' on ', c.relname)
FROM pg_catalog.pg_rewrite AS w JOIN pg_catalog.pg_class AS c ON c.oid = w.ev_class
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = $1::pg_catalog.text
UNION ALL
SELECT pg_catalog.concat('row security on ', c.relname)
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = $1::pg_catalog.text AND c.relrowsecurity
LIMIT 4
"""

# Who got rights on the new tables by default privileges.
GRANTEES: Final = """
SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC'
       ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)::pg_catalog.text) END
FROM pg_catalog.pg_namespace AS n,
     LATERAL (
        SELECT n.nspowner AS owner, n.nspacl AS acl
        UNION ALL
        SELECT c.relowner, c.relacl FROM pg_catalog.pg_class AS c WHERE c.relnamespace = n.oid
     ) AS o,
     LATERAL pg_catalog.aclexplode(o.acl) AS a
WHERE n.nspname = $1::pg_catalog.text AND a.grantee <> o.owner
"""

PUBLISHED: Final = "SELECT p.pubname FROM pg_catalog.pg_publication AS p WHERE p.puballtables"


META: Final = "SELECT m.ledger, m.version FROM @.meta AS m"

ORIGIN: Final = "SELECT m.ledger, m.occupied FROM @.meta AS m"

INSERT_META: Final = """
INSERT INTO @.meta (ledger, version, occupied)
VALUES (pg_catalog.gen_random_uuid(), $1::pg_catalog.int4, $2::pg_catalog.bool)
"""
SET_VERSION: Final = "UPDATE @.meta SET version = $1::pg_catalog.int4"

CLAIM: Final = """
INSERT INTO @.run AS r (line, owner_cluster, owner_namespace, owner_name, owner_uid, epoch, holder, pid,
                        job, pod, attempt, started)
VALUES ($1::pg_catalog.text, $2::pg_catalog.text, $3::pg_catalog.text, $4::pg_catalog.text, $5::pg_catalog.text, 1,
        $6::pg_catalog.uuid, pg_catalog.pg_backend_pid(), $7::pg_catalog.text, $8::pg_catalog.text,
        $9::pg_catalog.int4, pg_catalog.clock_timestamp())
ON CONFLICT (line) DO UPDATE SET
    owner_uid = excluded.owner_uid, epoch = r.epoch + 1, holder = excluded.holder, pid = excluded.pid, xid = NULL,
    job = excluded.job, pod = excluded.pod, attempt = excluded.attempt, started = excluded.started
WHERE r.owner_cluster = excluded.owner_cluster AND r.owner_namespace = excluded.owner_namespace
  AND r.owner_name = excluded.owner_name
RETURNING r.epoch
"""

# Only from the very owner that the person has named.
TAKE_OVER: Final = """
UPDATE @.run AS r SET owner_cluster = $2::pg_catalog.text, owner_namespace = $3::pg_catalog.text,
                      owner_name = $4::pg_catalog.text, owner_uid = $5::pg_catalog.text
WHERE r.line = $1::pg_catalog.text
  AND r.owner_cluster = $6::pg_catalog.text AND r.owner_namespace = $7::pg_catalog.text
  AND r.owner_name = $8::pg_catalog.text
RETURNING r.epoch
"""

OWNER: Final = """
SELECT r.owner_cluster, r.owner_namespace, r.owner_name, r.owner_uid
FROM @.run AS r WHERE r.line = $1::pg_catalog.text
"""

LAST_RUN: Final = """
SELECT r.owner_cluster, r.owner_namespace, r.owner_name, r.pod, r.pid
FROM @.run AS r WHERE r.line = $1::pg_catalog.text
"""

APPLIED: Final = """
SELECT a.version, a.name, a.up_checksum, COALESCE(a.down_checksum, '-'), a.irreversible, a.kind, a.sequence
FROM @.applied AS a WHERE a.line = $1::pg_catalog.text
"""

REPEATED: Final = """
SELECT r.name, r.up_checksum, COALESCE(r.down_checksum, '-'), r.kind, r.undone, r.sequence
FROM @.repeatable AS r WHERE r.line = $1::pg_catalog.text
"""

# What the repeatable migrations were before: to restore them on the way down.
RAN: Final = """
SELECT h.name, h.sequence, h.up_checksum, COALESCE(h.down_checksum, '-'), h.kind
FROM @.history AS h
WHERE h.line = $1::pg_catalog.text AND h.canonical IS NULL AND h.direction = 'repeat' ORDER BY h.sequence
"""

# What was applied and undone, of every version that was ever undone: what ran in between was built on it.
UNDONE: Final = """
SELECT h.canonical, h.sequence, h.direction, h.description
FROM @.history AS h
WHERE h.line = $1::pg_catalog.text AND (
    h.direction NOT IN ('correct', 'repair') OR h.direction = 'repair' AND h.description LIKE 'Mark%'
) AND h.canonical IN (
    SELECT g.canonical FROM @.history AS g
    WHERE g.line = $1::pg_catalog.text
      AND (g.direction = 'down' OR g.direction = 'repair' AND g.description LIKE 'MarkNotApplied%')
) ORDER BY h.sequence
"""

# A version of which the history says otherwise than the table of what is applied, and what the history says.
ASTRAY: Final = """
SELECT COALESCE(p.canonical, a.canonical), COALESCE(p.came > p.went, false)
FROM (
    SELECT h.canonical,
           pg_catalog.max(h.sequence) FILTER (WHERE h.direction IN ('up', 'baseline', 'adopt')
               OR h.direction = 'repair' AND h.description LIKE 'MarkApplied%') AS came,
           COALESCE(pg_catalog.max(h.sequence) FILTER (WHERE h.direction = 'down'
               OR h.direction = 'repair' AND h.description LIKE 'MarkNotApplied%'), 0) AS went
    FROM @.history AS h WHERE h.line = $1::pg_catalog.text AND h.canonical IS NOT NULL GROUP BY h.canonical
) AS p
FULL JOIN (
    SELECT o.canonical FROM @.applied AS o WHERE o.line = $1::pg_catalog.text
) AS a ON a.canonical = p.canonical
WHERE COALESCE(p.came > p.went, false) <> (a.canonical IS NOT NULL)
ORDER BY 1 LIMIT 1
"""

# Which applied versions of other lines require which version of this one.
DEPENDENTS: Final = """
SELECT a.line, a.version, need.value ->> 1
FROM @.applied AS a CROSS JOIN LATERAL pg_catalog.jsonb_array_elements(a.requires) AS need (value)
WHERE a.line <> $1::pg_catalog.text AND need.value ->> 0 = $1::pg_catalog.text
ORDER BY 1, 2
"""

# A migration whose statements are journaled has rows here until all of it is done and recorded.
JOURNAL: Final = """
SELECT j.step, j.direction, j.statement, j.state, j.note
FROM @.journal AS j WHERE j.line = $1::pg_catalog.text ORDER BY j.started, j.statement
"""

# The last entries, newest first, as the status shows them.
RECENT: Final = """
SELECT h.name, h.version, h.direction, h.kind,
       pg_catalog.to_char(pg_catalog.timezone('UTC'::pg_catalog.text, h.at),
                          'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'::pg_catalog.text)
FROM @.history AS h WHERE h.line = $1::pg_catalog.text ORDER BY h.sequence DESC LIMIT 20
"""

# Whether this line, and any line, has begun: what persons did to a line before its first step does not count.
BEGUN: Final = """
SELECT EXISTS (SELECT FROM @.history AS h WHERE h.line = $1::pg_catalog.text
               AND (h.direction <> 'repair' OR h.canonical IS NOT NULL)),
       EXISTS (SELECT FROM @.history AS h WHERE h.direction <> 'repair' OR h.canonical IS NOT NULL)
"""

# Newest first: what of an approved plan has been done already.
TRAIL: Final = """
SELECT h.direction, h.name, h.version, h.up_checksum, COALESCE(h.down_checksum, '-')
FROM @.history AS h WHERE h.line = $1::pg_catalog.text ORDER BY h.sequence DESC LIMIT 200
"""

# The entry that records a person's act, by its token.
REPAIRED: Final = """
SELECT h.sequence FROM @.history AS h
WHERE h.line = $1::pg_catalog.text AND h.repair = $2::pg_catalog.text LIMIT 1
"""

TEXTS: Final = """
SELECT t.checksum, pg_catalog.encode(t.body, 'hex') FROM @.texts AS t
WHERE t.checksum = ANY (pg_catalog.string_to_array($1::pg_catalog.text, ','))
"""

TAIL: Final = """
SELECT h.sequence, h.hash FROM @.history AS h WHERE h.line = $1::pg_catalog.text ORDER BY h.sequence DESC LIMIT 1
"""

HASH_AT: Final = """
SELECT h.hash FROM @.history AS h WHERE h.line = $1::pg_catalog.text AND h.sequence = $2::pg_catalog.int8
"""

# The first row of a line's history that is missing, was changed, or does not follow from the one before.
BROKEN: Final = """
SELECT c.sequence FROM (
    SELECT h.*, pg_catalog.lag(h.hash, 1, ''::pg_catalog.text) OVER w AS before,
           pg_catalog.row_number() OVER w AS expected
    FROM @.history AS h WHERE h.line = $1::pg_catalog.text WINDOW w AS (ORDER BY h.sequence)
) AS c
WHERE c.previous <> c.before OR c.sequence <> c.expected
   OR c.hash <> pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.concat_ws(E'\\n',
        c.previous, c.line, c.sequence, c.direction, COALESCE(c.canonical, '-'), c.name, c.up_checksum,
        COALESCE(c.down_checksum, '-'), c.epoch, c.holder
      ), 'UTF8')), 'hex')
ORDER BY c.sequence LIMIT 1
"""
