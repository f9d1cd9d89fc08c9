"""From the notebook's variables to values that PostgreSQL takes as parameters.

A value is bound: it travels beside the statement and is never written into it. What pandas and NumPy
hold is turned into the Python value that it means, and a missing value (``None``, ``NaT``, ``NA``)
into NULL. A float's ``nan`` stays one, since PostgreSQL has it too; within a Series it is how pandas
says that a value is missing, and becomes NULL.

================================================  ==========================================
in the notebook                                   in the statement
================================================  ==========================================
int                                               integer, bigint or numeric, as it fits
bool, float, str, bytes, Decimal, UUID,      the type of the same meaning
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

from sspcloud_magics.errors import ParameterError
from sspcloud_magics.spelling import nearest


def values_of(names: Sequence[str], variables: Mapping[str, object]) -> list[Any]:
    """Return the values to bind, in the order of `names`.

    Parameters
    ----------
    names
        The names of the parameters.
    variables
        Where to find them; only `names` are looked up.

    Raises
    ------
    ParameterError
        If one has no value, or one that cannot be bound.

    Examples
    --------
    >>> values_of(("year", "ids"), {"year": 2024, "ids": {3}})
    [Int4(2024), [Int4(3)]]
    """
    found = []
    for name in names:
        try:
            value = variables[name]
        except KeyError:
            raise _make_unknown_error(name, variables) from None
        try:
            found.append(bindable(value))
        except (TypeError, ValueError) as error:
            raise ParameterError(f":{name} cannot be bound.", why=str(error), hint=_TAKEN) from None
    return found


_TAKEN = (
    "bind a number, a text, a date, a list of these or a dict; of a DataFrame, one column: ids = frame['id']"
)


def _make_unknown_error(name: str, variables: Mapping[str, object]) -> ParameterError:
    candidates = [other for other in variables if not other.startswith("_")]
    near = nearest(name, candidates)
    return ParameterError(
        f"The statement has the parameter :{name}, and no variable has that name.",
        hint=f"did you mean :{near}?"
        if near
        else f"assign it first: {name} = …\nor, where no parameter is meant, write the colon apart, as in a[1 : n], or in quotes",
    )


def bindable(value: object) -> Any:
    """Return the Python value that psycopg binds for `value`.

    Raises
    ------
    TypeError
        If it is of a type that stands for no value of a database, such as a function or a DataFrame.
    """
    if type(value) in _PLAIN:
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
        raise TypeError("It is a DataFrame, and a parameter is one value or one list of values.")
    return _scalar(value)


def _list(values: Iterable[object]) -> list[Any]:
    items = [bindable(item) for item in values]
    widest = max((_INTEGERS.index(type(item)) for item in items if type(item) in _INTEGERS), default=0)
    return [_INTEGERS[widest](item) if type(item) in _INTEGERS else item for item in items]


_INTEGERS: tuple[Any, ...] = (Int4, Int8, IntNumeric)


def _integer(value: int) -> int:
    """Return the type that PostgreSQL gives to the same digits in a statement; psycopg would say smallint."""
    bits = (value if value >= 0 else ~value).bit_length()
    kind = Int4 if bits < 32 else Int8 if bits < 64 else IntNumeric
    return kind(value)


def _scalar(value: Any) -> Any:
    python = plain(value)
    if python is None:
        return None
    if type(python) is int:
        return _integer(python)
    if isinstance(python, pd.Period):
        raise TypeError("It is a pandas Period: bind its start_time or end_time.")
    if isinstance(python, str) and "\0" in python:
        raise ValueError("It is a text with a NUL character, which PostgreSQL cannot hold.")
    if type(python) in _PLAIN:
        return python
    try:
        psycopg.adapters.get_dumper(type(python), _AUTO)
    except psycopg.ProgrammingError:
        raise TypeError(f"It is of the type {type(python).__name__}.") from None
    return python


_PLAIN = frozenset({int, float, bool, str, type(None)})


def plain(value: Any) -> Any:
    """Return the Python value for one of pandas or NumPy; None for a missing one."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, np.datetime64 | np.timedelta64):
        if np.isnat(value):
            return None
        value = pd.Timestamp(value) if isinstance(value, np.datetime64) else pd.Timedelta(value)
    if value is pd.NaT or value is pd.NA:
        return None
    # Only nanoseconds are rounded: pandas 2 cannot round what is coarser than what it is rounded to.
    if isinstance(value, pd.Timestamp):
        return (value.round("us") if value.unit == "ns" else value).to_pydatetime()
    if isinstance(value, pd.Timedelta):
        return (value.round("us") if value.unit == "ns" else value).to_pytimedelta()
    return value.item() if isinstance(value, np.generic) else value


def _json(value: object) -> object:
    """Return `value` with what JSON has no word for turned into what it means."""
    if isinstance(value, Mapping):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray | pd.Series):
        return [_json(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    return None if value is pd.NA or value is pd.NaT else value


def dump_values(transformer: Transformer, names: Sequence[str], values: Iterable[Any]) -> list[Any]:
    """Return `values` as bytes for the server; `transformer` then holds their types and formats.

    Raises
    ------
    ParameterError
        If a value cannot be written as PostgreSQL's, such as a list of numbers and texts.
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
    raise ParameterError(f"{which} cannot be bound.", why=why, hint=_TAKEN)


_AUTO = psycopg.adapt.PyFormat.AUTO
_CANNOT_BE_WRITTEN = (psycopg.Error, TypeError, ValueError, OverflowError)
