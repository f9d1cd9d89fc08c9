"""Whether this machine's clock agrees with a server's, by the Date of its answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from sspcloud_magics.cluster.timefmt import human_duration

TOLERATED = timedelta(seconds=60)
"""Less than this is the network's, and harms nobody."""


def skew(date: str | None, now: datetime | None = None) -> timedelta | None:
    """Return by how much this machine's clock is ahead of a server's; None where it does not tell.

    Parameters
    ----------
    date
        The ``Date`` header of an answer that has just come (RFC 9110, 6.6.1): whole seconds.
    now
        This machine's time.
    """
    try:
        told = parsedate_to_datetime(date or "")
    except ValueError:
        return None
    told = told if told.tzinfo else told.replace(tzinfo=UTC)
    return (now or datetime.now(UTC)) - told


def skew_in_words(difference: timedelta | None) -> str:
    """Return a sentence on a clock that is wrong; empty where it is not, or nobody knows."""
    if difference is None or abs(difference) < TOLERATED:
        return ""
    direction = "ahead of" if difference > timedelta() else "behind"
    return f"This machine's clock is {human_duration(abs(difference))} {direction} the server's."
