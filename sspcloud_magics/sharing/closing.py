"""Taking a share back: at once, with its live sessions, and without losing what the colleague has made.

Deleting the Job takes the Secret and the rights in the cluster. In the database the role is locked out first,
its sessions end, what it owns goes to the database's owner in each database of the server, and then the role
goes. A role whose share has ended by itself is found by its comment, and goes the same way. Where the database cannot
be reached, what is in the cluster goes all the same, and the role is found by the next session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from sspcloud_magics.cluster import writing
from sspcloud_magics.cluster.identity import Cluster
from sspcloud_magics.cluster.resources import JOBS, NETWORK_POLICIES, ROLE_BINDINGS, ROLES, SECRETS
from sspcloud_magics.databases.connection import DatabaseConnection
from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.errors import Forbidden, QueryFailed
from sspcloud_magics.sharing import grants
from sspcloud_magics.sharing.answers import listed
from sspcloud_magics.sharing.shares import SharedRole, StandingShare, ended_share, shares

# The Job goes last: as long as it is there, the share is listed, and an interrupted revocation is seen.
# Without a Job the Secret tells of it.
_IN_ORDER = (ROLE_BINDINGS, ROLES, NETWORK_POLICIES, SECRETS)

_OWNED = "SELECT c.oid::regclass::text FROM pg_class AS c WHERE pg_get_userbyid(relowner) = %s AND relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY 1"
_SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE usename = %s"

Opener = Callable[[str], DatabaseConnection]
"""Opens the superuser's connection to one database of the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """What came of taking a share back.

    Parameters
    ----------
    share
        Which.
    sessions
        How many sessions of the colleague were ended.
    inherited
        The tables and views that the colleague had made: now the owner's.
    role_left
        Why the Postgres role is still there; empty where it is not.
    """

    share: StandingShare
    sessions: int = 0
    inherited: tuple[str, ...] = ()
    role_left: str = ""

    @property
    def words(self) -> str:
        """What came of it, for the owner."""
        share = self.share
        said = f"{share.database} is no longer shared with {share.colleague}."
        if share.state == "ended":
            said = f"What was left of the share of {share.database} with {share.colleague} is removed."
        if self.sessions:
            said += f" {self.sessions} {'session was' if self.sessions == 1 else 'sessions were'} ended."
        if self.inherited:
            said += f" What {share.colleague} has made is yours now: {listed(self.inherited)}."
        if self.role_left:
            said += (
                f" Its rights in the cluster are gone, and the Postgres role {share.role} is still there: {self.role_left} "
                "%unshare --ended removes it, once that is mended."
            )
        return said


def close_share(
    cluster: Cluster, share: StandingShare, connection: DatabaseConnection, opener: Opener
) -> Closed:
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
    sessions = lock_out(connection, share.role)
    _revoke_rights(cluster, share)
    inherited = remove_role(connection, share.role, opener)
    writing.delete_object(cluster, JOBS, share.name, share.namespace)
    return Closed(share=share, sessions=sessions, inherited=inherited)


def close_without_database(cluster: Cluster, share: StandingShare, why: str) -> Closed:
    """Take back what a share grants in the cluster, where its database cannot be reached or is gone.

    Parameters
    ----------
    cluster, share
        As for `close_share`.
    why
        Why the Postgres role stays; empty where the server is gone with it.
    """
    _revoke_rights(cluster, share)
    writing.delete_object(cluster, JOBS, share.name, share.namespace)
    return Closed(share=share, role_left=why)


def _revoke_rights(cluster: Cluster, share: StandingShare) -> None:
    for resource in _IN_ORDER:
        try:
            writing.delete_object(cluster, resource, share.name, share.namespace)
        except Forbidden:
            if not share.keeper:
                raise
            # The Job owns it and takes it along: for that, the rights of a notebook with `edit` are enough.


def lock_out(connection: DatabaseConnection, role: str) -> int:
    """End a role's sessions, and let no new one begin; return how many there were."""
    session = connection.psycopg
    if not _exists(session, role):
        return 0
    (sessions,) = session.execute(_SESSIONS, [role]).fetchone() or (0,)
    for statement in grants.lock_out(role):
        _run(session, [statement], role)
    return int(sessions)


def remove_role(connection: DatabaseConnection, role: str, opener: Opener) -> tuple[str, ...]:
    """Give what a role owns to the owner of each database, and drop it; return the tables and views among it."""
    session = connection.psycopg
    if not _exists(session, role):
        return ()
    inherited: list[str] = []
    for dbname, heir in session.execute(grants.HELD_IN, [role]).fetchall():
        if dbname == connection.dbname:
            inherited += _release(session, role, heir)
        else:
            other = opener(dbname)
            try:
                inherited += [f"{name} ({dbname})" for name in _release(other.psycopg, role, heir)]
            finally:
                other.close()
    _run(session, grants.drop(role), role)
    return tuple(inherited)


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


def leaving(cluster: Cluster, connection: DatabaseConnection, database: Database) -> list[StandingShare]:
    """Return what `tidy` would remove now.

    Parameters
    ----------
    cluster, connection, database
        As for `tidy`.
    """
    roles = shared_roles(connection)
    standing = shares(cluster, database.name, database.namespace)
    return [share for share in standing if share.state == "ended"] + left_behind(roles, standing, database)


def removal(connection: DatabaseConnection, role: str) -> str:
    """Return the SQL by which a role is removed, as a person reads it; empty where it is not there.

    Parameters
    ----------
    connection
        The superuser's connection to the server.
    role
        Which.
    """
    session = connection.psycopg
    if not _exists(session, role):
        return ""
    parts = [grants.as_text(grants.lock_out(role), at_once=False)]
    for dbname, heir in session.execute(grants.HELD_IN, [role]).fetchall():
        where = "" if dbname == connection.dbname else f"-- in the database {dbname}\n"
        parts.append(where + grants.as_text(grants.release(role, heir)))
    return "\n".join([*parts, grants.as_text(grants.drop(role))])


def tidy(
    cluster: Cluster, connection: DatabaseConnection, database: Database, opener: Opener
) -> list[Closed]:
    """Remove what has ended: shares that no Job could end, and the roles that shares have left behind.

    Parameters
    ----------
    cluster, connection, opener
        As for `close_share`.
    database
        Whose shares.

    Returns
    -------
    list of Closed
        Those of which something was removed.
    """
    # A share that another session makes at this moment has its Job before its role: listed inside the
    # lock, none of them is taken for one that was left behind.
    with _my_turn(connection):
        standing = shares(cluster, database.name, database.namespace)
        ended = [share for share in standing if share.state == "ended"]
        closed = [close_share(cluster, share, connection, opener) for share in ended]
        for share in left_behind(shared_roles(connection), standing, database):
            sessions = lock_out(connection, share.role)
            inherited = remove_role(connection, share.role, opener)
            closed.append(Closed(share=share, sessions=sessions, inherited=inherited))
    return closed


@contextmanager
def _my_turn(connection: DatabaseConnection) -> Iterator[None]:
    session = connection.psycopg
    session.execute(grants.SHARING.format("pg_advisory_lock"))
    try:
        yield
    finally:
        if not session.closed:
            session.execute(grants.SHARING.format("pg_advisory_unlock"))


def _release(session: psycopg.Connection[tuple[object, ...]], role: str, heir: str) -> list[str]:
    owned = [str(name) for (name,) in session.execute(_OWNED, [role]).fetchall()]
    _run(session, grants.release(role, heir), role)
    return owned


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
