"""When the browser may be told again: news keep their distance, the answer to a click does not wait. No clock and no thread.

Each update pays for itself with `PACE` seconds in which no news go out. The answer to a click may go out before that time
has passed, up to `AHEAD` seconds of it: it is paid for by the news behind it. So there are two updates a second at most over any longer
time, and a click is answered at once unless somebody gives several orders a second.
"""

from __future__ import annotations

PACE = 0.5
"""Seconds between two updates."""

AHEAD = 2.0
"""Seconds by which answers may be ahead of that: four of them at once."""


class RateLimiter:
    """The times of the updates; all arguments are seconds of a monotonic clock.

    Parameters
    ----------
    pace
        Between two updates.
    ahead
        By which answers may be ahead of that.
    """

    def __init__(self, pace: float = PACE, ahead: float = AHEAD) -> None:
        self.pace, self.ahead = pace, ahead
        self._next = self._held = 0.0

    def wait(self, now: float, *, answer: bool) -> float:
        """Return how long to wait before the next update, which is the answer to a click or is not; 0 or less for at once."""
        return self._next - self.ahead - now if answer else max(self._next, self._held) - now

    def count(self, now: float) -> None:
        """Take in that an update has gone out, or that there was nothing to tell."""
        self._next = max(self._next, now) + self.pace
        self._held = 0.0

    def hold(self, now: float) -> None:
        """Wait a little, since an answer is about to come: one update tells both."""
        self._held = max(self._held, now + self.pace)
