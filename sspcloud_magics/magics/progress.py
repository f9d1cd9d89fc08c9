"""How far a query is, on one line that is wiped away at the end; nothing where it takes less than a second.

The query only says where it is. A thread that lives as long as the block shows it now and then, so that a query
without a first row yet is seen to run, too.
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
from sspcloud_magics.printable import printable

QUIET = 1.0
"""For how many seconds nothing is said."""

BETWEEN = 0.25
"""How many seconds pass between two lines."""


class Progress:
    """Is told of rows, bytes and seconds, and says them in words.

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

    def __call__(self, rows: int, size: int, seconds: float) -> None:  # noqa: ARG002 - its own clock began before
        """Take notice of how far it is."""
        self._rows, self._size = rows, size

    def words(self) -> str:
        """Return how far it is; nothing as long as that is of no interest."""
        seconds = self._now() - self._began
        if seconds < QUIET:
            return ""
        if not self._rows and self._size:
            return f"{self._size / 2**20:,.0f} MiB · {self._size / 2**20 / seconds:,.0f} MiB/s · {seconds:,.0f} s"
        if not self._rows:
            return f"running for {seconds:,.0f} s, no row yet"
        mebibytes = f" · {self._size / 2**20:,.0f} MiB" if self._size else ""
        return f"{self._rows:,} rows{mebibytes} · {self._rows / seconds:,.0f} rows/s · {seconds:,.0f} s"


class Line:
    """A line of a terminal that is written again and again, by carriage returns.

    Parameters
    ----------
    stream
        Where to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown = ""

    def show(self, words: str) -> None:
        """Show other words."""
        words = printable(words, one_line=True)
        self._stream.write("\r" + words.ljust(len(self._shown)))
        self._stream.flush()
        self._shown = words

    def wipe(self) -> None:
        """Leave an empty line behind."""
        if self._shown:
            self.show("")
            self._stream.write("\r")
            self._stream.flush()


class Output:
    """An output of a notebook that is replaced again and again."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, words: str) -> None:
        """Show other words."""
        words = printable(words, one_line=True)
        html = f'<div style="color:var(--jp-ui-font-color2, #808080);font-size:90%">{escape(words)}</div>'
        self._send({"text/plain": words, "text/html": html})

    def wipe(self) -> None:
        """Leave an output behind that has nothing to show."""
        if self._handle is not None:
            self._send({})

    def _send(self, bundle: dict[str, str]) -> None:
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]  # IPython's
        else:
            self._handle.update(bundle, raw=True)


@contextmanager
def show_progress(place: Line | Output | None = None) -> Iterator[Progress]:
    """Show progress as long as the block runs, where somebody watches.

    Parameters
    ----------
    place
        Where; an output in a notebook and the error stream elsewhere, where None.
    """
    progress = Progress()
    if place is None and not is_watched():
        yield progress
        return
    where = place or (Output() if _in_notebook() else Line(sys.stderr))
    over = threading.Event()

    def tell() -> None:
        while not over.wait(BETWEEN):
            if words := progress.words():
                where.show(words)

    teller = threading.Thread(target=tell, name="sspcloud-progress", daemon=True)
    teller.start()
    try:
        yield progress
    finally:
        over.set()
        teller.join()
        where.wipe()


def _in_notebook() -> bool:
    return getattr(get_ipython(), "kernel", None) is not None
