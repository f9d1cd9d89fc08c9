"""A connection and a query in one call each, as the session makes them, without its state."""

from __future__ import annotations

from typing import Any

import pandas as pd

from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.databases.credentials import find_credentials
from sspcloud_magics.databases.postgres.query import run
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection, open_connection
from sspcloud_magics.databases.query_options import QueryOptions
from sspcloud_magics.databases.query_result import QueryResult, attach_notes
from sspcloud_magics.forwards.manager import ForwardManager


def connect(
    cluster: Cluster, manager: ForwardManager, name: str, *, database: str | None = None, **how: Any
) -> DatabaseConnection:
    """Connect through a forward; `how` as `find_credentials` takes it."""
    found, used = find_credentials(cluster, name, **how)
    return open_connection(cluster, manager, found, used, dbname=database)


def query(
    connection: DatabaseConnection, sql: str, params: Any = None, **options: Any
) -> pd.DataFrame | QueryResult:
    """Return the rows, or the status of a statement without rows; `options` as `QueryOptions` takes them."""
    result = run(connection, sql, params, QueryOptions(**options))
    return result if result.frame is None else attach_notes(result)
