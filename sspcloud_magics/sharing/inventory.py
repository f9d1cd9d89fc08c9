"""Inventory of existing shares, read from the cluster: correct after a restart and on another machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sspcloud_magics import share_keys
from sspcloud_magics.bounded_json import parse
from sspcloud_magics.cluster.api.api_errors import report_malformed
from sspcloud_magics.cluster.api.resources import JOBS, ROLE_BINDINGS, SECRETS, Resource
from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.cluster.requests import object_reads
from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.errors import Forbidden
from sspcloud_magics.secret import without_frames
from sspcloud_magics.sharing import role_sql

REMOVABLE = ("ended", "orphaned")
"""The states of shares that belong to no colleague any more and can be removed."""

_OURS = f"{share_keys.MANAGED_BY}={share_keys.OWNER},{share_keys.DATABASE}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share as the cluster's objects describe it."""

    # The shared database and its namespace.
    database: str
    namespace: str
    colleague: str  # the name of the colleague
    access: str  # ``read-only`` or ``read-write``
    schemas: tuple[str, ...]  # the shared schemas
    until: datetime  # the expiry
    reason: str  # the owner's reason; may be empty
    role: str  # the colleague's Postgres role
    name: str  # the name of its objects in the cluster
    has_job: bool  # whether a Job ends it automatically
    complete: bool  # whether its Secret and its RoleBinding exist; True if they may not be listed
    orphaned: bool = False  # whether its database no longer exists
    create: bool = False  # whether the owner let the colleague create in the shared schemas
    kind: str = "postgres"  # the kind of database

    @property
    def state(self) -> str:
        """``open``, ``incomplete``, ``ended`` or ``orphaned``."""
        if self.orphaned:
            return "orphaned"
        if self.until <= datetime.now(UTC):
            return "ended"
        return "open" if self.complete else "incomplete"


@dataclass(frozen=True, slots=True)
class ShareRole:
    """The Postgres role of a share."""

    name: str  # the role
    sessions: int  # the number of its open sessions
    since: datetime | None  # the start of the oldest session; None without sessions
    until: datetime  # the end of its password; now, if that is still to come
    valid_until: str = ""  # the end of its password, as the server writes it


@without_frames  # the listed Secrets contain their values until these are removed
def list_shares(cluster: Cluster, database: str | None = None, namespace: str | None = None) -> list[Share]:
    """List the shares of a namespace.

    Returns
    -------
    list of Share
        By database and colleague. A share whose creation was interrupted is listed as incomplete.

    Raises
    ------
    Forbidden
        If you may not list Jobs.
    """
    where = namespace or cluster.namespace
    jobs = _list_ours(cluster, JOBS, where)
    # A notebook service with the role `edit` may not list RoleBindings; with `view`, Secrets neither.
    bound, secret = _list_if_allowed(cluster, ROLE_BINDINGS, where), _list_if_allowed(cluster, SECRETS, where)
    found: dict[str, Mapping[str, Any]] = {**(bound or {}), **(secret or {})}
    for job in jobs:
        if not job["metadata"].get("deletionTimestamp"):
            found[job["metadata"]["name"]] = job
    kept = {job["metadata"]["name"] for job in jobs}
    with report_malformed(cluster):
        shares = [
            _read_share(
                item,
                has_job=name in kept,
                complete=all(seen is None or name in seen for seen in (bound, secret)),
            )
            for name, item in found.items()
        ]
    wanted = [share for share in shares if database in (None, share.database)]
    return sorted(wanted, key=lambda share: (share.database, share.colleague))


@dataclass(frozen=True, slots=True)
class EndedShare:
    """The remains of a share that has ended."""

    share: Share
    # If only its role is left, the role's expiry when it was found; None if its objects are left too.
    valid_until: str | None = None
    # The formatted SQL that removes the role; empty if it was not requested or the role does not exist.
    sql: str = ""


@dataclass(frozen=True, slots=True)
class Inventory:
    """The shares of one database, in the cluster and on the server."""

    database: Database
    roles: Sequence[ShareRole]  # the server's roles of shares
    # The shares in the cluster, listed after the roles, because a share's Job is created before its role.
    shares: Sequence[Share]

    @property
    def ended(self) -> list[EndedShare]:
        """The remains of ended shares: objects that no Job could end, and roles left behind."""
        return [EndedShare(share) for share in self.shares if share.state == "ended"] + self.left_behind

    @property
    def left_behind(self) -> list[EndedShare]:
        """The roles whose shares are gone from the cluster."""
        needed = {share.role for share in self.shares}
        return [
            EndedShare(_share_of_role(self.database, role), role.valid_until)
            for role in self.roles
            if role.name not in needed
        ]

    @property
    def creators(self) -> frozenset[str]:
        """The roles that the owner lets create in the shared schemas."""
        return frozenset(share.role for share in self.shares if share.create)


def take_inventory(cluster: Cluster, connection: DatabaseConnection, database: Database) -> Inventory:
    """Read the shares of a database and the roles of its server."""
    roles = list_roles(connection)
    return Inventory(database, roles, list_shares(cluster, database.name, database.namespace))


def list_roles(connection: DatabaseConnection) -> list[ShareRole]:
    """List the server's roles of shares."""
    return [ShareRole(*row) for row in connection.psycopg.execute(role_sql.ROLES).fetchall()]


def _share_of_role(database: Database, role: ShareRole) -> Share:
    """Describe a share of which only the Postgres role is left."""
    colleague = role.name.removeprefix(share_keys.ROLE_PREFIX)
    return Share(
        database=database.name,
        namespace=database.namespace,
        colleague=colleague,
        access="",
        schemas=(),
        until=role.until,
        reason="",
        role=role.name,
        name=share_keys.share_name(database.name, colleague),
        has_job=False,
        complete=False,
        kind=database.kind,
    )


def _list_ours(cluster: Cluster, resource: Resource, namespace: str) -> list[dict[str, Any]]:
    return object_reads.list_objects(cluster, resource, namespace, label_selector=_OURS)


def _list_if_allowed(
    cluster: Cluster, resource: Resource, namespace: str
) -> dict[str, dict[str, Any]] | None:
    """Return the objects by name, without the values of Secrets; None if you may not list them."""
    try:
        listed = _list_ours(cluster, resource, namespace)
    except Forbidden:
        return None
    for item in listed:
        item.pop("data", None)
    return {item["metadata"]["name"]: item for item in listed}


def _parse_schemas(text: str) -> tuple[str, ...]:
    try:
        named = parse(text)
    except ValueError:
        return ()  # edited by hand
    return tuple(map(str, named)) if isinstance(named, list) else ()


def _read_share(item: Mapping[str, Any], *, has_job: bool, complete: bool) -> Share:
    metadata = item["metadata"]
    labels, annotations = metadata["labels"], metadata.get("annotations") or {}
    until = annotations.get(share_keys.UNTIL)
    return Share(
        database=labels[share_keys.DATABASE],
        namespace=metadata["namespace"],
        colleague=labels.get(share_keys.COLLEAGUE, ""),
        access=annotations.get(share_keys.ACCESS, share_keys.READ_ONLY),
        schemas=_parse_schemas(annotations.get(share_keys.SCHEMAS, "[]")),
        until=datetime.fromisoformat(until) if until else datetime.max.replace(tzinfo=UTC),
        reason=annotations.get(share_keys.REASON, ""),
        role=annotations.get(share_keys.ROLE, ""),
        name=metadata["name"],
        has_job=has_job,
        complete=complete,
        create=annotations.get(share_keys.CREATE) == "true",
        kind=annotations.get(share_keys.KIND, "postgres"),
    )
