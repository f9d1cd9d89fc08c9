"""Clock skew between this machine and a server, by the Date header of its responses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from sspcloud_magics.i18n import _, format_duration

TOLERATED = timedelta(seconds=60)
"""Smaller differences come from the network, and do no harm."""


def measure_skew(date: str | None) -> timedelta | None:
    """Return how far this machine's clock is ahead of a server's; None without a valid date.

    Parameters
    ----------
    date
        The ``Date`` header of a response that has just arrived (RFC 9110, 6.6.1): whole seconds.
    """
    try:
        server_time = parsedate_to_datetime(date or "")
    except ValueError:
        return None
    server_time = server_time if server_time.tzinfo else server_time.replace(tzinfo=UTC)
    return datetime.now(UTC) - server_time


def describe_skew(difference: timedelta | None) -> str:
    """Return a sentence about a wrong clock; empty if the clock is right, or the difference unknown."""
    if difference is None or abs(difference) < TOLERATED:
        return ""
    duration = format_duration(abs(difference))
    if difference > timedelta():
        return _("This machine's clock is {duration} ahead of the server's.", duration=duration)
    return _("This machine's clock is {duration} behind the server's.", duration=duration)
