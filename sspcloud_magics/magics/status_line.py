"""Description of the current step on one line, which is erased at the end; nothing for work shorter than a second.

Nothing is shown if a machine runs the notebook, because the erased line would be saved as an empty one.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sspcloud_magics.audience import is_watched
from sspcloud_magics.magics.progress import Line

QUIET = 1.0
"""Seconds before the first display."""


@contextmanager
def steps(quiet: float = QUIET) -> Iterator[Callable[[str], None]]:
    """Yield a ``progress`` function for the Python API, which shows its text on the error stream.

    Parameters
    ----------
    quiet
        Seconds before the first display.
    """
    began = time.monotonic()
    watched = is_watched()
    line = Line(sys.stderr)

    def show(words: str) -> None:
        if watched and time.monotonic() - began >= quiet:
            line.show(f"{words} …")

    try:
        yield show
    finally:
        line.wipe()
