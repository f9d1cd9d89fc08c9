"""Suggestions for misspelt names ("did you mean")."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_LIKENESS = 0.7
"""Minimum similarity ratio of difflib; 0.6, its default, confuses short names."""


def nearest(typed: str, names: Iterable[str]) -> str:
    """Return the known name closest to a typed one, ignoring case; empty if none is similar.

    Parameters
    ----------
    typed
        The name that the user typed.
    names
        The known names; of two that differ only in case, the first counts.

    Examples
    --------
    >>> nearest("Comunes", ["regions", "communes"])
    'communes'
    """
    by_spelling: dict[str, str] = {}
    for name in names:
        by_spelling.setdefault(name.casefold(), name)
    text = typed.casefold()
    for index in range(
        len(text) - 1
    ):  # two letters in the wrong order; to difflib, short names are then unlike
        swapped = f"{text[:index]}{text[index + 1]}{text[index]}{text[index + 2 :]}"
        if swapped != text and swapped in by_spelling:
            return by_spelling[swapped]
    close = get_close_matches(text, by_spelling, n=1, cutoff=_LIKENESS)
    return by_spelling[close[0]] if close else ""
