"""Documents of MongoDB as a DataFrame.

A collection has no schema: the dtype of a column follows from the BSON types of its values. One type gives one dtype
(`docs/types.md` has the table); several types that have no common one stay Python objects. A missing field is a missing value.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
from bson import Binary, Decimal128, Int64, ObjectId, json_util
from bson.datetime_ms import DatetimeMS

from sspcloud_magics.databases.arrow import BYTES, JSON, NUMERIC, TEXT
from sspcloud_magics.databases.query_options import QueryOptions

_EXACT = 2**53
_NAT = np.iinfo(np.int64).min
"""NumPy's number for NaT."""

_NAMES: dict[type, str] = {
    ObjectId: "objectId",
    str: "string",
    bool: "bool",
    int: "int",
    Int64: "long",
    float: "double",
    Decimal128: "decimal",
    datetime: "date",
    DatetimeMS: "date",
    bytes: "binData",
    Binary: "binData",
    UUID: "uuid",
    dict: "object",
    list: "array",
    type(None): "null",
}


def name_type(value: object) -> str:
    """Return MongoDB's name for the type of a value."""
    return _NAMES.get(type(value), type(value).__name__)


def make_frame(
    documents: Sequence[dict[str, Any]], options: QueryOptions
) -> tuple[pd.DataFrame, tuple[int, ...]]:
    """Return documents as a DataFrame, and the type of PostgreSQL that corresponds to each column.

    Parameters
    ----------
    documents
        The documents; their fields become columns, in the order of their first appearance.
    options
        The options of the query: the type of decimals, and whether nested values are text.
    """
    names = list(dict.fromkeys(name for document in documents for name in document))
    made = [_make_column([document.get(name) for document in documents], options) for name in names]
    frame = pd.DataFrame({place: values for place, (values, _oid) in enumerate(made)}, copy=False)
    frame.columns = pd.Index(names)
    return frame, tuple(oid for _values, oid in made)


def _make_column(values: list[Any], options: QueryOptions) -> tuple[Any, int]:  # noqa: PLR0911 - one branch per type
    kinds = {type(value) for value in values if value is not None}
    if kinds and kinds <= {int, Int64}:
        return pd.array([None if value is None else int(value) for value in values], dtype="Int64"), 0
    if kinds == {bool}:
        return pd.array(values, dtype="boolean"), 0
    if kinds == {str}:
        return pd.array(values, dtype="string"), TEXT
    if kinds and kinds <= {datetime, DatetimeMS}:
        return _to_dates(values), 0
    if float in kinds and kinds <= {float, int, Int64} and _are_exact(values):
        return np.array([np.nan if value is None else float(value) for value in values]), 0
    if kinds == {Decimal128}:
        exact = [None if value is None else value.to_decimal() for value in values]
        if options.numeric == "decimal":
            return _objects(exact), NUMERIC
        return np.array([np.nan if value is None else _to_float(value) for value in exact]), 0
    if kinds and kinds <= {bytes, Binary}:
        return _objects([None if value is None else bytes(value) for value in values]), BYTES
    if not options.json_text:
        return _objects(values), JSON[0] if kinds <= {dict, list} else TEXT
    texts = [None if value is None else _to_text(value) for value in values]
    return pd.array(texts, dtype="string"), TEXT


def _to_dates(values: list[Any]) -> Any:
    """Return dates, which BSON counts in milliseconds; years after 9999 too, which Python does not have."""
    moments = [_NAT if value is None else _count_milliseconds(value) for value in values]
    return pd.Series(np.array(moments, "int64").view("datetime64[ms]")).dt.tz_localize("UTC").array


def _count_milliseconds(value: datetime | DatetimeMS) -> int:
    return int(value if isinstance(value, DatetimeMS) else DatetimeMS(value))


def _are_exact(values: list[Any]) -> bool:
    return all(abs(value) <= _EXACT for value in values if isinstance(value, int))


def _to_float(value: Decimal) -> float:
    return float(value) if not value.is_nan() else np.nan


def _to_text(value: Any) -> str:
    if isinstance(value, dict | list):
        return json_util.dumps(value, ensure_ascii=False)
    return str(value)


def _objects(values: list[Any]) -> Any:
    made = np.empty(len(values), object)
    made[:] = values
    return made
