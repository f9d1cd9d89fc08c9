"""Detect whether a person watches the output: text that is erased at the end is only for them."""

from __future__ import annotations

import sys


def is_watched() -> bool:
    """Whether a person watches the output of this process.

    A program that executes notebooks tells the kernel that it does not answer input requests; it would save erased text too.
    Without IPython, a person watches if the error stream is a terminal, rather than a file or the log of a pipeline.
    """
    ipython = sys.modules.get("IPython.core.getipython")  # do not import IPython only to ask
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None:
        return has_terminal()
    kernel = getattr(shell, "kernel", None)  # IPython in a terminal has no kernel
    return bool(getattr(kernel, "_allow_stdin", True))


def has_terminal() -> bool:
    """Whether the error stream is a terminal. Without a console, as under pythonw, the stream is None."""
    return sys.stderr is not None and not sys.stderr.closed and sys.stderr.isatty()
