"""How long a share lasts, as people write it: ``7d``, ``12h``, ``1d12h``, ``90s``."""

from __future__ import annotations

import re
from datetime import timedelta

from sspcloud_magics.errors import UsageProblem

LONGEST = timedelta(days=366)

_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_WHOLE = re.compile(r"(?:\d{1,9}[wdhms])+")
_PART = re.compile(r"(\d+)([wdhms])")


def parse_duration(text: str) -> timedelta:
    """Return the duration that `text` says.

    Parameters
    ----------
    text
        Numbers, each with a unit: w (weeks), d (days), h (hours), m (minutes) or s (seconds).

    Raises
    ------
    UsageProblem
        If it is not of that form, is nothing, or is longer than a year.

    Examples
    --------
    >>> parse_duration("1d12h")
    datetime.timedelta(days=1, seconds=43200)
    """
    compact = text.strip().lower()
    form = "write a number and a unit: 7d, 12h, 30m, or together 1d12h"
    if not _WHOLE.fullmatch(compact):
        raise UsageProblem(f"{text!r} is not a duration.", hint=form)
    total = timedelta()
    for number, unit in _PART.findall(compact):
        total += timedelta(**{_UNITS[unit]: int(number)})
        if total > LONGEST:
            raise UsageProblem(
                f"{text!r} is too long for a share.",
                why=f"A share lasts {LONGEST.days} days at most, so that none is forgotten.",
                hint="share for less, and run the same command again before it ends: it renews the share",
            )
    if not total:
        raise UsageProblem(f"{text!r} is no time at all.", hint=form)
    return total


def format_duration(duration: timedelta) -> str:
    """Return a duration in the two largest units that say something.

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
    """Return a duration as one says it, in the two largest units that say something.

    Examples
    --------
    >>> duration_in_words(timedelta(days=1, hours=12))
    '1 day and 12 hours'
    """
    parts = _PART.findall(format_duration(duration))
    names = {short: long.removesuffix("s") for short, long in _UNITS.items()}
    return " and ".join(f"{number} {names[unit]}{'' if number == '1' else 's'}" for number, unit in parts)
