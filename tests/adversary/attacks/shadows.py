"""Objects that match a call of this package better than the system's, on a path with a shared schema."""

from __future__ import annotations

from tests.adversary.attack import Attack, Who, trap


def _function(signature: str, returns: str, value: str, bait: str, who: Who = "postgres") -> Attack:
    """Return an attack by a function that shadows one of ``pg_catalog``."""
    name = f"function:{signature}".replace(" ", "")
    made = f"CREATE FUNCTION <room>.{signature} RETURNS {returns} {trap(value)}"
    return Attack(name=name, sql=made, bait=((who, bait),), needs="shared")


def _operator(signature: str, value: str, bait: str, who: Who = "postgres") -> Attack:
    """Return an attack by an operator that shadows one of ``pg_catalog``."""
    left, operator, right = signature.split()
    made = f"takes_{operator.encode().hex()}"
    return Attack(
        name=f"operator:{left}{operator}{right}",
        sql=f"CREATE FUNCTION <mine>.{made}({left}, {right}) RETURNS bool {trap(value)};;"
        f"CREATE OPERATOR <room>.{operator} (LEFTARG = {left}, RIGHTARG = {right}, FUNCTION = <mine>.{made})",
        bait=((who, bait),),
        needs="shared",
    )


def _aggregate(name: str, argument: str, state: str, bait: str, who: Who = "postgres") -> Attack:
    """Return an attack by an aggregate that shadows one of ``pg_catalog``."""
    return Attack(
        name=f"aggregate:{name}({argument})",
        sql=f"CREATE FUNCTION <mine>.{name}_step({state}, {argument}) RETURNS {state} {trap('$1')};;"
        f"CREATE AGGREGATE <room>.{name}({argument}) (SFUNC = <mine>.{name}_step, STYPE = {state}, INITCOND = '{{}}')"
        if state.endswith("[]")
        else f"CREATE FUNCTION <mine>.{name}_step({state}, {argument}) RETURNS {state} {trap('$1 + 1')};;"
        f"CREATE AGGREGATE <room>.{name}({argument}) (SFUNC = <mine>.{name}_step, STYPE = {state}, INITCOND = '0')",
        bait=((who, bait),),
        needs="shared",
    )


SHADOWS = (
    # What sharing asks as the superuser.
    _function(
        "shobj_description(oid, text)",
        "text",
        "pg_catalog.shobj_description($1, $2::name)",
        "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles",
    ),
    _function(
        "has_database_privilege(text, oid, text)",
        "bool",
        "pg_catalog.has_database_privilege($1::name, $2, $3)",
        "SELECT has_database_privilege('public', oid, 'CONNECT') FROM pg_database",
    ),
    _function(
        "has_schema_privilege(text, oid, text)",
        "bool",
        "pg_catalog.has_schema_privilege($1::name, $2, $3)",
        "SELECT has_schema_privilege('public', oid, 'USAGE') FROM pg_namespace",
    ),
    _function(
        "has_function_privilege(text, oid, text)",
        "bool",
        "pg_catalog.has_function_privilege($1::name, $2, $3)",
        "SELECT has_function_privilege('public', oid, 'EXECUTE') FROM pg_proc LIMIT 1",
    ),
    _function(
        "has_table_privilege(text, oid, text)",
        "bool",
        "pg_catalog.has_table_privilege($1::name, $2, $3)",
        "SELECT has_table_privilege('public', oid, 'SELECT') FROM pg_class LIMIT 1",
    ),
    _operator("name !~ name", "NOT $1::text ~ $2::text", "SELECT 'a'::name !~ '^pg_'"),
    _operator("name ~ name", "$1::text ~ $2::text", "SELECT 'a'::name ~ '^pg_'"),
    _operator("regtype = oid", "$1::oid = $2", "SELECT 'internal'::regtype = ANY('{1}'::oid[])"),
    _operator("oid <> regtype", "$1 <> $2::oid", "SELECT 23::oid <> ALL('{internal}'::regtype[])"),
    _aggregate("count", "int", "bigint", "SELECT count(pid) FROM pg_stat_activity"),
    # What the owner's own session asks.
    _function(
        "obj_description(oid, text)",
        "text",
        "pg_catalog.obj_description($1, $2::name)",
        "SELECT obj_description(oid, 'pg_class') FROM pg_class LIMIT 1",
        "alice",
    ),
    _function(
        "col_description(oid, int2)",
        "text",
        "pg_catalog.col_description($1, $2::int)",
        "SELECT col_description(attrelid, attnum) FROM pg_attribute LIMIT 1",
        "alice",
    ),
    _function(
        "pg_total_relation_size(oid)",
        "bigint",
        "pg_catalog.pg_total_relation_size($1::regclass)",
        "SELECT pg_total_relation_size(oid) FROM pg_class LIMIT 1",
        "alice",
    ),
    _function(
        "format(text, name, name)",
        "text",
        "pg_catalog.format($1, $2, $3)",
        "SELECT format('%I.%I', relname, relname) FROM pg_class LIMIT 1",
        "alice",
    ),
    _function(
        "quote_ident(name)",
        "text",
        "pg_catalog.quote_ident($1::text)",
        "SELECT quote_ident(relname) FROM pg_class LIMIT 1",
        "alice",
    ),
    _function(
        "format_type(oid, text)",
        "text",
        "pg_catalog.format_type($1, $2::int)",
        "SELECT format_type(oid, NULL) FROM pg_type LIMIT 1",
        "alice",
    ),
    _function(
        "array_position(name[], name)",
        "int",
        "pg_catalog.array_position($1, $2)",
        "SELECT array_position(current_schemas(true), 'public'::name)",
        "alice",
    ),
    _operator("real >= int", "$1 >= $2::real", "SELECT reltuples >= 0 FROM pg_class LIMIT 1", "alice"),
    Attack(
        name="operator:name||name",
        sql=f"CREATE FUNCTION <mine>.joined(name, name) RETURNS text {trap('$1::text || $2::text')};;"
        "CREATE OPERATOR <room>.|| (LEFTARG = name, RIGHTARG = name, FUNCTION = <mine>.joined)",
        bait=(("alice", "SELECT relname || '.' FROM pg_class LIMIT 1"),),
        needs="shared",
    ),
    _aggregate("array_agg", "text", "text[]", "SELECT array_agg(attname::text) FROM pg_attribute", "alice"),
)
