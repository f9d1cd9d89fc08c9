"""Wait for an expected condition that has no event.

An event, a queue or a condition is better, where there is one. These are the only pauses of the tests; `test_sleeps` refuses
others.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")
_PAUSE = 0.02


def wait_until(ask: Callable[[], _T], *, within: float = 90.0) -> _T:
    """Ask until the answer is true, and return it; fails after some seconds, with the last answer."""
    deadline = time.monotonic() + within
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"still {answer!r} after {within:g} s"
        time.sleep(_PAUSE)
    return answer


def dawdle(seconds: float) -> None:
    """Do nothing for a while, as a slow program that a test plays: a server that computes, a client that reads now and then.

    It is what the test is about: what is tested must neither end nor cut what takes its time. Nothing is waited for so.
    """
    time.sleep(seconds)
