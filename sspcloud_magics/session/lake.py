"""DuckDB over the session's databases, S3, and the notebook's DataFrames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.lake import instance as instances
from sspcloud_magics.lake import query, transfer
from sspcloud_magics.lake.s3_target import S3Target, is_s3
from sspcloud_magics.session import session

if TYPE_CHECKING:
    import duckdb as duckdb_package

    from sspcloud_magics.databases.query_options import Output, QueryOptions


def duckdb(*, read_only: bool = True) -> duckdb_package.DuckDBPyConnection:
    """Return a DuckDB connection in which the open databases are attached.

    The current database is ``pg``, every other open one has its own name, with ``_`` for ``-``. S3 is readable and writable
    if the service has keys. Statements can name the notebook's DataFrames. Call it again after connecting to another
    database, or when a share was renewed.

    Parameters
    ----------
    read_only
        Whether DuckDB may only read the databases.

    Returns
    -------
    duckdb.DuckDBPyConnection
        The same connection at each call, until it is closed.

    Raises
    ------
    UsageProblem
        If DuckDB or its extension for PostgreSQL is not installed.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.duckdb().sql("SELECT count(*) FROM pg.public.communes").df()  # doctest: +SKIP
    """
    found = _refresh(read_only=read_only)
    found.renew_logins()
    return found.open_shared()


def query_duckdb(
    sql: str,
    params: Mapping[str, Any],
    options: QueryOptions,
    output: Output,
    partition_by: Sequence[str] = (),
) -> Any:
    """Run statements in DuckDB; see `sspcloud_magics.lake.query.run`."""
    needs_s3 = "s3://" in sql or is_s3(output.to)
    request = query.Request(sql=sql, params=params, options=options, output=output, partition_by=partition_by)
    return query.run(_refresh(needs_s3=needs_s3), request, _cancel_at_servers)


def plan(sql: str, params: Mapping[str, Any]) -> str:
    """Return DuckDB's plan of a query; see `sspcloud_magics.lake.query.plan`."""
    return query.plan(_refresh(needs_s3="s3://" in sql), sql, params)


def destination(place: str, *, overwrite: bool, partition_by: Sequence[str] = ()) -> transfer.S3Destination:
    """Return a place in S3 for the rows of a query; see `sspcloud_magics.lake.transfer.S3Destination`."""
    return transfer.S3Destination(_refresh(needs_s3=True), S3Target(place, overwrite, partition_by))


def read_file(place: str) -> Any:
    """Yield the rows of a file or an object; see `sspcloud_magics.lake.transfer.read_file`."""
    return transfer.read_file(_refresh(needs_s3=is_s3(place)), place)


def _refresh(*, read_only: bool = True, needs_s3: bool = False) -> instances.Instance:
    found = instances.current()
    found.refresh(_sources(), read_only=read_only, needs_s3=needs_s3)
    return found


def _sources() -> dict[str, DatabaseConnection]:
    opened = [each for each in session.open_connections() if isinstance(each, DatabaseConnection)]
    return instances.sources_by_name(opened)


def _cancel_at_servers() -> None:
    """Cancel what runs for DuckDB at the servers, by another connection with the same role."""
    for alias, source in _sources().items():
        with suppress(Exception), closing(source.copy_connection()) as side:
            side.psycopg.execute(_CANCEL, [instances.application(alias)])


_CANCEL = """
SELECT pg_catalog.pg_cancel_backend(pid) FROM pg_catalog.pg_stat_activity
WHERE application_name OPERATOR(pg_catalog.=) %s AND usename OPERATOR(pg_catalog.=) CURRENT_USER AND state OPERATOR(pg_catalog.=) 'active'
"""
