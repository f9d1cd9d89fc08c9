"""The rows of a query in PostgreSQL, in a file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from sspcloud_magics.databases.export import Exported, export_parts
from sspcloud_magics.databases.postgres import query
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.databases.query_options import DEFAULTS, Destination, QueryOptions


def export(
    connection: DatabaseConnection,
    sql: str,
    to: Path | str | Destination,
    params: Mapping[str, object] | None = None,
    options: QueryOptions = DEFAULTS,
    *,
    overwrite: bool = False,
) -> Exported:
    """Write the rows of one query into a file or to another place, as `export_parts` does."""
    return export_parts(
        connection, partial(query.parts, connection, sql, params), to, options, overwrite=overwrite
    )
