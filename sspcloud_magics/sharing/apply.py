"""Apply a share plan: create the Job that is the share, the Postgres role, and the objects that the Job owns.

The order makes every interruption harmless. The Job comes first, so that everything after it expires. The role follows,
and then the Secret and the permissions, without which the role is unusable. No step changes what is already right:
the same command again completes an interrupted share, and renews an existing one.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from sspcloud_magics import share_keys
from sspcloud_magics.cluster.api.api_errors import Conflict, NotFound, report_malformed
from sspcloud_magics.cluster.api.resources import (
    JOBS,
    NETWORK_POLICIES,
    ROLE_BINDINGS,
    ROLES,
    SECRETS,
    Resource,
)
from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.cluster.requests import object_reads, object_writes
from sspcloud_magics.databases import credentials
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.errors import Forbidden, ServerError
from sspcloud_magics.i18n import _, _n
from sspcloud_magics.secret import Secret
from sspcloud_magics.sharing import advisories, manifests, rendering, revoke, role_sql
from sspcloud_magics.sharing.excess_privileges import narrow
from sspcloud_magics.sharing.handover import list_owned, make_archive
from sspcloud_magics.sharing.lock_watch import describe_ended_sessions, watch_locks
from sspcloud_magics.sharing.manifests import Manifest, PlannedObjects, PlannedShare
from sspcloud_magics.sharing.plan import ClusterPlan, SharePlan
from sspcloud_magics.sharing.superuser import translate_errors

_RESOURCES: dict[str, Resource] = {
    "Secret": SECRETS,
    "Role": ROLES,
    "RoleBinding": ROLE_BINDINGS,
    "NetworkPolicy": NETWORK_POLICIES,
}
_PASSWORD_BYTES = 24
"""Random bytes of a password: 192 bits."""

_TRIES = 5
"""Attempts to create a share's objects while another session deletes its Job."""

_DELETION_SECONDS = 30.0
"""Longest wait for a Job's deletion, in seconds: the garbage collector needs several on a busy cluster."""

_POLL_SECONDS = 0.2
"""Seconds between two attempts to create a Job."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, repr=False)
class ShareResult(rendering.ShareDisplay):
    """The result of `apply_plan`.

    Parameters
    ----------
    shares
        The shares that exist now.
    notes
        Notes for the owner, one sentence each.
    """

    shares: tuple[PlannedShare, ...]
    notes: tuple[str, ...]


def apply_plan(
    cluster: Cluster,
    connection: DatabaseConnection,
    plan: SharePlan,
    removed: Sequence[revoke.RevokeResult],
    progress: Callable[[str], None],
) -> ShareResult:
    """Revoke excess privileges, then create, complete or renew the shares of a plan.

    Raises
    ------
    Forbidden
        If a permission in the namespace is missing: names it, and the role to relaunch with.
    QueryFailed
        If the server refuses a statement.
    """
    notes = [*(each.words for each in removed), *narrow(connection, plan.creators), *plan.notes]
    ca = credentials.authority(cluster, plan.database)
    ensure_role = partial(_ensure_role, connection, plan)
    return apply_shares(cluster, plan, ca, ensure_role, notes=notes, progress=progress)


def apply_shares(
    cluster: Cluster,
    plan: ClusterPlan,
    ca: str | None,
    ensure_login: Callable[[PlannedShare, Secret], list[str]],
    *,
    notes: list[str],
    progress: Callable[[str], None],
) -> ShareResult:
    """Create, complete or renew the shares of a plan, for any kind of database.

    Parameters
    ----------
    cluster, plan
        The owner's cluster, and the plan.
    ca
        The certificate authority of the server; None if it has none.
    ensure_login
        Creates or renews the login of a share with this password, and returns notes.
    notes
        The notes so far.
    progress
        Called with a description of each step.
    """
    for share in plan.shares:
        progress(_("sharing {database} with {name}", database=share.database, name=share.colleague.name))
        _log.info("sharing %s/%s as %s", share.namespace, share.database, share.name)
        job_uid, refused = _try_job(cluster, share)
        progress(_("creating the role {role}", role=share.role))
        kept = object_reads.secret(cluster, share.name, share.namespace)
        password = (kept.value(share_keys.PASSWORD) if kept else None) or Secret(
            secrets.token_urlsafe(_PASSWORD_BYTES)
        )
        notes += ensure_login(share, password)
        progress(
            _(
                "granting {name} permissions in {namespace}",
                name=share.colleague.name,
                namespace=share.namespace,
            )
        )
        apply_owned(
            cluster,
            share,
            job_uid,
            partial(plan.manifests, share, password, ca),
            partial(_try_job_again, cluster, share),
        )
        if refused:
            notes = [refused, *(note for note in notes if note != _(advisories.ENDS))]
        if not plan.network:  # an earlier share may have opened the network
            _delete_network_policy(cluster, share)
    return ShareResult(plan.shares, rendering.sort_notes(notes))


def apply_owned(
    cluster: Cluster,
    share: PlannedObjects,
    job_uid: str | None,
    build: Callable[[str | None], Sequence[Manifest]],
    ensure: Callable[[], str | None],
) -> None:
    """Create or update the objects that the Job of a share owns.

    Parameters
    ----------
    job_uid
        The Job's uid; None if the cluster refuses Jobs.
    build
        Builds the objects for a uid.
    ensure
        Creates the Job again after its deletion.

    Raises
    ------
    ServerError
        If another session keeps deleting the Job.
    """
    for _unused in range(_TRIES):
        if _apply(cluster, build(job_uid)) and (job_uid is None or _job_exists(cluster, share, job_uid)):
            return
        # The share was revoked a moment ago, and the garbage collector still deletes what its Job owned.
        job_uid = ensure()
    raise ServerError(
        _("Another session of yours is revoking the share with {name}.", name=share.colleague.name),
        hint=_("wait until it is done, then run the same command again"),
    )


def _apply(cluster: Cluster, owned: Sequence[Manifest]) -> bool:
    """Create or update the objects of a share; return whether none of them disappeared in between."""
    try:
        for manifest in owned:
            object_writes.apply_object(cluster, _RESOURCES[manifest["kind"]], manifest)
    except NotFound:
        return False
    return True


def _job_exists(cluster: Cluster, share: PlannedObjects, job_uid: str) -> bool:
    """Whether the Job of a share exists and is not being deleted."""
    try:
        metadata = object_reads.get_object(cluster, JOBS, share.name, share.namespace)["metadata"]
    except NotFound:
        return False
    return metadata.get("uid") == job_uid and not metadata.get("deletionTimestamp")


def _delete_network_policy(cluster: Cluster, share: PlannedShare) -> None:
    try:
        object_writes.delete_object(cluster, NETWORK_POLICIES, share.name, share.namespace)
    except Forbidden:
        return  # an owner without this permission could not create a policy either


def _try_job(cluster: Cluster, share: PlannedShare) -> tuple[str | None, str]:
    """Create the Job, or move its deadline; return its uid, or None and a note if Jobs are refused."""
    try:
        return ensure_job(cluster, share), ""
    except Forbidden as error:
        why = error.why or error.what
        return None, rendering.Risk(
            _(
                "The cluster refuses the Job that would end the share automatically ({why}). The login ends "
                "on time, but the permissions in the cluster remain until your next %share_db or %unshare.",
                why=why,
            )
            if share.kind == "postgres"
            else _(
                "The cluster refuses the Job that would end the share automatically ({why}): "
                "it remains until your next %share_db or %unshare.",
                why=why,
            )
        )


def _try_job_again(cluster: Cluster, share: PlannedShare) -> str | None:
    return _try_job(cluster, share)[0]


def ensure_job(cluster: Cluster, share: PlannedObjects) -> str:
    """Create the Job of a share, or move its deadline; return its uid.

    Raises
    ------
    Forbidden
        If the cluster refuses Jobs.
    """
    until = time.monotonic() + _DELETION_SECONDS
    while True:
        try:
            return _create_or_renew_job(cluster, share)
        # Another session of the owner was faster, or the previous Job is still being deleted.
        except Conflict:
            if time.monotonic() > until:
                raise
            time.sleep(_POLL_SECONDS)


def _create_or_renew_job(cluster: Cluster, share: PlannedObjects) -> str:
    wanted = manifests.job(share)
    try:
        found = object_reads.get_object(cluster, JOBS, share.name, share.namespace)
    except NotFound:
        found = None
    if found is None or found["metadata"].get("deletionTimestamp"):
        job = object_writes.create_object(cluster, JOBS, wanted)
    else:
        with report_malformed(cluster):
            renewed = _renew_job(found, wanted, share)
        job = object_writes.update_object(cluster, JOBS, renewed)
    with report_malformed(cluster):
        return str(job["metadata"]["uid"])


def _renew_job(found: Manifest, wanted: Manifest, share: PlannedObjects) -> Manifest:
    """Move the deadline of the Job, which counts from the Job's start."""
    started = (found.get("status") or {}).get("startTime") or found["metadata"]["creationTimestamp"]
    elapsed = datetime.now(UTC) - datetime.fromisoformat(started)
    deadline = int((elapsed + share.duration).total_seconds())
    metadata = {
        **found["metadata"],
        "labels": {**(found["metadata"].get("labels") or {}), **wanted["metadata"]["labels"]},
        "annotations": {**(found["metadata"].get("annotations") or {}), **wanted["metadata"]["annotations"]},
    }
    return {**found, "metadata": metadata, "spec": {**found["spec"], "activeDeadlineSeconds": deadline}}


def _ensure_role(
    connection: DatabaseConnection, plan: SharePlan, share: PlannedShare, password: Secret
) -> list[str]:
    """Create or renew the Postgres role, all or nothing; return notes for the owner."""
    session, privileges = connection.psycopg, share.privileges
    verifier = session.pgconn.encrypt_password(
        password.reveal().encode(), share.role.encode(), b"scram-sha-256"
    ).decode()
    notes: list[str] = []
    refusal = translate_errors(
        _("The database refuses to create the role of {name}.", name=share.colleague.name),
        _("repair the cause, then run the same command again: it completes the share"),
    )
    with refusal, watch_locks(connection) as watch:
        handover = None
        if not privileges.read_write and list_owned(session, share.role):
            sessions = revoke.lock_out(connection, share.role)
            notes += [
                _n(
                    "{count} open session of {role} ended.",
                    "{count} open sessions of {role} ended.",
                    sessions or 0,
                    role=share.role,
                )
            ] * bool(sessions)
            handover = revoke.hand_over_objects(session, share.role)
        with session.transaction():
            session.execute(role_sql.LOCK_ROLES)
            exists, own_schema = session.execute(role_sql.ROLE_EXISTS, {"role": share.role}).fetchone() or (
                False,
                False,
            )
            now = replace(share, exists=exists, own_schema=own_schema, handover=handover)
            keeps_archive = privileges.read_write and privileges.schema_owner == role_sql.ARCHIVE
            archive = make_archive(session) if keeps_archive else []
            colleagues = session.execute(role_sql.COLLEAGUES).fetchall()
            role_sql.run(session, archive + plan.statements(now, verifier, colleagues))
    return notes + describe_ended_sessions(watch)
