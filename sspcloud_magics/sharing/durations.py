"""Durations of shares as users write them: ``7d``, ``12h``, ``1d12h``, ``90s``."""

from __future__ import annotations

import re
from datetime import timedelta

from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import _

LONGEST = timedelta(days=366)

_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_WHOLE = re.compile(r"(?:\d{1,9}[wdhms])+")
_PART = re.compile(r"(\d+)([wdhms])")


def parse_duration(text: str) -> timedelta:
    """Parse a duration.

    Parameters
    ----------
    text
        Numbers, each with a unit: w (weeks), d (days), h (hours), m (minutes) or s (seconds).

    Raises
    ------
    UsageProblem
        If `text` does not have that form, is zero, or exceeds `LONGEST`.

    Examples
    --------
    >>> parse_duration("1d12h")
    datetime.timedelta(days=1, seconds=43200)
    """
    compact = text.strip().lower()
    form = _("write a number and a unit: 7d, 12h, 30m, or together 1d12h")
    if not _WHOLE.fullmatch(compact):
        raise UsageProblem(_("{text!r} is not a duration.", text=text), hint=form)
    total = timedelta()
    for number, unit in _PART.findall(compact):
        total += timedelta(**{_UNITS[unit]: int(number)})
        if total > LONGEST:
            raise UsageProblem(
                _("{text!r} is too long for a share.", text=text),
                why=_("A share lasts at most {days} days, so that none is forgotten.", days=LONGEST.days),
                hint=_("choose a shorter duration; the same command renews the share before it ends"),
            )
    if not total:
        raise UsageProblem(_("{text!r} is an empty duration.", text=text), hint=form)
    return total


def format_duration(duration: timedelta) -> str:
    """Format a duration in its two largest units that are not zero.

    Examples
    --------
    >>> format_duration(timedelta(days=6, hours=23, minutes=59))
    '6d23h'
    """
    left = max(0, int(duration.total_seconds()))
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        number, left = divmod(left, size)
        if number:
            parts.append(f"{number}{unit}")
        elif parts:
            break
    return "".join(parts[:2]) or "0s"


def duration_in_words(duration: timedelta) -> str:
    """Format a duration in words, in its two largest units that are not zero.

    Examples
    --------
    >>> duration_in_words(timedelta(days=1, hours=12))
    '1 day and 12 hours'
    """
    parts = _PART.findall(format_duration(duration))
    names = {short: long.removesuffix("s") for short, long in _UNITS.items()}
    return " and ".join(f"{number} {names[unit]}{'' if number == '1' else 's'}" for number, unit in parts)
