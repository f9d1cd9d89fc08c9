"""Until when credentials are good, in words that are said when one logs in and when the end nears."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sspcloud_magics.cluster.timefmt import human_duration

SOON = timedelta(hours=1)
"""The end of a login is told this long before; where it lasts less than that, when it is told first."""


@dataclass(frozen=True, slots=True)
class Validity:
    """Until when credentials are good, as far as they say themselves.

    Parameters
    ----------
    token_ends
        When the token that the server sees ends.
    login_ends
        When the login behind it ends: it cannot be renewed any longer then.
    renews
        Whether the token is renewed without anybody's doing.
    """

    token_ends: datetime | None = None
    login_ends: datetime | None = None
    renews: bool = False

    @property
    def ends(self) -> datetime | None:
        """The moment from which on one has to log in again."""
        return self.login_ends if self.renews else self.token_ends

    def words(self, now: datetime | None = None) -> str:
        """Return one line, such as ``until 2026-06-01 12:00 UTC (6d); the token renews itself``."""
        now = now or datetime.now(UTC)
        renewal = "the token renews itself" if self.renews else ""
        if self.ends is None:
            return renewal
        written = f"{self.ends:%Y-%m-%d %H:%M} UTC"
        if self.ends <= now:
            return f"ended {human_duration(now - self.ends)} ago ({written})"
        until = f"until {written} ({human_duration(self.ends - now)} more)"
        return f"{until}; {renewal}" if renewal else until

    def warning(self, now: datetime | None = None) -> str:
        """Return a sentence where the end is near or past; empty where it is not, or nobody can tell."""
        now = now or datetime.now(UTC)
        if self.ends is None or self.ends - now > SOON:
            return ""
        written = f"{self.ends:%Y-%m-%d %H:%M} UTC"
        if self.ends <= now:
            return f"Your login ended {human_duration(now - self.ends)} ago ({written})."
        return f"Your login ends in {human_duration(self.ends - now)} ({written})."
