"""The names in a database: schemas, relations with their columns, functions and types.

They are read once, in a few milliseconds, and kept as plain values, so that completion never queries the server.
Objects on which you have no privileges are left out. So are functions that only implement operators, types and indexes,
since they are not called by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sspcloud_magics.databases.postgres.session.search_path import pin_search_path
from sspcloud_magics.databases.sql_names import Relation, SchemaNames

if TYPE_CHECKING:
    import psycopg

MOST = 20_000
"""The maximum number of relations to read; those on the search path come first."""

_PATH = "SELECT pg_catalog.current_schemas(true)::pg_catalog.text[]"

# Keywords that need quotes as the name of a column or a table.
_RESERVED = "SELECT word FROM pg_get_keywords() WHERE catcode IN ('R', 'T')"

_SCHEMAS = """
SELECT nspname::text FROM pg_namespace
WHERE has_schema_privilege(oid, 'USAGE') AND nspname !~ '^pg_(toast|temp_)' ORDER BY 1
"""

# Your temporary tables of other sessions cannot be told from those of this one, so both are offered.
_RELATIONS = """
SELECT CASE c.relpersistence WHEN 't' THEN 'pg_temp' ELSE n.nspname END::text, c.relname::text,
       CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' ELSE 'table' END,
       a.names, a.types
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
    SELECT array_agg(attname::text ORDER BY attnum) AS names,
           array_agg(format_type(atttypid, atttypmod) ORDER BY attnum) AS types
    FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped
) a
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition AND n.nspname !~ '^pg_toast'
  AND CASE WHEN c.relpersistence = 't' THEN pg_has_role(c.relowner, 'USAGE')
           ELSE has_schema_privilege(n.oid, 'USAGE') AND has_any_column_privilege(c.oid, 'SELECT, INSERT, UPDATE') END
ORDER BY array_position(%s::name[], n.nspname), n.nspname IN ('pg_catalog', 'information_schema'), 1, 2
LIMIT %s
"""

_FUNCTIONS = """
SELECT DISTINCT n.nspname::text, p.proname::text
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE has_schema_privilege(n.oid, 'USAGE') AND has_function_privilege(p.oid, 'EXECUTE')
  AND NOT ('internal'::regtype = ANY(p.proargtypes::oid[]))
  AND p.prorettype <> ALL('{internal,trigger,event_trigger,language_handler,index_am_handler,table_am_handler,fdw_handler,tsm_handler}'::regtype[])
  AND (n.nspname <> 'pg_catalog' OR NOT (
       p.oid IN (SELECT oprcode FROM pg_operator UNION ALL SELECT oprrest FROM pg_operator UNION ALL SELECT oprjoin FROM pg_operator
                 UNION ALL SELECT amproc FROM pg_amproc UNION ALL SELECT typinput FROM pg_type UNION ALL SELECT typoutput FROM pg_type
                 UNION ALL SELECT typreceive FROM pg_type UNION ALL SELECT typsend FROM pg_type UNION ALL SELECT typmodin FROM pg_type
                 UNION ALL SELECT typmodout FROM pg_type UNION ALL SELECT aggtransfn FROM pg_aggregate UNION ALL SELECT aggfinalfn FROM pg_aggregate
                 UNION ALL SELECT aggcombinefn FROM pg_aggregate UNION ALL SELECT aggmtransfn FROM pg_aggregate
                 UNION ALL SELECT aggminvtransfn FROM pg_aggregate UNION ALL SELECT castfunc FROM pg_cast)
       AND p.proname NOT IN ('lower', 'upper', 'length', 'replace', 'substring', 'like', 'mod', 'date', 'time', 'text')))
ORDER BY 1, 2
"""

_TYPES = """
SELECT DISTINCT CASE WHEN n.nspname <> 'pg_catalog' AND n.nspname = ANY(%s::name[]) THEN quote_ident(t.typname)
                     ELSE format_type(t.oid, NULL) END
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE t.typtype IN ('b', 'd', 'e', 'r') AND t.typelem = 0 AND has_schema_privilege(n.oid, 'USAGE')
  AND has_type_privilege(t.oid, 'USAGE') AND t.typname !~ '^(_|pg_|reg|gtsvector|ref)'
ORDER BY 1
"""


def read(session: psycopg.Connection[Any]) -> SchemaNames:
    """Read the names of a database, in a session that nothing else uses during the call.

    Raises
    ------
    psycopg.Error
        If the server refuses.
    """

    def rows(statement: str, *values: object) -> list[tuple[Any, ...]]:
        return session.execute(statement.encode(), values or None).fetchall()

    ((path,),) = rows(_PATH)
    with pin_search_path(session):
        relations = [
            Relation(schema, name, kind, tuple(zip(names or (), types or (), strict=True)))
            for schema, name, kind, names, types in rows(_RELATIONS, path, MOST)
        ]
        return SchemaNames(
            # The schema of temporary tables joins the path only once there is one.
            path=("pg_temp", *(each for each in path if not each.startswith("pg_temp"))),
            schemas=tuple(name for (name,) in rows(_SCHEMAS)),
            relations={(each.schema, each.name): each for each in relations},
            functions=tuple(rows(_FUNCTIONS)),
            types=tuple(name for (name,) in rows(_TYPES, path)),
            reserved=frozenset(word for (word,) in rows(_RESERVED)),
        )
