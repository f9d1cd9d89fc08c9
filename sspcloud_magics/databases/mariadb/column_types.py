"""Conversion of MariaDB's types to pandas dtypes.

The dtype depends only on the column's type, so that an empty result, or a chunk without NULL, has the same dtypes as any
other. MariaDB sends text, which this module reads; PyMySQL's own conversion is wrong for negative times.
`docs/types.md` has the table.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd
from pymysql.constants import FIELD_TYPE, FLAG

from sspcloud_magics.databases.arrow import BYTES, DATE, JSON, NUMERIC, TEXT
from sspcloud_magics.databases.query_options import Numeric
from sspcloud_magics.i18n import _n

_BINARY = 63
"""The number of the character set of bytes."""

_FLOAT_EXACT = 2**53
_NAT = np.iinfo(np.int64).min
"""NumPy's number for NaT."""
_TIME = re.compile(r"(-?)(\d+):(\d\d):(\d\d)(?:\.(\d{1,6}))?")


class Note(StrEnum):
    """A reason for which values differ from the server's."""

    ROUNDED = "rounded"
    ZERO = "zero"

    def describe(self, column: str, count: int) -> str:
        """Return the note for `count` values of a column."""
        if self is Note.ROUNDED:
            return _n(
                "{column}: {count} value of 2**53 or more may be rounded: numeric='decimal' keeps them exact.",
                "{column}: {count} values of 2**53 or more may be rounded: numeric='decimal' keeps them exact.",
                count,
                column=column,
            )
        return _n(
            "{column}: {count} date with the month or day 0, which pandas cannot hold, became NaT.",
            "{column}: {count} dates with the month or day 0, which pandas cannot hold, became NaT.",
            count,
            column=column,
        )


Convert = Callable[[Sequence[Any], "ResultColumn"], Any]


@dataclass(slots=True, eq=False)
class ResultColumn:
    """One column of a result; batches become pieces as they arrive."""

    name: str  # the name in the result
    convert: Convert  # converts the texts of a batch to an array; it may add notes
    oid: int = 0  # the type of PostgreSQL that corresponds, for Arrow
    # The database, table and column that the values come from; empty texts for an expression.
    origin: tuple[str, str, str] = ("", "", "")
    pieces: list[Any] = field(default_factory=list)  # the arrays so far
    # The number of values that differ from the server's, by reason.
    notes: dict[Note, int] = field(default_factory=dict)

    def take(self, values: Sequence[Any]) -> None:
        """Add the values of a batch."""
        self.pieces.append(self.convert(values, self))

    def finish(self) -> Any:
        """Return all values as one array, and keep none."""
        pieces, self.pieces = self.pieces or [self.convert((), self)], []
        if len(pieces) == 1:
            return pieces[0]
        if isinstance(pieces[0], np.ndarray):
            return np.concatenate(pieces)
        return type(pieces[0])._concat_same_type(pieces)  # noqa: SLF001 - pandas' interface of extension arrays


def make_column(field_: Any, numeric: Numeric) -> ResultColumn:
    """Return the column for a field of PyMySQL's result."""
    kind, is_unsigned = field_.type_code, bool(field_.flags & FLAG.UNSIGNED)
    convert, oid = _CONVERTS.get(kind, (_to_text, TEXT))
    if kind in _INTEGERS:
        name = f"{'U' * is_unsigned}Int{_INTEGERS[kind]}"
        convert = _integers_of(name)
    elif kind in (FIELD_TYPE.DECIMAL, FIELD_TYPE.NEWDECIMAL):
        convert, oid = (_to_decimal, NUMERIC) if numeric == "decimal" else (_to_float, 0)
    elif kind == FIELD_TYPE.BIT and field_.length == 1:
        convert = _to_boolean
    elif kind in _TEXTS and field_.charsetnr == _BINARY:
        convert, oid = _to_bytes, BYTES
    # PyMySQL decodes all names but this one.
    origin = (field_.db.decode(errors="replace"), field_.org_table, field_.org_name)
    return ResultColumn(field_.name, convert, oid, origin)


def may_be_json(column: ResultColumn, field_: Any) -> bool:
    """Whether a column may contain JSON: MariaDB's JSON is a LONGTEXT with a check."""
    return column.convert is _to_text and field_.type_code == FIELD_TYPE.BLOB and bool(column.origin[1])


def parse_json(texts: Any) -> Any:
    """Convert a column of texts to parsed JSON; one that Python cannot parse stays text."""
    return _objects([None if text is pd.NA else _parse(text) for text in texts])


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (
        ValueError,
        RecursionError,
    ):  # a CHECK need not hold, and the server allows deeper nesting and longer numbers
        return text


def as_json(column: ResultColumn) -> None:
    """Declare a column's texts as JSON."""
    column.oid = JSON[0]


def _integers_of(dtype: str) -> Convert:
    plain = dtype.lower()

    def convert(values: Sequence[Any], _column: ResultColumn) -> Any:
        missing = np.fromiter((value is None for value in values), bool, len(values))
        numbers = np.array([0 if value is None else int(value) for value in values], plain)
        return pd.arrays.IntegerArray(numbers, missing)

    return convert


def _to_float(values: Sequence[Any], column: ResultColumn) -> Any:
    numbers = np.array([np.nan if value is None else float(value) for value in values], "float64")
    if large := int(np.count_nonzero(np.abs(numbers) >= _FLOAT_EXACT)):
        column.notes[Note.ROUNDED] = column.notes.get(Note.ROUNDED, 0) + large
    return numbers


def _to_double(values: Sequence[Any], _column: ResultColumn) -> Any:
    return np.array([np.nan if value is None else float(value) for value in values], "float64")


def _to_single(values: Sequence[Any], _column: ResultColumn) -> Any:
    return np.array([np.nan if value is None else float(value) for value in values], "float32")


def _to_decimal(values: Sequence[Any], _column: ResultColumn) -> Any:
    return _objects([None if value is None else Decimal(value) for value in values])


def _to_text(values: Sequence[Any], _column: ResultColumn) -> Any:
    texts = [value.decode(errors="replace") if isinstance(value, bytes) else value for value in values]
    return pd.array(texts, dtype="string")


def _to_bytes(values: Sequence[Any], _column: ResultColumn) -> Any:
    return _objects([value.encode("latin-1") if isinstance(value, str) else value for value in values])


def _to_boolean(values: Sequence[Any], _column: ResultColumn) -> Any:
    return pd.array([None if value is None else value[-1:] == b"\1" for value in values], dtype="boolean")


def _to_bits(values: Sequence[Any], column: ResultColumn) -> Any:
    numbers = [None if value is None else int.from_bytes(value, "big") for value in values]
    return _integers_of("UInt64")(numbers, column)


def _moments_of(dtype: str) -> Convert:
    def convert(values: Sequence[Any], column: ResultColumn) -> Any:
        zero = 0
        texts = []
        for value in values:
            is_zero = value is not None and "00" in (value[5:7], value[8:10])
            zero += is_zero
            texts.append("NaT" if value is None or is_zero else value)
        if zero:
            column.notes[Note.ZERO] = column.notes.get(Note.ZERO, 0) + zero
        return np.array(texts, dtype)

    return convert


def _to_duration(values: Sequence[Any], _column: ResultColumn) -> Any:
    counts = [_NAT if value is None else _count_microseconds(value) for value in values]
    return np.array(counts, "int64").view("timedelta64[us]")


def _count_microseconds(text: str) -> int:
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a TIME of MariaDB.")
    sign, hours, minutes, seconds, fraction = found.groups()
    total = (int(hours) * 60 + int(minutes)) * 60 + int(seconds)
    return (-1 if sign else 1) * (total * 1_000_000 + int((fraction or "0").ljust(6, "0")))


def _objects(values: list[Any]) -> Any:
    made = np.empty(len(values), object)
    made[:] = values
    return made


_INTEGERS = {
    FIELD_TYPE.TINY: 8,
    FIELD_TYPE.SHORT: 16,
    FIELD_TYPE.YEAR: 16,
    FIELD_TYPE.INT24: 32,
    FIELD_TYPE.LONG: 32,
    FIELD_TYPE.LONGLONG: 64,
}
_TEXTS = frozenset(
    {FIELD_TYPE.VARCHAR, FIELD_TYPE.VAR_STRING, FIELD_TYPE.STRING, FIELD_TYPE.GEOMETRY}
    | {FIELD_TYPE.TINY_BLOB, FIELD_TYPE.MEDIUM_BLOB, FIELD_TYPE.LONG_BLOB, FIELD_TYPE.BLOB}
)
_CONVERTS: dict[int, tuple[Convert, int]] = {
    FIELD_TYPE.FLOAT: (_to_single, 0),
    FIELD_TYPE.DOUBLE: (_to_double, 0),
    FIELD_TYPE.DATE: (_moments_of("datetime64[s]"), DATE),
    FIELD_TYPE.NEWDATE: (_moments_of("datetime64[s]"), DATE),
    FIELD_TYPE.DATETIME: (_moments_of("datetime64[us]"), 0),
    FIELD_TYPE.TIMESTAMP: (_moments_of("datetime64[us]"), 0),
    FIELD_TYPE.TIME: (_to_duration, 0),
    FIELD_TYPE.BIT: (_to_bits, 0),
    FIELD_TYPE.JSON: (_to_text, JSON[0]),
}
