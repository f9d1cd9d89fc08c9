"""How far a query is, on one line that is wiped away at the end; nothing where it takes less than a second."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

QUIET = 1.0
"""For how many seconds nothing is said."""

BETWEEN = 0.2
"""How many seconds pass between two lines at least."""


class Progress:
    """Told of rows, bytes and seconds, shows them now and then.

    Parameters
    ----------
    stream
        Where to; a carriage return goes back to the line's begin there, in a notebook as in a terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown = ""
        self._next = QUIET

    def __call__(self, rows: int, size: int, seconds: float) -> None:
        """Show how far it is, if it is time."""
        if seconds < self._next:
            return
        self._next = seconds + BETWEEN
        mebibytes = f" · {size / 2**20:,.0f} MiB" if size else ""
        self._show(f"{rows:,} rows{mebibytes} · {rows / seconds:,.0f} rows/s")

    def wipe(self) -> None:
        """Leave an empty line behind, if anything was shown."""
        if self._shown:
            self._show("")
            self._stream.write("\r")
            self._stream.flush()

    def _show(self, words: str) -> None:
        self._stream.write("\r" + words.ljust(len(self._shown)))
        self._stream.flush()
        self._shown = words


@contextmanager
def shown() -> Iterator[Progress]:
    """Show progress on the error stream as long as the block runs."""
    progress = Progress(sys.stderr)
    try:
        yield progress
    finally:
        progress.wipe()
