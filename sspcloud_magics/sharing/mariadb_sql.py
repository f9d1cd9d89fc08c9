"""SQL of a share in MariaDB: a user for the colleague, and what it may do.

MariaDB decides by names as little as by types whose code runs: code has a *definer*, with whose privileges it runs, or runs
with its caller's. So a colleague gets no privilege that creates code (views, procedures, triggers, events), and none that runs
the owner's (EXECUTE). Nothing that a colleague can write then runs with the privileges of anyone else.

Two kinds of tables in a colleague's own database refer to tables elsewhere, and outlast the privileges on them. A MERGE table
reads and writes the tables of its UNION by the privileges on itself alone. A foreign key tells which values the other table
has, and stops its owner's DELETE, TRUNCATE and DROP. So both go once those tables are not shared any more.

MariaDB has no expiry of a login, and no comment on a user. The role ``sspcloud_share``, which has no privilege, marks the users
of shares. A user whose share is gone from the cluster is removed by the owner's next command.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from sspcloud_magics.databases.mariadb.literals import quote_name
from sspcloud_magics.secret import Secret

MARK = "sspcloud_share"
"""The role that marks the users of shares."""

MOST_CONNECTIONS = 10
"""The limit of a colleague's sessions, as in PostgreSQL."""

READ = ("SELECT",)
WRITE = ("SELECT", "INSERT", "UPDATE", "DELETE")
# Data, and no code: a view of a colleague could run the reader's own functions.
OWN = (*WRITE, "CREATE", "DROP", "ALTER", "INDEX")

SCHEMAS = """
SELECT SCHEMA_NAME FROM information_schema.SCHEMATA
WHERE SCHEMA_NAME NOT IN ('information_schema', 'mysql', 'performance_schema', 'sys') ORDER BY 1
"""

USERS = f"""
SELECT m.User, (SELECT COUNT(*) FROM information_schema.PROCESSLIST p WHERE p.USER = m.User)
FROM mysql.roles_mapping m WHERE m.Role = '{MARK}' AND m.User LIKE 'share|_%' ESCAPE '|' ORDER BY 1
"""  # noqa: S608 - put together of constants

ALL_USERS = "SELECT User FROM mysql.user WHERE is_role = 'N' AND User LIKE 'share|_%' ESCAPE '|'"

PUBLIC = """
SELECT Db FROM mysql.db WHERE User IN ('', 'PUBLIC')
UNION SELECT Db FROM mysql.tables_priv WHERE User IN ('', 'PUBLIC')
UNION SELECT Db FROM mysql.procs_priv WHERE User IN ('', 'PUBLIC')
UNION SELECT '*' FROM mysql.global_priv WHERE User IN ('', 'PUBLIC') AND JSON_VALUE(Priv, '$.access') <> 0 ORDER BY 1
"""
"""The databases, as patterns, that every user of the server may use; ``*`` is all of them."""

VIEWS = """
SELECT TABLE_SCHEMA, TABLE_NAME, VIEW_DEFINITION FROM information_schema.VIEWS
WHERE SECURITY_TYPE = 'DEFINER' ORDER BY 1, 2
"""
"""Views that read with their definer's privileges; the server writes all names in them in full."""

TRIGGERS = "SELECT EVENT_OBJECT_SCHEMA, TRIGGER_NAME FROM information_schema.TRIGGERS ORDER BY 1, 2"

MERGES = """
SELECT TABLE_NAME FROM information_schema.TABLES
WHERE TABLE_SCHEMA = '{}' AND TABLE_TYPE = 'BASE TABLE' AND COALESCE(ENGINE, 'MRG_MyISAM') = 'MRG_MyISAM'
"""
"""The MERGE tables of a role's database; the server does not tell the engine of one whose UNION is broken."""

REFERENCES = """
SELECT TABLE_NAME, CONSTRAINT_NAME, UNIQUE_CONSTRAINT_SCHEMA
FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = '{}'
"""
"""The foreign keys in a role's database, and the databases of the tables that they refer to."""

CODE = """
SELECT DEFINER, CONCAT('view ', TABLE_SCHEMA, '.', TABLE_NAME) FROM information_schema.VIEWS
UNION ALL SELECT DEFINER, CONCAT(LOWER(ROUTINE_TYPE), ' ', ROUTINE_SCHEMA, '.', ROUTINE_NAME) FROM information_schema.ROUTINES
UNION ALL SELECT DEFINER, CONCAT('trigger ', TRIGGER_SCHEMA, '.', TRIGGER_NAME) FROM information_schema.TRIGGERS
UNION ALL SELECT DEFINER, CONCAT('event ', EVENT_SCHEMA, '.', EVENT_NAME) FROM information_schema.EVENTS
"""
"""Code with its definers."""


def make_user(role: str) -> str:
    """Return the account of a role, quoted; role names have neither quotes nor backslashes."""
    return f"'{role}'@'%'"


def make_verifier(password: Secret) -> str:
    """Return what the server keeps of a password, so that no statement and no log contains the password itself."""
    once = hashlib.sha1(password.reveal().encode(), usedforsecurity=False).digest()
    return "*" + hashlib.sha1(once, usedforsecurity=False).hexdigest().upper()


def make_pattern(schema: str) -> str:
    r"""Return a database's name for GRANT, in which ``_`` and ``%`` would match other databases too.

    Examples
    --------
    >>> make_pattern("my_db")
    '`my\\_db`'
    """
    name = schema.replace("\\", "\\\\").replace("_", r"\_").replace("%", r"\%")
    return quote_name(name)


def lock(role: str) -> list[str]:
    """Build the statements that bar a user from new logins, and end its sessions."""
    return [f"ALTER USER {make_user(role)} ACCOUNT LOCK", f"KILL HARD USER '{role}'"]


def create(role: str, verifier: str) -> list[str]:
    """Build the statements that create a user without privileges, which cannot log in yet."""
    user = make_user(role)
    how = f"IDENTIFIED VIA mysql_native_password USING '{verifier}'"
    limit = f"WITH MAX_USER_CONNECTIONS {MOST_CONNECTIONS}"
    return [
        f"CREATE ROLE IF NOT EXISTS {MARK}",
        f"CREATE USER IF NOT EXISTS {user} {how} {limit} ACCOUNT LOCK",
        f"ALTER USER {user} {how} {limit} ACCOUNT LOCK",
        f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {user}",
        f"GRANT {MARK} TO {user}",
    ]


def grant(role: str, schemas: Sequence[str], owner: str, *, read_write: bool) -> list[str]:
    """Build the statements that grant the privileges of a share, and let the user log in.

    Parameters
    ----------
    role
        The user.
    schemas
        The databases to share.
    owner
        The chart's user, who may use what the colleague creates.
    read_write
        Whether it may change rows, and create tables in a database of its own.
    """
    user = make_user(role)
    found = [_grant(WRITE if read_write else READ, schema, user) for schema in schemas]
    if read_write:
        found += [
            f"CREATE DATABASE IF NOT EXISTS {quote_name(role)}",
            _grant(OWN, role, user),
            f"GRANT ALL PRIVILEGES ON {make_pattern(role)}.* TO '{_escape(owner)}'@'%'",
        ]
    return [*found, f"ALTER USER {user} ACCOUNT UNLOCK"]


def _grant(privileges: Iterable[str], schema: str, user: str) -> str:
    return f"GRANT {', '.join(privileges)} ON {make_pattern(schema)}.* TO {user}"


def _escape(name: str) -> str:
    return name.replace("\\", "\\\\").replace("'", "''")


def drop(role: str) -> str:
    """Build the statement that drops a user."""
    return f"DROP USER IF EXISTS {make_user(role)}"
