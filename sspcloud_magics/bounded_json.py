"""Parse untrusted JSON with a limit on the number of values and on the nesting.

Parsed values take many times the memory of their text, so they are counted before parsing. Deep nesting exhausts the
stack of the parser, and of any code that walks through the result later.
"""

from __future__ import annotations

import json
from typing import Any

from sspcloud_magics.i18n import _, format_bytes, format_number

MAX_VALUES = 5_000_000
"""Values in one text. A list of pods has one value per 30 bytes; a parsed value takes about 100 bytes of memory."""

MAX_DEPTH = 100
"""Levels of nesting. A list of pods has 15 levels, a list of Deployments with their managed fields 20."""


MALFORMED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What reading the fields of a malformed object raises."""


class LimitExceeded(ValueError):
    """Input exceeds a limit; the message is the second half of a sentence, such as "more than 100 levels of nesting"."""


def too_many_values(limit: int) -> LimitExceeded:
    """Return the error for more than `limit` values."""
    return LimitExceeded(_("more than {count} values", count=format_number(limit)))


def too_deep() -> LimitExceeded:
    """Return the error for a nesting that exceeds `MAX_DEPTH`, or the parser's stack."""
    return LimitExceeded(_("more than {count} levels of nesting", count=MAX_DEPTH))


def too_large(limit: int) -> LimitExceeded:
    """Return the error for a text of more than `limit` bytes."""
    return LimitExceeded(_("more than {size}", size=format_bytes(limit)))


def parse(data: bytes | bytearray | str, max_values: int = MAX_VALUES) -> Any:
    """Parse a JSON text.

    Raises
    ------
    LimitExceeded
        If it has more than `max_values` values, or more than `MAX_DEPTH` levels.
    ValueError
        If it is not JSON, or holds a lone surrogate, which cannot be encoded for display.

    Examples
    --------
    >>> parse('{"items": []}')
    {'items': []}
    >>> parse("[" * 200_000)
    Traceback (most recent call last):
    sspcloud_magics.bounded_json.LimitExceeded: more than 100 levels of nesting
    """
    text = data.encode(errors="surrogatepass") if isinstance(data, str) else data
    opened = text.count(b"[") + text.count(b"{")
    if opened + text.count(b",") > max_values:
        raise too_many_values(max_values)
    try:
        found = json.loads(text)
        if rb"\u" in text and (rb"\ud" in text or rb"\uD" in text):
            json.dumps(found, ensure_ascii=False).encode()
    except RecursionError:
        raise too_deep() from None
    except ValueError:
        raise ValueError("not JSON") from None
    if opened > MAX_DEPTH:
        check_nesting(found, max_values)
    return found


def check_nesting(value: Any, max_values: int = MAX_VALUES) -> None:
    """Raise `LimitExceeded` if a value of dicts and lists has more than `MAX_DEPTH` levels.

    Parameters
    ----------
    value
        The value. A part that appears twice, as with YAML aliases, counts twice.
    max_values
        The maximum number of values in one level.
    """
    # `type() is` is measurably faster than `isinstance`, and a list of pods has 100,000 values.
    level = [value] if type(value) in (dict, list) else []
    for _level in range(MAX_DEPTH):
        if sum(map(len, level)) > max_values:
            raise too_many_values(max_values)
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) is dict or type(inner) is list
        ]
        if not level:
            return
    raise too_deep()
