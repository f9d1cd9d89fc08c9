"""Parse times of the API server, and format ages as kubectl does (``5m``, ``3h12m``, ``41d``)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def timestamp(text: str | None) -> datetime | None:
    """Parse an RFC 3339 time of the API server; return None for an empty text."""
    if not text:
        return None
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def human_duration(duration: timedelta) -> str:
    """Format a duration as kubectl does, with about two significant figures.

    The steps are those of ``HumanDuration`` in k8s.io/apimachinery/pkg/util/duration.

    Examples
    --------
    >>> human_duration(timedelta(minutes=7, seconds=3))
    '7m3s'
    >>> human_duration(timedelta(days=41, hours=5))
    '41d'
    """
    exact = duration.total_seconds()
    seconds = int(exact)  # towards zero, as Go's conversion does
    if seconds < -1:
        return "<invalid>"
    if seconds < 0:
        return "0s"
    if seconds < 120:
        return f"{seconds}s"
    minutes, hours = seconds // 60, seconds // 3600
    days = hours // 24
    steps = (
        (minutes < 10, minutes, "m", seconds % 60, "s"),
        (minutes < 180, minutes, "m", 0, ""),
        (hours < 8, hours, "h", minutes % 60, "m"),
        (hours < 48, hours, "h", 0, ""),
        (days < 8, days, "d", hours % 24, "h"),
        (days < 365 * 2, days, "d", 0, ""),
        (days < 365 * 8, days // 365, "y", days % 365, "d"),
    )
    for applies, whole, unit, rest, rest_unit in steps:
        if applies:
            return f"{whole}{unit}{rest}{rest_unit}" if rest else f"{whole}{unit}"
    return f"{days // 365}y"
