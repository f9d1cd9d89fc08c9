"""Rate limiting for panel updates: background changes every 0.5 s, replies at once. No clock and no thread.

After each update, background changes wait for `PACE` seconds. A reply may be sent up to `AHEAD` seconds early, and
delays later background changes by as much. So over a longer time there are at most two updates a second,
and a reply is immediate unless the user sends several commands a second.
"""

from __future__ import annotations

PACE = 0.5
"""Seconds between two updates."""

AHEAD = 2.0
"""Seconds by which replies may be early: four of them at once."""


class RateLimiter:
    """A rate limiter; all times are seconds of a monotonic clock.

    Parameters
    ----------
    pace
        The time between two updates.
    ahead
        How early replies may be.
    """

    def __init__(self, pace: float = PACE, ahead: float = AHEAD) -> None:
        self.pace, self.ahead = pace, ahead
        # The time of the next background update, by the pace and by `hold`.
        self._next = self._held = 0.0

    def wait(self, now: float, *, reply: bool) -> float:
        """Return the time until the next update may be sent, with a reply or without; 0 or less for at once."""
        return self._next - self.ahead - now if reply else max(self._next, self._held) - now

    def count(self, now: float) -> None:
        """Record that an update was sent, or that there was nothing to send."""
        self._next = max(self._next, now) + self.pace
        self._held = 0.0

    def hold(self, now: float) -> None:
        """Delay background changes, so that one update has them and a reply that is expected soon."""
        self._held = max(self._held, now + self.pace)
