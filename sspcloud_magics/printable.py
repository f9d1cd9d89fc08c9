r"""Escape control characters in untrusted text before it is displayed.

Names, messages and values come from servers of other people. An ESC in such a text can move a terminal's cursor or
overwrite earlier output; a bidirectional control reverses the text after it, in a browser too. Such
characters are displayed as Python escapes (``\x1b``, ``\u202e``), so that they are visible. The code that builds HTML
escapes HTML.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from sspcloud_magics.i18n import _n

LONGEST = 4000
"""Maximum length of a quoted text of a server, in characters."""

_UNUSUAL = re.compile(r"[^\t\n -~]")
_ESCAPED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Zero width non-joiner and joiner: some scripts and emoji need them, and they are harmless.
_JOINERS = frozenset("\u200c\u200d")


def printable(text: str, *, one_line: bool = False) -> str:
    r"""Escape the control characters of a text.

    Parameters
    ----------
    text
        Untrusted text. Line ends and tabs stay.
    one_line
        Escape line ends and tabs too, for a text that shares a line with others.

    Examples
    --------
    >>> print(printable("red \x1b[31m alert"))
    red \x1b[31m alert
    """
    if text.isprintable():
        return text
    text = _UNUSUAL.sub(_escape, text.replace("\r\n", "\n"))
    return text.replace("\n", r"\n").replace("\t", r"\t") if one_line else text


def _escape(found: re.Match[str]) -> str:
    mark = found.group()
    if unicodedata.category(mark) not in _ESCAPED or mark in _JOINERS:
        return mark
    return mark.encode("unicode_escape").decode()


def printable_values(value: Any) -> Any:
    """Escape the control characters of all strings in a JSON value."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {printable_values(key): printable_values(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [printable_values(each) for each in value]
    return value


def shorten(text: str, longest: int = LONGEST) -> str:
    """Return the beginning of a text, and the number of characters left out.

    Examples
    --------
    >>> shorten("a" * 5000, 10)
    'aaaaaaaaaa … (4,990 more characters)'
    """
    if len(text) <= longest:
        return text
    return _n(
        "{text} … ({count} more character)",
        "{text} … ({count} more characters)",
        len(text) - longest,
        text=text[:longest],
    )
