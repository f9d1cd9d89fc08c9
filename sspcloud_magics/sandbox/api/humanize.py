"""Formats of values in kubectl's tables: ages, selectors, lists.

Source: k8s.io/apimachinery/pkg/util/duration; k8s.io/kubernetes/pkg/printers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sspcloud_magics.sandbox.store import count_seconds_since

NONE = "<none>"
UNKNOWN = "<unknown>"
UNSET = "<unset>"

_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR
_YEAR = 365 * _DAY
# Below this number of seconds: the unit, and the smaller unit that follows it.
_STEPS = (
    (2 * _MINUTE, (1, "s"), None),
    (10 * _MINUTE, (_MINUTE, "m"), (1, "s")),
    (3 * _HOUR, (_MINUTE, "m"), None),
    (8 * _HOUR, (_HOUR, "h"), (_MINUTE, "m")),
    (2 * _DAY, (_HOUR, "h"), None),
    (8 * _DAY, (_DAY, "d"), (_HOUR, "h")),
    (2 * _YEAR, (_DAY, "d"), None),
    (8 * _YEAR, (_YEAR, "y"), (_DAY, "d")),
)


def human_duration(seconds: float) -> str:
    """Format a duration like kubectl's ages: ``95s``, ``4m32s``, ``3h``, ``5d2h``."""
    seconds = int(seconds)
    if seconds < 0:
        return "0s" if seconds >= -1 else "<invalid>"
    for limit, (unit, letter), smaller in _STEPS:
        if seconds < limit:
            text = f"{seconds // unit}{letter}"
            if smaller is not None:
                rest = seconds % unit // smaller[0]
                text += f"{rest}{smaller[1]}" if rest else ""
            return text
    return f"{seconds // _YEAR}y"


def age(timestamp: str | None) -> str:
    """Format the time since a timestamp."""
    if not timestamp:
        return UNKNOWN
    return human_duration(count_seconds_since(timestamp))


def join_values(values: Iterable[str]) -> str:
    """Join values with commas; ``<none>`` for no values."""
    return ",".join(values) or NONE


def format_labels(labels: Mapping[str, str] | None) -> str:
    """Format labels: ``a=1,b=2``."""
    return join_values(f"{key}={value}" for key, value in sorted((labels or {}).items()))


def format_selector(selector: Mapping[str, Any] | None) -> str:
    """Format a LabelSelector: ``a=1,tier in (x,y)``."""
    if not selector:
        return NONE
    words = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    operators = {"In": "in", "NotIn": "notin"}
    for expression in selector.get("matchExpressions") or ():
        key, operator = expression["key"], expression["operator"]
        if operator in operators:
            words.append(f"{key} {operators[operator]} ({','.join(sorted(expression['values']))})")
        else:
            words.append(key if operator == "Exists" else f"!{key}")
    return join_values(words)
