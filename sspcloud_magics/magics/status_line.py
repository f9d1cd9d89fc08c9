"""What is being done, on one line that is wiped away at the end; nothing where it takes less than a second.

Nothing either where a machine runs the notebook: nobody watches, and what was wiped away would be saved as an empty line.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sspcloud_magics.audience import is_watched
from sspcloud_magics.printable import printable

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
    watched = is_watched()
    shown = ""

    def tell(words: str) -> None:
        nonlocal shown
        if watched and time.monotonic() - began >= quiet:
            line = f"{printable(words, one_line=True)} …"
            sys.stderr.write("\r" + line.ljust(len(shown)))
            sys.stderr.flush()
            shown = line

    try:
        yield tell
    finally:
        if shown:
            sys.stderr.write("\r" + " " * len(shown) + "\r")
            sys.stderr.flush()
