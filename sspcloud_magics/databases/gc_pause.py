"""Rows make thousands of objects that hold no cycle: Python's collector need not look through them."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sspcloud_magics import fork_hooks

_lock = threading.Lock()
# How many threads have it paused, and whether it is to go on afterwards.
_pausing = 0
_goes_on = False


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep the garbage collector from looking through all rows again and again: half of the time."""
    global _pausing, _goes_on  # noqa: PLW0603 - the collector is one for the process
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


def _begin_in_child() -> None:
    """Let it go on in a forked child, which has none of the threads that paused it."""
    global _lock, _pausing  # noqa: PLW0603
    _lock = threading.Lock()
    if _pausing and _goes_on:
        gc.enable()
    _pausing = 0


fork_hooks.in_child(_begin_in_child)
