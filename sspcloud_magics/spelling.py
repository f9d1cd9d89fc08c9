"""Did you mean: the known name that is spelt nearly like a typed one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_LIKENESS = 0.7
"""How alike two names are at least, as difflib counts it; at 0.6 short names are taken for others."""


def nearest(typed: str, names: Iterable[str]) -> str:
    """Return the name that is spelt nearly so, in whichever case; empty where none is.

    Parameters
    ----------
    typed
        What was written.
    names
        What there is; of two that differ in case only, the first is taken.

    Examples
    --------
    >>> nearest("Comunes", ["regions", "communes"])
    'communes'
    """
    by_spelling: dict[str, str] = {}
    for name in names:
        by_spelling.setdefault(name.casefold(), name)
    close = get_close_matches(typed.casefold(), by_spelling, n=1, cutoff=_LIKENESS)
    return by_spelling[close[0]] if close else ""
