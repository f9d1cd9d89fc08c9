"""The SQL of a share: a Postgres role for one colleague, what it may do, and how it goes.

Every function but one returns statements in the order in which they are to run, with identifiers and literals
quoted by psycopg. Passwords never stand in them, only SCRAM verifiers that the client made, because
statements reach the server's log.

What PUBLIC may do is PUBLIC's: ``CONNECT`` and ``TEMPORARY`` on the database, and before PostgreSQL 15 ``CREATE``
on the schema ``public``, cannot be taken from one role alone. `PUBLIC_RIGHTS` asks for them, so that they can
be reported, and ``default_transaction_read_only`` is the seat belt.

Source: PostgreSQL's manual, "Privileges", "ALTER DEFAULT PRIVILEGES" (which covers only what the role named by
FOR ROLE will create), "DROP OWNED".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import psycopg
from psycopg import sql

Statements: TypeAlias = list[sql.Composed]
Held: TypeAlias = tuple[str, str, bool]
"""A colleague's role, a schema that it may use, and whether it may create in it."""

CONNECTION_LIMIT = 10
IDLE_TIMEOUT = timedelta(hours=1)
IDLE_TIMEOUT_SINCE = 140000
"""The version of the server that can end idle sessions, as libpq counts versions."""

SHARING = "SELECT {}(hashtext('sspcloud-magics/share'))"
"""Takes the lock that two sessions of the owner share by turns; the name of PostgreSQL's function goes in."""

PUBLIC_RIGHTS = """
SELECT has_database_privilege('public', d.oid, 'TEMPORARY') AS temporary,
       coalesce(has_schema_privilege('public', to_regnamespace('public')::oid, 'CREATE'), false) AS create_on_public
FROM pg_database AS d WHERE d.datname = current_database()
"""
"""What PUBLIC may do in the current database: one row with `temporary` and `create_on_public`."""

SCHEMAS = """
SELECT nspname FROM pg_namespace
WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' ORDER BY nspname
"""
"""The schemas of the current database that hold users' objects."""

ROLES = """
SELECT r.rolname, count(a.pid) AS sessions, min(a.backend_start) AS since, least(r.rolvaliduntil, now()) AS until
FROM pg_roles AS r LEFT JOIN pg_stat_activity AS a ON a.usesysid = r.oid AND a.pid <> pg_backend_pid()
WHERE shobj_description(r.oid, 'pg_authid') = %s GROUP BY r.rolname, r.rolvaliduntil ORDER BY 1
"""
"""The roles that shares have made (known by their comment, `COMMENT`): how many sessions each has now, when the
oldest of them began, and since when it may not log in any more, at the latest since now."""

COMMENT = "made by sspcloud-magics for a share"

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

COLLEAGUES = """
SELECT o.rolname, s.nspname, bool_or(a.privilege_type = 'CREATE') AS writes
FROM pg_namespace AS s, aclexplode(s.nspacl) AS a JOIN pg_roles AS o ON o.oid = a.grantee
WHERE shobj_description(o.oid, 'pg_authid') = %s GROUP BY o.rolname, s.nspname
"""
"""The colleagues who may use a schema, each schema of theirs, and whether they may create in it: rows of `Held`."""

HELD_IN = """
SELECT datname, pg_get_userbyid(datdba) FROM pg_database
WHERE datname = current_database() OR oid IN (
    SELECT dbid FROM pg_shdepend
    WHERE refclassid = 'pg_authid'::regclass AND refobjid = (SELECT oid FROM pg_roles WHERE rolname = %s)
) ORDER BY 1
"""
"""The databases of the server in which a role owns or holds something, and the current one; each with its owner."""

DATABASE_OWNER = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"

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
  AND (n.nspname = ANY(%s) OR has_schema_privilege('public', n.oid, 'USAGE')) ORDER BY 1
"""
"""The tables that PUBLIC may write to, in these schemas and in those that PUBLIC may use."""

PUBLIC_DEFINERS = """
SELECT p.oid::regprocedure::text FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE p.prosecdef AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND has_function_privilege('public', p.oid, 'EXECUTE')
  AND (n.nspname = ANY(%s) OR has_schema_privilege('public', n.oid, 'USAGE')) ORDER BY 1
"""
"""The functions that act with their owner's rights and that PUBLIC may call, in the same schemas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a role shall be able to do in one database.

    Parameters
    ----------
    role
        The colleague's Postgres role.
    dbname, schemas
        The database inside the server, and its schemas.
    owners
        The roles whose future tables shall be covered too.
    read_write
        Whether it may write.
    """

    role: str
    dbname: str
    schemas: tuple[str, ...]
    owners: tuple[str, ...]
    read_write: bool = False


_TABLES, _SEQUENCES = sql.SQL("TABLES"), sql.SQL("SEQUENCES")


def _rights(*, read_write: bool) -> tuple[sql.SQL, sql.SQL]:
    """Return the rights on tables, and those on sequences."""
    if not read_write:
        return sql.SQL("SELECT"), sql.SQL("SELECT")
    tables = sql.SQL("SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES")
    return tables, sql.SQL("SELECT, USAGE, UPDATE")


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
    milliseconds = str(int(IDLE_TIMEOUT.total_seconds() * 1000))
    statements = [
        sql.SQL("{} {} {}").format(verb, name, options),
        sql.SQL("COMMENT ON ROLE {} IS {}").format(name, sql.Literal(COMMENT)),
        sql.SQL("ALTER ROLE {} SET default_transaction_read_only = {}").format(
            name, sql.Literal("off" if read_write else "on")
        ),
    ]
    if idle_timeout:
        statements.append(
            sql.SQL("ALTER ROLE {} SET idle_session_timeout = {}").format(name, sql.Literal(milliseconds))
        )
    return statements


def as_text(statements: Iterable[sql.Composed], *, at_once: bool = True) -> str:
    """Return statements as a person reads them, in a transaction where they run all or not at all."""
    lines = [f"{statement.as_string(None)};" for statement in statements]
    return "\n".join(["BEGIN;", *lines, "COMMIT;"] if at_once else lines)


def owner_of_database(session: psycopg.Connection[Any]) -> str:
    """Return who owns the current database."""
    row = session.execute(DATABASE_OWNER).fetchone()
    assert row is not None  # noqa: S101 - the current database has an owner
    return str(row[0])


def grant(wanted: Grant) -> Statements:
    """Return what gives the role its rights, on what exists and on what its owners will create."""
    role = sql.Identifier(wanted.role)
    tables, sequences = _rights(read_write=wanted.read_write)
    usage = sql.SQL("USAGE, CREATE" if wanted.read_write else "USAGE")
    statements = [sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(sql.Identifier(wanted.dbname), role)]
    for schema in map(sql.Identifier, wanted.schemas):
        statements += [
            sql.SQL("GRANT {} ON SCHEMA {} TO {}").format(usage, schema, role),
            sql.SQL("GRANT {} ON ALL TABLES IN SCHEMA {} TO {}").format(tables, schema, role),
            sql.SQL("GRANT {} ON ALL SEQUENCES IN SCHEMA {} TO {}").format(sequences, schema, role),
        ]
        for owner in _others(wanted):
            default = sql.SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA {} GRANT {} ON {} TO {}")
            statements += [
                default.format(owner, schema, tables, _TABLES, role),
                default.format(owner, schema, sequences, _SEQUENCES, role),
            ]
    if wanted.read_write:
        statements += _open_what_it_creates(wanted)
    return statements


def _others(wanted: Grant) -> list[sql.Identifier]:
    """Return the owners; who may create tables already is one of them, and needs no rights on their own."""
    return [sql.Identifier(owner) for owner in wanted.owners if owner != wanted.role]


def held_after(held: Iterable[Held], wanted: Grant) -> list[Held]:
    """Return what colleagues may do once a role has its rights, where `held` is what they may do before.

    Parameters
    ----------
    held
        What `COLLEAGUES` answers.
    wanted
        The rights that the role gets; those that it had are taken back.
    """
    kept = [one for one in held if one[0] != wanted.role]
    return kept + [(wanted.role, schema, wanted.read_write) for schema in wanted.schemas]


def between_colleagues(held: Iterable[Held]) -> Statements:
    """Return what opens the tables that one colleague will create to the others, each with their own rights.

    Parameters
    ----------
    held
        What `COLLEAGUES` answers.
    """
    everybody = sorted(held)
    default = sql.SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA {} GRANT {} ON {} TO {}")
    return [
        default.format(sql.Identifier(writer), sql.Identifier(schema), rights, kind, sql.Identifier(other))
        for writer, schema, creates in everybody
        for other, there, writes in everybody
        if creates and there == schema and other != writer
        for kind, rights in zip((_TABLES, _SEQUENCES), _rights(read_write=writes), strict=True)
    ]


def _open_what_it_creates(wanted: Grant) -> Statements:
    """Return what lets the owners use the tables that a read-write colleague will create."""
    role = sql.Identifier(wanted.role)
    default = sql.SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA {} GRANT ALL ON {} TO {}")
    return [
        default.format(role, schema, kind, owner)
        for schema in map(sql.Identifier, wanted.schemas)
        for owner in _others(wanted)
        for kind in (_TABLES, _SEQUENCES)
    ]


def lock_out(role: str) -> Statements:
    """Return what lets no new session of a role begin, and then ends those that are open.

    Each is to be committed before the next, or else a session could begin in between.
    """
    return [
        sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(role)),
        sql.SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = {}").format(
            sql.Literal(role)
        ),
    ]


def release(role: str, heir: str) -> Statements:
    """Return what takes a role out of one database: what it owns goes to `heir`, what it may do goes.

    To be run in each database of the server before `drop`.
    """
    name = sql.Identifier(role)
    return [
        sql.SQL("REASSIGN OWNED BY {} TO {}").format(name, sql.Identifier(heir)),
        sql.SQL("DROP OWNED BY {}").format(name),
    ]


def drop(role: str) -> Statements:
    """Return what removes the role, once `release` has run in each database."""
    return [sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role))]


def revoke_before_grant(wanted: Grant, everywhere: Sequence[str]) -> Statements:
    """Return what takes back all rights in the schemas `everywhere`, so that a share can become narrower.

    What the role owns stays its own: for one that shall only read, `release` is to be used.
    """
    role = sql.Identifier(wanted.role)
    statements: Statements = []
    for schema in map(sql.Identifier, everywhere):
        statements += [
            sql.SQL("REVOKE ALL ON ALL TABLES IN SCHEMA {} FROM {}").format(schema, role),
            sql.SQL("REVOKE ALL ON ALL SEQUENCES IN SCHEMA {} FROM {}").format(schema, role),
            sql.SQL("REVOKE ALL ON SCHEMA {} FROM {}").format(schema, role),
        ]
        for owner in map(sql.Identifier, wanted.owners):
            default = sql.SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA {} REVOKE ALL ON {} FROM {}")
            statements += [default.format(owner, schema, kind, role) for kind in (_TABLES, _SEQUENCES)]
    return statements
