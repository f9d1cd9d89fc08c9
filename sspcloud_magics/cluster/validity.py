"""Until when credentials are good, in words that are said when one logs in and when the end nears."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sspcloud_magics.cluster.ages import human_duration

SOON = timedelta(hours=1)
"""The end of a login is told this long before; a tenth of what was left at first, where that is less."""


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
        if self.renews and self.token_ends is not None:
            renewal += f", next before {self.token_ends:%H:%M} UTC"
        if self.ends is None:
            return renewal
        written = f"{self.ends:%Y-%m-%d %H:%M} UTC"
        if self.ends <= now:
            return f"ended {human_duration(now - self.ends)} ago ({written})"
        until = f"until {written} ({human_duration(self.ends - now)} more)"
        return f"{until}; {renewal}" if renewal else until
