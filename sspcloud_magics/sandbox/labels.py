"""Label selectors in objects: ``matchLabels`` and ``matchExpressions``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

OPERATORS: Final[Mapping[str, Callable[[str | None, Collection[str]], bool]]] = {
    "In": lambda value, values: value in values,
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, _: value is not None,
    "DoesNotExist": lambda value, _: value is None,
}


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Return whether a selector matches: an empty one matches everything, None or an unknown operator nothing."""
    if selector is None:
        return False
    wanted = selector.get("matchLabels") or {}
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        term.get("operator") in OPERATORS
        and OPERATORS[term["operator"]](labels.get(term.get("key", "")), term.get("values") or ())
        for term in selector.get("matchExpressions") or ()
    )
