"""PostgreSQL, behind the interface of a kind of database (`sspcloud_magics.databases.kinds`)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sspcloud_magics.databases.output import run_into
from sspcloud_magics.databases.postgres import query
from sspcloud_magics.databases.postgres.catalogue import columns, describe_table, tables
from sspcloud_magics.databases.postgres.query import explain
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.databases.postgres.transfer import copy
from sspcloud_magics.databases.postgres.transfer.bulk_load import load_table
from sspcloud_magics.databases.postgres.transfer.sqlalchemy_engine import engine
from sspcloud_magics.databases.query_options import Output, QueryOptions
from sspcloud_magics.databases.sql_names import POSTGRES
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import _

if TYPE_CHECKING:
    import psycopg

__all__ = [
    "columns",
    "describe_table",
    "dialect",
    "engine",
    "explain",
    "explains_in_text",
    "load_table",
    "native",
    "open_connection",
    "run",
    "tables",
]

open_connection = DatabaseConnection.open
dialect = POSTGRES
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
    return run_into(
        output,
        connection,
        options,
        run=partial(query.run, connection, sql, params),
        parts=partial(query.parts, connection, sql, params),
    )


def native(connection: DatabaseConnection) -> psycopg.Connection[Any]:
    """Return the session as psycopg's connection."""
    return connection.psycopg
