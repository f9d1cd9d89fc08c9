"""Conversion of PostgreSQL's types to pandas dtypes.

The dtype depends only on the column's type, so that an empty result, or a chunk without NULL, has the same dtypes as
any other. Each value equals psycopg's, except as this table says.

==============================  ====================  ==========================================
PostgreSQL                      dtype                 NULL, and remarks
==============================  ====================  ==========================================
smallint, integer, bigint, oid  Int16, Int32, Int64   <NA>; never converted to float
real, double precision          float32, float64      NaN, as for the value NaN
numeric                         float64               NaN; ``numeric="decimal"`` gives Decimal
boolean                         boolean               <NA>
text, varchar, char, name, xml  string                <NA>
enum, money, tsvector, citext   string                <NA>; PostgreSQL's text format
date                            datetime64[s]         NaT
timestamp                       datetime64[us]        NaT
timestamptz                     datetime64[us, ZONE]  NaT; ZONE is the session's time zone
interval                        timedelta64[us]       NaT; a month has 30 days, a year 365
time, timetz                    object                None; `datetime.time`
uuid, bytea, json, jsonb        object                None; UUID, bytes, the parsed JSON
inet, cidr, arrays, ranges      object                None; psycopg's objects
==============================  ====================  ==========================================

The dtype of numeric is float64, since sums and models run 50 times faster than on Decimal, and 15 digits are exact.
A note reports integers too large for an exact float, as in a sum of bigint, and infinite dates or timestamps, which
become NaT.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt
import pandas as pd
import psycopg

from sspcloud_magics.databases.growable_array import GrowingArray
from sspcloud_magics.databases.query_options import Numeric
from sspcloud_magics.i18n import N_, _, _n

Array: TypeAlias = npt.NDArray[Any]
Values: TypeAlias = Sequence[Any] | Array

_FLOAT_EXACT = 2**53


class Note(StrEnum):
    """A reason for which values differ from the server's."""

    BEYOND = "beyond"
    INFINITE = "infinite"
    MIXED_SRIDS = "mixed_srids"
    NO_GEOMETRY = "no_geometry"
    NO_GEOPANDAS = "no_geopandas"
    ROUNDED = "rounded"
    TOO_FAR = "too_far"
    TOO_LARGE = "too_large"
    UNKNOWN_SRID = "unknown_srid"

    def describe(self, column: str, count: int) -> str:
        """Return the note for `count` values of a column."""
        if self in _ON_GEOMETRIES:
            return _(_ON_GEOMETRIES[self], column=column, count=count)
        if self is Note.BEYOND:
            return _n(
                "{column}: {count} value beyond the years 1 to 9999, which pandas has in UTC only, and became NaT: "
                "SET time zone 'UTC'.",
                "{column}: {count} values beyond the years 1 to 9999, which pandas has in UTC only, and became NaT: "
                "SET time zone 'UTC'.",
                count,
                column=column,
            )
        if self is Note.INFINITE:
            return _n(
                "{column}: {count} value infinite and became NaT.",
                "{column}: {count} values infinite and became NaT.",
                count,
                column=column,
            )
        if self is Note.ROUNDED:
            return _n(
                "{column}: {count} value of 2**53 or more may be rounded: numeric='decimal' keeps them exact.",
                "{column}: {count} values of 2**53 or more may be rounded: numeric='decimal' keeps them exact.",
                count,
                column=column,
            )
        if self is Note.TOO_FAR:
            return _n(
                "{column}: {count} value later than pandas can hold and became NaT.",
                "{column}: {count} values later than pandas can hold and became NaT.",
                count,
                column=column,
            )
        return _n(
            "{column}: {count} value too large for a float became infinite: numeric='decimal' keeps them.",
            "{column}: {count} values too large for a float became infinite: numeric='decimal' keeps them.",
            count,
            column=column,
        )


_ON_GEOMETRIES = {
    Note.MIXED_SRIDS: N_(
        "{column}: the geometries have {count} SRIDs, so the column has no CRS: ST_Transform makes them equal."
    ),
    Note.NO_GEOMETRY: N_(
        "{column}: some geometries cannot be read here, and stay text: ST_CurveToLine may convert them."
    ),
    Note.NO_GEOPANDAS: N_(
        "{column}: geometries stay text. For a GeoDataFrame: %pip install 'sspcloud-magics[geo]'"
    ),
    Note.UNKNOWN_SRID: N_("{column}: the SRID {count} is unknown here, so the column has no CRS."),
}

LAST_YEAR = 294_246
"""The last full year that 64-bit microseconds since 1970 can represent; PostgreSQL's range ends 30 years later."""

TOGETHER = 64_000
"""The number of rows after which pieces are joined: many small pieces would fragment the memory."""


@dataclass(slots=True)
class ResultColumn:
    """One column of a result: chunks become pieces as they arrive, and the pieces one array at the end.

    A piece is a NumPy array, a pair of them (the values and the NULL mask), or an Arrow array.
    """

    name: str  # the name in the result
    # Converts the values of a chunk, loaded as the type from `get_load_type`, to a piece; it may add notes.
    to_piece: Callable[[Values, ResultColumn], Any]
    to_pandas: Callable[[list[Any]], Any]  # converts all pieces to the array for the DataFrame
    # The dtype, if the pieces are NumPy arrays that the DataFrame can use directly; else None.
    plain: np.dtype[Any] | None
    oid: int = 0  # the OID of its type
    size: int = 0  # the number of bytes received, if the format says
    bounded: bool = False  # whether its instants must be within Python's years 1 to 9999
    # The latest pieces, and the number of their rows.
    pieces: list[Any] = field(default_factory=list)
    waiting: int = 0
    # The earlier pieces, joined: Python or Arrow values in lists of large pieces, others in growing arrays.
    large: list[Any] = field(default_factory=list)
    grown: tuple[GrowingArray, ...] = ()
    # The number of values that differ from the server's, by the reason.
    notes: dict[Note, int] = field(default_factory=dict)

    def take(self, piece: Any) -> None:
        """Add a piece."""
        self.pieces.append(piece)
        self.waiting += len(piece[0] if isinstance(piece, tuple) else piece)
        if self.waiting >= TOGETHER:
            self._put_aside()

    def _put_aside(self) -> None:
        """Join the latest pieces with the earlier ones."""
        pieces, self.pieces, self.waiting = self.pieces, [], 0
        parts = list(zip(*pieces, strict=True)) if isinstance(pieces[0], tuple) else [pieces]
        if isinstance(parts[0][0], np.ndarray) and not parts[0][0].dtype.hasobject:
            self.grown = self.grown or tuple(GrowingArray(part[0].dtype) for part in parts)
            for grown, part in zip(self.grown, parts, strict=True):
                grown.extend(part)
        else:
            self.large.append(join_pieces(pieces))

    def note(self, note: Note, count: int) -> None:
        """Add a note that `count` values differ from the server's."""
        self.notes[note] = self.notes.get(note, 0) + count

    def note_too_far(self, count: int = 1) -> None:
        """Add a note on `count` instants beyond the range of 64 bits, which is also beyond Python's years."""
        self.note(Note.BEYOND if self.bounded else Note.TOO_FAR, count)

    def finish(self) -> Any:
        """Return the array of all chunks, and leave the column empty."""
        return self.to_pandas(self._all())

    def finish_into(self, target: Array) -> None:
        """Write all chunks of a plain column into `target`, and leave the column empty."""
        np.concatenate(self._all(), out=target)

    def list_texts(self) -> list[str | None]:
        """Return the values of a complete column of strings, and leave it empty."""
        return [
            text
            for piece in self._all()
            for text in (piece if isinstance(piece, np.ndarray) else piece.to_pylist())
        ]

    def load_texts(self, load: Callable[[bytes], Any], encoding: str) -> None:
        """Convert a complete column of strings to objects.

        Parameters
        ----------
        load
            Loads an object from the server's text format.
        encoding
            The client encoding.
        """
        texts = self.list_texts()
        self.to_piece, self.to_pandas, self.plain = objects, join_pieces, _OBJECT
        self.pieces = [
            objects([None if text is None else load(text.encode(encoding)) for text in texts], self)
        ]

    def _all(self) -> list[Any]:
        if self.grown:
            if self.pieces:
                self._put_aside()
            arrays, self.grown = tuple(grown.finish() for grown in self.grown), ()
            return [arrays if len(arrays) > 1 else arrays[0]]
        pieces = [*self.large, *self.pieces] or [self.to_piece((), self)]
        self.large, self.pieces, self.waiting = [], [], 0
        return pieces


def join_pieces(pieces: list[Any], column: ResultColumn | None = None) -> Any:  # noqa: ARG001 - the signature of `binary_decoders.Decode`
    """Join pieces of a column into one."""
    first = pieces[0]
    if len(pieces) == 1:
        return first
    if isinstance(first, tuple):
        return tuple(np.concatenate(part) for part in zip(*pieces, strict=True))
    if isinstance(first, np.ndarray):
        return np.concatenate(pieces)
    import pyarrow as pa  # noqa: PLC0415 - a piece of it is here

    return pa.concat_arrays(pieces)


def get_load_type(oid: int, numeric: Numeric) -> int:
    """Return the type that psycopg loads a column as: text, if converting whole columns is faster."""
    if oid == _NUMERIC and numeric == "float":
        return _TEXT
    return _TEXT if oid in _AS_TEXT else oid


def make_column(
    name: str,
    oid: int,
    *,
    numeric: Numeric,
    time_zone: str,
    adapters: psycopg.adapt.AdaptersMap,
    json_text: bool = False,
) -> ResultColumn:
    """Return an empty column for a type.

    Parameters
    ----------
    name
        The name of the column.
    oid
        The OID of its type.
    numeric
        The Python type for numeric.
    time_zone
        The session's time zone, as in ``SHOW TimeZone``.
    adapters
        psycopg's adapters; a type without a loader arrives as text.
    json_text
        Whether to keep JSON as text.
    """
    if json_text and oid in JSON:
        return ResultColumn(name, strings, to_strings, None, oid)
    if oid in _BY_TYPE and not (oid == _NUMERIC and numeric == "decimal"):
        to_piece, dtype = _BY_TYPE[oid]
        if isinstance(dtype, np.dtype):
            return ResultColumn(name, to_piece, join_pieces, dtype, oid)
        return ResultColumn(name, to_piece, dtype, None, oid)
    if oid == _TIMESTAMPTZ:
        zone = _zone(time_zone)
        bounded = str(zone) != "UTC"  # in other zones, pandas formats instants through Python's datetime
        return ResultColumn(name, _instants, _in_zone(zone), None, oid, bounded=bounded)
    if is_string(oid) or adapters.get_loader(oid, psycopg.pq.Format.TEXT) is None:
        return ResultColumn(name, strings, to_strings, None, oid)
    return ResultColumn(name, objects, join_pieces, _OBJECT, oid)


def is_string(oid: int) -> bool:
    """Whether a type becomes a string in pandas, even if psycopg loads it otherwise."""
    return oid in _STRINGS


def strings_in_arrow() -> bool:
    """Whether pandas stores strings in Arrow; Python objects are ten times larger."""
    return bool(pd.StringDtype().storage == "pyarrow")


def _fill(values: Values, instead: object) -> tuple[Values, list[bool] | None]:
    """Return the values with `instead` for NULL, and the NULL mask; None if there is no NULL."""
    if None not in values:
        return values, None
    return [instead if value is None else value for value in values], [value is None for value in values]


def _make_masked(dtype: type[np.generic]) -> Callable[[Values, ResultColumn], tuple[Array, Array]]:
    def to_piece(values: Values, column: ResultColumn) -> tuple[Array, Array]:  # noqa: ARG001 - one signature for all
        filled, missing = _fill(values, 0)
        return (
            np.array(filled, dtype=dtype),
            np.zeros(len(values), dtype=bool) if missing is None else np.array(missing, dtype=bool),
        )

    return to_piece


def _nullable(kind: Any) -> Callable[[list[Any]], Any]:
    def to_pandas(pieces: list[Any]) -> Any:
        values, missing = join_pieces(pieces)
        return kind(values, missing)

    return to_pandas


def _floats(dtype: type[np.generic]) -> Callable[[Values, ResultColumn], Array]:
    def to_piece(values: Values, column: ResultColumn) -> Array:  # noqa: ARG001 - one signature for all
        return np.array(values, dtype=dtype)  # None becomes NaN

    return to_piece


def _numerics(values: Values, column: ResultColumn) -> Array:
    texts = [None if value is None else float(value) for value in values]
    finite = np.array([value not in _NOT_FINITE for value in values], dtype=bool)
    return note_large_numerics(np.array(texts, dtype=np.float64), finite, column)


_NOT_FINITE = (None, "NaN", "Infinity", "-Infinity")


def note_large_numerics(numbers: Array, finite: Array, column: ResultColumn) -> Array:
    """Return floats for numerics, and add notes to the column for values that a float cannot represent exactly.

    Parameters
    ----------
    numbers
        The floats.
    finite
        The mask of the numerics that are neither NaN nor infinite.
    column
        The column of the numerics.
    """
    size = np.abs(numbers)
    if size.max(initial=0.0, where=~np.isnan(numbers)) < _FLOAT_EXACT:
        return numbers
    infinite = np.isinf(numbers) & finite
    large = (size >= _FLOAT_EXACT) & np.isfinite(numbers)
    if large.any():
        column.note(Note.ROUNDED, int(large.sum()))
    if infinite.any():
        column.note(Note.TOO_LARGE, int(infinite.sum()))
    return numbers


def objects(values: Values, column: ResultColumn) -> Array:  # noqa: ARG001 - one signature for all
    """Return a piece of a column of Python objects."""
    return np.fromiter(values, object, len(values))  # a list in it stays one value


def strings(values: Values, column: ResultColumn) -> Any:
    """Return a piece of a column of strings."""
    if strings_in_arrow():
        import pyarrow as pa  # noqa: PLC0415 - pandas has imported it

        return pa.array(values, pa.large_string())
    column.size += sum(map(len, filter(None, values)))
    return objects(values, column)


def to_strings(pieces: list[Any]) -> Any:
    """Return the pieces of a column of strings as one array for pandas."""
    if isinstance(pieces[0], np.ndarray):
        return pd.array(np.concatenate(pieces), dtype="string")
    import pyarrow as pa  # noqa: PLC0415 - a piece of it is here

    return pd.arrays.ArrowStringArray(pa.chunked_array(pieces))


def _jsons(values: Values, column: ResultColumn) -> Array:
    # One call of the parser for the chunk takes a third of the time of a call for each value.
    present = iter(json.loads(f"[{','.join(value for value in values if value is not None)}]"))
    return objects([None if value is None else next(present) for value in values], column)


def _intervals(values: Values, column: ResultColumn) -> Array:
    microsecond = timedelta(microseconds=1)
    nothing = np.timedelta64("NaT", "us").astype(np.int64)
    counted = []
    for value in values:
        infinite = value is not None and value.endswith("infinity")  # psycopg cannot load it
        if infinite:
            column.note(Note.INFINITE, 1)
        counted.append(
            nothing if value is None or infinite else _load_interval(value.encode()) // microsecond
        )
    return np.array(counted, "m8[us]")


# PostgreSQL's variant of ISO 8601; years with more than four digits or BC are rare and slow.
_UNUSUAL = re.compile(r"(?P<year>\d+)-(?P<rest>[^ ]*(?: [\d:.]+)?)(?P<era> BC)?")


def _stamps(values: Values, column: ResultColumn, unit: str) -> Array:
    texts = ["NaT" if value is None else value for value in values]
    together = "".join(texts)
    # BC, infinity, or a year of five digits: NumPy refuses such a value, or wraps around.
    if "C" in together or "i" in together or any(text[4:5] not in _YEAR_ENDS for text in texts):
        texts = [_stamp(text, column, unit) for text in texts]
    return np.array(texts, dtype=f"M8[{unit}]")


_YEAR_ENDS = ("-", "")  # the latter is that of NaT


def _stamp(text: str, column: ResultColumn, unit: str) -> str:
    if text.endswith("infinity"):
        column.note(Note.INFINITE, 1)
        return "NaT"
    found = _UNUSUAL.fullmatch(text)
    if found is None:
        return text
    year = int(found["year"])
    if year > LAST_YEAR and unit == "us" and not found["era"]:
        column.note_too_far()
        return "NaT"
    # The year before 1 is 0 in NumPy and 1 BC in PostgreSQL.
    signed = f"{1 - year:05d}" if found["era"] else f"{year:04d}"
    return f"{'+' if year > 9999 and not found['era'] else ''}{signed}-{found['rest']}"


def _dates(values: Values, column: ResultColumn) -> Array:
    return _stamps(values, column, "s")


def _timestamps(values: Values, column: ResultColumn) -> Array:
    return _stamps(values, column, "us")


_SHORT_OFFSET = re.compile(r"[+-]\d\d")
_OFFSET = re.compile(r"(?P<sign>[+-])(?P<hours>\d+)(?::(?P<minutes>\d+))?(?::(?P<seconds>\d+))?")


def _instants(values: Values, column: ResultColumn) -> Array:
    return clip_instants(_utc(values, column), column)


def _utc(values: Values, column: ResultColumn) -> Array:
    """Convert local times with offsets, such as ``2024-07-14 10:00:00+02``, to UTC."""
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


def _unusual_instants(texts: list[str], column: ResultColumn) -> Array:
    """Convert the same if an offset has minutes, or an era follows it: ``0044-03-15 12:00:00+00:09:21 BC``."""
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


def _zone(time_zone: str) -> ZoneInfo:
    try:
        return ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo(
            "UTC"
        )  # a zone that only the server knows, such as <+02>-02; psycopg falls back to UTC too


def clip_instants(instants: Array, column: ResultColumn) -> Array:
    """Replace instants beyond Python's years 1 to 9999 by NaT if the column's zone cannot show them."""
    if column.bounded:
        beyond = (instants < _FIRST) | (instants > _LAST)
        if beyond.any():
            column.note(Note.BEYOND, int(beyond.sum()))
            instants[beyond] = np.datetime64("NaT", "us")
    return instants


_FIRST, _LAST = np.datetime64("0001-01-02", "us"), np.datetime64("9999-12-30", "us")


def _in_zone(zone: ZoneInfo) -> Callable[[list[Any]], Any]:
    def to_pandas(pieces: list[Any]) -> Any:
        return pd.DatetimeIndex(join_pieces(pieces)).tz_localize("UTC").tz_convert(zone).array

    return to_pandas


def _oid(name: str) -> int:
    return psycopg.adapters.types[name].oid


_NUMERIC = _oid("numeric")
_INTERVAL = _oid("interval")
_TEXT = _oid("text")
_TIMESTAMPTZ = _oid("timestamptz")
_AS_TEXT = frozenset(
    _oid(name) for name in ("date", "timestamp", "timestamptz", "interval", "json", "jsonb", "money")
)
_STRINGS = frozenset(_oid(name) for name in ("text", "varchar", "bpchar", "name", '"char"', "xml", "money"))
_OBJECT = np.dtype(object)
JSON = frozenset(_oid(name) for name in ("json", "jsonb"))
_interval_loader = psycopg.adapters.get_loader(_INTERVAL, psycopg.pq.Format.TEXT)
assert _interval_loader is not None  # noqa: S101 - psycopg ships it
_load_interval = _interval_loader(_INTERVAL).load
_BY_TYPE: dict[
    int, tuple[Callable[[Values, ResultColumn], Any], np.dtype[Any] | Callable[[list[Any]], Any]]
] = {
    _oid("int2"): (_make_masked(np.int16), _nullable(pd.arrays.IntegerArray)),
    _oid("int4"): (_make_masked(np.int32), _nullable(pd.arrays.IntegerArray)),
    _oid("int8"): (_make_masked(np.int64), _nullable(pd.arrays.IntegerArray)),
    _oid("oid"): (_make_masked(np.int64), _nullable(pd.arrays.IntegerArray)),
    _oid("bool"): (_make_masked(np.bool_), _nullable(pd.arrays.BooleanArray)),
    _oid("float4"): (_floats(np.float32), np.dtype(np.float32)),
    _oid("float8"): (_floats(np.float64), np.dtype(np.float64)),
    _NUMERIC: (_numerics, np.dtype(np.float64)),
    _oid("date"): (_dates, np.dtype("M8[s]")),
    _oid("timestamp"): (_timestamps, np.dtype("M8[us]")),
    _INTERVAL: (_intervals, np.dtype("m8[us]")),
    _oid("json"): (_jsons, _OBJECT),
    _oid("jsonb"): (_jsons, _OBJECT),
}
"""The conversion to pieces, and the dtype or the conversion to pandas, by type; other types stay psycopg's objects."""

STYLED = frozenset(_oid(name) for name in ("date", "timestamp", "timestamptz", "interval"))
"""The types whose text format depends on DateStyle or IntervalStyle."""
