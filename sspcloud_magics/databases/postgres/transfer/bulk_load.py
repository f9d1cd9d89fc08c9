"""Load of a DataFrame into a table, by COPY and in one transaction."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
import psycopg
from psycopg import sql

from sspcloud_magics.databases import arrow
from sspcloud_magics.databases.column_names import list_columns, refuse_long
from sspcloud_magics.databases.postgres.session import pg_errors, sqlstates
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.databases.postgres.sql import statement_errors
from sspcloud_magics.databases.postgres.sql_lexer import statements
from sspcloud_magics.databases.postgres.transfer.column_values import (
    ColumnValues,
    convert_column,
    convert_values,
    get_type_name,
    make_server_refusal,
)
from sspcloud_magics.databases.query_options import Mode, Progress
from sspcloud_magics.errors import QueryFailed, UsageProblem
from sspcloud_magics.i18n import _, quote_words
from sspcloud_magics.printable import shorten


def load_table(
    connection: DatabaseConnection,
    frame: Any,
    name: str,
    mode: Mode = "new",
    *,
    progress: Progress | None = None,
) -> int:
    """Write the rows of a DataFrame (pandas, polars or Arrow) into a table, and return the number of rows.

    The parameters are those of `session.load_table`.

    Raises
    ------
    UsageProblem
        If a value has no type in PostgreSQL, or the values of a column have no common type (the error names the column,
        row and value); or if a column name is missing, duplicate or too long for PostgreSQL.
    QueryFailed
        If the server refuses a statement. Nothing is changed in that case.
    """
    frame = arrow.to_pandas(frame)
    names = list_columns(frame)
    path = _path(name)
    refuse_long(path, "table")
    refuse_long(names, "column")
    table = sql.Identifier(*path)
    listed = sql.SQL(", ").join(map(sql.Identifier, names))
    columns = sql.SQL("SELECT {} FROM {} LIMIT 0").format(listed, table)
    with connection.turn:
        session, _unused = connection.ready()
        connection.refuse(statements(f"CREATE TABLE {name} ()"))
        try:
            with connection.transaction(), session.cursor() as cursor:
                made: list[ColumnValues] = []
                if mode == "append":
                    cursor.execute(columns)
                    texts = _texts_for(cursor, frame)
                else:
                    made = _create_table(cursor, frame, names, table, replace=mode == "replace")
                    texts = [each.texts for each in made]
                with cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(table, listed)) as writer:
                    began = time.perf_counter()
                    for done, row in enumerate(zip(*texts, strict=True)):
                        writer.write_row(row)
                        if progress is not None and done % _PROGRESS_ROWS == 0:
                            progress(done, 0, time.perf_counter() - began)
                _create_indexes(cursor, table, names, made)
                connection.changes += 1
                return len(frame)
        except psycopg.errors.DuplicateTable as error:
            raise QueryFailed(
                f"{sqlstates.describe(error)}.",
                hint=_("add to it with %load_table … --append, or replace it with --replace"),
            ) from None
        except psycopg.errors.DependentObjectsStillExist as error:
            raise QueryFailed(
                f"{sqlstates.describe(error)}.",
                why=quote_words(shorten(error.diag.message_detail or "")),
                hint=_(
                    "keep the table: %query_db DELETE FROM {name}, then %load_table … {name} --append",
                    name=name,
                ),
            ) from None
        except psycopg.Error as error:
            if session.closed:
                raise pg_errors.make_connection_error(error, place=connection.database.path) from None
            if refused := make_server_refusal(error, frame, names):
                raise refused from None
            # An error position refers to the first statement: the others name no other missing objects.
            asked = statements(columns.as_string(session))[0]
            raise statement_errors.make_statement_error(error, asked, connection, is_ours=True) from None


def _create_table(
    cursor: psycopg.Cursor[Any],
    frame: pd.DataFrame,
    names: Sequence[str],
    table: sql.Composable,
    *,
    replace: bool,
) -> list[ColumnValues]:
    """Create the table, and return its columns."""
    schemas = dict(cursor.execute(_EXTENSIONS).fetchall())
    made = [
        convert_column(frame.iloc[:, index], each, has_vectors="vector" in schemas)
        for index, each in enumerate(names)
    ]
    if replace:
        cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))
    definitions = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(each), _type_of(values, schemas))
        for each, values in zip(names, made, strict=True)
    )
    cursor.execute(sql.SQL("CREATE TABLE {} ({})").format(table, definitions))
    return made


def _create_indexes(
    cursor: psycopg.Cursor[Any], table: sql.Composable, names: Sequence[str], made: Sequence[ColumnValues]
) -> None:
    """Create an index for each column of geometries in a new table; for an existing one, `made` is empty."""
    for name, values in zip(names, made, strict=False):
        if values.type == "geometry":
            index = sql.SQL("CREATE INDEX ON {} USING gist ({})")
            cursor.execute(index.format(table, sql.Identifier(name)))


# The extensions whose types a column can have, and their schemas.
_EXTENSIONS = """
SELECT e.extname, n.nspname FROM pg_catalog.pg_extension AS e
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace
WHERE e.extname OPERATOR(pg_catalog.=) ANY ('{postgis,vector}'::pg_catalog.name[])
"""


def _type_of(values: ColumnValues, schemas: Mapping[str, str]) -> sql.Composable:
    """Return the type of a column in SQL.

    Raises
    ------
    UsageProblem
        If its extension is not in the database.
    """
    if not values.extension:
        return sql.Identifier(values.type)
    if values.extension not in schemas:
        raise UsageProblem(
            _("The database cannot store geometries: it has no PostGIS."),
            hint=_("add it, or ask the owner to: %query_db CREATE EXTENSION postgis"),
        )
    return sql.SQL("{}{}").format(
        sql.Identifier(schemas[values.extension], values.type), sql.SQL(values.modifier)
    )


# The number of rows between calls of `progress`.
_PROGRESS_ROWS = 10_000


def _path(name: str) -> list[str]:
    """Return the parts of a name in SQL, folded to lower case unless they are quoted.

    Raises
    ------
    UsageProblem
        If it is not a name.
    """
    found = TABLE_NAME.fullmatch(name)
    if found is None:
        raise UsageProblem(
            _("{name!r} is not a table name.", name=name),
            hint=_("write table or schema.table, with double quotes around special names"),
        )
    return [
        part[1:-1].replace('""', '"') if part.startswith('"') else part.lower()
        for part in found.groups()
        if part is not None
    ]


_PART = r'("(?:[^"]|"")+"|[^\W\d][\w$]*)'
TABLE_NAME = re.compile(rf"{_PART}(?:\.{_PART})?")


def _texts_for(cursor: psycopg.Cursor[Any], frame: pd.DataFrame) -> list[Iterator[str | None]]:
    """Return the values of a frame's columns, as text for the columns that the cursor selected."""
    codes = [column.type_code for column in cursor.description or ()]
    return [
        convert_values(frame.iloc[:, index], str(frame.columns[index]), get_type_name(code, cursor))
        for index, code in enumerate(codes)
    ]
