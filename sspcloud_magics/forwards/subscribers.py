"""The subscribers to the changes of forwards: views in a notebook and in the side panel."""

from __future__ import annotations

import logging
from collections.abc import Callable

from sspcloud_magics.forwards.forward import Forward

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())


class Subscribers:
    """Functions that are called with a forward after each of its changes.

    The list is replaced, never changed, because another thread may be iterating over it.
    """

    def __init__(self) -> None:
        self._callbacks: list[Callable[[Forward], None]] = []

    def add(self, callback: Callable[[Forward], None]) -> Callable[[], None]:
        """Add a function; return another that removes it, idempotently."""
        self._callbacks = [*self._callbacks, callback]

        def remove() -> None:
            self._callbacks = [other for other in self._callbacks if other is not callback]

        return remove

    def notify(self, forward: Forward) -> None:
        """Call all functions; log the errors of any that fail."""
        for callback in self._callbacks:
            try:
                callback(forward)
            except Exception:  # noqa: BLE001 - a view that fails must not stop the others, nor the thread
                _log.exception("a subscriber failed")
