"""The SQL that reads a database's catalog: tables and what they are made of, functions, types."""
# ruff: noqa: S608 - put together from nothing but the constants here

from typing import Final

from lockstep.engines.postgresql.catalog_frame import collation, in_order, made, own, quoted, short

SCHEMAS: Final = f"""
    SELECT pg_catalog.concat('schema ', s.name), ''::pg_catalog.text
    FROM spaces AS s WHERE {own("pg_namespace", "s.oid")}
"""

# A table is what is true of it as a whole: not its columns, nor their order.
TABLES: Final = f"""
    SELECT pg_catalog.concat(CASE c.relkind WHEN 'f' THEN 'foreign table ' ELSE 'table ' END, c.name),
           pg_catalog.json_build_array(
               c.relkind, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity, c.relreplident,
               (SELECT a.amname FROM pg_catalog.pg_am AS a WHERE a.oid = c.relam),
               CASE c.relreplident WHEN 'i' THEN (
                   SELECT i.indexrelid::pg_catalog.regclass::pg_catalog.text FROM pg_catalog.pg_index AS i
                   WHERE i.indrelid = c.oid AND i.indisreplident) END,
               {in_order("c.reloptions")},
               CASE WHEN c.reltoastrelid <> 0 THEN (
                   SELECT {in_order("t.reloptions")} FROM pg_catalog.pg_class AS t WHERE t.oid = c.reltoastrelid) END,
               CASE WHEN c.reloftype <> 0 THEN pg_catalog.format_type(c.reloftype, NULL) END,
               CASE c.relkind WHEN 'p' THEN pg_catalog.pg_get_partkeydef(c.oid) END,
               pg_catalog.pg_get_expr(c.relpartbound, c.oid),
               (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
                           h.inhparent::pg_catalog.regclass::pg_catalog.text, h.inhdetachpending) ORDER BY h.inhseqno)
                FROM pg_catalog.pg_inherits AS h WHERE h.inhrelid = c.oid),
               CASE c.relkind WHEN 'f' THEN (
                   SELECT pg_catalog.json_build_array(r.srvname, {in_order("f.ftoptions")})
                   FROM pg_catalog.pg_foreign_table AS f JOIN pg_catalog.pg_foreign_server AS r ON r.oid = f.ftserver
                   WHERE f.ftrelid = c.oid) END
           )
    FROM relations AS c WHERE c.relkind IN ('r', 'p', 'f')
"""

# PostgreSQL 18 keeps a constraint for each NOT NULL: of that only what 15 has too, and whether all rows fulfil it.
COLUMNS: Final = f"""
    SELECT pg_catalog.concat('column ', c.name, '.', {quoted("a.attname")}),
           pg_catalog.json_build_array(
               pg_catalog.format_type(a.atttypid, a.atttypmod), {collation("a.attcollation", "t.typcollation")},
               a.attnotnull, CASE WHEN n.oid IS NOT NULL AND NOT (n.convalidated AND NOT n.connoinherit)
                   THEN pg_catalog.json_build_array(n.convalidated, n.connoinherit) END,
               pg_catalog.pg_get_expr(d.adbin, d.adrelid), a.attgenerated, a.attidentity,
               a.attstorage, a.attcompression, NULLIF(a.attstattarget, -1), {in_order("a.attoptions")},
               {in_order("a.attfdwoptions")},
               CASE WHEN a.attidentity <> '' THEN (
                   SELECT pg_catalog.json_build_array(
                       q.seqrelid::pg_catalog.regclass::pg_catalog.text, q.seqstart, q.seqincrement, q.seqmin, q.seqmax,
                       q.seqcache, q.seqcycle)
                   FROM pg_catalog.pg_depend AS i JOIN pg_catalog.pg_sequence AS q ON q.seqrelid = i.objid
                   WHERE i.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND i.refobjid = a.attrelid
                     AND i.refobjsubid = a.attnum AND i.deptype = 'i'
                     AND i.classid = 'pg_catalog.pg_class'::pg_catalog.regclass) END
           )
    FROM relations AS c
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
    LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    LEFT JOIN pg_catalog.pg_constraint AS n
        ON n.conrelid = a.attrelid AND n.contype = 'n' AND n.conkey[1] = a.attnum
    WHERE c.relkind IN ('r', 'p', 'f')
"""

# An index that a constraint has made is the constraint's.
INDEXES: Final = f"""
    SELECT pg_catalog.concat('index ', c.space, '.', {quoted("x.relname")}, ' of ', c.name),
           pg_catalog.json_build_array(
               pg_catalog.pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisready,
               (SELECT h.inhparent::pg_catalog.regclass::pg_catalog.text
                FROM pg_catalog.pg_inherits AS h WHERE h.inhrelid = i.indexrelid))
    FROM relations AS c
    JOIN pg_catalog.pg_index AS i ON i.indrelid = c.oid
    JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
    WHERE NOT EXISTS (
        SELECT FROM pg_catalog.pg_constraint AS k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
"""

# What its index has beside what a constraint says are options: PostgreSQL takes no other order, operator class or
# collation for it than the default. Not the rows that a foreign key to a partitioned table keeps for each of its
# partitions. That triggers of a foreign key are off does count: it checks nothing then.
CONSTRAINTS: Final = f"""
    SELECT pg_catalog.concat('constraint ', c.name, '.', {quoted("k.conname")}),
           pg_catalog.json_build_array(
               pg_catalog.pg_get_constraintdef(k.oid),
               CASE WHEN i.indexrelid IS NOT NULL
                   THEN pg_catalog.json_build_array({in_order("x.reloptions")}, i.indisvalid) END,
               CASE WHEN k.contype = 'f' AND EXISTS (
                   SELECT FROM pg_catalog.pg_trigger AS t WHERE t.tgconstraint = k.oid AND t.tgenabled <> 'O') THEN (
                   SELECT pg_catalog.json_agg(pg_catalog.json_build_array(p.proname, t.tgenabled)
                                              ORDER BY p.proname, t.tgenabled)
                   FROM pg_catalog.pg_trigger AS t JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
                   WHERE t.tgconstraint = k.oid) END)
    FROM relations AS c JOIN pg_catalog.pg_constraint AS k ON k.conrelid = c.oid
    LEFT JOIN pg_catalog.pg_index AS i ON i.indexrelid = k.conindid AND k.contype IN ('p', 'u', 'x')
    LEFT JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
    WHERE k.contype IN ('c', 'f', 'p', 'u', 'x') AND NOT (k.conparentid <> 0 AND EXISTS (
        SELECT FROM pg_catalog.pg_constraint AS p WHERE p.oid = k.conparentid AND p.conrelid = k.conrelid))
    UNION ALL
    SELECT pg_catalog.concat('constraint ', s.name, '.', {quoted("t.typname")}, '.', {quoted("k.conname")}),
           pg_catalog.json_build_array(pg_catalog.pg_get_constraintdef(k.oid))
    FROM pg_catalog.pg_constraint AS k
    JOIN pg_catalog.pg_type AS t ON t.oid = k.contypid JOIN spaces AS s ON s.oid = t.typnamespace
    WHERE k.contype = 'c' AND {own("pg_type", "t.oid")}
"""

TRIGGERS: Final = f"""
    SELECT pg_catalog.concat('trigger ', c.name, '.', {quoted("t.tgname")}),
           pg_catalog.json_build_array(pg_catalog.pg_get_triggerdef(t.oid, false), t.tgenabled)
    FROM relations AS c JOIN pg_catalog.pg_trigger AS t ON t.tgrelid = c.oid WHERE NOT t.tgisinternal
    UNION ALL
    SELECT pg_catalog.concat('rule ', c.name, '.', {quoted("r.rulename")}),
           pg_catalog.json_build_array(pg_catalog.pg_get_ruledef(r.oid), r.ev_enabled)
    FROM relations AS c JOIN pg_catalog.pg_rewrite AS r ON r.ev_class = c.oid WHERE r.rulename <> '_RETURN'
"""

VIEWS: Final = f"""
    SELECT pg_catalog.concat(CASE c.relkind WHEN 'm' THEN 'materialized view ' ELSE 'view ' END, c.name),
           pg_catalog.json_build_array(
               pg_catalog.pg_get_viewdef(c.oid), {in_order("c.reloptions")},
               (SELECT a.amname FROM pg_catalog.pg_am AS a WHERE a.oid = c.relam),
               (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
                           a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
                           {collation("a.attcollation", "t.typcollation")}, pg_catalog.pg_get_expr(d.adbin, d.adrelid),
                           NULLIF(a.attstattarget, -1)) ORDER BY a.attnum)
                FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
                LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
                WHERE a.attrelid = c.oid AND a.attnum > 0))
    FROM relations AS c WHERE c.relkind IN ('v', 'm')
"""

# What an identity column has made is the column's.
SEQUENCES: Final = f"""
    SELECT pg_catalog.concat('sequence ', c.name,
               CASE WHEN o.table_name IS NOT NULL THEN pg_catalog.concat(' of ', o.table_name) END),
           pg_catalog.json_build_array(
               pg_catalog.format_type(q.seqtypid, NULL), q.seqstart, q.seqincrement, q.seqmin, q.seqmax, q.seqcache,
               q.seqcycle, c.relpersistence, o.column_name)
    FROM relations AS c JOIN pg_catalog.pg_sequence AS q ON q.seqrelid = c.oid
    LEFT JOIN pg_catalog.pg_depend AS d
        ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
       AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
    LEFT JOIN LATERAL (
        SELECT pg_catalog.concat(s.name, '.', {quoted("t.relname")}) AS table_name, a.attname AS column_name
        FROM pg_catalog.pg_class AS t JOIN spaces AS s ON s.oid = t.relnamespace
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
        WHERE t.oid = d.refobjid) AS o ON true
    WHERE d.deptype IS DISTINCT FROM 'i'
"""

# What makes a range out of its bounds comes with the range.
OF_FUNCTIONS: Final = f"""pg_catalog.pg_proc AS p JOIN spaces AS s ON s.oid = p.pronamespace
    WHERE {made("pg_proc", "p.oid")}"""
FUNCTION_WORD: Final = "CASE p.prokind WHEN 'p' THEN 'procedure ' WHEN 'a' THEN 'aggregate ' ELSE 'function ' END"

FUNCTIONS: Final = f"""
    SELECT pg_catalog.concat({FUNCTION_WORD}, {short("p.oid::pg_catalog.regprocedure")}),
           CASE WHEN p.prokind <> 'a' THEN pg_catalog.pg_get_functiondef(p.oid)
           ELSE pg_catalog.json_build_array(
               pg_catalog.pg_get_function_arguments(p.oid), pg_catalog.format_type(p.prorettype, NULL), p.proparallel,
               (SELECT pg_catalog.json_build_array(
                    a.aggkind, a.aggnumdirectargs, a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn,
                    a.aggdeserialfn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn, a.aggfinalextra,
                    a.aggmfinalextra, a.aggfinalmodify, a.aggmfinalmodify,
                    a.aggsortop::pg_catalog.regoperator::pg_catalog.text,
                    pg_catalog.format_type(a.aggtranstype, NULL), a.aggtransspace,
                    pg_catalog.format_type(a.aggmtranstype, NULL), a.aggmtransspace, a.agginitval, a.aggminitval)
                FROM pg_catalog.pg_aggregate AS a WHERE a.aggfnoid = p.oid))::pg_catalog.text END
    FROM {OF_FUNCTIONS}
"""

# Not the types of rows and arrays, which come with what they are of; nor multiranges, which come with their ranges.
OF_TYPES: Final = f"""pg_catalog.pg_type AS t JOIN spaces AS s ON s.oid = t.typnamespace
    WHERE (t.typtype IN ('e', 'd', 'r') OR t.typtype = 'b' AND t.typcategory <> 'A' OR t.typtype = 'c' AND EXISTS (
        SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = t.typrelid AND c.relkind = 'c'))
      AND t.typisdefined AND {own("pg_type", "t.oid")}"""

TYPES: Final = f"""
    SELECT pg_catalog.concat('type ', s.name, '.', {quoted("t.typname")}),
           CASE t.typtype
           WHEN 'e' THEN (
               SELECT pg_catalog.json_build_array('enum', pg_catalog.json_agg(l.enumlabel ORDER BY l.enumsortorder))
               FROM pg_catalog.pg_enum AS l WHERE l.enumtypid = t.oid)
           WHEN 'd' THEN pg_catalog.json_build_array(
               'domain', pg_catalog.format_type(t.typbasetype, t.typtypmod), t.typnotnull,
               pg_catalog.pg_get_expr(t.typdefaultbin, 0), (
                   SELECT {collation("t.typcollation", "b.typcollation")}
                   FROM pg_catalog.pg_type AS b WHERE b.oid = t.typbasetype))
           WHEN 'c' THEN (
               SELECT pg_catalog.json_build_array('composite', pg_catalog.json_agg(pg_catalog.json_build_array(
                          a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
                          {collation("a.attcollation", "b.typcollation")}) ORDER BY a.attnum))
               FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_type AS b ON b.oid = a.atttypid
               WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)
           WHEN 'r' THEN (
               SELECT pg_catalog.json_build_array(
                   'range', pg_catalog.format_type(r.rngsubtype, NULL), o.opcname,
                   r.rngcollation::pg_catalog.regcollation::pg_catalog.text, r.rngcanonical, r.rngsubdiff,
                   r.rngmultitypid::pg_catalog.regtype::pg_catalog.text)
               FROM pg_catalog.pg_range AS r JOIN pg_catalog.pg_opclass AS o ON o.oid = r.rngsubopc
               WHERE r.rngtypid = t.oid)
           ELSE pg_catalog.json_build_array(
               'base', t.typlen, t.typbyval, t.typcategory, t.typispreferred, t.typdelim, t.typinput, t.typoutput,
               t.typreceive, t.typsend, t.typmodin, t.typmodout, t.typanalyze, t.typalign, t.typstorage, t.typdefault)
           END
    FROM {OF_TYPES}
"""
