"""The SQL that reads the rest of a catalog: what stands beside tables, functions and types, and what is asked for."""
# ruff: noqa: S608 - put together from nothing but the constants here

from typing import Final

from lockstep.engines.postgresql.catalog_frame import in_order, made, own, quoted, short
from lockstep.engines.postgresql.catalog_sql import FUNCTION_WORD, OF_FUNCTIONS, OF_TYPES

EXTENSIONS: Final = f"""
    SELECT pg_catalog.concat('extension ', {quoted("x.extname")}),
           pg_catalog.json_build_array(x.extversion, n.nspname)
    FROM pg_catalog.pg_extension AS x JOIN pg_catalog.pg_namespace AS n ON n.oid = x.extnamespace
    UNION ALL
    SELECT pg_catalog.concat('event trigger ', {quoted("v.evtname")}),
           pg_catalog.json_build_array(v.evtevent, v.evtfoid::pg_catalog.regprocedure::pg_catalog.text, v.evtenabled,
                                       {in_order("v.evttags")})
    FROM pg_catalog.pg_event_trigger AS v WHERE {own("pg_event_trigger", "v.oid")}
    UNION ALL
    SELECT pg_catalog.concat('foreign data wrapper ', {quoted("w.fdwname")}),
           pg_catalog.json_build_array(w.fdwhandler::pg_catalog.regproc, w.fdwvalidator::pg_catalog.regproc,
                                       {in_order("w.fdwoptions")})
    FROM pg_catalog.pg_foreign_data_wrapper AS w WHERE {own("pg_foreign_data_wrapper", "w.oid")}
    UNION ALL
    SELECT pg_catalog.concat('server ', {quoted("r.srvname")}),
           pg_catalog.json_build_array(w.fdwname, r.srvtype, r.srvversion, {in_order("r.srvoptions")})
    FROM pg_catalog.pg_foreign_server AS r JOIN pg_catalog.pg_foreign_data_wrapper AS w ON w.oid = r.srvfdw
    WHERE {own("pg_foreign_server", "r.oid")}
    UNION ALL
    SELECT pg_catalog.concat('cast (', pg_catalog.format_type(k.castsource, NULL), ' AS ',
                             pg_catalog.format_type(k.casttarget, NULL), ')'),
           pg_catalog.json_build_array(
               k.castfunc::pg_catalog.regprocedure::pg_catalog.text, k.castcontext, k.castmethod)
    FROM pg_catalog.pg_cast AS k WHERE k.oid >= 16384 AND {made("pg_cast", "k.oid")}
"""

# What statistics and collations have beside their names differs from version to version: taken as it is.
STATISTICS: Final = f"""
    SELECT pg_catalog.concat('statistics ', s.name, '.', {quoted("x.stxname")}, ' of ', c.name),
           pg_catalog.json_build_array(pg_catalog.pg_get_statisticsobjdef(x.oid), NULLIF(x.stxstattarget, -1))
    FROM pg_catalog.pg_statistic_ext AS x JOIN spaces AS s ON s.oid = x.stxnamespace
    JOIN relations AS c ON c.oid = x.stxrelid
    UNION ALL
    SELECT pg_catalog.concat('collation ', s.name, '.', {quoted("k.collname")}),
           (pg_catalog.to_json(pg_catalog.to_jsonb(k)
                - '{{oid,collname,collnamespace,collowner,collversion}}'::pg_catalog.text[]))
    FROM pg_catalog.pg_collation AS k JOIN spaces AS s ON s.oid = k.collnamespace
    WHERE {own("pg_collation", "k.oid")}
    UNION ALL
    SELECT pg_catalog.concat('text search dictionary ', s.name, '.', {quoted("d.dictname")}),
           pg_catalog.json_build_array(t.tmplname, t.tmplnamespace::pg_catalog.regnamespace::pg_catalog.text,
                                       d.dictinitoption)
    FROM pg_catalog.pg_ts_dict AS d JOIN spaces AS s ON s.oid = d.dictnamespace
    JOIN pg_catalog.pg_ts_template AS t ON t.oid = d.dicttemplate WHERE {own("pg_ts_dict", "d.oid")}
    UNION ALL
    SELECT pg_catalog.concat('text search configuration ', s.name, '.', {quoted("f.cfgname")}),
           pg_catalog.json_build_array(
               p.prsname, p.prsnamespace::pg_catalog.regnamespace::pg_catalog.text,
               (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
                           m.maptokentype, m.mapdict::pg_catalog.regdictionary::pg_catalog.text)
                       ORDER BY m.maptokentype, m.mapseqno)
                FROM pg_catalog.pg_ts_config_map AS m WHERE m.mapcfg = f.oid))
    FROM pg_catalog.pg_ts_config AS f JOIN spaces AS s ON s.oid = f.cfgnamespace
    JOIN pg_catalog.pg_ts_parser AS p ON p.oid = f.cfgparser WHERE {own("pg_ts_config", "f.oid")}
"""

OPERATORS: Final = f"""
    SELECT pg_catalog.concat('operator ', {short("o.oid::pg_catalog.regoperator")}),
           pg_catalog.json_build_array(
               o.oprkind, o.oprcanmerge, o.oprcanhash, pg_catalog.format_type(o.oprresult, NULL),
               o.oprcode::pg_catalog.regprocedure::pg_catalog.text, o.oprcom::pg_catalog.regoperator::pg_catalog.text,
               o.oprnegate::pg_catalog.regoperator::pg_catalog.text, o.oprrest, o.oprjoin)
    FROM pg_catalog.pg_operator AS o JOIN spaces AS s ON s.oid = o.oprnamespace WHERE {own("pg_operator", "o.oid")}
    UNION ALL
    SELECT pg_catalog.concat('operator class ', s.name, '.', {quoted("o.opcname")}, ' using ', {quoted("m.amname")}),
           pg_catalog.json_build_array(
               f.opfname, f.opfnamespace::pg_catalog.regnamespace::pg_catalog.text,
               pg_catalog.format_type(o.opcintype, NULL), o.opcdefault, pg_catalog.format_type(o.opckeytype, NULL))
    FROM pg_catalog.pg_opclass AS o JOIN spaces AS s ON s.oid = o.opcnamespace
    JOIN pg_catalog.pg_am AS m ON m.oid = o.opcmethod JOIN pg_catalog.pg_opfamily AS f ON f.oid = o.opcfamily
    WHERE {own("pg_opclass", "o.oid")}
    UNION ALL
    SELECT pg_catalog.concat('operator family ', s.name, '.', {quoted("f.opfname")}, ' using ', {quoted("m.amname")}),
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
    JOIN pg_catalog.pg_am AS m ON m.oid = f.opfmethod WHERE {own("pg_opfamily", "f.oid")}
"""

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
    SELECT pg_catalog.concat('publication ', {quoted("p.pubname")}),
           pg_catalog.json_build_array(
               pg_catalog.to_jsonb(p) - '{{{{oid,pubname,pubowner}}}}'::pg_catalog.text[],{{tables}})
    FROM pg_catalog.pg_publication AS p WHERE {own("pg_publication", "p.oid")}
"""

POLICIES: Final = f"""
    SELECT pg_catalog.concat('policy ', c.name, '.', {quoted("p.polname")}),
           pg_catalog.json_build_array(
               p.polcmd, p.polpermissive, pg_catalog.pg_get_expr(p.polqual, p.polrelid),
               pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid),
               (SELECT pg_catalog.json_agg(g.name ORDER BY g.name COLLATE pg_catalog."C") FROM (
                    SELECT CASE WHEN r.x = 0 THEN 'PUBLIC' ELSE {quoted("pg_catalog.pg_get_userbyid(r.x)")} END
                    FROM pg_catalog.unnest(p.polroles) AS r (x)) AS g (name)))
    FROM relations AS c JOIN pg_catalog.pg_policy AS p ON p.polrelid = c.oid
"""

_GRANTEE: Final = f"CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE {quoted('pg_catalog.pg_get_userbyid(a.grantee)')} END"

# Not what an owner may do with what it owns.
GRANTS: Final = f"""
    SELECT pg_catalog.concat('grant on ', g.name, ' to ', {_GRANTEE}),
           pg_catalog.json_agg(DISTINCT pg_catalog.concat(a.privilege_type, CASE WHEN a.is_grantable THEN '*' END))
    FROM (
        SELECT pg_catalog.concat('schema ', s.name), s.nspowner,
               COALESCE(s.nspacl, pg_catalog.acldefault('n', s.nspowner))
        FROM spaces AS s WHERE {own("pg_namespace", "s.oid")}
        UNION ALL
        SELECT pg_catalog.concat(CASE c.relkind WHEN 'S' THEN 'sequence ' WHEN 'v' THEN 'view '
                                 WHEN 'm' THEN 'materialized view ' WHEN 'f' THEN 'foreign table ' ELSE 'table ' END,
                                 c.name), c.relowner,
               COALESCE(c.relacl, pg_catalog.acldefault(CASE c.relkind WHEN 'S' THEN 's'::pg_catalog."char"
                                                        ELSE 'r'::pg_catalog."char" END, c.relowner))
        FROM relations AS c
        UNION ALL
        SELECT pg_catalog.concat('column ', c.name, '.', {quoted("t.attname")}), c.relowner, t.attacl
        FROM relations AS c JOIN pg_catalog.pg_attribute AS t ON t.attrelid = c.oid
        WHERE t.attacl IS NOT NULL AND NOT t.attisdropped
        UNION ALL
        SELECT pg_catalog.concat({FUNCTION_WORD}, {short("p.oid::pg_catalog.regprocedure")}), p.proowner,
               COALESCE(p.proacl, pg_catalog.acldefault('f', p.proowner))
        FROM {OF_FUNCTIONS}
        UNION ALL
        SELECT pg_catalog.concat('type ', s.name, '.', {quoted("t.typname")}), t.typowner,
               COALESCE(t.typacl, pg_catalog.acldefault('T', t.typowner))
        FROM {OF_TYPES}
        UNION ALL
        SELECT pg_catalog.concat('foreign data wrapper ', {quoted("w.fdwname")}), w.fdwowner, w.fdwacl
        FROM pg_catalog.pg_foreign_data_wrapper AS w
        UNION ALL
        SELECT pg_catalog.concat('server ', {quoted("r.srvname")}), r.srvowner, r.srvacl
        FROM pg_catalog.pg_foreign_server AS r
    ) AS g (name, owner, acl), pg_catalog.aclexplode(g.acl) AS a
    WHERE a.grantee <> g.owner
    GROUP BY g.name, a.grantee
    UNION ALL
    SELECT pg_catalog.concat('default privileges of ', {quoted("pg_catalog.pg_get_userbyid(d.defaclrole)")},
               CASE WHEN d.defaclnamespace <> 0 THEN pg_catalog.concat(' in schema ', s.name) END,
               ' on ', CASE d.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions'
                       WHEN 'T' THEN 'types' WHEN 'n' THEN 'schemas' ELSE d.defaclobjtype::pg_catalog.text END),
           (SELECT pg_catalog.json_agg(i.word ORDER BY i.word COLLATE pg_catalog."C") FROM (
                SELECT pg_catalog.concat({_GRANTEE}, ' ', a.privilege_type, CASE WHEN a.is_grantable THEN '*' END)
                FROM pg_catalog.aclexplode(d.defaclacl) AS a) AS i (word))
    FROM pg_catalog.pg_default_acl AS d LEFT JOIN spaces AS s ON s.oid = d.defaclnamespace
    WHERE d.defaclnamespace = 0 OR s.oid IS NOT NULL
"""


def publications(server_version: int) -> str:
    """Return the query of the publications: before 15 they had neither columns nor conditions nor schemas."""
    tables = _PUBLISHED_15 if server_version >= 150000 else _PUBLISHED_14
    return _PUBLICATIONS.format(tables=tables)
