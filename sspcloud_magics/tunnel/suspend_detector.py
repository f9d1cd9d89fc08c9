"""Whether this machine has slept: more time has passed than a pause was long.

A laptop that is opened again has lost its connections without a word: no FIN and no RST reached it. A pause
of the event loop lasts as long as it was meant to, but for some load; where a clock that goes on during sleep
says much more, the machine slept (or the process was stopped, which comes to the same). A wall clock that is
set does no harm: what is looked at because of it is found alive.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_JUMP = 5.0


def clock() -> float:
    """Return seconds of a clock that goes on while the machine sleeps."""
    # Linux' monotonic clock stands still during sleep, as macOS' does; Windows' goes on.
    boottime: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.time() if boottime is None else time.clock_gettime(boottime)


class SuspendDetector:
    """Looks at the clock between pauses."""

    def __init__(self, clock: Callable[[], float] = clock) -> None:
        self._clock = clock
        self._looked_at = clock()

    def has_slept(self, pause: float) -> bool:
        """Return whether the machine slept since the last look, when no more than `pause` seconds were to pass."""
        before, self._looked_at = self._looked_at, self._clock()
        return self._looked_at - before > pause + _JUMP
