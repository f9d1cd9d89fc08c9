"""What the browser still has to be told, and in which portions. No thread and no I/O.

The panel's state is a flat mapping of *facts*: ``"pod/mon-api-abcdef-12345"`` → a small value. `want` says what
is true now; `part` gives what differs from what was told, at most `MOST` bytes of it: what somebody waits for
first (what became of a click), then the facts that have waited longest. Nothing differs, nothing is given. A fact
that is gone is told as None.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

Facts: TypeAlias = dict[str, Any]

MOST = 1900
"""Bytes of JSON in one update; what is around it makes it 2 kB."""

AWAITED = ("order/", "answer/", "who", "look/who", "forward/", "connection/")
"""The kinds of facts that a click brings: they do not stand in line behind a hundred pods."""


class DiffQueue:
    """The difference between what is true and what the browser knows."""

    def __init__(self) -> None:
        self._true: Facts = {}
        self._told: Facts = {}
        self._due: dict[str, None] = {}  # in the order in which they became due

    @property
    def facts(self) -> Mapping[str, Any]:
        """What is true."""
        return self._true

    def want(self, facts: Facts) -> None:
        """Take in what is true now; all of it."""
        for key in {**self._true, **facts}:
            if facts.get(key) == self._told.get(key):
                self._due.pop(key, None)
            else:
                self._due.setdefault(key)
        self._true = facts

    def part(self) -> Facts:
        """Return the next portion to tell; empty where there is nothing."""
        portion: Facts = {}
        size = 2
        # Sorting keeps the order of those that are alike.
        for key in sorted(self._due, key=lambda key: not key.startswith(AWAITED)):
            size += _size(key, self._true.get(key))
            if portion and size > MOST:
                break
            portion[key] = self._true.get(key)
            del self._due[key]
            self._tell(key)
        return portion

    def owes(self, kinds: tuple[str, ...]) -> bool:
        """Whether a fact of one of these kinds is still to be told."""
        return any(key.startswith(kinds) for key in self._due)

    def whole(self) -> Facts:
        """Return everything, for a browser that knows nothing."""
        self._told = dict(self._true)
        self._due.clear()
        return dict(self._true)

    def _tell(self, key: str) -> None:
        if key in self._true:
            self._told[key] = self._true[key]
        else:
            self._told.pop(key, None)


def _size(key: str, value: Any) -> int:
    return len(json.dumps({key: value}, separators=(",", ":")))
