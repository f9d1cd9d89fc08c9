"""PostgreSQL's binary format, a column at a time: many rows of COPY's bytes into arrays of NumPy.

The stream (PostgreSQL's manual, "COPY", "Binary Format") is a header, then for each row the number of
its fields and for each field its length, -1 for NULL, and its bytes. `Fields` finds where the fields of a
column stand in the bytes of some thousand rows; a decoder turns them all at once into the array that
`columns.Column` collects, the same as it makes of psycopg's values. What has no decoder here goes through
psycopg's loaders, a value at a time.

The layout of each type is that of its ``…_send`` function in PostgreSQL.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg.abc import Transformer
from psycopg.pq import Format

from sspcloud_magics.databases.columns import Array, Column, Numeric

SIGNATURE = b"PGCOPY\n\xff\r\n\0"
_PADDING = bytes(16)  # so that the place of a NULL can be read as if a value stood there
_EPOCH_DAYS = 10_957  # from 1970-01-01 to 2000-01-01, which PostgreSQL counts from
_EPOCH = _EPOCH_DAYS * 86_400 * 10**6
_FLOAT_EXACT = 2**53
_DIGITS = 4  # decimal digits in one of numeric's
_EXACT_TENS = 22  # 10**22 is the largest power of ten that a float holds exactly


class Batch:
    """The bytes of some thousand rows."""

    def __init__(self, rows: Sequence[bytes | memoryview]) -> None:
        self.bytes = b"".join((*rows, _PADDING))
        self.data = np.frombuffer(self.bytes, dtype=np.uint8)

    @cached_property
    def characters(self) -> str:
        """The bytes as characters, one each: a slice of them costs a third of one that is decoded."""
        return self.bytes.decode("latin-1")


@dataclass(frozen=True, slots=True)
class Field:
    """One column of a batch.

    Parameters
    ----------
    batch
        The bytes.
    starts, lengths
        Where each value begins, and how many bytes it has; -1 for NULL.
    """

    batch: Batch
    starts: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int32]

    @property
    def missing(self) -> npt.NDArray[np.bool_]:
        """Where NULL stands."""
        return self.lengths < 0

    def fixed(self, dtype: str, offset: int = 0) -> Array:
        """Return what stands `offset` bytes behind the start of each value; anything for NULL."""
        wanted = np.dtype(dtype)
        count = len(self.batch.data) - wanted.itemsize + 1
        unaligned: Array = np.ndarray((count,), wanted, self.batch.data.data, strides=(1,))
        return unaligned[self.starts + offset].astype(wanted.newbyteorder("="))

    def pieces(self) -> Iterator[bytes | None]:
        """Give the bytes of each value; None for NULL."""
        whole = self.batch.bytes
        ends = (self.starts + self.lengths).tolist()
        for start, end in zip(self.starts.tolist(), ends, strict=True):
            yield None if end < start else whole[start:end]

    def texts(self, skip: int = 0) -> list[str | None]:
        """Return each value as text, without the first `skip` bytes; None for NULL."""
        whole = self.batch.characters
        ends = (self.starts + self.lengths).tolist()
        slices = [whole[start:end] for start, end in zip((self.starts + skip).tolist(), ends, strict=True)]
        if not "".join(slices).isascii():
            slices = [text if text.isascii() else text.encode("latin-1").decode() for text in slices]
        texts: list[str | None] = [*slices]
        for index in np.flatnonzero(self.missing).tolist():
            texts[index] = None
        return texts


def header_length(first: bytes) -> int:
    """Return where the first row begins.

    Raises
    ------
    ValueError
        If it is not the beginning of a binary COPY.
    """
    if not first.startswith(SIGNATURE):
        raise ValueError("The server sent something else than a binary COPY.")
    extension = int.from_bytes(first[len(SIGNATURE) + 4 : len(SIGNATURE) + 8], "big")
    return len(SIGNATURE) + 8 + extension


def fields(rows: Sequence[bytes | memoryview], sizes: Sequence[int], count: int) -> list[Field]:
    """Return the columns of a batch.

    Parameters
    ----------
    rows
        The rows' bytes, each from the number of its fields on; one at least.
    sizes
        How many bytes each row has.
    count
        How many fields a row has.
    """
    batch = Batch(rows)
    counted = np.array(sizes, np.int64)
    position = np.cumsum(counted) - counted + 2
    lengths_at: Array = np.ndarray((len(batch.data) - 3,), ">i4", batch.data.data, strides=(1,))
    found = []
    for _ in range(count):
        lengths = lengths_at[position].astype(np.int32)
        starts = position + 4
        found.append(Field(batch, starts, lengths))
        position = starts + np.maximum(lengths, 0)
    return found


Decoder: TypeAlias = Callable[[Field, Column], Array]


def decoder(oid: int, numeric: Numeric, transformer: Transformer) -> Decoder | None:
    """Return what decodes a type from its binary format; None where its text is to be asked for.

    Parameters
    ----------
    oid
        PostgreSQL's number of the type.
    numeric
        What numeric becomes.
    transformer
        psycopg's, of the connection.
    """
    if oid == _NUMERIC and numeric == "float":
        return _numerics
    if oid in _DECODERS:
        return _DECODERS[oid]
    if oid in _BY_LOADER:
        return partial(_loaded, transformer.get_loader(oid, Format.BINARY).load)
    return None


def text_decoder(loaded_as: int, oid: int, transformer: Transformer) -> Decoder:
    """Return what decodes a type that was cast to text: psycopg's loader, else the text stays one.

    Parameters
    ----------
    loaded_as
        The type whose loader is wanted, as `columns.loaded_as` says.
    oid
        PostgreSQL's number of the type itself.
    transformer
        psycopg's, of the connection.
    """
    if transformer.adapters.get_loader(oid, Format.TEXT) is None:
        return _texts
    return partial(_loaded, transformer.get_loader(loaded_as, Format.TEXT).load)


def _loaded(load: Callable[[bytes], Any], field: Field, column: Column) -> Array:
    return column.to_array([None if piece is None else load(piece) for piece in field.pieces()], column)


def _texts(field: Field, column: Column) -> Array:
    return column.to_array(field.texts(), column)


def _jsons(field: Field, column: Column, *, skip: int) -> Array:  # noqa: ARG001 - one signature for all
    # One call of the parser for the batch; `null` in the place of NULL means None as well.
    texts = ["null" if text is None else text for text in field.texts(skip)]
    array = np.empty(len(texts), dtype=object)
    array[:] = json.loads(f"[{','.join(texts)}]")
    return array


def _masked(wire: str, dtype: str) -> Decoder:
    def decode(field: Field, column: Column) -> Array:  # noqa: ARG001 - one signature for all
        values = field.fixed(wire).astype(dtype, copy=False)
        missing = field.missing
        values[missing] = 0
        return np.ma.MaskedArray(values, missing)

    return decode


def _floats(wire: str) -> Decoder:
    def decode(field: Field, column: Column) -> Array:  # noqa: ARG001 - one signature for all
        values = field.fixed(wire)
        values[field.missing] = np.nan
        return values

    return decode


def _stamps(wire: str, unit: str, epoch: int) -> Decoder:
    """Whole units since 2000-01-01; the least and the greatest number are the infinities."""
    least, greatest = np.iinfo(wire).min, np.iinfo(wire).max

    def decode(field: Field, column: Column) -> Array:
        values = field.fixed(wire).astype(np.int64)
        missing = field.missing
        infinite = ((values == least) | (values == greatest)) & ~missing
        if infinite.any():
            column.note("infinite and became NaT", int(infinite.sum()))
        stamps: Array = (values + epoch).astype(f"M8[{unit}]")
        stamps[missing | infinite] = np.datetime64("NaT")
        return stamps.astype(f"M8[{'s' if unit == 'D' else unit}]")

    return decode


def _intervals(field: Field, column: Column) -> Array:
    microseconds = field.fixed(">i8")
    days = field.fixed(">i4", 8).astype(np.int64)
    months = field.fixed(">i4", 12).astype(np.int64)
    missing = field.missing
    infinite = (np.abs(months) >= np.iinfo(np.int32).max) & ~missing
    if infinite.any():
        column.note("infinite and became NaT", int(infinite.sum()))
    # As psycopg counts: 365 days a year, 30 a month that is left.
    years, left = np.divmod(np.abs(months), 12)
    days += np.sign(months) * (years * 365 + left * 30)
    durations: Array = (microseconds + days * (86_400 * 10**6)).astype("m8[us]")
    durations[missing | infinite] = np.timedelta64("NaT")
    return durations


def _numerics(field: Field, column: Column) -> Array:
    """Return the nearest float of each: one division or product of exact floats, where that is exact.

    The digits, base 10000, make an integer M, and the value is M * 10**e. Below 2**53 M is exact as a float, and
    so are the powers up to 10**22: the one rounding is the right one. What is longer goes through `float`.
    """
    missing = field.missing
    digits = np.where(missing, 0, field.fixed(">u2")).astype(np.int64)
    weight = field.fixed(">i2", 2).astype(np.int64)
    sign = np.where(missing, 0, field.fixed(">u2", 4))
    exponent = (weight - digits + 1) * _DIGITS
    whole = np.zeros(len(digits), np.int64)
    for index in range(int(min(digits.max(initial=0), _DIGITS))):
        with_digit = digits > index
        at = Field(field.batch, np.where(with_digit, field.starts + 8 + 2 * index, 0), field.lengths)
        whole = np.where(with_digit, whole * 10**_DIGITS + at.fixed(">u2"), whole)
    for _ in range(_DIGITS - 1):  # zeros that only fill the last digit
        spare = (whole >= _FLOAT_EXACT) & (whole % 10 == 0)
        whole, exponent = np.where(spare, whole // 10, whole), exponent + spare
    power = 10.0 ** np.minimum(np.abs(exponent), _EXACT_TENS).astype(np.float64)
    values = whole.astype(np.float64)
    values = np.where(exponent < 0, values / power, values * power)
    values = np.where(sign == 0x4000, -values, values)
    values[missing] = np.nan
    hard = (digits > _DIGITS) | (whole >= _FLOAT_EXACT) | (np.abs(exponent) > _EXACT_TENS)
    hard = ((hard & (digits > 0)) | (sign >= 0xC000)) & ~missing
    if hard.any():
        chosen = Field(field.batch, field.starts[hard], field.lengths[hard])
        values[hard] = [float(_load_numeric(piece)) for piece in chosen.pieces() if piece is not None]
    return column.to_array(values, column)


def _oid(name: str) -> int:
    return psycopg.adapters.types[name].oid


_NUMERIC = _oid("numeric")
_numeric_loader = psycopg.adapters.get_loader(_NUMERIC, Format.BINARY)
assert _numeric_loader is not None  # noqa: S101 - psycopg ships it
_load_numeric = _numeric_loader(_NUMERIC).load

_DECODERS: dict[int, Decoder] = {
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
    _oid("json"): partial(_jsons, skip=0),
    _oid("jsonb"): partial(_jsons, skip=1),  # the first byte is the format's version
    **{_oid(name): _texts for name in ("text", "varchar", "bpchar", "name")},
}
# The values of these are the same from their text and from their bytes; those of arrays are not (real).
_BY_LOADER = frozenset(_oid(name) for name in ("numeric", "uuid", "bytea", "inet", "cidr"))
