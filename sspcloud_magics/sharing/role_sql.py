"""The SQL of a share: a Postgres role for one colleague, and what it may do.

Every function but the queries returns statements in the order in which they are to run, with identifiers and literals
quoted by psycopg. Passwords never stand in them, only SCRAM verifiers that the client made, because statements reach
the server's log. All of it runs in the superuser's session, whose search path is pinned (`superuser`).

Read-write means data. In the schemas that are shared a colleague reads and changes rows, and creates nothing: a
function or an operator there would run with the rights of the person who meets its name, and a foreign key runs a cast of
theirs as the owner of the table that it refers to. What a colleague creates goes into a schema of their own, named
like their role, where ``"$user"`` finds it; the owner and the other colleagues may read it.

What PUBLIC may do is PUBLIC's: ``CONNECT`` and ``TEMPORARY`` on the database, and before PostgreSQL 15 ``CREATE``
on the schema ``public``, cannot be taken from one role alone. `PUBLIC_RIGHTS` asks for them, so that they can
be reported, and ``default_transaction_read_only`` is the seat belt.

Source: PostgreSQL's manual, "Privileges", "ALTER DEFAULT PRIVILEGES" (which covers only what the role named by
FOR ROLE will create), "The Schema Search Path".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import psycopg
from psycopg import sql

Statements: TypeAlias = list[sql.Composed]

CONNECTION_LIMIT = 10
IDLE_TIMEOUT = timedelta(hours=1)
IDLE_TIMEOUT_SINCE = 140000
"""The version of the server that can end idle sessions, as libpq counts versions."""

TAKE_TURN = "LOCK TABLE pg_authid, pg_db_role_setting IN SHARE ROW EXCLUSIVE MODE"
"""Lets one session at a time change roles, until its transaction ends; a colleague cannot take this lock. What a colleague
changes of their own role waits as well, and so cannot make a change of ours fail."""

FREEZE = "LOCK TABLE pg_shdepend IN SHARE ROW EXCLUSIVE MODE"
"""Lets no session make an object, until the transaction ends: what a role owns stays what it was found to be."""

ARCHIVE = "sspcloud_archive"
"""The role without rights that keeps the code of colleagues whose shares have ended (`handover`)."""

PUBLIC_RIGHTS = """
SELECT has_database_privilege('public', d.oid, 'TEMPORARY') AS temporary,
       coalesce(has_schema_privilege('public', to_regnamespace('public')::oid, 'CREATE'), false) AS create_on_public
FROM pg_database AS d WHERE d.datname = current_database()
"""
"""What PUBLIC may do in the current database: one row with `temporary` and `create_on_public`."""

COMMENT = "made by sspcloud-magics for a share"
"""The comment by which the roles of shares are known."""

SHARE_ROLES = f"""(
    SELECT r.oid, r.rolname FROM pg_shdescription AS d JOIN pg_roles AS r ON r.oid = d.objoid
    WHERE d.classoid = 'pg_authid'::regclass AND d.description = '{COMMENT}')"""
"""A table for queries: the roles that shares have made."""

SCHEMAS = f"""
SELECT nspname FROM pg_namespace
WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND pg_get_userbyid(nspowner) <> '{ARCHIVE}'
  AND nspname <> ALL(SELECT rolname FROM {SHARE_ROLES} AS s) ORDER BY nspname
"""
"""The schemas of the current database that can be shared: not the system's, not a colleague's own."""

ROLES = f"""
SELECT s.rolname, count(a.pid) AS sessions, min(a.backend_start) AS since, least(r.rolvaliduntil, now()) AS until,
       coalesce(r.rolvaliduntil::text, '') AS valid_until
FROM {SHARE_ROLES} AS s JOIN pg_roles AS r USING (oid)
LEFT JOIN pg_stat_activity AS a ON a.usesysid = s.oid AND a.pid <> pg_backend_pid()
GROUP BY s.rolname, r.rolvaliduntil ORDER BY 1
"""
"""The roles that shares have made: how many sessions each has now, when the oldest of them began, and since when it may
not log in any more, at the latest since now."""

STRANGERS = """
SELECT rolname FROM pg_roles
WHERE rolname = ANY(%s) AND shobj_description(oid, 'pg_authid') IS DISTINCT FROM %s ORDER BY 1
"""
"""Which of these names belong to roles that no share has made."""

OTHER_DATABASES = """
SELECT datname FROM pg_database
WHERE datallowconn AND NOT datistemplate AND datname <> current_database()
  AND has_database_privilege('public', oid, 'CONNECT') ORDER BY 1
"""
"""The other databases of the server, to which PUBLIC may connect."""

COLLEAGUES = f"""
SELECT s.rolname, bool_or(n.nspname = s.rolname AND a.privilege_type = 'CREATE') AS writes
FROM pg_namespace AS n, aclexplode(n.nspacl) AS a JOIN {SHARE_ROLES} AS s ON s.oid = a.grantee
GROUP BY s.rolname ORDER BY 1
"""
"""The colleagues who may use a schema of the current database, and whether they have a schema of their own to write in."""

OWN_SCHEMAS = "SELECT nspname, pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = ANY(%s)"
"""Which of these roles have a schema of their own, from this share or an earlier one, and who owns it."""

STANDING = """
SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %(role)s), EXISTS (SELECT FROM pg_namespace WHERE nspname = %(role)s)
"""
"""Whether a role is there, and a schema of its own."""

HELD_IN = """
SELECT datname FROM pg_database
WHERE datname = current_database() OR oid IN (
    SELECT dbid FROM pg_shdepend
    WHERE refclassid = 'pg_authid'::regclass AND refobjid = (SELECT oid FROM pg_roles WHERE rolname = %s)
) ORDER BY 1
"""
"""The databases of the server in which a role owns or holds something, and the current one."""

HEIR = """
SELECT r.rolname FROM pg_database AS d JOIN pg_roles AS r ON r.oid = d.datdba
WHERE d.datname = current_database() AND NOT r.rolsuper
"""
"""Who owns the current database and inherits what colleagues have made in it; no row where that is a superuser."""

OWNERS = """
SELECT DISTINCT pg_get_userbyid(owner) FROM (
    SELECT relowner AS owner FROM pg_class WHERE relnamespace = ANY(SELECT oid FROM pg_namespace WHERE nspname = ANY(%(schemas)s))
    UNION SELECT nspowner FROM pg_namespace WHERE nspname = ANY(%(schemas)s)
    UNION SELECT a.grantee FROM pg_namespace AS n, aclexplode(n.nspacl) AS a
          WHERE n.nspname = ANY(%(schemas)s) AND a.privilege_type = 'CREATE' AND a.grantee <> 0
    UNION SELECT datdba FROM pg_database WHERE datname = current_database()
) AS owners WHERE pg_get_userbyid(owner) !~ '^pg_' ORDER BY 1
"""
"""Who owns something in the schemas or the database, or may create in them: whose tables there may be tomorrow."""

PUBLIC_WRITES = """
SELECT DISTINCT c.oid::regclass::text FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace, aclexplode(c.relacl) AS a
WHERE c.relkind IN ('r', 'p', 'v', 'f') AND a.grantee = 0
  AND a.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE')
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND (n.nspname = ANY(%(schemas)s) OR has_schema_privilege('public', n.oid, 'USAGE'))
  AND pg_get_userbyid(c.relowner) <> ALL(%(gone)s) ORDER BY 1
"""
"""The tables that PUBLIC may write to, in these schemas and in those that PUBLIC may use; without those of roles that go first."""

PUBLIC_DEFINERS = """
SELECT p.oid::regprocedure::text FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE p.prosecdef AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND has_function_privilege('public', p.oid, 'EXECUTE')
  AND (n.nspname = ANY(%(schemas)s) OR has_schema_privilege('public', n.oid, 'USAGE'))
  AND pg_get_userbyid(p.proowner) <> ALL(%(gone)s) ORDER BY 1
"""
"""The functions that act with their owner's rights and that PUBLIC may call, in the same schemas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Privileges:
    """What a role may do in one database.

    Parameters
    ----------
    role
        The colleague's Postgres role.
    dbname, schemas
        The database inside the server, and its schemas.
    owners
        The roles whose future tables shall be covered too, and who may read what the colleague creates.
    keeper
        Who owns the colleague's own schema: the heir, or `ARCHIVE`.
    read_write
        Whether it may change rows, and create in a schema of its own.
    create
        Whether it may also create in the shared schemas.
    """

    role: str
    dbname: str
    schemas: tuple[str, ...]
    owners: tuple[str, ...]
    keeper: str = ARCHIVE
    read_write: bool = False
    create: bool = False


_TABLES, _SEQUENCES = sql.SQL("TABLES"), sql.SQL("SEQUENCES")
_READ = (sql.SQL("SELECT"), sql.SQL("SELECT"))
_WRITE = (sql.SQL("SELECT, INSERT, UPDATE, DELETE, TRUNCATE"), sql.SQL("SELECT, USAGE, UPDATE"))


def login(
    role: str, verifier: str, until: datetime, *, exists: bool, read_write: bool, idle_timeout: bool = True
) -> Statements:
    """Return what makes the role, or renews it: password, end, limits.

    Parameters
    ----------
    role
        Its name.
    verifier
        The SCRAM verifier of its password.
    until
        When its password ends, with a zone.
    exists
        Whether the server has it already.
    read_write
        Whether its transactions may write by default.
    idle_timeout
        Whether the server can end idle sessions (PostgreSQL 14 and newer).
    """
    name = sql.Identifier(role)
    options = sql.SQL(
        "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS "
        "CONNECTION LIMIT {limit} PASSWORD {verifier} VALID UNTIL {until}"
    ).format(
        limit=sql.Literal(CONNECTION_LIMIT),
        verifier=sql.Literal(verifier),
        until=sql.Literal(until.isoformat(timespec="seconds")),
    )
    verb = sql.SQL("ALTER ROLE" if exists else "CREATE ROLE")
    statements = [
        sql.SQL("{} {} {}").format(verb, name, options),
        sql.SQL("COMMENT ON ROLE {} IS {}").format(name, sql.Literal(COMMENT)),
    ]
    if exists:  # what the colleague has set for their own role
        statements.append(sql.SQL("ALTER ROLE {} RESET ALL").format(name))
    milliseconds = str(int(IDLE_TIMEOUT.total_seconds() * 1000))
    settings = {
        "default_transaction_read_only": "off" if read_write else "on",
        "idle_in_transaction_session_timeout": milliseconds,
    }
    if idle_timeout:
        settings["idle_session_timeout"] = milliseconds
    return statements + [
        sql.SQL("ALTER ROLE {} SET {} = {}").format(name, sql.Identifier(setting), sql.Literal(value))
        for setting, value in settings.items()
    ]


def as_text(statements: Iterable[sql.Composed], *, at_once: bool = True) -> str:
    """Return statements as a person reads them, in a transaction where they run all or not at all."""
    lines = [f"{statement.as_string(None)};" for statement in statements]
    return "\n".join(["BEGIN;", *lines, "COMMIT;"] if at_once else lines)


def run(session: psycopg.Connection[Any], statements: Sequence[sql.Composed]) -> None:
    """Run statements in one round trip.

    Raises
    ------
    psycopg.Error
        If the server refuses one; those after it are not run.
    """
    if statements:
        session.execute(sql.SQL("; ").join(statements))


def heir_of_database(session: psycopg.Connection[Any]) -> str | None:
    """Return who inherits what colleagues have made in the current database; None where only a superuser could."""
    row = session.execute(HEIR).fetchone()
    return None if row is None else str(row[0])


def grant(wanted: Privileges, *, own_schema: bool = False) -> Statements:
    """Return what gives the role its rights, on what exists and on what its owners will create.

    Parameters
    ----------
    wanted
        The rights.
    own_schema
        Whether the role has a schema of its own already: a reader may read what they made there before.
    """
    role = sql.Identifier(wanted.role)
    tables, sequences = _WRITE if wanted.read_write else _READ
    usage = sql.SQL("USAGE, CREATE" if wanted.create else "USAGE")
    schemas = _join_identifiers(wanted.schemas)
    statements = [
        sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(sql.Identifier(wanted.dbname), role),
        sql.SQL("GRANT {} ON SCHEMA {} TO {}").format(usage, schemas, role),
        sql.SQL("GRANT {} ON ALL TABLES IN SCHEMA {} TO {}").format(tables, schemas, role),
        sql.SQL("GRANT {} ON ALL SEQUENCES IN SCHEMA {} TO {}").format(sequences, schemas, role),
    ]
    owners = _other_owners(wanted)
    if owners:
        default = sql.SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA {} GRANT {} ON {} TO {}")
        statements += [
            default.format(_join_identifiers(owners), schemas, tables, _TABLES, role),
            default.format(_join_identifiers(owners), schemas, sequences, _SEQUENCES, role),
        ]
    if wanted.read_write:
        keeper = sql.Identifier(wanted.keeper)
        statements.append(sql.SQL("CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}").format(role, keeper))
    if wanted.read_write or own_schema:
        usage = sql.SQL("USAGE, CREATE" if wanted.read_write else "USAGE")
        statements += [
            sql.SQL("GRANT {} ON SCHEMA {} TO {}").format(usage, role, role),
            sql.SQL("GRANT {} ON ALL TABLES IN SCHEMA {} TO {}").format(tables, role, role),
            sql.SQL("GRANT {} ON ALL SEQUENCES IN SCHEMA {} TO {}").format(sequences, role, role),
        ]
    if wanted.read_write and owners:
        statements += _open_to(wanted.role, owners)
    return statements


def _other_owners(wanted: Privileges) -> list[str]:
    return [owner for owner in wanted.owners if owner != wanted.role]


def between_colleagues(colleagues: Iterable[tuple[str, bool]], wanted: Privileges) -> Statements:
    """Return what lets colleagues read what a role creates in its own schema, and the role what they create in theirs."""
    others = sorted((name, writes) for name, writes in colleagues if name != wanted.role)
    statements: Statements = []
    if wanted.read_write and others:
        statements += _open_to(wanted.role, [name for name, _ in others])
    writers = [name for name, writes in others if writes]
    if writers:
        role, schemas = sql.Identifier(wanted.role), _join_identifiers(writers)
        default = sql.SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {} GRANT SELECT ON {} TO {}")
        statements += [
            sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schemas, role),
            sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA {} TO {}").format(schemas, role),
            *(default.format(schemas, kind, role) for kind in (_TABLES, _SEQUENCES)),
        ]
    return statements


def _open_to(role: str, readers: Sequence[str]) -> Statements:
    """Return what lets others read a role's own schema, now and later."""
    name, others = sql.Identifier(role), _join_identifiers(readers)
    default = sql.SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {} GRANT SELECT ON {} TO {}")
    return [
        sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(name, others),
        sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA {} TO {}").format(name, others),
        *(default.format(name, kind, others) for kind in (_TABLES, _SEQUENCES)),
    ]


def _join_identifiers(names: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def forbid_login(role: str) -> sql.Composed:
    """Return what lets no new session of a role begin; it is to be committed before the open ones are ended."""
    return sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(role))


def end_sessions(role: str) -> sql.Composed:
    """Return what ends the sessions of a role."""
    return sql.SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = {}").format(
        sql.Literal(role)
    )


def drop(role: str) -> Statements:
    """Return what removes the role, once it is out of each database (`handover`)."""
    return [sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role))]


def revoke_before_grant(wanted: Privileges, everywhere: Sequence[str]) -> Statements:
    """Return what takes back all rights in the schemas `everywhere`, so that a share can become narrower.

    What the role owns stays its own: for one that shall only read, see `handover`.
    """
    role, schemas = sql.Identifier(wanted.role), _join_identifiers(everywhere)
    statements = [
        sql.SQL("REVOKE ALL ON ALL TABLES IN SCHEMA {} FROM {} CASCADE").format(schemas, role),
        sql.SQL("REVOKE ALL ON ALL SEQUENCES IN SCHEMA {} FROM {} CASCADE").format(schemas, role),
        sql.SQL("REVOKE ALL ON SCHEMA {} FROM {} CASCADE").format(schemas, role),
    ]
    if owners := _other_owners(wanted):
        default = sql.SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA {} REVOKE ALL ON {} FROM {}")
        statements += [
            default.format(_join_identifiers(owners), schemas, kind, role) for kind in (_TABLES, _SEQUENCES)
        ]
    return statements
