"""Conversion of Arrow tables to DataFrames with the dtypes that `query_db` gives, whatever the rows are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    import pyarrow as pa


def to_pandas(table: pa.Table, *, numeric: str = "float") -> pd.DataFrame:
    """Return an Arrow table as a DataFrame: nullable integers and booleans, strings, dates in seconds."""
    import pyarrow as pa  # noqa: PLC0415 - optional
    from pyarrow import types  # noqa: PLC0415 - optional

    names = {pa.int8(): "Int8", pa.int16(): "Int16", pa.int32(): "Int32", pa.int64(): "Int64"}
    names |= {pa.uint8(): "UInt8", pa.uint16(): "UInt16", pa.uint32(): "UInt32", pa.uint64(): "UInt64"}
    names |= {pa.bool_(): "boolean"}

    def dtype_of(kind: Any) -> Any:
        if types.is_string(kind) or types.is_large_string(kind):
            return pd.StringDtype()
        return pd.api.types.pandas_dtype(names[kind]) if kind in names else None

    columns = []
    for field, column in zip(table.schema, table.columns, strict=True):
        if types.is_decimal(field.type) and numeric == "float":
            columns.append(column.cast(pa.float64(), safe=False))
        elif types.is_dictionary(field.type):  # an enum
            columns.append(column.cast(field.type.value_type))
        elif types.is_interval(field.type):
            columns.append(pa.array(map(_to_microseconds, column.to_pylist()), pa.duration("us")))
        elif types.is_date(field.type):
            columns.append(column.cast(pa.timestamp("s")))
        else:
            columns.append(column)
    converted = pa.table(columns, names=[str(place) for place in range(len(columns))])
    frame: pd.DataFrame = converted.to_pandas(
        types_mapper=dtype_of, date_as_object=False, timestamp_as_object=False
    )
    frame.columns = pd.Index(table.column_names)
    return frame


def _to_microseconds(interval: Any) -> int | None:
    """Return the length of an interval: as in a query of PostgreSQL, a year has 365 days and a month 30."""
    if interval is None:
        return None
    sign = -1 if interval.months < 0 else 1
    years, months = divmod(abs(interval.months), 12)
    days = interval.days + sign * (years * 365 + months * 30)
    return int(days * _DAY + interval.nanoseconds // 1000)


_DAY = 86_400 * 10**6
