"""Shorten Python's thread switch interval, normally 5 ms, to a tenth while a command runs.

A thread that waits for the interpreter lock gets it after a computing cell has held it for `sys.getswitchinterval`. A command
crosses six threads and waits for sockets a dozen times, and each time it waits for the lock again. The interval applies to the
whole process: it is shortened only while commands run, and restored after the last one.
"""

from __future__ import annotations

import sys
import threading

from sspcloud_magics import fork_hooks

SHORT = 0.0005
"""The interval while a command runs, in seconds."""

_ROUNDING = 0.5e-6
"""Python truncates the interval to microseconds: with half of one added, the value that was read is set exactly."""

# Guards the two values below.
_lock = threading.Lock()
# The number of instances that have shortened the interval, and the interval before.
_active = 0
_before = 0.0


def _reset_in_child() -> None:
    global _lock, _active  # noqa: PLW0603 - a thread of the parent may hold it
    _lock = threading.Lock()
    if _active and _before > SHORT:
        sys.setswitchinterval(_before + _ROUNDING)
    _active = 0


fork_hooks.call_in_child(_reset_in_child)


class GilSwitchInterval:
    """A request for a short interval, which applies while any instance is on."""

    def __init__(self) -> None:
        self._is_on = False

    def begin(self) -> None:
        """Shorten the interval, if it is longer; idempotent."""
        global _active, _before  # noqa: PLW0603 - the interval is the process's
        with _lock:
            if self._is_on:
                return
            self._is_on = True
            _active += 1
            if _active == 1:
                _before = sys.getswitchinterval()
                if _before > SHORT:
                    sys.setswitchinterval(SHORT + _ROUNDING)

    def end(self) -> None:
        """Restore the interval, unless another instance is on, or other code has changed it; idempotent."""
        global _active  # noqa: PLW0603 - as above
        with _lock:
            if not self._is_on:
                return
            self._is_on = False
            _active -= 1
            is_ours = abs(sys.getswitchinterval() - SHORT) < _ROUNDING
            if not _active and is_ours and _before > SHORT:
                sys.setswitchinterval(_before + _ROUNDING)
