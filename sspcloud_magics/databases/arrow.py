"""Conversion of rows to Arrow tables, for Parquet files and for libraries that accept one.

Columns of objects are converted by the column's type alone, so that all parts of a result have the same schema:
bytes and times keep their type, JSON becomes its text, and so does any other type (uuid, arrays, ranges, exact numerics).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from sspcloud_magics.databases.column_names import FOR_POLARS, refuse_duplicates
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import _

# A kind of database describes its columns by the OIDs of PostgreSQL's types: those that it has, or that correspond.
BYTES, TIME, DATE, NUMERIC, JSON, TEXT = 17, 1083, 1082, 1700, (114, 3802), 25


def import_optional(package: str, extra: str, what: str) -> Any:
    """Import an optional package, or explain how to install it.

    Raises
    ------
    UsageProblem
        If it is not installed.
    """
    from importlib import import_module  # noqa: PLC0415 - next to its use

    try:
        return import_module(package)
    except ImportError:
        raise UsageProblem(
            _("{what} needs the package {package}, which is not installed.", what=what, package=package),
            hint=_("install it: %pip install 'sspcloud-magics[{extra}]'", extra=extra),
        ) from None


def to_plain_columns(frame: pd.DataFrame, types: Sequence[int]) -> list[pd.Series[Any]]:
    """Return the columns of a frame, with objects other than bytes and times converted to strings.

    Parameters
    ----------
    frame
        The rows.
    types
        The type OID of each column.
    """
    columns = []
    for index, oid in enumerate(types):
        column = frame.iloc[:, index]
        if column.dtype == object and oid not in (BYTES, TIME):
            texts = [
                None
                if value is None
                else json.dumps(value, ensure_ascii=False)
                if oid in JSON
                else str(value)
                for value in column
            ]
            column = pd.Series(texts, dtype="string", index=column.index)
        columns.append(column)
    return columns


def arrow_table(frame: pd.DataFrame, types: Sequence[int]) -> Any:
    """Return the frame as a ``pyarrow.Table``.

    Raises
    ------
    UsageProblem
        If pyarrow is not installed.
    """
    pa = import_optional("pyarrow", "arrow", _("An Arrow table"))
    arrays = []
    for column, oid in zip(to_plain_columns(frame, types), types, strict=True):
        if column.dtype == object:
            arrays.append(pa.array(column.tolist(), pa.binary() if oid == BYTES else pa.time64("us")))
        elif column.dtype == "string":
            arrays.append(pa.array(column, pa.large_string()))
        elif oid == DATE:
            arrays.append(pa.array(column, from_pandas=True).cast(pa.date32()))
        else:
            arrays.append(pa.array(column, from_pandas=True))
    return pa.Table.from_arrays(arrays, names=[str(name) for name in frame.columns])


def polars_frame(frame: pd.DataFrame, types: Sequence[int]) -> Any:
    """Return the frame as a ``polars.DataFrame``.

    Raises
    ------
    UsageProblem
        If polars or pyarrow is not installed, or two columns have the same name.
    """
    refuse_duplicates(frame.columns, FOR_POLARS)
    return import_optional("polars", "arrow", _("A polars DataFrame")).from_arrow(arrow_table(frame, types))


def converter(as_: str) -> Callable[[pd.DataFrame, Sequence[int]], Any]:
    """Return the function that converts rows to ``pandas``, ``arrow`` or ``polars``.

    Raises
    ------
    UsageProblem
        If pyarrow is needed and not installed.
    """
    if as_ == "pandas":
        return lambda frame, _types: frame
    import_optional("pyarrow", "arrow", _("An Arrow table"))
    return arrow_table if as_ == "arrow" else polars_frame
