"""PostgreSQL, behind the interface of a kind of database (`sspcloud_magics.databases.kinds`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sspcloud_magics.databases import arrow
from sspcloud_magics.databases.column_names import FOR_POLARS, refuse_duplicates
from sspcloud_magics.databases.postgres import catalogue, query
from sspcloud_magics.databases.postgres.catalogue import columns
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection, open_connection
from sspcloud_magics.databases.postgres.transfer import copy
from sspcloud_magics.databases.postgres.transfer.bulk_load import load_table
from sspcloud_magics.databases.postgres.transfer.chunks import chunks
from sspcloud_magics.databases.postgres.transfer.export import export
from sspcloud_magics.databases.postgres.transfer.sqlalchemy_engine import engine
from sspcloud_magics.databases.query_options import Output, QueryOptions
from sspcloud_magics.databases.query_result import attach_notes
from sspcloud_magics.databases.table_description import TableDescription
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import _

if TYPE_CHECKING:
    import pandas as pd
    import psycopg

__all__ = [
    "columns",
    "describe_table",
    "engine",
    "explain",
    "explains_in_text",
    "load_table",
    "native",
    "open_connection",
    "run",
    "tables",
]


explains_in_text = True


def run(
    connection: DatabaseConnection,
    sql: str,
    params: Mapping[str, Any] | None,
    options: QueryOptions,
    output: Output,
) -> Any:
    """Run statements, and return the result in the form that `output` names."""
    if isinstance(output.to, str | Path) and copy.direction(sql) == "to":
        return copy.copy_to(connection, sql, output.to, overwrite=output.overwrite, progress=options.progress)
    if output.from_ is not None:
        if copy.direction(sql) != "from":
            raise UsageProblem(
                _("A file needs exactly one COPY … FROM STDIN."),
                hint="%%query_db --from rows.csv\nCOPY t FROM STDIN (FORMAT csv, HEADER)",  # not translated: a command
            )
        return copy.copy_from(connection, sql, output.from_, progress=options.progress)
    if output.as_ == "polars":
        options = replace(options, on_columns=partial(refuse_duplicates, refusal=FOR_POLARS))
    if output.to is not None:
        return export(connection, sql, output.to, params, options, overwrite=output.overwrite)
    convert = arrow.converter(output.as_)
    if output.chunks is not None:
        options = replace(options, progress=None)
        return chunks(connection, sql, params, options, size=output.chunks, convert=convert)
    result = query.run(connection, sql, params, options)
    return result if result.frame is None else convert(attach_notes(result), result.types)


def explain(sql: str) -> str:
    """Return the statement that shows the plan of a query."""
    return query.make_explain(sql)


def tables(connection: DatabaseConnection, pattern: str | None) -> pd.DataFrame:
    """List the tables that you may read."""
    return catalogue.tables(connection, pattern)


def describe_table(connection: DatabaseConnection, name: str) -> TableDescription:
    """Describe one table."""
    return catalogue.describe_table(connection, name)


def native(connection: DatabaseConnection) -> psycopg.Connection[Any]:
    """Return the session as psycopg's connection."""
    return connection.psycopg
