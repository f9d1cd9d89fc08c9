"""Who am I, and what is there: the part of the API that changes nothing."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from sspcloud_magics.cluster import inventory, tables
from sspcloud_magics.cluster.permissions import who_am_i
from sspcloud_magics.databases import discovery
from sspcloud_magics.databases.credentials import shared_with_me
from sspcloud_magics.errors import Forbidden, UsageProblem
from sspcloud_magics.session import memory, state
from sspcloud_magics.spelling import nearest

if TYPE_CHECKING:
    import pandas as pd

    from sspcloud_magics.cluster.identity import Cluster
    from sspcloud_magics.cluster.permissions import Identity
    from sspcloud_magics.databases.discovery import Database


def whoami() -> Identity:
    """Say who one is for the cluster, and where.

    Returns
    -------
    Identity
        The user, the groups, the namespace, the server, and which configuration said so.

    Raises
    ------
    ClusterError
        If there is no configuration, or the server does not accept it.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.whoami().user  # doctest: +SKIP
    'oidc-bob'
    """
    return who_am_i(state.current_cluster())


def pods(
    pattern: str | None = None, *, namespace: str | None = None, all_namespaces: bool = False
) -> pd.DataFrame:
    """List the pods, as ``kubectl get pods`` words them.

    Parameters
    ----------
    pattern
        Only pods whose name holds this text, or matches it where it has ``*``, ``?`` or ``[``.
    namespace
        The namespace; one's own where it is None.
    all_namespaces
        All namespaces, where one may.

    Returns
    -------
    DataFrame
        One row a pod; `sspcloud_magics.cluster.tables` documents the columns.

    Raises
    ------
    Forbidden
        If one may not list pods there.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.pods("mon-api*", namespace="user-alice")  # doctest: +SKIP
    """
    scope = _scope(namespace, all_namespaces=all_namespaces)
    cluster = state.current_cluster(namespace)
    found = inventory.pods(cluster, scope)
    near = _near(found, pattern)
    return tables.pod_table(_named(found, pattern), _looked_in(cluster, scope), pattern or "", near)


def services(
    pattern: str | None = None, *, namespace: str | None = None, all_namespaces: bool = False
) -> pd.DataFrame:
    """List the services.

    Parameters
    ----------
    pattern, namespace, all_namespaces
        As for `pods`.

    Returns
    -------
    DataFrame
        One row a service; `sspcloud_magics.cluster.tables` documents the columns.

    Raises
    ------
    Forbidden
        If one may not list services there.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.services()  # doctest: +SKIP
    """
    scope = _scope(namespace, all_namespaces=all_namespaces)
    cluster = state.current_cluster(namespace)
    found = inventory.services(cluster, scope)
    near = _near(found, pattern)
    return tables.service_table(_named(found, pattern), _looked_in(cluster, scope), pattern or "", near)


def databases(*, namespace: str | None = None) -> pd.DataFrame:
    """List one's own databases, whatever chart they come from, and those that colleagues share with oneself.

    Parameters
    ----------
    namespace
        This namespace only. Where it is None: one's own, and what is shared with oneself in the
        namespaces that were named or used, in this session or before, the newest share first.

    Returns
    -------
    DataFrame
        One row a database: its name, kind, state, service and port; how it is shared with oneself, and until when.

    Raises
    ------
    Forbidden
        If one may list nothing there that tells of a database, and nothing there is shared with oneself.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.databases(namespace="user-alice")  # doctest: +SKIP
    """
    cluster = state.current_cluster(namespace)
    found = reachable_databases(cluster, namespace)
    if found and namespace is not None and namespace != "*":
        memory.remember_namespace(cluster, namespace)
    return discovery.database_table(found, namespace or cluster.namespace, cluster.namespace)


def reachable_databases(cluster: Cluster, namespace: str | None = None) -> list[Database]:
    """Return one's own databases, and those that are shared with oneself; as `databases`, which raises the same.

    Parameters
    ----------
    cluster
        Where, and as whom.
    namespace
        This namespace only.
    """
    where = namespace or cluster.namespace
    asked = memory.colleagues_namespaces(cluster) if namespace is None else (namespace,)
    shared = shared_with_me(cluster, [each for each in asked if each not in ("*", cluster.namespace)])
    try:
        found = discovery.databases(cluster, where)
    except Forbidden:
        if not shared:
            raise
        found = []
    known = {each.path for each in found}
    return found + [each for each in shared if each.path not in known]


class _HasName(Protocol):
    @property
    def name(self) -> str: ...


_Row = TypeVar("_Row", bound=_HasName)


def _scope(namespace: str | None, *, all_namespaces: bool) -> str | None:
    if namespace and all_namespaces:
        raise UsageProblem("One namespace and all of them: only one of the two can be meant.")
    return "*" if all_namespaces else namespace


def _looked_in(cluster: Cluster, scope: str | None) -> str:
    """Return the namespace for an answer that is empty; nothing for all of them."""
    return "" if scope == "*" else scope or cluster.namespace


def _near(rows: Sequence[_HasName], pattern: str | None) -> str:
    """Return the name that is near, or that begins nearly so: a pod's ends with what nothing but a controller writes."""
    if not pattern:
        return ""
    names = {row.name[: len(pattern)]: row.name for row in rows} | {row.name: row.name for row in rows}
    return names.get(nearest(pattern, names), "")


def _named(rows: Iterable[_Row], pattern: str | None) -> list[_Row]:
    """Keep the rows whose name holds the text, or matches it as a glob."""
    if not pattern:
        return list(rows)
    glob = pattern if any(mark in pattern for mark in "*?[") else f"*{pattern}*"
    return [row for row in rows if fnmatch.fnmatchcase(row.name, glob)]
