"""Binding of the notebook's variables as parameters of PostgreSQL.

A value is bound: it is sent separately from the statement and never interpolated into it. Values of pandas and NumPy
are converted to Python values, and missing values (``None``, ``NaT``, ``NA``) to NULL. A float ``nan`` stays NaN, which
PostgreSQL has too; in a Series it marks a missing value, and becomes NULL.

================================================  ==========================================
in the notebook                                   in the statement
================================================  ==========================================
int                                               integer, bigint or numeric, by its size
bool, float, str, bytes, Decimal, UUID,           the corresponding type
date, time, datetime, timedelta, ipaddress …
NumPy scalars, `pandas.Timestamp`, `Timedelta`    the same, rounded to microseconds
list, tuple, set, range, array, Series, Index     an array, for ``= ANY(:ids)``
dict                                              jsonb
================================================  ==========================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import psycopg
from psycopg.abc import Transformer
from psycopg.types.json import Jsonb
from psycopg.types.numeric import Int4, Int8, IntNumeric

from sspcloud_magics.databases.parameter_values import PLAIN, find_value, to_python
from sspcloud_magics.errors import ParameterError
from sspcloud_magics.i18n import N_, _, quote_words


def values_of(names: Sequence[str], variables: Mapping[str, object]) -> list[Any]:
    """Return the values to bind, in the order of `names`.

    Parameters
    ----------
    names
        The names of the parameters.
    variables
        The values by name; only `names` are looked up.

    Raises
    ------
    ParameterError
        If a parameter has no value, or one that cannot be bound.

    Examples
    --------
    >>> values_of(("year", "ids"), {"year": 2024, "ids": {3}})
    [Int4(2024), [Int4(3)]]
    """
    found = []
    for name in names:
        value = find_value(
            name,
            variables,
            hint=_(
                "assign it first: {name} = …, or put a space after the colon if it is no parameter, as in a[1 : n]",
                name=name,
            ),
        )
        try:
            found.append(to_bindable(value))
        except (TypeError, ValueError) as error:
            raise ParameterError(
                _(":{name} cannot be bound.", name=name), why=quote_words(str(error)), hint=_(_TAKEN)
            ) from None
    return found


_TAKEN = N_(
    "bind a number, a string, a date, a list of these, a dict, or a column of a DataFrame: ids = df['id']"
)


def to_bindable(value: object) -> Any:
    """Return the Python value that psycopg binds for `value`.

    Raises
    ------
    TypeError
        If no type of PostgreSQL corresponds to its type, such as for a function or a DataFrame.
    """
    if type(value) in PLAIN:
        return _scalar(value)
    if isinstance(value, dict):
        return Jsonb(_json(value))
    if isinstance(value, pd.Series | pd.Index | pd.api.extensions.ExtensionArray):
        return _list(None if missing else item for item, missing in zip(value, pd.isna(value), strict=True))
    if isinstance(value, np.ndarray):
        return _list(value)
    if isinstance(value, list | tuple | set | frozenset | range):
        return _list(value)
    if isinstance(value, pd.DataFrame):
        raise TypeError(_("It is a DataFrame, but a parameter is one value or one list of values."))
    return _scalar(value)


def _list(values: Iterable[object]) -> list[Any]:
    items = [to_bindable(item) for item in values]
    widest = max((_INTEGERS.index(type(item)) for item in items if type(item) in _INTEGERS), default=0)
    return [_INTEGERS[widest](item) if type(item) in _INTEGERS else item for item in items]


_INTEGERS: tuple[Any, ...] = (Int4, Int8, IntNumeric)


def _integer(value: int) -> int:
    """Return an integer with the type of the same literal in PostgreSQL; psycopg would choose smallint."""
    bits = (value if value >= 0 else ~value).bit_length()
    kind = Int4 if bits < 32 else Int8 if bits < 64 else IntNumeric
    return kind(value)


def _scalar(value: Any) -> Any:
    python = to_python(value)
    if python is None:
        return None
    if type(python) is int:
        return _integer(python)
    if isinstance(python, pd.Period):
        raise TypeError(_("It is a pandas Period: bind its start_time or end_time."))
    if isinstance(python, str) and "\0" in python:
        raise ValueError(_("It contains a NUL character, which PostgreSQL cannot store."))
    if type(python) in PLAIN:
        return python
    try:
        psycopg.adapters.get_dumper(type(python), _AUTO)
    except psycopg.ProgrammingError:
        raise TypeError(_("Its type is {type}.", type=type(python).__name__)) from None
    return python


def _json(value: object) -> object:
    """Return `value` with all parts converted to types that JSON can represent."""
    if isinstance(value, Mapping):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray | pd.Series):
        return [_json(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    return None if value is pd.NA or value is pd.NaT else value


def dump_values(transformer: Transformer, names: Sequence[str], values: Iterable[Any]) -> list[Any]:
    """Dump `values` as bytes for the server; `transformer` then has their types and formats.

    Raises
    ------
    ParameterError
        If PostgreSQL has no such value, such as a list of numbers and strings.
    """
    listed = list(values)
    try:
        return list(transformer.dump_sequence(listed, [_AUTO] * len(listed)))
    except _CANNOT_BE_WRITTEN as error:
        which, why = ", ".join(f":{name}" for name in names), str(error)
    for name, value in zip(names, listed, strict=True):
        try:
            transformer.dump_sequence([value], [_AUTO])
        except _CANNOT_BE_WRITTEN as error:
            which, why = f":{name}", str(error)
    raise ParameterError(_("{names} cannot be bound.", names=which), why=quote_words(why), hint=_(_TAKEN))


_AUTO = psycopg.adapt.PyFormat.AUTO
_CANNOT_BE_WRITTEN = (psycopg.Error, TypeError, ValueError, OverflowError)
