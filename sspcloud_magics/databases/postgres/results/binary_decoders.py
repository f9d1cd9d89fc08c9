"""Decoders for PostgreSQL's binary format, which convert thousands of values of a column to NumPy or Arrow arrays.

psycopg returns the bytes of each value, in about 20 ns. The values of a chunk are gathered while they are in the CPU
cache: joined, with their lengths if these differ, and with the NULL mask. Several chunks are then decoded together,
since a call of NumPy costs as much as a few hundred values. The pieces equal those that `column_types.ResultColumn`
makes from the text format. A query uses the text format if one of its columns has no decoder here.

The layout of each type is that of its ``…_send`` function in PostgreSQL.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, repeat
from operator import is_
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg.pq import Format

from sspcloud_magics.databases.postgres.results import column_types
from sspcloud_magics.databases.postgres.results.column_types import Array, ResultColumn
from sspcloud_magics.databases.query_options import Numeric
from sspcloud_magics.i18n import N_, _

Gather: TypeAlias = Callable[[Sequence[Any], ResultColumn], Any]
Decode: TypeAlias = Callable[[list[Any], ResultColumn], Any]
Mask: TypeAlias = npt.NDArray[np.bool_]
Fixed: TypeAlias = tuple[bytes, bytes | None]

_EPOCH_DAYS = 10_957  # from 1970-01-01 to 2000-01-01, PostgreSQL's epoch
_EPOCH = _EPOCH_DAYS * 86_400 * 10**6
_LAST = int(np.datetime64(f"{column_types.LAST_YEAR + 1}-01-01", "us").astype(np.int64)) - 1 - _EPOCH
_INTERVAL_DAYS = 106_751_990  # the range of 64-bit microseconds
_FLOAT_EXACT = 2**53
_FEW = 50  # the number of values below which a Python loop is faster than several calls of NumPy
_DIGITS = 4  # the decimal digits in one base-10000 digit of numeric
_EXACT_TENS = 22  # 10**22 is the largest power of ten that a float represents exactly
# A separator between the values of a chunk that the server cannot know, so that values of wrong lengths cannot shift
# into the places of others. It costs a third of checking each length.
_MARK = os.urandom(8)
_MARK_READ = np.frombuffer(_MARK, "u8")[0]
_JSON_MARK = b',"' + _MARK.hex().encode() + b'",'
_JSONB_VERSION = b"\1"  # precedes each jsonb value; JSON never contains this character unescaped


@dataclass(frozen=True, slots=True)
class Decoder:
    """A decoder for a column in the binary format."""

    loaded_as: int  # the OID of the type that psycopg loads the values as: bytea for their raw bytes
    gather: Gather  # converts the loaded values of a chunk to a compact form until they are decoded
    decode: Decode  # converts several gathered chunks to one piece of the column


def get_decoder(oid: int, numeric: Numeric, *, json_text: bool = False) -> Decoder | None:
    """Return the decoder for a type; None if the type needs the text format."""
    if oid in _TEXTS:
        return _texts()
    if json_text and oid in column_types.JSON:
        return _json_texts() if oid == _JSONB else _texts()
    if oid == _NUMERIC and numeric == "float":
        return Decoder(_BYTEA, _gather_numerics, _numerics)
    if oid in column_types.JSON:
        return Decoder(_BYTEA, _gather_jsons, column_types.join_pieces)
    if oid in _BY_LOADER:
        return Decoder(oid, column_types.objects, column_types.join_pieces)
    found = _FIXED.get(oid)
    return None if found is None else Decoder(_BYTEA, _gather, found)


def _texts() -> Decoder:
    if column_types.strings_in_arrow():
        return Decoder(_BYTEA, _gather_strings, _arrow_strings)
    return Decoder(_TEXT, column_types.strings, column_types.join_pieces)


def _json_texts() -> Decoder:
    if column_types.strings_in_arrow():
        return Decoder(
            _BYTEA, lambda values, column: _gather_strings(_strip_versions(values), column), _arrow_strings
        )
    return Decoder(_BYTEA, _gather_json_texts, column_types.join_pieces)


def _strip_versions(values: Sequence[bytes | None]) -> list[bytes | None]:
    return [None if value is None else value[len(_JSONB_VERSION) :] for value in values]


def _gather_json_texts(values: Sequence[bytes | None], column: ResultColumn) -> Any:
    return column_types.strings(
        [None if text is None else text.decode() for text in _strip_versions(values)], column
    )


def _lengths(values: Sequence[bytes | None]) -> npt.NDArray[np.int64]:
    return np.fromiter(map(len, values), np.int64, len(values))  # type: ignore[arg-type]  # it contains no None


def _gather_strings(values: Sequence[bytes | None], column: ResultColumn) -> Any:  # noqa: ARG001 - one signature for all
    import pyarrow as pa  # noqa: PLC0415 - pandas has imported it

    try:
        data = b"".join(values)  # type: ignore[arg-type]  # None raises a TypeError
    except TypeError:
        return pa.array(values, pa.large_binary())
    offsets: Any
    if len(values) < _FEW:
        offsets = array("q", accumulate(map(len, values), initial=0))  # type: ignore[arg-type]  # it contains no None
    else:
        offsets = np.zeros(len(values) + 1, np.int64)
        _lengths(values).cumsum(out=offsets[1:])
    return pa.Array.from_buffers(
        pa.large_binary(), len(values), [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    )


def _arrow_strings(gathered: list[Any], column: ResultColumn) -> Any:
    """Return the bytes as an Arrow array of strings, validated: a database in SQL_ASCII may contain invalid UTF-8."""
    import pyarrow as pa  # noqa: PLC0415 - pandas has imported it

    data = gathered[0] if len(gathered) == 1 else pa.concat_arrays(gathered)
    column.size += sum([each.size for each in data.buffers()[2:] if each is not None])
    texts = data.view(pa.large_string())
    texts.validate(full=True)  # a cast validates too, but takes ten times as long for one row
    return texts


def _gather_jsons(values: Sequence[bytes | None], column: ResultColumn) -> Array:
    # One call of the parser for the chunk; `null` in place of NULL becomes None too.
    try:
        together = _JSON_MARK.join(values)  # type: ignore[arg-type]  # None raises a TypeError
    except TypeError:
        together = _JSON_MARK.join([b"null" if value is None else value for value in values])
    found = json.loads((b"[" + together + b"]").replace(_JSONB_VERSION, b""))
    marks = len(values) - 1
    if len(found) != len(values) + marks or found[1::2].count(_MARK.hex()) != marks:
        raise ValueError(_("the server sent invalid JSON"))
    column.size += len(together) - marks * len(_JSON_MARK)
    return column_types.objects(found[::2], column)


def _gather(values: Sequence[bytes | None], column: ResultColumn) -> Fixed:  # noqa: ARG001 - one signature for all
    """Return the values other than NULL with a mark after each, and the NULL mask; None if there is no NULL."""
    try:
        return _MARK.join(values) + _MARK, None  # type: ignore[arg-type]  # None raises a TypeError
    except TypeError:
        present = [value for value in values if value is not None]
        marked = _MARK.join(present) + _MARK if present else b""
        return marked, bytes(map(is_, values, repeat(None)))


def _decode_fixed(gathered: Sequence[Fixed], wire: Any, column: ResultColumn) -> tuple[Array, Mask]:
    """Return values of a fixed size in their wire format, with zeros for NULL, and the NULL mask."""
    data = b"".join([values for values, _unused in gathered])
    wire = np.dtype(wire)
    try:
        marked = np.frombuffer(data, [("value", wire), ("mark", "u8")])
    except ValueError:
        marked = np.zeros(1, [("value", wire), ("mark", "u8")])  # without the mark
    if (marked["mark"] != _MARK_READ).any():
        raise ValueError(
            _(
                "the server sent a value of another length than the {size} bytes of its type",
                size=wire.itemsize,
            )
        )
    present = marked["value"]
    column.size += present.nbytes
    if all(nulls is None for _unused, nulls in gathered):
        return present, np.zeros(len(present), dtype=bool)
    size = marked.itemsize
    missing = np.frombuffer(
        b"".join([bytes(len(values) // size) if nulls is None else nulls for values, nulls in gathered]), bool
    ).copy()
    read = np.zeros(len(missing), present.dtype)
    read[~missing] = present
    return read, missing


def _make_masked_decoder(wire: str, dtype: str) -> Decode:
    def decode(gathered: list[Fixed], column: ResultColumn) -> tuple[Array, Mask]:
        read, missing = _decode_fixed(gathered, wire, column)
        return read.astype(dtype), missing

    return decode


def _floats(wire: str) -> Decode:
    native = np.dtype(wire).newbyteorder("=")

    def decode(gathered: list[Fixed], column: ResultColumn) -> Array:
        read, missing = _decode_fixed(gathered, wire, column)
        floats = read.astype(native)
        floats[missing] = np.nan
        return floats

    return decode


def _stamps(wire: str, unit: str, epoch: int) -> Decode:
    """Return a decoder for integers in `unit` since 2000-01-01; the extreme values are the infinities."""
    least, greatest = np.iinfo(wire).min, np.iinfo(wire).max

    def decode(gathered: list[Fixed], column: ResultColumn) -> Array:
        read, missing = _decode_fixed(gathered, wire, column)
        counted = read.astype(np.int64)
        lowest, highest = counted.min(initial=0), counted.max(initial=0)
        nothing = missing
        if lowest == least or highest == greatest:
            infinite = (counted == least) | (counted == greatest)
            column.note(column_types.Note.INFINITE, int(infinite.sum()))
            nothing = missing | infinite
        if unit == "us" and highest > _LAST:
            far = (counted > _LAST) & ~nothing
            if far.any():
                column.note_too_far(int(far.sum()))
            nothing = nothing | far
        with np.errstate(over="ignore"):
            counted += epoch
        stamps: Array = counted.view(f"M8[{unit}]")
        stamps[nothing] = np.datetime64("NaT", "us")
        return stamps.astype("M8[s]") if unit == "D" else column_types.clip_instants(stamps, column)

    return decode


_DAY = 86_400 * 10**6
_INTERVAL = np.dtype([("microseconds", ">i8"), ("days", ">i4"), ("months", ">i4")])


def _intervals(gathered: list[Fixed], column: ResultColumn) -> Array:
    read, missing = _decode_fixed(gathered, _INTERVAL, column)
    days, months = read["days"].astype(np.int64), read["months"].astype(np.int64)
    infinite = np.abs(months) >= np.iinfo(np.int32).max
    if infinite.any():
        column.note(column_types.Note.INFINITE, int(infinite.sum()))
    # As in psycopg: 365 days per year, and 30 per remaining month.
    years, left = np.divmod(np.abs(months), 12)
    days += np.sign(months) * (years * 365 + left * 30)
    whole_days = days + read["microseconds"] // _DAY
    if (np.abs(whole_days[~infinite]) > _INTERVAL_DAYS).any():
        raise OverflowError(_("an interval is longer than 292,000 years"))
    durations: Array = (read["microseconds"] + days * _DAY).astype("m8[us]")
    durations[missing | infinite] = np.timedelta64("NaT", "us")
    return durations


def _gather_numerics(
    values: Sequence[bytes | None],
    column: ResultColumn,  # noqa: ARG001 - one signature for all
) -> tuple[bytes, npt.NDArray[np.int64]]:
    """Return the joined bytes and the length of each value; the length of NULL is 0."""
    try:
        data = b"".join(values)  # type: ignore[arg-type]  # None raises a TypeError
        if not all(values):
            raise ValueError(_(_NO_NUMERIC))
    except TypeError:
        if b"" in values:
            raise ValueError(_(_NO_NUMERIC)) from None
        values = present = [b"" if value is None else value for value in values]
        data = b"".join(present)
    return data, _lengths(values)


_NO_NUMERIC = N_("the server sent a numeric whose length contradicts its header")
_NUMERIC_ZERO = bytes(8)
_PADDING = 2 * _NUMERIC_ZERO  # the second one allows an index after the header of the first


def _numerics(gathered: list[tuple[bytes, npt.NDArray[np.int64]]], column: ResultColumn) -> Array:
    """Return the nearest float of each numeric.

    The base-10000 digits make an integer M, and the value is M * 10**e. If M is below 2**53 and the power at most
    10**22, both are exact floats, so that their product or quotient is rounded correctly. Others go through `float`.
    """
    # Two bytes each: the number of digits, the weight of the first, the sign, the display scale, the digits.
    data = b"".join([values for values, _unused in gathered] + [_PADDING])
    column.size += len(data) - len(_PADDING)
    wire = np.frombuffer(data, ">i2").astype(np.int64)
    lengths = np.concatenate([each for _unused, each in gathered])
    words = lengths >> 1
    missing = words == 0
    begins, digits = np.cumsum(words) - words, words - 4
    # NULL is read as the zero after all values.
    begins[missing], digits[missing] = len(wire) - len(_PADDING) // 2, 0
    if (lengths & 1).any() or (digits < 0).any() or (wire[begins] != digits).any():
        raise ValueError(_(_NO_NUMERIC))
    sign = wire[begins + 2] & 0xFFFF
    exponent = (wire[begins + 1] - digits + 1) * _DIGITS
    whole = np.zeros(len(digits), np.int64)
    for index in range(int(min(digits.max(initial=0), _DIGITS))):
        with_digit = digits > index
        whole = np.where(with_digit, whole * 10**_DIGITS + wire[begins + 4 + index * with_digit], whole)
    for _unused in range(_DIGITS - 1):  # trailing zeros of the last base-10000 digit
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
        start = 2 * int(begins[index])
        numbers[index] = float(_load_numeric(data[start : start + 2 * int(words[index])]))
    return column_types.note_large_numerics(numbers, sign < 0xC000, column)


def _oid(name: str) -> int:
    return psycopg.adapters.types[name].oid


_BYTEA = _oid("bytea")
_TEXT = _oid("text")
_NUMERIC = _oid("numeric")
_JSONB = _oid("jsonb")
_numeric_loader = psycopg.adapters.get_loader(_NUMERIC, Format.BINARY)
assert _numeric_loader is not None  # noqa: S101 - psycopg ships it
_load_numeric = _numeric_loader(_NUMERIC).load

_FIXED: dict[int, Decode] = {
    _oid("int2"): _make_masked_decoder(">i2", "i2"),
    _oid("int4"): _make_masked_decoder(">i4", "i4"),
    _oid("int8"): _make_masked_decoder(">i8", "i8"),
    _oid("oid"): _make_masked_decoder(">u4", "i8"),
    _oid("bool"): _make_masked_decoder("u1", "?"),
    _oid("float4"): _floats(">f4"),
    _oid("float8"): _floats(">f8"),
    _oid("date"): _stamps(">i4", "D", _EPOCH_DAYS),
    _oid("timestamp"): _stamps(">i8", "us", _EPOCH),
    _oid("timestamptz"): _stamps(">i8", "us", _EPOCH),
    _oid("interval"): _intervals,
}
_TEXTS = frozenset(_oid(name) for name in ("text", "varchar", "bpchar", "name"))
# psycopg's values of these types are the same in both formats; those of arrays differ (real).
_BY_LOADER = frozenset(_oid(name) for name in ("numeric", "uuid", "bytea", "inet", "cidr", "time", "timetz"))
