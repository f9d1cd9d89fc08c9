"""MariaDB, behind the interface of a kind of database (`sspcloud_magics.databases.kinds`)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from sspcloud_magics.databases import arrow
from sspcloud_magics.databases.mariadb import query
from sspcloud_magics.databases.mariadb.bulk_load import load_table
from sspcloud_magics.databases.mariadb.catalogue import columns, describe_table, tables
from sspcloud_magics.databases.mariadb.connection import MariadbConnection
from sspcloud_magics.databases.mariadb.sql_lexer import mask
from sspcloud_magics.databases.output import run_into
from sspcloud_magics.databases.query_options import Output, QueryOptions
from sspcloud_magics.databases.sql_names import QUERIES, Dialect
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import _

if TYPE_CHECKING:
    import pymysql

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

open_connection = MariadbConnection.open
dialect = Dialect(mask, "`", QUERIES)
explains_in_text = False


def run(
    connection: MariadbConnection,
    sql: str,
    params: Mapping[str, Any] | None,
    options: QueryOptions,
    output: Output,
) -> Any:
    """Run statements, and return the result in the form that `output` names."""
    if output.from_ is not None:
        raise UsageProblem(
            _("--from reads the input of PostgreSQL's COPY, which MariaDB does not have."),
            hint=_("%load_table df TABLE   writes a DataFrame into a table"),
        )
    return run_into(
        output,
        connection,
        options,
        run=partial(query.run, connection, sql, params),
        parts=partial(query.parts, connection, sql, params),
    )


def explain(sql: str) -> str:
    """Return the statement that shows the plan of a query."""
    return f"EXPLAIN {sql}"


def native(connection: MariadbConnection) -> pymysql.Connection[Any]:
    """Return the session as PyMySQL's connection."""
    return connection.session


def engine(connection: MariadbConnection) -> Any:
    """Return a SQLAlchemy engine, each of whose connections is a session of its own with the same login.

    Raises
    ------
    UsageProblem
        If SQLAlchemy is not installed.
    """
    sqlalchemy = arrow.import_optional("sqlalchemy", "sqlalchemy", _("An engine"))

    def connect() -> Any:
        made = connection.copy_connection()
        session = made.session
        session.owner = made  # its end releases the forward
        return session

    return sqlalchemy.create_engine("mysql+pymysql://", creator=connect, pool_size=2, max_overflow=0)
