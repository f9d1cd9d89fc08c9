"""A connection and a query in one call each, as the session makes them, without its state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.databases.chunks import Chunks
from sspcloud_magics.databases.credentials import find_credentials
from sspcloud_magics.databases.export import Exported
from sspcloud_magics.databases.postgres import kind
from sspcloud_magics.databases.postgres.query import run
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.databases.query_options import DEFAULTS, Output, QueryOptions
from sspcloud_magics.databases.query_result import QueryResult, attach_notes
from sspcloud_magics.forwards.manager import ForwardManager


def connect(
    cluster: Cluster, manager: ForwardManager, name: str, *, database: str | None = None, **how: Any
) -> DatabaseConnection:
    """Connect through a forward; `how` as `find_credentials` takes it."""
    found, used = find_credentials(cluster, name, **how)
    return DatabaseConnection.open(cluster, manager, found, used, dbname=database)


def chunks(
    connection: DatabaseConnection,
    sql: str,
    params: Any = None,
    options: QueryOptions = DEFAULTS,
    *,
    size: int,
) -> Chunks:
    """Return the rows of one query in chunks."""
    chunked: Chunks = kind.run(connection, sql, params, options, Output(chunks=size))
    return chunked


def export(
    connection: DatabaseConnection, sql: str, to: Path | str, params: Any = None, *, overwrite: bool = False
) -> Exported:
    """Write the rows of one query into a file."""
    exported: Exported = kind.run(connection, sql, params, DEFAULTS, Output(to=to, overwrite=overwrite))
    return exported


def query(
    connection: DatabaseConnection, sql: str, params: Any = None, **options: Any
) -> pd.DataFrame | QueryResult:
    """Return the rows, or the status of a statement without rows; `options` as `QueryOptions` takes them."""
    result = run(connection, sql, params, QueryOptions(**options))
    return result if result.frame is None else attach_notes(result)
