"""The values of parameters: variables of the notebook, as Python values.

Each kind of database binds them with the types that it has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from sspcloud_magics.errors import ParameterError
from sspcloud_magics.i18n import _
from sspcloud_magics.spelling import nearest


def find_value(name: str, variables: Mapping[str, object], *, hint: str) -> object:
    """Return the value of a parameter; `hint` is for an unknown name without a similar one.

    Raises
    ------
    ParameterError
        If there is no variable of that name.
    """
    try:
        return variables[name]
    except KeyError:
        pass
    near = nearest(name, [other for other in variables if not other.startswith("_")])
    raise ParameterError(
        _("The statement has the parameter :{name}, but there is no variable of that name.", name=name),
        hint=_("did you mean :{near}?", near=near) if near else hint,
    )


PLAIN = frozenset({int, float, bool, str, type(None)})


def to_python(value: Any) -> Any:
    """Convert a value of pandas or NumPy to Python; a missing value becomes None."""
    if type(value) in PLAIN:
        return value
    if isinstance(value, np.datetime64 | np.timedelta64):
        if np.isnat(value):
            return None
        value = pd.Timestamp(value) if isinstance(value, np.datetime64) else pd.Timedelta(value)
    if value is pd.NaT or value is pd.NA:
        return None
    # Only nanoseconds are rounded: pandas 2 cannot round to a finer unit.
    if isinstance(value, pd.Timestamp):
        return (value.round("us") if value.unit == "ns" else value).to_pydatetime()
    if isinstance(value, pd.Timedelta):
        return (value.round("us") if value.unit == "ns" else value).to_pytimedelta()
    return value.item() if isinstance(value, np.generic) else value
