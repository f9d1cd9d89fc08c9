"""Progress of a query on one line, which is erased at the end; nothing for queries shorter than a second.

The query only reports its position. A thread displays it at intervals while the block runs, so that a query without a
first row also shows that it runs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sspcloud_magics.i18n import _, _n, format_bytes, format_number
from sspcloud_magics.transient_text import NotebookOutput, TerminalLine, open_transient_text

QUIET = 1.0
"""Seconds before the first display: most queries are shorter."""

BETWEEN = 0.25
"""Seconds between two displays."""


class Progress:
    """The progress of a query, which the query updates by calling this object.

    Parameters
    ----------
    now
        The clock, in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._began = now()
        # The rows and the bytes so far.
        self._rows = 0
        self._size = 0

    def __call__(self, rows: int, size: int, seconds: float) -> None:  # noqa: ARG002 - this object's clock began earlier
        """Update the rows and bytes so far."""
        self._rows, self._size = rows, size

    def words(self) -> str:
        """Describe the progress; empty before `QUIET` seconds."""
        seconds = self._now() - self._began
        if seconds < QUIET:
            return ""
        # Whole seconds: a line that changes four times a second is read at a glance.
        time = _("{seconds} s", seconds=format_number(seconds, 0))
        if not self._rows and not self._size:
            return _("running for {time}, no row yet", time=time)
        size = format_bytes(self._size)
        if not self._rows:
            return _(
                "{size} · {rate}/s · {time}", size=size, rate=format_bytes(self._size / seconds), time=time
            )
        parts = [_n("{count} row", "{count} rows", self._rows), *([size] if self._size else [])]
        rate = _("{rows} rows/s", rows=format_number(self._rows / seconds, 0))
        return " · ".join([*parts, rate, time])


@contextmanager
def show_progress(place: TerminalLine | NotebookOutput | None = None) -> Iterator[Progress]:
    """Show progress while the block runs, if a user watches.

    Parameters
    ----------
    place
        The display; None chooses one.
    """
    progress = Progress()
    where = place or open_transient_text()
    if where is None:
        yield progress
        return
    over = threading.Event()

    def update() -> None:
        while not over.wait(BETWEEN):
            if words := progress.words():
                where.show(words)

    thread = threading.Thread(target=update, name="sspcloud-progress", daemon=True)
    thread.start()
    try:
        yield progress
    finally:
        over.set()
        thread.join()
        where.wipe()
