"""Detection of a suspended machine: a pause took much longer than it was meant to.

A laptop that wakes up has lost its connections silently: no FIN and no RST reached it. Apart from some load, a pause
of the event loop lasts as long as intended. If a clock that runs during sleep shows much more, the machine slept (or
the process was stopped, with the same effect). A change of the wall clock is harmless: the connections that are
checked because of it answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable

# Seconds beyond the intended pause that no load explains.
_JUMP = 5.0


def clock() -> float:
    """Return the seconds of a clock that runs while the machine sleeps."""
    # The monotonic clocks of Linux and macOS stop during sleep.
    boottime: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.time() if boottime is None else time.clock_gettime(boottime)


class SuspendDetector:
    """Compares the time between two calls with the intended pause."""

    def __init__(self, clock: Callable[[], float] = clock) -> None:
        self._clock = clock
        self._checked_at = clock()

    def has_slept(self, pause: float) -> bool:
        """Return whether the machine slept since the last call, which was meant to be `pause` seconds ago."""
        before, self._checked_at = self._checked_at, self._clock()
        return self._checked_at - before > pause + _JUMP
