"""What the columns of a DataFrame become in a table: PostgreSQL's type of each, and its values as the text of COPY.

A column has a type where its dtype or its values agree on one; else it is refused with the first value that does not fit.
Nothing is rounded, cut or guessed: an integer beyond 64 bits is numeric, a time with a zone keeps it, a date beside
instants is midnight. Text is what all of PostgreSQL's types read, years beyond 9999 and before Christ included, which
Python's own types have not.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import partial, singledispatch
from typing import Any

import numpy as np
import pandas as pd
import psycopg

from sspcloud_magics.errors import UsageProblem

SHOWN = 80
"""So many characters of a value are shown where it is refused."""

_INTEGERS = {"i1": "int2", "i2": "int2", "i4": "int4", "i8": "int8", "u1": "int2", "u2": "int4", "u4": "int8"}
_EXACT_FLOAT = 2**53
_DAY = dt.timedelta(days=1)
_LISTS = (list, tuple, set, frozenset, np.ndarray)
_DOCUMENTS = (Mapping, *_LISTS)

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
    frozenset({"instant with a zone"}): "timestamptz",
    frozenset({"date"}): "date",
    frozenset({"date", "instant"}): "timestamp",
    frozenset({"time"}): "time",
    frozenset({"time with a zone"}): "timetz",
    frozenset({"duration"}): "interval",
    frozenset({"uuid"}): "uuid",
    frozenset({"document"}): "jsonb",
}
"""What a column of Python's objects becomes, by the kinds of its values."""


@dataclass(frozen=True, slots=True)
class ColumnValues:
    """One column on its way into a table.

    Parameters
    ----------
    type
        PostgreSQL's type.
    texts
        Gives the values as text, None where one is missing.
    """

    type: str
    texts: Iterator[str | None]


def column_values(column: pd.Series[Any], name: str) -> ColumnValues:
    """Return a column as it goes into a table that is made for it.

    Raises
    ------
    UsageProblem
        If a value has no type in PostgreSQL, or the values have no type in common.
    """
    plain = _plain_column(column, name)
    kind = _type_by_dtype(plain.dtype, plain) or _type_by_values(plain, name)
    return ColumnValues(kind, _texts(plain, name, _document if kind == "jsonb" else _text))


def values_for(column: pd.Series[Any], name: str, type_name: str) -> Iterator[str | None]:
    """Return the values of a column as a column of a table takes them that is there.

    Parameters
    ----------
    column, name
        Which.
    type_name
        PostgreSQL's name of the type there; an array's ends with ``[]``.
    """
    item = _WRITERS.get(type_name.removesuffix("[]"), _text)
    write = partial(_array, write=item) if type_name.endswith("[]") else item
    return _texts(_plain_column(column, name), name, write)


def type_name(oid: int, cursor: psycopg.Cursor[Any]) -> str:
    """Return PostgreSQL's name of a type, with ``[]`` behind that of an array's items.

    Parameters
    ----------
    oid
        PostgreSQL's number of the type.
    cursor
        Asks the server for a type that an extension or a user has made.
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
"""It runs inside the user's transaction, so its names are pinned one by one."""


def _plain_column(column: pd.Series[Any], name: str) -> pd.Series[Any]:
    """Return a column without pandas' ways of storing: categories by their values, sparse as dense, Arrow's instants as NumPy's."""
    dtype = column.dtype
    if isinstance(dtype, pd.ArrowDtype):
        column = _without_arrows_clock(column, name, dtype.pyarrow_dtype)
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        in_utc = column.dt.tz_convert("UTC")
        # Elsewhere pandas has no other year than Python.
        return column if in_utc.dropna().dt.year.between(2, 9998).all() else in_utc
    if isinstance(dtype, pd.CategoricalDtype):
        categories = dtype.categories
        # Categories of intervals or numbers are what they are, not their names.
        taken = [None if code < 0 else categories[code] for code in column.cat.codes]
        return pd.Series(taken, index=column.index, dtype=object)
    if isinstance(dtype, pd.SparseDtype):
        return pd.Series(np.asarray(column), index=column.index)
    return column


def _without_arrows_clock(column: pd.Series[Any], name: str, kind: Any) -> pd.Series[Any]:
    """Return a column of Arrow's with its instants and durations as NumPy has them: one by one, Arrow gives Python's, with fewer years."""
    import pyarrow as pa  # noqa: PLC0415 - who has such a column has it

    if kind == pa.time64("ns"):
        for row, value in enumerate(column.array.__arrow_array__().cast(pa.int64()).to_pylist()):
            if value is not None and value % 1000:
                raise _make_refusal(name, row, column.iloc[row], _NANOSECONDS)
    if pa.types.is_timestamp(kind) or pa.types.is_date32(kind) or pa.types.is_duration(kind):
        values = column.array.__arrow_array__().to_numpy()
        if pa.types.is_date32(kind):
            values = values.astype("datetime64[s]")
        elif values.dtype == "datetime64[s]":  # in pandas they would be dates
            values = values.astype("datetime64[ms]")
        plain = pd.Series(values, index=column.index)
        return plain.dt.tz_localize("UTC").dt.tz_convert(kind.tz) if getattr(kind, "tz", None) else plain
    return column.astype(object) if pa.types.is_date(kind) else column


def _type_by_dtype(dtype: Any, column: pd.Series[Any]) -> str | None:
    """Return the type that a dtype says by itself; None where the values decide."""
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
        # A query makes datetime64[s] of a date; a time of day in it is none.
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
            raise _make_refusal(name, row, value, "It has no type in PostgreSQL.")
        if kind == "integer":
            longest = max(longest, abs(int(value)))
        kinds.setdefault(kind, row)
    found = _TYPES.get(frozenset(kinds))
    if found is None:
        first, other, *_ = kinds
        why = f"It is {_with_article(other)}, and the values before it are {_with_article(first)} each."
        raise _make_refusal(name, kinds[other], column.iloc[kinds[other]], why)
    if (found == "int8" and longest >= 2**63) or (found == "float8" and longest > _EXACT_FLOAT):
        return "numeric"
    return found


def _with_article(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _kind(value: Any) -> str | None:  # noqa: PLR0911 - a table of types, the narrower ones first
    if isinstance(value, bool | np.bool_):
        return "boolean"
    if isinstance(value, np.timedelta64):  # an integer to NumPy
        return "duration"
    if isinstance(value, int | np.integer):
        return "integer"
    if isinstance(value, np.longdouble):  # more digits than PostgreSQL's floats
        return "decimal"
    if isinstance(value, float | np.floating):
        return "float"
    if isinstance(value, dt.datetime | np.datetime64):
        return "instant with a zone" if getattr(value, "tzinfo", None) else "instant"
    if isinstance(value, dt.time):
        return "time with a zone" if value.tzinfo else "time"
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return _kind(value.item())
    if isinstance(value, _DOCUMENTS):
        return "document"
    simple = {
        Decimal: "decimal",
        str: "text",
        pd.Interval: "text",
        pd.Period: "text",
        bytes: "bytes",
        bytearray: "bytes",
        memoryview: "bytes",
        dt.date: "date",
        dt.timedelta: "duration",
        uuid.UUID: "uuid",
    }
    return next((kind for each, kind in simple.items() if isinstance(value, each)), None)


def _values(column: pd.Series[Any], name: str) -> Iterator[Any]:
    """Give the values, None where one is missing."""
    try:
        missing = column.isna().tolist()
    except InvalidOperation:  # Decimal("sNaN") refuses all questions
        missing = [False] * len(column)
    row = -1
    try:
        for value, is_missing in zip(column, missing, strict=True):
            row += 1
            yield None if is_missing else value
    except _NOT_IN_PYTHON as error:
        raise UsageProblem(
            f"Column {name!r}, row {row + 1}: the value has no counterpart in Python.", why=str(error)
        ) from None


_NOT_IN_PYTHON = (ValueError, TypeError, ArithmeticError, RecursionError, NotImplementedError)
_NANOSECONDS = "PostgreSQL counts microseconds, and would round its nanoseconds."


def _texts(column: pd.Series[Any], name: str, write: Callable[[Any], str]) -> Iterator[str | None]:
    for row, value in enumerate(_values(column, name)):
        try:
            yield None if value is None else _check_text(write(value))
        except RecursionError:
            raise _make_refusal(
                name, row, value, "Its lists and dicts are too deep, or contain themselves."
            ) from None
        except _NOT_IN_PYTHON as error:
            raise _make_refusal(name, row, value, str(error)) from None


def _make_refusal(name: str, row: int, value: Any, why: str) -> UsageProblem:
    try:
        shown = " ".join(repr(value).split())
    except Exception:  # noqa: BLE001 - what a class of the user's raises, or an integer of 4,300 digits
        shown = f"a value of the type {type(value).__name__}"
    if len(shown) > SHOWN:
        shown = f"{shown[: SHOWN - 1]}…"
    shown = shown.encode("utf-8", "backslashreplace").decode()
    return UsageProblem(
        f"Column {name!r}, row {row}: {shown} cannot be loaded.",
        why=why,
        hint=f"round them: df[{name!r}] = df[{name!r}].dt.round('us')"
        if why == _NANOSECONDS
        else f"change that value, or make texts of all: df[{name!r}] = df[{name!r}].astype(str)",
    )


_NUL = "PostgreSQL holds no text with a NUL character."


def _check_text(text: str) -> str:
    """Return a text that PostgreSQL can hold.

    Raises
    ------
    ValueError
        If it cannot.
    """
    if "\0" in text:
        raise ValueError(_NUL)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(
            "A part of it is half a character (a lone surrogate), which UTF-8 has not."
        ) from None
    return text


@singledispatch
def _text(value: Any) -> str:
    """Return a value as PostgreSQL reads it."""
    return _document(value) if isinstance(value, _DOCUMENTS) else str(value)


@_text.register(np.generic)
def _numpy_text(value: np.generic) -> str:
    if isinstance(value, np.datetime64):
        return _instant(pd.Timestamp(value))
    if isinstance(value, np.timedelta64):
        return _duration(pd.Timedelta(value))
    plain = value.item()
    return _text(plain) if plain is not value and not isinstance(plain, np.generic) else str(value)


@_text.register(str)
def _string(value: str) -> str:
    return str.__str__(value)  # whatever a class of the user's shows, such as an Enum of texts


@_text.register(int)
def _integer(value: int) -> str:
    return int.__repr__(value)


@_text.register(dt.date)
def _day(value: dt.date) -> str:
    return dt.date.isoformat(value)


@_text.register(dt.time)
def _time(value: dt.time) -> str:
    if value.tzinfo is not None and value.utcoffset() is None:
        raise ValueError("Its zone has no offset without a date.")
    return dt.time.isoformat(value)


@_text.register(np.ndarray)
def _array_text(value: np.ndarray[Any, Any]) -> str:
    return _text(value.item()) if value.ndim == 0 else _document(value)


@_text.register(bool)
def _boolean(value: bool) -> str:
    return "t" if value else "f"


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
    """Return an instant with microseconds, in years that PostgreSQL counts: before the year 1 they are BC."""
    if isinstance(value, pd.Timestamp) and value.nanosecond:
        raise ValueError(_NANOSECONDS)
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
    if isinstance(value, pd.Timedelta) and value.nanoseconds:
        raise ValueError(_NANOSECONDS)
    microseconds = value // dt.timedelta(microseconds=1)
    days, rest = divmod(abs(microseconds), _DAY // dt.timedelta(microseconds=1))
    sign = "-" if microseconds < 0 else ""
    return f"{sign}{days} days {sign}{rest // 10**6}.{rest % 10**6:06d} seconds"


def _document(value: Any) -> str:
    """Return a value as JSON; a text is one already."""
    if isinstance(value, str):
        return str.__str__(value)
    return json.dumps(_as_json(value), ensure_ascii=False, allow_nan=False)


@singledispatch
def _as_json(value: Any) -> Any:
    """Return a value with what JSON has no word for turned into what it means.

    Raises
    ------
    ValueError
        If JSON cannot hold it.
    """
    if isinstance(value, Mapping):
        items = {_as_json(str(key)): _as_json(item) for key, item in value.items()}
        if len(items) < len(value):
            raise ValueError("Two of its keys are the same text.")
        return items
    if isinstance(value, _LISTS):
        return [_as_json(item) for item in value]
    if isinstance(value, str) and "\0" in value:
        raise ValueError(_NUL)
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, bytes | bytearray | memoryview):
        raise ValueError("JSON has no word for bytes.")  # noqa: TRY004 - refused like any other value
    if isinstance(value, dt.date | dt.time):  # instants are dates to Python
        return value.isoformat()
    if _kind(value) is None:
        raise ValueError(f"JSON has no word for a value of the type {type(value).__name__}.")
    return value if isinstance(value, str | bool | int) else _text(value)


@_as_json.register(np.generic)
def _numpy_json(value: np.generic) -> Any:
    if isinstance(value, np.datetime64):
        return _as_json(pd.Timestamp(value))
    if isinstance(value, np.longdouble):
        return _as_json(Decimal(str(value)))
    return _text(value) if isinstance(value, np.timedelta64) else _as_json(value.item())


@_as_json.register(float)
def _float_json(value: float) -> float | None:
    if math.isinf(value):
        raise ValueError("JSON has no word for infinity.")
    return None if math.isnan(value) else float(value)


@_as_json.register(Decimal)
def _decimal_json(value: Decimal) -> float | int:
    if not value.is_finite() or Decimal(float(value)) != value:
        raise ValueError("JSON would round this decimal.")
    return int(value) if value == value.to_integral_value() else float(value)


def _hstore(value: Any) -> str:
    if not isinstance(value, Mapping):
        return _text(value)
    return ", ".join(
        f"{_quote(str(key))}=>{'NULL' if item is None or item is pd.NA else _quote(_text(item))}"
        for key, item in value.items()
    )


def _array(value: Any, write: Callable[[Any], str]) -> str:
    """Return a list as the text of an array; another value as it is."""
    if not isinstance(value, _LISTS):
        return _text(value)
    return f"{{{','.join(_item(each, write) for each in value)}}}"


def _item(value: Any, write: Callable[[Any], str]) -> str:
    if value is None or value is pd.NA or value is pd.NaT:
        return "NULL"
    if isinstance(value, _LISTS):
        return _array(value, write)
    return _quote(write(value))


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _whole(value: Any) -> str:
    """Return a whole float as an integer: pandas makes floats of integers where one is missing."""
    return str(int(value)) if isinstance(value, float | np.floating) and value.is_integer() else _text(value)


def _date(value: Any) -> str:
    if isinstance(value, np.datetime64):
        value = pd.Timestamp(value)
    if isinstance(value, dt.datetime):
        if value.time() != dt.time():
            raise ValueError("The column holds dates, and the time of day would be lost.")
        return _instant(value).replace(" 00:00:00.000000", "")
    return _text(value)


def _without_zone(value: Any) -> str:
    if getattr(value, "tzinfo", None) is not None:
        raise ValueError("The column holds no time zones, and that of the value would be lost.")
    return _text(value)


_WRITERS: dict[str, Callable[[Any], str]] = {
    **dict.fromkeys(("json", "jsonb"), _document),
    **dict.fromkeys(("int2", "int4", "int8"), _whole),
    **dict.fromkeys(("timestamp", "time"), _without_zone),
    "date": _date,
    "hstore": _hstore,
}
"""How values are written for a column that is there, where PostgreSQL would refuse their text or lose a part of it."""
