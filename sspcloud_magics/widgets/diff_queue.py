"""Differences between the panel's snapshot and the browser's copy, split into small updates. No thread and no I/O.

A snapshot is a flat mapping such as ``"pod/mon-api-abcdef-12345"`` → a small value. `update` sets the current
snapshot; `next_part` returns at most `MOST` bytes of the differences: first the results of commands, for which
the user waits, then the values that have waited longest. It is empty without differences. None stands for a
key that no longer exists.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sspcloud_magics.widgets.protocol import Snapshot

MOST = 1900
"""Bytes of JSON in one update; with the envelope, an update has 2 kB."""

AWAITED = ("command/", "who", "source/who", "forward/", "connection/")
"""Prefixes of the keys that a command changes: they are sent before all others, such as a hundred pods."""


class DiffQueue:
    """The differences between the current snapshot and the browser's copy."""

    def __init__(self) -> None:
        # The current snapshot; the browser's copy; and the keys that differ, in the order in which they changed.
        self._current: Snapshot = {}
        self._sent: Snapshot = {}
        self._due: dict[str, None] = {}

    @property
    def snapshot(self) -> Mapping[str, Any]:
        """The current snapshot."""
        return self._current

    def update(self, snapshot: Snapshot) -> None:
        """Replace the current snapshot."""
        for key in {**self._current, **snapshot}:
            if snapshot.get(key) == self._sent.get(key):
                self._due.pop(key, None)
            else:
                self._due.setdefault(key)
        self._current = snapshot

    def next_part(self) -> Snapshot:
        """Return the differences for the next update, and count them as sent; empty without any."""
        part: Snapshot = {}
        size = 2
        # The sort is stable: within both groups, the oldest come first.
        for key in sorted(self._due, key=lambda key: not key.startswith(AWAITED)):
            size += _size(key, self._current.get(key))
            if part and size > MOST:
                break
            part[key] = self._current.get(key)
            del self._due[key]
            if key in self._current:
                self._sent[key] = self._current[key]
            else:
                self._sent.pop(key, None)
        return part

    def has_pending(self, prefixes: tuple[str, ...]) -> bool:
        """Whether a key with one of these prefixes is still to be sent."""
        return any(key.startswith(prefixes) for key in self._due)

    def take_all(self) -> Snapshot:
        """Return the whole snapshot, for a new view, and count it as sent."""
        self._sent = dict(self._current)
        self._due.clear()
        return dict(self._current)


def _size(key: str, value: Any) -> int:
    return len(json.dumps({key: value}, separators=(",", ":")))
