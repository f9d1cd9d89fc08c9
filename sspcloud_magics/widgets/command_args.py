"""The arguments of an order, read: the browser is not trusted to be well-formed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from sspcloud_magics.errors import UsageProblem

Order: TypeAlias = Mapping[str, Any]
LONGEST = 512


def text(order: Order, name: str) -> str:
    """Return a text that is not empty.

    Raises
    ------
    UsageProblem
        If the order has none of that name.
    """
    value = order.get(name)
    if not isinstance(value, str) or not value.strip() or len(value) > LONGEST:
        raise UsageProblem(f"The button did not say which {name} it means.")
    return value.strip()


def number(order: Order, name: str) -> int:
    """Return a whole number.

    Raises
    ------
    UsageProblem
        If the order has none of that name.
    """
    value = order.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise UsageProblem(f"The button did not say which {name} it means.")
    return value


def names(order: Order, name: str) -> list[str]:
    """Return names that were chosen, none where the order says ``all``.

    Raises
    ------
    UsageProblem
        If nothing was chosen, or it is something else than names.
    """
    value = order.get(name)
    if value == "all":
        return []
    chosen = value if isinstance(value, list) else []
    if not chosen or not all(isinstance(each, str) and 0 < len(each) <= LONGEST for each in chosen):
        raise UsageProblem(f"The button did not say which {name} it means.", hint="choose at least one")
    return chosen


def words(order: Order, name: str) -> list[str]:
    """Return the words of a text that may be empty, as people separate them: blanks, commas, semicolons.

    Raises
    ------
    UsageProblem
        If it is no text.
    """
    value = order.get(name, "")
    if not isinstance(value, str) or len(value) > LONGEST:
        raise UsageProblem(f"The button did not say which {name} it means.")
    return value.replace(",", " ").replace(";", " ").split()
