"""Advisories for the owner before a share is created: one sentence each, about this database as it is now.

They report what cannot be granted to or revoked from a single role (privileges of PUBLIC), what cannot be known
(whether an account exists), and what surprises a reader of a policy's name who has not read its selector.
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
from sspcloud_magics.i18n import N_, _, _n, format_duration, format_list, format_number
from sspcloud_magics.sharing import network_policies, role_sql
from sspcloud_magics.sharing.colleagues import Colleague
from sspcloud_magics.sharing.handover import Handover
from sspcloud_magics.sharing.rendering import Risk
from sspcloud_magics.sharing.role_sql import ARCHIVE

ENDS = N_("After the share ends, new logins and new tunnels are refused.")

_NAMED = 5
"""List at most this many names; beyond that, give the count."""


def warn_spelling(colleagues: Sequence[Colleague]) -> str:
    """Warn that the spelling of accounts cannot be checked."""
    # Without the names: the sentence before this one has them.
    return _n(
        "The cluster does not say whether an account exists: check the spelling of the name. "
        "%unshare revokes a share with a wrong name.",
        "The cluster does not say whether an account exists: check the spelling of the names. "
        "%unshare revokes a share with a wrong name.",
        len(colleagues),
    )


def describe_renewal(again: Sequence[str], count: int) -> str:
    """Describe the change of shares that exist already.

    Parameters
    ----------
    again
        The colleagues who have a share already.
    count
        The number of all colleagues of this share.
    """
    if len(again) == count:
        return _n(
            "A share existed already; it changes to this one and keeps its password.",
            "Shares existed already; they change to these and keep their passwords.",
            count,
        )
    return _n(
        "{names} already had a share, which changes to this one and keeps its password.",
        "{names} already had shares, which change to these and keep their passwords.",
        len(again),
        names=_some(again, N_("{count} colleagues, such as {example},")),
    )


def warn_ending(session: psycopg.Connection[Any]) -> list[str]:
    """Describe the end of a share, as far as it may surprise the owner."""
    notes = [
        _(ENDS),
        _(
            "Sessions that are open then may continue, and the Postgres role remains, until your next %share_db or "
            "%unshare; %shares shows them."
        ),
    ]
    if session.pgconn.server_version >= role_sql.IDLE_TIMEOUT_SINCE:
        notes.append(
            _(
                "The server ends sessions that are idle for {duration}, also inside a transaction, unless the colleague "
                "turns that off (idle_session_timeout, idle_in_transaction_session_timeout).",
                duration=format_duration(role_sql.IDLE_TIMEOUT),
            )
        )
    return notes


def warn_writing(roles: Sequence[str], shared: Sequence[str], *, create: bool) -> list[str]:
    """Describe read-write access."""
    own = roles[0] if len(roles) == 1 else _("{role} and the like", role=roles[0])
    notes = [
        _(
            "They create objects in a schema of their own ({own}), which you and the other colleagues may read.",
            own=own,
        )
    ]
    if create:
        notes.insert(
            0,
            Risk(
                _(
                    "They may create functions and operators in {shared}. These run with the privileges of the user "
                    "whose query calls them, even by accident: in your queries, with yours.",
                    shared=format_list(shared),
                )
            ),
        )
    return notes


def describe_handover(role: str, given: Handover, dbname: str = "") -> str:
    """Describe the handover of a role's objects in one sentence.

    Parameters
    ----------
    dbname
        The database, if it is not the one of the connection.
    """
    parts = []
    if given.data:
        parts.append(
            _n(
                "{objects} now belongs to {heir}",
                "{objects} now belong to {heir}",
                len(given.data),
                objects=_some(given.data, _MANY_OBJECTS),
                heir=given.heir,
            )
        )
    if given.kept:
        parts.append(
            _(
                "the role {archive} keeps {objects}, since even reading them may run code "
                "(a superuser's COPY … TO does not)",
                archive=ARCHIVE,
                objects=_some(given.kept, _MANY_OBJECTS),
            )
        )
    if given.code:
        parts.append(
            _(
                "the role {archive} keeps the code, which no other user can run ({objects})",
                archive=ARCHIVE,
                objects=_some(given.code, _MANY_OBJECTS),
            )
        )
    if given.dropped:
        parts.append(
            _(
                "dropped, since they may call such code: {parts}",
                parts=_some(given.dropped, N_("{count} parts, such as {example}")),
            )
        )
    if dbname:
        return _("Objects of {role} in {dbname}: {parts}.", role=role, dbname=dbname, parts="; ".join(parts))
    return _("Objects of {role}: {parts}.", role=role, parts="; ".join(parts))


def warn_ports(
    cluster: Cluster, database: Database, labels: Mapping[str, str], open_ports: Sequence[TargetPort]
) -> list[str]:
    """Name the ports of the pod that a forward reaches: the cluster cannot grant a single port."""
    ports = [f"{port.number} ({port.name})" if port.name else str(port.number) for port in open_ports]
    notes = [
        _(
            "A forward reaches every port of the pod ({ports}), including those on its localhost.",
            ports=format_list(ports),
        )
        if ports
        else _(
            "A forward reaches every port of the pod (none is declared), including those on its localhost."
        )
    ]
    backups = _has_backups(cluster, database) if CNPG in labels else False
    if backups:
        notes.insert(
            0,
            Risk(
                _(
                    "This database has backups, and a forward reaches port 8010 of its pod, which serves the credentials of their "
                    "object store. --via network-only opens only the database's port."
                )
            ),
        )
    elif backups is None:
        notes.append(
            _(
                "If this database has backups, which you may not check, port 8010 of its pod serves the credentials of their "
                "object store: --via network-only opens only the database's port."
            )
        )
    return notes


def _has_backups(cluster: Cluster, database: Database) -> bool | None:
    """Whether the operator keeps backups of a database; None if you may not read that."""
    try:
        found = object_reads.get_object(cluster, CNPG_CLUSTERS, database.name, database.namespace)
    except Forbidden:
        return None
    except NotFound:
        return False
    spec = found.get("spec") or {}
    return bool(spec.get("backup") or spec.get("plugins") or spec.get("externalClusters"))


def warn_later_schemas(every: Sequence[str], chosen: Sequence[str]) -> list[str]:
    """Warn that a share of all schemas does not include later ones."""
    if set(every) != set(chosen):
        return []
    return [_("Schemas created later are not shared until you run the same command again.")]


def warn_public(
    session: psycopg.Connection[Any], shared: Sequence[str], gone: Collection[str], *, read_write: bool
) -> list[str]:
    """Report the privileges of PUBLIC in the database, which a colleague has too.

    Parameters
    ----------
    session
        The superuser's, in that database.
    shared
        The schemas to share.
    gone
        The roles that are removed first; what PUBLIC may do with their objects ends with them.
    read_write
        Whether the colleague may write anyway.
    """
    notes = []
    values = {"schemas": list(shared), "gone": list(gone)}
    others = [name for (name,) in session.execute(role_sql.OTHER_DATABASES).fetchall()]
    if others:
        notes.append(
            _(
                "PUBLIC may connect to the server's other databases ({others}); this share grants nothing there.",
                others=_some(others, N_("{count} databases, such as {example}")),
            )
        )
    acting = [name for (name,) in session.execute(role_sql.PUBLIC_DEFINERS, values).fetchall()]
    if acting:
        notes.append(
            Risk(
                _(
                    "PUBLIC may execute {functions} with their owner's privileges (SECURITY DEFINER), and so may "
                    "the colleague: REVOKE EXECUTE ON FUNCTION … FROM PUBLIC revokes that for everyone.",
                    functions=_some(acting, N_("{count} functions, such as {example}")),
                )
            )
        )
    if read_write:
        return notes
    temporary, create = session.execute(role_sql.PUBLIC_RIGHTS).fetchone() or (False, False)
    if temporary:
        notes.append(
            _(
                "PUBLIC may create temporary tables and large objects. The role's transactions begin read-only, which the "
                "colleague could turn off; the privileges on your tables hold regardless."
            )
        )
    if create:
        notes.append(
            Risk(
                _(
                    "PUBLIC may create tables in the schema public, as before PostgreSQL 15, and that cannot be revoked from a "
                    "single role: REVOKE CREATE ON SCHEMA public FROM PUBLIC revokes it for everyone."
                )
            )
        )
    written = [name for (name,) in session.execute(role_sql.PUBLIC_WRITES, values).fetchall()]
    if written:
        notes.append(
            Risk(
                _(
                    "PUBLIC may write to {tables}, and so may the colleague, who could turn off read-only: "
                    "REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON … FROM PUBLIC revokes that for everyone.",
                    tables=_some(written, N_("{count} tables, such as {example}")),
                )
            )
        )
    return notes


_MANY_OBJECTS = N_("{count} objects, such as {example}")


def _some(names: Sequence[str], many: str) -> str:
    """List a few names; of more, give their number and an example by the message `many`."""
    if len(names) <= _NAMED:
        return format_list(names)
    return _(many, count=format_number(len(names)), example=names[0])


def describe_network(
    cluster: Cluster,
    database: Database,
    labels: Mapping[str, str],
    admitted: Sequence[str],
    gone: Collection[str],
) -> list[str]:
    """Describe access to the database over the network, and what a share's policy changes.

    Parameters
    ----------
    labels
        The labels of the database's pod.
    admitted
        The namespaces that a new policy admits; empty without a new policy.
    gone
        The names of policies that are removed first.
    """
    try:
        found = object_reads.list_objects(cluster, NETWORK_POLICIES, database.namespace)
        pods = [pod.labels for pod in inventory.pods(cluster, database.namespace)]
    except Forbidden:
        return []
    with report_malformed(cluster):
        found = [policy for policy in found if policy["metadata"]["name"] not in gone]
        notes = network_policies.describe_policies(
            network_policies.list_policies_about(found, labels, database.name),
            labels,
            pods,
            stays_open=not admitted,
        )
        is_selected = any(network_policies.selects(policy, labels) for policy in found)
    if not admitted:
        return notes
    namespaces = _some(admitted, N_("{count} namespaces, such as {example}"))
    if is_selected:
        notes.append(
            _(
                "This share's policy admits {namespaces} too, and restricts nothing.",
                namespaces=namespaces,
            )
        )
    else:
        kept = [database.namespace, *([_("the operator")] if CNPG in labels else []), namespaces]
        change = _(
            "This share's policy is the first that selects it: from now on, only {kept} "
            "can reach it. When the last such share ends, the port is open again.",
            kept=format_list(kept),
        )
        notes.append(f"{_(network_policies.OPEN)} {change}")
    return notes
