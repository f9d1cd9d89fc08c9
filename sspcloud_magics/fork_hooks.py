"""Reset state in a forked child: locks that a thread of the parent may hold, and resources that only the parent may use.

``multiprocessing`` forks on Linux. The child has the memory of its parent but none of its threads: a lock that one of them
held is never released in the child, and the child shares the parent's sockets.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Protocol

# Functions to call in a forked child, in the order of their registration.
_functions: list[Callable[[], None]] = []
# Objects to reset in a forked child, after the functions.
_objects: weakref.WeakSet[ForkAware] = weakref.WeakSet()
# Set in a child, never in the process that imported the package.
_is_child = False


class ForkAware(Protocol):
    """An object with locks, or with resources that belong to one process."""

    def reset_in_child(self) -> None:
        """Reset the object in a child that was just forked, without waiting and without closing what the parent uses."""


def register(each: ForkAware) -> None:
    """Reset an object in every child that is forked while the object lives."""
    _objects.add(each)


def call_in_child(function: Callable[[], None]) -> None:
    """Call a function in every child that is forked from now on."""
    _functions.append(function)


def is_child() -> bool:
    """Whether this process was forked after the package was imported."""
    return _is_child


def _after_fork() -> None:
    global _is_child  # noqa: PLW0603 - of the process
    _is_child = True
    for function in _functions:
        function()
    for each in list(_objects):
        each.reset_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
