"""From PostgreSQL's types to pandas': what dtype each column has, whatever rows there are.

The dtype follows from the column's type alone, so that an empty result, or a chunk without a NULL, has
the same dtypes as any other. Each value equals the one that psycopg gives, but for what this table
says.

==============================  ====================  ==========================================
PostgreSQL                      dtype                 NULL, and what to know
==============================  ====================  ==========================================
smallint, integer, bigint, oid  Int16, Int32, Int64   <NA>; an integer stays one
real, double precision          float32, float64      NaN, as is the value NaN
numeric                         float64               NaN; ``numeric="decimal"`` gives Decimal
boolean                         boolean               <NA>
text, varchar, char, name, xml  string                <NA>
enum, money, tsvector, citext   string                <NA>; as PostgreSQL writes them
date                            datetime64[s]         NaT
timestamp                       datetime64[us]        NaT
timestamptz                     datetime64[us, ZONE]  NaT; ZONE is the session's time zone
interval                        timedelta64[us]       NaT; a month counts 30 days, a year 365
time, timetz                    object                None; `datetime.time`
uuid, bytea, json, jsonb        object                None; UUID, bytes, what the JSON means
inet, cidr, arrays, ranges      object                None; what psycopg gives
==============================  ====================  ==========================================

Why numeric is float64: sums and models run 50 times faster than on Decimal, and 15 digits are exact.
An integer too large for a float to be exact, such as a sum of bigint may be, is said in a note.

An infinite date or timestamp becomes NaT, and a note says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt
import pandas as pd
import psycopg

Array: TypeAlias = npt.NDArray[Any]
Values: TypeAlias = Sequence[Any] | Array
Numeric: TypeAlias = Literal["float", "decimal"]

_FLOAT_EXACT = 2**53


@dataclass(slots=True)
class Column:
    """One column while its rows arrive: chunk by chunk into arrays, at the end into one.

    Parameters
    ----------
    name
        As the server names it.
    to_array
        Turns the values of a chunk into an array, which may be masked; it may add to `notes`.
    to_pandas
        Turns the whole into the array that the DataFrame holds.
    oid
        PostgreSQL's number of its type.
    """

    name: str
    to_array: Callable[[Values, Column], Array]
    to_pandas: Callable[[Array], Any]
    oid: int = 0
    arrays: list[Array] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)

    def append(self, values: Values) -> None:
        """Take the values of one chunk, loaded as `loaded_as` says."""
        self.arrays.append(self.to_array(values, self))

    def note(self, words: str, count: int) -> None:
        """Remember that `count` values are not what the server holds."""
        self.notes[words] = self.notes.get(words, 0) + count

    def finish(self) -> Any:
        """Return the array of all chunks; the column is empty afterwards."""
        arrays: list[Any] = self.arrays or [self.to_array((), self)]
        self.arrays = []
        first: Any = arrays[0]
        if len(arrays) == 1:
            whole = first
        elif hasattr(first, "_concat_same_type"):
            whole = first._concat_same_type(arrays)  # noqa: SLF001 - an extension array's, named so for implementers
        elif isinstance(first, np.ma.MaskedArray):
            whole = np.ma.concatenate(arrays)  # type: ignore[no-untyped-call] # NumPy's own gap
        else:
            whole = np.concatenate(arrays)
        del arrays
        return self.to_pandas(whole)


def loaded_as(oid: int, numeric: Numeric) -> int:
    """Return the type as which psycopg shall load a column: as text, what is faster converted by columns.

    Parameters
    ----------
    oid
        PostgreSQL's number of the column's type.
    numeric
        What numeric becomes.
    """
    if oid == _NUMERIC and numeric == "float":
        return _FLOAT
    return _TEXT if oid in _AS_TEXT else oid


def column(
    name: str, oid: int, *, numeric: Numeric, time_zone: str, adapters: psycopg.adapt.AdaptersMap
) -> Column:
    """Return the column for a type.

    Parameters
    ----------
    name
        Its name.
    oid
        PostgreSQL's number of its type.
    numeric
        What numeric becomes.
    time_zone
        The session's, as ``SHOW TimeZone`` names it.
    adapters
        What psycopg knows of types; a type that it does not know comes as text.
    """
    if oid in _BY_TYPE and not (oid == _NUMERIC and numeric == "decimal"):
        to_array, to_pandas = _BY_TYPE[oid]
    elif oid == _TIMESTAMPTZ:
        to_array, to_pandas = _instants, _in_zone(time_zone)
    elif adapters.get_loader(oid, psycopg.pq.Format.TEXT) is None:
        to_array, to_pandas = _strings, _same
    else:
        to_array, to_pandas = _objects, _same
    return Column(name, to_array, to_pandas, oid)


def _same(whole: Array) -> Array:
    return whole


def _filled(values: Values, instead: object) -> tuple[Values, list[bool] | None]:
    """Return the values with `instead` for NULL, and where it was; None where it was nowhere."""
    if None not in values:
        return values, None
    return [instead if value is None else value for value in values], [value is None for value in values]


def _masked(dtype: type[np.generic]) -> Callable[[Values, Column], Array]:
    def to_array(values: Values, column: Column) -> Array:  # noqa: ARG001 - one signature for all
        filled, missing = _filled(values, 0)
        return np.ma.MaskedArray(
            np.array(filled, dtype=dtype),
            np.zeros(len(values), dtype=bool) if missing is None else np.array(missing, dtype=bool),
        )

    return to_array


def _nullable(kind: Any) -> Callable[[Array], Any]:
    def to_pandas(whole: Array) -> Any:
        return kind(np.ma.getdata(whole), np.ma.getmaskarray(whole))

    return to_pandas


def _floats(dtype: type[np.generic]) -> Callable[[Values, Column], Array]:
    def to_array(values: Values, column: Column) -> Array:  # noqa: ARG001 - one signature for all
        return np.array(values, dtype=dtype)  # None becomes NaN

    return to_array


def _numerics(values: Values, column: Column) -> Array:
    numbers = np.array(values, dtype=np.float64)
    large = np.isfinite(numbers) & (np.abs(numbers) >= _FLOAT_EXACT)
    if large.any():
        column.note("of 2**53 or more may be rounded: numeric='decimal' keeps them exact", int(large.sum()))
    return numbers


def _objects(values: Values, column: Column) -> Array:  # noqa: ARG001 - one signature for all
    array = np.empty(len(values), dtype=object)
    array[:] = values  # so that a list in it stays one value
    return array


def _strings(values: Values, column: Column) -> Any:
    # At once, chunk by chunk: where pandas keeps texts in Arrow, Python's own are gone with their chunk.
    return pd.array(_objects(values, column), dtype="string")


def _jsons(values: Values, column: Column) -> Array:
    # One call of the parser for the chunk: a third of the time of one for each value.
    present = iter(json.loads(f"[{','.join(value for value in values if value is not None)}]"))
    return _objects([None if value is None else next(present) for value in values], column)


def _intervals(values: Values, column: Column) -> Array:  # noqa: ARG001 - one signature for all
    microsecond = timedelta(microseconds=1)
    nothing = np.timedelta64("NaT", "us").astype(np.int64)
    return np.array([nothing if value is None else value // microsecond for value in values], "m8[us]")


# ISO 8601 as PostgreSQL writes it; years beyond four digits and before Christ are rare and slow.
_UNUSUAL = re.compile(r"(?P<year>\d+)-(?P<rest>[^ ]*(?: [\d:.]+)?)(?P<era> BC)?")


def _stamps(values: Values, column: Column, unit: str) -> Array:
    texts = ["NaT" if value is None else value for value in values]
    together = "".join(texts)
    if "C" in together or "i" in together:  # BC, infinity
        return np.array([_stamp(text, column) for text in texts], dtype=f"M8[{unit}]")
    try:
        return np.array(texts, dtype=f"M8[{unit}]")
    except ValueError:  # years of five digits
        return np.array([_stamp(text, column) for text in texts], dtype=f"M8[{unit}]")


def _stamp(text: str, column: Column) -> str:
    if text.endswith("infinity"):
        column.note("infinite and became NaT", 1)
        return "NaT"
    found = _UNUSUAL.fullmatch(text)
    if found is None:
        return text
    year = int(found["year"])
    # The year before 1 is 0 to NumPy and 1 BC to PostgreSQL.
    signed = f"{1 - year:05d}" if found["era"] else f"{year:04d}"
    return f"{'+' if year > 9999 and not found['era'] else ''}{signed}-{found['rest']}"


def _dates(values: Values, column: Column) -> Array:
    return _stamps(values, column, "s")


def _timestamps(values: Values, column: Column) -> Array:
    return _stamps(values, column, "us")


_SHORT_OFFSET = re.compile(r"[+-]\d\d")
_OFFSET = re.compile(r"(?P<sign>[+-])(?P<hours>\d+)(?::(?P<minutes>\d+))?(?::(?P<seconds>\d+))?")


def _instants(values: Values, column: Column) -> Array:
    """Return UTC from local times with their offsets: ``2024-07-14 10:00:00+02``."""
    texts = ["NaT+00" if value is None else value for value in values]
    offsets = {text[-3:] for text in texts}
    if not all(_SHORT_OFFSET.fullmatch(offset) for offset in offsets):
        return _unusual_instants(texts, column)
    local = _stamps([text[:-3] for text in texts], column, "us")
    instants: Array
    if len(offsets) <= 1:
        instants = local - np.timedelta64(sum(map(_seconds, offsets)), "s")
    else:
        known = {offset: _seconds(offset) for offset in offsets}
        instants = local - np.array([known[text[-3:]] for text in texts], dtype="m8[s]")
    return instants


def _unusual_instants(texts: list[str], column: Column) -> Array:
    """Do the same where an offset has minutes, or an era follows it: ``0044-03-15 12:00:00+00:09:21 BC``."""
    local, shifts = [], []
    for text in texts:
        found = _OFFSET.search(text, text.find(":") + 1)
        local.append(text if found is None else text[: found.start()] + text[found.end() :])
        shifts.append(0 if found is None else _seconds(found.group()))
    instants: Array = _stamps(local, column, "us") - np.array(shifts, dtype="m8[s]")
    return instants


def _seconds(offset: str) -> int:
    found = _OFFSET.fullmatch(offset)
    if found is None:
        return 0
    size = int(found["hours"]) * 3600 + int(found["minutes"] or 0) * 60 + int(found["seconds"] or 0)
    return -size if found["sign"] == "-" else size


def _in_zone(time_zone: str) -> Callable[[Array], Any]:
    try:
        zone: Any = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        zone = "UTC"  # a zone that only the server knows, such as <+02>-02: psycopg says UTC too

    def to_pandas(whole: Array) -> Any:
        return pd.DatetimeIndex(whole).tz_localize("UTC").tz_convert(zone).array

    return to_pandas


def _oid(name: str) -> int:
    return psycopg.adapters.types[name].oid


_NUMERIC = _oid("numeric")
_FLOAT = _oid("float8")
_TEXT = _oid("text")
_TIMESTAMPTZ = _oid("timestamptz")
_AS_TEXT = frozenset(_oid(name) for name in ("date", "timestamp", "timestamptz", "json", "jsonb"))
_BY_TYPE: dict[int, tuple[Callable[[Values, Column], Array], Callable[[Array], Any]]] = {
    _oid("int2"): (_masked(np.int16), _nullable(pd.arrays.IntegerArray)),
    _oid("int4"): (_masked(np.int32), _nullable(pd.arrays.IntegerArray)),
    _oid("int8"): (_masked(np.int64), _nullable(pd.arrays.IntegerArray)),
    _oid("oid"): (_masked(np.int64), _nullable(pd.arrays.IntegerArray)),
    _oid("bool"): (_masked(np.bool_), _nullable(pd.arrays.BooleanArray)),
    _oid("float4"): (_floats(np.float32), _same),
    _oid("float8"): (_floats(np.float64), _same),
    _NUMERIC: (_numerics, _same),
    _oid("date"): (_dates, _same),
    _oid("timestamp"): (_timestamps, _same),
    _oid("interval"): (_intervals, _same),
    _oid("json"): (_jsons, _same),
    _oid("jsonb"): (_jsons, _same),
    **{
        _oid(name): (_strings, _same)
        for name in ("text", "varchar", "bpchar", "name", '"char"', "xml", "money")
    },
}
"""How the values of each type are put into arrays; psycopg's objects stay where a type is not here."""

STYLED = frozenset(_oid(name) for name in ("date", "timestamp", "timestamptz", "interval"))
"""Types whose text depends on DateStyle or IntervalStyle."""
