"""Hand over a colleague's objects when their share ends or becomes read-only.

The heir, who owns the database, inherits the data: tables, sequences, large objects, and types without functions. Code
moves to `role_sql.ARCHIVE`, a role without login or privileges: functions, procedures, aggregates, operators, types with
functions, views. It leaves the schemas that a search path could include, no other user may execute it, and it never runs
as its owner. Whatever would run it automatically is dropped from the tables: triggers, rules, policies, casts, and
defaults, checks, indexes and generated columns whose expressions call it; the values stay. Privileges that the colleague
granted are revoked, except that other colleagues may still read.

The heir is never a superuser. If a superuser owns the database, or a table's code cannot be dropped, the archive keeps
the data too. Such tables have no readers: the planner may run code even for a plain read.

Nothing here evaluates an expression, plans a query on a table, or casts a value: that would run the code in the
superuser's session.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import psycopg
from psycopg import sql

from sspcloud_magics.errors import QueryFailed
from sspcloud_magics.i18n import N_, _
from sspcloud_magics.sharing import code_in_tables
from sspcloud_magics.sharing.role_sql import ARCHIVE, SHARE_ROLES, Statements

ARCHIVE_COMMENT = "made by sspcloud-magics: keeps the code of colleagues whose shares have ended"  # not translated: PostgreSQL stores it

_STEP_STATEMENTS = 1000
"""Statements per transaction: each locks an object or two, and a server's default is 6,400 locks."""

_ROLE_COMMENT = "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = %s"

_OWNED = """
SELECT i.type AS kind, d.objid AS oid, i.schema,
       CASE WHEN p.oid IS NULL THEN i.identity ELSE format('%%s.%%I(%%s)', i.schema, p.proname, CASE
            WHEN p.prokind = 'a' AND p.pronargs = 0 THEN '*' ELSE pg_get_function_identity_arguments(p.oid) END) END
FROM pg_shdepend AS d JOIN pg_database AS b ON b.oid = d.dbid AND b.datname = current_database()
CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) AS i(type, schema, name, identity)
LEFT JOIN pg_proc AS p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
WHERE d.refclassid = 'pg_authid'::regclass AND d.deptype = 'o'
  AND d.classid NOT IN ('pg_default_acl'::regclass, 'pg_user_mapping'::regclass) -- rights, which are dropped with the role
  AND d.refobjid = (SELECT oid FROM pg_roles WHERE rolname = %s)
ORDER BY d.classid, d.objid
"""

_GRANTEES = f"""
SELECT held.oid, coalesce(r.rolname, ''), held.reads AND s.oid IS NOT NULL FROM (
    SELECT item.oid, a.grantee, bool_or(item.whole AND a.privilege_type = 'SELECT') AS reads FROM (
        SELECT oid, relacl AS acl, true AS whole FROM pg_class
        UNION ALL SELECT attrelid, attacl, false FROM pg_attribute WHERE attacl IS NOT NULL
        UNION ALL SELECT oid, lomacl, true FROM pg_largeobject_metadata
        UNION ALL SELECT oid, nspacl, true FROM pg_namespace
        UNION ALL SELECT oid, coalesce(proacl, acldefault('f', proowner)), true FROM pg_proc
    ) AS item, aclexplode(item.acl) AS a WHERE item.oid = ANY(%s) GROUP BY 1, 2
) AS held LEFT JOIN pg_roles AS r ON r.oid = held.grantee LEFT JOIN {SHARE_ROLES} AS s ON s.oid = held.grantee
ORDER BY 1, 2
"""
"""The grantees of objects, empty for PUBLIC, and whether the grantee is a colleague who may read the whole object."""

_OWNED_SEQUENCES = """
SELECT objid, refobjid FROM pg_depend
WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND objid = ANY(%s)
  AND deptype IN ('a', 'i') AND refobjsubid > 0
"""
"""The sequences that belong to a column, whose owner changes with the table's; and that table."""

_IN_OWN_SCHEMA = """
SELECT d.objid FROM pg_namespace AS n
LEFT JOIN pg_depend AS d ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = n.oid
WHERE n.nspname = %s
"""
"""The objects in a role's own schema: one row with NULL if it is empty, no row if it does not exist."""

_MOVED_SCHEMAS = f"SELECT (SELECT oid FROM pg_roles WHERE rolname = %s), count(*) FROM pg_namespace WHERE nspname ~ '^{ARCHIVE}_'"
"""The OID of a role, and the number of schemas that hold moved code."""

_ROUTINES = ("function", "procedure", "aggregate")
_TEMPORARY = "pg_temp"
# Kinds of several words, as pg_identify_object writes them.
_MATERIALIZED_VIEW = "materialized view"  # not translated: a kind of object
_FOREIGN_TABLE = "foreign table"  # not translated: a kind of object
_LARGE_OBJECT = "large object"  # not translated: a kind of object
_STATISTICS = "statistics object"  # not translated: a kind of object
_SEARCH_CONFIGURATION = "text search configuration"  # not translated: a kind of object
_SEARCH_DICTIONARY = "text search dictionary"  # not translated: a kind of object

_KEYWORDS = {_STATISTICS: "STATISTICS"}
_MOVABLE = frozenset(
    {*_ROUTINES, "operator", "type", "collation", "conversion", _SEARCH_CONFIGURATION, _SEARCH_DICTIONARY}
)
"""The kinds of code that names on a search path can resolve to."""

_OWNABLE = _MOVABLE | {
    "view",
    _MATERIALIZED_VIEW,
    _FOREIGN_TABLE,
    "table",
    "sequence",
    _LARGE_OBJECT,
    "schema",
}
_DATA = frozenset({"table", "sequence", _LARGE_OBJECT, "schema", _STATISTICS})


@dataclass(frozen=True, slots=True)
class Owned:
    """An object that a role owns."""

    kind: str  # its type in `pg_identify_object`: ``table``, ``function``, ``large object``, …
    oid: int
    schema: str | None  # its schema, quoted; None for objects without one
    identity: str  # its name in SQL, quoted

    @property
    def keyword(self) -> sql.SQL:
        """Its kind in ALTER and DROP."""
        return sql.SQL(_KEYWORDS.get(self.kind, self.kind.upper()))

    @property
    def sql(self) -> sql.SQL:
        """Its name."""
        return sql.SQL(self.identity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """The statements that take a role out of one database, and where its objects go."""

    # Statements to run in order, each step in a transaction: the locks of a transaction are limited.
    steps: tuple[Statements, ...]
    heir: str | None  # the role that inherits; None if a superuser owns the database
    data: tuple[str, ...] = ()  # the names of the tables and other data that the heir inherits
    kept: tuple[str, ...] = ()  # the names of the data that the archive keeps
    code: tuple[str, ...] = ()  # the names of the code that the archive keeps
    dropped: tuple[str, ...] = ()  # the parts dropped from the data, in words
    drops_schema: bool = False  # whether the role's own schema is dropped


Query: TypeAlias = Callable[[str, Any], list[tuple[Any, ...]]]


def list_owned(session: psycopg.Connection[Any], role: str) -> list[Owned]:
    """List what a role owns in the current database."""
    return [Owned(*row) for row in session.execute(_OWNED, [role]).fetchall()]


def select_movable_code(owned: Sequence[Owned], types_with_code: frozenset[int]) -> list[Owned]:
    """Select the code that names on a search path can resolve to."""
    return [
        each
        for each in owned
        if each.kind in _MOVABLE and (each.kind != "type" or each.oid in types_with_code)
    ]


@dataclass(frozen=True, slots=True)
class Moved:
    """Statements that move code into schemas of its own."""

    schemas: Statements  # the statements that create the schemas
    names: tuple[str, ...]  # the schemas' names
    statements: Mapping[int, sql.Composed]  # the statement that moves each object, by its OID


def move_apart(session: psycopg.Connection[Any], role: str, code: Sequence[Owned]) -> Moved:
    """Build the statements that move code into schemas of its own, one for each source schema."""
    ((number, already),) = session.execute(_MOVED_SCHEMAS, [role]).fetchall() if code else ((0, 0),)
    sources = sorted({str(each.schema) for each in code})
    places = {schema: f"{ARCHIVE}_{number}_{already + place}" for place, schema in enumerate(sources, 1)}
    schemas = [
        sql.SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(sql.Identifier(place), sql.Identifier(ARCHIVE))
        for place in places.values()
    ]
    statements = {
        each.oid: sql.SQL("ALTER {} {} SET SCHEMA {}").format(
            each.keyword, each.sql, sql.Identifier(places[str(each.schema)])
        )
        for each in code
    }
    return Moved(schemas, tuple(places.values()), statements)


def find_types_with_code(session: psycopg.Connection[Any], owned: Sequence[Owned]) -> frozenset[int]:
    """Find the types whose use calls a user's functions."""
    types = [each.oid for each in owned if each.kind == "type"]
    rows = session.execute(code_in_tables.TYPES_WITH_CODE, {"types": types}).fetchall() if types else []
    return frozenset(oid for (oid,) in rows)


def make_archive(session: psycopg.Connection[Any]) -> Statements:
    """Build the statements that create the archive's role, if it does not exist.

    Raises
    ------
    QueryFailed
        If a role of that name exists that this package did not create.
    """
    row = session.execute(_ROLE_COMMENT, [ARCHIVE]).fetchone()
    if row is not None:
        if row[0] != ARCHIVE_COMMENT:
            raise QueryFailed(
                _("The database already has a role {archive} that no share created.", archive=ARCHIVE),
                hint=f"ALTER ROLE {ARCHIVE} RENAME TO another_name",
            )
        return []
    name = sql.Identifier(ARCHIVE)
    return [
        sql.SQL("CREATE ROLE {} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS").format(name),
        sql.SQL("COMMENT ON ROLE {} IS {}").format(name, sql.Literal(ARCHIVE_COMMENT)),
    ]  # fmt: skip


def hand_over(session: psycopg.Connection[Any], role: str, heir: str | None, *, leaves: bool) -> Handover:
    """Build the statements that take a role out of the current database: its objects change owner, its privileges end.

    Parameters
    ----------
    session
        The superuser's, with its search path pinned. The role is locked out, so that it creates nothing new.
    role
        The colleague's role.
    heir
        The role that inherits the data; None if the archive keeps them.
    leaves
        Whether the role will be dropped: its own schema is dropped too, if nothing is left in it.

    Raises
    ------
    QueryFailed
        If the archive's role cannot be created.
    """

    def query(text: str, values: Any) -> list[tuple[Any, ...]]:
        return session.execute(text, values).fetchall()

    every = list_owned(session, role)
    temporary = [each for each in every if str(each.schema).startswith(_TEMPORARY)]
    owned = [each for each in every if each not in temporary]
    types_with_code = find_types_with_code(session, owned)
    movable = select_movable_code(owned, types_with_code)
    leave = [sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role))]
    there = query(_IN_OWN_SCHEMA, [role]) if leaves else []
    drops_schema = bool(there) and {oid for (oid,) in there} <= {None, *(each.oid for each in movable)}
    if drops_schema:
        leave.append(sql.SQL("DROP SCHEMA {}").format(sql.Identifier(role)))
    if not every:
        return Handover(steps=(leave,), heir=heir, drops_schema=drops_schema)

    data = [
        each
        for each in owned
        if each.kind in _DATA or (each.kind == "type" and each.oid not in types_with_code)
    ]
    code = [each for each in owned if each not in data]
    drops = _drop_code(query, data, code, role=role, heir=heir)
    linked = dict(query(_OWNED_SEQUENCES, [[each.oid for each in data if each.kind == "sequence"]]))
    inherited = [
        each for each in data if heir is not None and not {each.oid, linked.get(each.oid)} & drops.bound
    ]
    kept = [each for each in data if each not in inherited]
    moved = move_apart(session, role, movable)
    readable = {each.oid for each in inherited} - drops.secured
    revokes = _revoke_granted(query, owned, role=role, heir=heir, readable=readable)
    groups: list[Statements] = [
        [*make_archive(session), *moved.schemas],
        *_drop_temporary(temporary),
        *drops.groups,
    ]
    for each in owned:
        owner = heir if each in inherited else ARCHIVE
        group = revokes.get(each.oid, [])
        if each.kind in ("function", "procedure"):  # SECURITY DEFINER would act as the archive
            group.append(sql.SQL("ALTER {} {} SECURITY INVOKER").format(each.keyword, each.sql))
        if each.kind == _MATERIALIZED_VIEW and heir is not None and each.oid not in drops.bound:
            group.append(sql.SQL("GRANT SELECT ON {} TO {}").format(each.sql, sql.Identifier(heir)))
        if each.kind in _OWNABLE and each.oid not in linked and each.oid not in drops.gone:
            change = sql.SQL("ALTER {} {} OWNER TO {}").format(
                each.keyword, each.sql, sql.Identifier(str(owner))
            )
            group.append(change)
        if each.oid in moved.statements:
            group.append(moved.statements[each.oid])
        groups.append(group)
    reassign = sql.SQL("REASSIGN OWNED BY {} TO {}").format(sql.Identifier(role), sql.Identifier(ARCHIVE))
    return Handover(
        steps=(*_pack(groups), [reassign, *leave]),
        heir=heir,
        data=_list_names(inherited),
        kept=_list_names(kept),
        code=tuple(each.identity for each in code),
        dropped=drops.words,
        drops_schema=drops_schema,
    )


def _drop_temporary(temporary: Sequence[Owned]) -> list[Statements]:
    """Drop temporary tables that their ended session left behind: no other session may alter them."""
    return [
        [sql.SQL("DROP TABLE IF EXISTS {} CASCADE").format(each.sql)]
        for each in temporary
        if each.kind == "table"
    ]


def _pack(groups: Sequence[Statements]) -> list[Statements]:
    """Pack groups into steps of at most `_STEP_STATEMENTS` statements, unless a single group is larger."""
    steps: list[Statements] = [[]]
    for group in groups:
        if steps[-1] and len(steps[-1]) + len(group) > _STEP_STATEMENTS:
            steps.append([])
        steps[-1].extend(group)
    return [step for step in steps if step]


def _list_names(data: Sequence[Owned]) -> tuple[str, ...]:
    """Return the names of the objects that a user would look for."""
    return tuple(
        _("large object {identity}", identity=each.identity) if each.kind == _LARGE_OBJECT else each.identity
        for each in data
        if each.kind in ("table", "sequence", _LARGE_OBJECT)
    )


@dataclass(frozen=True, slots=True)
class _CodeDrops:
    """The statements that drop code from tables, and the tables that they concern."""

    groups: list[Statements]  # the statements, one in each group
    words: tuple[str, ...]  # the dropped parts, in words
    bound: frozenset[int]  # the OIDs of tables whose code cannot be dropped
    gone: frozenset[int]  # the OIDs of dropped statistics
    # The OIDs of tables whose policies are dropped: these showed each reader only some rows.
    secured: frozenset[int]


def _drop_code(
    query: Query, data: Sequence[Owned], code: Sequence[Owned], *, role: str, heir: str | None
) -> _CodeDrops:
    relations = {each.oid: each for each in [*data, *code] if each.kind in ("table", _MATERIALIZED_VIEW)}
    others = {each.oid: each for each in data if each.kind in ("type", _STATISTICS)}
    trees: dict[int, set[int]] = {}
    for relation, member in query(code_in_tables.TREES, {"tables": list(relations)}):
        trees.setdefault(relation, set()).add(member)
    ids: dict[str, Any] = {
        "tables": sorted({member for tree in trees.values() for member in tree}),
        "types": [oid for oid, each in others.items() if each.kind == "type"],
        "statistics": [oid for oid, each in others.items() if each.kind != "type"],
        "functions": [each.oid for each in code if each.kind in _ROUTINES],
        "role": role,
    }
    found = query(code_in_tables.TABLE_CODE, ids)
    # A table passes these on to the rest of its tree, so they cannot be dropped from a single table.
    stuck = {oid for (oid,) in query(code_in_tables.TABLES_BOUND_TO_CODE, ids)}
    passed_on = {oid for kind, oid, _unused in found if kind in ("EXPRESSION", "CONSTRAINT")}
    bound = {oid for oid, tree in trees.items() if tree & stuck or (len(tree) > 1 and tree & passed_on)}
    free = {oid: each.identity for oid, each in relations.items() if oid not in bound}
    gone = frozenset(oid for (oid,) in query(code_in_tables.STATISTICS_CODE, ids))
    drops = [
        *_drop_hooks(query, ids),
        *(
            (
                _drop_from_table(kind, free[oid], name),
                _(_DROPPED_PARTS[kind], name=name, owner=free[oid]),
            )
            for kind, oid, name in found
            if oid in free
        ),
        *_drop_foreign_keys(query, ids, {oid: heir if oid in free else ARCHIVE for oid in relations}),
        *_drop_from_domains(query, ids, others),
        *(
            (
                sql.SQL("DROP STATISTICS {}").format(others[oid].sql),
                _("statistics {identity}", identity=others[oid].identity),
            )
            for oid in sorted(gone)
        ),
    ]
    return _CodeDrops(
        groups=[[statement] for statement, _unused in drops],
        words=tuple(what for _unused, what in drops),
        bound=frozenset(bound),
        gone=gone,
        secured=frozenset(oid for kind, oid, _unused in found if kind == "ROW SECURITY"),
    )


# The parts of tables and domains that are dropped, by their kind in `code_in_tables`.
_DROPPED_PARTS = {
    "TRIGGER": N_("trigger {name} of {owner}"),
    "RULE": N_("rule {name} of {owner}"),
    "POLICY": N_("policy {name} of {owner}"),
    "ROW SECURITY": N_("row security of {owner}"),
    "DEFAULT": N_("default {name} of {owner}"),
    "EXPRESSION": N_("expression {name} of {owner}"),
    "CONSTRAINT": N_("constraint {name} of {owner}"),
    "INDEX": N_("index {name} of {owner}"),
}

Drops: TypeAlias = list[tuple[sql.Composed, str]]
"""Statements that drop something, each with a name for it."""


def _drop_hooks(query: Query, ids: Mapping[str, Any]) -> Drops:
    """Detach the role's functions from other users' triggers and casts, which need no EXECUTE privilege."""
    triggers = [
        (_drop_from_table("TRIGGER", table, name), _("trigger {name} of {table}", name=name, table=table))
        for table, name in query(code_in_tables.ATTACHED_TRIGGERS, ids)
    ]
    casts = [
        (
            sql.SQL("DROP CAST ({} AS {})").format(sql.SQL(source), sql.SQL(target)),
            _("cast {source} as {target}", source=source, target=target),
        )
        for source, target in query(code_in_tables.CASTS, ids)
    ]
    return [*triggers, *casts]


def _drop_foreign_keys(query: Query, ids: Mapping[str, Any], owners: Mapping[int, str | None]) -> Drops:
    """Drop the foreign keys between tables of two future owners, and those that cast values."""
    return [
        (
            _drop_from_table("CONSTRAINT", table, name),
            _("foreign key {name} of {table}", name=name, table=table),
        )
        for table, name, here, here_owner, other, other_owner, casts in query(
            code_in_tables.FOREIGN_KEYS, ids
        )
        if casts or owners.get(here, here_owner) != owners.get(other, other_owner)
    ]


def _drop_from_domains(query: Query, ids: Mapping[str, Any], types: Mapping[int, Owned]) -> Drops:
    """Drop code from domains."""
    drops: Drops = []
    for kind, oid, name in query(code_in_tables.DOMAIN_CODE, ids):
        ending = sql.SQL(kind) if kind == "DEFAULT" else sql.SQL("CONSTRAINT {}").format(sql.Identifier(name))
        statement = sql.SQL("ALTER DOMAIN {} DROP {}").format(types[oid].sql, ending)
        drops.append(
            (
                statement,
                _(_DROPPED_PARTS[kind], name=name, owner=types[oid].identity)
                if name
                else _("default of {owner}", owner=types[oid].identity),
            )
        )
    return drops


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


_GRANT_KINDS = {
    **dict.fromkeys(("table", "view", _MATERIALIZED_VIEW, _FOREIGN_TABLE), "TABLE"),
    **dict.fromkeys(("function", "aggregate"), "FUNCTION"),
    "procedure": "PROCEDURE",
    "sequence": "SEQUENCE",
    _LARGE_OBJECT: "LARGE OBJECT",
    "schema": "SCHEMA",
}
"""The kinds of objects that have privileges, by their names in GRANT and REVOKE."""


def _revoke_granted(
    query: Query, owned: Sequence[Owned], *, role: str, heir: str | None, readable: set[int]
) -> dict[int, Statements]:
    """Revoke the privileges that the role granted on each object; colleagues may still read the `readable` ones."""
    granted = {each.oid: each for each in owned if each.kind in _GRANT_KINDS}
    statements: dict[int, Statements] = {}
    for oid, holder, reads in query(_GRANTEES, [list(granted)]):
        if holder in (role, heir):
            continue
        each = granted[oid]
        kind, name = sql.SQL(_GRANT_KINDS[each.kind]), sql.SQL(each.identity.replace("(*)", "()"))
        whose = sql.Identifier(holder) if holder else sql.SQL("PUBLIC")
        group = statements.setdefault(oid, [])
        group.append(sql.SQL("REVOKE ALL ON {} {} FROM {} CASCADE").format(kind, name, whose))
        if reads and oid in readable:
            group.append(sql.SQL("GRANT SELECT ON {} {} TO {}").format(kind, name, whose))
    return statements
