"""Expiry of credentials, and the texts about it at login and shortly before the end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sspcloud_magics.cluster.timefmt import human_duration
from sspcloud_magics.i18n import _

SOON = timedelta(hours=1)
"""How long before the end of a login the user is warned."""


@dataclass(frozen=True, slots=True)
class Expiry:
    """The expiry of credentials, as far as they state it.

    Parameters
    ----------
    token_ends
        The expiry of the token.
    login_ends
        The time after which the token cannot be renewed.
    renews
        Whether the token is renewed automatically.
    """

    token_ends: datetime | None = None
    login_ends: datetime | None = None
    renews: bool = False

    @property
    def ends(self) -> datetime | None:
        """The time at which you must log in again."""
        return self.login_ends if self.renews else self.token_ends

    def describe(self, now: datetime | None = None) -> str:
        """Return one line, such as ``until 2026-06-01 12:00 UTC (6d); the token renews itself``."""
        now = now or datetime.now(UTC)
        renewal = _("the token renews itself") if self.renews else ""
        if self.ends is None:
            return renewal
        written = f"{self.ends:%Y-%m-%d %H:%M} UTC"
        if self.ends <= now:
            return _(
                "ended {human_duration} ago ({written})",
                human_duration=human_duration(now - self.ends),
                written=written,
            )
        until = _(
            "until {written} ({human_duration} more)",
            written=written,
            human_duration=human_duration(self.ends - now),
        )
        return f"{until}; {renewal}" if renewal else until

    def warning(self, now: datetime | None = None) -> str:
        """Return a sentence if the end is near or past; empty if it is not, or unknown."""
        now = now or datetime.now(UTC)
        if self.ends is None or self.ends - now > SOON:
            return ""
        written = f"{self.ends:%Y-%m-%d %H:%M} UTC"
        if self.ends <= now:
            return _(
                "Your login ended {human_duration} ago ({written}).",
                human_duration=human_duration(now - self.ends),
                written=written,
            )
        return _(
            "Your login ends in {human_duration} ({written}).",
            human_duration=human_duration(self.ends - now),
            written=written,
        )
