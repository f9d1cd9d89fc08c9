"""Pods, services and forwards as tables."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from sspcloud_magics.cluster.workloads import inventory, tables
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.forwards.table import forward_table
from sspcloud_magics.i18n import _
from sspcloud_magics.session import session
from sspcloud_magics.spelling import nearest

if TYPE_CHECKING:
    import pandas as pd

    from sspcloud_magics.cluster.cluster import Cluster


def pods(
    pattern: str | None = None, *, namespace: str | None = None, all_namespaces: bool = False
) -> pd.DataFrame:
    """List the pods, with the status that ``kubectl get pods`` shows.

    Parameters
    ----------
    pattern
        Only pods whose name contains this text, or matches it as a glob with ``*``, ``?`` or ``[``.
    namespace
        The namespace; yours if None.
    all_namespaces
        All namespaces, if you may list them.

    Returns
    -------
    DataFrame
        One row per pod; `sspcloud_magics.cluster.workloads.tables` documents the columns.

    Raises
    ------
    Forbidden
        If you may not list pods there.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.pods("mon-api*", namespace="user-alice")  # doctest: +SKIP
    """
    scope = _scope(namespace, all_namespaces=all_namespaces)
    cluster = session.current_cluster(namespace)
    found = inventory.pods(cluster, scope)
    return tables.pod_table(_filter_by_name(found, pattern), *_describe(cluster, scope, found, pattern))


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
        One row per service; `sspcloud_magics.cluster.workloads.tables` documents the columns.

    Raises
    ------
    Forbidden
        If you may not list services there.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.services()  # doctest: +SKIP
    """
    scope = _scope(namespace, all_namespaces=all_namespaces)
    cluster = session.current_cluster(namespace)
    found = inventory.services(cluster, scope)
    return tables.service_table(_filter_by_name(found, pattern), *_describe(cluster, scope, found, pattern))


def forwards(*, restore: bool = False) -> pd.DataFrame:
    """List the forwards of this process.

    Parameters
    ----------
    restore
        First reopen the forwards that the last process in this folder had open when it ended, on the same
        local ports.

    Returns
    -------
    DataFrame
        One row per forward: its state, local port, target and traffic.
        ``attrs["notes"]`` lists the forwards that could not be restored, and why.

    Raises
    ------
    ClusterError
        If no cluster is usable for restoring.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> len(ssp.forwards())
    0
    """
    notes = _restore() if restore else ()
    table = forward_table(session.open_forwards())
    if notes:
        table.attrs["notes"] = list(notes)
    return table


def _restore() -> tuple[str, ...]:
    """Reopen the saved forwards; return what failed."""
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
        raise UsageProblem(
            _("A namespace and all namespaces exclude each other."),
            hint=_("use one of them: leave out -n or -A"),
        )
    return "*" if all_namespaces else namespace


def _describe(
    cluster: Cluster, scope: str | None, rows: Sequence[_HasName], pattern: str | None
) -> tuple[str, str, str]:
    """Return the text for an empty table: the namespace, empty for all; the pattern; and the nearest name.

    Prefixes of names count too, because a controller generates the end of a pod's name.
    """
    namespace = "" if scope == "*" else scope or cluster.namespace
    if not pattern:
        return namespace, "", ""
    names = {row.name[: len(pattern)]: row.name for row in rows} | {row.name: row.name for row in rows}
    return namespace, pattern, names.get(nearest(pattern, names), "")


def _filter_by_name(rows: Iterable[_Row], pattern: str | None) -> list[_Row]:
    """Keep the rows whose name contains the text, or matches it as a glob."""
    if not pattern:
        return list(rows)
    glob = pattern if any(mark in pattern for mark in "*?[") else f"*{pattern}*"
    return [row for row in rows if fnmatch.fnmatchcase(row.name, glob)]
