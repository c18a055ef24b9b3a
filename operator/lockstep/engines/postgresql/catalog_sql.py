"""The SQL that reads a database's catalog: for each kind of object its names, and what each object is.

Set-based: a query takes all objects of a kind, whose hashes the server makes. Functions are qualified; operators are
safe since the path is pinned within the transaction (see PINNED). `$1` is the ledger's schema.
"""
# ruff: noqa: S608 - put together from nothing but the constants here

from typing import Final

FORMAT: Final = 1
"""Grows with every change here that gives another hash or another name to what has not changed."""

PINNED: Final = {
    # First, so that nothing of an application's role is called; it also makes all names come out qualified.
    "search_path": "pg_catalog, pg_temp",
    "DateStyle": "'ISO, YMD'",
    "IntervalStyle": "'postgres'",
    "TimeZone": "'UTC'",
    "extra_float_digits": "3",
    "quote_all_identifiers": "off",
    "standard_conforming_strings": "on",
    "bytea_output": "'hex'",
    "xmlbinary": "'base64'",
    "xmloption": "'content'",
    "lc_monetary": "'C'",
    "lc_numeric": "'C'",
    "lc_time": "'C'",
    "default_tablespace": "''",
    "row_security": "on",
    # Compiling such queries takes longer than running them.
    "jit": "off",
}
"""Settings of the transaction: what a role or a database has set changes how definitions are printed."""

_WITH: Final = """
WITH spaces AS MATERIALIZED (
    SELECT n.oid, pg_catalog.quote_ident(n.nspname::pg_catalog.text) AS name, n.nspowner, n.nspacl
    FROM pg_catalog.pg_namespace AS n
    WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname NOT IN ('information_schema', $1::pg_catalog.name)
), extended AS MATERIALIZED (
    SELECT d.classid, d.objid FROM pg_catalog.pg_depend AS d
    WHERE d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e'
), relations AS (
    SELECT c.*, s.name AS space,
           pg_catalog.concat(s.name, '.', pg_catalog.quote_ident(c.relname::pg_catalog.text)) AS name
    FROM pg_catalog.pg_class AS c JOIN spaces AS s ON s.oid = c.relnamespace
    WHERE c.relpersistence <> 't' AND c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S') AND NOT EXISTS (
        SELECT FROM extended AS e
        WHERE e.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND e.objid = c.oid)
)
"""

_HASH: Final = """
SELECT o.name, pg_catalog.substr(pg_catalog.encode(pg_catalog.sha256(
    pg_catalog.convert_to(o.body::pg_catalog.text, 'UTF8'::pg_catalog.name)), 'hex'), 1, 32)
FROM (%s) AS o (name, body)
"""


def _query(body: str) -> str:
    return _WITH + _HASH % body


def _sorted(values: str) -> str:
    """Return SQL for the elements of an array, in an order that no setting changes."""
    return (
        f'(SELECT pg_catalog.array_agg(v.x ORDER BY v.x::pg_catalog.text COLLATE pg_catalog."C") '
        f"FROM pg_catalog.unnest({values}) AS v (x))"
    )


def _own(catalog: str, oid: str) -> str:
    """Return SQL that is true of what no extension owns."""
    return (
        f"NOT EXISTS (SELECT FROM extended AS e WHERE e.classid = 'pg_catalog.{catalog}'::pg_catalog.regclass "
        f"AND e.objid = {oid})"
    )


def _made(catalog: str, oid: str) -> str:
    """Return SQL that is true of what people have made: neither an extension's nor a part of something else."""
    return (
        f"{_own(catalog, oid)} AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d "
        f"WHERE d.classid = 'pg_catalog.{catalog}'::pg_catalog.regclass AND d.objid = {oid} AND d.deptype = 'i')"
    )


def _quoted(name: str) -> str:
    return f"pg_catalog.quote_ident({name}::pg_catalog.text)"


def _short(signature: str) -> str:
    """Return SQL for a signature, cut where it is too long for an index, and then told apart by its hash."""
    text = f"{signature}::pg_catalog.text"
    hashed = f"pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to({text}, 'UTF8'::pg_catalog.name)), 'hex')"
    return (
        f"CASE WHEN pg_catalog.octet_length({text}) <= 1000 THEN {text} "
        f"ELSE pg_catalog.concat(pg_catalog.left({text}, 200), '...', pg_catalog.substr({hashed}, 1, 16), ')') END"
    )


def _collation(collation: str, of_type: str) -> str:
    return f"CASE WHEN {collation} <> {of_type} THEN {collation}::pg_catalog.regcollation::pg_catalog.text END"


SCHEMAS: Final = _query(f"""
    SELECT pg_catalog.concat('schema ', s.name), ''::pg_catalog.text
    FROM spaces AS s WHERE {_own("pg_namespace", "s.oid")}
""")

# A table is what is true of it as a whole: not its columns, nor their order.
TABLES: Final = _query(f"""
    SELECT pg_catalog.concat(CASE c.relkind WHEN 'f' THEN 'foreign table ' ELSE 'table ' END, c.name),
           pg_catalog.json_build_array(
               c.relkind, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity, c.relreplident,
               (SELECT a.amname FROM pg_catalog.pg_am AS a WHERE a.oid = c.relam),
               CASE c.relreplident WHEN 'i' THEN (
                   SELECT i.indexrelid::pg_catalog.regclass::pg_catalog.text FROM pg_catalog.pg_index AS i
                   WHERE i.indrelid = c.oid AND i.indisreplident) END,
               {_sorted("c.reloptions")},
               CASE WHEN c.reltoastrelid <> 0 THEN (
                   SELECT {_sorted("t.reloptions")} FROM pg_catalog.pg_class AS t WHERE t.oid = c.reltoastrelid) END,
               CASE WHEN c.reloftype <> 0 THEN pg_catalog.format_type(c.reloftype, NULL) END,
               CASE c.relkind WHEN 'p' THEN pg_catalog.pg_get_partkeydef(c.oid) END,
               pg_catalog.pg_get_expr(c.relpartbound, c.oid),
               (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
                           h.inhparent::pg_catalog.regclass::pg_catalog.text, h.inhdetachpending) ORDER BY h.inhseqno)
                FROM pg_catalog.pg_inherits AS h WHERE h.inhrelid = c.oid),
               CASE c.relkind WHEN 'f' THEN (
                   SELECT pg_catalog.json_build_array(r.srvname, {_sorted("f.ftoptions")})
                   FROM pg_catalog.pg_foreign_table AS f JOIN pg_catalog.pg_foreign_server AS r ON r.oid = f.ftserver
                   WHERE f.ftrelid = c.oid) END
           )
    FROM relations AS c WHERE c.relkind IN ('r', 'p', 'f')
""")

# PostgreSQL 18 keeps a constraint for each NOT NULL: of that only what 15 has too, and whether all rows fulfil it.
COLUMNS: Final = _query(f"""
    SELECT pg_catalog.concat('column ', c.name, '.', {_quoted("a.attname")}),
           pg_catalog.json_build_array(
               pg_catalog.format_type(a.atttypid, a.atttypmod), {_collation("a.attcollation", "t.typcollation")},
               a.attnotnull, CASE WHEN n.oid IS NOT NULL AND NOT (n.convalidated AND NOT n.connoinherit)
                   THEN pg_catalog.json_build_array(n.convalidated, n.connoinherit) END,
               pg_catalog.pg_get_expr(d.adbin, d.adrelid), a.attgenerated, a.attidentity,
               a.attstorage, a.attcompression, NULLIF(a.attstattarget, -1), {_sorted("a.attoptions")},
               {_sorted("a.attfdwoptions")},
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
""")

# An index that a constraint has made is the constraint's.
INDEXES: Final = _query(f"""
    SELECT pg_catalog.concat('index ', c.space, '.', {_quoted("x.relname")}, ' of ', c.name),
           pg_catalog.json_build_array(
               pg_catalog.pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisready,
               (SELECT h.inhparent::pg_catalog.regclass::pg_catalog.text
                FROM pg_catalog.pg_inherits AS h WHERE h.inhrelid = i.indexrelid))
    FROM relations AS c
    JOIN pg_catalog.pg_index AS i ON i.indrelid = c.oid
    JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
    WHERE NOT EXISTS (
        SELECT FROM pg_catalog.pg_constraint AS k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
""")

# Not the rows that a foreign key to a partitioned table keeps for each of its partitions. That triggers of a foreign
# key are off does count: it checks nothing then.
CONSTRAINTS: Final = _query(f"""
    SELECT pg_catalog.concat('constraint ', c.name, '.', {_quoted("k.conname")}),
           pg_catalog.json_build_array(
               pg_catalog.pg_get_constraintdef(k.oid),
               CASE WHEN k.contype IN ('p', 'u', 'x') THEN (
                   SELECT pg_catalog.json_build_array(pg_catalog.pg_get_indexdef(i.indexrelid), i.indisvalid)
                   FROM pg_catalog.pg_index AS i WHERE i.indexrelid = k.conindid) END,
               CASE WHEN k.contype = 'f' AND EXISTS (
                   SELECT FROM pg_catalog.pg_trigger AS t WHERE t.tgconstraint = k.oid AND t.tgenabled <> 'O') THEN (
                   SELECT pg_catalog.json_agg(pg_catalog.json_build_array(p.proname, t.tgenabled)
                                              ORDER BY p.proname, t.tgenabled)
                   FROM pg_catalog.pg_trigger AS t JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
                   WHERE t.tgconstraint = k.oid) END)
    FROM relations AS c JOIN pg_catalog.pg_constraint AS k ON k.conrelid = c.oid
    WHERE k.contype IN ('c', 'f', 'p', 'u', 'x') AND NOT (k.conparentid <> 0 AND EXISTS (
        SELECT FROM pg_catalog.pg_constraint AS p WHERE p.oid = k.conparentid AND p.conrelid = k.conrelid))
    UNION ALL
    SELECT pg_catalog.concat('constraint ', s.name, '.', {_quoted("t.typname")}, '.', {_quoted("k.conname")}),
           pg_catalog.json_build_array(pg_catalog.pg_get_constraintdef(k.oid))
    FROM pg_catalog.pg_constraint AS k
    JOIN pg_catalog.pg_type AS t ON t.oid = k.contypid JOIN spaces AS s ON s.oid = t.typnamespace
    WHERE k.contype = 'c' AND {_own("pg_type", "t.oid")}
""")

TRIGGERS: Final = _query(f"""
    SELECT pg_catalog.concat('trigger ', c.name, '.', {_quoted("t.tgname")}),
           pg_catalog.json_build_array(pg_catalog.pg_get_triggerdef(t.oid, false), t.tgenabled)
    FROM relations AS c JOIN pg_catalog.pg_trigger AS t ON t.tgrelid = c.oid WHERE NOT t.tgisinternal
    UNION ALL
    SELECT pg_catalog.concat('rule ', c.name, '.', {_quoted("r.rulename")}),
           pg_catalog.json_build_array(pg_catalog.pg_get_ruledef(r.oid), r.ev_enabled)
    FROM relations AS c JOIN pg_catalog.pg_rewrite AS r ON r.ev_class = c.oid WHERE r.rulename <> '_RETURN'
""")

VIEWS: Final = _query(f"""
    SELECT pg_catalog.concat(CASE c.relkind WHEN 'm' THEN 'materialized view ' ELSE 'view ' END, c.name),
           pg_catalog.json_build_array(
               pg_catalog.pg_get_viewdef(c.oid), {_sorted("c.reloptions")},
               (SELECT a.amname FROM pg_catalog.pg_am AS a WHERE a.oid = c.relam),
               (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
                           a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
                           {_collation("a.attcollation", "t.typcollation")}, pg_catalog.pg_get_expr(d.adbin, d.adrelid),
                           NULLIF(a.attstattarget, -1)) ORDER BY a.attnum)
                FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
                LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
                WHERE a.attrelid = c.oid AND a.attnum > 0))
    FROM relations AS c WHERE c.relkind IN ('v', 'm')
""")

# What an identity column has made is the column's.
SEQUENCES: Final = _query(f"""
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
        SELECT pg_catalog.concat(s.name, '.', {_quoted("t.relname")}) AS table_name, a.attname AS column_name
        FROM pg_catalog.pg_class AS t JOIN spaces AS s ON s.oid = t.relnamespace
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
        WHERE t.oid = d.refobjid) AS o ON true
    WHERE d.deptype IS DISTINCT FROM 'i'
""")

# What makes a range out of its bounds comes with the range.
_FUNCTIONS: Final = f"""pg_catalog.pg_proc AS p JOIN spaces AS s ON s.oid = p.pronamespace
    WHERE {_made("pg_proc", "p.oid")}"""
_FUNCTION: Final = "CASE p.prokind WHEN 'p' THEN 'procedure ' WHEN 'a' THEN 'aggregate ' ELSE 'function ' END"

FUNCTIONS: Final = _query(f"""
    SELECT pg_catalog.concat({_FUNCTION}, {_short("p.oid::pg_catalog.regprocedure")}),
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
    FROM {_FUNCTIONS}
""")

# Not the types of rows and arrays, which come with what they are of; nor multiranges, which come with their ranges.
_TYPES: Final = f"""pg_catalog.pg_type AS t JOIN spaces AS s ON s.oid = t.typnamespace
    WHERE (t.typtype IN ('e', 'd', 'r') OR t.typtype = 'b' AND t.typcategory <> 'A' OR t.typtype = 'c' AND EXISTS (
        SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = t.typrelid AND c.relkind = 'c'))
      AND t.typisdefined AND {_own("pg_type", "t.oid")}"""

TYPES: Final = _query(f"""
    SELECT pg_catalog.concat('type ', s.name, '.', {_quoted("t.typname")}),
           CASE t.typtype
           WHEN 'e' THEN (
               SELECT pg_catalog.json_build_array('enum', pg_catalog.json_agg(l.enumlabel ORDER BY l.enumsortorder))
               FROM pg_catalog.pg_enum AS l WHERE l.enumtypid = t.oid)
           WHEN 'd' THEN pg_catalog.json_build_array(
               'domain', pg_catalog.format_type(t.typbasetype, t.typtypmod), t.typnotnull,
               pg_catalog.pg_get_expr(t.typdefaultbin, 0), (
                   SELECT {_collation("t.typcollation", "b.typcollation")}
                   FROM pg_catalog.pg_type AS b WHERE b.oid = t.typbasetype))
           WHEN 'c' THEN (
               SELECT pg_catalog.json_build_array('composite', pg_catalog.json_agg(pg_catalog.json_build_array(
                          a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
                          {_collation("a.attcollation", "b.typcollation")}) ORDER BY a.attnum))
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
    FROM {_TYPES}
""")

EXTENSIONS: Final = _query(f"""
    SELECT pg_catalog.concat('extension ', {_quoted("x.extname")}),
           pg_catalog.json_build_array(x.extversion, n.nspname)
    FROM pg_catalog.pg_extension AS x JOIN pg_catalog.pg_namespace AS n ON n.oid = x.extnamespace
    UNION ALL
    SELECT pg_catalog.concat('event trigger ', {_quoted("v.evtname")}),
           pg_catalog.json_build_array(v.evtevent, v.evtfoid::pg_catalog.regprocedure::pg_catalog.text, v.evtenabled,
                                       {_sorted("v.evttags")})
    FROM pg_catalog.pg_event_trigger AS v WHERE {_own("pg_event_trigger", "v.oid")}
    UNION ALL
    SELECT pg_catalog.concat('foreign data wrapper ', {_quoted("w.fdwname")}),
           pg_catalog.json_build_array(w.fdwhandler::pg_catalog.regproc, w.fdwvalidator::pg_catalog.regproc,
                                       {_sorted("w.fdwoptions")})
    FROM pg_catalog.pg_foreign_data_wrapper AS w WHERE {_own("pg_foreign_data_wrapper", "w.oid")}
    UNION ALL
    SELECT pg_catalog.concat('server ', {_quoted("r.srvname")}),
           pg_catalog.json_build_array(w.fdwname, r.srvtype, r.srvversion, {_sorted("r.srvoptions")})
    FROM pg_catalog.pg_foreign_server AS r JOIN pg_catalog.pg_foreign_data_wrapper AS w ON w.oid = r.srvfdw
    WHERE {_own("pg_foreign_server", "r.oid")}
    UNION ALL
    SELECT pg_catalog.concat('cast (', pg_catalog.format_type(k.castsource, NULL), ' AS ',
                             pg_catalog.format_type(k.casttarget, NULL), ')'),
           pg_catalog.json_build_array(
               k.castfunc::pg_catalog.regprocedure::pg_catalog.text, k.castcontext, k.castmethod)
    FROM pg_catalog.pg_cast AS k WHERE k.oid >= 16384 AND {_made("pg_cast", "k.oid")}
""")

# What statistics and collations have beside their names differs from version to version: taken as it is.
STATISTICS: Final = _query(f"""
    SELECT pg_catalog.concat('statistics ', s.name, '.', {_quoted("x.stxname")}, ' of ', c.name),
           pg_catalog.json_build_array(pg_catalog.pg_get_statisticsobjdef(x.oid), NULLIF(x.stxstattarget, -1))
    FROM pg_catalog.pg_statistic_ext AS x JOIN spaces AS s ON s.oid = x.stxnamespace
    JOIN relations AS c ON c.oid = x.stxrelid
    UNION ALL
    SELECT pg_catalog.concat('collation ', s.name, '.', {_quoted("k.collname")}),
           (pg_catalog.to_json(pg_catalog.to_jsonb(k)
                - '{{oid,collname,collnamespace,collowner,collversion}}'::pg_catalog.text[]))
    FROM pg_catalog.pg_collation AS k JOIN spaces AS s ON s.oid = k.collnamespace
    WHERE {_own("pg_collation", "k.oid")}
    UNION ALL
    SELECT pg_catalog.concat('text search dictionary ', s.name, '.', {_quoted("d.dictname")}),
           pg_catalog.json_build_array(t.tmplname, t.tmplnamespace::pg_catalog.regnamespace::pg_catalog.text,
                                       d.dictinitoption)
    FROM pg_catalog.pg_ts_dict AS d JOIN spaces AS s ON s.oid = d.dictnamespace
    JOIN pg_catalog.pg_ts_template AS t ON t.oid = d.dicttemplate WHERE {_own("pg_ts_dict", "d.oid")}
    UNION ALL
    SELECT pg_catalog.concat('text search configuration ', s.name, '.', {_quoted("f.cfgname")}),
           pg_catalog.json_build_array(
               p.prsname, p.prsnamespace::pg_catalog.regnamespace::pg_catalog.text,
               (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
                           m.maptokentype, m.mapdict::pg_catalog.regdictionary::pg_catalog.text)
                       ORDER BY m.maptokentype, m.mapseqno)
                FROM pg_catalog.pg_ts_config_map AS m WHERE m.mapcfg = f.oid))
    FROM pg_catalog.pg_ts_config AS f JOIN spaces AS s ON s.oid = f.cfgnamespace
    JOIN pg_catalog.pg_ts_parser AS p ON p.oid = f.cfgparser WHERE {_own("pg_ts_config", "f.oid")}
""")

OPERATORS: Final = _query(f"""
    SELECT pg_catalog.concat('operator ', {_short("o.oid::pg_catalog.regoperator")}),
           pg_catalog.json_build_array(
               o.oprkind, o.oprcanmerge, o.oprcanhash, pg_catalog.format_type(o.oprresult, NULL),
               o.oprcode::pg_catalog.regprocedure::pg_catalog.text, o.oprcom::pg_catalog.regoperator::pg_catalog.text,
               o.oprnegate::pg_catalog.regoperator::pg_catalog.text, o.oprrest, o.oprjoin)
    FROM pg_catalog.pg_operator AS o JOIN spaces AS s ON s.oid = o.oprnamespace WHERE {_own("pg_operator", "o.oid")}
    UNION ALL
    SELECT pg_catalog.concat('operator class ', s.name, '.', {_quoted("o.opcname")}, ' using ', {_quoted("m.amname")}),
           pg_catalog.json_build_array(
               f.opfname, f.opfnamespace::pg_catalog.regnamespace::pg_catalog.text,
               pg_catalog.format_type(o.opcintype, NULL), o.opcdefault, pg_catalog.format_type(o.opckeytype, NULL))
    FROM pg_catalog.pg_opclass AS o JOIN spaces AS s ON s.oid = o.opcnamespace
    JOIN pg_catalog.pg_am AS m ON m.oid = o.opcmethod JOIN pg_catalog.pg_opfamily AS f ON f.oid = o.opcfamily
    WHERE {_own("pg_opclass", "o.oid")}
    UNION ALL
    SELECT pg_catalog.concat('operator family ', s.name, '.', {_quoted("f.opfname")}, ' using ', {_quoted("m.amname")}),
           pg_catalog.json_build_array(
               (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
                           a.amopstrategy, a.amoppurpose, a.amopopr::pg_catalog.regoperator::pg_catalog.text)
                       ORDER BY a.amopstrategy,
                                a.amopopr::pg_catalog.regoperator::pg_catalog.text COLLATE pg_catalog."C")
                FROM pg_catalog.pg_amop AS a WHERE a.amopfamily = f.oid),
               (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
                           pg_catalog.format_type(a.amproclefttype, NULL),
                           pg_catalog.format_type(a.amprocrighttype, NULL), a.amprocnum,
                           a.amproc::pg_catalog.regprocedure::pg_catalog.text)
                       ORDER BY a.amprocnum, a.amproc::pg_catalog.regprocedure::pg_catalog.text COLLATE pg_catalog."C")
                FROM pg_catalog.pg_amproc AS a WHERE a.amprocfamily = f.oid))
    FROM pg_catalog.pg_opfamily AS f JOIN spaces AS s ON s.oid = f.opfnamespace
    JOIN pg_catalog.pg_am AS m ON m.oid = f.opfmethod WHERE {_own("pg_opfamily", "f.oid")}
""")

_PUBLISHED_14: Final = """
               (SELECT pg_catalog.json_agg(r.prrelid::pg_catalog.regclass::pg_catalog.text
                       ORDER BY r.prrelid::pg_catalog.regclass::pg_catalog.text COLLATE pg_catalog."C")
                FROM pg_catalog.pg_publication_rel AS r WHERE r.prpubid = p.oid)"""
_PUBLISHED_15: Final = """
               (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
                           r.prrelid::pg_catalog.regclass::pg_catalog.text, pg_catalog.pg_get_expr(r.prqual, r.prrelid),
                           (SELECT pg_catalog.json_agg(a.attname ORDER BY a.attname)
                            FROM pg_catalog.pg_attribute AS a
                            WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs::pg_catalog.int2[])))
                       ORDER BY r.prrelid::pg_catalog.regclass::pg_catalog.text COLLATE pg_catalog."C")
                FROM pg_catalog.pg_publication_rel AS r WHERE r.prpubid = p.oid),
               (SELECT pg_catalog.json_agg(n.nspname ORDER BY n.nspname)
                FROM pg_catalog.pg_publication_namespace AS t JOIN pg_catalog.pg_namespace AS n ON n.oid = t.pnnspid
                WHERE t.pnpubid = p.oid)"""
_PUBLICATIONS: Final = f"""
    SELECT pg_catalog.concat('publication ', {_quoted("p.pubname")}),
           pg_catalog.json_build_array(
               pg_catalog.to_jsonb(p) - '{{{{oid,pubname,pubowner}}}}'::pg_catalog.text[],{{tables}})
    FROM pg_catalog.pg_publication AS p WHERE {_own("pg_publication", "p.oid")}
"""

POLICIES: Final = _query(f"""
    SELECT pg_catalog.concat('policy ', c.name, '.', {_quoted("p.polname")}),
           pg_catalog.json_build_array(
               p.polcmd, p.polpermissive, pg_catalog.pg_get_expr(p.polqual, p.polrelid),
               pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid),
               (SELECT pg_catalog.json_agg(g.name ORDER BY g.name COLLATE pg_catalog."C") FROM (
                    SELECT CASE WHEN r.x = 0 THEN 'PUBLIC' ELSE {_quoted("pg_catalog.pg_get_userbyid(r.x)")} END
                    FROM pg_catalog.unnest(p.polroles) AS r (x)) AS g (name)))
    FROM relations AS c JOIN pg_catalog.pg_policy AS p ON p.polrelid = c.oid
""")

_GRANTEE: Final = f"CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE {_quoted('pg_catalog.pg_get_userbyid(a.grantee)')} END"

# Not what an owner may do with what it owns.
GRANTS: Final = _query(f"""
    SELECT pg_catalog.concat('grant on ', g.name, ' to ', {_GRANTEE}),
           pg_catalog.json_agg(DISTINCT pg_catalog.concat(a.privilege_type, CASE WHEN a.is_grantable THEN '*' END))
    FROM (
        SELECT pg_catalog.concat('schema ', s.name), s.nspowner,
               COALESCE(s.nspacl, pg_catalog.acldefault('n', s.nspowner))
        FROM spaces AS s WHERE {_own("pg_namespace", "s.oid")}
        UNION ALL
        SELECT pg_catalog.concat(CASE c.relkind WHEN 'S' THEN 'sequence ' WHEN 'v' THEN 'view '
                                 WHEN 'm' THEN 'materialized view ' WHEN 'f' THEN 'foreign table ' ELSE 'table ' END,
                                 c.name), c.relowner,
               COALESCE(c.relacl, pg_catalog.acldefault(CASE c.relkind WHEN 'S' THEN 's'::pg_catalog."char"
                                                        ELSE 'r'::pg_catalog."char" END, c.relowner))
        FROM relations AS c
        UNION ALL
        SELECT pg_catalog.concat('column ', c.name, '.', {_quoted("t.attname")}), c.relowner, t.attacl
        FROM relations AS c JOIN pg_catalog.pg_attribute AS t ON t.attrelid = c.oid
        WHERE t.attacl IS NOT NULL AND NOT t.attisdropped
        UNION ALL
        SELECT pg_catalog.concat({_FUNCTION}, {_short("p.oid::pg_catalog.regprocedure")}), p.proowner,
               COALESCE(p.proacl, pg_catalog.acldefault('f', p.proowner))
        FROM {_FUNCTIONS}
        UNION ALL
        SELECT pg_catalog.concat('type ', s.name, '.', {_quoted("t.typname")}), t.typowner,
               COALESCE(t.typacl, pg_catalog.acldefault('T', t.typowner))
        FROM {_TYPES}
        UNION ALL
        SELECT pg_catalog.concat('foreign data wrapper ', {_quoted("w.fdwname")}), w.fdwowner, w.fdwacl
        FROM pg_catalog.pg_foreign_data_wrapper AS w
        UNION ALL
        SELECT pg_catalog.concat('server ', {_quoted("r.srvname")}), r.srvowner, r.srvacl
        FROM pg_catalog.pg_foreign_server AS r
    ) AS g (name, owner, acl), pg_catalog.aclexplode(g.acl) AS a
    WHERE a.grantee <> g.owner
    GROUP BY g.name, a.grantee
    UNION ALL
    SELECT pg_catalog.concat('default privileges of ', {_quoted("pg_catalog.pg_get_userbyid(d.defaclrole)")},
               CASE WHEN d.defaclnamespace <> 0 THEN pg_catalog.concat(' in schema ', s.name) END,
               ' on ', CASE d.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions'
                       WHEN 'T' THEN 'types' WHEN 'n' THEN 'schemas' ELSE d.defaclobjtype::pg_catalog.text END),
           (SELECT pg_catalog.json_agg(i.word ORDER BY i.word COLLATE pg_catalog."C") FROM (
                SELECT pg_catalog.concat({_GRANTEE}, ' ', a.privilege_type, CASE WHEN a.is_grantable THEN '*' END)
                FROM pg_catalog.aclexplode(d.defaclacl) AS a) AS i (word))
    FROM pg_catalog.pg_default_acl AS d LEFT JOIN spaces AS s ON s.oid = d.defaclnamespace
    WHERE d.defaclnamespace = 0 OR s.oid IS NOT NULL
""")


def publications(server_version: int) -> str:
    """Return the query of the publications: before 15 they had neither columns nor conditions nor schemas."""
    tables = _PUBLISHED_15 if server_version >= 150000 else _PUBLISHED_14
    return _query(_PUBLICATIONS.format(tables=tables))


# What prints the definition of a view fails when it was dropped since: so the views first, soon after the snapshot.
ALWAYS: Final = (
    VIEWS,
    TRIGGERS,
    SCHEMAS,
    TABLES,
    COLUMNS,
    INDEXES,
    CONSTRAINTS,
    SEQUENCES,
    FUNCTIONS,
    TYPES,
    EXTENSIONS,
    STATISTICS,
    OPERATORS,
)
"""What counts whatever is asked for."""
ASKED: Final = {"Grants": GRANTS, "Policies": POLICIES}
"""What counts only where asked, by the word of `spec.driftOptions.include`."""
