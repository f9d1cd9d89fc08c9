"""Load of a DataFrame into a table of MariaDB: all of its rows, or none.

CREATE and DROP commit in MariaDB. So a new table gets another name until all rows are in it, and then its own.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from datetime import time as day_time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pandas as pd
import pymysql
from pymysql.constants import ER

from sspcloud_magics.databases import arrow
from sspcloud_magics.databases.column_names import list_columns
from sspcloud_magics.databases.mariadb import errors
from sspcloud_magics.databases.mariadb.catalogue import split_name
from sspcloud_magics.databases.mariadb.connection import MariadbConnection
from sspcloud_magics.databases.mariadb.literals import make_document, make_literal, quote_name
from sspcloud_magics.databases.parameter_values import to_python
from sspcloud_magics.databases.query_options import Mode, Progress
from sspcloud_magics.errors import QueryFailed, UsageProblem
from sspcloud_magics.i18n import _
from sspcloud_magics.printable import shorten

_BATCH = 500_000
"""In characters: a statement far below the 16 MB that servers accept by default."""

# Nothing is truncated or replaced, and 0 is 0 in a column that counts by itself.
_STRICT = "SET STATEMENT sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO' FOR "

_TYPES = {
    frozenset(): "TEXT",
    frozenset({bool}): "BOOLEAN",
    frozenset({float}): "DOUBLE",
    frozenset({int, float}): "DOUBLE",
    frozenset({UUID}): "CHAR(36)",
    frozenset({bytes}): "LONGBLOB",
    frozenset({date}): "DATE",
    frozenset({datetime}): "DATETIME(6)",
    frozenset({date, datetime}): "DATETIME(6)",
    frozenset({day_time}): "TIME(6)",
    frozenset({timedelta}): "TIME(6)",
    frozenset({dict}): "JSON",
}
_MOST_TEXT, _MOST_DIGITS, _MOST_DECIMALS = 65_535, 65, 38
_LISTS = (list, tuple, set, frozenset)


def load_table(
    connection: MariadbConnection,
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
        If MariaDB cannot store a value (the error names its column and row), or a transaction is open that a new table
        would commit.
    QueryFailed
        If the server refuses a statement. No row is written in that case.
    """
    frame = arrow.to_pandas(frame)
    names = list_columns(frame)
    schema, table = split_name(name)
    prefix = f"{quote_name(schema)}." if schema else ""
    target = prefix + quote_name(table)
    columns = [
        [to_python(value) for value in _list_values(frame.iloc[:, place])] for place in range(len(names))
    ]
    literals = [list(_make_literals(values, each)) for each, values in zip(names, columns, strict=True)]
    listed = ", ".join(map(quote_name, names))
    with connection.turn:
        connection.ready()
        is_open = connection.in_transaction
        try:
            if mode == "append":
                with connection.transaction():
                    _insert(connection, target, listed, literals, progress)
                return len(frame)
            if is_open:
                raise UsageProblem(
                    _("A new table would commit the open transaction."),
                    hint=_("end it first: %query_db COMMIT, or %query_db ROLLBACK"),
                )
            if mode == "new":
                connection.execute(f"CREATE TABLE {target} (a int)")  # its name is free, and may be used
                connection.execute(f"DROP TABLE {target}")
            made = prefix + quote_name(f"sspcloud_load_{secrets.token_hex(4)}")
            types = [
                f"{quote_name(each)} {_find_type(values, each)}"
                for each, values in zip(names, columns, strict=True)
            ]
            try:
                connection.execute(f"CREATE TABLE {made} ({', '.join(types)}) DEFAULT CHARSET = utf8mb4")
                with connection.transaction():
                    _insert(connection, made, listed, literals, progress)
                if mode == "replace":
                    connection.execute(f"DROP TABLE IF EXISTS {target}")
                connection.execute(f"RENAME TABLE {made} TO {target}")
            except BaseException:
                with suppress(pymysql.Error):
                    connection.execute(f"DROP TABLE IF EXISTS {made}")
                raise
            connection.changes += 1
        except pymysql.Error as error:
            if errors.number_of(error) == ER.TABLE_EXISTS_ERROR:
                raise QueryFailed(
                    errors.message_of(error),
                    hint=_("add to it with %load_table … --append, or replace it with --replace"),
                ) from None
            raise connection.translate(error, in_transaction=is_open) from None
    return len(frame)


def _insert(
    connection: MariadbConnection,
    target: str,
    listed: str,
    columns: Sequence[Sequence[str]],
    progress: Progress | None,
) -> None:
    began, start, size = time.perf_counter(), 0, 0
    rows = [f"({', '.join(row)})" for row in zip(*columns, strict=True)]
    for end, row in enumerate(rows, 1):
        size += len(row)
        if size > _BATCH or end == len(rows):
            values = ", ".join(rows[start:end])
            connection.execute(f"{_STRICT}INSERT INTO {target} ({listed}) VALUES {values}")  # noqa: S608 - quoted
            start, size = end, 0
            if progress is not None:
                progress(end, 0, time.perf_counter() - began)


def _list_values(column: pd.Series[Any]) -> list[Any]:
    missing = column.isna()
    return [None if gone else value for value, gone in zip(column, missing, strict=True)]


def _make_literals(values: Sequence[Any], name: str) -> Iterator[str]:
    for row, value in enumerate(values):
        try:
            yield make_document(value) if isinstance(value, _LISTS) else make_literal(value)
        except (TypeError, ValueError) as error:
            raise UsageProblem(
                _(
                    "MariaDB cannot store the value {value} of column {name}, row {row}.",
                    value=shorten(repr(value), 80),
                    name=repr(name),
                    row=row,
                ),
                why=str(error),
            ) from None


def _find_type(values: Sequence[Any], name: str) -> str:
    """Return the type of a column that stores all values as they are."""
    there = [value for value in values if value is not None]
    kinds = frozenset(dict if isinstance(each, _LISTS) else type(each) for each in there)
    if kinds in _TYPES:
        return _TYPES[kinds]
    if kinds == {str}:
        longest = max(len(each.encode()) for each in there)
        return "TEXT" if longest <= _MOST_TEXT else "LONGTEXT"
    if kinds == {int}:
        least, most = min(there), max(there)
        if least >= -(2**63) and most < 2**63:
            return "BIGINT"
        return "BIGINT UNSIGNED" if least >= 0 and most < 2**64 else f"DECIMAL({_MOST_DIGITS})"
    if kinds <= {int, Decimal}:
        parts = [Decimal(each).as_tuple() for each in there]
        decimals = max(max(0, -int(each.exponent)) for each in parts)
        digits = max(len(each.digits) + int(each.exponent) for each in parts)
        if decimals <= _MOST_DECIMALS and digits + decimals <= _MOST_DIGITS:
            return f"DECIMAL({max(1, digits, 0) + decimals}, {decimals})"
        raise UsageProblem(
            _("The values of column {name} have too many digits for MariaDB's DECIMAL.", name=repr(name)),
            hint=_('convert it: df["{name}"] = df["{name}"].astype(float)', name=name),
        )
    listed = ", ".join(sorted(each.__name__ for each in kinds))
    raise UsageProblem(
        _(
            "The values of column {name} have no common type in MariaDB: {types}.",
            name=repr(name),
            types=listed,
        ),
        hint=_('convert it: df["{name}"] = df["{name}"].astype(str)', name=name),
    )
