"""A DataFrame into a table, by COPY and in one transaction: all of it, or nothing."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import pandas as pd
import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from sspcloud_magics.databases import binding, failures
from sspcloud_magics.databases.connection import DatabaseConnection
from sspcloud_magics.databases.parameters import statements
from sspcloud_magics.databases.query import Progress
from sspcloud_magics.errors import QueryFailed, UsageProblem

Mode: TypeAlias = Literal["new", "append", "replace"]

_BY_KIND = {"b": "bool", "m": "interval", "M": "timestamp"}
_DATES = "datetime64[s]"  # what a query makes of a date; a time of day in it is none
_INTEGERS = {"i1": "int2", "i2": "int2", "i4": "int4", "i8": "int8", "u1": "int2", "u2": "int4", "u4": "int8"}
_BY_CONTENT = {
    "string": "text",
    "empty": "text",
    "integer": "int8",
    "floating": "float8",
    "decimal": "numeric",
    "boolean": "bool",
    "bytes": "bytea",
    "date": "date",
    "time": "time",
    "datetime": "timestamptz",
    "timedelta": "interval",
}


def load_table(
    connection: DatabaseConnection,
    frame: pd.DataFrame,
    name: str,
    mode: Mode = "new",
    *,
    progress: Progress | None = None,
) -> int:
    """Write the rows of a DataFrame into a table; its index is left out.

    Parameters
    ----------
    connection
        Where.
    frame
        The rows. Its columns' names are the table's.
    name
        As SQL writes it: ``table``, ``schema.table``, ``schema."With Blank"``.
    mode
        ``"new"`` makes the table, ``"append"`` adds to one that has the columns, ``"replace"`` drops one
        that is there first.
    progress
        Called now and then with the rows, bytes (0: they are not counted) and seconds so far.

    Returns
    -------
    int
        How many rows were written.

    Raises
    ------
    UsageProblem
        If a column has no type in PostgreSQL, or no name, or two have the same.
    QueryFailed
        If the server refuses; nothing is changed then.

    Examples
    --------
    >>> load_table(connection, frame, "public.results", "replace")  # doctest: +SKIP
    """
    names = [str(column) for column in frame.columns]
    if len(set(names)) != len(names) or not names or "" in names:
        raise UsageProblem(
            "Each column needs a name of its own to become a table's.", mend="df.columns = [...]"
        )
    table = sql.Identifier(*_path(name))
    listed = sql.SQL(", ").join(map(sql.Identifier, names))
    session = connection.psycopg
    try:
        with session.transaction(), session.cursor() as cursor:
            if mode == "append":
                types = _types_of(cursor, table, listed)
            else:
                types = [_type(frame.iloc[:, index], names[index]) for index in range(len(names))]
                if mode == "replace":
                    cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))
                definitions = sql.SQL(", ").join(
                    sql.SQL("{} {}").format(sql.Identifier(each), sql.Identifier(kind))
                    for each, kind in zip(names, types, strict=True)
                )
                cursor.execute(sql.SQL("CREATE TABLE {} ({})").format(table, definitions))
            # The types of a table that is there are anything: the server reads them from text, as it does for psql.
            form = sql.SQL("text" if mode == "append" else "binary")
            copy = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT {})").format(table, listed, form)
            with cursor.copy(copy) as writer:
                if mode != "append":
                    writer.set_types(types)
                began = time.perf_counter()
                for done, row in enumerate(_rows(frame, types)):
                    writer.write_row(row)
                    if progress is not None and done % _TOLD == 0:
                        progress(done, 0, time.perf_counter() - began)
            connection.changes += 1
            return len(frame)
    except psycopg.errors.DuplicateTable as error:
        raise QueryFailed(
            f"{error.diag.message_primary}.",
            mend="%load_table … --append adds to it, --replace makes it anew",
        ) from None
    except psycopg.Error as error:
        if session.closed:
            raise failures.of_connection(error, place=connection.database.path) from None
        raise failures.of_statement(error, statements("COPY")[0]) from None


_TOLD = 10_000


def _path(name: str) -> list[str]:
    """Return the parts of a name that is written as in SQL: in lower case, unless it is quoted.

    Raises
    ------
    UsageProblem
        If it is no name.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise UsageProblem(
            f"{name!r} names no table.", mend="table or schema.table; other names in double quotes"
        )
    return [
        part[1:-1].replace('""', '"') if part.startswith('"') else part.lower()
        for part in found.groups()
        if part is not None
    ]


_PART = r'("(?:[^"]|"")+"|[^\W\d][\w$]*)'
_NAME = re.compile(rf"{_PART}(?:\.{_PART})?")


def _types_of(cursor: psycopg.Cursor[Any], table: sql.Identifier, listed: sql.Composable) -> list[Any]:
    cursor.execute(sql.SQL("SELECT {} FROM {} LIMIT 0").format(listed, table))
    return [column.type_code for column in cursor.description or ()]


def _type(column: pd.Series[Any], name: str) -> str:
    """Return PostgreSQL's type for a column."""
    dtype: Any = column.dtype
    plain = getattr(dtype, "numpy_dtype", dtype)
    kind: str = plain.kind
    if isinstance(dtype, pd.DatetimeTZDtype):
        found = "timestamptz"
    elif str(dtype) == _DATES and (column.dropna().dt.normalize() == column.dropna()).all():
        found = "date"
    elif isinstance(dtype, pd.CategoricalDtype | pd.StringDtype):
        found = "text"
    elif kind in "iu":
        found = _INTEGERS.get(f"{kind}{plain.itemsize}", "numeric")
    elif kind == "f":
        found = "float4" if plain.itemsize <= 4 else "float8"
    else:
        found = _BY_KIND.get(kind) or _type_of_objects(column, name)
    return found


def _type_of_objects(column: pd.Series[Any], name: str) -> str:
    present = column.dropna()
    kinds = {type(value).__name__ for value in present}
    if kinds == {"UUID"}:
        return "uuid"
    if kinds and kinds <= {"dict", "list"}:
        return "jsonb"
    found = _BY_CONTENT.get(pd.api.types.infer_dtype(present, skipna=True))
    if found is None:
        raise UsageProblem(
            f"The column {name!r} holds what has no type in PostgreSQL: {', '.join(sorted(kinds))}.",
            mend=f"df[{name!r}] = df[{name!r}].astype('string')",
        )
    return found


def _rows(frame: pd.DataFrame, types: list[Any]) -> Iterator[tuple[Any, ...]]:
    columns = [_values(frame.iloc[:, index], kind) for index, kind in enumerate(types)]
    return zip(*columns, strict=True)


def _values(column: pd.Series[Any], kind: str | int) -> Iterator[Any]:
    for value, missing in zip(column, column.isna().tolist(), strict=True):
        if missing:
            yield None
        elif isinstance(value, dict | list) and kind in ("jsonb", _JSONB):
            yield Jsonb(value)
        elif kind in _WHOLE and isinstance(value, float) and value.is_integer():
            yield int(value)  # pandas makes floats of integers where one is missing
        else:
            yield binding.plain(value)


_JSONB = psycopg.adapters.types["jsonb"].oid
_WHOLE = {psycopg.adapters.types[name].oid for name in ("int2", "int4", "int8")}
