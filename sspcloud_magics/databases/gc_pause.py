"""A pause of Python's garbage collector while rows are read: their many objects form no cycles."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sspcloud_magics import fork_hooks

# Protects the two values below.
_lock = threading.Lock()
# The number of threads that pause the collector, and whether it was enabled before the first of them.
_pausing = 0
_goes_on = False


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the garbage collector: scanning all rows again and again took half of the time."""
    global _pausing, _goes_on  # noqa: PLW0603 - the process has one collector
    with _lock:
        if not _pausing:
            _goes_on = gc.isenabled()
            gc.disable()
        _pausing += 1
    try:
        yield
    finally:
        with _lock:
            _pausing -= 1
            if not _pausing and _goes_on:
                gc.enable()


def _reset_in_child() -> None:
    """Enable the collector in a forked child, which has none of the threads that paused it."""
    global _lock, _pausing  # noqa: PLW0603
    _lock = threading.Lock()
    if _pausing and _goes_on:
        gc.enable()
    _pausing = 0


fork_hooks.call_in_child(_reset_in_child)
