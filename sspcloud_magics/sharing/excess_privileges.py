"""Excess privileges: what colleagues may do beyond their shares, and the statements that revoke it.

An earlier version granted CREATE on the shared schemas and REFERENCES on their tables. Either lets a colleague's code
run as a user with more privileges: by a name that a search path finds first, or by the cast in the check of a foreign
key. A membership in a colleague's role, which they may grant before PostgreSQL 16, passes their privileges on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.i18n import _
from sspcloud_magics.sharing import handover, role_sql
from sspcloud_magics.sharing.lock_watch import describe_ended_sessions, watch_locks
from sspcloud_magics.sharing.role_sql import ARCHIVE, SHARE_ROLES, Statements
from sspcloud_magics.sharing.superuser import translate_errors

_BEYOND = "('REFERENCES', 'TRIGGER', 'MAINTAIN')"
_MAINTAIN_SINCE = 170000
"""First server version with the privilege MAINTAIN, in libpq's numbers."""

_ROLES = f"SELECT s.oid FROM {SHARE_ROLES} AS s ORDER BY 1"

_CREATE = """
SELECT pg_get_userbyid(a.grantee)::text, n.nspname FROM pg_namespace AS n, aclexplode(n.nspacl) AS a
WHERE a.grantee = ANY(%(roles)s) AND a.privilege_type = 'CREATE' AND n.nspname <> pg_get_userbyid(a.grantee)
  AND pg_get_userbyid(a.grantee) <> ALL(%(creators)s) ORDER BY 1, 2
"""

_TABLES = f"""
SELECT DISTINCT pg_get_userbyid(a.grantee)::text, n.nspname FROM (
    SELECT relnamespace, relowner, relacl AS acl FROM pg_class WHERE relacl IS NOT NULL
    UNION ALL SELECT c.relnamespace, c.relowner, t.attacl FROM pg_attribute AS t JOIN pg_class AS c ON c.oid = t.attrelid
              WHERE t.attacl IS NOT NULL
) AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace, aclexplode(c.acl) AS a
WHERE a.grantee = ANY(%(roles)s) AND a.privilege_type IN {_BEYOND} AND c.relowner <> a.grantee AND n.nspname !~ '^pg_'
ORDER BY 1, 2
"""

_DEFAULTS = f"""
SELECT DISTINCT pg_get_userbyid(a.grantee)::text, pg_get_userbyid(d.defaclrole)::text, n.nspname
FROM pg_default_acl AS d LEFT JOIN pg_namespace AS n ON n.oid = d.defaclnamespace, aclexplode(d.defaclacl) AS a
WHERE d.defaclobjtype = 'r' AND a.grantee = ANY(%(roles)s) AND a.privilege_type IN {_BEYOND} AND d.defaclrole <> a.grantee
ORDER BY 1, 2, 3
"""

# The check of a foreign key runs as the owner of the other table, in the session that writes, in both directions.
_FOREIGN_KEYS = f"""
SELECT pg_get_userbyid(here.relowner)::text, k.conrelid::regclass::text, k.conname::text, k.confrelid::regclass::text
FROM pg_constraint AS k JOIN pg_class AS here ON here.oid = k.conrelid JOIN pg_class AS there ON there.oid = k.confrelid
WHERE k.contype = 'f' AND k.conparentid = 0 AND here.relowner <> there.relowner AND (
    here.relowner = ANY(%(roles)s) OR there.relowner = ANY(%(roles)s)
    OR '{ARCHIVE}' IN (pg_get_userbyid(here.relowner), pg_get_userbyid(there.relowner)))
ORDER BY 1, 2, 3
"""

_TRIGGERS = f"""
SELECT pg_get_userbyid(p.proowner)::text, t.tgrelid::regclass::text, t.tgname::text
FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid JOIN pg_proc AS p ON p.oid = t.tgfoid
WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND c.relowner <> p.proowner
  AND (p.proowner = ANY(%(roles)s) OR pg_get_userbyid(p.proowner) = '{ARCHIVE}')
ORDER BY 1, 2, 3
"""
"""Triggers of other users' tables that call a colleague's function: PostgreSQL checks no EXECUTE privilege on it."""

_MEMBERS = """
SELECT pg_get_userbyid(a.roleid)::text, m.rolname FROM pg_auth_members AS a JOIN pg_roles AS m ON m.oid = a.member
WHERE a.roleid = ANY(%(roles)s) AND NOT m.rolsuper ORDER BY 1, 2
"""

_MAKERS_OF_CODE = """
SELECT DISTINCT pg_get_userbyid(d.refobjid)::text FROM pg_shdepend AS d
JOIN pg_database AS b ON b.oid = d.dbid AND b.datname = current_database()
WHERE d.refclassid = 'pg_authid'::regclass AND d.deptype = 'o' AND d.classid <> 'pg_class'::regclass
  AND d.refobjid = ANY(%(roles)s) AND pg_get_userbyid(d.refobjid) <> ALL(%(creators)s) ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class ExcessPrivileges:
    """Privileges of colleagues beyond their shares."""

    statements: Statements = field(default_factory=list)  # the statements that revoke them
    notes: tuple[str, ...] = ()  # the changes, one sentence each


def find_excess(session: psycopg.Connection[Any], creators: Iterable[str]) -> ExcessPrivileges:
    """Find the excess privileges of colleagues in the current database.

    Parameters
    ----------
    session
        The superuser's.
    creators
        The roles that may create in the shared schemas.
    """
    roles = [oid for (oid,) in session.execute(_ROLES).fetchall()]
    if not roles:
        return ExcessPrivileges()
    values = {"roles": roles, "creators": list(creators)}

    def query(text: str) -> list[tuple[Any, ...]]:
        return session.execute(text, values).fetchall()

    statements: Statements = []
    notes: list[str] = []
    for role, schema in query(_CREATE):
        statements.append(sql.SQL("REVOKE CREATE ON SCHEMA {} FROM {} CASCADE").format(*_names(schema, role)))
        notes.append(_("{role} may no longer create in {schema}.", role=role, schema=schema))
    beyond = "REFERENCES, TRIGGER"
    if session.pgconn.server_version >= _MAINTAIN_SINCE:
        beyond += ", MAINTAIN"
    rights = sql.SQL(beyond)
    for role, schema in query(_TABLES):
        statements.append(
            sql.SQL("REVOKE {} ON ALL TABLES IN SCHEMA {} FROM {} CASCADE").format(rights, *_names(schema, role))
        )  # fmt: skip
        notes.append(
            _("{role} may no longer refer to tables of {schema} by foreign keys.", role=role, schema=schema)
        )
    for role, owner, schema in query(_DEFAULTS):
        where = sql.SQL("IN SCHEMA {} ").format(sql.Identifier(schema)) if schema else sql.SQL("")
        statements.append(
            sql.SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {} {}REVOKE {} ON TABLES FROM {}").format(
                sql.Identifier(owner), where, rights, sql.Identifier(role)
            )
        )
    for statement, note in _drop_hooks(query):
        statements.append(statement)
        notes.append(note)
    moves: Statements = []
    for (role,) in query(_MAKERS_OF_CODE):
        moving, moved, places = _move_shared_code(session, role)
        moves += moving
        notes += [
            _(
                "The code of {role} is moved into {places}: {moved}.",
                role=role,
                places=", ".join(places),
                moved=", ".join(moved),
            )
        ] * bool(moved)
    statements += [*handover.make_archive(session), *moves] if moves else []
    return ExcessPrivileges(statements, tuple(notes))


def _drop_hooks(query: Callable[[str], list[tuple[Any, ...]]]) -> list[tuple[sql.Composed, str]]:
    """Build the statements that detach colleagues' code from other users' objects, each with its note."""
    triggers = [
        (
            sql.SQL("DROP TRIGGER {} ON {}").format(sql.Identifier(trigger), sql.SQL(table)),
            _(
                "The trigger {trigger} of {table} is dropped: it calls a function of {role}.",
                trigger=trigger,
                table=table,
                role=role,
            ),
        )
        for role, table, trigger in query(_TRIGGERS)
    ]
    keys = [
        (
            sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(sql.SQL(table), sql.Identifier(key)),
            _(
                "The foreign key {key} from {table} of {role} to {other} is dropped.",
                key=key,
                table=table,
                role=role,
                other=other,
            ),
        )
        for role, table, key, other in query(_FOREIGN_KEYS)
    ]
    members = [
        (
            sql.SQL("REVOKE {} FROM {}").format(*_names(role, member)),
            _("{member} may no longer act as {role}.", member=member, role=role),
        )
        for role, member in query(_MEMBERS)
    ]
    return [*triggers, *keys, *members]


def narrow(connection: DatabaseConnection, creators: Iterable[str]) -> tuple[str, ...]:
    """Revoke excess privileges; return the changes, one sentence each.

    Raises
    ------
    QueryFailed
        If the server refuses; nothing changes then.
    """
    session = connection.psycopg
    with (
        translate_errors(
            _("The database refuses to revoke the colleagues' excess privileges."),
            _("repair the cause, then run the same command again"),
        ),
        watch_locks(connection) as watch,
        session.transaction(),
    ):
        excess = find_excess(session, creators)
        if excess.statements:
            session.execute(role_sql.LOCK_ROLES)
            role_sql.run(session, excess.statements)
    return (*excess.notes, *describe_ended_sessions(watch))


def _move_shared_code(
    session: psycopg.Connection[Any], role: str
) -> tuple[Statements, list[str], tuple[str, ...]]:
    """Return the statements that move a role's code out of shared schemas, the code's names, and the new schemas."""
    owned = handover.list_owned(session, role)
    own = (role, sql.Identifier(role).as_string(None))
    elsewhere = [
        each
        for each in handover.select_movable_code(owned, handover.find_types_with_code(session, owned))
        if each.schema not in own and not str(each.schema).startswith(("pg_", ARCHIVE))
    ]
    if not elsewhere:
        return [], [], ()
    moved = handover.move_apart(session, role, elsewhere)
    usage = [sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(*_names(place, role)) for place in moved.names]
    statements = [*moved.schemas, *usage, *moved.statements.values()]
    return statements, [each.identity for each in elsewhere], moved.names


def _names(*names: str) -> list[sql.Identifier]:
    return [sql.Identifier(name) for name in names]
