"""What becomes of what a colleague has made, when their share ends or becomes read-only.

Data go to the heir, who owns the database: tables, sequences, large objects, and types without functions. Code stays
behind with `grants.ARCHIVE`, a role that may not log in and has no rights: functions, procedures, aggregates, operators,
types with functions, views. Code is moved out of the schemas where a search path would find it, nobody else may
execute it, and it never runs with its owner's rights. What would run it by itself is dropped from the tables: triggers,
rules, policies, defaults, checks, indexes and generated columns whose expressions call it; the values stay.

The heir is never a superuser. Where a superuser owns the database, and where a table cannot be freed of code, the data
stay with the archive, too, and the heir may read them.

Nothing here evaluates an expression, reads a row, or casts a value: that would run the code in the superuser's session.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import psycopg
from psycopg import sql

from sspcloud_magics.sharing import code_in_tables
from sspcloud_magics.sharing.grants import ARCHIVE, Statements

ARCHIVE_COMMENT = "made by sspcloud-magics: keeps the code of colleagues whose shares have ended"

_ARCHIVE = "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = %s"

_OWNED = """
SELECT i.type AS kind, d.objid AS oid, i.schema, i.name, i.identity
FROM pg_shdepend AS d JOIN pg_database AS b ON b.oid = d.dbid AND b.datname = current_database()
CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) AS i(type, schema, name, identity)
WHERE d.refclassid = 'pg_authid'::regclass AND d.deptype = 'o'
  AND d.classid NOT IN ('pg_default_acl'::regclass, 'pg_user_mapping'::regclass) -- rights, which are dropped with the role
  AND d.refobjid = (SELECT oid FROM pg_roles WHERE rolname = %s)
ORDER BY d.classid, d.objid
"""

_HOLDERS = """
SELECT DISTINCT coalesce(pg_get_userbyid(nullif(a.grantee, 0))::text, 'PUBLIC')
FROM pg_proc AS p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
WHERE p.oid = %s AND a.grantee <> p.proowner
"""

_LINKED = """
SELECT objid FROM pg_depend
WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND objid = ANY(%s)
  AND deptype IN ('a', 'i') AND refobjsubid > 0
"""
"""Which sequences belong to a column, and go where its table goes."""

_PLAIN_FUNCTIONS = "SELECT oid FROM pg_proc WHERE oid = ANY(%s) AND prokind IN ('f', 'p')"
_STEP = 1000
"""So many statements a transaction: each locks a table or two, and a server holds 6,400 locks unless it is set up otherwise."""

_IN_OWN_SCHEMA = """
SELECT d.objid FROM pg_namespace AS n
LEFT JOIN pg_depend AS d ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = n.oid
WHERE n.nspname = %s
"""
"""What is in a role's own schema: one row with NULL where it is empty, none where it is not there."""

_NUMBER = "SELECT oid FROM pg_roles WHERE rolname = %s"

_ROUTINES = ("function", "procedure", "aggregate")
_MOVABLE = {
    **dict.fromkeys(_ROUTINES, "ROUTINE"),
    "operator": "OPERATOR",
    "type": "TYPE",
    "collation": "COLLATION",
    "conversion": "CONVERSION",
    "text search configuration": "TEXT SEARCH CONFIGURATION",
    "text search dictionary": "TEXT SEARCH DICTIONARY",
}
"""The kinds of code that a search path finds, with the keywords of ALTER … SET SCHEMA."""


@dataclass(frozen=True, slots=True)
class Owned:
    """One object that a role owns.

    Parameters
    ----------
    kind
        As `pg_identify_object` calls it: ``table``, ``function``, ``large object``, …
    oid
        Its number.
    schema, name
        Where they are; quoted, None for what has none.
    identity
        As SQL names it, quoted.
    """

    kind: str
    oid: int
    schema: str | None
    name: str | None
    identity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """What takes a role out of one database, and what becomes of what it owned.

    Parameters
    ----------
    steps
        Statements to be run in their order, each step in a transaction. Thousands of tables need more than one, since
        the locks that a transaction can hold are limited.
    heir
        Who inherits; None where only a superuser could.
    data
        The names of the tables and other data that the heir owns then.
    kept
        Those of the data that stay with the archive.
    code
        Those of the code that stays with it.
    dropped
        What is dropped from the data, in words.
    """

    steps: tuple[Statements, ...]
    heir: str | None
    data: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


Query: TypeAlias = Callable[[str, Any], list[tuple[Any, ...]]]


def list_owned(session: psycopg.Connection[Any], role: str) -> list[Owned]:
    """List what a role owns in the current database."""
    return [Owned(*row) for row in session.execute(_OWNED, [role]).fetchall()]


def movable_code(owned: Sequence[Owned], types_with_code: frozenset[int]) -> list[Owned]:
    """Return the code among it that a search path would find."""
    return [
        each
        for each in owned
        if each.kind in _MOVABLE and (each.kind != "type" or each.oid in types_with_code)
    ]


def move(code: Owned, schema: str) -> sql.Composed:
    """Return the statement that moves code into another schema."""
    return sql.SQL("ALTER {} {} SET SCHEMA {}").format(
        sql.SQL(_MOVABLE[code.kind]), sql.SQL(code.identity), sql.Identifier(schema)
    )


def find_types_with_code(session: psycopg.Connection[Any], owned: Sequence[Owned]) -> frozenset[int]:
    """Return which of the types call functions by themselves."""
    types = [each.oid for each in owned if each.kind == "type"]
    rows = session.execute(code_in_tables.TYPES_WITH_CODE, {"types": types}).fetchall() if types else []
    return frozenset(oid for (oid,) in rows)


def make_archive(session: psycopg.Connection[Any]) -> Statements:
    """Return what makes the archive's role where it is not there.

    Raises
    ------
    ValueError
        If a role of that name is there which this package has not made.
    """
    row = session.execute(_ARCHIVE, [ARCHIVE]).fetchone()
    if row is not None:
        if row[0] != ARCHIVE_COMMENT:
            raise ValueError(f"The database has a role {ARCHIVE} already, which no share has made.")
        return []
    name = sql.Identifier(ARCHIVE)
    return [
        sql.SQL("CREATE ROLE {} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS").format(name),
        sql.SQL("COMMENT ON ROLE {} IS {}").format(name, sql.Literal(ARCHIVE_COMMENT)),
    ]  # fmt: skip


def hand_over(session: psycopg.Connection[Any], role: str, heir: str | None, *, leaves: bool) -> Handover:
    """Return what takes a role out of the current database: what it owns is inherited, what it may do goes.

    Parameters
    ----------
    session
        The superuser's, with its search path pinned; the role is locked out, so that it makes nothing new.
    role
        Which.
    heir
        Who inherits the data; None where the archive keeps them.
    leaves
        Whether the role is to be dropped: its own schema goes then, where nothing is left in it.

    Raises
    ------
    ValueError
        If the archive's role cannot be made.
    """

    def query(text: str, values: Any) -> list[tuple[Any, ...]]:
        return session.execute(text, values).fetchall()

    owned = list_owned(session, role)
    types_with_code = find_types_with_code(session, owned)
    moved = {each.oid for each in movable_code(owned, types_with_code)}
    leave = [sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role))]
    there = query(_IN_OWN_SCHEMA, [role]) if leaves else []
    if there and {oid for (oid,) in there} <= {None, *moved}:
        leave.append(sql.SQL("DROP SCHEMA {}").format(sql.Identifier(role)))
    if not owned:
        return Handover(steps=(leave,), heir=heir)
    reassign = sql.SQL("REASSIGN OWNED BY {} TO {}").format(sql.Identifier(role), sql.Identifier(ARCHIVE))
    data, code = _split(owned, types_with_code)
    kept, freed, dropped = _free_of_code(query, data, types_with_code)
    attached, triggers = _attached_triggers(query, data, code)
    inherited = [each for each in data if heir is not None and each.oid not in kept]
    gifts = [*attached, *freed, *(_give(query, inherited, heir) if heir is not None else [])]
    rest = [
        *make_archive(session),
        reassign,
        *_hold_down(query, role, code, types_with_code),
        *_let_read(heir, [each for each in data if each.oid in kept] + _materialized(code)),
        *leave,
    ]
    return Handover(
        steps=(*(gifts[start : start + _STEP] for start in range(0, len(gifts), _STEP)), rest),
        heir=heir,
        data=_names(inherited),
        kept=_names([each for each in data if each not in inherited]),
        code=tuple(each.identity for each in code),
        dropped=(*triggers, *dropped),
    )


def _attached_triggers(
    query: Query, data: Sequence[Owned], code: Sequence[Owned]
) -> tuple[Statements, tuple[str, ...]]:
    """Return what detaches functions from tables of others: a trigger runs its function without asking who may."""
    ids = {"functions": [each.oid for each in code], "tables": [each.oid for each in data]}
    found = query(code_in_tables.ATTACHED_TRIGGERS, ids)
    return (
        [_drop_from_table("TRIGGER", table, name) for table, name in found],
        tuple(f"trigger {name} of {table}" for table, name in found),
    )


def _split(owned: Sequence[Owned], types_with_code: frozenset[int]) -> tuple[list[Owned], list[Owned]]:
    """Return the data and the code."""
    plain = ("table", "sequence", "large object", "schema", "statistics object")

    def is_data(each: Owned) -> bool:
        return each.kind in plain or (each.kind == "type" and each.oid not in types_with_code)

    return [each for each in owned if is_data(each)], [each for each in owned if not is_data(each)]


def _names(data: Sequence[Owned]) -> tuple[str, ...]:
    """Return the names of those that a person would look for."""
    return tuple(
        f"large object {each.identity}" if each.kind == "large object" else each.identity
        for each in data
        if each.kind in ("table", "sequence", "large object")
    )


def _materialized(code: Sequence[Owned]) -> list[Owned]:
    """Return the materialized views: their rows are data, and reading them runs nothing."""
    return [each for each in code if each.kind == "materialized view"]


def _hold_down(query: Query, role: str, code: Sequence[Owned], types_with_code: frozenset[int]) -> Statements:
    """Return what keeps code from running: nobody may execute it, and no search path finds it."""
    statements: Statements = []
    routines = [each for each in code if each.kind in _ROUTINES]
    plain = {oid for (oid,) in query(_PLAIN_FUNCTIONS, [[each.oid for each in routines]])}
    for each in routines:
        name = sql.SQL(each.identity)
        holders = [holder for (holder,) in query(_HOLDERS, [each.oid])]
        statements += [
            sql.SQL("REVOKE ALL ON ROUTINE {} FROM {} CASCADE").format(
                name, sql.SQL("PUBLIC") if holder == "PUBLIC" else sql.Identifier(holder)
            )
            for holder in holders
        ]
        if each.oid in plain:
            statements.append(sql.SQL("ALTER ROUTINE {} SECURITY INVOKER").format(name))
    movable = movable_code(code, types_with_code)
    if movable:
        ((number,),) = query(_NUMBER, [role])
        places = {schema: f"{ARCHIVE}_{number}_{place}" for place, schema in enumerate(
            sorted({str(each.schema) for each in movable}), 1)}  # fmt: skip
        statements += [
            sql.SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(sql.Identifier(place), sql.Identifier(ARCHIVE))
            for place in places.values()
        ]  # fmt: skip
        statements += [move(each, places[str(each.schema)]) for each in movable]
    return statements


def _free_of_code(
    query: Query, data: Sequence[Owned], types_with_code: frozenset[int]
) -> tuple[frozenset[int], Statements, tuple[str, ...]]:
    """Return which tables cannot be freed of code, what frees the others, and what that drops, in words."""
    tables = {each.oid: each.identity for each in data if each.kind == "table"}
    types = {each.oid: each.identity for each in data if each.kind == "type"}
    statistics = {each.oid: each.identity for each in data if each.kind == "statistics object"}
    ids = {"tables": list(tables), "types": list(types), "statistics": list(statistics)}
    statements: Statements = []
    dropped: list[str] = []
    for kind, oid, name in query(code_in_tables.TABLE_CODE, ids) if tables else ():
        statements.append(_drop_from_table(kind, tables[oid], name))
        dropped.append(f"{kind.lower()} {name} of {tables[oid]}".replace("  ", " "))
    for relation, name in query(code_in_tables.FOREIGN_KEYS_WITH_CASTS, ids) if tables else ():
        ((table,),) = query("SELECT %s::oid::regclass::text", [relation])
        statements.append(_drop_from_table("CONSTRAINT", table, name))
        dropped.append(f"foreign key {name} of {table}")
    for kind, oid, name in query(code_in_tables.DOMAIN_CODE, ids) if types else ():
        ending = (
            sql.SQL("DEFAULT") if kind == "DEFAULT" else sql.SQL("CONSTRAINT {}").format(sql.Identifier(name))
        )
        statements.append(sql.SQL("ALTER DOMAIN {} DROP {}").format(sql.SQL(types[oid]), ending))  # fmt: skip
        dropped.append(f"{kind.lower()} {name} of {types[oid]}".replace("  ", " "))
    for (oid,) in query(code_in_tables.STATISTICS_CODE, ids) if statistics else ():
        statements.append(sql.SQL("DROP STATISTICS {}").format(sql.SQL(statistics[oid])))
        dropped.append(f"statistics {statistics[oid]}")
    bound = query(code_in_tables.TABLES_BOUND_TO_CODE, ids) if tables else []
    gone = {oid for oid, name in statistics.items() if f"statistics {name}" in dropped}
    return frozenset(oid for (oid,) in bound) | frozenset(gone) | types_with_code, statements, tuple(dropped)


def _drop_from_table(kind: str, table: str, name: str) -> sql.Composed:
    on, called = sql.SQL(table), sql.Identifier(name)
    if kind in ("TRIGGER", "RULE", "POLICY"):
        return sql.SQL("DROP {} {} ON {}").format(sql.SQL(kind), called, on)
    if kind == "INDEX":
        return sql.SQL("DROP INDEX {}").format(sql.SQL(name))
    if kind == "ROW SECURITY":
        return sql.SQL("ALTER TABLE {} DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY").format(on)
    if kind == "CONSTRAINT":
        return sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(on, called)
    return sql.SQL("ALTER TABLE {} ALTER COLUMN {} DROP {}").format(on, called, sql.SQL(kind))


def _give(query: Query, data: Sequence[Owned], heir: str) -> Statements:
    """Return what gives data to the heir, and takes from PUBLIC what the colleague has opened to it."""
    linked = {oid for (oid,) in query(_LINKED, [[each.oid for each in data if each.kind == "sequence"]])}
    keywords = {"statistics object": "STATISTICS"}
    statements: Statements = []
    for each in data:
        kind, name = sql.SQL(keywords.get(each.kind, each.kind.upper())), sql.SQL(each.identity)
        if each.oid not in linked:
            owner = sql.Identifier(heir)
            statements.append(sql.SQL("ALTER {} {} OWNER TO {}").format(kind, name, owner))
        if each.kind in ("table", "sequence", "large object", "schema"):
            statements.append(sql.SQL("REVOKE ALL ON {} {} FROM PUBLIC").format(kind, name))
    return statements


def _let_read(heir: str | None, tables: Sequence[Owned]) -> Statements:
    if heir is None:
        return []
    return [
        sql.SQL("GRANT SELECT ON {} TO {}").format(sql.SQL(each.identity), sql.Identifier(heir))
        for each in tables
        if each.kind in ("table", "materialized view")
    ]
