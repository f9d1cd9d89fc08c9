"""Expiry of credentials, and the texts about it at login and shortly before the end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sspcloud_magics.i18n import _, format_datetime, format_duration

SOON = timedelta(hours=1)
"""How long before the end of a login the user is warned."""


@dataclass(frozen=True, slots=True)
class Expiry:
    """The expiry of credentials, as far as they state it."""

    token_ends: datetime | None = None  # the expiry of the token
    login_ends: datetime | None = None  # the time after which the token cannot be renewed
    renews: bool = False  # whether the token is renewed automatically

    @property
    def ends(self) -> datetime | None:
        """The time at which you must log in again."""
        return self.login_ends if self.renews else self.token_ends

    def describe(self, now: datetime | None = None) -> str:
        """Return one line, such as ``until Monday 1 June 2026, 12:00 (UTC), 6 days more; the token renews itself``."""
        now = now or datetime.now(UTC)
        if self.ends is None:
            return _("the token renews itself") if self.renews else ""
        moment = format_datetime(self.ends)
        if self.ends <= now:
            return _(
                "ended {duration} ago: {moment}", duration=format_duration(now - self.ends), moment=moment
            )
        left = format_duration(self.ends - now)
        if self.renews:
            return _("until {moment}, {duration} more; the token renews itself", moment=moment, duration=left)
        return _("until {moment}, {duration} more", moment=moment, duration=left)

    def warning(self, now: datetime | None = None) -> str:
        """Return a sentence if the end is near or past; empty if it is not, or unknown."""
        now = now or datetime.now(UTC)
        if self.ends is None or self.ends - now > SOON:
            return ""
        moment = format_datetime(self.ends)
        if self.ends <= now:
            duration = format_duration(now - self.ends)
            return _("Your login ended {duration} ago: {moment}.", duration=duration, moment=moment)
        return _(
            "Your login ends in {duration}: {moment}.",
            duration=format_duration(self.ends - now),
            moment=moment,
        )
