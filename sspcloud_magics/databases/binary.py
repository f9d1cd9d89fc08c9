"""PostgreSQL's binary format, a column at a time: the values of a chunk of rows into arrays of NumPy or Arrow.

psycopg hands over the bytes of each value, at some 20 ns each; a decoder joins those of a column and turns them all at once
into what `columns.Column` collects, the same as it makes of values that came as text. What has no decoder here is
asked for as text (`describing.projected`), and psycopg's loaders read it.

The layout of each type is that of its ``…_send`` function in PostgreSQL.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg.abc import Transformer
from psycopg.pq import Format

from sspcloud_magics.databases import columns
from sspcloud_magics.databases.columns import Array, Column, Numeric

Decode: TypeAlias = Callable[[Sequence[Any], Column], Any]
Mask: TypeAlias = npt.NDArray[np.bool_]

_EPOCH_DAYS = 10_957  # from 1970-01-01 to 2000-01-01, which PostgreSQL counts from
_EPOCH = _EPOCH_DAYS * 86_400 * 10**6
_LAST = int(np.datetime64(f"{columns.LAST_YEAR + 1}-01-01", "us").astype(np.int64)) - 1 - _EPOCH
_INTERVAL_DAYS = 106_751_990  # as many as microseconds reach in 64 bits
_FLOAT_EXACT = 2**53
_DIGITS = 4  # decimal digits in one of numeric's
_EXACT_TENS = 22  # 10**22 is the largest power of ten that a float holds exactly
_JSONB_VERSION = b"\1"  # before each jsonb; inside of one no such character stands unescaped


@dataclass(frozen=True, slots=True)
class Decoder:
    """How a column of the binary format is read.

    Parameters
    ----------
    loaded_as
        PostgreSQL's number of the type as which psycopg loads its values: bytea gives their bytes.
    decode
        Makes of the loaded values of a chunk what the column collects.
    """

    loaded_as: int
    decode: Decode


def decoder(oid: int, numeric: Numeric, *, json_text: bool = False) -> Decoder | None:
    """Return what reads a type from its binary format; None where its text is to be asked for.

    Parameters
    ----------
    oid
        PostgreSQL's number of the type.
    numeric
        What numeric becomes.
    json_text
        Whether JSON stays the text that it is.
    """
    if oid in _TEXTS:
        return _texts()
    if json_text and oid in columns.JSON:
        return Decoder(_BYTEA, _json_texts) if oid == _JSONB else _texts()
    if oid == _NUMERIC and numeric == "float":
        return Decoder(_BYTEA, _numerics)
    if oid in _BY_LOADER:
        return Decoder(oid, columns.objects)
    found = _DECODERS.get(oid)
    return None if found is None else Decoder(_BYTEA, found)


def text_decoder(oid: int, transformer: Transformer) -> Decoder:
    """Return what reads a column that was cast to text: psycopg's loader for its type, else it stays text.

    Parameters
    ----------
    oid
        PostgreSQL's number of the column's own type.
    transformer
        psycopg's, of the connection.
    """
    if transformer.adapters.get_loader(oid, Format.TEXT) is None or columns.is_string(oid):
        return _texts()
    return Decoder(_BYTEA, partial(_loaded, transformer.get_loader(oid, Format.TEXT).load))


def _texts() -> Decoder:
    return Decoder(_BYTEA, _arrow_strings) if columns.strings_in_arrow() else Decoder(_TEXT, columns.strings)


def _filled(values: Sequence[bytes | None], instead: bytes) -> tuple[Sequence[bytes], Mask]:
    """Return the values with `instead` for NULL, and where it was."""
    if None not in values:
        return values, np.zeros(len(values), dtype=bool)  # type: ignore[return-value]  # no None is in it
    missing = np.array([value is None for value in values], dtype=bool)
    return [instead if value is None else value for value in values], missing


def _fixed(values: Sequence[bytes | None], wire: Any, instead: bytes, column: Column) -> tuple[Array, Mask]:
    """Return values of one size as the wire has them, and where NULL was."""
    try:
        data = b"".join(values)  # type: ignore[arg-type]  # a None is what it refuses
        missing = np.zeros(len(values), dtype=bool)
    except TypeError:
        filled, missing = _filled(values, instead)
        data = b"".join(filled)
    column.size += len(data)
    return np.frombuffer(data, wire), missing


def _lengths(values: Sequence[bytes]) -> npt.NDArray[np.int64]:
    return np.fromiter(map(len, values), np.int64, len(values))


def _loaded(load: Callable[[bytes], Any], values: Sequence[bytes | None], column: Column) -> Array:
    column.size += sum(len(value) for value in values if value is not None)
    return columns.objects([None if value is None else load(value) for value in values], column)


def _arrow_strings(values: Sequence[bytes | None], column: Column) -> Any:
    """Return an Arrow array that is made of the bytes as they are."""
    import pyarrow as pa  # noqa: PLC0415 - pandas has found it

    filled, missing = _filled(values, b"")
    data = b"".join(filled)
    column.size += len(data)
    if not data.isascii():
        data.decode()  # a database in SQL_ASCII may hold what is no text
    offsets = np.zeros(len(values) + 1, np.int64)
    np.cumsum(_lengths(filled), out=offsets[1:])
    present = pa.py_buffer(np.packbits(~missing, bitorder="little")) if missing.any() else None
    return pa.Array.from_buffers(
        pa.large_string(), len(values), [present, pa.py_buffer(offsets), pa.py_buffer(data)]
    )


def _json_texts(values: Sequence[bytes | None], column: Column) -> Any:
    texts = [None if value is None else value[len(_JSONB_VERSION) :] for value in values]
    if columns.strings_in_arrow():
        return _arrow_strings(texts, column)
    return columns.strings([None if text is None else text.decode() for text in texts], column)


def _jsons(values: Sequence[bytes | None], column: Column) -> Array:
    # One call of the parser for the chunk; `null` in the place of NULL means None as well.
    try:
        together = b",".join(values)  # type: ignore[arg-type]  # a None is what it refuses
    except TypeError:
        together = b",".join([b"null" if value is None else value for value in values])
    column.size += len(together)
    array = np.empty(len(values), dtype=object)
    array[:] = json.loads((b"[" + together + b"]").replace(_JSONB_VERSION, b""))
    return array


def _masked(wire: str, dtype: str) -> Decode:
    instead = bytes(np.dtype(wire).itemsize)

    def decode(values: Sequence[bytes | None], column: Column) -> tuple[Array, Mask]:
        read, missing = _fixed(values, wire, instead, column)
        return read.astype(dtype), missing

    return decode


def _floats(wire: str) -> Decode:
    native = np.dtype(wire).newbyteorder("=")
    instead = np.array(np.nan, wire).tobytes()

    def decode(values: Sequence[bytes | None], column: Column) -> Array:
        return _fixed(values, wire, instead, column)[0].astype(native)

    return decode


def _stamps(wire: str, unit: str, epoch: int) -> Decode:
    """Whole units since 2000-01-01; the least and the greatest number are the infinities."""
    least, greatest = np.iinfo(wire).min, np.iinfo(wire).max
    instead = bytes(np.dtype(wire).itemsize)

    def decode(values: Sequence[bytes | None], column: Column) -> Array:
        read, missing = _fixed(values, wire, instead, column)
        counted = read.astype(np.int64)
        infinite = (counted == least) | (counted == greatest)
        if infinite.any():
            column.note(columns.INFINITE, int(infinite.sum()))
        if unit == "us" and counted.max(initial=0) > _LAST:
            far = (counted > _LAST) & ~infinite
            if far.any():
                column.note(columns.TOO_FAR, int(far.sum()))
            infinite |= far
        with np.errstate(over="ignore"):
            counted += epoch
        stamps: Array = counted.view(f"M8[{unit}]")
        stamps[missing | infinite] = np.datetime64("NaT")
        return stamps.astype("M8[s]") if unit == "D" else columns.within(stamps, column)

    return decode


_DAY = 86_400 * 10**6
_INTERVAL = np.dtype([("microseconds", ">i8"), ("days", ">i4"), ("months", ">i4")])


def _intervals(values: Sequence[bytes | None], column: Column) -> Array:
    read, missing = _fixed(values, _INTERVAL, bytes(_INTERVAL.itemsize), column)
    days, months = read["days"].astype(np.int64), read["months"].astype(np.int64)
    infinite = np.abs(months) >= np.iinfo(np.int32).max
    if infinite.any():
        column.note(columns.INFINITE, int(infinite.sum()))
    # As psycopg counts: 365 days a year, 30 a month that is left.
    years, left = np.divmod(np.abs(months), 12)
    days += np.sign(months) * (years * 365 + left * 30)
    whole_days = days + read["microseconds"] // _DAY
    if (np.abs(whole_days[~infinite]) > _INTERVAL_DAYS).any():
        raise OverflowError("an interval is longer than 292,000 years")
    durations: Array = (read["microseconds"] + days * _DAY).astype("m8[us]")
    durations[missing | infinite] = np.timedelta64("NaT")
    return durations


_NUMERIC_ZERO = bytes(8)


def _numerics(values: Sequence[bytes | None], column: Column) -> Array:
    """Return the nearest float of each: one division or product of exact floats, where that is exact.

    The digits, base 10000, make an integer M, and the value is M * 10**e. Below 2**53 M is exact as a float, and
    so are the powers up to 10**22: the one rounding is the right one. What is longer goes through `float`.
    """
    filled, missing = _filled(values, _NUMERIC_ZERO)
    # Two bytes each: how many digits, the weight of the first, the sign, how many are shown, the digits.
    data = b"".join([*filled, _NUMERIC_ZERO])
    column.size += len(data)
    wire = np.frombuffer(data, ">i2").astype(np.int64)
    words = _lengths(filled) >> 1
    begins, digits = np.cumsum(words) - words, words - 4
    sign = wire[begins + 2] & 0xFFFF
    exponent = (wire[begins + 1] - digits + 1) * _DIGITS
    whole = np.zeros(len(digits), np.int64)
    for index in range(int(min(digits.max(initial=0), _DIGITS))):
        with_digit = digits > index
        whole = np.where(with_digit, whole * 10**_DIGITS + wire[begins + 4 + index * with_digit], whole)
    for _ in range(_DIGITS - 1):  # zeros that only fill the last digit
        spare = (whole >= _FLOAT_EXACT) & (whole % 10 == 0)
        if not spare.any():
            break
        whole, exponent = np.where(spare, whole // 10, whole), exponent + spare
    power = 10.0 ** np.minimum(np.abs(exponent), _EXACT_TENS).astype(np.float64)
    numbers = whole.astype(np.float64)
    numbers = np.where(exponent < 0, numbers / power, numbers * power)
    numbers = np.where(sign == 0x4000, -numbers, numbers)
    numbers[missing] = np.nan
    hard = (digits > _DIGITS) | (whole >= _FLOAT_EXACT) | (np.abs(exponent) > _EXACT_TENS)
    hard = ((hard & (digits > 0)) | (sign >= 0xC000)) & ~missing
    for index in np.flatnonzero(hard).tolist():
        numbers[index] = float(_load_numeric(values[index] or b""))
    return columns.large_noted(numbers, sign < 0xC000, column)


def _oid(name: str) -> int:
    return psycopg.adapters.types[name].oid


_BYTEA = _oid("bytea")
_TEXT = _oid("text")
_NUMERIC = _oid("numeric")
_JSONB = _oid("jsonb")
_numeric_loader = psycopg.adapters.get_loader(_NUMERIC, Format.BINARY)
assert _numeric_loader is not None  # noqa: S101 - psycopg ships it
_load_numeric = _numeric_loader(_NUMERIC).load

_DECODERS: dict[int, Decode] = {
    _oid("int2"): _masked(">i2", "i2"),
    _oid("int4"): _masked(">i4", "i4"),
    _oid("int8"): _masked(">i8", "i8"),
    _oid("oid"): _masked(">u4", "i8"),
    _oid("bool"): _masked("?", "?"),
    _oid("float4"): _floats(">f4"),
    _oid("float8"): _floats(">f8"),
    _oid("date"): _stamps(">i4", "D", _EPOCH_DAYS),
    _oid("timestamp"): _stamps(">i8", "us", _EPOCH),
    _oid("timestamptz"): _stamps(">i8", "us", _EPOCH),
    _oid("interval"): _intervals,
    _oid("json"): _jsons,
    _oid("jsonb"): _jsons,
}
_TEXTS = frozenset(_oid(name) for name in ("text", "varchar", "bpchar", "name"))
# The values of these are the same from their text and from their bytes; those of arrays are not (real).
_BY_LOADER = frozenset(_oid(name) for name in ("numeric", "uuid", "bytea", "inet", "cidr", "time", "timetz"))
