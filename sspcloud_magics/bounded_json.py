"""Parse JSON that comes from outside: it has a limit in the number of its values and in its nesting.

JSON's values take many times their text in memory, so they are counted before they are parsed. What is nested without
end makes a parser fail in a way of its own, and whatever walks through the result later, too.
"""

from __future__ import annotations

import json
from typing import Any

MOST_VALUES = 5_000_000
"""Of one text. Pods have a value in 30 bytes; a value takes some 100 bytes of memory."""

DEEPEST = 100
"""Levels of nesting. A list of pods has 15 levels, a list of Deployments with their managed fields 20."""


class TooMuch(ValueError):
    """A text from outside has more of something than any that is meant; the error's text says how much: ``more than …``."""


def parse(data: bytes | bytearray | str, most_values: int = MOST_VALUES) -> Any:
    """Return the value that a JSON text is.

    Raises
    ------
    TooMuch
        If it has more values, or more than `DEEPEST` levels.
    ValueError
        If it is not JSON, or holds half a surrogate pair: that is in no text, and would fail where it is shown.

    Examples
    --------
    >>> parse('{"items": []}')
    {'items': []}
    >>> parse("[" * 200_000)
    Traceback (most recent call last):
    sspcloud_magics.bounded_json.TooMuch: more than 100 levels of nesting
    """
    text = data.encode(errors="surrogatepass") if isinstance(data, str) else data
    opened = text.count(b"[") + text.count(b"{")
    if opened + text.count(b",") > most_values:
        raise TooMuch(f"more than {most_values:,} values")
    try:
        found = json.loads(text)
        if rb"\u" in text and (rb"\ud" in text or rb"\uD" in text):
            json.dumps(found, ensure_ascii=False).encode()
    except RecursionError:
        raise TooMuch(f"more than {DEEPEST} levels of nesting") from None
    except ValueError:
        raise ValueError("not JSON") from None
    if opened > DEEPEST:
        check_nesting(found, most_values)
    return found


def check_nesting(value: Any, most_values: int = MOST_VALUES) -> None:
    """Raise `TooMuch` where a value of dicts and lists has more than `DEEPEST` levels.

    Parameters
    ----------
    value
        The value. What is in it twice, as YAML's aliases make it, counts twice.
    most_values
        How many values there may be in one level.
    """
    # Types are compared, since that is measurably faster than `isinstance`: a list of pods has 100,000 values.
    level = [value] if type(value) in (dict, list) else []
    for _ in range(DEEPEST):
        if sum(map(len, level)) > most_values:
            raise TooMuch(f"more than {most_values:,} values")
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) is dict or type(inner) is list
        ]
        if not level:
            return
    raise TooMuch(f"more than {DEEPEST} levels of nesting")
