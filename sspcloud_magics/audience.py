"""Whether a person watches what is shown now: what is wiped away at the end is for their eyes only."""

from __future__ import annotations

import sys


def is_watched() -> bool:
    """Whether a person sits in front of this process.

    A machine that runs a notebook tells its kernel that it answers no question; what was wiped away would be saved. A program
    without IPython is watched where its error stream is a terminal, and not where that is a file or the log of a pipeline.
    """
    ipython = sys.modules.get("IPython.core.getipython")  # where it is loaded: it is not for this question
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None:
        return has_terminal()
    kernel = getattr(shell, "kernel", None)  # none in a terminal
    return bool(getattr(kernel, "_allow_stdin", True))


def has_terminal() -> bool:
    """Whether the error stream is a terminal. Without a console, as under pythonw, there is no such stream."""
    return sys.stderr is not None and not sys.stderr.closed and sys.stderr.isatty()
