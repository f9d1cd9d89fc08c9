"""Command documents of MongoDB, with variables of the notebook as values.

``{"find": "communes", "filter": {"dep": :dep}}`` is JSON with ``:name`` where a value may be. The text is parsed with a marker
in the place of each parameter, and the marker is then replaced in the document: a value is never part of the text, so it
cannot add an operator, such as ``$where``. MongoDB's Extended JSON is understood: ``{"$oid": "…"}``, ``{"$date": "…"}``.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
from bson import Decimal128, json_util
from bson.errors import BSONError

from sspcloud_magics.databases.parameter_values import find_value, to_python
from sspcloud_magics.errors import ParameterError, UsageProblem
from sspcloud_magics.i18n import N_, _, quote_words

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\s+|:([^\W\d]\w*)|.', re.DOTALL)
# The characters after which a value follows; after a key, a colon separates.
_BEFORE_A_VALUE = frozenset(":[,")

_TAKEN = N_("bind a number, a string, a date, bytes, an ObjectId, a dict, or a list or a column of these")
_EXAMPLE = '{"find": "communes", "filter": {"dep": :dep}, "limit": 10}'  # not translated: a command


def make_command(text: str | Mapping[str, Any], params: Mapping[str, object] | None) -> dict[str, Any]:
    """Return the document of a command.

    Parameters
    ----------
    text
        Its text, or the document.
    params
        The values of the parameters, by name.

    Raises
    ------
    UsageProblem
        If the text is no command document.
    ParameterError
        If a parameter has no value, or one that cannot be bound.

    Examples
    --------
    >>> make_command('{"find": "t", "filter": {"a": :a, "b": ":a"}}', {"a": {"x": 1}})
    {'find': 't', 'filter': {'a': {'x': 1}, 'b': ':a'}}
    """
    if isinstance(text, Mapping):
        return {str(key): _bind("document", value) for key, value in text.items()}
    nonce = secrets.token_hex(8)
    marked, names = _mark(text, nonce)
    values = {
        f"{nonce}:{name}": _bind(
            name, find_value(name, params or {}, hint=_("assign it first: {name} = …", name=name))
        )
        for name in names
    }
    try:
        document = json_util.loads(marked)
    except (ValueError, TypeError, BSONError, RecursionError) as error:
        why = str(error).replace(nonce, "")
        raise UsageProblem(
            _("The text is no command document in JSON."), why=why, hint=_make_hint()
        ) from None
    if not isinstance(document, dict) or not document:
        raise UsageProblem(_("The text is no command document in JSON."), hint=_make_hint())
    return {key: _fill(value, values) for key, value in document.items()}


def _make_hint() -> str:
    return _("write a command document, for example") + "\n" + _EXAMPLE


def _mark(text: str, nonce: str) -> tuple[str, list[str]]:
    """Return the text with a string in the place of each parameter, and the parameters."""
    parts: list[str] = []
    names: list[str] = []
    before = ","
    for token in _TOKEN.finditer(text):
        part, name = token.group(), token[1]
        if name and before in _BEFORE_A_VALUE:
            names.append(name)
            part = f'"{nonce}:{name}"'
        parts.append(part)
        if not part.isspace():
            before = part[0] if name and part == token.group() else part[-1]
    return "".join(parts), names


def _fill(value: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        return {key: _fill(item, values) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, values) for item in value]
    return values.get(value, value) if isinstance(value, str) else value


def _bind(name: str, value: object) -> Any:
    try:
        return _to_bson(value)
    except (TypeError, ValueError) as error:
        raise ParameterError(
            _(":{name} cannot be bound.", name=name), why=quote_words(str(error)), hint=_(_TAKEN)
        ) from None


def _to_bson(value: object) -> Any:  # noqa: PLR0911 - one branch per type
    """Return the value of BSON for a value of Python, NumPy or pandas."""
    if isinstance(value, pd.DataFrame):
        raise TypeError(_("It is a DataFrame, but a parameter is one value or one list of values."))
    if isinstance(value, Mapping):
        return {str(key): _to_bson(item) for key, item in value.items()}
    if isinstance(value, pd.Series | pd.Index | pd.api.extensions.ExtensionArray):
        return _list(None if missing else item for item, missing in zip(value, pd.isna(value), strict=True))
    if isinstance(value, np.ndarray | list | tuple | set | frozenset | range):
        return _list(value)
    python = to_python(value)
    if isinstance(python, Decimal):
        return Decimal128(python)
    if isinstance(python, datetime):
        return python if python.tzinfo else python.replace(tzinfo=UTC)
    if isinstance(python, date):
        return datetime(python.year, python.month, python.day, tzinfo=UTC)
    if isinstance(python, timedelta) or callable(python):
        raise TypeError(_("Its type is {type}.", type=type(python).__name__))
    return python


def _list(values: Iterable[object]) -> list[Any]:
    return [_to_bson(item) for item in values]
