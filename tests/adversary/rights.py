"""All privileges on a server as comparable rows: each new privilege of a role is a new row."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import psycopg

SUPERUSER, OWNER, COLLEAGUE, READER = "postgres", "alice", "share_bob", "share_carol"
ARCHIVE = "sspcloud_archive"
"""The role that keeps the code of colleagues whose share has ended; it has no privileges."""

DML = {"SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"}
SEQUENCE = {"SELECT", "USAGE", "UPDATE"}

_ATTRIBUTES = ("rolsuper", "rolcreaterole", "rolcreatedb", "rolreplication", "rolbypassrls", "rolcanlogin")

# Catalogue, the column of the owner, and that of the rights with the letter of what they are by default.
_OBJECTS = (
    ("pg_class", "relowner", "relacl", "CASE relkind WHEN 'S' THEN 's' ELSE 'r' END"),
    ("pg_proc", "proowner", "proacl", "'f'"),
    ("pg_type", "typowner", "typacl", "'T'"),
    ("pg_namespace", "nspowner", "nspacl", "'n'"),
    ("pg_language", "lanowner", "lanacl", "'l'"),
    ("pg_database", "datdba", "datacl", "'d'"),
    ("pg_tablespace", "spcowner", "spcacl", "'t'"),
    ("pg_foreign_data_wrapper", "fdwowner", "fdwacl", "'F'"),
    ("pg_foreign_server", "srvowner", "srvacl", "'S'"),
    ("pg_largeobject_metadata", "lomowner", "lomacl", "'L'"),
    ("pg_operator", "oprowner", None, None),
    ("pg_opclass", "opcowner", None, None),
    ("pg_opfamily", "opfowner", None, None),
    ("pg_collation", "collowner", None, None),
    ("pg_conversion", "conowner", None, None),
    ("pg_ts_config", "cfgowner", None, None),
    ("pg_ts_dict", "dictowner", None, None),
    ("pg_statistic_ext", "stxowner", None, None),
    ("pg_extension", "extowner", None, None),
    ("pg_event_trigger", "evtowner", None, None),
    ("pg_publication", "pubowner", None, None),
)
_IDENTITY = "pg_identify_object('{}'::regclass, o.oid, 0)"


@dataclass(frozen=True, order=True)
class Right:
    """An ownership, privilege, attribute or membership of a role.

    Objects are identified by OID, because they may be moved or renamed.
    """

    kind: str
    type: str
    number: int
    role: str
    privilege: str
    object: str = field(compare=False)

    def __str__(self) -> str:
        return " ".join(filter(None, (self.role, self.kind, self.privilege, self.type, self.object)))


def _grantee(column: str) -> str:
    return f"CASE {column} WHEN 0 THEN 'PUBLIC' ELSE {column}::regrole::text END"


# The constructors of a range's type are the system's, whichever role makes the type.
_OURS = {"pg_database": "true", "pg_proc": "o.oid >= 16384 AND (o.prolang <> 12 OR o.prokind = 'a')"}
_OPTION = "CASE WHEN a.is_grantable THEN '*' ELSE '' END"
_COLUMNS = f"""
SELECT 'may', 'column ' || c.attname, c.attrelid::bigint, {_grantee("a.grantee")}, a.privilege_type || {_OPTION}, c.attrelid::regclass::text
FROM pg_attribute AS c, aclexplode(c.attacl) AS a
"""
_DEFAULTS = f"""
SELECT 'may by default', d.defaclobjtype::text, d.oid::bigint, {_grantee("a.grantee")}, a.privilege_type || {_OPTION},
       coalesce(n.nspname, '*') || ' of ' || d.defaclrole::regrole::text
FROM pg_default_acl AS d LEFT JOIN pg_namespace AS n ON n.oid = d.defaclnamespace, aclexplode(d.defaclacl) AS a
"""


def read(connection: psycopg.Connection[Any]) -> frozenset[Right]:
    """Return all privileges in the connection's database, and those of the whole server."""
    return frozenset(Right(*row) for row in connection.execute(_all_rights()).fetchall())


def _all_rights() -> str:
    parts = [
        f"SELECT 'is', '', 0, rolname::text, '{name}', '' FROM pg_roles WHERE {name}" for name in _ATTRIBUTES
    ]
    parts.append(
        "SELECT 'is member of', '', 0, m.rolname::text, r.rolname::text || CASE WHEN admin_option THEN '*' ELSE '' END, '' "
        "FROM pg_auth_members AS a JOIN pg_roles AS r ON r.oid = a.roleid JOIN pg_roles AS m ON m.oid = a.member "
        "WHERE r.oid >= 16384 OR m.oid >= 16384"
    )
    for catalogue, owner, acl, letter in _OBJECTS:
        # A large object is known by the catalogue of its pages.
        identity = _IDENTITY.format(catalogue.removesuffix("_metadata"))
        ours = _OURS.get(catalogue, "o.oid >= 16384")
        parts.append(
            f"SELECT 'owns', i.type, o.oid::bigint, o.{owner}::regrole::text, '', i.identity "
            f"FROM {catalogue} AS o, {identity} AS i WHERE {ours}"
        )
        if acl is not None:
            parts.append(
                f"SELECT 'may', i.type, o.oid::bigint, {_grantee('a.grantee')}, a.privilege_type || {_OPTION}, i.identity "
                f'FROM {catalogue} AS o, {identity} AS i, aclexplode(coalesce(o.{acl}, acldefault(({letter})::"char", o.{owner}))) AS a '
                f"WHERE ({ours} OR o.{acl} IS NOT NULL)"
            )
    parts += (_COLUMNS, _DEFAULTS)
    return " UNION ALL ".join(parts)


def unmeant(before: frozenset[Right], after: frozenset[Right], *, create: bool) -> list[Right]:
    """Return new privileges that no share is meant to grant.

    Parameters
    ----------
    before, after
        All rights.
    create
        Whether the colleague was to create in the shared schemas.
    """
    owners = {(right.type, right.number): right.role for right in after if right.kind == "owns"}
    return sorted(right for right in after - before if not _is_meant(right, owners, create=create))


def _is_meant(right: Right, owners: dict[tuple[str, int], str], *, create: bool) -> bool:
    if right.kind == "is":
        return right.privilege == "rolcanlogin" and right.role in (COLLEAGUE, READER)
    if right.kind == "owns":
        return _may_own(right)
    if right.kind == "is member of":
        return False
    # Who owns what is told by rows of its own, and a superuser needs no rights.
    owner = owners.get((right.type, right.number))
    if right.role in (owner, SUPERUSER):
        return True
    return _may(right, owner, create=create) if right.kind == "may" else _may_by_default(right)


def _may_own(right: Right) -> bool:
    """Whether a role may own an object that it did not own before: the archive any, the heir data and types."""
    if right.role == ARCHIVE:
        return True
    if right.type == "schema":
        return right.object == COLLEAGUE  # made by us, whatever owns it
    return right.role == OWNER and right.type in _DATA | _PARTS


def _may(right: Right, owner: str | None, *, create: bool) -> bool:
    if right.role == OWNER:
        return owner in (COLLEAGUE, ARCHIVE)  # she may use what colleagues make, and read what they leave
    if right.role not in (COLLEAGUE, READER):
        return False  # PUBLIC, above all
    if right.type == "database":
        return right.privilege == "CONNECT"
    if right.type == "schema":
        own = right.role == COLLEAGUE and (right.object == COLLEAGUE or create)
        return right.privilege == "USAGE" or (own and right.privilege == "CREATE")
    allowed = {"SELECT"} if right.role == READER else SEQUENCE if right.type == "sequence" else DML
    return right.type in _READ and right.privilege in allowed


_DATA = {"table", "sequence", "large object"}
_READ = {*_DATA, "view", "materialized view", "foreign table"}
_PARTS = {"index", "toast table", "type", "composite type", "statistics object"}


def _may_by_default(right: Right) -> bool:
    maker = right.object.rpartition(" of ")[2]
    if right.role in (OWNER, maker):
        return maker in (COLLEAGUE, right.role)
    if right.role not in (COLLEAGUE, READER):
        return False
    if right.type == "S":
        return right.privilege in ({"SELECT"} if right.role == READER else SEQUENCE)
    return right.type == "r" and right.privilege in ({"SELECT"} if right.role == READER else DML)
