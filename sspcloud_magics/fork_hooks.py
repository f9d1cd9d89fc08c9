"""What begins again in a child that was forked: locks that threads of the parent hold, and what only the parent may touch.

``multiprocessing`` forks on Linux. The child has the memory of its parent and none of its threads: a lock that one of them held is never
released there, and a socket is the parent's, too.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Protocol

_steps: list[Callable[[], None]] = []
_objects: weakref.WeakSet[BeginsAgain] = weakref.WeakSet()
_is_child = False


class BeginsAgain(Protocol):
    """What has locks, or holds what is its process's own."""

    def begin_in_child(self) -> None:
        """Begin again, in a child that was just forked; it waits for nothing, and closes nothing that the parent uses."""


def begin_again(each: BeginsAgain) -> None:
    """Have an object begin again in each child that is forked as long as it lives."""
    _objects.add(each)


def in_child(step: Callable[[], None]) -> None:
    """Call a function in each child that is forked from now on."""
    _steps.append(step)


def is_child() -> bool:
    """Whether this process was forked after the package had been used."""
    return _is_child


def _after_fork() -> None:
    global _is_child  # noqa: PLW0603 - of the process
    _is_child = True
    for step in _steps:
        step()
    for each in list(_objects):
        each.begin_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
