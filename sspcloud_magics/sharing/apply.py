"""Carrying out a plan: the Job that is the share, the Postgres role, and what the Job owns.

The order makes every interruption harmless. First the Job, so that whatever follows has an end; then the
role; then the Secret and the rights, without which the role is of no use to anybody. Each step leaves
alone what is right already, so running the same command again completes a share that was cut off, and
renews one that stands.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

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
from sspcloud_magics.secret import Secret
from sspcloud_magics.sharing import advisories, manifests, rendering, revoke, role_sql
from sspcloud_magics.sharing.excess_privileges import narrow
from sspcloud_magics.sharing.handover import list_owned, make_archive
from sspcloud_magics.sharing.lock_watch import describe_ended_sessions, watch_locks
from sspcloud_magics.sharing.manifests import Manifest, PlannedShare
from sspcloud_magics.sharing.plan import SharePlan
from sspcloud_magics.sharing.superuser import word_refusal

_RESOURCES: dict[str, Resource] = {
    "Secret": SECRETS,
    "Role": ROLES,
    "RoleBinding": ROLE_BINDINGS,
    "NetworkPolicy": NETWORK_POLICIES,
}
_PASSWORD_BYTES = 24
_TRIES = 5
_DELETION_SECONDS = 30.0
"""A Job goes when the collector has seen what it owns: on a busy cluster that takes some seconds."""
_POLL_SECONDS = 0.2

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, repr=False)
class ShareResult(rendering.Shown):
    """What `apply_plan` has made.

    Parameters
    ----------
    shares
        The shares that stand now.
    notes
        What the owner ought to know, one sentence each.
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
    """Remove what goes beyond the shares; then make the shares, complete them, or renew them.

    Parameters
    ----------
    removed
        What became of the plan's ended shares, which are gone.

    Raises
    ------
    Forbidden
        If a right in the namespace is missing: the error names it, and the role to relaunch with.
    QueryFailed
        If the server refuses a statement.
    """
    notes = [*(each.words for each in removed), *narrow(connection, plan.creators), *plan.notes]
    ca = credentials.authority(cluster, plan.database)
    for share in plan.shares:
        progress(f"sharing {share.database} with {share.colleague.name}")
        _log.info("%s/%s is shared as %s", share.namespace, share.database, share.name)
        job_uid, refused = _job(cluster, share)
        progress(f"making the role {share.role}")
        kept = object_reads.secret(cluster, share.name, share.namespace)
        password = (kept.value(share_keys.PASSWORD) if kept else None) or Secret(
            secrets.token_urlsafe(_PASSWORD_BYTES)
        )
        notes += _make_role(connection, plan, share, password)
        progress(f"giving {share.colleague.name} the rights in {share.namespace}")
        for _ in range(_TRIES):
            rights = plan.manifests(share, password, ca, job_uid)
            if _apply(cluster, rights) and (job_uid is None or _is_there(cluster, share, job_uid)):
                break
            # The share was taken back a moment ago: the garbage collector still takes what its Job owned.
            job_uid, refused = _job(cluster, share)
        else:
            raise ServerError(
                f"The share with {share.colleague.name} is being taken back by another session of yours.",
                hint="wait until it is done, then run the same command again",
            )
        if refused:
            notes = [refused, *(note for note in notes if note != advisories.ENDS)]
        if not plan.network:  # it was shared with the network open before
            _close_network(cluster, share)
    return ShareResult(plan.shares, tuple(notes))


def _apply(cluster: Cluster, rights: Sequence[Manifest]) -> bool:
    """Make or change the objects of a share; return whether none of them went away in between."""
    try:
        for manifest in rights:
            object_writes.apply_object(cluster, _RESOURCES[manifest["kind"]], manifest)
    except NotFound:
        return False
    return True


def _is_there(cluster: Cluster, share: PlannedShare, job_uid: str) -> bool:
    """Return whether the Job of a share stands, and is not being deleted."""
    try:
        metadata = object_reads.get_object(cluster, JOBS, share.name, share.namespace)["metadata"]
    except NotFound:
        return False
    return metadata.get("uid") == job_uid and not metadata.get("deletionTimestamp")


def _close_network(cluster: Cluster, share: PlannedShare) -> None:
    try:
        object_writes.delete_object(cluster, NETWORK_POLICIES, share.name, share.namespace)
    except Forbidden:
        return  # without the right to remove one, none was made


def _job(cluster: Cluster, share: PlannedShare) -> tuple[str | None, str]:
    """Make the Job, or move its deadline; return its uid, or None and what to say where Jobs are refused."""
    until = time.monotonic() + _DELETION_SECONDS
    while True:
        try:
            return _make_job(cluster, share)
        except (
            Conflict
        ):  # another session of the owner was faster, or the Job of before is still being deleted
            if time.monotonic() > until:
                raise
            time.sleep(_POLL_SECONDS)


def _make_job(cluster: Cluster, share: PlannedShare) -> tuple[str | None, str]:
    wanted = manifests.job(share)
    try:
        found = object_reads.get_object(cluster, JOBS, share.name, share.namespace)
    except NotFound:
        found = None
    try:
        if found is None or found["metadata"].get("deletionTimestamp"):
            job = object_writes.create_object(cluster, JOBS, wanted)
        else:
            with report_malformed(cluster):
                renewed = _renew_job(found, wanted, share)
            job = object_writes.update_object(cluster, JOBS, renewed)
    except Forbidden as error:
        return None, (
            f"The cluster refuses the Job that would end the share by itself ({error.why or error.what}). The login ends on "
            "time; the rights in the cluster end with your next session here, by %share_db or %unshare."
        )
    with report_malformed(cluster):
        return str(job["metadata"]["uid"]), ""


def _renew_job(found: Manifest, wanted: Manifest, share: PlannedShare) -> Manifest:
    """Return the Job with its deadline moved: it counts from the Job's start."""
    started = (found.get("status") or {}).get("startTime") or found["metadata"]["creationTimestamp"]
    elapsed = datetime.now(UTC) - datetime.fromisoformat(started)
    deadline = int((elapsed + share.duration).total_seconds())
    metadata = {
        **found["metadata"],
        "labels": {**(found["metadata"].get("labels") or {}), **wanted["metadata"]["labels"]},
        "annotations": {**(found["metadata"].get("annotations") or {}), **wanted["metadata"]["annotations"]},
    }
    return {**found, "metadata": metadata, "spec": {**found["spec"], "activeDeadlineSeconds": deadline}}


def _make_role(
    connection: DatabaseConnection, plan: SharePlan, share: PlannedShare, password: Secret
) -> list[str]:
    """Make or renew the Postgres role, all of it or nothing; return what the owner ought to know."""
    session, privileges = connection.psycopg, share.privileges
    verifier = session.pgconn.encrypt_password(
        password.reveal().encode(), share.role.encode(), b"scram-sha-256"
    ).decode()
    notes: list[str] = []
    refusal = word_refusal(
        f"The database refuses to make the role of {share.colleague.name}.",
        "run the same command again when it is repaired: it completes what is half made",
    )
    with refusal, watch_locks(connection) as watch:
        handover = None
        if not privileges.read_write and list_owned(session, share.role):
            sessions = revoke.lock_out(connection, share.role)
            notes += [f"{sessions} open session(s) of {share.role} were ended."] * bool(sessions)
            handover = revoke.hand_over_all_but_rights(session, share.role)
        with session.transaction():
            session.execute(role_sql.TAKE_TURN)
            exists, own_schema = session.execute(role_sql.STANDING, {"role": share.role}).fetchone() or (
                False,
                False,
            )
            now = replace(share, exists=exists, own_schema=own_schema, handover=handover)
            keeps_archive = privileges.read_write and privileges.keeper == role_sql.ARCHIVE
            archive = make_archive(session) if keeps_archive else []
            colleagues = session.execute(role_sql.COLLEAGUES).fetchall()
            role_sql.run(session, archive + plan.statements(now, verifier, colleagues))
    return notes + describe_ended_sessions(watch)
