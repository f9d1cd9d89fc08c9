"""The shares that stand, read in the cluster: true after a restart, and on another machine."""

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

LEFT = ("ended", "orphaned")
"""The states of what belongs to nobody any more, and is to be removed."""

_OURS = f"{share_keys.MANAGED_BY}={share_keys.OWNER},{share_keys.DATABASE}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One share as the cluster has it.

    Parameters
    ----------
    database, namespace
        What is shared.
    colleague
        With whom.
    access
        ``read-only`` or ``read-write``.
    schemas
        The schemas that are opened.
    until
        When it ends.
    reason
        Why, in the owner's words.
    role
        The Postgres role.
    name
        The name of its objects.
    keeper
        Whether a Job ends it by itself.
    complete
        Whether the colleague can use it: their Secret and their rights are there, as far as one may see.
    orphaned
        Whether its database is there no more.
    create
        Whether the colleague may create in the shared schemas, because the owner has said so.
    """

    database: str
    namespace: str
    colleague: str
    access: str
    schemas: tuple[str, ...]
    until: datetime
    reason: str
    role: str
    name: str
    keeper: bool
    complete: bool
    orphaned: bool = False
    create: bool = False

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
    """A role of the server that a share has made.

    Parameters
    ----------
    name
        The role.
    sessions
        How many it has open now.
    since
        When the oldest of them began; None where there is none.
    until
        Since when it may not log in any more; now, if it still may.
    valid_until
        When its password ends, as the server writes it.
    """

    name: str
    sessions: int
    since: datetime | None
    until: datetime
    valid_until: str = ""


@without_frames  # the list of Secrets has their values, before they are dropped
def list_shares(cluster: Cluster, database: str | None = None, namespace: str | None = None) -> list[Share]:
    """Return the shares of a namespace.

    Returns
    -------
    list of Share
        By database and colleague. A share whose making was cut off is listed, as incomplete.

    Raises
    ------
    Forbidden
        If their Jobs may not be listed.
    """
    where = namespace or cluster.namespace
    jobs = _list_ours(cluster, JOBS, where)
    # A notebook with the role `edit` may read no RoleBindings, and one with `view` no Secrets either.
    bound, secret = _if_allowed(cluster, ROLE_BINDINGS, where), _if_allowed(cluster, SECRETS, where)
    found: dict[str, Mapping[str, Any]] = {**(bound or {}), **(secret or {})}
    for job in jobs:
        if not job["metadata"].get("deletionTimestamp"):
            found[job["metadata"]["name"]] = job
    kept = {job["metadata"]["name"] for job in jobs}
    with report_malformed(cluster):
        standing = [
            _read_share(
                item,
                keeper=name in kept,
                complete=all(seen is None or name in seen for seen in (bound, secret)),
            )
            for name, item in found.items()
        ]
    wanted = [share for share in standing if database in (None, share.database)]
    return sorted(wanted, key=lambda share: (share.database, share.colleague))


@dataclass(frozen=True, slots=True)
class EndedShare:
    """A share that has ended, of which something is left.

    Parameters
    ----------
    share
        Which.
    valid_until
        The end that its role had when it was found, where nothing but the role is left; None where its objects are, too.
    sql
        What removes the role, as a person reads it; empty where that is not asked for, or the role is not there.
    """

    share: Share
    valid_until: str | None = None
    sql: str = ""


@dataclass(frozen=True, slots=True)
class Inventory:
    """The shares of one database, in the cluster and on the server.

    Parameters
    ----------
    database
        Which.
    roles
        The roles of the server that shares have made.
    shares
        The shares in the cluster, listed after the roles: a share has its Job before its role.
    """

    database: Database
    roles: Sequence[ShareRole]
    shares: Sequence[Share]

    @property
    def ended(self) -> list[EndedShare]:
        """What has ended: shares that no Job could end, and roles that shares have left behind."""
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
        """The roles that may create in the shared schemas, because the owner has said so."""
        return frozenset(share.role for share in self.shares if share.create)


def take_inventory(cluster: Cluster, connection: DatabaseConnection, database: Database) -> Inventory:
    """Return the shares of a database, and the roles of its server."""
    roles = list_roles(connection)
    return Inventory(database, roles, list_shares(cluster, database.name, database.namespace))


def list_roles(connection: DatabaseConnection) -> list[ShareRole]:
    """Return the roles of the server that shares have made."""
    return [ShareRole(*row) for row in connection.psycopg.execute(role_sql.ROLES).fetchall()]


def _share_of_role(database: Database, role: ShareRole) -> Share:
    """Return a share of which nothing is left but its Postgres role."""
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
        keeper=False,
        complete=False,
    )


def _list_ours(cluster: Cluster, resource: Resource, namespace: str) -> list[dict[str, Any]]:
    return object_reads.list_objects(cluster, resource, namespace, label_selector=_OURS)


def _if_allowed(cluster: Cluster, resource: Resource, namespace: str) -> dict[str, dict[str, Any]] | None:
    """Return the objects by their names, without what a Secret holds; None where they may not be listed."""
    try:
        listed = _list_ours(cluster, resource, namespace)
    except Forbidden:
        return None
    for item in listed:
        item.pop("data", None)
    return {item["metadata"]["name"]: item for item in listed}


def _schemas(text: str) -> tuple[str, ...]:
    try:
        named = parse(text)
    except ValueError:
        return ()  # somebody has edited it by hand
    return tuple(map(str, named)) if isinstance(named, list) else ()


def _read_share(item: Mapping[str, Any], *, keeper: bool, complete: bool) -> Share:
    metadata = item["metadata"]
    labels, said = metadata["labels"], metadata.get("annotations") or {}
    until = said.get(share_keys.UNTIL)
    return Share(
        database=labels[share_keys.DATABASE],
        namespace=metadata["namespace"],
        colleague=labels.get(share_keys.COLLEAGUE, ""),
        access=said.get(share_keys.ACCESS, share_keys.READ_ONLY),
        schemas=_schemas(said.get(share_keys.SCHEMAS, "[]")),
        until=datetime.fromisoformat(until) if until else datetime.max.replace(tzinfo=UTC),
        reason=said.get(share_keys.REASON, ""),
        role=said.get(share_keys.ROLE, ""),
        name=metadata["name"],
        keeper=keeper,
        complete=complete,
        create=said.get(share_keys.CREATE) == "true",
    )
