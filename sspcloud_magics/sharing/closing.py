"""Taking a share back: at once, with its live sessions, and without losing what the colleague has made.

Deleting the Job takes the Secret and the rights in the cluster. In the database the role is locked out first,
its sessions end, what it owns goes to the database's owner in each database of the server, and then the role
goes. A role whose share has ended by itself is found by its comment, and goes the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import psycopg

from sspcloud_magics.cluster import writing
from sspcloud_magics.cluster.identity import Cluster
from sspcloud_magics.cluster.resources import JOBS, NETWORK_POLICIES, ROLE_BINDINGS, ROLES, SECRETS
from sspcloud_magics.databases.connection import DatabaseConnection
from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.errors import QueryFailed
from sspcloud_magics.sharing import grants
from sspcloud_magics.sharing.shares import SharedRole, StandingShare, ended_share, shares

# The Job goes last: as long as it is there, the share is listed, and an interrupted revocation is seen.
# Without a Job the Secret tells of it.
_IN_ORDER = (ROLE_BINDINGS, ROLES, NETWORK_POLICIES, SECRETS)

Opener = Callable[[str], DatabaseConnection]
"""Opens the superuser's connection to one database of the server."""


def close_share(
    cluster: Cluster, share: StandingShare, connection: DatabaseConnection, opener: Opener
) -> None:
    """Revoke a share.

    Parameters
    ----------
    cluster
        Where, and as the owner.
    share
        Which.
    connection
        The superuser's connection to the server.
    opener
        Opens one to another database of the server, for what the colleague has made there.

    Raises
    ------
    Forbidden
        If a right in the namespace is missing.
    QueryFailed
        If the server refuses a statement; the colleague is locked out all the same.
    """
    lock_out(connection, share.role)
    for resource in _IN_ORDER:
        writing.delete_object(cluster, resource, share.name, share.namespace)
    remove_role(connection, share.role, opener)
    writing.delete_object(cluster, JOBS, share.name, share.namespace)


def lock_out(connection: DatabaseConnection, role: str) -> None:
    """End a role's sessions, and let no new one begin; nothing happens where the role is gone."""
    session = connection.psycopg
    if _exists(session, role):
        for statement in grants.lock_out(role):
            _run(session, [statement], role)


def remove_role(connection: DatabaseConnection, role: str, opener: Opener) -> bool:
    """Give what a role owns to the owner of each database, and drop it; return whether it was there."""
    session = connection.psycopg
    if not _exists(session, role):
        return False
    for (dbname,) in session.execute(grants.HELD_IN, [role]).fetchall():
        if dbname == connection.dbname:
            _release(session, role)
        else:
            other = opener(dbname)
            try:
                _release(other.psycopg, role)
            finally:
                other.close()
    _run(session, grants.drop(role), role)
    return True


def shared_roles(connection: DatabaseConnection) -> list[SharedRole]:
    """Return the roles of the server that shares have made."""
    rows = connection.psycopg.execute(grants.ROLES, [grants.COMMENT]).fetchall()
    return [SharedRole(*row) for row in rows]


def left_behind(
    roles: Iterable[SharedRole], standing: Iterable[StandingShare], database: Database
) -> list[StandingShare]:
    """Return what is left of shares that have ended in the cluster: their Postgres roles.

    Parameters
    ----------
    roles, standing
        The roles of the server, and the shares of the database, listed after them.
    database
        Which.
    """
    needed = {share.role for share in standing}
    return [ended_share(database, role) for role in roles if role.name not in needed]


def tidy(
    cluster: Cluster, connection: DatabaseConnection, database: Database, opener: Opener
) -> list[StandingShare]:
    """Remove what has ended: shares that no Job could end, and the roles that shares have left behind.

    Parameters
    ----------
    cluster, connection, opener
        As for `close_share`.
    database
        Whose shares.

    Returns
    -------
    list of StandingShare
        Those of which something was removed.
    """
    # A share that another session makes at this moment has its Job before its role: listed inside the
    # lock, none of them is taken for one that was left behind.
    with _my_turn(connection):
        standing = shares(cluster, database.name, database.namespace)
        ended = [share for share in standing if share.state == "ended"]
        for share in ended:
            close_share(cluster, share, connection, opener)
        left = left_behind(shared_roles(connection), standing, database)
        for share in left:
            lock_out(connection, share.role)
            remove_role(connection, share.role, opener)
    return ended + left


@contextmanager
def _my_turn(connection: DatabaseConnection) -> Iterator[None]:
    session = connection.psycopg
    session.execute(grants.SHARING.format("pg_advisory_lock"))
    try:
        yield
    finally:
        if not session.closed:
            session.execute(grants.SHARING.format("pg_advisory_unlock"))


def _release(session: psycopg.Connection[tuple[object, ...]], role: str) -> None:
    _run(session, grants.release(role, grants.owner_of_database(session)), role)


def _exists(session: psycopg.Connection[tuple[object, ...]], role: str) -> bool:
    return session.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone() is not None


def _run(session: psycopg.Connection[tuple[object, ...]], statements: grants.Statements, role: str) -> None:
    try:
        with session.transaction():
            for statement in statements:
                session.execute(statement)
    except psycopg.Error as error:
        raise QueryFailed(
            f"The database refuses a step of removing the role {role}.",
            why=error.diag.message_primary or str(error).strip(),
            mend="the colleague is locked out; run the same command again when it is mended",
        ) from None
