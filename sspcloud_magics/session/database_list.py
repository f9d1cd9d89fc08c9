"""List the databases of the user, and those that colleagues share with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.databases import discovery
from sspcloud_magics.databases.credentials import list_received
from sspcloud_magics.databases.discovery import Database
from sspcloud_magics.errors import Forbidden
from sspcloud_magics.session import recent_namespaces, session

if TYPE_CHECKING:
    import pandas as pd


def databases(*, namespace: str | None = None) -> pd.DataFrame:
    """List your databases, of any chart, and those that colleagues share with you.

    Parameters
    ----------
    namespace
        Only this namespace. If None: your namespace, and the shares in the namespaces that you named or used,
        in this session or earlier, the newest share first.

    Returns
    -------
    DataFrame
        One row per database: its name, kind, state, service and port; how it is shared with you, and until when.

    Raises
    ------
    Forbidden
        If you may not list anything there that identifies a database, and no share of yours is there.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.databases(namespace="user-alice")  # doctest: +SKIP
    """
    cluster = session.current_cluster(namespace)
    found = reachable_databases(cluster, namespace)
    if found and namespace is not None and namespace != "*":
        recent_namespaces.remember_namespace(cluster, namespace)
    return discovery.database_table(found, namespace or cluster.namespace, cluster.namespace)


def reachable_databases(cluster: Cluster, namespace: str | None = None) -> list[Database]:
    """Return your databases and those shared with you, as `databases`, with the same errors.

    Parameters
    ----------
    cluster
        The cluster.
    namespace
        Only this namespace.
    """
    where = namespace or cluster.namespace
    asked = recent_namespaces.colleagues_namespaces(cluster) if namespace is None else (namespace,)
    shared = list_received(cluster, [each for each in asked if each not in ("*", cluster.namespace)])
    try:
        found = discovery.databases(cluster, where)
    except Forbidden:
        if not shared:
            raise
        found = []
    known = {each.path for each in found}
    return found + [each for each in shared if each.path not in known]
