"""Revoke a share: at once, with its open sessions, and without losing what the colleague created.

Deleting the Job deletes the Secret and the permissions in the cluster. In the database, the role is locked out, its
sessions are terminated, its objects are handed over in each database of the server (`handover`), and the role is
dropped. The role of a share that has expired is found by its comment, and removed the same way. If the database cannot
be reached, the objects in the cluster are deleted anyway, and the next session finds the role.

Another session of the owner may share at the same moment. Each step that changes a role first locks all roles
(`role_sql.LOCK_ROLES`) and checks whether the role was renewed in between. A renewed role is left alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from sspcloud_magics.cluster.api.resources import JOBS, NETWORK_POLICIES, ROLE_BINDINGS, ROLES, SECRETS
from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.cluster.requests import object_writes
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.errors import Forbidden, QueryFailed
from sspcloud_magics.i18n import _, _n
from sspcloud_magics.sharing import advisories, role_sql
from sspcloud_magics.sharing.handover import Handover, hand_over
from sspcloud_magics.sharing.inventory import EndedShare, Share, list_shares
from sspcloud_magics.sharing.lock_watch import describe_ended_sessions, watch_locks
from sspcloud_magics.sharing.superuser import translate_errors

# The Job is deleted last: while it exists, the share is listed, and an interrupted revocation is visible.
# Without a Job, the Secret has this role.
_DELETION_ORDER = (ROLE_BINDINGS, ROLES, NETWORK_POLICIES, SECRETS)

_SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE usename = %s"

# A session that is still logging in has passed the check of LOGIN, but its user is not known yet. It holds the lock of its
# transaction. It may take long (post_auth_delay), so it is terminated like the role's own sessions.
_LOGGING_IN = """
SELECT l.pid FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'virtualxid' AND l.pid IS NOT NULL AND l.pid <> pg_backend_pid()
  AND (a.pid IS NULL OR (a.usesysid IS NULL AND a.backend_type = 'client backend'))
"""
_END_LOGINS = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'virtualxid' AND pid = ANY(%s)"
_END_SECONDS = 10.0
"""Longest wait for terminated sessions to end, in seconds."""
_END_POLL_SECONDS = 0.05
_TRIES = 3
"""Attempts to take a role out of a database while other sessions change the same rows."""
_ROLE_STATE = "SELECT coalesce(rolvaliduntil::text, ''), rolcanlogin FROM pg_roles WHERE rolname = %s"
_PREPARED = "SELECT gid FROM pg_prepared_xacts WHERE owner = %s AND database = current_database()"

Opener = Callable[[str], DatabaseConnection]
"""Opens the superuser's connection to one database of the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeResult:
    """The result of revoking a share, or of revoking excess privileges.

    Parameters
    ----------
    share
        The revoked share; None for excess privileges.
    sessions
        The number of terminated sessions.
    handovers
        The handovers of the colleague's objects, by database; empty for the connection's own database.
    notes
        Other notes for the owner, one sentence each.
    role_left
        Why the Postgres role still exists; empty if it does not.
    """

    share: Share | None = None
    sessions: int = 0
    handovers: tuple[tuple[str, Handover], ...] = ()
    notes: tuple[str, ...] = ()
    role_left: str = ""

    @property
    def inherited(self) -> tuple[str, ...]:
        """The names of the colleague's tables and other data that now belong to the owner."""
        return tuple(
            f"{name} ({dbname})" if dbname else name
            for dbname, given in self.handovers
            for name in given.data
        )

    @property
    def words(self) -> str:
        """The result in words, for the owner."""
        share = self.share
        if share is None:
            return " ".join(self.notes)
        sentences = [
            _(
                "{database} is no longer shared with {colleague}.",
                database=share.database,
                colleague=share.colleague,
            )
        ]
        if share.state == "ended":
            sentences = [
                _(
                    "The remains of the share of {database} with {colleague} were removed.",
                    database=share.database,
                    colleague=share.colleague,
                )
            ]
        if self.sessions:
            sentences.append(_n("{count} session ended.", "{count} sessions ended.", self.sessions))
        sentences += [
            advisories.describe_handover(share.role, given, dbname) for dbname, given in self.handovers
        ]
        sentences += self.notes
        if self.role_left:
            sentences.append(
                _(
                    "Its permissions in the cluster are revoked, but the Postgres role {role} still exists: "
                    "{role_left} Once that is repaired, %unshare --ended removes it.",
                    role=share.role,
                    role_left=self.role_left,
                )
                if share.kind == "postgres"
                else _(
                    "Its permissions in the cluster are revoked, but the user {role} of the server still exists: "
                    "{role_left} Once that is repaired, %unshare --ended removes it.",
                    role=share.role,
                    role_left=self.role_left,
                )
            )
        return " ".join(sentences)


def revoke_share(
    cluster: Cluster, share: Share, connection: DatabaseConnection, opener: Opener
) -> RevokeResult:
    """Revoke a share.

    Raises
    ------
    Forbidden
        If a permission in the namespace is missing.
    QueryFailed
        If the server refuses a statement; the colleague is locked out all the same.
    """
    sessions = lock_out(connection, share.role)
    delete_objects(cluster, share)
    handovers, notes = remove_role(connection, share.role, opener)
    object_writes.delete_object(cluster, JOBS, share.name, share.namespace)
    return RevokeResult(share=share, sessions=sessions or 0, handovers=handovers, notes=notes)


def revoke_in_cluster(cluster: Cluster, share: Share, why: str) -> RevokeResult:
    """Revoke a share's permissions in the cluster, if its database cannot be reached or no longer exists.

    Parameters
    ----------
    cluster, share
        As for `revoke_share`.
    why
        Why the Postgres role remains; empty if the server no longer exists.
    """
    delete_objects(cluster, share)
    object_writes.delete_object(cluster, JOBS, share.name, share.namespace)
    return RevokeResult(share=share, role_left=why)


def delete_objects(cluster: Cluster, share: Share) -> None:
    """Delete the Secret and the permissions of a share.

    Raises
    ------
    Forbidden
        If a permission in the namespace is missing, and no Job ends the share.
    """
    for resource in _DELETION_ORDER:
        try:
            object_writes.delete_object(cluster, resource, share.name, share.namespace)
        except Forbidden:
            if not share.has_job:
                raise
            # Its owner, the Job, may be deleted from a notebook service with the role `edit`.


def lock_out(connection: DatabaseConnection, role: str, valid_until: str | None = None) -> int | None:
    """Bar a role from new logins, and terminate its sessions.

    Parameters
    ----------
    connection
        The superuser's connection to the server.
    role
        The colleague's role.
    valid_until
        The role's expiry when it was found: a role that was renewed since then is left alone.

    Returns
    -------
    int or None
        The number of terminated sessions; None if the role does not exist or was renewed.
    """
    session = connection.psycopg
    with _refusal(role), watch_locks(connection), session.transaction():
        session.execute(role_sql.LOCK_ROLES)
        state = session.execute(_ROLE_STATE, [role]).fetchone()
        if state is None or (valid_until is not None and state[0] != valid_until):
            return None
        (sessions,) = session.execute(_SESSIONS, [role]).fetchone() or (0,)
        session.execute(role_sql.forbid_login(role))
    with _refusal(role):
        _end_sessions(session, role)
    return int(sessions)


def _end_sessions(session: psycopg.Connection[Any], role: str) -> None:
    """Terminate the sessions of a role that may not log in, and wait for their end.

    Raises
    ------
    QueryFailed
        If a session does not end.
    """
    until = time.monotonic() + _END_SECONDS
    # Later logins of this role are refused.
    logging_in = [process for (process,) in session.execute(_LOGGING_IN).fetchall()]
    while True:
        # In this order: a login that completes in between has become a session of the role.
        left = session.execute(_END_LOGINS, [logging_in]).rowcount if logging_in else 0
        left += session.execute(role_sql.end_sessions(role)).rowcount
        if not left:
            return
        if time.monotonic() > until:
            raise QueryFailed(
                _n(
                    "{count} session of {role} did not end.",
                    "{count} sessions of {role} did not end.",
                    left,
                    role=role,
                ),
                hint=_("the colleague is locked out; run the same command again in a minute"),
            )
        time.sleep(_END_POLL_SECONDS)


def remove_role(
    connection: DatabaseConnection, role: str, opener: Opener
) -> tuple[tuple[tuple[str, Handover], ...], tuple[str, ...]]:
    """Hand over the objects of a locked-out role in each database, and drop the role.

    Returns
    -------
    tuple
        The handovers by database, and notes for the owner.
    """
    handovers: list[tuple[str, Handover]] = []
    notes: list[str] = []
    names = [
        dbname for (dbname,) in connection.psycopg.execute(role_sql.DATABASES_OF_ROLE, [role]).fetchall()
    ]
    # The transaction that takes the role out of the last database also drops it: no grant can come in between.
    for dbname in sorted(names, key=lambda name: name == connection.dbname):
        with _open_database(connection, dbname, opener) as there, _refusal(role):
            with watch_locks(there) as watch:
                handover = _take_out(there.psycopg, role, last=there is connection)
            notes += describe_ended_sessions(watch)
        if handover is not None and (handover.data or handover.kept or handover.code):
            handovers.append(("" if there is connection else dbname, handover))
    return tuple(handovers), tuple(notes)


def _open_database(
    connection: DatabaseConnection, dbname: str, opener: Opener
) -> AbstractContextManager[DatabaseConnection]:
    """Use the open connection if it is to that database, else a new one, which is closed afterwards."""
    return nullcontext(connection) if dbname == connection.dbname else closing(opener(dbname))


def _take_out(session: psycopg.Connection[Any], role: str, *, last: bool) -> Handover | None:
    """Take a role out of one database, and drop it in the last; return None if it was renewed or does not exist.

    The steps may take long, so each of them reads again what the role owns, and keeps the role from creating objects.
    """
    for (gid,) in session.execute(_PREPARED, [role]).fetchall():
        session.execute(sql.SQL("ROLLBACK PREPARED {}").format(sql.Literal(gid)))
    heir = role_sql.find_heir(session)
    first: Handover | None = None
    for attempt in range(_TRIES):
        try:
            while True:
                with session.transaction():
                    session.execute(role_sql.LOCK_ROLES)
                    if not _is_locked_out(session, role):
                        return None
                    session.execute(role_sql.LOCK_OWNERSHIP)
                    handover = hand_over(session, role, heir, leaves=True)
                    first = first or handover
                    step, *more = handover.steps
                    ends = role_sql.drop(role) if last and len(more) == 0 else []
                    role_sql.run(session, [*step, *ends] if not more else step)
                if not more:
                    return first
        except (psycopg.errors.InternalError, psycopg.errors.DependentObjectsStillExist):
            # Another session changed the same rows, or granted the role a privilege, at the same moment.
            if attempt == _TRIES - 1:
                raise
    return first


def hand_over_objects(session: psycopg.Connection[Any], role: str) -> Handover | None:
    """Hand over the objects of a locked-out role that stays, in the current database.

    Returns
    -------
    Handover or None
        Its single step remains to be run, together with the role's new privileges; None if the role was renewed.
    """
    heir = role_sql.find_heir(session)
    with _refusal(role):
        while True:
            with session.transaction():
                session.execute(role_sql.LOCK_ROLES)
                if not _is_locked_out(session, role):
                    return None
                handover = hand_over(session, role, heir, leaves=False)
                if len(handover.steps) == 1:
                    return handover
                session.execute(role_sql.LOCK_OWNERSHIP)
                role_sql.run(session, handover.steps[0])


def _is_locked_out(session: psycopg.Connection[Any], role: str) -> bool:
    state = session.execute(_ROLE_STATE, [role]).fetchone()
    return state is not None and not state[1]


def removal_sql(connection: DatabaseConnection, role: str, opener: Opener) -> str:
    """Format the SQL that removes a role; empty if the role does not exist."""
    session = connection.psycopg
    if session.execute(_ROLE_STATE, [role]).fetchone() is None:
        return ""
    parts = [
        role_sql.format_statements(
            [role_sql.forbid_login(role), role_sql.end_sessions(role)], in_transaction=False
        )
    ]
    for (dbname,) in session.execute(role_sql.DATABASES_OF_ROLE, [role]).fetchall():
        with _open_database(connection, dbname, opener) as there:
            heir = role_sql.find_heir(there.psycopg)
            handover = hand_over(there.psycopg, role, heir, leaves=True)
        if there is not connection:
            parts.append(_("-- in the database {dbname}", dbname=dbname))
        parts += map(role_sql.format_statements, handover.steps)
    return "\n".join([*parts, role_sql.format_statements(role_sql.drop(role))])


def remove_ended(
    cluster: Cluster, connection: DatabaseConnection, opener: Opener, ended: Iterable[EndedShare]
) -> list[RevokeResult]:
    """Remove the remains of ended shares; those renewed since then are left alone.

    Returns
    -------
    list of RevokeResult
        The results for the shares that were removed.
    """
    results = []
    for each in ended:
        if each.valid_until is None:
            if has_ended(cluster, each.share):
                results.append(revoke_share(cluster, each.share, connection, opener))
        elif (sessions := lock_out(connection, each.share.role, each.valid_until)) is not None:
            handovers, notes = remove_role(connection, each.share.role, opener)
            results.append(
                RevokeResult(share=each.share, sessions=sessions, handovers=handovers, notes=notes)
            )
    return results


def has_ended(cluster: Cluster, found: Share) -> bool:
    """Whether a share that had ended has not been renewed since."""
    shares = list_shares(cluster, found.database, found.namespace)
    return all(share.state == "ended" for share in shares if share.name == found.name)


def _refusal(role: str) -> AbstractContextManager[None]:
    return translate_errors(
        _("The database refuses to remove the role {role}.", role=role),
        _("repair the cause, then run the same command again; the colleague is locked out"),
    )
