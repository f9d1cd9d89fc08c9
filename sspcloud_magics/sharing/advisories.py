"""What an owner ought to know of a share before it is made: one sentence each, of this database as it is now.

Some of it cannot be granted or taken from one role alone (what PUBLIC may do), some cannot be known (whether an
account exists), and some surprises those who have read the name of a policy and not its selector.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import psycopg

from sspcloud_magics.cluster.api.api_errors import NotFound, report_malformed
from sspcloud_magics.cluster.api.resources import CNPG_CLUSTERS, NETWORK_POLICIES
from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.cluster.requests import object_reads
from sspcloud_magics.cluster.workloads import inventory
from sspcloud_magics.cluster.workloads.inventory import TargetPort
from sspcloud_magics.databases.discovery import CNPG, Database
from sspcloud_magics.errors import Forbidden
from sspcloud_magics.sharing import network_policies, role_sql
from sspcloud_magics.sharing.colleagues import Colleague
from sspcloud_magics.sharing.handover import Handover
from sspcloud_magics.sharing.rendering import join_names
from sspcloud_magics.sharing.role_sql import ARCHIVE

ENDS = "At its end no new login and no new tunnel is possible."

_NAMED = 5
"""So many things are named; of more, their number is said."""


def warn_spelling(colleagues: Sequence[Colleague]) -> str:
    """Return that nobody can tell whether an account exists."""
    names = join_names([each.name for each in colleagues])
    return (
        f"Nothing here tells whether an account or a namespace exists: check the spelling of {names}. "
        "%unshare takes back what went to a wrong name."
    )


def warn_ending(session: psycopg.Connection[Any]) -> list[str]:
    """Return how a share ends, as far as the owner may be surprised."""
    said = [ENDS]
    said.append(
        "A session that is open at the end may live on, and the Postgres role does, until your next %share_db or "
        "%unshare; %shares shows them."
    )
    if session.pgconn.server_version >= role_sql.IDLE_TIMEOUT_SINCE:
        hours = f"{role_sql.IDLE_TIMEOUT.total_seconds() / 3600:g} h"
        said.append(
            f"A session that does nothing for {hours} is ended by the server, inside a transaction too, unless the colleague "
            "has switched that off (idle_session_timeout, idle_in_transaction_session_timeout)."
        )
    return said


def warn_writing(roles: Sequence[str], shared: Sequence[str], *, create: bool) -> list[str]:
    """Return what read-write means."""
    own = join_names(roles) if len(roles) <= _NAMED else f"{roles[0]} and the like"
    said = [
        f"What they create goes into a schema of their own ({own}), which you and the other colleagues may read."
    ]
    if create:
        said.insert(
            0,
            f"They may create functions and operators in {join_names(shared)}. Those run with the rights of the person whose "
            "query names them, and a query may name them by accident: with your rights in your own queries.",
        )
    return said


def describe_handover(role: str, given: Handover, dbname: str = "") -> str:
    """Return what becomes of what a role has made, in one sentence; the database is named where it is another one."""
    where = f" in {dbname}" if dbname else ""
    parts = []
    if given.data:
        parts.append(
            f"{_some(given.data, 'objects')} {'is' if len(given.data) == 1 else 'are'} {given.heir}'s now"
        )
    if given.kept:
        parts.append(
            f"{_some(given.kept, 'objects')} stay with the role {ARCHIVE}, since even reading them may run code "
            "(a superuser reads them by COPY … TO, which does not)"
        )
    if given.code:
        parts.append(
            f"code stays with the role {ARCHIVE}, where no other user can run it ({_some(given.code, 'objects')})"
        )
    if given.dropped:
        parts.append(f"dropped, since it called such code or might: {_some(given.dropped, 'parts')}")
    return f"What {role} has made{where}: {'; '.join(parts)}."


def ports(
    cluster: Cluster, database: Database, labels: Mapping[str, str], open_ports: Sequence[TargetPort]
) -> list[str]:
    """Return which ports of the pod a forward reaches: the cluster cannot grant one port alone."""
    named = join_names(
        [f"{port.number} ({port.name})" if port.name else str(port.number) for port in open_ports]
    )
    said = [
        f"A forward reaches every port of the pod ({named or 'none is declared'}), also those for its own use (localhost)."
    ]
    backups = _has_backups(cluster, database) if CNPG in labels else False
    if backups:
        said.insert(
            0,
            "This database has backups, and a forward reaches the port of its pod that gives out the credentials of their "
            "object store (8010). --via network-only opens the port of the database alone.",
        )
    elif backups is None:
        said.append(
            "Where backups of this database are configured, which cannot be read here, port 8010 of its pod gives out the "
            "credentials of their object store: --via network-only opens the port of the database alone."
        )
    return said


def _has_backups(cluster: Cluster, database: Database) -> bool | None:
    """Return whether the operator keeps backups of a database; None where that may not be read."""
    try:
        found = object_reads.get_object(cluster, CNPG_CLUSTERS, database.name, database.namespace)
    except Forbidden:
        return None
    except NotFound:
        return False
    spec = found.get("spec") or {}
    return bool(spec.get("backup") or spec.get("plugins") or spec.get("externalClusters"))


def schemas(every: Sequence[str], chosen: Sequence[str]) -> list[str]:
    """Return what becomes of schemas that are made later, where all of today's are shared."""
    if set(every) != set(chosen):
        return []
    return ["A schema that is made later is not shared before you give the same command again."]


def public(
    session: psycopg.Connection[Any], shared: Sequence[str], gone: Collection[str], *, read_write: bool
) -> list[str]:
    """Return what PUBLIC may do in the database, and thus a colleague too, whatever was granted.

    Parameters
    ----------
    session
        The superuser's, in that database.
    shared
        The schemas that are opened.
    gone
        The roles that are removed before: with them, what PUBLIC may do with their objects.
    read_write
        Whether the colleague may write: then there is little to be surprised at.
    """
    said = []
    values = {"schemas": list(shared), "gone": list(gone)}
    others = [name for (name,) in session.execute(role_sql.OTHER_DATABASES).fetchall()]
    if others:
        said.append(
            f"PUBLIC may connect to the other databases of this server ({join_names(others)}); nothing is granted in them."
        )
    acting = [name for (name,) in session.execute(role_sql.PUBLIC_DEFINERS, values).fetchall()]
    if acting:
        said.append(
            f"PUBLIC may call {_some(acting, 'functions')}, which act with the rights of their owner (SECURITY DEFINER), "
            "and so may the colleague: REVOKE EXECUTE ON FUNCTION … FROM PUBLIC takes it from everybody."
        )
    if read_write:
        return said
    temporary, create = session.execute(role_sql.PUBLIC_RIGHTS).fetchone() or (False, False)
    if temporary:
        said.append(
            "PUBLIC may make temporary tables and large objects; the role's transactions begin read-only, which the "
            "colleague could switch off. The rights on your tables hold all the same."
        )
    if create:
        said.append(
            "PUBLIC may create tables in the schema public, as before PostgreSQL 15, and that cannot be taken from "
            "one role alone: REVOKE CREATE ON SCHEMA public FROM PUBLIC takes it from everybody."
        )
    written = [name for (name,) in session.execute(role_sql.PUBLIC_WRITES, values).fetchall()]
    if written:
        said.append(
            f"PUBLIC may write to {_some(written, 'tables')}, and so may the colleague, who could switch off read-only: "
            "REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON … FROM PUBLIC takes it from everybody."
        )
    return said


def _some(names: Sequence[str], noun: str) -> str:
    return join_names(names) if len(names) <= _NAMED else f"{len(names)} {noun}, such as {names[0]}"


def network(
    cluster: Cluster,
    database: Database,
    labels: Mapping[str, str],
    admitted: Sequence[str],
    gone: Collection[str],
) -> list[str]:
    """Return what is true of the network today, and what a policy changes.

    Parameters
    ----------
    cluster, database
        Where, and which.
    labels
        Those of the database's pod.
    admitted
        The namespaces that are to be let in; none where no policy is made.
    gone
        The names of the policies that are removed before.
    """
    try:
        found = object_reads.list_objects(cluster, NETWORK_POLICIES, database.namespace)
        pods = [pod.labels for pod in inventory.pods(cluster, database.namespace)]
    except Forbidden:
        return []
    with report_malformed(cluster):
        found = [policy for policy in found if policy["metadata"]["name"] not in gone]
        said = network_policies.observations(
            network_policies.list_policies_about(found, labels, database.name), labels, pods
        )
        is_selected = any(network_policies.selects(policy, labels) for policy in found)
    if not admitted:
        return said
    said = [sentence for sentence in said if sentence != network_policies.OPEN]
    if is_selected:
        said.append(
            f"The policy of this share lets {join_names(admitted)} in as well, and takes nothing away."
        )
    else:
        kept = [database.namespace, *(["the operator"] if CNPG in labels else []), *admitted]
        said.append(
            f"{network_policies.OPEN} From now on the network admits {join_names(kept)} to it, and nobody else: the policy of a share is the first "
            "that selects it. With the last of such shares the policy goes, and the port is open as before."
        )
    return said
