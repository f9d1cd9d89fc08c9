"""Progress of a query on one line, which is erased at the end; nothing for queries shorter than a second.

The query only reports its position. A thread displays it at intervals while the block runs, so that a query without a
first row also shows that it runs.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Any, TextIO

from IPython.core.getipython import get_ipython
from IPython.display import display

from sspcloud_magics.audience import is_watched
from sspcloud_magics.i18n import _, _n, format_bytes, format_number
from sspcloud_magics.printable import printable

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


class Line:
    """A line of a terminal that carriage returns overwrite.

    Parameters
    ----------
    stream
        The terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        # The text on the line.
        self._shown = ""

    def show(self, words: str) -> None:
        """Replace the text."""
        words = printable(words, one_line=True)
        self._stream.write("\r" + words.ljust(len(self._shown)))
        self._stream.flush()
        self._shown = words

    def wipe(self) -> None:
        """Erase the text."""
        if self._shown:
            self.show("")
            self._stream.write("\r")
            self._stream.flush()


class Output:
    """A replaceable output of a notebook."""

    def __init__(self) -> None:
        # IPython's handle of the output, created by the first display.
        self._handle: Any = None

    def show(self, words: str) -> None:
        """Replace the text."""
        words = printable(words, one_line=True)
        html = f'<div style="color:var(--jp-ui-font-color2, #808080);font-size:90%">{escape(words)}</div>'
        self._send({"text/plain": words, "text/html": html})

    def wipe(self) -> None:
        """Replace the output by an empty one."""
        if self._handle is not None:
            self._send({})

    def _send(self, bundle: dict[str, str]) -> None:
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]  # IPython's
        else:
            self._handle.update(bundle, raw=True)


@contextmanager
def show_progress(place: Line | Output | None = None) -> Iterator[Progress]:
    """Show progress while the block runs, if a user watches.

    Parameters
    ----------
    place
        The display; if None, an output in a notebook, or the error stream elsewhere.
    """
    progress = Progress()
    if place is None and not is_watched():
        yield progress
        return
    where = place or (Output() if _in_notebook() else Line(sys.stderr))
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


def _in_notebook() -> bool:
    return getattr(get_ipython(), "kernel", None) is not None
