"""Numbers, sizes, durations, dates and lists in the language of the reader, by Babel's tables (CLDR)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Literal

from sspcloud_magics.i18n.language import current

# Babel is imported inside the functions: the helper process and short commands format nothing.

# CLDR has the decimal sizes only (MB, Mo); Kubernetes and PostgreSQL count in powers of 1,024.
_BINARY_UNITS = {"en": ("byte", "KiB", "MiB", "GiB", "TiB"), "fr": ("octet", "Kio", "Mio", "Gio", "Tio")}
# French typography puts a no-break space between a number and its unit.
_SPACE = {"en": " ", "fr": "\u00a0"}
# Dates in English are those of Europe, the day first.
_LOCALES = {"en": "en_GB", "fr": "fr"}
# The day 1 before the name of a month.
_FIRST_DAY = re.compile(r"\b1(?= [^\W\d])")
_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


def format_number(number: float, digits: int | None = None) -> str:
    """Format a number with the separators of the language.

    Parameters
    ----------
    digits
        The decimals to display; by default those of the number, at most three.

    Examples
    --------
    >>> format_number(101796), format_number(2.5, 2)
    ('101,796', '2.50')
    """
    from babel.numbers import format_decimal  # noqa: PLC0415

    pattern = None if digits is None else "#,##0" + ("." + "0" * digits if digits else "")
    return format_decimal(number, format=pattern, locale=current())


def format_bytes(size: float) -> str:
    """Format a size in bytes, in powers of 1,024.

    Examples
    --------
    >>> [format_bytes(size) for size in (0, 1, 900, 14 * 2**20, 1.5 * 2**30)]
    ['0 bytes', '1 byte', '900 bytes', '14 MiB', '1.5 GiB']
    """
    units = _BINARY_UNITS[current()]
    power = 0
    while size >= 1024 and power < len(units) - 1:
        size, power = size / 1024, power + 1
    if not power:
        # "0 bytes" in English, « 0 octet » in French.
        plural = round(size) != 1 if current() == "en" else round(size) > 1
        return f"{round(size)}{_SPACE[current()]}{units[0]}{'s' if plural else ''}"
    text = format_number(round(size, 1 if size < 100 else 0))
    return f"{text}{_SPACE[current()]}{units[power]}"


def format_seconds(seconds: float) -> str:
    """Format the time that something took, with about two significant figures.

    Examples
    --------
    >>> [format_seconds(seconds) for seconds in (0.0004, 0.084, 3.25, 75.0)]
    ['0.4 ms', '84 ms', '3.2 s', '1 min 15 s']
    """
    space = _SPACE[current()]
    if seconds < 1:
        milliseconds = seconds * 1000
        return f"{format_number(round(milliseconds, 1 if milliseconds < 10 else 0))}{space}ms"
    if seconds < 60:
        return f"{format_number(seconds, 1)}{space}s"
    minutes, left = divmod(round(seconds), 60)
    return f"{format_number(minutes)}{space}min {left}{space}s"


def format_duration(duration: timedelta) -> str:
    """Format a duration in words, in its two largest units that are not zero.

    Examples
    --------
    >>> format_duration(timedelta(days=1, hours=12, minutes=5))
    '1 day and 12 hours'
    """
    from babel.units import format_unit  # noqa: PLC0415

    left = max(0, int(duration.total_seconds()))
    parts: list[str] = []
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(format_unit(count, f"duration-{unit}", locale=current()))
        elif parts:
            break
    return format_list(parts[:2] or [format_unit(0, "duration-second", locale=current())])


def format_date(day: date, style: Literal["short", "medium", "long", "full"] = "long") -> str:
    """Format a date.

    Examples
    --------
    >>> format_date(date(2026, 12, 30))
    '30 December 2026'
    """
    from babel import dates  # noqa: PLC0415

    return _name_first_day(dates.format_date(day, style, locale=_LOCALES[current()]))


def format_datetime(moment: datetime) -> str:
    """Format a moment in words, in this machine's time zone, with its name.

    Examples
    --------
    >>> format_datetime(datetime(2026, 12, 30, 14, 5).astimezone()).partition(" (")[0]
    'Wednesday 30 December 2026, 14:05'
    """
    from babel import dates  # noqa: PLC0415

    local = moment.astimezone()
    words = dates.format_datetime(local, "EEEE d MMMM y, HH:mm", locale=_LOCALES[current()])
    return f"{_name_first_day(words)} ({local.tzname()})"


def _name_first_day(words: str) -> str:
    """Return a date as French writes it, for which CLDR has no pattern.

    Examples
    --------
    >>> from sspcloud_magics.i18n.language import in_language
    >>> with in_language("fr"):
    ...     [format_date(date(2027, month, day)) for month, day in ((1, 1), (1, 11))]
    ['1er janvier 2027', '11 janvier 2027']
    """
    return _FIRST_DAY.sub("1er", words) if current() == "fr" else words


def format_list(items: Sequence[str], style: Literal["standard", "or"] = "standard") -> str:
    """Join items as a list in a sentence.

    Examples
    --------
    >>> format_list(["bob", "carol", "dave"]), format_list(["7d", "12h"], "or")
    ('bob, carol and dave', '7d or 12h')
    """
    from babel import lists  # noqa: PLC0415

    return lists.format_list(items, style, locale=_LOCALES[current()]) if items else ""
