"""Queries for code attached to tables: expressions, triggers, rules, policies, and types that call functions.

A user who writes to a table runs this code with their own privileges. An expression is harmless if it calls only
PostgreSQL's own functions, and of these only the immutable ones and some others by name. Constructors of JSON call casts
to json, and ``ts_rewrite``, ``query_to_xml`` and their like run SQL from a string. The text of an expression's parse tree
names its functions, operators and types.

Source: PostgreSQL's ``src/backend/nodes/outfuncs.c`` (the fields of a parse tree), ``access/transam.h``
(``FirstNormalObjectId``), and the manual's chapter "System Catalogs".
"""

from __future__ import annotations

from sspcloud_magics.sharing.role_sql import ARCHIVE, SHARE_ROLES

FIRST_USER_OID = 16384
"""Objects with smaller OIDs are PostgreSQL's own."""

_HARMLESS = (
    "nextval", "now", "transaction_timestamp", "statement_timestamp", "clock_timestamp", "gen_random_uuid",
    "uuidv4", "uuidv7", "random", "date", "time", "timetz", "timestamp", "timestamptz", "timezone", "to_char",
    "date_part", "extract", "date_trunc",
)  # fmt: skip
"""Functions of PostgreSQL that are not immutable but run no user's code: the usual defaults."""


def runs_code(tree: str) -> str:
    """Return the SQL condition that evaluating a parse tree may run a user's code.

    Parameters
    ----------
    tree
        The SQL expression for the tree's text.
    """
    harmless = ", ".join(f"'{name}'" for name in _HARMLESS)
    return f"""({tree} ~ '[{{](QUERY|SUBLINK|SUBPLAN|ROWCOMPARE|JSONEXPR|JSONCONSTRUCTOREXPR)' OR EXISTS (
        SELECT FROM regexp_matches({tree}, ':(funcid|opno|[a-z_]*typ(?:e|id|eid|eId)) ([0-9]+)', 'g') AS field(parts)
        LEFT JOIN pg_proc AS p ON parts[1] = 'funcid' AND p.oid = parts[2]::oid
        LEFT JOIN pg_type AS t ON parts[1] ~ 'typ' AND t.oid = parts[2]::oid
        LEFT JOIN pg_type AS e ON e.oid = t.typelem
        WHERE CASE WHEN parts[1] = 'funcid' THEN p.oid IS NULL OR p.oid >= {FIRST_USER_OID}
                        OR p.proname = 'satisfies_hash_partition'
                        OR NOT (p.provolatile = 'i' OR p.proname IN ({harmless}))
                   WHEN parts[1] = 'opno' THEN parts[2]::int8 >= {FIRST_USER_OID}
                   ELSE parts[2]::int8 >= {FIRST_USER_OID} AND coalesce(e.typtype, t.typtype, 'x') <> 'e' END))"""


TABLE_CODE = f"""
SELECT 'TRIGGER' AS kind, t.tgrelid AS relation, t.tgname::text AS name FROM pg_trigger AS t
WHERE t.tgrelid = ANY(%(tables)s) AND NOT t.tgisinternal AND t.tgparentid = 0
UNION ALL
SELECT 'RULE', r.ev_class, r.rulename::text FROM pg_rewrite AS r
WHERE r.ev_class = ANY(%(tables)s) AND r.rulename <> '_RETURN'
UNION ALL
SELECT 'POLICY', p.polrelid, p.polname::text FROM pg_policy AS p WHERE p.polrelid = ANY(%(tables)s)
UNION ALL
SELECT 'ROW SECURITY', c.oid, '' FROM pg_class AS c
WHERE c.oid = ANY(%(tables)s) AND (c.relrowsecurity OR c.relforcerowsecurity)
UNION ALL
SELECT CASE a.attgenerated WHEN '' THEN 'DEFAULT' ELSE 'EXPRESSION' END, d.adrelid, a.attname::text
FROM pg_attrdef AS d JOIN pg_attribute AS a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
WHERE d.adrelid = ANY(%(tables)s) AND a.attgenerated IN ('', 's') AND {runs_code("d.adbin::text")}
UNION ALL
SELECT 'CONSTRAINT', k.conrelid, k.conname::text FROM pg_constraint AS k
WHERE k.conrelid = ANY(%(tables)s) AND k.contype = 'c' AND {runs_code("k.conbin::text")}
UNION ALL
SELECT CASE WHEN k.oid IS NULL THEN 'INDEX' ELSE 'CONSTRAINT' END, i.indrelid,
       CASE WHEN k.oid IS NULL THEN i.indexrelid::regclass::text ELSE k.conname::text END
FROM pg_index AS i LEFT JOIN pg_constraint AS k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
WHERE i.indrelid = ANY(%(tables)s) AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL)
  AND {runs_code("concat(i.indexprs::text, i.indpred::text)")}
  AND NOT EXISTS (SELECT FROM pg_inherits AS h WHERE h.inhrelid = i.indexrelid)
ORDER BY 2, 1, 3
"""
"""Code to drop from tables: its kind, the table's OID, and its name; an index's name is quoted."""

ATTACHED_TRIGGERS = """
SELECT t.tgrelid::regclass::text, t.tgname::text FROM pg_trigger AS t
WHERE t.tgfoid = ANY(%(functions)s) AND t.tgrelid <> ALL(%(tables)s) AND NOT t.tgisinternal AND t.tgparentid = 0
ORDER BY 1, 2
"""
"""Triggers of other tables that call these functions: the table, quoted, and the trigger's name."""

DOMAIN_CODE = f"""
SELECT 'CONSTRAINT' AS kind, k.contypid AS domain, k.conname::text AS name FROM pg_constraint AS k
WHERE k.contypid = ANY(%(types)s) AND k.contype = 'c' AND {runs_code("k.conbin::text")}
UNION ALL
SELECT 'DEFAULT', t.oid, '' FROM pg_type AS t
WHERE t.oid = ANY(%(types)s) AND t.typdefaultbin IS NOT NULL AND {runs_code("t.typdefaultbin::text")}
ORDER BY 2, 1, 3
"""
"""Code to drop from domains."""

STATISTICS_CODE = f"""
SELECT x.oid FROM pg_statistic_ext AS x
WHERE x.oid = ANY(%(statistics)s) AND (to_jsonb(x) ->> 'stxexprs') IS NOT NULL
  AND {runs_code("(to_jsonb(x) ->> 'stxexprs')")}
"""
"""Statistics objects with an expression that runs code; before PostgreSQL 14 they have no expressions."""

_FOREIGN_FUNCTIONS = f"""EXISTS (
    SELECT FROM pg_range AS g WHERE t.oid = g.rngtypid
    AND (g.rngcanonical::oid >= {FIRST_USER_OID} OR g.rngsubdiff::oid >= {FIRST_USER_OID}))"""

TYPES_WITH_CODE = f"""
SELECT t.oid FROM pg_type AS t WHERE t.oid = ANY(%(types)s) AND (t.typtype NOT IN ('e', 'c', 'd', 'r', 'm', 'b') OR {_FOREIGN_FUNCTIONS})
"""
"""Types whose use calls a user's functions."""

TABLES_BOUND_TO_CODE = f"""
WITH RECURSIVE used(relation, oid) AS (
    SELECT a.attrelid, a.atttypid FROM pg_attribute AS a
    WHERE a.attrelid = ANY(%(tables)s) AND a.attnum > 0 AND NOT a.attisdropped
    UNION
    SELECT used.relation, part.oid FROM used JOIN pg_type AS t ON t.oid = used.oid CROSS JOIN LATERAL (
        SELECT t.typelem WHERE t.typelem <> 0 UNION ALL SELECT t.typbasetype WHERE t.typbasetype <> 0
        UNION ALL SELECT a.atttypid FROM pg_attribute AS a
                  WHERE t.typrelid <> 0 AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL SELECT g.rngsubtype FROM pg_range AS g WHERE g.rngtypid = t.oid
        UNION ALL SELECT g.rngtypid FROM pg_range AS g WHERE to_jsonb(g) ->> 'rngmultitypid' = t.oid::text
    ) AS part(oid)
)
SELECT DISTINCT used.relation FROM used JOIN pg_type AS t ON t.oid = used.oid
WHERE t.oid >= {FIRST_USER_OID} AND t.typowner IN (
    SELECT s.oid FROM {SHARE_ROLES} AS s UNION ALL SELECT r.oid FROM pg_roles AS r WHERE r.rolname = '{ARCHIVE}'
) AND (pg_get_userbyid(t.typowner) <> %(role)s OR {_FOREIGN_FUNCTIONS})
UNION
SELECT d.adrelid FROM pg_attrdef AS d JOIN pg_attribute AS a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
WHERE d.adrelid = ANY(%(tables)s) AND a.attgenerated = 'v' AND {runs_code("d.adbin::text")}
UNION
SELECT p.partrelid FROM pg_partitioned_table AS p
WHERE p.partrelid = ANY(%(tables)s) AND p.partexprs IS NOT NULL AND {runs_code("p.partexprs::text")}
"""
"""Tables whose code cannot be dropped: a column's type that another colleague may change or that calls functions, a
virtual column, or a partition key's expression."""

FOREIGN_KEYS = f"""
SELECT k.conrelid::regclass::text, k.conname::text, k.conrelid, pg_get_userbyid(here.relowner)::text,
       k.confrelid, pg_get_userbyid(there.relowner)::text, EXISTS (
    SELECT FROM unnest(k.conkey, k.confkey) AS pair(here, there)
    JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = pair.here
    JOIN pg_attribute AS b ON b.attrelid = k.confrelid AND b.attnum = pair.there
    WHERE a.atttypid <> b.atttypid AND greatest(a.atttypid::int8, b.atttypid::int8) >= {FIRST_USER_OID})
FROM pg_constraint AS k JOIN pg_class AS here ON here.oid = k.conrelid JOIN pg_class AS there ON there.oid = k.confrelid
WHERE k.contype = 'f' AND k.conparentid = 0 AND (k.conrelid = ANY(%(tables)s) OR k.confrelid = ANY(%(tables)s))
ORDER BY 1, 2
"""
"""Foreign keys from or to tables: the table, quoted, and the key; both tables' OIDs and owners; and whether the check
casts a value of a user's type. The check runs as the owner of the other table, in the session that writes."""

TREES = """
WITH RECURSIVE tree(relation, member) AS (
    SELECT oid, oid FROM unnest(%(tables)s::oid[]) AS mine(oid)
    UNION SELECT tree.relation, CASE WHEN i.inhrelid = tree.member THEN i.inhparent ELSE i.inhrelid END
    FROM tree JOIN pg_inherits AS i ON tree.member IN (i.inhrelid, i.inhparent)
) SELECT relation, member FROM tree
"""
"""Tables connected by inheritance or as partitions: each table with every member of its tree, itself included."""

CASTS = """
SELECT format_type(castsource, NULL), format_type(casttarget, NULL) FROM pg_cast WHERE castfunc = ANY(%(functions)s) ORDER BY 1, 2
"""
"""The casts that use these functions: PostgreSQL checks no EXECUTE privilege on the function of a cast to json."""
