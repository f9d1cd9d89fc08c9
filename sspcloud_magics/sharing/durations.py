"""Durations of shares as users write them: ``7d``, ``1d12h``, ``3 weeks``, ``1 mois``, or the last day as a date."""

from __future__ import annotations

import calendar
import re
from datetime import date, datetime, time, timedelta

from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import _

LONGEST = timedelta(days=366)

# The units in English and in French, by the argument of `timedelta`; months are those of the calendar.
_UNITS = {
    **dict.fromkeys(("month", "months", "mois"), "months"),
    **dict.fromkeys(("w", "week", "weeks", "sem", "semaine", "semaines"), "weeks"),
    **dict.fromkeys(("d", "day", "days", "j", "jour", "jours"), "days"),
    **dict.fromkeys(("h", "hour", "hours", "heure", "heures"), "hours"),
    **dict.fromkeys(("m", "min", "minute", "minutes"), "minutes"),
    **dict.fromkeys(("s", "sec", "second", "seconds", "seconde", "secondes"), "seconds"),
}
_SECONDS = {"months": 2_678_400, "weeks": 604_800, "days": 86_400, "hours": 3600, "minutes": 60, "seconds": 1}
_PART = rf"\d{{1,9}}\s*(?:{'|'.join(sorted(_UNITS, key=len, reverse=True))})(?![a-z])"
_BETWEEN = r"(?:\s*,\s*|\s+(?:and|et)\s+|\s*)"
_SENTENCE = re.compile(rf"{_PART}(?:{_BETWEEN}{_PART})*")
_EACH = re.compile(r"(\d+)\s*([a-z]+)")
_DATES = (
    re.compile(r"(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})"),
    re.compile(r"(?P<day>\d{1,2})/(?P<month>\d{1,2})/(?P<year>\d{4})"),
)
# An option with a duration of several words, which argparse would take for several arguments.
_UNQUOTED = re.compile(rf"(?<!\S)--for[ =]\s*({_PART}(?:{_BETWEEN}{_PART})*)(?!\S)", re.IGNORECASE)


def quote_duration(line: str) -> str:
    """Put the duration of ``--for`` into quotes if it has several words.

    Examples
    --------
    >>> quote_duration("db --for 3 weeks --with bob")
    'db --for "3 weeks" --with bob'
    """
    return _UNQUOTED.sub(r'--for "\1"', line)


def parse_duration(text: str, now: datetime | None = None) -> timedelta:
    """Parse a duration, or the time until the end of a day.

    Parameters
    ----------
    text
        Numbers, each with a unit, in English or in French: ``7d``, ``7j``, ``1d12h``, ``3 weeks``, ``1 mois``; or a date:
        ``2026-12-30``, ``30/12/2026``.
    now
        The time from which months and dates count; the current time if None.

    Raises
    ------
    UsageProblem
        If `text` does not have that form, is zero or past, or exceeds `LONGEST`.

    Examples
    --------
    >>> parse_duration("1d12h")
    datetime.timedelta(days=1, seconds=43200)
    """
    typed = text.strip().lower()
    now = (now or datetime.now().astimezone()).replace(microsecond=0)
    form = _("write a number and a unit, such as 7d, 12h, 1d12h or 3 weeks, or a date, such as 2026-12-30")
    for pattern in _DATES:
        if found := pattern.fullmatch(typed):
            return _measure_to_day(
                text, {unit: int(number) for unit, number in found.groupdict().items()}, now, form
            )
    if not _SENTENCE.fullmatch(typed):
        raise UsageProblem(_("{text!r} is not a duration.", text=text), hint=form)
    counts = dict.fromkeys(_SECONDS, 0)
    for number, word in _EACH.findall(typed):
        counts[_UNITS[word]] += int(number)
    # Checked first: Python's dates and durations have limits too.
    if sum(count * _SECONDS[unit] for unit, count in counts.items()) > 2 * LONGEST.total_seconds():
        raise _too_long(text)
    end = _add_months(now, counts.pop("months")) + timedelta(**counts)
    return _check(text, end - now, form)


def _measure_to_day(text: str, parts: dict[str, int], now: datetime, form: str) -> timedelta:
    """Return the time until the last minute of a day on this machine's clock."""
    try:
        day = date(**parts)
    except ValueError:
        raise UsageProblem(_("{text!r} is not a date.", text=text), hint=form) from None
    if day < now.date():
        raise UsageProblem(
            _("{text!r} is in the past.", text=text), hint=_("choose a day that is still to come")
        )
    if day > now.date() + LONGEST:
        raise _too_long(text)
    # The zone comes last: the day may be on the other side of a clock change.
    return _check(text, datetime.combine(day, time(23, 59)).astimezone() - now, form)


def _add_months(moment: datetime, months: int) -> datetime:
    """Return the same day and hour some months later, or the last day of a shorter month."""
    if not months:
        return moment
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    day = min(moment.day, calendar.monthrange(year, month + 1)[1])
    return moment.replace(year=year, month=month + 1, day=day, tzinfo=None).astimezone()


def _check(text: str, duration: timedelta, form: str) -> timedelta:
    if duration > LONGEST:
        raise _too_long(text)
    if duration <= timedelta():
        raise UsageProblem(_("{text!r} is an empty duration.", text=text), hint=form)
    return duration


def _too_long(text: str) -> UsageProblem:
    return UsageProblem(
        _("{text!r} is too long for a share.", text=text),
        why=_("A share lasts at most {days} days, so that none is forgotten.", days=LONGEST.days),
        hint=_("choose a shorter duration; the same command renews the share before it ends"),
    )
