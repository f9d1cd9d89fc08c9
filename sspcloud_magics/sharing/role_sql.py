"""The SQL of a share: a Postgres role for one colleague, and its privileges.

The functions return statements in the order in which they must run, with identifiers and literals quoted by psycopg.
Statements reach the server's log, so they never contain passwords, only SCRAM verifiers computed by the client. All of
them run in the superuser's session, whose search path is pinned (`superuser`).

Read-write means data. In the shared schemas a colleague reads and changes rows but creates nothing: a function or
operator there would run with the privileges of the user whose query resolves to it, and a foreign key runs the
colleague's cast as the owner of the referenced table. Colleagues create in a schema of their own, named like their role,
where ``"$user"`` finds it. The owner and the other colleagues may read it.

Privileges of PUBLIC cannot be revoked from a single role: ``CONNECT`` and ``TEMPORARY`` on the database, and before
PostgreSQL 15 ``CREATE`` on the schema ``public``. `PUBLIC_RIGHTS` reads them, so that they can be reported, and
``default_transaction_read_only`` guards against accidents.

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
"""Connections that a colleague's role may have open at once."""

IDLE_TIMEOUT = timedelta(hours=1)
IDLE_TIMEOUT_SINCE = 140000
"""First server version with ``idle_session_timeout``, in libpq's numbers."""

LOCK_ROLES = "LOCK TABLE pg_authid, pg_db_role_setting IN SHARE ROW EXCLUSIVE MODE"
"""Lets one session at a time change roles until its transaction ends; a colleague cannot take this lock. A colleague's
changes of their own role wait too, so they cannot make a statement of sharing fail."""

LOCK_OWNERSHIP = "LOCK TABLE pg_shdepend IN SHARE ROW EXCLUSIVE MODE"
"""Keeps all sessions from creating objects until the transaction ends, so that the objects of a role stay the same."""

ARCHIVE = "sspcloud_archive"
"""The role without privileges that keeps the code of colleagues whose shares have ended (`handover`)."""

PUBLIC_RIGHTS = """
SELECT has_database_privilege('public', d.oid, 'TEMPORARY') AS temporary,
       coalesce(has_schema_privilege('public', to_regnamespace('public')::oid, 'CREATE'), false) AS create_on_public
FROM pg_database AS d WHERE d.datname = current_database()
"""
"""Privileges of PUBLIC in the current database: one row with `temporary` and `create_on_public`."""

COMMENT = "made by sspcloud-magics for a share"  # not translated: PostgreSQL stores it
"""The comment that marks the roles of shares."""

SHARE_ROLES = f"""(
    SELECT r.oid, r.rolname FROM pg_shdescription AS d JOIN pg_roles AS r ON r.oid = d.objoid
    WHERE d.classoid = 'pg_authid'::regclass AND d.description = '{COMMENT}')"""
"""Subquery for FROM: the roles of shares."""

SCHEMAS = f"""
SELECT nspname FROM pg_namespace
WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND pg_get_userbyid(nspowner) <> '{ARCHIVE}'
  AND nspname <> ALL(SELECT rolname FROM {SHARE_ROLES} AS s) ORDER BY nspname
"""
"""The schemas of the current database that can be shared: neither the system's nor a colleague's own."""

ROLES = f"""
SELECT s.rolname, count(a.pid) AS sessions, min(a.backend_start) AS since, least(r.rolvaliduntil, now()) AS until,
       coalesce(r.rolvaliduntil::text, '') AS valid_until
FROM {SHARE_ROLES} AS s JOIN pg_roles AS r USING (oid)
LEFT JOIN pg_stat_activity AS a ON a.usesysid = s.oid AND a.pid <> pg_backend_pid()
GROUP BY s.rolname, r.rolvaliduntil ORDER BY 1
"""
"""The roles of shares: each with the number of its sessions, the start of the oldest, the end of its password or now if
that is earlier, and that end as the server writes it."""

UNMARKED_ROLES = """
SELECT rolname FROM pg_roles
WHERE rolname = ANY(%s) AND shobj_description(oid, 'pg_authid') IS DISTINCT FROM %s ORDER BY 1
"""
"""Those of these names that belong to roles without the mark of a share."""

OTHER_DATABASES = """
SELECT datname FROM pg_database
WHERE datallowconn AND NOT datistemplate AND datname <> current_database()
  AND has_database_privilege('public', oid, 'CONNECT') ORDER BY 1
"""
"""The other databases of the server to which PUBLIC may connect."""

COLLEAGUES = f"""
SELECT s.rolname, bool_or(n.nspname = s.rolname AND a.privilege_type = 'CREATE') AS writes
FROM pg_namespace AS n, aclexplode(n.nspacl) AS a JOIN {SHARE_ROLES} AS s ON s.oid = a.grantee
GROUP BY s.rolname ORDER BY 1
"""
"""The colleagues who may use a schema of the current database, and whether they may create in their own schema."""

OWN_SCHEMAS = "SELECT nspname, pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = ANY(%s)"
"""Those of these roles that have their own schema, from this share or an earlier one, and the schema's owner."""

ROLE_EXISTS = """
SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %(role)s), EXISTS (SELECT FROM pg_namespace WHERE nspname = %(role)s)
"""
"""Whether a role exists, and whether its own schema does."""

DATABASES_OF_ROLE = """
SELECT datname FROM pg_database
WHERE datname = current_database() OR oid IN (
    SELECT dbid FROM pg_shdepend
    WHERE refclassid = 'pg_authid'::regclass AND refobjid = (SELECT oid FROM pg_roles WHERE rolname = %s)
) ORDER BY 1
"""
"""The databases of the server in which a role owns an object or has a privilege, and the current one."""

HEIR = """
SELECT r.rolname FROM pg_database AS d JOIN pg_roles AS r ON r.oid = d.datdba
WHERE d.datname = current_database() AND NOT r.rolsuper
"""
"""The owner of the current database, who inherits the data of colleagues; no row if that is a superuser."""

OWNERS = """
SELECT DISTINCT pg_get_userbyid(owner) FROM (
    SELECT relowner AS owner FROM pg_class WHERE relnamespace = ANY(SELECT oid FROM pg_namespace WHERE nspname = ANY(%(schemas)s))
    UNION SELECT nspowner FROM pg_namespace WHERE nspname = ANY(%(schemas)s)
    UNION SELECT a.grantee FROM pg_namespace AS n, aclexplode(n.nspacl) AS a
          WHERE n.nspname = ANY(%(schemas)s) AND a.privilege_type = 'CREATE' AND a.grantee <> 0
    UNION SELECT datdba FROM pg_database WHERE datname = current_database()
) AS owners WHERE pg_get_userbyid(owner) !~ '^pg_' ORDER BY 1
"""
"""The roles that own something in the schemas or the database, or may create in them: the owners of future tables."""

PUBLIC_WRITES = """
SELECT DISTINCT c.oid::regclass::text FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace, aclexplode(c.relacl) AS a
WHERE c.relkind IN ('r', 'p', 'v', 'f') AND a.grantee = 0
  AND a.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE')
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND (n.nspname = ANY(%(schemas)s) OR has_schema_privilege('public', n.oid, 'USAGE'))
  AND pg_get_userbyid(c.relowner) <> ALL(%(gone)s) ORDER BY 1
"""
"""The tables that PUBLIC may write to, in these schemas and those that PUBLIC may use; without those of `gone` roles."""

PUBLIC_DEFINERS = """
SELECT p.oid::regprocedure::text FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE p.prosecdef AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND has_function_privilege('public', p.oid, 'EXECUTE')
  AND (n.nspname = ANY(%(schemas)s) OR has_schema_privilege('public', n.oid, 'USAGE'))
  AND pg_get_userbyid(p.proowner) <> ALL(%(gone)s) ORDER BY 1
"""
"""The SECURITY DEFINER functions that PUBLIC may execute, in the same schemas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Privileges:
    """The privileges of a role in one database."""

    role: str  # the colleague's Postgres role
    # The database inside the server, and the schemas to share.
    dbname: str
    schemas: tuple[str, ...]
    # The roles whose future tables are shared too, and who may read what the colleague creates.
    owners: tuple[str, ...]
    schema_owner: str = ARCHIVE  # the owner of the colleague's own schema: the heir, or `ARCHIVE`
    read_write: bool = False  # whether it may change rows, and create in a schema of its own
    create: bool = False  # whether it may also create in the shared schemas


_TABLES, _SEQUENCES = sql.SQL("TABLES"), sql.SQL("SEQUENCES")
_READ = (sql.SQL("SELECT"), sql.SQL("SELECT"))
_WRITE = (sql.SQL("SELECT, INSERT, UPDATE, DELETE, TRUNCATE"), sql.SQL("SELECT, USAGE, UPDATE"))


def create_role(
    role: str, verifier: str, until: datetime, *, exists: bool, read_write: bool, idle_timeout: bool = True
) -> Statements:
    """Build the statements that create or alter the role: its password, expiry and limits.

    Parameters
    ----------
    role
        Its name.
    verifier
        The SCRAM verifier of its password.
    until
        The expiry of its password, with a time zone.
    exists
        Whether the role exists already, and is altered.
    read_write
        Whether its transactions may write by default.
    idle_timeout
        Whether the server has ``idle_session_timeout`` (PostgreSQL 14 and newer).
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
    if exists:  # removes settings that the colleague has made for their role
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


def format_statements(statements: Iterable[sql.Composed], *, in_transaction: bool = True) -> str:
    """Format statements for reading, one a line."""
    lines = [f"{statement.as_string(None)};" for statement in statements]
    return "\n".join(["BEGIN;", *lines, "COMMIT;"] if in_transaction else lines)


def run(session: psycopg.Connection[Any], statements: Sequence[sql.Composed]) -> None:
    """Run statements in one round trip.

    Raises
    ------
    psycopg.Error
        If the server refuses a statement; later ones do not run.
    """
    if statements:
        session.execute(sql.SQL("; ").join(statements))


def find_heir(session: psycopg.Connection[Any]) -> str | None:
    """Return the role that inherits the colleagues' data in the current database; None if a superuser owns it."""
    row = session.execute(HEIR).fetchone()
    return None if row is None else str(row[0])


def grant(wanted: Privileges, *, own_schema: bool = False) -> Statements:
    """Build the statements that grant privileges, on existing objects and on what the owners will create.

    Parameters
    ----------
    own_schema
        Whether the role's own schema exists: a reader may still read what they created there earlier.
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
        schema_owner = sql.Identifier(wanted.schema_owner)
        statements.append(
            sql.SQL("CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}").format(role, schema_owner)
        )
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


def grant_between_colleagues(colleagues: Iterable[tuple[str, bool]], wanted: Privileges) -> Statements:
    """Build the statements that let a role and its colleagues read what they create in their own schemas."""
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
    """Let others read a role's own schema, including future objects."""
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
    """Build the statement that bars a role from new logins; commit it before ending the open sessions."""
    return sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(role))


def end_sessions(role: str) -> sql.Composed:
    """Build the statement that terminates the sessions of a role."""
    return sql.SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = {}").format(
        sql.Literal(role)
    )


def drop(role: str) -> Statements:
    """Build the statement that drops the role, once it is out of each database (`handover`)."""
    return [sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role))]


def revoke_before_grant(wanted: Privileges, everywhere: Sequence[str]) -> Statements:
    """Revoke all privileges in the schemas `everywhere`, so that a renewed share can become narrower.

    The role keeps what it owns; when a share becomes read-only, `handover` changes that.
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
