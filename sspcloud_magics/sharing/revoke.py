"""Taking a share back: at once, with its live sessions, and without losing what the colleague has made.

Deleting the Job takes the Secret and the rights in the cluster. In the database the role is locked out first,
its sessions end, what it owns is handed over in each database of the server (`handover`), and then the role
goes. A role whose share has ended by itself is found by its comment, and goes the same way. Where the database cannot
be reached, what is in the cluster goes all the same, and the role is found by the next session.

Another session of the owner may share at the same moment. Each step that changes a role takes its turn
(`role_sql.TAKE_TURN`) and looks whether the role was renewed in between; a renewed role is left alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from sspcloud_magics.cluster.api.resources import JOBS, NETWORK_POLICIES, ROLE_BINDINGS, ROLES, SECRETS
from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.cluster.requests import object_writes
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.errors import Forbidden, QueryFailed
from sspcloud_magics.sharing import advisories, role_sql
from sspcloud_magics.sharing.handover import Handover, hand_over
from sspcloud_magics.sharing.inventory import EndedShare, Share, list_shares
from sspcloud_magics.sharing.lock_watch import describe_ended_sessions, watch_locks
from sspcloud_magics.sharing.superuser import word_refusal

# The Job goes last: as long as it is there, the share is listed, and an interrupted revocation is seen.
# Without a Job the Secret tells of it.
_IN_ORDER = (ROLE_BINDINGS, ROLES, NETWORK_POLICIES, SECRETS)

_SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE usename = %s"

# A session that is still logging in has passed the check of LOGIN, and its user is not known yet: it holds the lock of its
# transaction. It may take its time (post_auth_delay), so it is ended like the role's own.
_LOGGING_IN = """
SELECT l.pid FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'virtualxid' AND l.pid IS NOT NULL AND l.pid <> pg_backend_pid()
  AND (a.pid IS NULL OR (a.usesysid IS NULL AND a.backend_type = 'client backend'))
"""
_END_LOGINS = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'virtualxid' AND pid = ANY(%s)"
_END_SECONDS = 10.0
_END_POLL_SECONDS = 0.05
_TRIES = 3
_STATE = "SELECT coalesce(rolvaliduntil::text, ''), rolcanlogin FROM pg_roles WHERE rolname = %s"
_PREPARED = "SELECT gid FROM pg_prepared_xacts WHERE owner = %s AND database = current_database()"

Opener = Callable[[str], DatabaseConnection]
"""Opens the superuser's connection to one database of the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeResult:
    """What came of taking a share back, or of narrowing those that stand.

    Parameters
    ----------
    share
        Which was taken back; None where none was.
    sessions
        How many sessions of the colleague were ended.
    handovers
        What became of what the colleague had made, by database.
    notes
        What else the owner ought to know, one sentence each.
    role_left
        Why the Postgres role is still there; empty where it is not.
    """

    share: Share | None = None
    sessions: int = 0
    handovers: tuple[tuple[str, Handover], ...] = ()
    notes: tuple[str, ...] = ()
    role_left: str = ""

    @property
    def inherited(self) -> tuple[str, ...]:
        """The names of the tables and other data of the colleague that the owner has now."""
        return tuple(
            f"{name} ({dbname})" if dbname else name
            for dbname, given in self.handovers
            for name in given.data
        )

    @property
    def words(self) -> str:
        """What came of it, for the owner."""
        share = self.share
        if share is None:
            return " ".join(self.notes)
        said = [f"{share.database} is no longer shared with {share.colleague}."]
        if share.state == "ended":
            said = [f"What was left of the share of {share.database} with {share.colleague} is removed."]
        if self.sessions:
            said.append(f"{self.sessions} {'session was' if self.sessions == 1 else 'sessions were'} ended.")
        said += [advisories.describe_handover(share.role, given, dbname) for dbname, given in self.handovers]
        said += self.notes
        if self.role_left:
            said.append(
                f"Its rights in the cluster are gone, and the Postgres role {share.role} is still there: {self.role_left} "
                "%unshare --ended removes it, once that is repaired."
            )
        return " ".join(said)


def revoke_share(
    cluster: Cluster, share: Share, connection: DatabaseConnection, opener: Opener
) -> RevokeResult:
    """Revoke a share.

    Raises
    ------
    Forbidden
        If a right in the namespace is missing.
    QueryFailed
        If the server refuses a statement; the colleague is locked out all the same.
    """
    sessions = lock_out(connection, share.role)
    _revoke_rights(cluster, share)
    handovers, notes = remove_role(connection, share.role, opener)
    object_writes.delete_object(cluster, JOBS, share.name, share.namespace)
    return RevokeResult(share=share, sessions=sessions or 0, handovers=handovers, notes=notes)


def revoke_in_cluster(cluster: Cluster, share: Share, why: str) -> RevokeResult:
    """Take back what a share grants in the cluster, where its database cannot be reached or is gone.

    Parameters
    ----------
    cluster, share
        As for `revoke_share`.
    why
        Why the Postgres role stays; empty where the server is gone with it.
    """
    _revoke_rights(cluster, share)
    object_writes.delete_object(cluster, JOBS, share.name, share.namespace)
    return RevokeResult(share=share, role_left=why)


def _revoke_rights(cluster: Cluster, share: Share) -> None:
    for resource in _IN_ORDER:
        try:
            object_writes.delete_object(cluster, resource, share.name, share.namespace)
        except Forbidden:
            if not share.keeper:
                raise
            # The Job owns it and takes it along: for that, the rights of a notebook with `edit` are enough.


def lock_out(connection: DatabaseConnection, role: str, valid_until: str | None = None) -> int | None:
    """End a role's sessions, and let no new one begin.

    Parameters
    ----------
    connection
        The superuser's connection to the server.
    role
        Which.
    valid_until
        The end that the role had when it was looked at: a role that was renewed since then is left alone.

    Returns
    -------
    int or None
        How many sessions there were; None where the role is not there, or was renewed.
    """
    session = connection.psycopg
    with _refusal(role), watch_locks(connection), session.transaction():
        session.execute(role_sql.TAKE_TURN)
        state = session.execute(_STATE, [role]).fetchone()
        if state is None or (valid_until is not None and state[0] != valid_until):
            return None
        (sessions,) = session.execute(_SESSIONS, [role]).fetchone() or (0,)
        session.execute(role_sql.forbid_login(role))
    with _refusal(role):
        _end_sessions(session, role)
    return int(sessions)


def _end_sessions(session: psycopg.Connection[Any], role: str) -> None:
    """End the sessions of a role that may not log in, and wait until they are gone with what they had open.

    Raises
    ------
    QueryFailed
        If one does not go.
    """
    until = time.monotonic() + _END_SECONDS
    # Logins that begin later are refused, or are other users'.
    logging_in = [process for (process,) in session.execute(_LOGGING_IN).fetchall()]
    while True:
        # In this order: a login that ends in between is a session of the role then.
        left = session.execute(_END_LOGINS, [logging_in]).rowcount if logging_in else 0
        left += session.execute(role_sql.end_sessions(role)).rowcount
        if not left:
            return
        if time.monotonic() > until:
            raise QueryFailed(
                f"{left} session(s) of {role} do not end.",
                hint="the colleague is locked out; run the same command again in a minute",
            )
        time.sleep(_END_POLL_SECONDS)


def remove_role(
    connection: DatabaseConnection, role: str, opener: Opener
) -> tuple[tuple[tuple[str, Handover], ...], tuple[str, ...]]:
    """Hand over what a role that is locked out owns in each database, and drop it.

    Returns
    -------
    tuple
        What became of what it owned, by database, and what else the owner ought to know.
    """
    handovers: list[tuple[str, Handover]] = []
    notes: list[str] = []
    names = [dbname for (dbname,) in connection.psycopg.execute(role_sql.HELD_IN, [role]).fetchall()]
    # The role is dropped in the transaction that takes it out of the last database: nothing comes in between.
    for dbname in sorted(names, key=lambda name: name == connection.dbname):
        with _open_database(connection, dbname, opener) as there, _refusal(role):
            with watch_locks(there) as watch:
                handover = _leave(there.psycopg, role, last=there is connection)
            notes += describe_ended_sessions(watch)
        if handover is not None and (handover.data or handover.kept or handover.code):
            handovers.append(("" if there is connection else dbname, handover))
    return tuple(handovers), tuple(notes)


@contextmanager
def _open_database(
    connection: DatabaseConnection, dbname: str, opener: Opener
) -> Iterator[DatabaseConnection]:
    """Give the connection to one of the server's databases: the one that is open, or another one for the moment."""
    if dbname == connection.dbname:
        yield connection
        return
    other = opener(dbname)
    try:
        yield other
    finally:
        other.close()


def _leave(session: psycopg.Connection[Any], role: str, *, last: bool) -> Handover | None:
    """Take a role out of one database, and drop it in the last; return None where it was renewed, or is not there.

    The first steps may take long, so the last one looks again what the role owns, and lets nothing be added to it.
    """
    for (gid,) in session.execute(_PREPARED, [role]).fetchall():
        session.execute(sql.SQL("ROLLBACK PREPARED {}").format(sql.Literal(gid)))
    heir = role_sql.heir_of_database(session)
    first: Handover | None = None
    for attempt in range(_TRIES):
        try:
            while True:
                with session.transaction():
                    session.execute(role_sql.TAKE_TURN)
                    if not _is_locked_out(session, role):
                        return None
                    session.execute(role_sql.FREEZE)
                    handover = hand_over(session, role, heir, leaves=True)
                    first = first or handover
                    step, *more = handover.steps
                    ends = role_sql.drop(role) if last and len(more) == 0 else []
                    role_sql.run(session, [*step, *ends] if not more else step)
                if not more:
                    return first
        except (psycopg.errors.InternalError, psycopg.errors.DependentObjectsStillExist):
            # Another session has changed the same rows, or granted the role something, at this moment.
            if attempt == _TRIES - 1:
                raise
    return first


def hand_over_all_but_rights(session: psycopg.Connection[Any], role: str) -> Handover | None:
    """Hand over what a role that is locked out and stays owns in the current database.

    Returns
    -------
    Handover or None
        Its last step is what is left to be run, together with what the role may do from then on; None where the role was
        renewed.
    """
    heir = role_sql.heir_of_database(session)
    with _refusal(role):
        while True:
            with session.transaction():
                session.execute(role_sql.TAKE_TURN)
                if not _is_locked_out(session, role):
                    return None
                handover = hand_over(session, role, heir, leaves=False)
                if len(handover.steps) == 1:
                    return handover
                session.execute(role_sql.FREEZE)
                role_sql.run(session, handover.steps[0])


def _is_locked_out(session: psycopg.Connection[Any], role: str) -> bool:
    state = session.execute(_STATE, [role]).fetchone()
    return state is not None and not state[1]


def removal_sql(connection: DatabaseConnection, role: str, opener: Opener) -> str:
    """Return the SQL by which a role is removed, as a person reads it; empty where it is not there."""
    session = connection.psycopg
    if session.execute(_STATE, [role]).fetchone() is None:
        return ""
    parts = [role_sql.as_text([role_sql.forbid_login(role), role_sql.end_sessions(role)], at_once=False)]
    for (dbname,) in session.execute(role_sql.HELD_IN, [role]).fetchall():
        with _open_database(connection, dbname, opener) as there:
            heir = role_sql.heir_of_database(there.psycopg)
            handover = hand_over(there.psycopg, role, heir, leaves=True)
        where = "" if there is connection else f"-- in the database {dbname}\n"
        parts.append(where + "\n".join(map(role_sql.as_text, handover.steps)))
    return "\n".join([*parts, role_sql.as_text(role_sql.drop(role))])


def remove_ended(
    cluster: Cluster, connection: DatabaseConnection, opener: Opener, ended: Iterable[EndedShare]
) -> list[RevokeResult]:
    """Remove what has ended; what was renewed since it was found is left alone.

    Returns
    -------
    list of RevokeResult
        Those of which something was removed.
    """
    results = []
    for each in ended:
        if each.valid_until is None:
            if _has_ended(cluster, each.share):
                results.append(revoke_share(cluster, each.share, connection, opener))
        elif (sessions := lock_out(connection, each.share.role, each.valid_until)) is not None:
            handovers, notes = remove_role(connection, each.share.role, opener)
            results.append(
                RevokeResult(share=each.share, sessions=sessions, handovers=handovers, notes=notes)
            )
    return results


def _has_ended(cluster: Cluster, found: Share) -> bool:
    """Whether a share that had ended is still so, or gone."""
    shares = list_shares(cluster, found.database, found.namespace)
    return all(share.state == "ended" for share in shares if share.name == found.name)


def _refusal(role: str) -> AbstractContextManager[None]:
    return word_refusal(
        f"The database refuses a step of removing the role {role}.",
        "the colleague is locked out; run the same command again when it is repaired",
    )
