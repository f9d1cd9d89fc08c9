"""Pods, services and forwards as tables."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from sspcloud_magics.cluster.workloads import inventory, tables
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.forwards.table import forward_table
from sspcloud_magics.session import session
from sspcloud_magics.spelling import nearest

if TYPE_CHECKING:
    import pandas as pd

    from sspcloud_magics.cluster.cluster import Cluster


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
        One row a pod; `sspcloud_magics.cluster.workloads.tables` documents the columns.

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
    cluster = session.current_cluster(namespace)
    found = inventory.pods(cluster, scope)
    near = _near(found, pattern)
    return tables.pod_table(
        _filter_by_name(found, pattern), _describe_scope(cluster, scope), pattern or "", near
    )


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
        One row a service; `sspcloud_magics.cluster.workloads.tables` documents the columns.

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
    cluster = session.current_cluster(namespace)
    found = inventory.services(cluster, scope)
    near = _near(found, pattern)
    return tables.service_table(
        _filter_by_name(found, pattern), _describe_scope(cluster, scope), pattern or "", near
    )


def forwards(*, restore: bool = False) -> pd.DataFrame:
    """List the forwards of this process.

    Parameters
    ----------
    restore
        First open again what the last process of this notebook folder had open when it ended, on the same
        local ports.

    Returns
    -------
    DataFrame
        One row a forward: its state, where it listens, where it leads, and what it has carried.
        ``attrs["notes"]`` says which could not be restored, and why.

    Raises
    ------
    ClusterError
        If no cluster can be used to restore them.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> len(ssp.forwards())
    0
    """
    troubles = _restore() if restore else ()
    table = forward_table(session.open_forwards())
    if troubles:
        table.attrs["notes"] = list(troubles)
    return table


def _restore() -> tuple[str, ...]:
    """Open what was open last, and return what hindered it."""
    cluster = session.current_cluster()
    manager = session.manager()
    file = session.session.forwards_file
    return file.restore(manager, cluster).troubles if file is not None else ()


class _HasName(Protocol):
    @property
    def name(self) -> str: ...


_Row = TypeVar("_Row", bound=_HasName)


def _scope(namespace: str | None, *, all_namespaces: bool) -> str | None:
    if namespace and all_namespaces:
        raise UsageProblem("One namespace and all of them: only one of the two can be meant.")
    return "*" if all_namespaces else namespace


def _describe_scope(cluster: Cluster, scope: str | None) -> str:
    """Return the namespace for an answer that is empty; nothing for all of them."""
    return "" if scope == "*" else scope or cluster.namespace


def _near(rows: Sequence[_HasName], pattern: str | None) -> str:
    """Return the name that is near, or that begins nearly so: a pod's ends with what nothing but a controller writes."""
    if not pattern:
        return ""
    names = {row.name[: len(pattern)]: row.name for row in rows} | {row.name: row.name for row in rows}
    return names.get(nearest(pattern, names), "")


def _filter_by_name(rows: Iterable[_Row], pattern: str | None) -> list[_Row]:
    """Keep the rows whose name holds the text, or matches it as a glob."""
    if not pattern:
        return list(rows)
    glob = pattern if any(mark in pattern for mark in "*?[") else f"*{pattern}*"
    return [row for row in rows if fnmatch.fnmatchcase(row.name, glob)]
