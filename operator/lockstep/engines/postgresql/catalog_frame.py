"""What the queries of the catalog have in common: pinned settings, whose objects count, and how they are hashed.

A body takes all objects of some kinds; the server puts them together and makes their hashes. Functions are qualified;
operators are safe since the path is pinned within the transaction. `$1` is the ledger's schema.
"""
# ruff: noqa: S608 - put together from nothing but the constants here

from collections.abc import Sequence
from typing import Final

FORMAT: Final = 2
"""Grows with every change of the catalog's SQL that gives another hash or another name to what has not changed."""

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

# Materialized: ten queries are made of it, each of which would be planned with all of it, and would join it anew.
_WITH: Final = """
WITH spaces AS MATERIALIZED (
    SELECT n.oid, pg_catalog.quote_ident(n.nspname::pg_catalog.text) AS name, n.nspowner, n.nspacl
    FROM pg_catalog.pg_namespace AS n
    WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname NOT IN ('information_schema', $1::pg_catalog.name)
), extended AS MATERIALIZED (
    SELECT d.classid, d.objid FROM pg_catalog.pg_depend AS d
    WHERE d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e'
), relations AS MATERIALIZED (
    SELECT c.oid, c.relkind, c.relpersistence, c.relowner, c.relacl, c.reloptions, c.relam, c.relreplident,
           c.relrowsecurity, c.relforcerowsecurity, c.reltoastrelid, c.reloftype, c.relpartbound, s.name AS space,
           pg_catalog.concat(s.name, '.', pg_catalog.quote_ident(c.relname::pg_catalog.text)) AS name
    FROM pg_catalog.pg_class AS c JOIN spaces AS s ON s.oid = c.relnamespace
    WHERE c.relpersistence <> 't' AND c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S') AND NOT EXISTS (
        SELECT FROM extended AS e
        WHERE e.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND e.objid = c.oid)
)
"""

_FOUND: Final = """, found (name, hash) AS MATERIALIZED (
    SELECT o.name, pg_catalog.substr(pg_catalog.encode(pg_catalog.sha256(
        pg_catalog.convert_to(o.body, 'UTF8'::pg_catalog.name)), 'hex'), 1, 32)
    FROM (%s) AS o (name, body)
)
"""


def found(bodies: Sequence[str]) -> str:
    """Return SQL that begins a query with all objects: `found (name, hash)`, read once.

    Args:
        bodies: queries of what gives a name and a body for each object, in the order in which they are run.
    """
    parts = (f"SELECT b.name, b.body::pg_catalog.text FROM ({body}) AS b (name, body)" for body in bodies)
    return _WITH.rstrip() + _FOUND % " UNION ALL ".join(parts)


def in_order(values: str) -> str:
    """Return SQL for the elements of an array, in an order that no setting changes."""
    # Mostly there is none, and asking costs less than sorting nothing.
    return (
        f"CASE WHEN {values} IS NOT NULL THEN "
        f'(SELECT pg_catalog.array_agg(v.x ORDER BY v.x::pg_catalog.text COLLATE pg_catalog."C") '
        f"FROM pg_catalog.unnest({values}) AS v (x)) END"
    )


def own(catalog: str, oid: str) -> str:
    """Return SQL that is true of what no extension owns."""
    return (
        f"NOT EXISTS (SELECT FROM extended AS e WHERE e.classid = 'pg_catalog.{catalog}'::pg_catalog.regclass "
        f"AND e.objid = {oid})"
    )


def made(catalog: str, oid: str) -> str:
    """Return SQL that is true of what people have made: neither an extension's nor a part of something else."""
    return (
        f"{own(catalog, oid)} AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d "
        f"WHERE d.classid = 'pg_catalog.{catalog}'::pg_catalog.regclass AND d.objid = {oid} AND d.deptype = 'i')"
    )


def quoted(name: str) -> str:
    """Return SQL for a name, quoted where it must be."""
    return f"pg_catalog.quote_ident({name}::pg_catalog.text)"


def short(signature: str) -> str:
    """Return SQL for a signature, cut where it is too long for an index, and then told apart by its hash."""
    text = f"{signature}::pg_catalog.text"
    hashed = f"pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to({text}, 'UTF8'::pg_catalog.name)), 'hex')"
    return (
        f"CASE WHEN pg_catalog.octet_length({text}) <= 1000 THEN {text} "
        f"ELSE pg_catalog.concat(pg_catalog.left({text}, 200), '...', pg_catalog.substr({hashed}, 1, 16), ')') END"
    )


def collation(given: str, of_type: str) -> str:
    """Return SQL for a collation; null where it is that of the type."""
    return f"CASE WHEN {given} <> {of_type} THEN {given}::pg_catalog.regcollation::pg_catalog.text END"
