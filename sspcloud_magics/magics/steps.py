"""What is being done, on one line that is wiped away at the end; nothing where it takes less than a second."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

QUIET = 1.0
"""For how many seconds nothing is said."""


@contextmanager
def steps(quiet: float = QUIET) -> Iterator[Callable[[str], None]]:
    """Give what the Python API takes as ``progress``: it shows the words on the error stream.

    Parameters
    ----------
    quiet
        For how many seconds nothing is said.
    """
    began = time.monotonic()
    shown = ""

    def tell(words: str) -> None:
        nonlocal shown
        if time.monotonic() - began >= quiet:
            line = f"{words} …"
            sys.stderr.write("\r" + line.ljust(len(shown)))
            sys.stderr.flush()
            shown = line

    try:
        yield tell
    finally:
        if shown:
            sys.stderr.write("\r" + " " * len(shown) + "\r")
            sys.stderr.flush()
