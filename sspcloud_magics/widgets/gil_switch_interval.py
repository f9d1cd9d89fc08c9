"""How soon a kernel that computes lets another thread in: every 5 ms, and ten times as often while a click is carried out.

A thread that wants Python's interpreter lock gets it when the cell has held it for `sys.getswitchinterval`. A click
crosses six threads and waits for sockets a dozen times, and after each of these waits anew. The interval belongs to the
whole process: it is shortened only for as long as an order lasts, and put back to what it was when the last of several has ended.
"""

from __future__ import annotations

import sys
import threading

from sspcloud_magics import fork_hooks

SHORT = 0.0005
"""The interval while an order is carried out, in seconds."""

_ROUNDING = 0.5e-6
"""The interval is kept in whole microseconds, and cut to them: half of one more, and what was read is what is set."""

_lock = threading.Lock()
_hurrying = 0
_before = 0.0


def _begin_in_child() -> None:
    global _lock, _hurrying  # noqa: PLW0603 - a thread that the child does not have may hold it
    _lock = threading.Lock()
    if _hurrying and _before > SHORT:
        sys.setswitchinterval(_before + _ROUNDING)
    _hurrying = 0


fork_hooks.in_child(_begin_in_child)


class GilSwitchInterval:
    """Somebody who may be in a hurry; the interval is short while anybody is."""

    def __init__(self) -> None:
        self._is_on = False

    def begin(self) -> None:
        """Shorten the interval, where it is longer; idempotent."""
        global _hurrying, _before  # noqa: PLW0603 - the interval is the process's
        with _lock:
            if self._is_on:
                return
            self._is_on = True
            _hurrying += 1
            if _hurrying == 1:
                _before = sys.getswitchinterval()
                if _before > SHORT:
                    sys.setswitchinterval(SHORT + _ROUNDING)

    def end(self) -> None:
        """Put it back, unless somebody else is in a hurry, or has set it meanwhile; idempotent."""
        global _hurrying  # noqa: PLW0603 - as above
        with _lock:
            if not self._is_on:
                return
            self._is_on = False
            _hurrying -= 1
            is_ours = abs(sys.getswitchinterval() - SHORT) < _ROUNDING
            if not _hurrying and is_ours and _before > SHORT:
                sys.setswitchinterval(_before + _ROUNDING)
