"""Conversion of a DataFrame's columns for COPY: PostgreSQL's type of each column, and its values as text.

A column gets a type from its dtype or from its values. If the values do not agree, it is refused with the first value
that does not fit. Nothing is rounded, truncated or guessed: an integer beyond 64 bits is numeric, a time keeps its
zone, and a date among instants is midnight. All types of PostgreSQL read text, including years BC or after 9999,
which Python's own types do not have.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import math
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import partial, singledispatch
from typing import Any

import numpy as np
import pandas as pd
import psycopg
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range

from sspcloud_magics.databases import arrow
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import N_, _, quote_words
from sspcloud_magics.printable import shorten

SHOWN = 80
"""The maximum number of characters of a refused value in its error."""

_INTEGERS = {"i1": "int2", "i2": "int2", "i4": "int4", "i8": "int8", "u1": "int2", "u2": "int4", "u4": "int8"}
_EXACT_FLOAT = 2**53
_LISTS = (list, tuple, set, frozenset, np.ndarray)
_DOCUMENTS = (Mapping, *_LISTS)

_INSTANT_WITH_ZONE = "instant with a zone"  # not translated: a key
_TIME_WITH_ZONE = "time with a zone"  # not translated: a key

_TYPES: dict[frozenset[str], str] = {
    frozenset(): "text",
    frozenset({"text"}): "text",
    frozenset({"boolean"}): "bool",
    frozenset({"integer"}): "int8",
    frozenset({"float"}): "float8",
    frozenset({"integer", "float"}): "float8",
    frozenset({"decimal"}): "numeric",
    frozenset({"decimal", "integer"}): "numeric",
    frozenset({"decimal", "float"}): "numeric",
    frozenset({"decimal", "integer", "float"}): "numeric",
    frozenset({"bytes"}): "bytea",
    frozenset({"instant"}): "timestamp",
    frozenset({_INSTANT_WITH_ZONE}): "timestamptz",
    frozenset({"date"}): "date",
    frozenset({"date", "instant"}): "timestamp",
    frozenset({"time"}): "time",
    frozenset({_TIME_WITH_ZONE}): "timetz",
    frozenset({"duration"}): "interval",
    frozenset({"uuid"}): "uuid",
    frozenset({"address"}): "inet",
    frozenset({"address", "network"}): "inet",
    frozenset({"network"}): "cidr",
    frozenset({"document"}): "jsonb",
}
"""The type for a column of Python objects, by the kinds of its values."""


@dataclass(frozen=True, slots=True)
class ColumnValues:
    """A column of a DataFrame, converted for COPY."""

    type: str  # PostgreSQL's type
    texts: Iterator[str | None]  # yields the values as text; None for a missing one
    modifier: str = ""  # the modifier of the type, such as ``(Point,2154)``
    extension: str = ""  # the extension that the type belongs to; empty for PostgreSQL's own


def convert_column(column: pd.Series[Any], name: str, *, has_vectors: bool = False) -> ColumnValues:
    """Convert a column for a new table.

    Parameters
    ----------
    has_vectors
        Whether arrays of float32 become vectors of pgvector instead of JSON.

    Raises
    ------
    UsageProblem
        If a value has no type in PostgreSQL, or the values have no common type.
    """
    if arrow.is_geometry(column):
        modifier = _geometry_modifier(column, _find_srid(column, name))
        return ColumnValues("geometry", convert_values(column, name, "geometry"), modifier, "postgis")
    if has_vectors and (vector := _find_vector(column)):
        kind, dimensions = vector
        return ColumnValues(kind, convert_values(column, name, kind), f"({dimensions})", "vector")
    plain = _plain_column(column, name)
    kind = _type_by_dtype(plain.dtype, plain) or _type_by_values(plain, name)
    return ColumnValues(kind, _texts(plain, name, _document if kind == "jsonb" else _text))


def convert_values(column: pd.Series[Any], name: str, type_name: str) -> Iterator[str | None]:
    """Convert the values of a column for a column of an existing table.

    Parameters
    ----------
    type_name
        The type of the table's column; that of an array ends with ``[]``.
    """
    item = _WRITERS.get(type_name.removesuffix("[]"), _text)
    write = partial(_array, write=item) if type_name.endswith("[]") else item
    return _texts(_plain_column(column, name), name, write)


def _find_srid(column: Any, name: str) -> int:
    """Return the SRID of the CRS of geometries; 0 if they have none."""
    srid: int | None = 0 if column.crs is None else column.crs.to_epsg()
    if srid is None:
        raise UsageProblem(
            _("The CRS of column {name!r} has no number of EPSG.", name=name),
            hint=_("convert it to one that has: gdf = gdf.to_crs(2154)"),
        )
    return srid


def _geometry_modifier(column: Any, srid: int) -> str:
    """Return the modifier of PostGIS's type for geometries; empty if some have a third dimension and others do not."""
    import shapely  # noqa: PLC0415 - GeoPandas has imported it

    present = column.dropna()
    kinds = {"LineString" if kind == "LinearRing" else kind for kind in present.geom_type}
    has_m = getattr(shapely, "has_m", lambda shapes: np.zeros(len(shapes), bool))  # since Shapely 2.1
    dimensions = set(zip(present.has_z.tolist(), has_m(present.to_numpy()).tolist(), strict=True)) or {
        (False, False)
    }
    if len(dimensions) > 1:
        return ""
    ((is_z, is_m),) = dimensions
    kind = kinds.pop() if len(kinds) == 1 else "Geometry"
    return f"({kind}{'Z' * is_z}{'M' * is_m},{srid})"


_VECTORS = {"float": "vector", "float32": "vector", "halffloat": "halfvec", "float16": "halfvec"}


def _find_vector(column: pd.Series[Any]) -> tuple[str, int] | None:
    """Return the type of a column of arrays of float32 or float16 and their number of elements, if all are alike."""
    found: set[tuple[str, int]] = set()
    if isinstance(column.dtype, pd.ArrowDtype):
        kind = column.dtype.pyarrow_dtype
        found = {(str(getattr(kind, "value_type", "")), getattr(kind, "list_size", 0))}
    elif column.dtype == object:
        found = {
            (str(value.dtype), len(value)) if isinstance(value, np.ndarray) and value.ndim == 1 else ("", 0)
            for value in column
            if value is not None
        }
    name, dimensions = found.pop() if len(found) == 1 else ("", 0)
    return (_VECTORS[name], dimensions) if name in _VECTORS and dimensions > 0 else None


def get_type_name(oid: int, cursor: psycopg.Cursor[Any]) -> str:
    """Return the name of a type; for an array, that of its elements with ``[]``.

    Parameters
    ----------
    oid
        The OID of the type.
    cursor
        Looks up a type of an extension or a user.
    """
    known = psycopg.adapters.types.get(oid)
    if known is not None:
        return f"{known.name}[]" if known.array_oid == oid else known.name
    cursor.execute(_TYPE_NAME, [oid])
    (name,) = cursor.fetchone() or ("",)
    return str(name)


_TYPE_NAME = """
SELECT CASE WHEN t.typelem OPERATOR(pg_catalog.<>) 0 AND t.typtype OPERATOR(pg_catalog.=) 'b'
            THEN pg_catalog.concat(e.typname, '[]') ELSE t.typname::pg_catalog.text END
FROM pg_catalog.pg_type AS t LEFT JOIN pg_catalog.pg_type AS e ON e.oid OPERATOR(pg_catalog.=) t.typelem
WHERE t.oid OPERATOR(pg_catalog.=) %s::pg_catalog.oid
"""
"""Its names are qualified one by one, since it runs inside the user's transaction."""


def _plain_column(column: pd.Series[Any], name: str) -> pd.Series[Any]:
    """Convert a column with special storage: categories to their values, sparse to dense, Arrow's instants to NumPy."""
    dtype = column.dtype
    if arrow.is_geometry(column):
        return pd.Series(arrow.write_ewkb(column, _find_srid(column, name)), index=column.index, dtype=object)
    if isinstance(dtype, pd.ArrowDtype):
        column = _convert_arrow_times(column, name, dtype.pyarrow_dtype)
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        in_utc = column.dt.tz_convert("UTC")
        # In other zones, pandas supports only Python's years.
        return column if in_utc.dropna().dt.year.between(2, 9998).all() else in_utc
    if isinstance(dtype, pd.CategoricalDtype):
        categories = dtype.categories
        # Categories may be numbers or intervals, not only strings.
        taken = [None if code < 0 else categories[code] for code in column.cat.codes]
        return pd.Series(taken, index=column.index, dtype=object)
    if isinstance(dtype, pd.SparseDtype):
        return pd.Series(np.asarray(column), index=column.index)
    return column


def _convert_arrow_times(column: pd.Series[Any], name: str, kind: Any) -> pd.Series[Any]:
    """Convert Arrow's instants and durations to NumPy; as Python objects they would be limited to Python's years."""
    import pyarrow as pa  # noqa: PLC0415 - such a column requires it

    if kind == pa.time64("ns"):
        for row, value in enumerate(column.array.__arrow_array__().cast(pa.int64()).to_pylist()):
            if value is not None and value % 1000:
                raise _make_refusal(name, row, column.iloc[row], str(_TooPreciseError()), is_too_precise=True)
    if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_duration(kind)):
        return column
    stored = column.array.__arrow_array__()
    values = (stored.cast(pa.timestamp("ms")) if pa.types.is_date64(kind) else stored).to_numpy()
    if pa.types.is_date(kind):
        values = values.astype("datetime64[s]")
    elif values.dtype == "datetime64[s]":  # `_type_by_dtype` would take them for dates
        seconds, values = values, values.astype("datetime64[ms]")
        overflown = np.flatnonzero((values.astype(seconds.dtype) != seconds) & ~np.isnat(seconds))
        if overflown.size:
            row = int(overflown[0])
            raise _make_refusal(name, row, seconds[row], _("PostgreSQL has no such year."))
    plain = pd.Series(values, index=column.index)
    return plain.dt.tz_localize("UTC") if getattr(kind, "tz", None) else plain


def _type_by_dtype(dtype: Any, column: pd.Series[Any]) -> str | None:
    """Return the type that a dtype determines; None if it depends on the values."""
    if isinstance(dtype, pd.DatetimeTZDtype):
        return "timestamptz"
    if isinstance(dtype, pd.StringDtype):
        return "text"
    plain = (
        np.dtype("O")
        if isinstance(dtype, pd.PeriodDtype | pd.IntervalDtype)
        else getattr(dtype, "numpy_dtype", dtype)
    )
    kind = getattr(plain, "kind", "O")
    if kind in "iu":
        return _INTEGERS.get(f"{kind}{plain.itemsize}", "numeric")
    if kind == "f":
        return "float4" if plain.itemsize <= 4 else "float8" if plain.itemsize == 8 else None
    if kind == "M":
        # A query returns dates as datetime64[s]; values with a time of day are not dates.
        present = column.dropna()
        return (
            "date"
            if str(dtype) == "datetime64[s]" and (present.dt.normalize() == present).all()
            else "timestamp"
        )
    return {"b": "bool", "m": "interval", "U": "text"}.get(kind)


def _type_by_values(column: pd.Series[Any], name: str) -> str:
    kinds: dict[str, int] = {}
    longest = 0
    for row, value in enumerate(_values(column, name)):
        if value is None:
            continue
        kind = _kind(value)
        if kind is None:
            raise _make_refusal(name, row, value, _("PostgreSQL has no type for it."))
        if kind == "integer":
            longest = max(longest, abs(int(value)))
        kinds.setdefault(kind, row)
    found = _TYPES.get(frozenset(kinds))
    if found is None:
        first, other, *_unused = kinds
        why = _(
            "It is {kind}, but each value before it is {other}.",
            kind=_(_KINDS[other]),
            other=_(_KINDS[first]),
        )
        raise _make_refusal(name, kinds[other], column.iloc[kinds[other]], why)
    if (found == "int8" and longest >= 2**63) or (found == "float8" and longest > _EXACT_FLOAT):
        return "numeric"
    return found


# The kinds of values, as `_kind` returns them, with their article.
_KINDS = {
    "address": N_("an IP address"),
    "boolean": N_("a boolean"),
    "bytes": N_("a value of bytes"),
    "date": N_("a date"),
    "decimal": N_("a decimal"),
    "document": N_("a document"),
    "duration": N_("a duration"),
    "float": N_("a float"),
    "instant": N_("an instant"),
    _INSTANT_WITH_ZONE: N_("an instant with a zone"),
    "integer": N_("an integer"),
    "network": N_("an IP network"),
    "text": N_("a text"),
    "time": N_("a time"),
    _TIME_WITH_ZONE: N_("a time with a zone"),
    "uuid": N_("a uuid"),
}


def _kind(value: Any) -> str | None:  # noqa: PLR0911 - a table of types, the most specific ones first
    if isinstance(value, bool | np.bool_):
        return "boolean"
    if isinstance(value, np.timedelta64):  # a subclass of np.integer
        return "duration"
    if isinstance(value, int | np.integer):
        return "integer"
    if isinstance(value, np.longdouble):  # more precise than PostgreSQL's floats
        return "decimal"
    if isinstance(value, float | np.floating):
        return "float"
    if isinstance(value, dt.datetime | np.datetime64):
        return _INSTANT_WITH_ZONE if getattr(value, "tzinfo", None) else "instant"
    if isinstance(value, dt.time):
        return _TIME_WITH_ZONE if value.tzinfo else "time"
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return _kind(value.item())
    if isinstance(value, _DOCUMENTS):
        return "document"
    simple = {
        Decimal: "decimal",
        str: "text",
        pd.Interval: "text",
        pd.Period: "text",
        Range: "text",
        Multirange: "text",
        bytes: "bytes",
        bytearray: "bytes",
        memoryview: "bytes",
        dt.date: "date",
        dt.timedelta: "duration",
        uuid.UUID: "uuid",
        ipaddress.IPv4Address: "address",  # also an interface: an address with its network
        ipaddress.IPv6Address: "address",
        ipaddress.IPv4Network: "network",
        ipaddress.IPv6Network: "network",
    }
    return next((kind for each, kind in simple.items() if isinstance(value, each)), None)


def _values(column: pd.Series[Any], name: str) -> Iterator[Any]:
    """Yield the values; None for a missing one."""
    try:
        missing = column.isna().tolist()
    except InvalidOperation:  # Decimal("sNaN") cannot be compared
        missing = [False] * len(column)
    row = -1
    try:
        for value, is_missing in zip(column, missing, strict=True):
            row += 1
            yield None if is_missing or value is np.ma.masked else value
    except _NOT_IN_PYTHON as error:
        raise UsageProblem(
            _("Column {name!r}, row {row}: the value has no counterpart in Python.", name=name, row=row + 1),
            why=quote_words(str(error)),
        ) from None


_NOT_IN_PYTHON = (ValueError, TypeError, ArithmeticError, RecursionError, NotImplementedError)


class _TooPreciseError(ValueError):
    """A value has nanoseconds."""

    def __str__(self) -> str:
        return _("PostgreSQL has microseconds, and would round its nanoseconds.")


def _texts(column: pd.Series[Any], name: str, write: Callable[[Any], str]) -> Iterator[str | None]:
    for row, value in enumerate(_values(column, name)):
        try:
            yield None if value is None else _check_text(write(value))
        except RecursionError:
            raise _make_refusal(
                name, row, value, _("Its lists and dicts are nested too deeply, or contain themselves.")
            ) from None
        except Exception as error:  # noqa: BLE001 - any error of a user's class
            is_too_precise = isinstance(error, _TooPreciseError)
            raise _make_refusal(name, row, value, str(error), is_too_precise=is_too_precise) from None


def make_server_refusal(
    error: psycopg.Error, frame: pd.DataFrame, names: Sequence[str]
) -> UsageProblem | None:
    """Return the error of a value that the server refused during COPY; None if the server does not report its place.

    The place is a sentence in the server's language: ``COPY t, line 1, column x: "abc"``.
    """
    place = next((line for line in (error.diag.context or "").splitlines() if line.startswith("COPY ")), "")
    found = _PLACE.search(place)
    if found is None or not 0 < int(found[1]) <= len(frame):
        return None
    text = place[found.end() :]
    index = min(
        (each for each, name in enumerate(names) if name in text),
        key=lambda each: (text.index(names[each]), -len(names[each])),
        default=None,
    )
    if error.diag.column_name in names:
        index = names.index(error.diag.column_name)
    if index is None:
        return None
    row = int(found[1]) - 1
    column = frame.iloc[row : row + 1, index]
    try:
        (value,) = column.tolist()
    except _NOT_IN_PYTHON:  # an instant of Arrow's
        (value,) = _plain_column(column, names[index])
    why = ". ".join(filter(None, (error.diag.message_primary, error.diag.message_detail)))
    refusal = _make_refusal(names[index], row, value, quote_words(shorten(why)))
    refusal.hint = _("change the value, or the type of the column")
    return refusal


_PLACE = re.compile(r"^COPY .*?, \D*(\d+)")


def _make_refusal(name: str, row: int, value: Any, why: str, *, is_too_precise: bool = False) -> UsageProblem:
    try:
        shown = " ".join(repr(value).split())
    except Exception:  # noqa: BLE001 - any error of a user's class, or an integer of 4,300 digits
        shown = _("a value of the type {type}", type=type(value).__name__)
    if len(shown) > SHOWN:
        shown = f"{shown[: SHOWN - 1]}…"
    shown = shown.encode("utf-8", "backslashreplace").decode()
    return UsageProblem(
        _("Column {name!r}, row {row}: {shown} cannot be loaded.", name=name, row=row, shown=shown),
        why=why,
        hint=_("round them: df[{name!r}] = df[{name!r}].dt.round('us')", name=name)
        if is_too_precise
        else _(
            "change the value, or convert the column to strings: df[{name!r}] = df[{name!r}].astype(str)",
            name=name,
        ),
    )


_NUL = N_("PostgreSQL cannot store a NUL character in text.")
_INFINITY = N_("JSON cannot represent infinity.")


def _check_text(text: str) -> str:
    """Return a text that PostgreSQL can store.

    Raises
    ------
    ValueError
        If it contains NUL or a lone surrogate.
    """
    if "\0" in text:
        raise ValueError(_(_NUL))
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(_("It contains a lone surrogate, which UTF-8 cannot encode.")) from None
    return text


@singledispatch
def _text(value: Any) -> str:
    """Return a value in PostgreSQL's text format."""
    return _document(value) if isinstance(value, _DOCUMENTS) else str(value)


@_text.register(np.generic)
def _numpy_text(value: np.generic) -> str:
    if isinstance(value, np.datetime64):
        return _instant(_to_timestamp(value))
    if isinstance(value, np.timedelta64):
        return _write_interval(value)
    plain = value.item()
    return _text(plain) if plain is not value and not isinstance(plain, np.generic) else str(value)


def _to_timestamp(value: np.datetime64) -> pd.Timestamp:
    """Return an instant of NumPy, which may be finer than nanoseconds."""
    unit, count = np.datetime_data(value.dtype)
    if unit in _FINER and int(value.astype(np.int64)) * count % _FINER[unit]:
        raise _TooPreciseError
    return pd.Timestamp(value)


# The units below a microsecond, and how many of them it has.
_FINER = {"ns": 10**3, "ps": 10**6, "fs": 10**9, "as": 10**12}
# The units from a microsecond on, in microseconds.
_COARSER = {
    "us": 1,
    "ms": 10**3,
    "s": 10**6,
    "m": 60 * 10**6,
    "h": 3600 * 10**6,
    "D": 86400 * 10**6,
    "W": 7 * 86400 * 10**6,
}


@_text.register(str)
def _string(value: str) -> str:
    return str.__str__(value)  # a subclass may override __str__, such as an Enum of strings


@_text.register(int)
def _integer(value: int) -> str:
    return int.__repr__(value)


@_text.register(dt.date)
def _day(value: dt.date) -> str:
    return dt.date.isoformat(value)


@_text.register(dt.time)
def _time(value: dt.time) -> str:
    if value.tzinfo is not None and value.utcoffset() is None:
        raise ValueError(_("Its time zone has no offset without a date."))
    return dt.time.isoformat(value)


@_text.register(np.ndarray)
def _array_text(value: np.ndarray[Any, Any]) -> str:
    return _text(value.item()) if value.ndim == 0 else _document(value)


@_text.register(bool)
def _boolean(value: bool) -> str:
    return "true" if value else "false"


@_text.register(bytes)
@_text.register(bytearray)
@_text.register(memoryview)
def _bytes(value: bytes | bytearray | memoryview) -> str:
    return rf"\x{bytes(value).hex()}"


@_text.register(float)
def _float(value: float) -> str:
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return "NaN" if math.isnan(value) else float.__repr__(value)


@_text.register(dt.datetime)
def _instant(value: dt.datetime) -> str:
    """Return an instant with microseconds; years before 1 are BC in PostgreSQL."""
    if isinstance(value, pd.Timestamp) and value.nanosecond:
        raise _TooPreciseError
    if (value.utcoffset() or dt.timedelta()).microseconds:
        value = value.astimezone(dt.UTC)
    era, year = ("", value.year) if value.year > 0 else (" BC", 1 - value.year)
    zone = ""
    if value.tzinfo is not None:
        offset = int((value.utcoffset() or dt.timedelta()).total_seconds())
        sign, seconds = "-" if offset < 0 else "+", abs(offset)
        zone = f"{sign}{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    day = f"{year:04d}-{value.month:02d}-{value.day:02d}"
    return f"{day} {value.hour:02d}:{value.minute:02d}:{value.second:02d}.{value.microsecond:06d}{zone}{era}"


@_text.register(dt.timedelta)
def _duration(value: dt.timedelta) -> str:
    if isinstance(value, pd.Timedelta):
        return _write_interval(value.asm8)
    return _write_microseconds(value // dt.timedelta(microseconds=1))


def _write_interval(value: np.timedelta64) -> str:
    """Return a duration of NumPy; its years and months, which have no fixed length, are those of PostgreSQL."""
    unit, count = np.datetime_data(value.dtype)
    number = int(value.astype(np.int64)) * count
    if unit in ("Y", "M"):
        return f"{number * (12 if unit == 'Y' else 1)} months"  # not translated: a value of PostgreSQL
    if unit in _COARSER:
        return _write_microseconds(number * _COARSER[unit])
    if unit not in _FINER:
        raise ValueError(_("It has no unit."))
    if number % _FINER[unit]:
        raise _TooPreciseError
    return _write_microseconds(number // _FINER[unit])


def _write_microseconds(microseconds: int) -> str:
    days, rest = divmod(abs(microseconds), _COARSER["D"])
    sign = "-" if microseconds < 0 else ""
    seconds = f"{rest // 10**6}.{rest % 10**6:06d}"
    return f"{sign}{days} days {sign}{seconds} seconds"  # not translated: a value of PostgreSQL


@_text.register(Range)
def _range(value: Range[Any]) -> str:
    if value.isempty:
        return "empty"
    lower, upper = ("" if each is None else _quote(_text(each)) for each in (value.lower, value.upper))
    return f"{value.bounds[0]}{lower},{upper}{value.bounds[1]}"


@_text.register(Multirange)
def _multirange(value: Multirange[Any]) -> str:
    return f"{{{','.join(map(_text, value))}}}"


def _document(value: Any) -> str:
    """Return a value as JSON; a string is taken for JSON."""
    if isinstance(value, str):
        return str.__str__(value)
    return json.dumps(_as_json(value), ensure_ascii=False, allow_nan=False)


@singledispatch
def _as_json(value: Any) -> Any:
    """Convert a value to types that JSON can represent.

    Raises
    ------
    ValueError
        If JSON cannot represent it.
    """
    if isinstance(value, Mapping):
        items = {_as_json(str(key)): _as_json(item) for key, item in value.items()}
        if len(items) < len(value):
            raise ValueError(_("Two of its keys are equal as strings."))
        return items
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return None if value is np.ma.masked else _as_json(value[()])
    if isinstance(value, _LISTS):
        return [_as_json(item) for item in value]
    if isinstance(value, str) and "\0" in value:
        raise ValueError(_(_NUL))
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, bytes | bytearray | memoryview):
        raise ValueError(_("JSON cannot represent bytes."))  # noqa: TRY004 - refused like any other value
    if isinstance(value, dt.date | dt.time):  # datetime is a subclass of date
        return value.isoformat()
    if _kind(value) is None:
        raise ValueError(_("JSON cannot represent a value of the type {type}.", type=type(value).__name__))
    return value if isinstance(value, str | bool | int) else _text(value)


@_as_json.register(np.generic)
def _numpy_json(value: np.generic) -> Any:
    if isinstance(value, np.datetime64 | np.timedelta64) and np.isnat(value):
        return None
    if isinstance(value, np.datetime64):
        return _as_json(_to_timestamp(value))
    if isinstance(value, np.longdouble):
        return _as_json(Decimal(str(value)))
    return _text(value) if isinstance(value, np.timedelta64) else _as_json(value.item())


@_as_json.register(float)
def _float_json(value: float) -> float | None:
    if math.isinf(value):
        raise ValueError(_(_INFINITY))
    return None if math.isnan(value) else float(value)


@_as_json.register(Decimal)
def _decimal_json(value: Decimal) -> float | int | None:
    if value.is_nan():
        return None
    if value.is_infinite():
        raise ValueError(_(_INFINITY))
    if Decimal(float(value)) != value:
        raise ValueError(_("JSON would round this decimal."))
    return int(value) if value == value.to_integral_value() else float(value)


def _hstore(value: Any) -> str:
    if not isinstance(value, Mapping):
        return _text(value)
    return ", ".join(
        f"{_quote(str(key))}=>{'NULL' if item is None or item is pd.NA else _quote(_text(item))}"
        for key, item in value.items()
    )


def _vector(value: Any) -> str:
    return arrow.write_vector(value) if isinstance(value, _LISTS) else _text(value)


def _sparse_vector(value: Any) -> str:
    return arrow.write_sparse_vector(value) if isinstance(value, _LISTS) else _text(value)


def _array(value: Any, write: Callable[[Any], str]) -> str:
    """Return a list in the text format of an array; any other value as text."""
    if not isinstance(value, _LISTS):
        return _text(value)
    return f"{{{','.join(_item(each, write) for each in value)}}}"


def _item(value: Any, write: Callable[[Any], str]) -> str:
    if value is None or value is pd.NA or value is pd.NaT or value is np.ma.masked:
        return "NULL"
    if isinstance(value, _LISTS):
        return _array(value, write)
    return _quote(write(value))


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _whole(value: Any) -> str:
    """Return an integral float as an integer: pandas converts integers to floats if one is missing."""
    return str(int(value)) if isinstance(value, float | np.floating) and value.is_integer() else _text(value)


def _date(value: Any) -> str:
    moment = _read_moment(value)
    if moment is not None and moment.time() != dt.time():
        raise ValueError(_("The column is a date, so the time of day would be lost."))
    text = _without_zone(value)
    return text.replace(" 00:00:00.000000", "") if moment is not None and not isinstance(value, str) else text


def _time_of_day(value: Any) -> str:
    if _read_moment(value) is not None:
        raise ValueError(_("The column is a time, so the date would be lost."))
    return _without_zone(value)


def _without_zone(value: Any) -> str:
    has_zone = (
        _ZONED_TIME.fullmatch(value) if isinstance(value, str) else getattr(value, "tzinfo", None) is not None
    )
    if has_zone:
        raise ValueError(_("The column has no time zone, so that of the value would be lost."))
    return _text(value)


# A time with an offset, at the end of an instant or alone.
_ZONED_TIME = re.compile(r".*\d:\d\d\S*(?:[+-]\d\d\S*|Z)\s*")


def _read_moment(value: Any) -> dt.datetime | None:
    """Return an instant, also one in a text of ISO 8601; None for any other value."""
    if isinstance(value, np.datetime64):
        return _to_timestamp(value)
    if isinstance(value, str):
        try:
            return dt.datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    return value if isinstance(value, dt.datetime) else None


def _characters(value: Any) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        raise ValueError(_("The column is a text: decode the bytes."))  # noqa: TRY004 - refused like any other value
    return _text(value)


_WRITERS: dict[str, Callable[[Any], str]] = {
    **dict.fromkeys(("json", "jsonb"), _document),
    **dict.fromkeys(("int2", "int4", "int8"), _whole),
    **dict.fromkeys(("text", "varchar", "bpchar", "citext"), _characters),
    "timestamp": _without_zone,
    "time": _time_of_day,
    "date": _date,
    "hstore": _hstore,
    **dict.fromkeys(("vector", "halfvec"), _vector),
    "sparsevec": _sparse_vector,
}
"""Conversions for the columns of an existing table, where PostgreSQL would refuse the usual text or lose a part."""
