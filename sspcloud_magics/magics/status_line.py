"""Description of the current step as transient text; nothing for work shorter than a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sspcloud_magics.transient_text import open_transient_text

QUIET = 1.0
"""Seconds before the first display."""


@contextmanager
def steps(quiet: float = QUIET) -> Iterator[Callable[[str], None]]:
    """Yield a ``progress`` function for the Python API, which shows its text if a person watches.

    Parameters
    ----------
    quiet
        Seconds before the first display.
    """
    began = time.monotonic()
    place = open_transient_text()

    def show(words: str) -> None:
        if place is not None and time.monotonic() - began >= quiet:
            place.show(f"{words} …")

    try:
        yield show
    finally:
        if place is not None:
            place.wipe()
