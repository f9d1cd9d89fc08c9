r"""What comes from outside, as it may be shown: what a terminal or a page would act on is written as an escape.

Names, messages and values come from servers that others run. An ESC in one moves a terminal's cursor or
paints over what was said before; a bidirectional control turns the text behind it around, in a page, too. Such
characters are shown as Python writes them (``\x1b``, ``\u202e``), so that it can be seen that they are there. HTML is
escaped besides, where it is made.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

LONGEST = 4000
"""So many characters of a server's text are shown, at most."""

_UNUSUAL = re.compile(r"[^\t\n -~]")
_ESCAPED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Some scripts and some emoji need them (zero width non-joiner and joiner), and they move nothing.
_JOINERS = frozenset("\u200c\u200d")


def printable(text: str, *, one_line: bool = False) -> str:
    r"""Return a text as it may be shown.

    Parameters
    ----------
    text
        What came from outside. Line ends and tabs stay.
    one_line
        Whether it is shown on a line with others: then line ends and tabs are shown as escapes, too.

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
    """Return a value of JSON with its texts as they may be shown."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {printable_values(key): printable_values(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [printable_values(each) for each in value]
    return value


def shorten(text: str, longest: int = LONGEST) -> str:
    """Return the beginning of a text that may be of any length, and how much is left out.

    Examples
    --------
    >>> shorten("a" * 5000, 10)
    'aaaaaaaaaa … (4,990 more characters)'
    """
    if len(text) <= longest:
        return text
    return f"{text[:longest]} … ({len(text) - longest:,} more characters)"
