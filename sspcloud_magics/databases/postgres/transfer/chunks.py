"""The rows of a query in PostgreSQL, in chunks."""

from __future__ import annotations

from collections.abc import Mapping

from sspcloud_magics.databases.chunks import Chunks, Convert
from sspcloud_magics.databases.postgres import query
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.databases.query_options import DEFAULTS, QueryOptions


def chunks(
    connection: DatabaseConnection,
    sql: str,
    params: Mapping[str, object] | None = None,
    options: QueryOptions = DEFAULTS,
    *,
    size: int,
    convert: Convert = lambda frame, _unused: frame,
) -> Chunks:
    """Run one query, and return its rows in chunks of `size`; the last may have fewer.

    `convert` converts a DataFrame and the OIDs of its columns' types to a chunk. The other parameters and the exceptions
    are those of `query.run`; exceptions may also be raised while the rows are read.
    """
    return Chunks(connection, query.parts(connection, sql, params, options, size=size), size, convert)
