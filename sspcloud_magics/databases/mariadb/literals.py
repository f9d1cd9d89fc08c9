"""Parameters of MariaDB's statements.

PyMySQL sends text and has no prepared statements, so a statement with parameters is sent as
``EXECUTE IMMEDIATE 'SELECT … ?' USING value``: the server prepares it, and binds the values.
A value is never part of the statement. It travels as a literal of digits, or as hexadecimal digits, which no character
set and no SQL mode reads differently, so that it cannot end early.

==========================================  ====================================================
in the notebook                             in the statement
==========================================  ====================================================
int, float, Decimal, bool                   a number
str, UUID, dict                             text; a dict as JSON
bytes                                       binary text
date, datetime, time, timedelta             date, datetime, time
list, tuple, set, array, Series, Index      a list in parentheses, for ``IN :ids``
None, NaT, NA                               NULL
==========================================  ====================================================
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd

from sspcloud_magics.databases.mariadb.sql_lexer import Statement
from sspcloud_magics.databases.parameter_values import find_value, to_python
from sspcloud_magics.errors import ParameterError
from sspcloud_magics.i18n import N_, _, quote_words

_TAKEN = N_("bind a number, a string, a date, bytes, a dict, or a list or a column of these: IN :ids")
# No row, of which IN is false and NOT IN is true.
_EMPTY = "(SELECT NULL FROM DUAL WHERE FALSE)"
_MOST_DIGITS = 65
_LONGEST_TIME = timedelta(hours=839)
_SECOND = timedelta(seconds=1)


def bind(statement: Statement, variables: Mapping[str, object]) -> str:
    """Return the text to send for a statement, with its parameters.

    Raises
    ------
    ParameterError
        If a parameter has no value, or one that cannot be bound.

    Examples
    --------
    >>> from sspcloud_magics.databases.mariadb.sql_lexer import statements
    >>> bind(statements("SELECT :n")[0], {"n": 3})
    "EXECUTE IMMEDIATE CONVERT(x'53454c454354203f' USING utf8mb4) USING 3"
    """
    if not statement.names:
        return statement.text
    sql, values = [statement.pieces[0]], []
    for name, piece in zip(statement.names, statement.pieces[1:], strict=True):
        hint = _(
            "assign it first: {name} = …, or put a space after the colon if it is no parameter",
            name=name,
        )
        value = find_value(name, variables, hint=hint)
        try:
            items = _list_items(value)
            found = [make_literal(item) for item in ([value] if items is None else items)]
        except (TypeError, ValueError) as error:
            raise ParameterError(
                _(":{name} cannot be bound.", name=name), why=quote_words(str(error)), hint=_(_TAKEN)
            ) from None
        if items is None:
            sql += ["?"]
        elif items:
            sql += ["(", ", ".join("?" * len(items)), ")"]
        else:
            sql.append(_EMPTY)
        sql.append(piece)
        values += found
    using = f" USING {', '.join(values)}" if values else ""
    return f"EXECUTE IMMEDIATE {_make_text(''.join(sql))}{using}"


def quote(value: str) -> str:
    """Return text as a literal, for statements that take no parameters."""
    return _make_text(value)


def quote_name(name: str) -> str:
    """Return a quoted identifier."""
    return "`" + name.replace("`", "``") + "`"


def _list_items(value: object) -> list[Any] | None:
    """Return the items of a list; None for one value."""
    if isinstance(value, pd.Series | pd.Index | pd.api.extensions.ExtensionArray):
        return [None if missing else item for item, missing in zip(value, pd.isna(value), strict=True)]
    if isinstance(value, np.ndarray | list | tuple | set | frozenset | range):
        return list(value)
    if isinstance(value, pd.DataFrame):
        raise TypeError(_("It is a DataFrame, but a parameter is one value or one list of values."))
    return None


def make_literal(value: object) -> str:  # noqa: C901, PLR0911 - one branch per type
    """Return a value as a literal.

    Raises
    ------
    TypeError, ValueError
        If MariaDB has no such value; the message says why.
    """
    python = to_python(value)
    if python is None:
        return "NULL"
    if isinstance(python, bool):
        return "TRUE" if python else "FALSE"
    if isinstance(python, int):
        return _make_number(Decimal(python))
    if isinstance(python, float):
        if not math.isfinite(python):
            raise ValueError(_("MariaDB has no {value}.", value=python))
        text = repr(python)
        return text if "e" in text else f"{text}e0"  # without an exponent it would be a DECIMAL
    if isinstance(python, Decimal):
        if not python.is_finite():
            raise ValueError(_("MariaDB has no {value}.", value=python))
        return _make_number(python)
    if isinstance(python, str | UUID):
        return _make_text(str(python))
    if isinstance(python, bytes | bytearray | memoryview):
        return f"x'{bytes(python).hex()}'"
    if isinstance(python, dict):
        return make_document(python)
    return _make_moment(python)


def make_document(value: object) -> str:
    """Return a dict or a list as a literal with its JSON.

    Raises
    ------
    TypeError, ValueError
        If it has no JSON.
    """
    return _make_text(json.dumps(_make_plain(value), ensure_ascii=False, allow_nan=False))


def _make_number(value: Decimal) -> str:
    text = f"{value:f}"
    if sum(map(str.isdigit, text)) > _MOST_DIGITS:
        raise ValueError(_("MariaDB's numbers have at most {count} digits.", count=_MOST_DIGITS))
    return text


def _make_text(text: str) -> str:
    return f"CONVERT(x'{text.encode().hex()}' USING utf8mb4)"


def _make_moment(value: object) -> str:
    if isinstance(value, datetime):
        if value.tzinfo is not None:
            raise ValueError(_("It has a time zone, which MariaDB cannot store: convert it, and bind x.replace(tzinfo=None)."))  # fmt: skip
        return f"TIMESTAMP'{value.isoformat(' ')}'"
    if isinstance(value, date):
        return f"DATE'{value.isoformat()}'"
    if isinstance(value, time) and value.tzinfo is None:
        return f"TIME'{value.isoformat()}'"
    if isinstance(value, timedelta):
        if abs(value) >= _LONGEST_TIME:
            raise ValueError(_("MariaDB's TIME ends at 838:59:59."))
        whole, rest = divmod(abs(value), _SECOND)
        sign = "-" if value < timedelta(0) else ""
        return f"TIME'{sign}{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}.{rest.microseconds:06}'"
    raise TypeError(_("Its type is {type}.", type=type(value).__name__))


def _make_plain(value: object) -> object:
    """Return `value` with all parts converted to types that JSON can represent."""
    if isinstance(value, Mapping):
        return {str(key): _make_plain(item) for key, item in value.items()}
    items = _list_items(value)
    return to_python(value) if items is None else [_make_plain(item) for item in items]
